"""What a column of a SQLite table holds, and what it can therefore become (the table in `forms`).

Here: a column as it is declared and as it was scanned, the questions of the scan, and the choices that its answers
leave. Not here: asking them (`sqlite_origin`), and how cells are read (`sqlite_cells`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from accounts_migration.databases.other_tables import sqlite_cells
from accounts_migration.databases.other_tables.forms import (
    EXACT_DIGITS,
    LARGEST_EXACT_REAL,
    MOST_DIGITS,
    ColumnType,
    Form,
    Reading,
)
from accounts_migration.databases.other_tables.structure import Choice
from accounts_migration.databases.sql_text import quoted

CLASSES = ("integer", "real", "text", "blob")
"""SQLite's storage classes but that of NULL."""

_SIZES = re.compile(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_DECIMAL = re.compile("DECIMAL|NUMERIC|MONEY", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Declared:
    """A column as the schema has it; `in_key` is its place in the primary key, from 1."""

    name: str
    type: str
    nullable: bool
    default: str | None
    in_key: int
    is_generated: bool

    @property
    def decimal(self) -> tuple[int | None, int] | None:
        """Precision and scale, where it is declared to be a decimal."""
        if not _DECIMAL.search(self.type):
            return None
        sizes = _SIZES.search(self.type)
        precision, scale = (int(sizes[1]), int(sizes[2] or 0)) if sizes else (None, 0)
        return (precision, scale) if precision is None or scale <= precision <= MOST_DIGITS else (None, 0)

    @property
    def length(self) -> int | None:
        """The characters that a declaration like NVARCHAR(160) allows."""
        sizes = _SIZES.search(self.type)
        return int(sizes[1]) or None if sizes and "CHAR" in self.type.upper() and sizes[2] is None else None

    @property
    def form(self) -> Form:
        """The form that its declaration asks for, which its values need not have."""
        name = self.type.upper()
        for words, form in (
            (("BOOL",), Form.BOOLEAN),
            (("INT",), Form.INTEGER),
            (("CHAR", "CLOB", "TEXT"), Form.TEXT),
            (("BLOB",), Form.BYTES),
            (("REAL", "FLOA", "DOUB"), Form.REAL),
            (("DATETIME", "TIMESTAMP"), Form.MOMENT),
        ):
            if any(word in name for word in words):
                return form
        if name == "DATE":
            return Form.DATE
        return Form.DECIMAL if _DECIMAL.search(name) else Form.TEXT

    @property
    def is_date(self) -> bool:
        """Whether it is declared to hold dates or moments."""
        return self.form in (Form.DATE, Form.MOMENT)


@dataclass(frozen=True, slots=True)
class Observed:
    """What a column holds: values by storage class, and the answers to `questions`."""

    counts: Mapping[str, int]
    rows: int
    answers: Mapping[str, int]

    @property
    def classes(self) -> frozenset[str]:
        """The storage classes of its values."""
        return frozenset(name for name in CLASSES if self.counts[name])

    def never(self, question: str) -> bool:
        """Return whether no value is of that kind."""
        return not self.answers.get(question)


def questions(declared: Declared, observed: Observed) -> dict[str, str]:
    """Return what else must be known of a column to choose its form: name -> aggregate."""
    column, classes = quoted(declared.name), observed.classes
    questions: dict[str, str] = {}
    if classes & {"text", "blob"}:
        # length() of a blob reads none of it
        size = f"iif(typeof({column}) = 'blob', length({column}), length(CAST({column} AS BLOB)))"
        # as text, a blob takes two digits for each byte
        questions["longest"] = f"max({size})" if len(classes) == 1 else f"2 * max({size})"
        questions["characters"] = f"max(iif(typeof({column}) = 'text', length({column}), 0))"
    if classes == {"text"} and declared.is_date:
        questions["no date"] = f"sum({column} IS NOT NULL AND NOT ifnull({_is_date(column)}, 0))"
        questions["no moment"] = f"sum({column} IS NOT NULL AND NOT ifnull({_is_moment(column)}, 0))"
    if classes == {"integer"} and declared.form is Form.BOOLEAN:
        questions["no boolean"] = f"sum({column} NOT IN (0, 1))"
    if classes and classes <= {"integer", "real"}:
        digits = sqlite_cells.shortest(column)
        inexact = f"(CAST({digits} AS REAL) <> {column} OR {digits} GLOB '*[a-zA-Z]*')"
        questions["inexact"] = f"sum(typeof({column}) = 'real' AND {inexact})"
        questions["decimals"] = f"max(iif(typeof({column}) = 'real', {sqlite_cells.decimals(column)}, 0))"
        half = LARGEST_EXACT_REAL // 2
        questions["large"] = f"sum(typeof({column}) = 'integer' AND abs({column} / 2) > {half})"
        precision, scale = declared.decimal or (None, 0)
        if precision is not None:
            limit = f"1e{precision - scale}"
            questions["too large"] = f"sum({column} >= {limit} OR {column} <= -{limit})"
    return questions


def _is_date(column: str) -> str:
    return f"{column} GLOB '{_DATE}' AND date({column}) = {column} AND {column} > '0001'"


def _is_moment(column: str) -> str:
    """Return the condition that a text is a moment which PostgreSQL writes back in the same way."""
    second = f"substr({column}, 1, 19)"
    fraction = (
        f"(length({column}) = 26 AND substr({column}, 20) GLOB '.{'[0-9]' * 6}' AND substr({column}, 20) > '.000000')"
    )
    real = f"strftime('%Y-%m-%d %H:%M:%S', {second}) = {second} AND {column} > '0001'"
    return (
        f"{second} GLOB '{_DATE} [0-2][0-9]:[0-5][0-9]:[0-5][0-9]' AND {real} AND (length({column}) = 19 OR {fraction})"
    )


_DATE = "[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]"


def choices(declared: Declared, observed: Observed) -> Iterator[Choice]:
    """Yield what a column may become, the best first; text is always possible."""
    column, classes = quoted(declared.name), observed.classes
    if not classes:
        for form in dict.fromkeys((declared.form, *Form)):
            yield _typed(column, _declared_type(declared, form))
        return
    best = _best(declared, observed)
    if best is not None:
        yield Choice(best, sqlite_cells.reading(column, best), _departure(declared, best))
    if classes == {"text"}:
        if best is None or best.form is not Form.TEXT:
            yield _typed(column, _text_type(declared, observed))
        return
    held = ", ".join(f"{observed.counts[name]:,} {name.upper()}" for name in CLASSES if observed.counts[name])
    yield Choice(
        ColumnType(Form.TEXT), Reading(sqlite_cells.folded_text(column)), f"holds {held}: each arrives as its text"
    )


def _typed(column: str, kind: ColumnType) -> Choice:
    return Choice(kind, sqlite_cells.reading(column, kind))


def _departure(declared: Declared, kind: ColumnType) -> str:
    """Return how a type departs from the one that was declared; empty where it does not."""
    if declared.length is not None and kind.form is Form.TEXT and kind.length is None:
        return f"some values are longer than {declared.length}"
    precision, scale = declared.decimal or (None, 0)
    if precision is not None and kind.precision is None:
        return f"not all values fit numeric({precision},{scale})"
    if declared.form in (Form.BOOLEAN, Form.DATE, Form.MOMENT) and kind.form not in (declared.form, Form.DATE):
        return f"not every value is a {declared.form.value}"
    return ""


def _declared_type(declared: Declared, form: Form) -> ColumnType:
    if form is Form.DECIMAL:
        precision, scale = declared.decimal or (None, 0)
        return ColumnType(form, precision, scale)
    return ColumnType(form, length=declared.length if form is Form.TEXT else None)


def _text_type(declared: Declared, observed: Observed) -> ColumnType:
    fits = declared.length is not None and observed.answers["characters"] <= declared.length
    return ColumnType(Form.TEXT, length=declared.length if fits else None)


def _best(declared: Declared, observed: Observed) -> ColumnType | None:
    """Return the type that holds every value as it is; None where only text does."""
    classes = observed.classes
    if classes == {"text"}:
        if declared.is_date and observed.never("no date"):
            return ColumnType(Form.DATE)
        if declared.is_date and observed.never("no moment"):
            return ColumnType(Form.MOMENT)
        return _text_type(declared, observed)
    if classes == {"blob"}:
        return ColumnType(Form.BYTES)
    return _number(declared, observed) if classes <= {"integer", "real"} else None


def _number(declared: Declared, observed: Observed) -> ColumnType | None:
    classes = observed.classes
    if classes == {"integer"} and declared.form is Form.BOOLEAN and observed.never("no boolean"):
        return ColumnType(Form.BOOLEAN)
    wants_decimal = declared.decimal is not None or classes == {"integer", "real"}
    if wants_decimal and declared.form is not Form.REAL and observed.never("inexact"):
        precision, scale = declared.decimal or (None, 0)
        decimals = observed.answers.get("decimals", 0)
        if precision is not None and observed.never("too large") and decimals <= scale:
            return ColumnType(Form.DECIMAL, precision, scale)
        if decimals <= EXACT_DIGITS:
            return ColumnType(Form.DECIMAL, None, decimals)
    if classes == {"integer"}:
        return ColumnType(Form.INTEGER)
    return ColumnType(Form.REAL) if observed.never("large") else None
