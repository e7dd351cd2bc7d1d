"""The one consistent copy of an Account Processing System that a copy to another database reads from.

Here: a SQLite database by its online backup; a PostgreSQL database by one repeatable-read transaction, whose tables are
written into a SQLite file, every cell as the server's own text, so that nothing is read as a number on the way. Both
are the same snapshot to all who read it. Not here: its folder and manifest (`snapshot`), and what a value means.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
from adbc_driver_sqlite import dbapi as sqlite_dbapi

from accounts_migration.databases.batches import DATE_COLUMN, PARTITIONED
from accounts_migration.databases.books import COPY, MIGRATION
from accounts_migration.databases.legacy_source import LegacyTable, Unmigrated, incomplete, open_read_only
from accounts_migration.databases.postgres_session import CURRENT_SCHEMA, PostgresSession, require_schema
from accounts_migration.databases.postgres_target import open_session
from accounts_migration.databases.postgres_url import display_name
from accounts_migration.databases.schema_versions.known import VERSION_TABLE
from accounts_migration.databases.session import Session
from accounts_migration.databases.snapshot import Contents, Snapshot, take_snapshot, write_snapshot
from accounts_migration.databases.sql_text import literal, quoted
from accounts_migration.databases.sqlite_session import SqliteSession
from accounts_migration.databases.target import target_path
from accounts_migration.databases.target_schema import ENTITIES, column_names
from accounts_migration.errors import MigrationError
from accounts_migration.legacy_values import LegacyValue, UndecodableText

HANDLED = frozenset({*ENTITIES, *MIGRATION.tables, *COPY.tables, VERSION_TABLE})
"""The tables that a copy knows: the entities', and the bookkeeping of migrations, copies and the schema's versions."""

OURS = frozenset({*COPY.tables, VERSION_TABLE})
"""The tables that no copy carries, also not of a database that holds no Account Processing System."""


def _batch_column(table: str) -> str | None:
    return DATE_COLUMN if table == PARTITIONED else None


PLATFORM_TABLES = [LegacyTable(name, tuple(column_names(name)), _batch_column(name)) for name in ENTITIES]
BOOKKEEPING_TABLES = [LegacyTable(name, tuple(column_names(name))) for name in MIGRATION.tables]

_TABLES_NAMED = 10
_PAGE_BYTES = 8192
ROWS_PER_READ = 10_000
_CELL_TYPE = {"bytea": pa.binary()}
"""The types whose cells are copied as they are: as its text, a blob would look like a text that somebody wrote."""


@dataclass
class KeptState:
    """The state that a snapshot was taken of, in which further tables can be read until it is closed.

    `exported` is the PostgreSQL snapshot id for `SET TRANSACTION SNAPSHOT`; None for SQLite, whose copy is a file.
    """

    session: PostgresSession | None = None
    exported: str | None = None

    def take_over(self, other: "KeptState") -> None:
        """Keep the other state from now on."""
        self.session, self.exported = other.session, other.exported

    def close(self) -> None:
        """End the transaction that keeps the state."""
        if self.session is not None:
            self.session.close()
            self.session = None
            self.exported = None


def take_platform_snapshot(url: str, backup_dir: Path) -> tuple[Snapshot, KeptState]:
    """Copy the entities' tables and the migration's bookkeeping in one consistent state, and prove the copy whole.

    An unchanged source gives the snapshot taken before. Where not one of the entities' tables stands, the snapshot has
    no tables: then only other tables can be carried.

    Args:
        url: As for `open_target`.
        backup_dir: Where the snapshot's folder goes.

    Raises:
        MigrationError: The source cannot be read, or lacks a table or column; the folder cannot be written.
    """
    path = target_path(url)
    if path is not None:
        tables = _tables_of_file(path)
        # rows are read from the tables alone, and their indexes built anew
        return take_snapshot(path, backup_dir, tables, _without_handled, "quick_check"), KeptState()
    session = open_session(url)
    session.what = f"Cannot read the source database {session.target_name}"
    try:
        return _of_postgres(session, display_name(url), backup_dir)
    except BaseException:
        session.close()
        raise


def _tables_of_file(path: Path) -> list[LegacyTable]:
    """Return the entities' tables; none where not one of them stands with all its columns."""
    with open_read_only(path) as connection:
        return PLATFORM_TABLES if any(_stands(connection, table) for table in PLATFORM_TABLES) else []


