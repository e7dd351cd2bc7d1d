"""A SQLite file as the target (contract section 6).

Here: its tables and constraints, and what is done before and after a load. Not here: what both engines do alike
(`target_interface`), opening and making the file (`sqlite_opening`), its lock file (`sqlite_lock`), SQLite's own SQL
and errors (`sqlite_session`), and how values are stored (`sqlite_rows`).

References are checked by `constrain`, and from then on with each row.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from accounts_migration.databases import (
    readings,
    sqlite_lock,
    sqlite_opening,
    sqlite_provisioning,
    sqlite_rows,
    sqlite_structure,
    sqlite_upkeep,
)
from accounts_migration.databases.books import MIGRATION, Books
from accounts_migration.databases.files import resolved
from accounts_migration.databases.loads import BatchToLoad
from accounts_migration.databases.locks import Release
from accounts_migration.databases.provisioning import Provisioning, Throughput
from accounts_migration.databases.schema_versions.known import HEAD, VERSION_TABLE, stamp
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.sqlite_session import SORTING_KIBIBYTES
from accounts_migration.databases.structure import FoundTable, refuse_incompatible
from accounts_migration.databases.target_interface import MOST_KEYS_NAMED, Target, constraint_broken
from accounts_migration.databases.target_schema import ENTITIES, TABLES, Kind, build_tables, entity_indexes, parents_of
from accounts_migration.databases.upkeep import Work

_DIALECT = sqlite.dialect()
_ROWS_ANALYZED = 1000
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
        self.path = resolved(path)
        self._has_rowid: dict[str, bool] = {}
        sqlite_opening.refuse_unusable_path(path)
        if self.path.exists():
            self.session.value("SELECT count(*) FROM sqlite_master")

    def _connect(self) -> Session:
        return sqlite_opening.open_session(self.path, self.name)

    def prepare(self, *, books_alone: bool = False) -> None:
        """Create the file, readable by its owner alone, and the missing tables; see `Target.prepare`."""
        if not self.path.exists():
            sqlite_opening.create_private(self.path)
        wanted = self._wanted(books_alone=books_alone)
        self.refuse_other_version()
        self._compatible(wanted)
        sqlite_opening.set_journal(self.session)
        with self.session.transaction():
            self.refuse_other_version()
            found = self._compatible(wanted)
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
        return self._compatible(build_tables())

    def _compatible(self, wanted: dict[str, sa.Table]) -> dict[str, FoundTable]:
        """Return those of the wanted tables that stand; an error where one cannot take our rows."""
        found = sqlite_structure.found_tables(self.session, wanted)
        refuse_incompatible(self.name, wanted, found, sqlite_structure.judge_type)
        return found

    def constrain(self) -> list[str]:
        """Add the indexes, verify the references, gather statistics; see `Target.constrain`.

        Keys, checks and references stand since the tables were created: SQLite cannot add them later.
        """
        with self.lock():
            done = []
            with self.session.transaction():
                self.session.execute(f"PRAGMA cache_size = -{SORTING_KIBIBYTES}")
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
        return sqlite_provisioning.provisioning(self.session)

    def denied(self, *, others: bool = False) -> list[str]:
        """Take the write lock of the file and give it back; rights of file and folder were looked at on opening."""
        if not self.path.exists():
            return []
        with closing(self._connect()) as session:
            return sqlite_provisioning.denied(session)

    def throughput(self) -> Throughput:
        """Write a scratch file into the folder of the target and onto the disk."""
        return sqlite_provisioning.throughput(self.path.parent, self.name)

    def size(self) -> int:
        """Return the bytes of the file and of its log; 0 where there is none yet."""
        return (self.path.stat().st_size if self.path.exists() else 0) + self._log_size()

    def _before_load(self, session: Session) -> None:
        """Check references with each row once `constrain` has indexed them; before, it checks them all."""
        if self._log_size() > _MOST_LOG_BYTES:
            self._empty_log()
        indexed = {str(index.name) for index in entity_indexes("sqlite")} <= _index_names(session)
        checked = indexed and not self._references_released
        session.execute(f"PRAGMA foreign_keys = {'ON' if checked else 'OFF'}")

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

    def _lock_name(self) -> str:
        return sqlite_lock.lock_name(self.path)

    def _acquire_lock(self) -> Release:
        return sqlite_lock.acquire_lock(self.path, self.name)

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


def _index_names(session: Session) -> set[str]:
    return {row[0] for row in session.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
