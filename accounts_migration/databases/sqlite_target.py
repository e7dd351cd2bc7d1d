"""A SQLite file as the target (contract section 6).

Here: opening and creating the file, its pragmas, its tables and constraints, its lock. Not here: what both engines do
alike (`target_interface`), SQLite's own SQL and errors (`sqlite_session`), and how values are stored (`sqlite_rows`).

Only ADBC's own SQLite may touch the file within a process: a second SQLite library (Python's `sqlite3`), or
plain `open` and `close`, would drop the locks of the first.

The file is put into WAL mode, so that rows can be read back while the next ones are written; where it cannot be (some
network disks), it keeps a rollback journal. Both are safe against kill -9 and power loss: at worst the last batches are
gone as if never loaded, each with its books; what was written is on the disk when the file is closed.
References are checked by `constrain`, and from then on with each row.
"""

import fcntl
import os
import statistics
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy as sa
from adbc_driver_manager import dbapi
from adbc_driver_sqlite import dbapi as sqlite_dbapi
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from accounts_migration.databases import readings, sqlite_rows, sqlite_structure, sqlite_upkeep
from accounts_migration.databases.books import MIGRATION, Books
from accounts_migration.databases.loads import BatchToLoad
from accounts_migration.databases.locks import Release
from accounts_migration.databases.provisioning import (
    BYTES_SENT,
    ROUND_TRIPS,
    Provisioning,
    Throughput,
    incompressible,
)
from accounts_migration.databases.schema_versions.known import HEAD, VERSION_TABLE, stamp
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.sqlite_session import SqliteSession
from accounts_migration.databases.structure import FoundColumn, FoundTable, refuse_incompatible
from accounts_migration.databases.target_interface import MOST_KEYS_NAMED, Target, constraint_broken
from accounts_migration.databases.target_schema import ENTITIES, TABLES, Kind, build_tables, entity_indexes, parents_of
from accounts_migration.databases.upkeep import Work
from accounts_migration.errors import MigrationError

_DIALECT = sqlite.dialect()
_BUSY_MILLISECONDS = 10_000
_CACHE_KIBIBYTES, _SCAN_CACHE_KIBIBYTES = 32_000, 2_000
_ROWS_ANALYZED = 1000
# twice SQLite's own: rows go in, and indexes are built, a tenth faster; larger pages gain no more
_PAGE_BYTES = 8192
_PAGE = 4096
_MOST_LOG_BYTES = 512 * 1024 * 1024


