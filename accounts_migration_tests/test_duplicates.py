"""Rows of a snapshot that share a key, however the source declares its key (contract section 5)."""

from pathlib import Path

import pytest

from accounts_migration.databases.snapshot import take_snapshot
from accounts_migration.duplicates import duplicates_of
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.legacy_values import LegacyValue
from accounts_migration.resources import LEGACY_TABLES
from accounts_migration_tests.databases.legacy_source.tables import run
from accounts_migration_tests.legacy_bank import legacy_rows, write_legacy

TRANSACTION = ENTITIES["transaction"]


def _duplicates(folder: Path, declared: str, keys: tuple[LegacyValue, ...]) -> list[tuple[int, str]]:
    """Return (rowid, reason) of the transactions that share a key, all of them alike but for their keys."""
    path = write_legacy(folder / "legacy.db", legacy_rows() | {"legacy_transactions": []})
    key, *others = TRANSACTION.legacy_columns
    run(
        path,
        "DROP TABLE legacy_transactions",
        f"CREATE TABLE legacy_transactions ({key} {declared}, {', '.join(others)})",
        rows=[(key, 1, "CR", 10, 10, "", "2024-01-01") for key in keys],
        table="legacy_transactions",
    )
    snapshot = take_snapshot(path, folder / "backups", LEGACY_TABLES)
    found = duplicates_of(TRANSACTION, snapshot, Policies())
    return list(zip(found["row"].to_pylist(), found["reason"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("declared", "keys", "expected"),
    [
        ("", (7, 8, 7), [(3, "EXACT_DUPLICATE")]),
        ("", (7, 8, "7"), [(1, "DUPLICATE_KEY"), (3, "DUPLICATE_KEY")]),
        ("INTEGER", (7, 8, 7), [(3, "EXACT_DUPLICATE")]),
        ("TEXT PRIMARY KEY", ("7", "8", " 7"), [(1, "DUPLICATE_KEY"), (3, "DUPLICATE_KEY")]),
        ("BLOB UNIQUE", (7, 8, "7"), [(1, "DUPLICATE_KEY"), (3, "DUPLICATE_KEY")]),
        ("INTEGER PRIMARY KEY", (-7, 7, 8, 2**63 - 1), []),
    ],
)
def test_rows_of_one_key_are_found_however_the_key_is_declared(
    tmp_path: Path, declared: str, keys: tuple[LegacyValue, ...], expected: list[tuple[int, str]]
) -> None:
    assert _duplicates(tmp_path, declared, keys) == expected
