"""The defaults of columns that both engines understand.

Here: reading a default off a schema, as a value or as the present time. Not here: how an engine writes one
(`sqlite_cells`, `postgres_cells`); what is neither cannot be carried and is listed by who reads it.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Literal

from accounts_migration.databases.other_tables.forms import LARGEST_INTEGER, ColumnType, Form

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TEXT = re.compile(r"'((?:[^']|'')*)'")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_BLOB = re.compile(r"[xX]'((?:[0-9a-fA-F]{2})*)'")
_BYTEA = re.compile(r"'\\x((?:[0-9a-f]{2})*)'::bytea")
_CAST = re.compile(r"::[\w\s\"]+(\(\d+(,\s*\d+)?\))?(\[\])?$")

Moment = Literal["date", "moment"]

MOMENTS_OF_SQLITE: dict[str, Moment] = {"CURRENT_TIMESTAMP": "moment", "CURRENT_DATE": "date"}
MOMENTS_OF_POSTGRES: dict[str, Moment] = {
    "date_trunc('second'::text, (CURRENT_TIMESTAMP AT TIME ZONE 'UTC'::text))": "moment",
    "((CURRENT_TIMESTAMP AT TIME ZONE 'UTC'::text))::date": "date",
    "to_char(date_trunc('second'::text, (CURRENT_TIMESTAMP AT TIME ZONE 'UTC'::text)), "
    "'YYYY-MM-DD HH24:MI:SS'::text)": "moment",
    "to_char((CURRENT_TIMESTAMP AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD'::text)": "date",
}


@dataclass(frozen=True, slots=True)
class Default:
    """A default: the text of a number or text, bytes, or the present date or time (UTC, whole seconds)."""

    value: str | bytes | None = None
    now: Moment | None = None


def of_sqlite(text: str) -> Default | None:
    """Return the default that SQLite's schema writes so; None for an expression."""
    bare = text.strip()
    if bare.upper() in MOMENTS_OF_SQLITE:
        return Default(now=MOMENTS_OF_SQLITE[bare.upper()])
    if bare.upper() in ("TRUE", "FALSE"):
        return Default("1" if bare.upper() == "TRUE" else "0")
    return _value(bare)


def of_postgres(text: str) -> Default | None:
    """Return the default that PostgreSQL's schema writes so; None for an expression."""
    if text in MOMENTS_OF_POSTGRES:
        return Default(now=MOMENTS_OF_POSTGRES[text])
    if text in ("true", "false"):
        return Default("1" if text == "true" else "0")
    blob = _BYTEA.fullmatch(text)
    if blob:
        return Default(bytes.fromhex(blob[1]))
    bare = text
    while cast := _CAST.search(bare):
        bare = bare[: cast.start()].strip()
        if bare.startswith("(") and bare.endswith(")"):
            bare = bare[1:-1]
    return _value(bare)


def is_null(text: str) -> bool:
    """Return whether a schema's default says what having none says."""
    return _CAST.sub("", text).strip().upper() == "NULL"


def _value(bare: str) -> Default | None:
    blob = _BLOB.fullmatch(bare)
    if blob:
        return Default(bytes.fromhex(blob[1]))
    for pattern, quote in ((_TEXT, "'"), (_QUOTED, '"')):
        text = pattern.fullmatch(bare)
        if text:
            return Default(text[1].replace(quote * 2, quote))
    return Default(bare) if _NUMBER.fullmatch(bare) else None


def fitting(default: Default, column: ColumnType) -> str | bytes | None:
    """Return the default's value as a column of this type holds it; None where it does not fit."""
    value, form = default.value, column.form
    if isinstance(value, bytes) or value is None or form is Form.BYTES:
        return value if isinstance(value, bytes) and form is Form.BYTES else None
    if form is Form.TEXT:
        return value if column.length is None or len(value) <= column.length else None
    if form in (Form.DATE, Form.MOMENT):
        return value if _is_moment(value, form) else None
    if form is Form.BOOLEAN:
        return {"1": "1", "t": "1", "true": "1", "0": "0", "f": "0", "false": "0"}.get(value.lower())
    return value.strip() if _is_number(value.strip(), column) else None


def _is_moment(value: str, form: Form) -> bool:
    if len(value) != (10 if form is Form.DATE else 19):
        return False
    try:
        return datetime.fromisoformat(value).isoformat(sep=" ").startswith(value)
    except ValueError:
        return False


def _is_number(value: str, column: ColumnType) -> bool:
    try:
        number = Decimal(value) if _NUMBER.fullmatch(value) else None
    except InvalidOperation:
        return False
    if number is None or column.form is Form.REAL:
        return number is not None
    if column.form is Form.INTEGER:
        return bool(re.fullmatch(r"[+-]?\d+", value, re.ASCII)) and abs(number) <= LARGEST_INTEGER
    if column.precision is None:
        return True
    return number == round(number, column.scale) and abs(number) < Decimal(10) ** (column.precision - column.scale)
