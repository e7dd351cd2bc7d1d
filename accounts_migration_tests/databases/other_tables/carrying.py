"""Carrying a database as a caller does: the inventory, every table, what comes after, the proof.

Here: the steps in their order, and reading SQLite's cells as they are stored. Not here: anything that is asserted.
"""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from accounts_migration.databases.bookkeeping import Snapshot
from accounts_migration.databases.books import COPY
from accounts_migration.databases.other_tables import (
    Inventory,
    Origin,
    TableCompared,
    TableCopied,
    compare,
    copy_table,
    finish,
    lost_parents,
    take_inventory,
)
from accounts_migration.databases.target import open_target
from accounts_migration.databases.target_schema import TABLES
from accounts_migration.entities.policies import Policies

SNAPSHOT = Snapshot("copy-1", "/origin.db", "ab" * 32, datetime(2025, 1, 2, 3, 4, 5))
BESIDES = (*TABLES, "alembic_version")


@dataclass(frozen=True)
class Carried:
    """What each step said."""

    inventory: Inventory
    copied: list[TableCopied]
    done: list[str]
    compared: list[TableCompared]

    @property
    def roads(self) -> list[str]:
        """What was done with each table."""
        return [one.road for one in self.copied]

    @property
    def faults(self) -> dict[str, list[str]]:
        """The tables that are not equal, with what is wrong."""
        return {one.table: [*one.faults, *map(str, one.examples)] for one in self.compared if not one.is_equal}


def carry(origin: Origin, url: str, *, max_reject_rate: float = 0.0) -> Carried:
    """Carry all other tables of a database into a target."""
    policies = Policies(max_reject_rate=max_reject_rate)
    with open_target(url, COPY) as target, target.lock():
        target.prepare()
        target.constrain()
        inventory = take_inventory(origin, target.engine, besides=BESIDES)
        copied = {
            table.name: copy_table(table, origin, target, SNAPSHOT, allowed=policies.most_rejects(table.rows))
            for table in inventory.tables
        }
        lost = lost_parents(inventory, copied, target)
        copied |= {
            table.name: copy_table(
                table,
                origin,
                target,
                SNAPSHOT,
                allowed=policies.most_rejects(table.rows),
                anew=True,
                lost=lost[table.name],
            )
            for table in inventory.tables
            if table.name in lost
        }
        done = finish(inventory, target)
        return Carried(inventory, list(copied.values()), done, compare(inventory, origin, target, lost))


def origin_of(url: str) -> Origin:
    """Return the origin that a target is for the way back."""
    return Origin(url) if url.startswith("postgres") else Origin(Path(url))


def write_sqlite(path: Path, script: str) -> Origin:
    """Write a SQLite database by a script; return it as an origin."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(script)
    return Origin(path)


Cell = tuple[str, object]
"""A storage class and a value, text as bytes."""


def cells(path: Path, table: str, columns: Mapping[str, str]) -> Counter[tuple[tuple[str, Cell], ...]]:
    """Return a table's rows as SQLite stores them; `columns` are its columns and the names to give them."""
    quoted = {'"' + name.replace('"', '""') + '"': shown for name, shown in columns.items()}
    pairs = ", ".join(f"typeof({name}), {name}" for name in quoted)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        rows = connection.execute(f'SELECT {pairs} FROM "{table.replace(chr(34), chr(34) * 2)}"').fetchall()  # noqa: S608
    shown = list(quoted.values())
    return Counter(
        tuple((name, (row[2 * place].decode(), row[2 * place + 1])) for place, name in enumerate(shown)) for row in rows
    )
