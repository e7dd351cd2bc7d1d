"""Backup and rollback of a PostgreSQL target.

Here: dumping one consistent state, and restoring it. Not here: the programs (`postgres_programs`), and what is alike
for both engines (`accounts_migration.operations`).
"""

import json
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from accounts_migration.databases.copies.engine import Dump, Engine, Rehearsal
from accounts_migration.databases.copies.figures import MEASURES, Figures, TableFigures
from accounts_migration.databases.copies.postgres_programs import Programs, find_programs, run, with_database
from accounts_migration.databases.postgres_session import PostgresSession
from accounts_migration.databases.postgres_target import display_name, open_session
from accounts_migration.errors import MigrationError

FILE = "target.dump"
_SCRATCH = "accounts_migration_scratch_"
_SCRATCH_IS_LEFT_AFTER = timedelta(minutes=10)

# tables and filled materialized views, ours by their bare name; not those that an extension brings
_TABLES = """
SELECT CASE WHEN n.nspname = current_schema() THEN c.relname::text ELSE n.nspname || '.' || c.relname END,
    format('%I.%I', n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE (c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated) AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT 1 FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""
# texts of values must not depend on who asks
_ALIKE = {"TimeZone": "UTC", "DateStyle": "ISO, YMD", "IntervalStyle": "iso_8601", "extra_float_digits": "1"}
_LATEST = "SELECT snapshot_id, policies_digest FROM {} ORDER BY loaded_at DESC, entity DESC LIMIT 1"


class PostgresEngine(Engine):
    """A PostgreSQL database as a thing to be copied and put back."""

    kind = "postgresql"

    def __init__(self, url: str, pg_dump: Path | None) -> None:
        """Remember the address; nothing is opened yet.

        Args:
            url: The target; its password goes into no argument and no message.
            pg_dump: The setting PG_DUMP.
        """
        self.url = url
        self.name = display_name(url)
        self._pg_dump = pg_dump

    def dump(self, folder: Path) -> Dump:
        """Dump the state that one snapshot of the server sees, and count it there; see `Engine.dump`."""
        with closing(open_session(self.url)) as session:
            version = f"PostgreSQL {session.version()}"
            if not session.execute(_TABLES):
                return Dump("empty", None, Figures(), version)
            programs = self.programs(session)
            with _one_state(session) as snapshot:
                figures = count(session)
                file = folder / FILE
                self._dump(programs, file, ["--snapshot", snapshot])
            return Dump("data", file, figures, version)

    def rehearse(self, file: Path, folder: Path) -> Rehearsal:
        """Restore into a scratch database of the same server; see `Engine.rehearse`.

        A role that may not create databases has the dump read through instead, and its rows counted.
        """
        with closing(open_session(self.url)) as session:
            programs = self.programs(session)
            if not may_create_databases(session):
                return Rehearsal(_rows_told(programs, file, session, folder), restored=False, remark=_NO_SCRATCH)
            _drop_left_scratches(session)
            name = f"{_SCRATCH}{datetime.now(UTC):%Y%m%d%H%M%S}_{secrets.token_hex(4)}"
            create_like(session, name)
            url = with_database(self.url, name)
            try:
                # its own session stays open: a scratch database that nobody uses was left by a killed process
                with closing(open_session(url)) as scratch:
                    restore(programs, file, url, ["--no-owner", "--no-privileges"])
                    return Rehearsal(count(scratch))
            finally:
                drop(session, name)

    def programs(self, session: PostgresSession) -> Programs:
        """Return the client programs that fit the server."""
        version = int(session.value("SELECT current_setting('server_version_num')"))
        return find_programs(version // 10_000, self._pg_dump)

    def _dump(self, programs: Programs, file: Path, words: list[str]) -> None:
        file.touch(0o600, exist_ok=False)
        run(
            programs.dump,
            ["--format=custom", "--compress=1", "--no-password", f"--file={file}", *words],
            self.url,
            f"Cannot dump the target {self.name}",
        )


_NO_SCRATCH = (
    "this role may not create databases, so the dump was read through and its rows were counted, but not restored:"
    " ALTER ROLE ... CREATEDB lets it be restored to a scratch database"
)


def database_of(url: str) -> str:
    """Return the name of the database that a URL names."""
    parts = urlsplit(url)
    return unquote(parts.path.removeprefix("/"))


def may_create_databases(session: PostgresSession) -> bool:
    """Return whether the role may create databases."""
    return bool(session.value("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"))


def create_like(session: PostgresSession, name: str) -> None:
    """Create an empty database of the encoding and order of letters of the one that the session is in."""
    about: dict[str, Any] = json.loads(
        session.value("SELECT to_jsonb(d)::text FROM pg_database AS d WHERE datname = current_database()")
    )
    words = [f"LC_COLLATE {literal(about['datcollate'])}", f"LC_CTYPE {literal(about['datctype'])}"]
    provider = about.get("datlocprovider", "c")
    locale = str(about.get("datlocale") or about.get("daticulocale"))
    if provider == "i":
        words.append(f"LOCALE_PROVIDER icu ICU_LOCALE {literal(locale)}")
    elif provider == "b":
        words.append(f"LOCALE_PROVIDER builtin BUILTIN_LOCALE {literal(locale)}")
    session.execute(f"CREATE DATABASE {identifier(name)} TEMPLATE template0 ENCODING 'UTF8' {' '.join(words)}")


def drop(session: PostgresSession, name: str) -> None:
    """Drop a database, with the sessions in it."""
    session.execute(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)")


def restore(programs: Programs, file: Path, url: str, words: list[str]) -> None:
    """Restore a dump into an empty database, whole or not at all.

    Raises:
        MigrationError: It failed.
    """
    run(
        programs.restore,
        ["--exit-on-error", "--single-transaction", "--no-password", *words, str(file)],
        url,
        f"Cannot restore {file}",
    )


def count(session: PostgresSession) -> Figures:
    """Return what stands in the database that the session is in, as its snapshot sees it."""
    for setting, value in _ALIKE.items():
        session.execute(f"SELECT set_config('{setting}', '{value}', false)")
    tables = dict(session.execute(_TABLES))
    migrated = session.execute(_LATEST.format(tables["migration_batch"])) if "migration_batch" in tables else []
    return Figures(
        {name: _figures_of(session, name, place) for name, place in tables.items()},
        (str(migrated[0][0]), str(migrated[0][1])) if migrated else None,
    )


def identifier(name: str) -> str:
    """Return a name as PostgreSQL takes it literally."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def literal(text: str) -> str:
    """Return a text as an SQL literal."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


@contextmanager
def _one_state(session: PostgresSession) -> Iterator[str]:
    """See one state of the database in the block; yields the name by which pg_dump sees the same."""
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield str(session.value("SELECT pg_export_snapshot()"))
    finally:
        with suppress(MigrationError):
            session.execute("ROLLBACK")


def _figures_of(session: PostgresSession, name: str, place: str) -> TableFigures:
    measures = MEASURES.get(name)
    if measures is not None:
        columns = {
            column
            for (column,) in session.execute(
                f"SELECT attname::text FROM pg_attribute WHERE attrelid = {literal(place)}::regclass"
                " AND attnum > 0 AND NOT attisdropped"
            )
        }
        if set(measures) <= columns:
            sums = [session.sums(column, scale) for column, scale in measures.items()]
            row = session.execute(f"SELECT {', '.join(['count(*)', *sums])} FROM {place}")[0]
            totals = {column: session.read_sum(total) for column, total in zip(measures, row[1:], strict=True)}
            return TableFigures(int(row[0]), totals)
    rows, digest = session.execute(
        "SELECT count(*), coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0)::text"
        f" FROM {place} AS t"
    )[0]
    return TableFigures(int(rows), {}, str(digest))


def _rows_told(programs: Programs, file: Path, session: PostgresSession, folder: Path) -> Figures:
    """Read a dump through and count the rows of each table; a materialized view has none of its own in it."""
    names = {place: name for name, place in session.execute(_TABLES)}
    rows: Counter[str] = Counter()
    with tempfile.TemporaryFile(dir=folder) as script:
        words = ["--data-only", "--no-owner", "--file=-", str(file)]
        run(programs.restore, words, None, f"Cannot read {file}", into=script)
        script.seek(0)
        table = ""
        for line in script:
            if table and line == b"\\.\n":
                table = ""
            elif table:
                rows[names.get(table, table)] += 1
            elif line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
                table = line.removeprefix(b"COPY ").decode().partition(" (")[0]
                rows[names.get(table, table)] += 0
    return Figures({name: TableFigures(number) for name, number in rows.items()})


def _drop_left_scratches(session: PostgresSession) -> None:
    """Drop the scratch databases of processes that were killed: old, and nobody is in them."""
    long_ago = f"{_SCRATCH}{datetime.now(UTC) - _SCRATCH_IS_LEFT_AFTER:%Y%m%d%H%M%S}"
    left = session.execute(
        f"SELECT datname::text FROM pg_database AS d WHERE datname LIKE '{_SCRATCH.replace('_', '!_')}%' ESCAPE '!'"
        f" AND datname < '{long_ago}' AND pg_has_role(datdba, 'USAGE')"
        " AND NOT EXISTS (SELECT 1 FROM pg_stat_activity AS a WHERE a.datid = d.oid)"
    )
    for (name,) in left:
        drop(session, name)
