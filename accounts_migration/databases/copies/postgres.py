"""Backup and rollback of a PostgreSQL target.

Here: dumping one consistent state, and restoring it. Not here: what is counted in it (`postgres_figures`), the programs
(`postgres_programs`), and what is alike for both engines (`accounts_migration.operations`).
"""

import getpass
import os
import secrets
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from accounts_migration.databases.copies.engine import Copy, Dump, Engine, Rehearsal, Return, Way
from accounts_migration.databases.copies.figures import Figures
from accounts_migration.databases.copies.postgres_databases import (
    copy_properties,
    create_like,
    drop,
    exists,
    maintenance,
    may_create_databases,
    owns,
    shown,
    switch,
)
from accounts_migration.databases.copies.postgres_figures import (
    SET_ALIKE,
    count,
    proving,
    rows_told,
    schema_of,
    tables,
)
from accounts_migration.databases.copies.postgres_programs import Programs, find_programs, run
from accounts_migration.databases.files import written_aside
from accounts_migration.databases.postgres_session import PostgresSession, lock_number, require_schema
from accounts_migration.databases.postgres_target import open_session
from accounts_migration.databases.postgres_url import display_name, parameter, with_database
from accounts_migration.databases.sql_text import literal
from accounts_migration.errors import MigrationError

FILE = "target.dump"
_KEPT = "replaced.dump"
_PSQL = ("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1")
# a file of an export is the same whoever writes it; rather an error than rows that are hidden
_AS_TEXT = ("SET client_encoding = 'UTF8'", "SET bytea_output = 'hex'", "SET row_security = off", *SET_ALIKE)
_MOST_LETTERS = 30
_MOST_NAMED = 5
_SCRATCH = "accounts_migration_scratch_"
_SCRATCH_IS_LEFT_AFTER = timedelta(minutes=10)


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
        self._lock: PostgresSession | None = None

    @cached_property
    def database(self) -> str:
        """The database's name: a service file may have it, so the server is asked while the database is there."""
        session = self._opened()
        if session is None:
            return _database_of(self.url)
        with closing(session):
            return str(session.value("SELECT current_database()"))

    def dump(self, folder: Path) -> Dump:
        """Dump the state that one snapshot of the server sees, and count it there; see `Engine.dump`."""
        with closing(open_session(self.url)) as session:
            require_schema(session)
            version = f"PostgreSQL {session.version()}"
            if not tables(session):
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
            name = _scratch_name()
            create_like(session, name, self.database)
            try:
                entered = self._entered(name)
                if entered is None:
                    return self._read_through(programs, file, session, folder, _NO_ENTRY)
                # its own session stays open: a scratch database that nobody uses was left by a killed process
                with closing(entered) as scratch:
                    restore(programs, file, with_database(self.url, name), ["--no-owner", "--no-privileges"])
                    return Rehearsal(count(scratch, schema_of(session)))
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
        return Rehearsal(rows_told(programs, file, session, folder), restored=False, remark=remark)

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

    def export(self, table: str, file: Path) -> None:
        """Let psql write what COPY sends; see `Engine.export`."""
        with closing(open_session(self.url)) as session:
            place, programs = tables(session)[table], self.programs(session)
        commands = [*_AS_TEXT, f"COPY (SELECT * FROM {place}) TO STDOUT (FORMAT csv, HEADER)"]
        words = [*_PSQL, *(f"--command={one}" for one in commands)]
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as to:
            run(programs.psql, words, self.url, f"Cannot export table {table} of {self.name}", into=to)

    def way(self, copy: Copy) -> Way:
        """Switch databases by name where this role may make and rename them; an empty one is emptied in place."""
        with maintenance(self.url, self.database) as admin:
            if copy.state != "data" or admin is None or not may_create_databases(admin):
                return "in place"
            if exists(admin, self.database) and not owns(admin, self.database):
                return "in place"
            return "switch" if self._may_enter_others(admin) else "in place"

    def _may_enter_others(self, admin: PostgresSession) -> bool:
        name = _scratch_name()
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
                with written_aside(kept) as partial:
                    self._dump(programs, partial, [])
            with tempfile.NamedTemporaryFile(dir=what.folder, suffix=".sql") as script:
                _write_script(script.file, session, programs, what.copy)
                words = [*_PSQL, "--single-transaction", f"--file={script.name}"]
                run(programs.psql, words, self.url, f"Cannot restore into {self.name}")
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
            return schema_of(session)

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
            require_schema(self._lock)
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
        file.touch(0o600)
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
    name = parameter(url, "dbname") or unquote(parts.path.removeprefix("/")) or os.environ.get("PGDATABASE")
    user = parameter(url, "user") or unquote(parts.username or "") or os.environ.get("PGUSER")
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


@contextmanager
def _one_state(session: PostgresSession) -> Iterator[str]:
    """See one state of the database in the block; yields the name by which pg_dump sees the same."""
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield str(session.value("SELECT pg_export_snapshot()"))
    finally:
        with suppress(MigrationError):
            session.execute("ROLLBACK")


def _refuse_unreadable(session: PostgresSession, name: str) -> None:
    places = ", ".join(map(literal, tables(session).values()))
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


def _write_script(script: IO[bytes], session: PostgresSession, programs: Programs, copy: Copy) -> None:
    """Write the SQL that empties our schema, puts a copy into it, and fails unless it holds what was backed up."""
    schema = schema_of(session)
    script.write(_emptying(session, copy.figures.tables).encode())
    script.flush()
    if copy.file is not None:
        words = ["--clean", "--if-exists", f"--schema={schema}", "--file=-", str(copy.file)]
        run(programs.restore, words, None, f"Cannot read {copy.file}", into=script)
        script.seek(0, os.SEEK_END)
    script.write(proving(copy.figures, schema).encode())
    script.flush()


def _emptying(session: PostgresSession, kept: Collection[str]) -> str:
    """Return the SQL that drops the tables that stand in our schema now, but for those of some names."""
    lines = ["SET LOCAL lock_timeout = '60s';"]
    for kind, word in (("m", "MATERIALIZED VIEW"), ("r", "TABLE")):
        places = [place for name, place in tables(session, kind=kind).items() if "." not in name and name not in kept]
        lines += [f"DROP {word} {', '.join(places)};"] if places else []
    return "\n".join([*lines, ""])


def _scratch_name() -> str:
    return f"{_SCRATCH}{datetime.now(UTC):%Y%m%d%H%M%S}_{secrets.token_hex(4)}"


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
