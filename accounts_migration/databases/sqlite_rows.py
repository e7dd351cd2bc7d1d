"""Rows between their canonical Arrow types and what a SQLite target stores (contract sections 4 and 6).

Here: exact money, rates, dates and date-times, both ways, without a Python step per row. Not here: SQL that
writes.

SQLite has no decimal: cents are stored as the double nearest to cents/100, which reads back as the same
decimal. What reads back as anything else (text, a third decimal, a date that is none) is not guessed at:
the cell is null and named in the column `inexact`.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from accounts_migration.databases.inexact_cells import INEXACT, Notes, notes_column
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_schema import TABLES, WHOLE_DIGITS_OF_MONEY, Kind, kind_of

_FIRST_VALUE = {Kind.MONEY: "0.0", Kind.RATE: "0.0", Kind.COUNT: "0"}
_FORM = {
    Kind.DATE: re.compile(r"\d{4}-\d\d-\d\d", re.ASCII),
    Kind.MOMENT: re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?", re.ASCII),
}


def stored_type(kind: Kind) -> pa.DataType:
    """Return the Arrow type in which a column of this kind is written to SQLite."""
    if kind in (Kind.MONEY, Kind.RATE):
        return pa.float64()
    return pa.int64() if kind is Kind.COUNT else pa.string()


def encode(column: pa.Array, kind: Kind) -> pa.Array:
    """Return a canonical column as SQLite stores it: doubles for decimals, text for dates."""
    if kind in (Kind.MONEY, Kind.RATE):
        return pc.divide(column.cast(pa.float64()), float(kind.scale))
    if kind is Kind.DATE:
        return column.cast(pa.string())
    return _moment_text(column) if kind is Kind.MOMENT else column


def _moment_text(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.timestamp("s")).cast(pa.string())
    except pa.ArrowInvalid:
        # some have a fraction of a second, and these alone show it
        seconds = column.cast(pa.timestamp("s"), safe=False)
        whole = pc.equal(seconds.cast(pa.timestamp("us")), column)
        return pc.if_else(whole, seconds.cast(pa.string()), column.cast(pa.string()))


def select(table: str, condition: str) -> str:
    """Return the query whose rows `decode` reads; its first row fixes the column types and is to be dropped.

    The driver takes a column's type from the first rows it sees. The last column is null for a row whose
    every value is of the right storage class, and else a JSON object of the column's names to the odd
    values as SQL literals.
    """
    columns = list(TABLES[table].columns)
    values = [_value(column) for column in columns]
    sound = " AND ".join(_is_sound(column) for column in columns)
    odd = ", ".join(
        f"'{column.name}', iif({_is_sound(column)}, NULL, quote({quoted(column.name)}))" for column in columns
    )
    first = ", ".join(_FIRST_VALUE.get(kind_of(column), "''") for column in columns)
    return (
        f"SELECT {first}, '' UNION ALL SELECT {', '.join(values)},"  # names from our own schema
        f" iif({sound}, NULL, json_object({odd})) FROM {quoted(table)} AS t WHERE {condition}"
    )


def _value(column: sa.Column[Any]) -> str:
    name, kind = quoted(column.name), kind_of(column)
    if kind in (Kind.MONEY, Kind.RATE):
        # whole amounts are stored as INTEGER
        return f"{name} + 0.0"
    return f"CAST({name} AS {'INTEGER' if kind is Kind.COUNT else 'TEXT'})"


def _is_sound(column: sa.Column[Any]) -> str:
    name, kind = quoted(column.name), kind_of(column)
    if kind in (Kind.MONEY, Kind.RATE):
        sound = f"({name} + 0.0 IS {name})"
        return sound if column.nullable else f"({sound} AND {name} IS NOT NULL)"
    if kind is Kind.COUNT:
        return f"(typeof({name}) = 'integer' OR {name} IS NULL)"
    # values compare by their class first, and this is several times quicker than `typeof`: text lies between '' and x''
    return f"((+{name} >= '' COLLATE BINARY AND +{name} < x'') OR {name} IS NULL)"


def decode(table: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows of `select` in canonical types, with the further column `inexact` (string)."""
    notes = _notes_of(batch.column(batch.num_columns - 1))
    columns = []
    for column, stored in zip(TABLES[table].columns, batch.columns[:-1], strict=True):
        values = _without_noted(stored, column.name, notes)
        columns.append(_decoder(kind_of(column))(values, column.name, notes))
    names = [*(column.name for column in TABLES[table].columns), INEXACT]
    return pa.RecordBatch.from_arrays([*columns, notes_column(notes, batch.num_rows)], names=names)


def _decoder(kind: Kind) -> Callable[[pa.Array, str, Notes], pa.Array]:
    if kind in (Kind.MONEY, Kind.RATE):
        return lambda values, name, notes: _units(values, kind.scale, name, notes)
    if kind in (Kind.DATE, Kind.MOMENT):
        return lambda values, name, notes: _dates(values, kind, name, notes)
    return lambda values, _name, _notes: values


def _notes_of(odd: pa.Array) -> Notes:
    notes: Notes = {}
    for place in pc.indices_nonzero(pc.is_valid(odd)).to_pylist():
        cells = json.loads(odd[place].as_py())
        notes[place] = {name: value for name, value in cells.items() if value is not None}
    return notes


def _without_noted(values: pa.Array, name: str, notes: Notes) -> pa.Array:
    places = [place for place, cells in notes.items() if name in cells]
    if not places:
        return values
    mask = np.zeros(len(values), dtype=bool)
    mask[places] = True
    return pc.if_else(pa.array(mask), pa.scalar(None, values.type), values)


def _units(values: pa.Array, scale: int, name: str, notes: Notes) -> pa.Array:
    """Return doubles as integers of 1/scale where they are exactly that decimal's double."""
    reals = values.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore", over="ignore"):
        units = np.rint(reals * scale)
        exact = (units / scale == reals) & (np.abs(reals) < 10**WHOLE_DIGITS_OF_MONEY)
    present = values.is_valid().to_numpy(zero_copy_only=False)
    for place in np.flatnonzero(~exact & present).tolist():
        notes.setdefault(place, {})[name] = repr(float(reals[place]))
    return pa.array(np.where(exact, units, 0).astype(np.int64), mask=~exact)


def _dates(values: pa.Array, kind: Kind, name: str, notes: Notes) -> pa.Array:
    if _may_be_canonical(values, kind):
        try:
            return values.cast(kind.arrow_type)
        except pa.ArrowInvalid:
            pass
    parsed: list[datetime | None] = []
    for place, text in enumerate(values.to_pylist()):
        moment = _parsed(text, kind) if text is not None else None
        if text is not None and moment is None:
            notes.setdefault(place, {})[name] = text
        parsed.append(moment)
    return pa.array(parsed, pa.timestamp("us")).cast(kind.arrow_type)


def _may_be_canonical(values: pa.Array, kind: Kind) -> bool:
    """Return False where a text has a length or a T that our own dates never have, though Arrow reads it."""
    lengths = pc.binary_length(values)
    if kind is Kind.DATE:
        return bool(pc.all(pc.equal(lengths, 10), min_count=0).as_py())
    right = pc.or_(pc.equal(lengths, 19), pc.equal(lengths, 26))
    return bool(pc.all(right, min_count=0).as_py()) and not pc.any(pc.match_substring(values, "T"), min_count=0).as_py()


def _parsed(text: str, kind: Kind) -> datetime | None:
    if not _FORM[kind].fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
