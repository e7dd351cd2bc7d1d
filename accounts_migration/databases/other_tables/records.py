"""What the target's books say of the other tables: which of them a copy has made, and with what content.

Here: the record of one table, and whether a table that stands may be replaced. Not here: the books themselves
(`accounts_migration.databases.bookkeeping`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from accounts_migration.databases.other_tables.structure import OtherTable
from accounts_migration.databases.postgres_session import CURRENT_SCHEMA
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import literal, quoted
from accounts_migration.databases.target_interface import Target
from accounts_migration.errors import MigrationError


@dataclass(frozen=True, slots=True)
class Record:
    """What was recorded of a table: rows, and the digests of its content and of its structure."""

    loaded: int
    rejected: int
    content_digest: str
    structure_digest: str


def recorded(session: Session, name: str) -> Record | None:
    """Return what the books say of a table; None of one that no copy has made."""
    rows = session.execute(
        f"SELECT loaded, rejected, content_digest, policies_digest FROM {session.books.batch} WHERE entity = $1",
        (name,),
    )
    return Record(*rows[0]) if rows else None


def kind_of_relation(session: Session, engine: str, name: str) -> str | None:
    """Return what stands in the target under a name: `table`, `view` and so on; None where nothing does."""
    if engine == "sqlite":
        query = "SELECT max(type) FROM sqlite_master WHERE lower(name) = lower($1)"
    else:
        query = (
            "SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'i' THEN 'index' WHEN 'S' THEN"
            " 'sequence' ELSE 'relation' END FROM pg_class WHERE relname = $1"
            f" AND relnamespace = {CURRENT_SCHEMA}"
        )
    kind = session.value(query, (name,))
    return None if kind is None else str(kind)


def column_names(session: Session, engine: str, name: str) -> set[str]:
    """Return the columns of a table that stands in the target."""
    if engine == "sqlite":
        query = "SELECT name FROM pragma_table_xinfo($1)"
    else:
        query = (
            "SELECT attname::text FROM pg_attribute WHERE attrelid = quote_ident($1)::regclass"
            " AND attnum > 0 AND NOT attisdropped"
        )
    return {column for (column,) in session.execute(query, (name,))}


def count_rows(session: Session, name: str) -> int:
    """Return the number of rows that stand in a table."""
    return int(session.value(f"SELECT count(*) FROM {quoted(name)}"))


def refuse_tables_of_others(tables: Iterable[OtherTable], target: Target) -> None:
    """Raise MigrationError where something stands in the target that no copy has made; nothing is written.

    Such is a table, view or index of the same name without a record, a table with more rows than were copied, and what
    others have tied to a table of ours: views, triggers, foreign keys.
    """
    session = target.session
    reasons = []
    for table in tables:
        kind = kind_of_relation(session, target.engine, table.name)
        if kind is None:
            continue
        record = recorded(session, table.name)
        if kind != "table" or record is None:
            reasons.append(f"{kind} {table.name} stands there already")
        elif count_rows(session, table.name) > record.loaded:
            reasons.append(f"table {table.name} holds rows that were not copied")
        else:
            tied = _tied_in_sqlite if target.engine == "sqlite" else _tied_in_postgres
            reasons += [f"{what} depends on table {table.name}" for what in tied(session, table.name)]
    if reasons:
        raise MigrationError(
            f"Cannot copy into {target.name}",
            why="; ".join(reasons),
            remedy="Nothing was written. Rename or drop what is named, or copy into another database",
        )


def _tied_in_sqlite(session: Session, name: str) -> list[str]:
    rows = session.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower($1) ORDER BY name", (name,)
    )
    return [f"trigger {trigger}" for (trigger,) in rows]


def _tied_in_postgres(session: Session, name: str) -> list[str]:
    table = f"{literal(quoted(name))}::regclass"
    rows = session.execute(
        f"SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = {table}"
        " UNION SELECT 'view ' || relname FROM pg_depend AS d JOIN pg_rewrite AS r ON r.oid = d.objid"
        " JOIN pg_class AS c ON c.oid = r.ev_class WHERE d.classid = 'pg_rewrite'::regclass"
        f" AND d.refobjid = {table} AND r.ev_class <> d.refobjid"
        f" UNION SELECT 'foreign key ' || conname || ' of table ' || relname FROM pg_constraint"
        f" JOIN pg_class AS c ON c.oid = conrelid WHERE contype = 'f' AND confrelid = {table}"
        f" AND conrelid <> confrelid AND relname NOT IN (SELECT entity FROM {session.books.batch}) ORDER BY 1"
    )
    return [what for (what,) in rows]
