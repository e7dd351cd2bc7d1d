"""The tables of a PostgreSQL database, in its current schema: their structure, and what their columns hold.

Here: PostgreSQL's catalogue, SQLAlchemy's reflection of it, and one scan of each table. Not here: what its columns can
become by that (`postgres_columns`), names and references in the target (`inventory`).
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from accounts_migration.databases.other_tables import defaults
from accounts_migration.databases.other_tables.origin import Origin
from accounts_migration.databases.other_tables.postgres_columns import Declared, choices, questions
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
from accounts_migration.databases.postgres_session import CURRENT_SCHEMA
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import literal, quoted

_QUESTIONS_PER_SCAN = 500
_NOT_TABLES = {
    "v": ("view", "it is a query"),
    "m": ("materialized view", "it is a query"),
    "f": ("foreign table", "its rows are in another database"),
    "S": ("sequence", "no column takes its numbers"),
}
_LEFT_BEHIND = {
    "trigger": (
        f"SELECT tgname::text || ' on ' || relname FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid"
        f" WHERE NOT tgisinternal AND relnamespace = {CURRENT_SCHEMA}",
        "it is a program",
    ),
    "rule": (
        f"SELECT rulename::text || ' on ' || relname FROM pg_rewrite JOIN pg_class AS c ON c.oid = ev_class"
        f" WHERE rulename <> '_RETURN' AND relnamespace = {CURRENT_SCHEMA}",
        "it is a program",
    ),
    "policy": (
        f"SELECT polname::text || ' on ' || relname FROM pg_policy JOIN pg_class AS c ON c.oid = polrelid"
        f" WHERE relnamespace = {CURRENT_SCHEMA}",
        "it is an expression",
    ),
    "function": (
        f"SELECT proname::text FROM pg_proc AS p WHERE pronamespace = {CURRENT_SCHEMA} AND NOT EXISTS"
        " (SELECT 1 FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')",
        "it is a program",
    ),
    "exclusion constraint": (
        f"SELECT conname::text || ' on ' || conrelid::regclass FROM pg_constraint"
        f" WHERE contype = 'x' AND connamespace = {CURRENT_SCHEMA}",
        "the target has no such constraint",
    ),
    "deferral": (
        f"SELECT 'of key ' || conname || ' of table ' || conrelid::regclass FROM pg_constraint"
        f" WHERE contype IN ('p', 'u') AND condeferrable AND connamespace = {CURRENT_SCHEMA}",
        "keys are checked at once in the target",
    ),
    "table of another schema": (
        "SELECT nspname::text || '.' || relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace"
        f" WHERE relkind IN ('r', 'p') AND relnamespace <> {CURRENT_SCHEMA}"
        " AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg\\_%'",
        "only the current schema is copied",
    ),
}

_RELATIONS = (
    "SELECT relname::text, relkind::text,"
    " EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),"
    " CASE WHEN relispartition THEN (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = c.oid) END"
    f" FROM pg_class AS c WHERE relnamespace = {CURRENT_SCHEMA}"
    " AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass"
    " AND d.deptype IN ('a', 'i', 'e') AND relkind = 'S') ORDER BY 1"
)


def find(session: Session, origin: Origin, besides: Collection[str]) -> Found:
    """Return the tables that are not in `besides`, and what is no table.

    Args:
        session: The origin, open.
        origin: The origin itself, for SQLAlchemy.
        besides: Names of tables to leave out.
    """
    snapshot = origin.snapshot or str(session.value("SELECT pg_export_snapshot()"))
    not_carried: list[NotCarried] = []
    tables = []
    with origin.reflected(snapshot) as inspector:
        for name, kind, has_columns, partition_of in session.execute(_RELATIONS):
            if name in besides or kind not in ("r", "p", *_NOT_TABLES):
                continue
            if partition_of is not None:
                not_carried.append(NotCarried("partition", name, f"its rows arrive in {partition_of}"))
            elif kind in _NOT_TABLES:
                word, why = _NOT_TABLES[kind]
                not_carried.append(NotCarried(word, name, why))
            elif not has_columns:
                not_carried.append(NotCarried("table", name, "it has no columns"))
            else:
                tables.append(_Table(session, inspector, name, kind, not_carried).found())
    for what, (query, why) in _LEFT_BEHIND.items():
        not_carried += [NotCarried(what, name, why) for (name,) in session.execute(f"{query} ORDER BY 1")]
    return Found(tables, not_carried)


_COLUMNS = (
    "WITH RECURSIVE seen AS ("
    "SELECT attnum, atttypid AS type, atttypmod AS sizes FROM pg_attribute"
    " WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"
    " UNION ALL SELECT attnum, typbasetype, CASE WHEN typtypmod < 0 THEN sizes ELSE typtypmod END"
    " FROM seen JOIN pg_type AS t ON t.oid = type WHERE typtype = 'd')"
    " SELECT attname::text, format_type(atttypid, atttypmod), typname::text, sizes::bigint, attnotnull,"
    " attgenerated <> '', pg_get_serial_sequence($2, attname::text),"
    " coalesce((SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum),"
    " (SELECT typdefault FROM pg_type WHERE oid = atttypid))"
    " FROM pg_attribute AS a JOIN seen USING (attnum) JOIN pg_type AS t ON t.oid = type AND typtype <> 'd'"
    " WHERE attrelid = $1::text::regclass ORDER BY attnum"
)


def _columns_in(numbers: str, table: str) -> str:
    """Return the SQL of the names of a constraint's columns in their order, as JSON."""
    return (
        f"(SELECT json_agg(attname ORDER BY place)::text FROM unnest({numbers}) WITH ORDINALITY AS n (number, place)"
        f" JOIN pg_attribute ON attrelid = {table} AND attnum = number)"
    )


