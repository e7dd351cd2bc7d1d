"""Backup and rollback of a PostgreSQL target.

Here: dumping one consistent state, and restoring it. Not here: the programs (`postgres_programs`), and what is alike
for both engines (`accounts_migration.operations`).
"""

import getpass
import os
import re
import secrets
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from accounts_migration.databases.copies.engine import Copy, Dump, Engine, Rehearsal, Return, Way
from accounts_migration.databases.copies.figures import MEASURES, Figures, Migrated, TableFigures
from accounts_migration.databases.copies.postgres_databases import (
    copy_properties,
    create_like,
    drop,
    exists,
    identifier,
    literal,
    maintenance,
    may_create_databases,
    owns,
    shown,
    switch,
)
from accounts_migration.databases.copies.postgres_programs import Programs, find_programs, run, with_database
from accounts_migration.databases.postgres_session import PostgresSession, lock_number
from accounts_migration.databases.postgres_target import display_name, open_session
from accounts_migration.errors import MigrationError

FILE = "target.dump"
_KEPT = "replaced.dump"
_STOP = ("--set=ON_ERROR_STOP=1",)
_MOST_LETTERS = 30
_MOST_NAMED = 5
_SCRATCH = "accounts_migration_scratch_"
_SCRATCH_IS_LEFT_AFTER = timedelta(minutes=10)

# tables and filled materialized views, ours by their bare name; not those that an extension brings
_TABLES = """
SELECT CASE WHEN n.nspname = {schema} THEN c.relname::text ELSE n.nspname || '.' || c.relname END,
    format('%I.%I', n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ({kinds}) AND c.relispopulated AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT 1 FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""
_PLACE = re.compile(r'("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^" ]+)')
# texts of values must not depend on who asks
_ALIKE = {"TimeZone": "UTC", "DateStyle": "ISO, YMD", "IntervalStyle": "iso_8601", "extra_float_digits": "1"}
_LATEST = """
SELECT snapshot_id, policies_digest,
    (SELECT to_char(min(f.loaded_at), 'YYYY-MM-DD HH24:MI:SS.US') FROM {table} AS f
        WHERE f.snapshot_id = l.snapshot_id AND f.policies_digest = l.policies_digest)
