"""Rows between their canonical Arrow types and what a PostgreSQL target stores (contract sections 4 and 6).

Here: money and rates as `numeric`, both ways, exactly and without a Python step per row; all other kinds
travel as they are. Not here: SQL that writes.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from accounts_migration.databases.inexact_cells import INEXACT, Notes, notes_column
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_schema import TABLES, WHOLE_DIGITS_OF_MONEY, Kind, kind_of

_DECIMAL = {Kind.MONEY: pa.decimal128(WHOLE_DIGITS_OF_MONEY + 2, 2), Kind.RATE: pa.decimal128(9, 6)}


def stored_type(kind: Kind) -> pa.DataType:
    """Return the Arrow type in which a column of this kind is written to PostgreSQL."""
    return _DECIMAL.get(kind, kind.arrow_type)


def encode(column: pa.Array, kind: Kind) -> pa.Array:
    """Return a canonical column as it is copied in: integers of 1/scale become decimals of that scale."""
    return _decimal(column, _DECIMAL[kind]) if kind in _DECIMAL else column


def _decimal(units: pa.Array, decimal: pa.Decimal128Type) -> pa.Array:
    """Widen int64 to decimal128: the low 8 bytes are the number, the high ones repeat its sign."""
    numbers = (units.fill_null(0) if units.null_count else units).to_numpy()
    halves = np.empty((len(numbers), 2), dtype="<i8")
    halves[:, 0] = numbers
    halves[:, 1] = numbers >> 63
    validity = None
    if units.null_count:
        present = units.is_valid().to_numpy(zero_copy_only=False)
        validity = pa.py_buffer(np.packbits(present, bitorder="little"))
    return pa.Array.from_buffers(decimal, len(numbers), [validity, pa.py_buffer(halves)])


def select(table: str, condition: str) -> str:
    """Return the query whose rows `decode` reads."""
    values = ", ".join(_value(column) for column in TABLES[table].columns)
    return f"SELECT {values} FROM {quoted(table)} AS t WHERE {condition}"  # names from our own schema


def _value(column: sa.Column[Any]) -> str:
    name, kind = quoted(column.name), kind_of(column)
    if kind not in _DECIMAL:
        return name
    # NaN cannot become an integer; it is shown as missing where nothing may be missing
    return f"CASE WHEN {name} = 'NaN' THEN NULL ELSE ({name} * {kind.scale})::bigint END AS {name}"


def decode(table: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows of `select` in canonical types, with the further column `inexact` (string)."""
    notes: Notes = {}
    columns = []
    for column, values in zip(TABLES[table].columns, batch.columns, strict=True):
        kind = kind_of(column)
        if kind in _DECIMAL and not column.nullable and values.null_count:
            for place in pc.indices_nonzero(pc.is_null(values)).to_pylist():
                notes.setdefault(place, {})[column.name] = "NaN or NULL"
        columns.append(values if values.type == kind.arrow_type else values.cast(kind.arrow_type))
    names = [*(column.name for column in TABLES[table].columns), INEXACT]
    return pa.RecordBatch.from_arrays([*columns, notes_column(notes, batch.num_rows)], names=names)
