"""`accounts-migration copy --all-tables` of databases that hold no Account Processing System: whatever they hold."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from accounts_migration_tests.commands import write_bank
from accounts_migration_tests.databases.other_tables.odd_databases import CHINOOK, NORTHWIND

# a table of the name of an entity, as SQLite folds it, with other columns
CUSTOMER = """
CREATE TABLE Customer (CustomerId INTEGER NOT NULL, FirstName NVARCHAR(40) NOT NULL, SupportRepId INTEGER,
    CONSTRAINT PK_Customer PRIMARY KEY (CustomerId), FOREIGN KEY (SupportRepId) REFERENCES Employee (EmployeeId));
INSERT INTO Customer SELECT 1, 'Luís', min(EmployeeId) FROM Employee;
"""


def written(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of every table but ours, with the storage class of each cell, in one order."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'copy%'"
        ).fetchall()
        found = {}
        for (name,) in sorted(names):
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
            cells = ", ".join(f'typeof("{column}"), "{column}"' for column in columns)
            found[name] = sorted(connection.execute(f'SELECT {cells} FROM "{name}"').fetchall(), key=repr)  # noqa: S608
    return found


@pytest.mark.parametrize("script", [CHINOOK + CUSTOMER, NORTHWIND], ids=["chinook", "northwind"])
def test_a_database_without_our_tables_goes_to_postgresql_and_back_unchanged(
    here: Any, tmp_path: Path, new_target: Callable[[str, Path], str], script: str
) -> None:
    origin, there = written(tmp_path / "any.db", script), new_target("postgresql", tmp_path)
    summary = tmp_path / "summary.json"
    assert here("copy", origin, there, "--all-tables", "--json", summary).status == 0
    told = json.loads(summary.read_text())
    tables = contents(origin)
    assert {one["table"]: one["compared"] for one in told["other_tables"]} == {
        name: len(rows) for name, rows in tables.items()
    }
    assert here("copy", there, tmp_path / "back.db", "--all-tables").status == 0
    assert contents(tmp_path / "back.db") == tables
    again = here("copy", origin, there, "--all-tables")
    # what the first one brought may be in use
    assert (again.status, "\nbackup " in again.out) == (0, True)
    assert again.err.count(" rows stand unchanged") == len(tables)


def test_tables_of_others_may_be_called_as_ours_are(
    here: Any, tmp_path: Path, new_target: Callable[[str, Path], str], run_sql: Any
) -> None:
    script = """CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO customer VALUES (1, 'a');
        CREATE TABLE account (id INTEGER REFERENCES customer); INSERT INTO account VALUES (1);"""
    origin, there = written(tmp_path / "any.db", script), new_target("postgresql", tmp_path)
    for _ in range(2):
        said = here("copy", origin, there, "--all-tables")
        assert said.status == 0, said.err
    assert run_sql(there, "SELECT id FROM account") == [(1,)]


def test_without_all_tables_it_is_refused_and_nothing_is_written(
    here: Any, tmp_path: Path, new_target: Callable[[str, Path], str], run_sql: Any
) -> None:
    origin, there = written(tmp_path / "any.db", CHINOOK), new_target("postgresql", tmp_path)
    refused = here("copy", origin, there)
    assert refused.status == 1
    assert f"There is no Account Processing System in {origin}" in refused.err
    assert "with --all-tables whatever tables it holds are carried" in refused.err
    assert run_sql(there, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(0,)]


def test_the_children_of_a_row_that_the_target_cannot_hold_are_rejected_with_it(
    here: Any, tmp_path: Path, new_target: Callable[[str, Path], str], run_sql: Any
) -> None:
    origin = written(
        tmp_path / "any.db",
        """CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent);
        INSERT INTO parent VALUES (1, 'a'), (2, 'b' || char(0)), (3, 'c'), (4, 'd');
        INSERT INTO child VALUES (10, 1), (11, 2);""",
    )
    there = new_target("postgresql", tmp_path)
    assert here("copy", origin, there, "--all-tables").status == 1
    said = here("copy", origin, there, "--all-tables", "--policy", "max_reject_rate=0.25")
    assert said.status == 1
    assert "Cannot copy table child: 1 of 2 rows hold values that the target cannot, or refer to rejected" in said.err
    said = here("copy", origin, there, "--all-tables", "--policy", "max_reject_rate=0.5")
    assert (said.status, "child: 1 rows loaded anew, 1 rejected" in said.err) == (0, True), said.err
    assert run_sql(there, "SELECT id FROM child") == [(10,)]
    listed = json.loads(here("defects", "--copy", there, "--format", "json").out)
    assert [(one["entity"], one["source_key"], one["reason"]) for one in listed] == [
        ("child", "11", "PARENT_REJECTED"),
        ("parent", "2", "NUL_CHARACTER"),
    ]


def test_some_of_our_tables_are_too_few(here: Any, tmp_path: Path) -> None:
    product = "product_id, product_name, product_type, interest_rate, transaction_fee, monthly_fee"
    script = f"CREATE TABLE product ({product}, min_balance_for_interest, created_at); CREATE TABLE customer (id)"
    refused = here("copy", written(tmp_path / "some.db", script), tmp_path / "to.db", "--all-tables")
    assert refused.status == 1
    assert "The source database is not complete" in refused.err
    assert "table account" in refused.err
    assert "column customer.customer_id" in refused.err
    assert not (tmp_path / "to.db").exists()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_system_goes_to_where_other_tables_alone_were_copied_before(
    here: Any, tmp_path: Path, new_target: Callable[[str, Path], str], engine: str
) -> None:
    there = new_target(engine, tmp_path)
    assert here("copy", written(tmp_path / "any.db", CHINOOK), there, "--all-tables").status == 0
    assert here("migrate", write_bank(tmp_path / "legacy.db"), "accounts.db").status == 0
    copied = here("copy", "accounts.db", there)
    assert copied.status == 0, copied.err
    back = here("copy", there, tmp_path / "back.db", "--all-tables")
    assert back.status == 0, back.err
    brought, first = contents(tmp_path / "back.db"), contents(tmp_path / "any.db")
    assert {name: brought[name] for name in first} == first
    moved = ("product", "customer", "account", "transaction")
    system = contents(tmp_path / "accounts.db")
    assert {name: brought[name] for name in moved} == {name: system[name] for name in moved}
