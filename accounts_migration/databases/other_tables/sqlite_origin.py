"""The tables of a SQLite database: their structure, and what storage classes their columns hold.

Here: SQLite's catalogue, SQLAlchemy's reflection of it, and one scan of each table that tells what its columns can
become (the table in `forms`). Not here: names and references in the target (`inventory`).
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from accounts_migration.databases.other_tables import defaults, sqlite_cells
from accounts_migration.databases.other_tables.forms import (
    EXACT_DIGITS,
    LARGEST_EXACT_REAL,
    MOST_DIGITS,
    ColumnType,
    Form,
    Reading,
)
from accounts_migration.databases.other_tables.origin import Origin
from accounts_migration.databases.other_tables.structure import (
    Choice,
    Found,
    FoundColumn,
    FoundKey,
    FoundReference,
    FoundTable,
    Identity,
    NotCarried,
    in_parts,
)
from accounts_migration.databases.session import Session
from accounts_migration.databases.target_schema import quoted

_COLUMNS_PER_SCAN = 50
_CLASSES = ("integer", "real", "text", "blob")
_SIZES = re.compile(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_DECIMAL = re.compile("DECIMAL|NUMERIC|MONEY", re.IGNORECASE)
_SEEN_THROUGH = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_NAME = re.compile(r""""(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|\w+""")
_CONSTRAINT = re.compile(
    rf"\bCONSTRAINT\s+({_NAME.pattern})\s+(PRIMARY\s+KEY|UNIQUE|FOREIGN\s+KEY)\s*"
    rf"\(((?:\s*(?:{_NAME.pattern})\s*,?)+)\)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    rf"(?:\bCONSTRAINT\s+(?P<name>{_NAME.pattern})\s+"
    rf"(?:FOREIGN\s+KEY\s*\((?:\s*(?:{_NAME.pattern})\s*,?)+\)\s*)?)?\bREFERENCES\b",
    re.IGNORECASE,
)
_DEFERRAL = re.compile(
    r"(?P<never>\bNOT\s+)?\bDEFERRABLE\b(?:\s+INITIALLY\s+(?P<when>DEFERRED|IMMEDIATE))?", re.IGNORECASE
)
_CLAUSES = {
    "collation": re.compile(r"""\bCOLLATE\s+["'`\[]?(?!BINARY\b)\w+""", re.IGNORECASE),
    "conflict clause": re.compile(r"\bON\s+CONFLICT\s+(?!ABORT\b)\w+", re.IGNORECASE),
    "check": re.compile(r"\bCHECK\s*\(", re.IGNORECASE),
}
_WHY = {
    "collation": "texts are compared byte by byte in the target",
    "conflict clause": "a row that breaks a constraint is refused in the target",
    "check": "it is an expression",
}
_KINDS_LEFT = {"view": "it is a query", "trigger": "it is a program"}


def find(session: Session, origin: Origin, besides: Collection[str]) -> Found:
    """Return the tables that are not in `besides`, and what is no table.

    Args:
        session: The origin, open.
        origin: The origin itself, for SQLAlchemy.
        besides: Names of tables to leave out.
    """
    left_out = {name.lower() for name in besides}
    not_carried: list[NotCarried] = []
    tables = []
    with origin.reflected(None) as inspector:
        for name, kind, has_rowid in session.execute(
            "SELECT name, type, NOT wr FROM pragma_table_list WHERE schema = 'main' ORDER BY name"
        ):
            if name.lower() in left_out or name.lower().startswith("sqlite_"):
                continue
            if kind == "table":
                tables.append(_Table(session, inspector, name, bool(has_rowid), not_carried).found())
            elif kind in ("virtual", "shadow"):
                why = "a module of SQLite makes its rows" if kind == "virtual" else "it belongs to a virtual table"
                not_carried.append(NotCarried(f"{kind} table", name, why))
    for kind, why in _KINDS_LEFT.items():
        rows = session.execute("SELECT name FROM sqlite_master WHERE type = $1 ORDER BY name", (kind,))
        not_carried += [NotCarried(kind, name, why) for (name,) in rows]
    return Found(tables, not_carried)


@dataclass(frozen=True, slots=True)
class _Declared:
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
class _Observed:
    """What a column holds: values by storage class, and the answers of `_questions`."""

    counts: Mapping[str, int]
    rows: int
    answers: Mapping[str, int]

    @property
    def classes(self) -> frozenset[str]:
        """The storage classes of its values."""
        return frozenset(name for name in _CLASSES if self.counts[name])

    def never(self, question: str) -> bool:
        """Return whether no value is of that kind."""
        return not self.answers.get(question)


class _Table:
    """One table that is being looked at."""

    def __init__(
        self, session: Session, inspector: sa.Inspector, name: str, has_rowid: bool, not_carried: list[NotCarried]
    ) -> None:
        self._session, self._inspector, self._name = session, inspector, name
        self._not_carried = not_carried
        self._has_rowid = has_rowid
        self._declared = [
            _Declared(column, declared or "", not not_null, default, in_key, hidden in (2, 3))
            for column, declared, not_null, default, in_key, hidden in session.execute(
                'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo($1) ORDER BY cid', (name,)
            )
            if hidden != 1
        ]
        self._indexes = session.execute(
            'SELECT name, "unique", origin, partial FROM pragma_index_list($1) ORDER BY seq DESC', (name,)
        )
        text = session.value("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = $1", (name,))
        self._text = _SEEN_THROUGH.sub(" ", str(text))
        self._names = dict(_names_of_constraints(self._text))

    def found(self) -> FoundTable:
        observed = self._observed()
        columns = [self._column(one, observed[one.name]) for one in self._declared]
        self._note_clauses()
        rows = next((one.rows for one in observed.values()), 0)
        return FoundTable(
            self._name,
            quoted(self._name),
            columns,
            [*self._primary_key(observed), *self._other_keys()],
            list(self._references()),
            self._identity(),
            rows,
            row_bytes=sum(one.answers.get("longest", 0) for one in observed.values()),
        )

    # -- columns
    # ------------------------------------------------------------------------------------------------

    def _observed(self) -> dict[str, _Observed]:
        counted: dict[str, _Observed] = {}
        for some in in_parts(self._declared, _COLUMNS_PER_SCAN):
            sums = [f"sum(typeof({quoted(one.name)}) = '{kind}')" for one in some for kind in _CLASSES]
            rows, *numbers = self._session.execute(f"SELECT count(*), {', '.join(sums)} FROM {quoted(self._name)}")[0]
            for one, counts in zip(some, in_parts(numbers, len(_CLASSES)), strict=True):
                named = {kind: count or 0 for kind, count in zip(_CLASSES, counts, strict=True)}
                counted[one.name] = _Observed(named, rows, {})
        questions = [
            (one, question, sql)
            for one in self._declared
            for question, sql in _questions(one, counted[one.name]).items()
        ]
        for asked in in_parts(questions, _COLUMNS_PER_SCAN):
            values = ", ".join(sql for _, _, sql in asked)
            answers = self._session.execute(f"SELECT {values} FROM {quoted(self._name)}")[0]
            for (one, question, _), answer in zip(asked, answers, strict=True):
                known = counted[one.name]
                counted[one.name] = _Observed(known.counts, known.rows, {**known.answers, question: answer or 0})
        return counted

    def _column(self, declared: _Declared, observed: _Observed) -> FoundColumn:
        name = f"{self._name}.{declared.name}"
        if declared.is_generated:
            self._not_carried.append(NotCarried("generated column", name, "its values arrive, its expression does not"))
        default = None
        if declared.default is not None and not declared.is_generated and not defaults.is_null(declared.default):
            default = defaults.of_sqlite(declared.default)
            if default is None:
                self._not_carried.append(NotCarried("default", name, "it is an expression"))
        return FoundColumn(
            declared.name,
            declared.type,
            declared.nullable,
            default,
            {choice.type.form: choice for choice in _choices(declared, observed)},
            empty=not observed.classes,
            nulls=sum(observed.counts.values()) < observed.rows,
            longest=observed.answers.get("longest", 0),
        )

    # -- keys and references
    # ------------------------------------------------------------------------------------------------

    def _primary_key(self, observed: Mapping[str, _Observed]) -> Iterator[FoundKey]:
        columns = tuple(one.name for one in sorted(self._declared, key=lambda one: one.in_key) if one.in_key)
        if not columns:
            return
        name = self._inspector.get_pk_constraint(self._name)["name"] or self._names.get(("PRIMARY KEY", columns))
        if any(sum(observed[column].counts.values()) < observed[column].rows for column in columns):
            why = "NULL stands in it, which SQLite allows; it is carried as a unique constraint"
            self._not_carried.append(NotCarried("primary key", self._name, why))
            yield FoundKey(name, columns, "unique")
        else:
            yield FoundKey(name, columns, "primary")

    def _other_keys(self) -> Iterator[FoundKey]:
        for name, is_unique, made_by, is_partial in self._indexes:
            if made_by == "pk":
                continue
            parts = self._session.execute(
                'SELECT name, "desc", cid, coll FROM pragma_index_xinfo($1) WHERE key ORDER BY seqno', (name,)
            )
            # -2 is the column of an expression
            why = "it is partial" if is_partial else "it holds an expression" if any(p[2] == -2 for p in parts) else ""
            if why:
                self._not_carried.append(NotCarried("index", name, why))
                continue
            self._note_collations(name, [collation for _, _, _, collation in parts])
            columns = tuple(column for column, _, _, _ in parts)
            if made_by == "u":
                yield FoundKey(self._names.get(("UNIQUE", columns)), columns, "unique")
            else:
                down = frozenset(column for column, descending, _, _ in parts if descending)
                yield FoundKey(name, columns, "index", bool(is_unique), down)

    def _note_collations(self, index: str, collations: Sequence[str]) -> None:
        others = sorted({one for one in collations if one.upper() != "BINARY"})
        if others and not index.startswith("sqlite_autoindex_"):
            self._not_carried.append(
                NotCarried("collation", f"{', '.join(others)} of index {index}", _WHY["collation"])
            )

    def _references(self) -> Iterator[FoundReference]:
        rows = self._session.execute(
            'SELECT id, "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list($1) ORDER BY id, seq',
            (self._name,),
        )
        told = _words_of_references(self._text)
        numbers = sorted({row[0] for row in rows})
        if len(told) != len(numbers):
            self._not_carried.append(
                NotCarried("deferral", f"of foreign keys of table {self._name}", "it is not clear")
            )
            told = [(None, "")] * len(numbers)
        # the catalogue counts from the one that the schema declares last
        for number, (name, deferral) in zip(numbers, reversed(told), strict=True):
            parts = [row for row in rows if row[0] == number]
            _, parent, _, column, on_update, on_delete = parts[0]
            actions = [f"ON DELETE {on_delete}", f"ON UPDATE {on_update}"]
            yield FoundReference(
                name,
                tuple(own for _, _, own, *_ in parts),
                parent,
                self._key_of(parent) if column is None else tuple(column for _, _, _, column, *_ in parts),
                " ".join([*(action for action in actions if not action.endswith("NO ACTION")), deferral]).strip(),
            )

    def _key_of(self, parent: str) -> tuple[str, ...]:
        rows = self._session.execute("SELECT name FROM pragma_table_info($1) WHERE pk ORDER BY pk", (parent,))
        return tuple(name for (name,) in rows)

    def _identity(self) -> Identity | None:
        """Return the alias of the rowid, if the table has one: then no index makes its key."""
        keys = [one for one in self._declared if one.in_key]
        is_alias = (
            self._has_rowid
            and len(keys) == 1
            and keys[0].type.upper() == "INTEGER"
            and not any(made_by == "pk" for _, _, made_by, _ in self._indexes)
        )
        if not is_alias:
            return None
        column = keys[0].name
        last = self._session.value(f"SELECT max({quoted(column)}) FROM {quoted(self._name)}") or 0
        if self._session.value("SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'"):
            # anybody may write into that table
            given = "SELECT max(CAST(seq AS INTEGER)) FROM sqlite_sequence WHERE name = $1"
            last = max(last, self._session.value(given, (self._name,)) or 0)
        return Identity(column, max(last, 0) + 1)

    def _note_clauses(self) -> None:
        for kind, pattern in _CLAUSES.items():
            times = len(pattern.findall(self._text))
            if times:
                name = f"of table {self._name}" + (f" ({times})" if times > 1 else "")
                self._not_carried.append(NotCarried(kind, name, _WHY[kind]))


def _names_of_constraints(text: str) -> Iterator[tuple[tuple[str, tuple[str, ...]], str]]:
    """Yield ((kind, columns), name) of the constraints that a table's schema names in brackets, too."""
    for name, kind, columns in _CONSTRAINT.findall(text):
        yield (" ".join(kind.upper().split()), tuple(map(_unquoted, _NAME.findall(columns)))), _unquoted(name)


def _words_of_references(text: str) -> list[tuple[str | None, str]]:
    """Return the name and the deferral, as SQL, of each foreign key in the order in which a schema declares them."""
    starts = list(_REFERENCE.finditer(text))
    words = []
    ends = [*(following.start() for following in starts[1:]), len(text)]
    for start, end in zip(starts, ends[: len(starts)], strict=True):
        deferral = _DEFERRAL.search(text, start.end(), end)
        said = ""
        if deferral and not deferral["never"]:
            said = "DEFERRABLE" + (f" INITIALLY {deferral['when'].upper()}" if deferral["when"] else "")
        words.append((_unquoted(start["name"]) if start["name"] else None, said))
    return words


def _unquoted(name: str) -> str:
    quote = name[0]
    if quote == "[":
        return name[1:-1]
    return name[1:-1].replace(quote * 2, quote) if quote in '"`' else name


def _questions(declared: _Declared, observed: _Observed) -> dict[str, str]:
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


def _choices(declared: _Declared, observed: _Observed) -> Iterator[Choice]:
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
    held = ", ".join(f"{observed.counts[name]:,} {name.upper()}" for name in _CLASSES if observed.counts[name])
    yield Choice(
        ColumnType(Form.TEXT), Reading(sqlite_cells.folded_text(column)), f"holds {held}: each arrives as its text"
    )


def _typed(column: str, kind: ColumnType) -> Choice:
    return Choice(kind, sqlite_cells.reading(column, kind))


def _departure(declared: _Declared, kind: ColumnType) -> str:
    """Return how a type departs from the one that was declared; empty where it does not."""
    if declared.length is not None and kind.form is Form.TEXT and kind.length is None:
        return f"some values are longer than {declared.length}"
    precision, scale = declared.decimal or (None, 0)
    if precision is not None and kind.precision is None:
        return f"not all values fit numeric({precision},{scale})"
    if declared.form in (Form.BOOLEAN, Form.DATE, Form.MOMENT) and kind.form not in (declared.form, Form.DATE):
        return f"not every value is a {declared.form.value}"
    return ""


def _declared_type(declared: _Declared, form: Form) -> ColumnType:
    if form is Form.DECIMAL:
        precision, scale = declared.decimal or (None, 0)
        return ColumnType(form, precision, scale)
    return ColumnType(form, length=declared.length if form is Form.TEXT else None)


def _text_type(declared: _Declared, observed: _Observed) -> ColumnType:
    fits = declared.length is not None and observed.answers["characters"] <= declared.length
    return ColumnType(Form.TEXT, length=declared.length if fits else None)


def _best(declared: _Declared, observed: _Observed) -> ColumnType | None:
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


def _number(declared: _Declared, observed: _Observed) -> ColumnType | None:
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