class SqliteTarget(Target):
    """A target in a SQLite file. The file is made by `prepare`, never by reading."""

    engine = "sqlite"
    _dialect = _DIALECT

    def __init__(self, path: Path, books: Books = MIGRATION) -> None:
        """Check the path, and the file if there is one.

        Raises:
            MigrationError: The folder is missing or not writable, or the file is not a SQLite database.
        """
        super().__init__(str(path), books)
        self.path = path.resolve()
        self._has_rowid: dict[str, bool] = {}
        _refuse_unusable_path(path)
        if self.path.exists():
            self.session.value("SELECT count(*) FROM sqlite_master")

    def _connect(self) -> Session:
        if not self.path.exists():
            raise MigrationError(
                f"Cannot use the target {self.name}",
                why="there is no such file",
                remedy="Check the path of TARGET; migrate into it first",
            )
        # mode=rw: opening alone never creates a file
        session = _connected(f"file:{quote(str(self.path))}?mode=rw", self.name)
        try:
            _set_pragmas(session)
        except BaseException:
            session.close()
            raise
        return session

    def prepare(self, *, books_alone: bool = False) -> None:
        """Create the file, readable by its owner alone, and the missing tables; see `Target.prepare`."""
        if not self.path.exists():
            _create_private(self.path)
        wanted = self._wanted(books_alone=books_alone)
        self.refuse_other_version()
        refuse_incompatible(self.name, wanted, _found_tables(self.session, wanted), _judge_type)
        # of a new file alone; one that holds something keeps its own
        self.session.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        self.session.execute("PRAGMA journal_mode = WAL")
        _set_durability(self.session)
        with self.session.transaction():
            self.refuse_other_version()
            found = _found_tables(self.session, wanted)
            refuse_incompatible(self.name, wanted, found, _judge_type)
            for name, table in wanted.items():
                if name not in found:
                    self.session.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
            for index in [index for name in wanted if name not in ENTITIES for index in wanted[name].indexes]:
                self.session.execute(str(CreateIndex(index, if_not_exists=True).compile(dialect=_DIALECT)))
            if not books_alone and not self.stamps():
                stamp(self.session, HEAD)

    def standing(self) -> Collection[str]:
        """Ask the file for tables, views and the like; see `Target.standing`."""
        if not self.path.exists():
            return ()
        names = ", ".join(f"'{name}'" for name in (*TABLES, VERSION_TABLE))
        rows = self.session.execute(f"SELECT lower(name) FROM sqlite_master WHERE lower(name) IN ({names})")
        return [name for (name,) in rows]

    def differences(self) -> list[str]:
        """Hold the tables against the same ones made in memory; see `Target.differences`."""
        return sqlite_structure.differences(self.session, self._whole_ddl())

    def _incompatible_or_found(self) -> Collection[str]:
        if not self.path.exists():
            return ()
        wanted = build_tables()
        found = _found_tables(self.session, wanted)
        refuse_incompatible(self.name, wanted, found, _judge_type)
        return found

    def constrain(self) -> list[str]:
        """Add the indexes, verify the references, gather statistics; see `Target.constrain`.

        Keys, checks and references stand since the tables were created: SQLite cannot add them later.
        """
        with self.lock():
            done = []
            with self.session.transaction():
                done += self._add_indexes()
                self._verify_references()
                self.session.execute(f"PRAGMA analysis_limit = {_ROWS_ANALYZED}")
                for entity in ENTITIES:
                    self.session.execute(f"ANALYZE {quoted(entity)}")
            done.append("verified all references and gathered statistics")
            self._empty_log()
        return done

    def missing_constraints(self) -> list[str]:
        """Return the indexes: keys, checks and references stand since the tables were created."""
        return [str(index.name) for index in self._missing_indexes()]

    def _missing_indexes(self) -> list[sa.Index]:
        present = _index_names(self.session)
        return [index for index in entity_indexes("sqlite") if index.name not in present]

    def _add_indexes(self) -> list[str]:
        missing = self._missing_indexes()
        for index in missing:
            self.session.execute(str(CreateIndex(index).compile(dialect=_DIALECT)))
        return [f"created index {index.name}" for index in missing]

    def _verify_references(self) -> None:
        """Look for orphans by the indexes on the references; also where a table of others does not declare them."""
        for entity in ENTITIES:
            for column, parent in parents_of(entity):
                keys = readings.orphan_keys(self.session, entity, column, parent, MOST_KEYS_NAMED)
                if keys:
                    raise constraint_broken(self.name, entity, f"{entity}_{column}_fkey", keys)

    def _upkeep(self, *, reindex: bool) -> Iterable[Work]:
        return sqlite_upkeep.works(self.session, self.path, self._empty_log)

    def provisioning(self) -> Provisioning:
        """Ask the library that writes the file; a file that does not stand yet wants nothing."""
        if not self.path.exists():
            return Provisioning({"file": "is made by the migration"})
        version, mode = self.session.version(), str(self.session.value("PRAGMA journal_mode"))
        return Provisioning({"version": f"SQLite {version}", "journal": mode})

    def denied(self) -> list[str]:
        """Take the write lock of the file and give it back; rights of file and folder were looked at on opening."""
        if not self.path.exists():
            return []
        with closing(self._connect()) as session:
            session.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS // 10}")
            try:
                with session.transaction():
                    return []
            except MigrationError as error:
                return [error.why]

    def throughput(self) -> Throughput:
        """Write a scratch file into the folder of the target and onto the disk."""
        try:
            with tempfile.TemporaryFile(dir=self.path.parent) as scratch:
                trips = [_written(scratch, _PAGE) for _ in range(ROUND_TRIPS)]
                seconds = _written(scratch, BYTES_SENT)
        except OSError as error:
            raise MigrationError(
                f"Cannot write beside the target {self.name}",
                why=str(error.strerror),
                remedy="Free disk space there, or check the rights of its folder",
            ) from error
        return Throughput(statistics.median(trips), BYTES_SENT, seconds)

    def size(self) -> int:
        """Return the bytes of the file and of its log; 0 where there is none yet."""
        return (self.path.stat().st_size if self.path.exists() else 0) + self._log_size()

    def _before_load(self, session: Session) -> None:
        """Check references with each row once `constrain` has indexed them; before, it checks them all."""
        if self._log_size() > _MOST_LOG_BYTES:
            self._empty_log()
        indexed = {str(index.name) for index in entity_indexes("sqlite")} <= _index_names(session)
        session.execute(f"PRAGMA foreign_keys = {'ON' if indexed else 'OFF'}")

    def _log_size(self) -> int:
        log = self.path.with_name(f"{self.path.name}-wal")
        return log.stat().st_size if log.exists() else 0

    def _empty_log(self) -> None:
        """Write what the log holds into the file; waits for those who read."""
        self.session.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @property
    def reads_beside_writing(self) -> bool:
        """Whether the file is in WAL mode; with a rollback journal a reader stops the writer."""
        return bool(self.session.value("PRAGMA journal_mode") == "wal")

    def _last_place(self, session: Session, entity: str) -> int | None:
        """Return the highest rowid; none for a table made by others that has no rowid or a column of that name."""
        if entity not in self._has_rowid:
            columns = session.execute(f"SELECT 1 FROM pragma_table_xinfo('{entity}') WHERE lower(name) = 'rowid'")
            tables = session.execute(f"SELECT 1 FROM pragma_table_list WHERE lower(name) = '{entity}' AND wr")
            self._has_rowid[entity] = not columns and not tables
        if not self._has_rowid[entity]:
            return None
        return int(session.value(f"SELECT coalesce(max(rowid), 0) FROM {quoted(entity)}"))

    def _place_of(self, session: Session, batch: BatchToLoad, before: int, loaded: int) -> tuple[str, int] | None:
        return f"t.rowid > {before} AND t.rowid <= {self._last_place(session, batch.entity)}", 0

    def _before_scan(self, session: Session) -> None:
        """Keep few pages: a scan reads each once."""
        session.execute(f"PRAGMA cache_size = -{_SCAN_CACHE_KIBIBYTES}")

    def _lock_name(self) -> str:
        return lock_name(self.path)

    def _acquire_lock(self) -> Release:
        return acquire_lock(self.path, self.name)

    def _stored_type(self, kind: Kind) -> pa.DataType:
        return sqlite_rows.stored_type(kind)

    def _encode(self, column: pa.Array, kind: Kind) -> pa.Array:
        return sqlite_rows.encode(column, kind)

    def _select(self, table: str, condition: str) -> str:
        return sqlite_rows.select(table, condition)

    def _decode(self, table: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        first = True
        for batch in batches:
            rows = batch.slice(1) if first else batch
            first = False
            if rows.num_rows:
                yield sqlite_rows.decode(table, rows)


def lock_name(path: Path) -> str:
    """Return what names the lock of a file, whose path is resolved."""
    return f"sqlite:{path}"


def acquire_lock(path: Path, name: str) -> Release:
    """Take the lock of a target file, which need not exist or be a database; see `Target.lock`.

    Args:
        path: The file, resolved.
        name: How it is shown.

    Raises:
        MigrationError: Another process holds the lock.
    """
    beside = path.with_name(f"{path.name}.lock")
    descriptor = _locked(beside, name)
    while not _is_file_of(descriptor, beside):
        # whoever held it found no target to keep it beside, and removed it between our opening and our locking
        os.close(descriptor)
        descriptor = _locked(beside, name)
    _give_to_owner(descriptor, path if path.exists() else path.parent)
    return lambda: _release_lock(descriptor, beside, path)


def _give_to_owner(descriptor: int, model: Path) -> None:
    """Give root's lock file to the owner of the target, who could not open it the next time."""
    owner = model.stat()
    if os.geteuid() == 0 and os.fstat(descriptor).st_uid != owner.st_uid:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _release_lock(descriptor: int, beside: Path, path: Path) -> None:
    """Let go; of a migration that was refused before it made the target, no lock file stays either."""
    if not path.exists():
        with suppress(OSError):
            beside.unlink()
    os.close(descriptor)


def _locked(beside: Path, name: str) -> int:
    what = f"Cannot write into {name}"
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MigrationError(
            what,
            why=f"its lock file cannot be opened: {error.strerror}",
            remedy="Check the rights of its folder",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise MigrationError(
            what,
            why=f"another migration or copy is writing to {name}",
            remedy="Wait for it to end, or stop it",
        ) from None
    return descriptor


def _written(scratch: IO[bytes], size: int) -> float:
    """Write some bytes onto the disk and return the seconds that it took."""
    payload = incompressible(size)
    started = time.perf_counter()
    scratch.write(payload)
    scratch.flush()
    os.fsync(scratch.fileno())
    return time.perf_counter() - started


def _refuse_unusable_path(path: Path) -> None:
    what = f"Cannot use the target {path}"
    folder = path.resolve().parent
    if path.is_dir():
        raise MigrationError(what, why="it is a folder", remedy="Name a file in it")
    if not folder.is_dir():
        raise MigrationError(what, why=f"there is no folder {folder}", remedy="Create it, or name another path")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MigrationError(
            what,
            why=f"the folder {folder} is not writable",
            remedy="Give this user the right, or name another path",
        )
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise MigrationError(what, why="the file is not writable", remedy="Give this user the right to write to it")


def _is_file_of(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _create_private(path: Path) -> None:
    """Make an empty file that its owner alone can read; SQLite gives its journals the same rights."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise MigrationError(
            f"Cannot create the target {path}",
            why=str(error.strerror),
            remedy="Check the folder, or name another path",
        ) from error


def _connected(uri: str, name: str) -> SqliteSession:
    try:
        return SqliteSession(sqlite_dbapi.connect(uri, autocommit=True), name)
    except dbapi.Error:
        pass
    raise MigrationError(
        f"Cannot use the target {name}",
        why="it cannot be opened",
        remedy="Check the path and the rights of this user",
    )


def _set_pragmas(session: Session) -> None:
    session.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    session.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
    # macOS: reach the disk itself, not only its cache
    session.execute("PRAGMA fullfsync = ON")
    session.execute("PRAGMA foreign_keys = ON")
    _set_durability(session)


def _set_durability(session: Session) -> None:
    """Wait for the disk where a power loss could damage the file; in WAL mode that is when its log is emptied."""
    if session.value("PRAGMA journal_mode") == "wal":
        session.execute("PRAGMA synchronous = NORMAL")
    else:
        session.execute("PRAGMA journal_mode = TRUNCATE")
        session.execute("PRAGMA synchronous = FULL")


def _index_names(session: Session) -> set[str]:
    return {row[0] for row in session.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}


def _found_tables(session: Session, wanted: dict[str, sa.Table]) -> dict[str, FoundTable]:
    rows = session.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')")
    kinds = {name.lower(): (name, kind) for name, kind in rows}
    return {name: _found_table(session, *kinds[name]) for name in wanted if name in kinds}


def _found_table(session: Session, name: str, kind: str) -> FoundTable:
    # table_xinfo: cid, name, type, notnull, default, place in the key, hidden (2 and 3: generated)
    rows = session.execute(f"PRAGMA table_xinfo({quoted(name)})")
    columns = {row[1].lower(): FoundColumn(row[2], bool(row[3]), row[4] is not None, row[6] in (2, 3)) for row in rows}
    key = tuple(row[1].lower() for row in sorted(rows, key=lambda row: row[5]) if row[5])
    return FoundTable(kind, columns, key)


def _judge_type(kind: Kind, declared: str) -> str | None:
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
