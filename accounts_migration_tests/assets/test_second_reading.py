"""`validation/second_reading` as runs materialize it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accounts_migration.databases.target import open_target


def evaluated(migration: Any, entity: str) -> tuple[bool, str, int, int]:
    """Return of the check on an entity: passed, severity, batches compared, source rows judged."""
    one = migration.evaluation("validation/second_reading", entity)
    figures = [one.metadata[name].value for name in ("batches compared", "source rows judged")]
    return one.passed, one.severity.value, *figures


def test_only_what_is_loaded_is_compared_and_nothing_is_no_pass(
    tmp_path: Path, open_migration: Callable[..., Any], sqlite_url: str
) -> None:
    with open_migration(tmp_path, sqlite_url) as migration:
        assert migration.run(job="snapshot").success
        assert migration.run(job="prepare", span=("2024-01", "undated")).success
        assert migration.run("target/product", "target/customer", "target/account").success
        assert migration.run("validation/second_reading").success
        assert evaluated(migration, "account") == (True, "ERROR", 1, 4)
        assert evaluated(migration, "transaction") == (False, "WARN", 0, 0)
        assert migration.run("target/transaction", batch="2024-02").success
        assert migration.run("validation/second_reading").success
        assert evaluated(migration, "transaction") == (True, "ERROR", 1, 4)


def test_what_waits_to_be_replaced_is_not_compared(
    tmp_path: Path,
    open_migration: Callable[..., Any],
    write_legacy: Callable[..., Path],
    new_legacy_rows: Callable[[], dict[str, list[tuple[Any, ...]]]],
    sqlite_url: str,
) -> None:
    """One month is loaded from a source that was mended; the others still stand as the earlier one had them."""
    rows = new_legacy_rows()
    with open_migration(tmp_path, sqlite_url, rows) as migration:
        migration.migrate()
        rows["legacy_transactions"] = [
            (key, account, kind, amount, balance, f"mended {text}", moment)
            for key, account, kind, amount, balance, text, moment in rows["legacy_transactions"]
        ]
        write_legacy(tmp_path / "legacy.db", rows)
        assert migration.run(job="snapshot").success
        assert migration.run(job="prepare", span=("2024-01", "undated")).success
        assert migration.run("target/transaction", batch="2024-02").success
        assert migration.run("validation/second_reading").success
        assert evaluated(migration, "transaction") == (True, "ERROR", 1, 4)
        assert migration.evaluation("validation/second_reading", "transaction").metadata["rows compared"].value == 2
        assert evaluated(migration, "customer") == (False, "WARN", 0, 0)


def test_a_target_without_a_migration_is_refused(
    tmp_path: Path, open_migration: Callable[..., Any], sqlite_url: str
) -> None:
    with open_migration(tmp_path, sqlite_url) as migration:
        assert migration.run(job="snapshot").success
        with open_target(sqlite_url) as target:
            target.prepare()
        assert list(migration.refusals(migration.run("validation/second_reading")).values()) == [
            f"Cannot hold {sqlite_url} against its source: no migration has been recorded in it. "
            "Migrate into it first, or name the right target"
        ]
