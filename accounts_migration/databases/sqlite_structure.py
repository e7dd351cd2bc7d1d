"""What a SQLite database says of its tables, and the same of tables made in memory.

Here: columns, keys, checks, references and indexes, as SQLite tells them, and which types can hold our values. Not
here: their comparison (`schema_versions.comparison`), and whether tables can take our rows (`structure`).
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing

from adbc_driver_sqlite import dbapi as sqlite_dbapi

from accounts_migration.databases.schema_versions import comparison
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.sqlite_session import SqliteSession
from accounts_migration.databases.structure import FoundColumn, FoundTable
from accounts_migration.databases.target_schema import TABLES, Kind

_CHECK = re.compile(r"""(?:CONSTRAINT\s+"?(\w+)"?\s+)?CHECK\s*\(""", re.IGNORECASE)


def differences(session: Session, ddl: Iterable[str]) -> list[str]:
    """Return how the tables in the database differ from those that the statements make."""
    with closing(SqliteSession(sqlite_dbapi.connect(":memory:", autocommit=True), session.target_name)) as model:
        for statement in ddl:
            model.execute(statement)
        return comparison.differences(_structure(session), _structure(model))


def _structure(session: Session) -> comparison.Structure:
    names = ", ".join(f"'{name}'" for name in TABLES)
    rows = session.execute(f"SELECT name, type, sql FROM sqlite_master WHERE lower(name) IN ({names})")
    return {name.lower(): dict(_parts(session, name, kind, sql)) for name, kind, sql in rows}


def _parts(session: Session, table: str, kind: str, sql: str) -> Iterator[tuple[str, str]]:
    yield "kind", kind
    keys = {}
    for _, name, type_name, not_null, default, place, hidden in session.execute(f"PRAGMA table_xinfo({quoted(table)})"):
        words = [type_name.upper() or "of no type"]
        words += [word for word, holds in (("NOT NULL", not_null), ("generated", hidden)) if holds]
        words += [f"DEFAULT {default}"] if default is not None else []
        yield f"column {name}", " ".join(words)
        if place:
            keys[place] = name
    if keys:
        yield "primary key", ", ".join(name for _, name in sorted(keys.items()))
    yield from _references(session, table)
    yield from _indexes(session, table)
    for name, rule in _checks(sql):
        yield f"check {name or rule}", rule


def _references(session: Session, table: str) -> Iterator[tuple[str, str]]:
    columns = defaultdict(list)
    # id, place, parent, column, the parent's column, on update, on delete, match
    for number, _, parent, column, key, on_update, on_delete, _ in session.execute(
        f"PRAGMA foreign_key_list({quoted(table)})"
    ):
        columns[number, parent, on_update, on_delete].append((column, key or "the key"))
    for (_, parent, on_update, on_delete), pairs in columns.items():
        acts = [f" {word} {act}" for word, act in (("ON UPDATE", on_update), ("ON DELETE", on_delete)) if act != _NO]
        own, others = (", ".join(names) for names in zip(*pairs, strict=True))
        yield f"reference of {own}", f"to {parent} ({others}){''.join(acts)}"


_NO = "NO ACTION"


def _indexes(session: Session, table: str) -> Iterator[tuple[str, str]]:
    for _, name, unique, origin, partial in session.execute(f"PRAGMA index_list({quoted(table)})"):
        if origin != "pk":
            columns = ", ".join(
                f"{column or 'an expression'}{' DESC' if descends else ''}"
                for _, _, column, descends, _, is_key in session.execute(f"PRAGMA index_xinfo({quoted(name)})")
                if is_key
            )
            made = f"{'unique ' if unique else ''}on {columns}{' of some rows' if partial else ''}"
            yield (f"index {name}", made) if origin == "c" else (f"unique constraint on {columns}", made)


def _checks(sql: str | None) -> Iterator[tuple[str | None, str]]:
    """Yield (name, rule) of each check in a CREATE TABLE statement, white space made one blank."""
    for match in _CHECK.finditer(sql or ""):
        yield match[1], " ".join(_within_parentheses((sql or "")[match.end() :]).split())


def _within_parentheses(text: str) -> str:
    """Return the text up to the parenthesis that closes it; parentheses in quotes are none."""
    depth, quote = 1, ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"`":
            quote = letter
        else:
            depth += {"(": 1, ")": -1}.get(letter, 0)
            if depth == 0:
                return text[:place]
    return text


def found_tables(session: Session, wanted: Collection[str]) -> dict[str, FoundTable]:
    """Return those of the wanted tables, or views and the like of that name, that stand."""
    rows = session.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')")
    kinds = {name.lower(): (name, kind) for name, kind in rows}
    return {name: _found_table(session, *kinds[name]) for name in wanted if name in kinds}


def _found_table(session: Session, name: str, kind: str) -> FoundTable:
    # table_xinfo: cid, name, type, notnull, default, place in the key, hidden (2 and 3: generated)
    rows = session.execute(f"PRAGMA table_xinfo({quoted(name)})")
    columns = {row[1].lower(): FoundColumn(row[2], bool(row[3]), row[4] is not None, row[6] in (2, 3)) for row in rows}
    key = tuple(row[1].lower() for row in sorted(rows, key=lambda row: row[5]) if row[5])
    return FoundTable(kind, columns, key)


def judge_type(kind: Kind, declared: str) -> str | None:
    """Return what the type of a column must be; None where the declared one will do."""
    affinity = _affinity(declared)
    if kind in (Kind.MONEY, Kind.RATE):
        return None if affinity in ("NUMERIC", "REAL") else "of numeric affinity, like DECIMAL(15, 2)"
    if kind is Kind.COUNT:
        return None if affinity in ("INTEGER", "NUMERIC") else "an integer"
    if kind in (Kind.DATE, Kind.MOMENT):
        return None if affinity in ("TEXT", "BLOB", "NUMERIC") else "text"
    return None if affinity in ("TEXT", "BLOB") else "text"


def _affinity(declared: str) -> str:
    """Return the affinity that SQLite gives a declared type (its documentation, section 3.1)."""
    name = declared.upper()
    for words, affinity in (
        (("INT",), "INTEGER"),
        (("CHAR", "CLOB", "TEXT"), "TEXT"),
        (("BLOB",), "BLOB"),
        (("REAL", "FLOA", "DOUB"), "REAL"),
    ):
        if any(word in name for word in words):
            return affinity
    return "NUMERIC" if name else "BLOB"
