"""A batch whose content is unchanged is recognised by its digest, kept, and read back all the same."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import Target


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
) -> Iterator[Any]:
    """Migrate everything, once for each engine."""
    with open_migration(tmp_path, new_target(request.param, tmp_path)) as migration:
        migration.migrate()
        yield migration


@pytest.fixture
def roads(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Watch which transactions' batches are loaded and which are kept."""
    taken: dict[str, str] = {}

    def watch(name: str) -> None:
        original = getattr(Target, name)

        def watched(self: Target, batch: Any) -> Any:
            loaded = original(self, batch)
            if batch.entity == "transaction":
                taken[batch.batch] = loaded.road
            return loaded

        monkeypatch.setattr(Target, name, watched)

    watch("load_batch")
    watch("keep_batch")
    return taken


def test_what_did_not_change_is_not_loaded_again(migrated: Any, roads: dict[str, str]) -> None:
    before = migrated.stored("transaction")
    migrated.migrate()
    assert roads == dict.fromkeys(("2024-01", "2024-02", "2024-03", "undated"), "keep")
    assert migrated.stored("transaction") == before
    assert set(migrated.checks("target/transaction").values()) == {"SUCCEEDED"}


def test_after_the_source_is_mended_only_what_changed_is_loaded(
    migrated: Any, roads: dict[str, str], run_sql: Callable[..., Any]
) -> None:
    with contextlib.closing(sqlite3.connect(migrated.settings.source_db, isolation_level=None)) as source:
        source.execute("UPDATE legacy_transactions SET balance_after = 680.5 WHERE trans_id = 4")
    migrated.migrate()
    assert roads == {"2024-01": "keep", "2024-02": "merge", "2024-03": "keep", "undated": "keep"}
    assert [row[4] for row in migrated.stored("transaction") if row[0] == "TXN-4"] == [68050]
    [(snapshots,)] = run_sql(migrated.settings.target_db, "SELECT count(DISTINCT snapshot_id) FROM migration_batch")
    assert snapshots == 1, "the books of the kept batches name the new snapshot, too"
    assert set(migrated.checks("target/transaction").values()) == {"SUCCEEDED"}


def test_what_somebody_changed_in_the_target_is_put_right(
    migrated: Any, roads: dict[str, str], run_sql: Callable[..., Any]
) -> None:
    before = migrated.stored("transaction")
    run_sql(migrated.settings.target_db, "UPDATE \"transaction\" SET balance_after = 1 WHERE transaction_id = 'TXN-7'")
    migrated.migrate()
    assert roads == {"2024-01": "keep", "2024-02": "keep", "2024-03": "merge", "undated": "keep"}
    assert migrated.stored("transaction") == before
    assert set(migrated.checks("target/transaction").values()) == {"SUCCEEDED"}


def test_rows_that_somebody_removed_are_loaded_again(
    migrated: Any, roads: dict[str, str], run_sql: Callable[..., Any]
) -> None:
    before = migrated.stored("transaction")
    run_sql(migrated.settings.target_db, "DELETE FROM \"transaction\" WHERE transaction_id = 'TXN-1'")
    migrated.migrate()
    assert roads["2024-01"] == "merge"
    assert migrated.stored("transaction") == before