FROM {table} AS l ORDER BY loaded_at DESC, entity DESC LIMIT 1
"""


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
        self.database = _database_of(url)
        self._pg_dump = pg_dump
        self._lock: PostgresSession | None = None

    def dump(self, folder: Path) -> Dump:
        """Dump the state that one snapshot of the server sees, and count it there; see `Engine.dump`."""
        with closing(open_session(self.url)) as session:
            version = f"PostgreSQL {session.version()}"
            if not _tables(session):
                return Dump("empty", None, Figures(), version)
            _refuse_unreadable(session, self.name)
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
                return self._read_through(programs, file, session, folder, _NO_RIGHT)
            _drop_left_scratches(session)
            name = f"{_SCRATCH}{datetime.now(UTC):%Y%m%d%H%M%S}_{secrets.token_hex(4)}"
            create_like(session, name, self.database)
            try:
                entered = self._entered(name)
                if entered is None:
                    return self._read_through(programs, file, session, folder, _NO_ENTRY)
                # its own session stays open: a scratch database that nobody uses was left by a killed process
                with closing(entered) as scratch:
                    restore(programs, file, with_database(self.url, name), ["--no-owner", "--no-privileges"])
                    return Rehearsal(count(scratch, _schema(session)))
            finally:
                drop(session, name)

    def _entered(self, name: str) -> PostgresSession | None:
        """Return a session in a database just made; None where pg_hba.conf or .pgpass knows the target alone."""
        try:
            return open_session(with_database(self.url, name))
        except MigrationError:
            return None

    def _read_through(
        self, programs: Programs, file: Path, session: PostgresSession, folder: Path, remark: str
    ) -> Rehearsal:
        return Rehearsal(_rows_told(programs, file, session, folder), restored=False, remark=remark)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Take the migration's lock in the target, and one for rollbacks beside it; see `Engine.lock`."""
        with ExitStack() as stack:
            admin = stack.enter_context(maintenance(self.url, self.database))
            if admin is not None:
                number = f"hashtextextended('accounts-migration rollback ' || {literal(self.database)}, 0)"
                self._take(admin, number)
            try:
                self._hold()
                yield
            finally:
                self._let_go()

    def present(self) -> Figures | None:
        """Count what stands in the database; see `Engine.present`."""
        session = self._opened()
        if session is None:
            return None
        with closing(session):
            return count(session)

    def way(self, copy: Copy) -> Way:
        """Switch databases by name where this role may make and rename them; an empty one is emptied in place."""
        with maintenance(self.url, self.database) as admin:
            if copy.state != "data" or admin is None or not may_create_databases(admin):
                return "in place"
            if exists(admin, self.database) and not owns(admin, self.database):
                return "in place"
            return "switch" if self._may_enter_others(admin) else "in place"

    def _may_enter_others(self, admin: PostgresSession) -> bool:
        name = f"{_SCRATCH}{datetime.now(UTC):%Y%m%d%H%M%S}_{secrets.token_hex(4)}"
        create_like(admin, name, self.database)
        try:
            entered = self._entered(name)
            if entered is not None:
                entered.close()
            return entered is not None
        finally:
            drop(admin, name)

    def make_ready(self, what: Return) -> list[str]:
        """Restore into a fresh database beside the target, and prove it; see `Engine.make_ready`."""
        if what.way == "in place" or what.copy.file is None:
            self._refuse_tables_of_others()
            return []
        beside = self._beside(what)
        with self._admin() as admin:
            drop(admin, beside)
            create_like(admin, beside, self.database)
            url = with_database(self.url, beside)
            restore(self.programs(admin), what.copy.file, url, [])
            with closing(open_session(url)) as session:
                session.execute("ANALYZE")
                differences = what.copy.figures.differences(count(session, self._own_schema()))
            if differences:
                raise MigrationError(
                    f"Cannot restore {what.copy.file}",
                    why=f"restored, it is not what was backed up: {'; '.join(differences[:3])}",
                    remedy="Look at the server's disk; name another backup with --to",
                )
            return copy_properties(admin, self.database, beside)

    def put_back(self, what: Return) -> str:
        """Rename two databases at once, or restore in one transaction; see `Engine.put_back`."""
        if what.way == "in place":
            return self._put_into_place(what)
        beside, kept = self._beside(what), self._kept(what)
        with self._admin() as admin:
            if exists(admin, beside):
                self._let_go()
                switch(admin, self.database, beside, kept)
                with suppress(MigrationError):
                    # a migration that begins in this instant may have it: it finds the old data whole
                    self._hold()
            return shown(self.url, kept) if exists(admin, kept) else ""

    def undo(self, what: Return) -> None:
        """Rename back what was renamed, and drop what is beside the target; see `Engine.undo`."""
        if what.way == "in place":
            # it is done whole or not at all
            return
        beside, kept = self._beside(what), self._kept(what)
        with self._admin() as admin:
            if exists(admin, kept):
                self._let_go()
                switch(admin, self.database, kept, beside)
            drop(admin, beside)

    def _refuse_tables_of_others(self) -> None:
        """Refuse before the service is stopped: a role drops and restores only what is its own."""
        with closing(open_session(self.url)) as session:
            others = session.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = current_schema()"
                " AND NOT pg_has_role(tableowner, 'USAGE') ORDER BY 1"
            )
        if others:
            raise MigrationError(
                f"Cannot roll back {self.name}",
                why=f"this role does not own {', '.join(place for (place,) in others[:_MOST_NAMED])}",
                remedy="Roll back as their owner, or as a superuser",
            )

    def _put_into_place(self, what: Return) -> str:
        """Restore the schema of our tables in one transaction; no other schema is touched."""
        kept = what.folder / _KEPT
        for left in what.folder.glob("*.sql"):
            # of a killed process: it holds the rows of the backup
            left.unlink()
        with closing(open_session(self.url)) as session:
            programs = self.programs(session)
            if not kept.exists():
                partial = what.folder / f".{_KEPT}"
                partial.unlink(missing_ok=True)
                self._dump(programs, partial, [])
                partial.rename(kept)
            with tempfile.NamedTemporaryFile(dir=what.folder, suffix=".sql") as script:
                script.write(_emptying(session, what.copy.figures.tables).encode())
                if what.copy.file is not None:
                    script.flush()
                    schema = f"--schema={_schema(session)}"
                    words = ["--clean", "--if-exists", schema, "--file=-", str(what.copy.file)]
                    run(programs.restore, words, None, f"Cannot read {what.copy.file}", into=script.file)
                    script.seek(0, os.SEEK_END)
                script.write(_proving(what.copy.figures, _schema(session)).encode())
                script.flush()
                run(
                    programs.psql,
                    [
                        "--no-psqlrc",
                        "--quiet",
                        "--no-password",
                        "--single-transaction",
                        *_STOP,
                        f"--file={script.name}",
                    ],
                    self.url,
                    f"Cannot restore into {self.name}",
                )
        return str(kept)

    @contextmanager
    def _admin(self) -> Iterator[PostgresSession]:
        with maintenance(self.url, self.database) as admin:
            if admin is None:
                raise MigrationError(
                    f"Cannot roll back {self.name} by name",
                    why="this role can enter neither the database postgres nor template1 of the server now",
                    remedy="Let it in (GRANT CONNECT), then run again",
                )
            yield admin

    def _own_schema(self) -> str | None:
        """Return the schema of our tables; None where there is no database that tells it."""
        session = self._opened()
        if session is None:
            return None
        with closing(session):
            return _schema(session)

    def _opened(self) -> PostgresSession | None:
        """Return a session in the target; None where the database is gone."""
        try:
            return open_session(self.url)
        except MigrationError as error:
            if error.why != "there is no such database":
                raise
            return None

    def _hold(self) -> None:
        self._lock = self._opened()
        if self._lock is not None:
            self._take(self._lock, lock_number("migration"))

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take(self, session: PostgresSession, number: str) -> None:
        if not session.value(f"SELECT pg_try_advisory_lock({number})"):
            raise MigrationError(
                f"Cannot roll back {self.name}",
                why="a migration or another rollback is at work on it",
                remedy="Wait for it to end, or stop it",
            )

    def _beside(self, what: Return) -> str:
        return f"{self.database[:_MOST_LETTERS]}_restoring_{what.stamp.lower()}"

    def _kept(self, what: Return) -> str:
        return f"{self.database[:_MOST_LETTERS]}_replaced_{what.stamp.lower()}"

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


