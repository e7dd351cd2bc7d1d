"""The structure of the legacy database: what is missing, what is left behind, how a row is named."""

from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.legacy_source import (
    LegacyTable,
    count_by_batch,
    find_unmigrated,
    key_is_row_id,
    open_read_only,
    refuse_incomplete_structure,
    row_id_name,
    row_id_range,
)
from accounts_migration.errors import MigrationError
from accounts_migration.resources import LEGACY_TABLES
from accounts_migration_tests.databases.legacy_source.storage_classes import BIGGEST
from accounts_migration_tests.databases.legacy_source.tables import THINGS, cells, read, run, things


@pytest.mark.parametrize("table", [table.name for table in LEGACY_TABLES])
def test_a_missing_table_is_named(tmp_path: Path, write_legacy: Any, new_legacy_rows: Any, table: str) -> None:
    path = run(write_legacy(tmp_path / "legacy.db", new_legacy_rows()), f"DROP TABLE {table}")
    with pytest.raises(MigrationError) as caught, open_read_only(path) as connection:
        refuse_incomplete_structure(connection, LEGACY_TABLES)
    assert caught.value.why == f"missing: table {table}"


def test_all_that_is_missing_is_named_at_once(tmp_path: Path, write_legacy: Any, new_legacy_rows: Any) -> None:
    path = run(
        write_legacy(tmp_path / "legacy.db", new_legacy_rows()),
        "DROP TABLE legacy_customers",
        "ALTER TABLE legacy_accounts DROP COLUMN close_date",
        "ALTER TABLE legacy_accounts RENAME COLUMN open_date TO opened",
        "ALTER TABLE legacy_transactions DROP COLUMN trans_date",
    )
    with pytest.raises(MigrationError) as caught, open_read_only(path) as connection:
        refuse_incomplete_structure(connection, LEGACY_TABLES)
    assert caught.value.why == (
        "missing: table legacy_customers, column legacy_accounts.open_date, column legacy_accounts.close_date,"
        " column legacy_transactions.trans_date"
    )


def test_names_in_other_letter_case_are_the_same_names(tmp_path: Path) -> None:
    path = run(tmp_path / "legacy.db", "CREATE TABLE THINGS (Key, VALUE)", rows=[(7, "x")], table="things")
    with open_read_only(path) as connection:
        refuse_incomplete_structure(connection, [THINGS])
        assert find_unmigrated(connection, [THINGS]) == []
        assert row_id_name(connection, THINGS) == "rowid"
        assert count_by_batch(connection, THINGS) == {"all": 1}
    assert cells(path, THINGS) == [(7, "x")]


def test_what_is_not_migrated_is_reported_with_its_counts(
    tmp_path: Path, write_legacy: Any, new_legacy_rows: Any
) -> None:
    accounts = [(n, 1, 1, "A", 0, None, None) for n in range(1500)]
    path = run(
        write_legacy(tmp_path / "legacy.db", new_legacy_rows() | {"legacy_accounts": accounts}),
        "ALTER TABLE legacy_accounts ADD COLUMN branch_code",
        'ALTER TABLE legacy_accounts ADD COLUMN "odd, \'name"',
        "ALTER TABLE legacy_products ADD COLUMN doubled AS (product_code * 2)",
        "UPDATE legacy_accounts SET branch_code = 'B' WHERE account_number < 1204",
        "CREATE TABLE audit AS SELECT account_number FROM legacy_accounts",
        'CREATE TABLE "it\'s a ""list""" (id INTEGER PRIMARY KEY AUTOINCREMENT)',
        "CREATE VIEW open_accounts AS SELECT * FROM legacy_accounts",
    )
    with open_read_only(path) as connection:
        assert list(map(str, find_unmigrated(connection, LEGACY_TABLES))) == [
            "not migrated: table audit, 1,500 rows",
            'not migrated: table it\'s a "list", 0 rows',
            "not migrated: legacy_products.doubled, 3 non-null values",
            "not migrated: legacy_accounts.branch_code, 1,204 non-null values",
            "not migrated: legacy_accounts.odd, 'name, 0 non-null values",
        ]


def test_a_generated_column_is_read_as_any_other(tmp_path: Path) -> None:
    path = run(tmp_path / "legacy.db", "CREATE TABLE things (key, value AS (key || '!'))")
    run(path, "INSERT INTO things VALUES (1), (NULL)")
    with open_read_only(path) as connection:
        refuse_incomplete_structure(connection, [THINGS])
    assert cells(path, THINGS) == [(1, "1!"), (None, None)]


def test_the_number_of_a_row_is_its_rowid(tmp_path: Path) -> None:
    numbered = [(-BIGGEST - 1, "z"), (-5, "a"), (9, "b"), (BIGGEST, "c")]
    path = things(tmp_path / "legacy.db", [])
    run(path, rows=numbered, table="things (rowid, key)")
    assert [(number, row[0]) for number, _, row in read(path, THINGS)] == numbered


def test_the_range_of_rowids_is_that_of_the_rows_that_stand(tmp_path: Path) -> None:
    path = things(tmp_path / "legacy.db", [])
    with open_read_only(path) as connection:
        assert row_id_range(connection, THINGS, "rowid") == (0, 0)
    run(path, rows=[(-BIGGEST - 1, "z"), (9, "b"), (BIGGEST, "c")], table="things (rowid, key)")
    with open_read_only(path) as connection:
        assert row_id_range(connection, THINGS, "rowid") == (-BIGGEST - 1, BIGGEST)


def test_a_column_named_rowid_is_no_rowid(tmp_path: Path) -> None:
    table = LegacyTable("things", ("rowid", "oid"))
    path = things(tmp_path / "legacy.db", [("x", "same"), ("y", "same")], 'RowId, "oid"')
    with open_read_only(path) as connection:
        assert row_id_name(connection, table) == "_rowid_"
    assert [(number, row) for number, _, row in read(path, table)] == [(1, ("x", "same")), (2, ("y", "same"))]
    hidden = LegacyTable("things", ("rowid", "oid", "_rowid_"))
    run(path, "ALTER TABLE things ADD COLUMN _rowid_")
    with open_read_only(path) as connection:
        assert row_id_name(connection, hidden) is None
    assert [(number, row) for number, _, row in read(path, hidden)] == [
        (1, ("x", "same", None)),
        (2, ("y", "same", None)),
    ]


@pytest.mark.parametrize(
    ("definition", "is_row_id"),
    [
        ("TABLE things (key INTEGER PRIMARY KEY, value)", True),
        ("TABLE things (value, KEY integer NOT NULL, PRIMARY KEY (key))", True),
        ("TABLE things (key INTEGER PRIMARY KEY AUTOINCREMENT, value UNIQUE)", True),
        ("TABLE things (key INT PRIMARY KEY, value)", False),
        ("TABLE things (key INTEGER PRIMARY KEY DESC, value)", False),
        ("TABLE things (key INTEGER PRIMARY KEY, value) WITHOUT ROWID", False),
        ("TABLE things (key INTEGER, value, PRIMARY KEY (key, value))", False),
        ("TABLE things (key INTEGER UNIQUE, value INTEGER PRIMARY KEY)", False),
        ("TABLE things (key INTEGER UNIQUE, value)", False),
        ("VIEW things AS SELECT 1 AS key, 2 AS value", False),
    ],
)
def test_a_key_that_is_the_rowid_is_known_as_such(tmp_path: Path, definition: str, is_row_id: bool) -> None:
    path = run(tmp_path / "legacy.db", f"CREATE {definition}")
    with open_read_only(path) as connection:
        assert key_is_row_id(connection, THINGS) is is_row_id