# SQLAlchemy reads a foreign key off its text, in which a name may hold anything
_REFERENCES = (
    f"SELECT conname::text, CASE WHEN relnamespace <> {CURRENT_SCHEMA} THEN relnamespace::regnamespace::text END,"
    f" relname::text, {_columns_in('conkey', 'conrelid')}, {_columns_in('confkey', 'confrelid')}, confdeltype::text,"
    # a server before 15 has no such column
    " coalesce(jsonb_typeof(to_jsonb(r) -> 'confdelsetcols') = 'array', false), confupdtype::text,"
    " CASE WHEN condeferred THEN 'DEFERRABLE INITIALLY DEFERRED' WHEN condeferrable THEN 'DEFERRABLE' ELSE '' END,"
    " confmatchtype = 'f' AND cardinality(conkey) > 1 FROM pg_constraint AS r JOIN pg_class AS p ON p.oid = confrelid"
    # those to the partitions of a parent stand for themselves
    " WHERE contype = 'f' AND conrelid = $1::text::regclass AND conparentid = 0 ORDER BY conname"
)


class _Table:
    """One table that is being looked at."""

    def __init__(
        self, session: Session, inspector: sa.Inspector, name: str, kind: str, not_carried: list[NotCarried]
    ) -> None:
        self._session, self._inspector, self._name = session, inspector, name
        self._not_carried = not_carried
        # without ONLY, a table gives the rows of those that inherit from it, too
        self._relation = quoted(name) if kind == "p" else f"ONLY {quoted(name)}"
        rows = session.execute(_COLUMNS, (quoted(name), quoted(name)))
        self._declared = [Declared(*row) for row in rows]

    def found(self) -> FoundTable:
        rows, answers = self._answers()
        columns = [self._column(one, answers[one.name]) for one in self._declared]
        keys = [*self._constraints(), *self._indexes()]
        for check in self._inspector.get_check_constraints(self._name):
            self._not_carried.append(
                NotCarried("check", f"{check['name']} of table {self._name}", "it is an expression")
            )
        return FoundTable(
            self._name,
            self._relation,
            columns,
            keys,
            list(self._references()),
            self._identity(keys),
            rows,
            row_bytes=sum(column.longest for column in columns),
        )

    # -- columns

    def _answers(self) -> tuple[int, dict[str, dict[str, int]]]:
        asked = [(one.name, question, sql) for one in self._declared for question, sql in questions(one).items()]
        answers: dict[str, dict[str, int]] = {one.name: {} for one in self._declared}
        for part in in_parts(asked, _QUESTIONS_PER_SCAN):
            values = ", ".join(f"({sql})::bigint" for _, _, sql in part)
            found = self._session.execute(f"SELECT {values} FROM {self._relation}")[0]
            for (name, question, _), answer in zip(part, found, strict=True):
                answers[name][question] = answer or 0
        return int(self._session.value(f"SELECT count(*) FROM {self._relation}")), answers

    def _column(self, declared: Declared, answers: Mapping[str, int]) -> FoundColumn:
        return FoundColumn(
            declared.name,
            declared.type,
            not declared.not_null,
            self._default(declared),
            {choice.type.form: choice for choice in choices(declared, answers)},
            empty=False,
            longest=answers.get("longest", 0),
        )

    def _default(self, declared: Declared) -> defaults.Default | None:
        name = f"{self._name}.{declared.name}"
        if declared.is_generated:
            self._not_carried.append(NotCarried("generated column", name, "its values arrive, its expression does not"))
            return None
        if declared.default is None or defaults.is_null(declared.default) or declared.sequence is not None:
            return None
        default = defaults.of_postgres(declared.default)
        if default is None:
            self._not_carried.append(NotCarried("default", name, "it is an expression"))
        return default

    # -- keys and references

    def _constraints(self) -> Iterator[FoundKey]:
        primary = self._inspector.get_pk_constraint(self._name)
        if primary["constrained_columns"]:
            yield FoundKey(primary["name"], tuple(primary["constrained_columns"]), "primary")
        for one in self._inspector.get_unique_constraints(self._name):
            self._note_nulls(one)
            yield FoundKey(one["name"], tuple(one["column_names"]), "unique")

    def _note_nulls(self, key: Any) -> None:
        if key.get("dialect_options", {}).get("postgresql_nulls_not_distinct"):
            why = "NULLs are distinct in the target"
            self._not_carried.append(NotCarried("NULLS NOT DISTINCT", f"of {key['name']}", why))

    def _indexes(self) -> Iterator[FoundKey]:
        for one in self._inspector.get_indexes(self._name):
            if one.get("duplicates_constraint"):
                continue
            why = _why_not(one)
            if why:
                self._not_carried.append(NotCarried("index", str(one["name"]), why))
                continue
            self._note_nulls(one)
            columns = tuple(str(column) for column in one["column_names"])
            down = frozenset(column for column, ways in one.get("column_sorting", {}).items() if "desc" in ways)
            yield FoundKey(one["name"], columns, "index", bool(one["unique"]), down)

    def _references(self) -> Iterator[FoundReference]:
        for name, schema, parent, own, others, *words in self._session.execute(_REFERENCES, (quoted(self._name),)):
            shown = f"{name} of table {self._name}"
            if schema is not None:
                why = f"it refers to table {schema}.{parent} of another schema"
                self._not_carried.append(NotCarried("foreign key", shown, why))
                continue
            actions = " ".join(self._actions(shown, *words))
            yield FoundReference(name, tuple(json.loads(own)), parent, tuple(json.loads(others)), actions)

    def _actions(
        self, reference: str, on_delete: str, of_some: bool, on_update: str, when: str, is_full: bool
    ) -> Iterator[str]:
        """Yield the SQL of what happens to a child, and of when a foreign key is checked."""
        if of_some:
            why = "the target sets all columns of a foreign key or none"
            action = f"ON DELETE {_ACTIONS[on_delete]} of some columns of foreign key {reference}"
            self._not_carried.append(NotCarried("action", action, why))
        elif on_delete in _ACTIONS:
            yield f"ON DELETE {_ACTIONS[on_delete]}"
        if on_update in _ACTIONS:
            yield f"ON UPDATE {_ACTIONS[on_update]}"
        if is_full:
            why = "a reference that is NULL in part is allowed in the target"
            self._not_carried.append(NotCarried("MATCH FULL", f"of foreign key {reference}", why))
        if when:
            yield when

    def _identity(self, keys: list[FoundKey]) -> Identity | None:
        """Return the column whose numbers a sequence gives, where it alone is the primary key."""
        primary = next((key.columns for key in keys if key.kind == "primary"), ())
        identity = None
        for one in self._declared:
            if one.sequence is None:
                continue
            last, is_called, step = self._session.execute(
                f"SELECT last_value, is_called, (SELECT seqincrement FROM pg_sequence"
                f" WHERE seqrelid = {literal(one.sequence)}::regclass) FROM {one.sequence}"
            )[0]
            why = "" if primary == (one.name,) else "its column alone is not the primary key"
            if step != 1:
                why = "its step is not 1"
            elif not one.is_integer:
                why = "its column holds no integers"
            if why:
                self._not_carried.append(NotCarried("sequence", one.sequence, why))
                continue
            highest = self._session.value(f"SELECT max({quoted(one.name)})::bigint FROM {self._relation}") or 0
            identity = Identity(one.name, max(last + bool(is_called), highest + 1, 1))
        return identity


_ACTIONS = {"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def _why_not(index: Any) -> str:
    """Return why an index cannot be carried; empty where it can."""
    options = index.get("dialect_options", {})
    if options.get("postgresql_where"):
        return "it is partial"
    if None in index["column_names"]:
        return "it holds an expression"
    method = options.get("postgresql_using") or "btree"
    if method != "btree":
        return f"the target has no index of the kind {method}"
    return "it includes further columns" if options.get("postgresql_include") else ""
