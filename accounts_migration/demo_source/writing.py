"""The file of the demo: its tables filled, the planned rows spoiled on the way.

Here: `write_demo_source`. Not here: the plausible rows (`bank`, `movements`), and what is planted (`planting`).
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from accounts_migration.demo_source.bank import NUMBERS, Bank
from accounts_migration.demo_source.kinds import KINDS, Kind, Row
from accounts_migration.demo_source.movements import Movements
from accounts_migration.demo_source.tables import LEGACY_TABLES, key_column
from accounts_migration.errors import MigrationError
from accounts_migration.legacy_values import UndecodableText

_ROWS_AT_ONCE = 100_000  # even: a defect and the row before it are written together


@dataclass(frozen=True)
class DemoSummary:
    """What was written: rows by entity, and how many were planted by (entity, name of the kind)."""

    rows: Mapping[str, int]
    planted: Mapping[tuple[str, str], int]

    def records(self) -> Counter[tuple[str, str, str]]:
        """Return the records that `migration_defect` must hold, by (entity, action, reason)."""
        expected: Counter[tuple[str, str, str]] = Counter()
        for kind in KINDS:
            count = self.planted.get((kind.entity, kind.name), 0) * kind.records
            if count:
                expected[kind.entity, kind.action, kind.reason] += count
        return expected

    def rejected_rows(self, entity: str) -> int:
        """Return the number of rows of the entity that the migration must reject."""
        return sum(
            self.planted.get((entity, kind.name), 0) * kind.rejected_rows for kind in KINDS if kind.entity == entity
        )


def write_demo_source(
    path: Path,
    *,
    accounts: int,
    transactions: int,
    dirt: float,
    seed: int,
    years: int = 5,
    products: int = 20,
) -> DemoSummary:
    """Write a legacy SQLite database (contract section 2) of a bank, its movements in the order of time.

    The same arguments give the same rows. About 0.7 customers stand for one account. Without dirt every row
    is correct and active. With it, each kind is planted at least once where the rows allow: at most 0.8
    percent of an entity's rows (or the share `dirt`, if that is more) are made to be rejected, and at most
    every second row is planted; so 20 products have none to reject. No planted parent drags unplanted
    children along.

    Args:
        path: The file to write; it must not exist.
        accounts: Number of accounts, at least 1.
        transactions: Number of transactions.
        dirt: Share of rows to spoil, 0 to 1.
        seed: Chooses the random numbers.
        years: How many years of movements, up to the end of 2024.
        products: Number of products, at least 1.

    Raises:
        MigrationError: The file exists, its folder does not, or a number is not allowed.
    """
    what = f"Cannot write the demo source {path}"
    if accounts < 1 or products < 1 or transactions < 0 or years < 1 or not 0 <= dirt <= 1:
        raise MigrationError(
            what,
            why="it needs at least 1 account, product and year, no negative number, and dirt from 0 to 1",
            remedy="Change these numbers",
        )
    if path.exists():
        raise MigrationError(what, why="the file exists", remedy="Name a file that does not exist, or remove this one")
    if not path.parent.is_dir():
        raise MigrationError(what, why=f"there is no folder {path.parent}", remedy="Create it, or name another path")
    bank = Bank(accounts, transactions, dirt, seed, years, products)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
            _write(connection, bank)
        unfinished.rename(path)
    except (OSError, sqlite3.Error) as error:
        raise MigrationError(what, why=str(error), remedy="Check the folder's rights and its free space") from error
    finally:
        unfinished.unlink(missing_ok=True)
    planted = Counter((kind.entity, kind.name) for plan in bank.plans.values() for kind in plan.values())
    return DemoSummary(rows=bank.rows, planted=planted)


def _write(connection: sqlite3.Connection, bank: Bank) -> None:
    """Create and fill the four tables; accounts last, with the balances that their movements left."""
    movements = Movements(bank)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    for entity, columns in LEGACY_TABLES.items():
        declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        connection.execute(f"CREATE TABLE legacy_{entity}s ({declared})")
    for entity, rows_of in (
        ("product", bank.product_rows),
        ("customer", bank.customer_rows),
        ("transaction", movements.rows),
        ("account", movements.account_rows),
    ):
        _fill(connection, bank, entity, rows_of)
    connection.execute("COMMIT")


def _fill(
    connection: sqlite3.Connection, bank: Bank, entity: str, rows_of: Callable[[int, int], Iterator[Any]]
) -> None:
    marks = ", ".join("?" * len(LEGACY_TABLES[entity]))
    insert = f"INSERT INTO legacy_{entity}s VALUES ({marks})"  # noqa: S608  # names from our own table
    plan, total = bank.plans[entity], bank.rows[entity]
    planted: dict[int, tuple[int, ...]] = dict.fromkeys(range(0, total, _ROWS_AT_ONCE), ())
    planted |= {
        start: tuple(places) for start, places in groupby(sorted(plan), lambda place: place - place % _ROWS_AT_ONCE)
    }
    for start, places in planted.items():
        stop = min(total, start + _ROWS_AT_ONCE)
        rows = rows_of(start, stop)
        if places:
            rows = iter(_spoiled(bank, entity, list(rows), start, places))
        connection.executemany(insert, rows)
        for position in places:
            _make_undecodable(connection, entity, position, plan[position])


def _spoiled(bank: Bank, entity: str, rows: list[Any], start: int, places: Sequence[int]) -> list[Any]:
    columns = tuple(LEGACY_TABLES[entity])
    for position in places:
        kind = bank.plans[entity][position]
        before, row = (dict(zip(columns, rows[p - start], strict=True)) for p in (position - 1, position))
        if kind.of_row_before == "copy":
            row = before
        if kind.of_row_before == "key":
            row[columns[0]] = before[columns[0]]
        if kind.rejected_parent:
            row |= _rejected_reference(bank, kind.rejected_parent, position)
        row |= {column: change(row) if callable(change) else change for column, change in kind.changes.items()}
        rows[position - start] = tuple(
            value.raw if isinstance(value, UndecodableText) else value for value in row.values()
        )
    return rows


def _rejected_reference(bank: Bank, parent: str, position: int) -> Row:
    candidates = bank.rejected[parent]
    return {key_column(parent): int(NUMBERS[parent](candidates[position % len(candidates)]))}


def _make_undecodable(connection: sqlite3.Connection, entity: str, position: int, kind: Kind) -> None:
    """Turn a blob into TEXT of the same bytes: Python cannot write TEXT that is not UTF-8 directly."""
    for column, change in kind.changes.items():
        if isinstance(change, UndecodableText):
            connection.execute(
                f"UPDATE legacy_{entity}s SET {column} = CAST({column} AS TEXT) WHERE rowid = ?",  # noqa: S608
                (position + 1,),
            )
