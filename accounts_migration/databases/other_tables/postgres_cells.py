"""The cells of any table as PostgreSQL reads, declares and stores them.

Here: SQL and Arrow of one column. Not here: which form a column has (`postgres_columns`).
"""

import pyarrow as pa

from accounts_migration.databases.other_tables.defaults import Default, fitting
from accounts_migration.databases.other_tables.forms import MOST_DIGITS, ColumnType, Form, Reading
from accounts_migration.databases.sql_text import literal

_NOW = "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"
_SECOND = f"date_trunc('second', {_NOW})"

BEYOND = "(NOT isfinite({0}) OR {0} < '0001-01-01' OR {0} >= '10000-01-01')"
"""The condition that a date or a moment is none of the years 1 to 9999: its text would be NULL, or that of another."""


def reading(column: str, kind: ColumnType) -> Reading:
    """Return how a cell of this type is read from the column, given as quoted SQL."""
    if kind.form is Form.DECIMAL:
        # of what is no number the scale is NULL
        fits = f"scale(trim_scale({column})) <= {kind.scale} AND abs({column}) < 1e{MOST_DIGITS - kind.scale}"
        odd = f"(CASE WHEN {column} IS NULL OR {fits} THEN 0 ELSE 1 END)"
        return Reading(f"CASE WHEN {fits} THEN trim_scale({column})::text END", odd)
    value = _VALUES[kind.form].format(column)
    if kind.form in (Form.DATE, Form.MOMENT):
        return Reading(value, f"(CASE WHEN {BEYOND.format(column)} THEN 1 ELSE 0 END)")
    return Reading(value)


_VALUES = {
    Form.INTEGER: "{0}::bigint",
    Form.BOOLEAN: "{0}::int::bigint",
    Form.REAL: "{0}::double precision",
    Form.TEXT: "{0}::text",
    Form.DATE: "to_char({0}, 'YYYY-MM-DD')",
    # a fraction only where there is one, as SQLite's own functions write a moment
    Form.MOMENT: "to_char({0}, CASE WHEN {0} = date_trunc('second', {0}) THEN 'YYYY-MM-DD HH24:MI:SS'"
    " ELSE 'YYYY-MM-DD HH24:MI:SS.US' END)",
    Form.BYTES: "{0}::bytea",
}


def declared(kind: ColumnType) -> str:
    """Return the column type that PostgreSQL's schema is to declare."""
    if kind.form is Form.DECIMAL:
        return "numeric" if kind.precision is None else f"numeric({kind.precision},{kind.scale})"
    if kind.form is Form.TEXT:
        return "text" if kind.length is None else f"varchar({kind.length})"
    return {
        Form.INTEGER: "bigint",
        Form.BOOLEAN: "boolean",
        Form.REAL: "double precision",
        Form.DATE: "date",
        Form.MOMENT: "timestamp",
        Form.BYTES: "bytea",
    }[kind.form]


def stored_type(kind: ColumnType) -> pa.DataType:
    """Return the Arrow type in which a column is written."""
    stored = {Form.BOOLEAN: pa.bool_(), Form.DATE: pa.date32(), Form.MOMENT: pa.timestamp("us")}
    return stored.get(kind.form, kind.arrow_type)


def encode(cells: pa.Array, kind: ColumnType) -> pa.Array:
    """Return cells as they are copied in."""
    return cells.cast(stored_type(kind))


def default(wanted: Default, kind: ColumnType) -> str | None:
    """Return the SQL of a default; None where the column cannot have it."""
    if wanted.now is not None:
        if kind.form is Form.TEXT:
            return f"to_char({_SECOND if wanted.now == 'moment' else _NOW}, '{_FORMATS[wanted.now]}')"
        moments = {Form.DATE: f"{_NOW}::date", Form.MOMENT: _SECOND if wanted.now == "moment" else f"{_NOW}::date"}
        return moments.get(kind.form)
    value = fitting(wanted, kind)
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    if kind.form is Form.BOOLEAN and value is not None:
        return "true" if value == "1" else "false"
    if value is None or kind.form in (Form.INTEGER, Form.DECIMAL, Form.REAL):
        return value
    return literal(value)


_FORMATS = {"moment": "YYYY-MM-DD HH24:MI:SS", "date": "YYYY-MM-DD"}
