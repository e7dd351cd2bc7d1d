"""Optimising a target: what is done, that no row changes, and everything that stops it."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases import sqlite_upkeep
from accounts_migration.databases.target import Target, open_target
from accounts_migration.errors import MigrationError
from accounts_migration_tests.databases.test_target_lock import HOLDER, killed, started

RunSql = Callable[..., list[tuple[Any, ...]]]

STEPS = {
    "sqlite": ["integrity_check", "REINDEX", "VACUUM", "ANALYZE"],
    "postgresql": ["constraints and indexes", "rights", "VACUUM ANALYZE"],
}


@pytest.fixture
def emptied(target: Target, bank: Any) -> Iterator[Target]:
    """A bank of 20,000 transactions of which a second load left 100."""
    bank.load_parents(target)
    bank.load(target, "transaction", bank.transaction(*range(20_000)), "2024-03")
    target.constrain()
    bank.load(target, "transaction", bank.transaction(*range(100)), "2024-03")
    yield target


def test_the_space_of_rows_that_went_is_given_back_and_no_row_changes(emptied: Target, bank: Any) -> None:
    tables = ("product", "customer", "account", "transaction")
    before = {name: bank.stored(emptied, name) for name in tables}
    size = emptied.size()
    done = emptied.optimise()
    assert [step.name for step in done.steps] == STEPS[emptied.engine]
    assert [step for step in done.steps if not 0 <= step.seconds < 60] == []
    assert (done.bytes_before, done.bytes_after) == (size, emptied.size())
    assert done.bytes_after < done.bytes_before - 1_000_000
    assert {name: bank.stored(emptied, name) for name in tables} == before


def test_the_statistics_tell_the_rows_that_stand(emptied: Target) -> None:
    emptied.optimise()
    if emptied.engine == "sqlite":
        rows = emptied.session.execute("SELECT DISTINCT stat FROM main.sqlite_stat1 WHERE tbl = 'transaction'")
        assert {stat.split()[0] for (stat,) in rows} == {"100"}
    else:
        [(rows,)] = emptied.session.execute("SELECT reltuples::bigint FROM pg_class WHERE relname = 'transaction'")
        assert rows == 100


def test_indexes_are_built_anew_where_it_is_wanted(postgres_url: str, bank: Any) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
        bank.load_parents(target)
        target.constrain()
        file = "SELECT pg_relation_filenode('account_customer_id')"
        before = target.session.value(file)
        assert [step.name for step in target.optimise().steps] == STEPS["postgresql"]
        assert target.session.value(file) == before
        steps = [step.name for step in target.optimise(reindex=True).steps]
        assert steps == ["constraints and indexes", "rights", "REINDEX", "VACUUM ANALYZE"]
        assert target.session.value(file) != before


def test_it_never_runs_beside_a_migration(target: Target, target_url: str) -> None:
    process = started(HOLDER, target_url)
    try:
        with pytest.raises(MigrationError, match="another migration or copy is writing to"):
            target.optimise()
    finally:
        killed(process)
    assert [step.name for step in target.optimise().steps] == STEPS[target.engine]


def test_a_damaged_file_is_told_and_left_as_it_is(tmp_path: Path, bank: Any) -> None:
    path = tmp_path / "target.db"
    with open_target(str(path)) as target:
        target.prepare()
        bank.load_parents(target)
        target.constrain()
    with closing(sqlite3.connect(path)) as connection:
        [(page,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'account_customer_id'")
        [(size,)] = connection.execute("PRAGMA page_size")
    whole = bytearray(path.read_bytes())
    # the last bytes of an index's page hold its first entry
    whole[page * size - 8 : page * size] = b"\0" * 8
    path.write_bytes(whole)
    with open_target(str(path)) as target, pytest.raises(MigrationError) as refused:
        target.optimise()
    assert refused.value.what == f"The target {path} is damaged"
    assert "integrity_check found: row 1 missing from index account_customer_id" in refused.value.why
    assert path.read_bytes() == whole


def test_an_index_that_the_server_holds_for_invalid_is_named(postgres_url: str, bank: Any) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
        bank.load_parents(target)
        target.constrain()
        target.session.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'account_customer_id'::regclass"
        )
        with pytest.raises(MigrationError, match="does not hold these for valid: account_customer_id"):
            target.optimise()


def test_a_table_of_another_role_is_named_not_left_out(postgres_url: str, run_sql: RunSql) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
    run_sql(
        postgres_url,
        "CREATE ROLE upkeep_clerk LOGIN",
        "GRANT ALL ON SCHEMA public TO upkeep_clerk",
        "ALTER TABLE customer OWNER TO upkeep_clerk",
        "ALTER TABLE product OWNER TO upkeep_clerk",
    )
    clerk = re.sub("//[^@]*@", "//upkeep_clerk@", postgres_url)
    with open_target(clerk) as target, pytest.raises(MigrationError) as refused:
        target.optimise()
    assert refused.value.why == (
        "this role does not own account, copy_batch, copy_batch_row, copy_defect, copy_snapshot, migration_batch,"
        " migration_batch_row, migration_defect, migration_snapshot, transaction"
    )


LIMITED = """
import os, resource, sys
from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError
size = os.stat(sys.argv[1]).st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size * 9 // 10,) * 2)
with open_target(sys.argv[1]) as target:
    try:
        target.optimise()
    except MigrationError as error:
        print(error)
"""


def test_a_disk_that_becomes_full_is_told_with_what_is_needed(tmp_path: Path, bank: Any) -> None:
    path = tmp_path / "target.db"
    with open_target(str(path)) as target:
        target.prepare()
        bank.load_parents(target)
        bank.load(target, "transaction", bank.transaction(*range(20_000)), "2024-03")
        target.constrain()
        before = bank.stored(target, "transaction")
    done = subprocess.run(  # noqa: S603  # this interpreter
        [sys.executable, "-c", LIMITED, str(path)],
        env={**os.environ, "SQLITE_TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Cannot vacuum {path}: ")
    needed = re.search(r"VACUUM needs about (\d+) MiB in (\S+) and as much in (\S+) ", done.stdout)
    assert needed is not None
    assert needed.groups() == ("3", str(tmp_path), str(tmp_path))
    with open_target(str(path)) as target:
        assert bank.stored(target, "transaction") == before


def test_too_little_free_space_is_told_before_anything_is_written(tmp_path: Path) -> None:
    """The file tells of more pages than the disk has room for: a sparse file takes none."""
    path = tmp_path / "target.db"
    with open_target(str(path)) as target:
        target.prepare()
    with path.open("rb+") as file:
        page = int.from_bytes(file.read(18)[16:], "big")
        pages = shutil.disk_usage(tmp_path).free // page + 1_000_000
        file.seek(28)
        file.write(pages.to_bytes(4, "big"))
        file.truncate(pages * page)
    with open_target(str(path)) as target:
        works = dict(sqlite_upkeep.works(target.session, path, lambda: None))
        with pytest.raises(MigrationError) as refused:
            works["VACUUM"]()
    assert refused.value.what == f"Cannot vacuum {path}"
    assert re.fullmatch(rf"{tmp_path} has [\d,]+ MiB free and VACUUM needs [\d,]+ MiB there", refused.value.why)
    assert not path.with_name("target.db-wal").exists()
