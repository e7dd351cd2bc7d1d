"""The migration's bookkeeping in a copy: it comes along whole, goes when it is gone, and is never half of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import open_target
from accounts_migration_tests.commands import Here, change

BOOKS = ("migration_snapshot", "migration_batch", "migration_batch_row", "migration_defect")
COUNTS = (
    "SELECT CAST((SELECT count(*) FROM migration_snapshot) AS integer),"
    " CAST((SELECT count(*) FROM migration_batch) AS integer)"
)
LOADED = "SELECT CAST(sum(loaded) AS integer) FROM migration_batch"
BROUGHT = "SELECT entity, loaded_at FROM copy_batch WHERE entity = 'migration_batch'"

RunSql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def migrated(tmp_path: Path, bank: Any) -> Path:
    """Return a database with the rows and books of a migration."""
    return write_migrated(tmp_path / "accounts.db", bank)


def write_migrated(path: Path, bank: Any) -> Path:
    with open_target(str(path)) as target:
        target.prepare()
        bank.load_parents(target)
    return path


def test_books_that_are_gone_from_the_source_go_from_the_copy(
    migrated: Path, target_url: str, here: Here, run_sql: RunSql
) -> None:
    assert here("copy", migrated, target_url).status == 0
    before = run_sql(target_url, COUNTS)
    assert before == run_sql(str(migrated), COUNTS)
    assert before == [(1, 3)]
    change(migrated, *(f"DROP TABLE {name}" for name in reversed(BOOKS)))
    assert here("copy", migrated, target_url).status == 0
    assert run_sql(target_url, COUNTS) == [(0, 0)]


def test_what_somebody_changed_in_the_copied_books_is_mended(
    migrated: Path, target_url: str, here: Here, run_sql: RunSql
) -> None:
    assert here("copy", migrated, target_url).status == 0
    brought = run_sql(target_url, BROUGHT)
    run_sql(target_url, "UPDATE migration_batch SET loaded = loaded + 1")
    assert here("copy", migrated, target_url).status == 0
    assert run_sql(target_url, LOADED) == run_sql(str(migrated), LOADED) == [(7,)]
    mended = run_sql(target_url, BROUGHT)
    assert mended != brought
    # and equal ones are not written again
    assert here("copy", migrated, target_url).status == 0
    assert run_sql(target_url, BROUGHT) == mended


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("DROP TABLE migration_batch_row", "missing, or without all columns: migration_batch_row"),
        ("ALTER TABLE migration_defect DROP COLUMN reasons", "missing, or without all columns: migration_defect"),
        (
            "UPDATE migration_batch SET loaded = 'many'",
            "3 values of migration_batch.loaded cannot stand in that column",
        ),
        ("UPDATE migration_snapshot SET taken_at = 'then'", "1 values of migration_snapshot.taken_at cannot stand"),
    ],
)
def test_damaged_books_are_refused_and_the_rows_stay(
    migrated: Path, here: Here, run_sql: RunSql, statement: str, why: str
) -> None:
    change(migrated, statement)
    said = here("copy", migrated, "to.db")
    assert (said.status, why in said.err) == (1, True), said.err
    assert run_sql("to.db", "SELECT count(*) FROM account") == [(3,)]
    assert run_sql("to.db", COUNTS) == [(0, 0)]


def test_books_that_another_migration_wrote_are_not_overwritten(
    migrated: Path, tmp_path: Path, here: Here, run_sql: RunSql, bank: Any
) -> None:
    """Into a database that holds the books of a migration, and no rows, a copy brings none of its own."""
    other = write_migrated(tmp_path / "other.db", bank)
    change(
        other, "DELETE FROM account; DELETE FROM customer; DELETE FROM product; UPDATE migration_batch SET loaded = 0"
    )
    said = here("copy", migrated, other)
    assert said.status == 1
    assert "holds rows that this copy did not write" in said.err
    assert run_sql(str(other), COUNTS) == [(1, 3)]