def _without_handled(contents: Contents) -> Contents:
    tables, unmigrated = contents
    handled = HANDLED if tables else OURS
    return tables, [one for one in unmigrated if one.column or one.table.lower() not in handled]


def refuse_without_platform(snapshot: Snapshot) -> None:
    """Raise MigrationError where a snapshot holds none of the entities' tables."""
    if not snapshot.tables:
        raise MigrationError(
            f"There is no Account Processing System in {snapshot.source}",
            why=f"not one of the tables {', '.join(ENTITIES)} stands there with all its columns",
            remedy="Name the right FROM; with --all-tables whatever tables it holds are carried",
        )


def _of_postgres(session: PostgresSession, name: str, backup_dir: Path) -> tuple[Snapshot, KeptState]:
    session.execute("SELECT set_config('DateStyle', 'ISO, YMD', false), set_config('extra_float_digits', '0', false)")
    # rows that a policy hides from this role are not left out in silence: the server then refuses
    session.execute("SELECT set_config('row_security', 'off', false)")
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    require_schema(session)
    _refuse_unreadable(session)
    exported = str(session.value("SELECT pg_export_snapshot()"))
    types = _types(session)
    wanted = PLATFORM_TABLES if any(_is_whole(table, types) for table in PLATFORM_TABLES) else []
    if wanted:
        _refuse_incomplete(types)
    books = [table for table in BOOKKEEPING_TABLES if _is_whole(table, types)]

    def fill(path: Path) -> None:
        _write(session, path, [*wanted, *books] if wanted else [], types)

    def amend(contents: Contents) -> Contents:
        tables = {
            table: replace(manifest, unique_key=_has_unique_key(session, table))
            for table, manifest in contents[0].items()
        }
        return tables, list(_unmigrated(session, types, wanted))

    return write_snapshot(name, backup_dir, wanted, fill, amend, "quick_check"), KeptState(session, exported)


def _refuse_unreadable(session: Session) -> None:
    """Refuse a role that may not read a table, also one that stays behind: its rows are counted."""
    ours = ", ".join(map(literal, HANDLED))
    rows = session.execute(
        "SELECT current_user::text, relname::text FROM pg_class"
        f" WHERE relnamespace = {CURRENT_SCHEMA} AND NOT relispartition AND relkind IN ('r', 'p', 'v', 'm', 'f')"
        f" AND (relkind IN ('r', 'p') OR relname IN ({ours}))"
        " AND NOT has_any_column_privilege(oid, 'SELECT') ORDER BY relname"
    )
    if rows:
        more = f" and {len(rows) - _TABLES_NAMED} more" if len(rows) > _TABLES_NAMED else ""
        raise MigrationError(
            session.what,
            why=f"role {rows[0][0]} may not read {', '.join(name for _, name in rows[:_TABLES_NAMED])}{more}",
            remedy="Grant it SELECT on all tables of the schema; what stays behind is counted, too",
        )


def _types(session: Session) -> dict[str, dict[str, str]]:
    """Return table -> column -> type, of a domain that beneath it, of all in the schema that rows can be read from."""
    types: dict[str, dict[str, str]] = {}
    for table, column, kind in session.execute(
        "WITH RECURSIVE beneath AS ("
        "SELECT oid, oid AS kind FROM pg_type WHERE typtype <> 'd'"
        " UNION ALL SELECT t.oid, b.kind FROM pg_type AS t JOIN beneath AS b ON t.typbasetype = b.oid"
        " WHERE t.typtype = 'd')"
        " SELECT c.relname::text, a.attname::text, format_type(b.kind, NULL)"
        " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid JOIN beneath AS b ON b.oid = a.atttypid"
        f" WHERE c.relnamespace = {CURRENT_SCHEMA} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum"
    ):
        types.setdefault(table, {})[column] = kind
    return types


def _is_whole(table: LegacyTable, types: Mapping[str, Mapping[str, str]]) -> bool:
    return set(table.columns) <= types.get(table.name, {}).keys()


def _refuse_incomplete(types: Mapping[str, Collection[str]]) -> None:
    missing = [f"table {table.name}" for table in PLATFORM_TABLES if table.name not in types]
    for table in PLATFORM_TABLES:
        present = types.get(table.name, table.columns)
        missing += [f"column {table.name}.{column}" for column in table.columns if column not in present]
    if missing:
        raise incomplete(missing)


