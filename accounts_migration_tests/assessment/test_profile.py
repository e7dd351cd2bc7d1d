"""The profile tells what stands in every column, whatever it is; and no value of a column that may name a person."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.assessment.column_profile import LONGEST_CODE, MOST_CODES, MOST_CODES_KEPT, Code, ColumnProfile
from accounts_migration.assessment.forms import Form
from accounts_migration.assessment.meanings import Kind, kinds_of
from accounts_migration.assessment.profile import Orphans, Profile, TableProfile, profile_source
from accounts_migration.databases.snapshot import take_snapshot
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.resources import LEGACY_TABLES

Rows = dict[str, list[tuple[Any, ...]]]
NO_CLASSES = {"null": 0, "integer": 0, "real": 0, "text": 0, "blob": 0}


def profile_of(path: Path, policies: Policies | None = None) -> Profile:
    return profile_source(take_snapshot(path, path.parent / "backups", LEGACY_TABLES), policies or Policies())


def tables_of(profile: Profile) -> Mapping[str, TableProfile]:
    return {table.table: table for table in profile.tables}


def column_of(profile: Profile, table: str, column: str) -> ColumnProfile:
    [found] = [one for one in tables_of(profile)[table].columns if one.column == column]
    return found


def of_one_column(folder: Path, write: Callable[..., Path], table: str, column: str, cells: list[Any]) -> ColumnProfile:
    """Profile a source where one column alone holds anything."""
    [entity] = [one for one in ENTITIES.values() if one.legacy_table == table]
    rows: Rows = {one.legacy_table: [] for one in ENTITIES.values()}
    rows[table] = [tuple(cell if name == column else None for name in entity.legacy_columns) for cell in cells]
    return column_of(profile_of(write(folder / "legacy.db", rows)), table, column)


def test_what_each_column_is_meant_to_hold() -> None:
    kinds = {name: kinds_of(entity, Policies()) for name, entity in ENTITIES.items()}

    assert kinds["product"] == {
        "product_code": Kind.key,
        "product_description": Kind.text,
        "account_type": Kind.code,
        "int_rate": Kind.number,
        "debit_fee": Kind.number,
        "maint_fee": Kind.number,
        "min_bal_int": Kind.number,
        "active": Kind.code,
    }
    assert list(kinds["customer"].values()) == [*([Kind.key] + [Kind.text] * 4), Kind.date, Kind.code]
    assert list(kinds["account"].values()) == [*[Kind.key] * 3, Kind.code, Kind.number, Kind.date, Kind.date]
    assert list(kinds["transaction"].values()) == [
        *(Kind.key, Kind.key, Kind.code, Kind.number, Kind.number, Kind.text, Kind.date),
    ]


@pytest.mark.parametrize("swapped", [False, True], ids=["mostly texts", "mostly integers"])
def test_storage_classes_blanks_lengths_and_forms_of_a_column(
    swapped: bool, tmp_path: Path, write_legacy: Callable[..., Path]
) -> None:
    # the more frequent class is read another way than the rest; what is told must not depend on it
    cells = [None, "2024-01-31", "2023-12-31", " ", "\u200b\ufeff", "", 20240131, 20.5, 1e300, b"2024", "1.1.2024"]
    cells += [20240101 + day for day in range(20)] if swapped else ["2024-02-01"] * 20

    found = of_one_column(tmp_path, write_legacy, "legacy_accounts", "open_date", cells)

    more = {"integer": 21, "text": 6} if swapped else {"integer": 1, "text": 26}
    assert found.classes == NO_CLASSES | {"null": 1, "real": 2, "blob": 1} | more
    assert (found.kind, found.blanks, found.invalid_utf8) == ("date", 3, 0)
    assert (found.shortest, found.longest) == (0, 10)
    dates = Form("9999-99-99", 2 if swapped else 22)
    integers = Form("INTEGER", 21 if swapped else 1)
    assert set(found.forms) == {
        *(dates, integers, Form("", 1), Form(" ", 1), Form("xx", 1), Form("9.9.9999", 1), Form("BLOB", 1)),
        *(Form("REAL, up to 2 decimals", 1), Form("REAL, whole", 1)),
    }
    assert found.forms[0] == max(dates, integers, key=lambda form: form.rows)
    assert (found.rows_of_further_forms, found.distinct_codes, found.codes) == (0, None, ())


def test_whole_amounts_among_reals_are_integers(tmp_path: Path, write_legacy: Callable[..., Path]) -> None:
    cells = [1, 2, 2**60, 0.5, 1.25, 3.0, 1.005, float("inf"), "4.50", None]

    found = of_one_column(tmp_path, write_legacy, "legacy_transactions", "trans_amount", cells)

    assert found.classes == NO_CLASSES | {"null": 1, "integer": 3, "real": 5, "text": 1}
    assert {one.form: one.rows for one in found.forms} == {
        "INTEGER": 3,
        "REAL, up to 2 decimals": 2,
        "REAL, whole": 1,
        "REAL, more than 2 decimals": 1,
        "REAL, not finite": 1,
        "9.99": 1,
    }


def test_text_that_is_not_utf8_is_counted_and_stops_nothing(tmp_path: Path, write_legacy: Callable[..., Path]) -> None:
    path = write_legacy(tmp_path / "legacy.db", {entity.legacy_table: [] for entity in ENTITIES.values()})
    with closing(sqlite3.connect(path)) as connection, connection:
        insert = "INSERT INTO legacy_customers (first_name, status) VALUES (CAST(? AS TEXT), 'ACTIVE')"
        connection.executemany(insert, [(b"\xc3\xa9",), (b"\xe9",), (b"\xff",), (b"A",)])

    found = column_of(profile_of(path), "legacy_customers", "first_name")

    assert (found.classes["text"], found.invalid_utf8) == (4, 2)
    # of the two that can be read
    assert (found.shortest, found.longest) == (1, 1)


def test_codes_and_what_they_are_read_as(tmp_path: Path, write_legacy: Callable[..., Path]) -> None:
    cells = ["CR", "CR", "CR", " cr", "RV", "RV", 7, 7.0, b"CR", " ", None, "Zqname Zqsurname", "zq@x.y"]

    found = of_one_column(tmp_path, write_legacy, "legacy_transactions", "trans_type", cells)

    assert found.codes == (
        Code("RV", "text", 2, "UNKNOWN_CODE"),
        Code("7", "integer", 1, "UNKNOWN_CODE"),
        Code("7.0", "real", 1, "UNKNOWN_CODE"),
        Code("BLOB", "blob", 1, "UNKNOWN_CODE"),
        # a name that went astray is masked, and so is an address
        Code("xx@x.x", "text", 1, "UNKNOWN_CODE"),
        Code("xxxxxx xxxxxxxxx", "text", 1, "UNKNOWN_CODE"),
        Code("CR", "text", 3, "CREDIT"),
        Code(" ", "text", 1, "MISSING_VALUE"),
        Code(" cr", "text", 1, "CREDIT"),
    )
    assert (found.distinct_codes, found.unknown_codes, found.forms) == (9, 7, ())


def test_codes_that_a_policy_adds_are_known(
    tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    rows = new_legacy_rows()
    rows["legacy_accounts"].append((5, 1, 1, "Frozen", 1, None, None))
    path = write_legacy(tmp_path / "legacy.db", rows)

    unknown = column_of(profile_of(path), "legacy_accounts", "account_status")
    known = column_of(
        profile_of(path, Policies(account_status={"FROZEN": "CLOSED"})), "legacy_accounts", "account_status"
    )

    assert (unknown.unknown_codes, unknown.codes[0]) == (1, Code("Frozen", "text", 1, "UNKNOWN_CODE"))
    assert (known.unknown_codes, Code("Frozen", "text", 1, "CLOSED") in known.codes) == (0, True)


def test_codes_of_activity_are_active_or_inactive(
    tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    profile = profile_of(write_legacy(tmp_path / "legacy.db", new_legacy_rows()))

    assert column_of(profile, "legacy_products", "active").codes == (
        Code("0", "integer", 1, "inactive"),
        Code("1", "integer", 1, "active"),
        Code("Y", "text", 1, "active"),
    )
    assert column_of(profile, "legacy_customers", "status").codes == (
        Code("ACTIVE", "text", 3, "active"),
        Code("CLOSED", "text", 1, "inactive"),
    )


def test_a_column_of_ever_new_codes_takes_no_ever_more_memory(
    tmp_path: Path, write_legacy: Callable[..., Path]
) -> None:
    cells = [f"Q{number}" + "z" * 500 for number in range(MOST_CODES_KEPT + 50)]

    found = of_one_column(tmp_path, write_legacy, "legacy_transactions", "trans_type", cells)

    assert (len(found.codes), found.distinct_codes) == (MOST_CODES, MOST_CODES_KEPT)
    assert found.unknown_codes == MOST_CODES_KEPT + 50
    assert all(len(code.code) > LONGEST_CODE and set(code.code) <= set("x9…") for code in found.codes)


def test_shared_keys_and_references_that_lead_nowhere(
    tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    rows = new_legacy_rows()
    rows["legacy_accounts"] += [
        ("1", 77, 1, "A", 1, None, None),
        (5, "0077", 88, "A", 1, None, None),
        (6, None, "x", "A", 1, None, None),
    ]
    rows["legacy_customers"].append(rows["legacy_customers"][0])

    tables = tables_of(profile_of(write_legacy(tmp_path / "legacy.db", rows)))

    keys = {name: (one.rows_of_duplicate_keys, one.exact_duplicates) for name, one in tables.items()}
    assert keys == {
        "legacy_products": (0, 0),
        "legacy_customers": (0, 1),
        "legacy_accounts": (2, 0),
        "legacy_transactions": (0, 1),
    }
    # 77 and '0077' are one key; what is missing or malformed is no orphan
    assert tables["legacy_accounts"].orphans == (
        Orphans("customer_number", "customer", 2, 1),
        Orphans("product_code", "product", 1, 1),
    )
    assert tables["legacy_transactions"].orphans == (Orphans("account_number", "account", 0, 0),)


def test_what_is_not_migrated_is_named(
    tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    path = write_legacy(tmp_path / "legacy.db", new_legacy_rows())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE legacy_accounts ADD COLUMN branch_code")
        connection.execute("UPDATE legacy_accounts SET branch_code = 4 WHERE account_number < 3")
        connection.execute("CREATE TABLE standing_orders (id)")

    assert profile_of(path).not_migrated == (
        "not migrated: table standing_orders, 0 rows",
        "not migrated: legacy_accounts.branch_code, 2 non-null values",
    )


def test_tables_without_a_rowid_and_views_are_profiled_alike(
    tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    plain = write_legacy(tmp_path / "legacy.db", new_legacy_rows())
    expected = tables_of(profile_of(plain))
    with closing(sqlite3.connect(plain)) as connection, connection:
        connection.execute("ALTER TABLE legacy_transactions RENAME TO moved")
        connection.execute("CREATE VIEW legacy_transactions AS SELECT * FROM moved")

    assert tables_of(profile_of(plain))["legacy_transactions"] == expected["legacy_transactions"]


def test_every_row_is_counted_once_in_each_column_and_nobody_is_named(
    tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    profile = profile_of(write_legacy(tmp_path / "legacy.db", new_legacy_rows()))

    for table in profile.tables:
        assert [sum(column.classes.values()) for column in table.columns] == [table.rows] * len(table.columns)
    told = str(asdict(profile)).lower()
    assert "zq" not in told
    assert "example.com" not in told


def test_a_source_without_rows(tmp_path: Path, write_legacy: Callable[..., Path]) -> None:
    profile = profile_of(
        write_legacy(tmp_path / "legacy.db", {entity.legacy_table: [] for entity in ENTITIES.values()})
    )

    assert [table.rows for table in profile.tables] == [0, 0, 0, 0]
    for table in profile.tables:
        for column in table.columns:
            assert (column.classes, column.shortest, column.forms, column.codes) == (NO_CLASSES, None, (), ())
