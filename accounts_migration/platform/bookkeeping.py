"""The bookkeeping of migrations as it stands in a snapshot, and whether it arrived.

Here: its rows in canonical types, and the digest by which both sides are compared. Not here: writing it
(`accounts_migration.databases.target_interface`).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from accounts_migration.databases.legacy_source import LegacyTable
from accounts_migration.databases.platform_snapshot import BOOKKEEPING_TABLES, read_book, standing_books
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target_schema import TABLES, Kind, canonical_schema, kind_of
from accounts_migration.entities import columns
from accounts_migration.entities.columns import LegacyColumn, ParsedColumn
from accounts_migration.entities.values import REASONS
from accounts_migration.errors import MigrationError
from accounts_migration.legacy_values import LegacyValue

_PARSERS: dict[Kind, Callable[[LegacyColumn], ParsedColumn]] = {
    Kind.CODE: columns.text,
    Kind.TEXT: columns.text,
    Kind.COUNT: columns.whole_number,
    Kind.MOMENT: columns.date_time,
}

_MISSING = REASONS.index("MISSING_VALUE")


def carried_books(snapshot: Snapshot) -> list[LegacyTable]:
    """Return the tables of the migration's bookkeeping that the snapshot holds: all of them, or none.

    Raises:
        MigrationError: Some are missing, or lack a column.
    """
    standing = standing_books(snapshot.path)
    missing = [table.name for table in BOOKKEEPING_TABLES if table not in standing]
    if standing and missing:
        raise MigrationError(
            f"Cannot read the bookkeeping of migrations in {snapshot.source}",
            why=f"missing, or without all columns: {', '.join(missing)}",
            remedy="Bring these tables back from a backup of that database, then copy again",
        )
    return standing


def read_books(snapshot: Snapshot, table: LegacyTable) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a bookkeeping table in the types of `target_schema.canonical_schema`.

    Raises:
        MigrationError: A value cannot be one of the column; names the column, never the value.
    """
    schema = canonical_schema(table.name)
    for rows in read_book(snapshot.path, table):
        columns_of_rows = zip(TABLES[table.name].columns, zip(*rows, strict=True), strict=True)
        cells = [_parsed(snapshot, column, values) for column, values in columns_of_rows]
        yield pa.RecordBatch.from_arrays(cells, schema=schema)


def _parsed(snapshot: Snapshot, column: sa.Column[Any], values: Sequence[LegacyValue]) -> pa.Array:
    given = LegacyColumn(pa.nulls(len(values), pa.string()), dict(enumerate(values)))
    parsed = _PARSERS[kind_of(column)](given)
    wrong = (parsed.faults > 0) & (parsed.faults != _MISSING)
    if not column.nullable:
        wrong |= np.asarray(pc.is_null(parsed.values))
    if wrong.any():
        raise MigrationError(
            f"Cannot carry the bookkeeping of migrations in {snapshot.source}",
            why=f"{np.count_nonzero(wrong):,} values of {column.table.name}.{column.name} cannot stand in that column",
            remedy="Somebody has changed the bookkeeping: bring these tables back from a backup, then copy again",
        )
    return parsed.values


def digest_of(rows: Iterable[pa.RecordBatch]) -> tuple[int, int]:
    """Return the number of rows, and a sum of a hash of each: equal for equal rows in whatever order."""
    count = total = 0
    for part in rows:
        for row in part.to_pylist():
            text = json.dumps(row, default=str, sort_keys=True)
            total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())
            count += 1
    return count, total
