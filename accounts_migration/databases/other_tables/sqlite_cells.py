"""The cells of any table as SQLite reads, declares and stores them.

Here: SQL and Arrow of one column. Not here: which form a column has (`sqlite_columns`).
"""

import pyarrow as pa

from accounts_migration.databases.other_tables.defaults import Default, fitting
from accounts_migration.databases.other_tables.forms import EXACT_DIGITS, LARGEST_EXACT_REAL, ColumnType, Form, Reading
from accounts_migration.databases.sql_text import literal

FIRST_CELL = {pa.int64(): "0", pa.float64(): "0.0", pa.string(): "''", pa.binary(): "x''"}
"""The SQL of a cell that fixes a column's type: the driver takes it from what it sees first."""

_CLASSES = {
    Form.INTEGER: "'integer', 'null'",
    Form.BOOLEAN: "'integer', 'null'",
    Form.TEXT: "'text', 'null'",
    Form.DATE: "'text', 'null'",
    Form.MOMENT: "'text', 'null'",
    Form.BYTES: "'blob', 'null'",
}


def reading(column: str, kind: ColumnType) -> Reading:
    """Return how a cell of this type is read from the column, given as quoted SQL."""
    if kind.form is Form.REAL:
        too_large = f"typeof({column}) = 'integer' AND abs({column} / 2) > {LARGEST_EXACT_REAL // 2}"
        return Reading(f"{column} + 0.0", f"(typeof({column}) IN ('text', 'blob') OR {too_large})")
    if kind.form is Form.DECIMAL:
        value = decimal_text(column, kind.scale)
        return Reading(value, f"({column} IS NOT NULL AND {value} IS NULL)")
    odd = f"(typeof({column}) NOT IN ({_CLASSES[kind.form]}))"
    if kind.form is Form.BYTES:
        return Reading(f"CAST({column} AS BLOB)", odd)
    if kind.form is Form.BOOLEAN:
        return Reading(f"CAST({column} AS INTEGER)", f"({odd} OR ifnull({column} NOT IN (0, 1), 0))")
    return Reading(f"CAST({column} AS {'INTEGER' if kind.form is Form.INTEGER else 'TEXT'})", odd)


def decimal_text(column: str, scale: int) -> str:
    """Return the SQL of a number as a decimal; NULL where it is none, or has more decimals than `scale`."""
    digits = shortest(column)
    fits = f"CAST({digits} AS REAL) = {column} AND {decimals(column)} <= {scale}"
    return (
        f"CASE typeof({column}) WHEN 'integer' THEN CAST({column} AS TEXT)"
        f" WHEN 'real' THEN CASE WHEN {fits} THEN {digits} END END"
    )


def shortest(column: str) -> str:
    """Return the SQL of a REAL at 15 digits."""
    return f"printf('%.{EXACT_DIGITS}g', {column})"


def decimals(column: str) -> str:
    """Return the SQL of the number of decimals that a REAL has at 15 digits; large where it wants an exponent."""
    digits = shortest(column)
    point = f"instr({digits}, '.')"
    return f"CASE WHEN {digits} GLOB '*[a-zA-Z]*' THEN 99 WHEN {point} THEN length({digits}) - {point} ELSE 0 END"


def folded_text(column: str) -> str:
    """Return the SQL of a cell of any storage class as text: see the table in `forms`."""
    short, long = f"printf('%!.{EXACT_DIGITS}g', {column})", f"printf('%!.17g', {column})"
    real = f"CASE WHEN CAST({short} AS REAL) = {column} THEN {short} ELSE {long} END"
    return (
        f"CASE typeof({column}) WHEN 'real' THEN {real} WHEN 'blob' THEN '\\x' || lower(hex({column}))"
        f" ELSE CAST({column} AS TEXT) END"
    )


def declared(kind: ColumnType) -> str:
    """Return the column type that SQLite's schema is to declare."""
    if kind.form is Form.DECIMAL:
        return "NUMERIC" if kind.precision is None else f"NUMERIC({kind.precision},{kind.scale})"
    if kind.form is Form.TEXT:
        return "TEXT" if kind.length is None else f"VARCHAR({kind.length})"
    return {
        Form.INTEGER: "BIGINT",
        Form.BOOLEAN: "BOOLEAN",
        Form.REAL: "REAL",
        Form.DATE: "DATE",
        Form.MOMENT: "TIMESTAMP",
        Form.BYTES: "BLOB",
    }[kind.form]


def stored_type(kind: ColumnType) -> pa.DataType:
    """Return the Arrow type in which a column is written."""
    return kind.read_type


def encode(cells: pa.Array, kind: ColumnType) -> pa.Array:
    """Return cells as they are written: a decimal as text, of which a NUMERIC column makes the number itself."""
    return cells.cast(stored_type(kind))


def default(wanted: Default, kind: ColumnType) -> str | None:
    """Return the SQL of a default; None where the column cannot have it."""
    if wanted.now is not None:
        if kind.form not in (Form.TEXT, Form.DATE, Form.MOMENT):
            return None
        return "CURRENT_TIMESTAMP" if wanted.now == "moment" else "CURRENT_DATE"
    value = fitting(wanted, kind)
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if value is None or kind.form in (Form.INTEGER, Form.BOOLEAN, Form.DECIMAL, Form.REAL):
        return value
    return literal(value)
