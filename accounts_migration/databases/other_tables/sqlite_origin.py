"""The tables of a SQLite database: their structure, and what storage classes their columns hold.

Here: SQLite's catalogue, SQLAlchemy's reflection of it, and one scan of each table. Not here: what its columns can
become by that (`sqlite_columns`), the text of a schema (`sqlite_words`), names and references in the target
(`inventory`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import sqlalchemy as sa

from accounts_migration.databases.other_tables import defaults, sqlite_words
from accounts_migration.databases.other_tables.origin import Origin
from accounts_migration.databases.other_tables.sqlite_columns import CLASSES, Declared, Observed, choices, questions
from accounts_migration.databases.other_tables.structure import (
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
from accounts_migration.databases.sql_text import quoted

_COLUMNS_PER_SCAN = 50
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


class _Table:
    """One table that is being looked at."""

    def __init__(
        self, session: Session, inspector: sa.Inspector, name: str, has_rowid: bool, not_carried: list[NotCarried]
    ) -> None:
        self._session, self._inspector, self._name = session, inspector, name
        self._not_carried = not_carried
        self._has_rowid = has_rowid
        self._declared = [
            Declared(column, declared or "", not not_null, default, in_key, hidden in (2, 3))
            for column, declared, not_null, default, in_key, hidden in session.execute(
                'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo($1) ORDER BY cid', (name,)
            )
            if hidden != 1
        ]
        self._indexes = session.execute(
            'SELECT name, "unique", origin, partial FROM pragma_index_list($1) ORDER BY seq DESC', (name,)
        )
        text = session.value("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = $1", (name,))
        self._text = sqlite_words.without_literals(str(text))
        self._names = dict(sqlite_words.names_of_constraints(self._text))

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

    def _observed(self) -> dict[str, Observed]:
        counted: dict[str, Observed] = {}
        for some in in_parts(self._declared, _COLUMNS_PER_SCAN):
            sums = [f"sum(typeof({quoted(one.name)}) = '{kind}')" for one in some for kind in CLASSES]
            rows, *numbers = self._session.execute(f"SELECT count(*), {', '.join(sums)} FROM {quoted(self._name)}")[0]
            for one, counts in zip(some, in_parts(numbers, len(CLASSES)), strict=True):
                named = {kind: count or 0 for kind, count in zip(CLASSES, counts, strict=True)}
                counted[one.name] = Observed(named, rows, {})
        wanted = [
            (one, question, sql)
            for one in self._declared
            for question, sql in questions(one, counted[one.name]).items()
        ]
        for asked in in_parts(wanted, _COLUMNS_PER_SCAN):
            values = ", ".join(sql for _, _, sql in asked)
            answers = self._session.execute(f"SELECT {values} FROM {quoted(self._name)}")[0]
            for (one, question, _), answer in zip(asked, answers, strict=True):
                known = counted[one.name]
                counted[one.name] = Observed(known.counts, known.rows, {**known.answers, question: answer or 0})
        return counted

    def _column(self, declared: Declared, observed: Observed) -> FoundColumn:
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
            {choice.type.form: choice for choice in choices(declared, observed)},
            empty=not observed.classes,
            longest=observed.answers.get("longest", 0),
        )

    # -- keys and references

    def _primary_key(self, observed: Mapping[str, Observed]) -> Iterator[FoundKey]:
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
        told = sqlite_words.words_of_references(self._text)
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
        for kind, times in sqlite_words.clauses_in(self._text):
            name = f"of table {self._name}" + (f" ({times})" if times > 1 else "")
            self._not_carried.append(NotCarried(kind, name, _WHY[kind]))