_READ = "so the dump was read through and its rows were counted, but not restored"
_NO_RIGHT = f"this role may not create databases, {_READ}: ALTER ROLE ... CREATEDB lets it be restored"
_NO_ENTRY = f"this role may not enter a scratch database (pg_hba.conf, or .pgpass names the target alone), {_READ}"


def _database_of(url: str) -> str:
    """Return the name of the database that a URL names; without one it is the user's, as libpq has it."""
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    name = asked.get("dbname") or unquote(parts.path.removeprefix("/")) or os.environ.get("PGDATABASE")
    user = asked.get("user") or unquote(parts.username or "") or os.environ.get("PGUSER")
    return name or user or getpass.getuser()


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


def count(session: PostgresSession, schema: str | None = None) -> Figures:
    """Return what stands in the database that the session is in, as its snapshot sees it.

    Args:
        session: In the database.
        schema: The schema of our tables; the first of the search path where None.
    """
    for setting, value in _ALIKE.items():
        session.execute(f"SELECT set_config('{setting}', '{value}', false)")
    tables = _tables(session, schema)
    migrated = session.execute(_LATEST.format(table=tables["migration_batch"])) if "migration_batch" in tables else []
    return Figures(
        {name: _figures_of(session, name, place) for name, place in tables.items()},
        Migrated(*map(str, migrated[0])) if migrated else None,
    )


def _tables(session: PostgresSession, schema: str | None = None, kind: str = "rm") -> dict[str, str]:
    """Return the tables and filled materialized views, or those of one kind: name -> name as SQL takes it."""
    ours = "current_schema()" if schema is None else literal(schema)
    return dict(session.execute(_TABLES.format(schema=ours, kinds=", ".join(map(literal, kind)))))


def _schema(session: PostgresSession) -> str:
    return str(session.value("SELECT current_schema()"))


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


def _refuse_unreadable(session: PostgresSession, name: str) -> None:
    places = ", ".join(map(literal, _tables(session).values()))
    unreadable = session.execute(
        "SELECT format('%I.%I', n.nspname, c.relname) AS place"
        " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        f" WHERE format('%I.%I', n.nspname, c.relname) IN ({places})"
        " AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')) ORDER BY 1"
    )
    if unreadable:
        raise MigrationError(
            f"Cannot back up {name}",
            why=f"this role may not read {', '.join(place for (place,) in unreadable[:_MOST_NAMED])}",
            remedy="Grant it SELECT there (pg_read_all_data grants all), or give the bank a database of its own",
        )


def _rows_told(programs: Programs, file: Path, session: PostgresSession, folder: Path) -> Figures:
    """Read a dump through and count the rows of each table; a materialized view has none of its own in it."""
    schema = _schema(session)
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
                rows[table] += 1
            elif line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
                table = _name_of(line.removeprefix(b"COPY ").decode(), schema)
                rows[table] += 0
    return Figures({name: TableFigures(number) for name, number in rows.items()})


def _emptying(session: PostgresSession, kept: Collection[str]) -> str:
    """Return the SQL that drops the tables that stand in our schema now, but for those of some names."""
    lines = ["SET LOCAL lock_timeout = '60s';"]
    for kind, word in (("m", "MATERIALIZED VIEW"), ("r", "TABLE")):
        places = [place for name, place in _tables(session, kind=kind).items() if "." not in name and name not in kept]
        lines += [f"DROP {word} {', '.join(places)};"] if places else []
    return "\n".join([*lines, ""])


def _proving(figures: Figures, schema: str) -> str:
    """Return the SQL that fails, within the transaction, unless every table of a schema holds what was backed up."""
    lines = []
    for name, one in figures.here.tables.items():
        place = f"{identifier(schema)}.{identifier(name)}"
        sums = [
            f"coalesce(sum({column}) * {MEASURES[name][column]}, 0) = {total}" for column, total in one.totals.items()
        ]
        lines.append(
            f"DO $$ BEGIN IF NOT (SELECT {' AND '.join([f'count(*) = {one.rows}', *sums])} FROM {place}) THEN"
            " RAISE EXCEPTION 'accounts_migration: table % does not hold what was backed up',"
            f" {literal(name)}; END IF; END $$;"
        )
    return "\n".join(["", *lines, ""])


def _name_of(words: str, schema: str) -> str:
    """Return the name of a table as figures have it, of words that begin with its schema and name as SQL has them."""
    match = _PLACE.match(words)
    named, table = (part.replace('""', '"').strip('"') for part in match.groups()) if match else ("", words)
    return table if named == schema else f"{named}.{table}"


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