def _write(session: Session, path: Path, tables: Sequence[LegacyTable], types: Mapping[str, Mapping[str, str]]) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite_dbapi.connect(f"file:{quote(str(path.resolve()))}?mode=rw", autocommit=True)
    with closing(SqliteSession(connection, str(path))) as copy:
        copy.what = f"Cannot write the snapshot into {path.parent}"
        for pragma in (f"page_size = {_PAGE_BYTES}", "journal_mode = MEMORY", "synchronous = OFF"):
            copy.execute(f"PRAGMA {pragma}")
        with copy.transaction():
            for table in tables:
                _copy_table(session, copy, table, types[table.name])
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _copy_table(session: Session, copy: Session, table: LegacyTable, types: Mapping[str, str]) -> None:
    columns = ", ".join(map(quoted, table.columns))
    copy.execute(f"CREATE TABLE {quoted(table.name)} ({columns})")  # no type: SQLite then converts nothing
    cells = ", ".join(f"{_cell(column, types[column])} AS {quoted(column)}" for column in table.columns)
    schema = pa.schema([pa.field(column, _CELL_TYPE.get(types[column], pa.string())) for column in table.columns])
    counted = int(session.value(f"SELECT count(*) FROM {quoted(table.name)}"))
    copy.ingest(table.name, schema, session.stream(f"SELECT {cells} FROM {quoted(table.name)}"))
    written = int(copy.value(f"SELECT count(*) FROM {quoted(table.name)}"))
    if written != counted:
        raise MigrationError(
            f"Cannot account for every row of {table.name} of {session.target_name}",
            why=f"{counted:,} rows counted, {written:,} read",
            remedy="Run again; if it happens again, report it",
        )


def _cell(column: str, kind: str) -> str:
    if kind in _CELL_TYPE:
        return quoted(column)
    # a binary fraction is read at the 15 digits of a REAL (contract section 4), a shorter one exactly
    number = f"{quoted(column)}::float8" if kind in ("real", "double precision") else quoted(column)
    return f"{number}::text"


def _has_unique_key(session: Session, table: str) -> bool:
    """Return whether an index that holds for every row keeps the values of the key apart."""
    found = session.value(
        "SELECT count(*) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid"
        " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
        f" WHERE c.relnamespace = {CURRENT_SCHEMA} AND c.relname = $1 AND a.attname = $2"
        " AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL",
        (table, f"{table}_id"),
    )
    return bool(found)


def _unmigrated(
    session: Session, types: Mapping[str, Mapping[str, str]], wanted: Sequence[LegacyTable]
) -> Iterator[Unmigrated]:
    """Yield the tables and columns that are left behind, with how much they hold."""
    tables = session.execute(
        f"SELECT relname::text FROM pg_class WHERE relnamespace = {CURRENT_SCHEMA}"
        " AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname"
    )
    for (table,) in tables:
        if table not in (HANDLED if wanted else OURS):
            yield Unmigrated(table, "", int(session.value(f"SELECT count(*) FROM {quoted(table)}")))
    for known in wanted:
        for column in types[known.name]:
            if column not in known.columns:
                count = f"SELECT count({quoted(column)}) FROM {quoted(known.name)}"
                yield Unmigrated(known.name, column, int(session.value(count)))


def standing_books(path: Path) -> list[LegacyTable]:
    """Return those tables of the migration's bookkeeping that a snapshot holds with all their columns."""
    with open_read_only(path, immutable=True) as connection:
        return [table for table in BOOKKEEPING_TABLES if _stands(connection, table)]


def _stands(connection: sqlite3.Connection, table: LegacyTable) -> bool:
    rows = connection.execute(f"SELECT lower(name) FROM pragma_table_info('{table.name}')")  # a name of our schema
    return {column.encode() for column in table.columns} <= {name for (name,) in rows}


def read_book(path: Path, table: LegacyTable) -> Iterator[list[tuple[LegacyValue, ...]]]:
    """Yield the rows of a bookkeeping table of a snapshot as they stand, some at a time."""
    with open_read_only(path, immutable=True) as connection:
        connection.text_factory = _decoded
        cursor = connection.execute(f"SELECT {', '.join(map(quoted, table.columns))} FROM {quoted(table.name)}")
        while rows := cursor.fetchmany(ROWS_PER_READ):
            yield rows


def _decoded(raw: bytes) -> str | UndecodableText:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return UndecodableText(raw)
