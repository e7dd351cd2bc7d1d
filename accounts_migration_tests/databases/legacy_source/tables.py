"""Legacy tables of a few columns, written with storage classes kept, and read as the migration reads them.

Here: what the tests of the legacy source share. Not here: what must come out.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from accounts_migration.databases.legacy_source import (
    LegacyTable,
    dominant_classes,
    open_read_only,
    read_rows,
    row_id_name,
)
from accounts_migration.entities.entity import LegacyChunk
from accounts_migration.legacy_values import LegacyValue, UndecodableText

THINGS = LegacyTable("things", ("key", "value"))


def run(path: Path, *statements: str, rows: Iterable[Sequence[LegacyValue]] = (), table: str = "") -> Path:
    """Execute the statements on a SQLite file, then insert the rows, storage classes kept."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
        for row in rows:
            places = ", ".join("CAST(? AS TEXT)" if isinstance(cell, UndecodableText) else "?" for cell in row)
            cells = [cell.raw if isinstance(cell, UndecodableText) else cell for cell in row]
            connection.execute(f"INSERT INTO {table} VALUES ({places})", cells)  # noqa: S608  # our own names
    return path


def things(path: Path, rows: Iterable[Sequence[LegacyValue]], declared: str = "key, value") -> Path:
    return run(path, f"CREATE TABLE things ({declared})", rows=rows, table="things")


def read(
    path: Path, table: LegacyTable, batches: Sequence[str] | None = None, **classes: str
) -> Iterator[tuple[int, str, tuple[LegacyValue, ...]]]:
    """Yield (row, batch, cells) of a table, each cell in the storage class it came out with."""
    with open_read_only(path) as connection:
        chosen = dominant_classes(connection, table) | classes
        row_id = row_id_name(connection, table)
    for chunk in read_rows(path, table, chosen, row_id, batches):
        legacy = LegacyChunk(chunk, table.columns, row_id is not None)
        numbers, labels = chunk["row"].to_pylist(), chunk["batch"].to_pylist()
        for place in range(chunk.num_rows):
            yield numbers[place], labels[place], tuple(legacy.row(place).values())


def cells(path: Path, table: LegacyTable, **classes: str) -> list[tuple[LegacyValue, ...]]:
    return [row for _, _, row in read(path, table, **classes)]


def exactly(rows: Iterable[Sequence[LegacyValue]]) -> list[list[tuple[str, LegacyValue]]]:
    """Return the rows with the type of every cell beside it: 7, 7.0 and '7' are three values."""
    return [[(type(cell).__name__, cell) for cell in row] for row in rows]
