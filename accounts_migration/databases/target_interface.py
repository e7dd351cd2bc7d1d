"""The one interface to a target database, whatever engine it is (contract sections 1, 6 and 7).

Here: what a target can do, and everything of it that both engines do alike: loading a batch, reading back,
counting. Not here: what an engine does in its own way (`sqlite_target`, `postgres_target`), the SQL of
merging (`merge`) and of the records (`bookkeeping`), what a load is given and returns (`loads`), and any rule
of what a correct row is.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from accounts_migration.databases import plausibility, readings, workflows
from accounts_migration.databases.batches import ALL, keys_outside, member_conditions, refuse_unknown_label
from accounts_migration.databases.bookkeeping import (
    RecordedBatch,
    Snapshot,
    is_fresh,
    list_rows,
    loaded_by_batch,
    record_batch,
    record_snapshot,
    refuse_unaccounted,
    replace_defects,
)
from accounts_migration.databases.books import MIGRATION, Books
from accounts_migration.databases.loads import BatchLoaded, BatchToLoad, Rehearsal, carried_table, recorded_batch
from accounts_migration.databases.locks import Release, held_once
from accounts_migration.databases.merge import Changes, foreign_rows, merge
from accounts_migration.databases.provisioning import Provisioning, Throughput
from accounts_migration.databases.schema_versions.known import HEAD, VERSION_TABLE, other_version, version_of
from accounts_migration.databases.session import Session
from accounts_migration.databases.target_schema import (
    ENTITIES,
    TABLES,
    Kind,
    build_tables,
    canonical_schema,
    entity_indexes,
    key_of,
    kind_of,
    quoted,
)
from accounts_migration.databases.upkeep import Optimised, Work, taken
from accounts_migration.errors import MigrationError
from accounts_migration.streams import read_ahead

ROWS_PER_WRITE = 65_536
MOST_KEYS_NAMED = 5
_REHEARSAL = "accounts_migration_rehearsal"


class Target(ABC):
    """A target database. Use it as a context manager, or call `close`.

    Every method raises MigrationError for what its user can act on. A target object is for one thread; each
    scan has a connection of its own, so a scan may stay open while other methods are used.
    """

    engine: Literal["sqlite", "postgresql"]
    _dialect: sa.Dialect
    name: str
    """How the target is shown: its URL or path without any password."""

    def __init__(self, name: str, books: Books) -> None:
        """Keep the name, and which books loads are recorded in; connections are opened when needed."""
        self.name = name
        self.books = books
        self._session: Session | None = None
        self._place_session: Session | None = None
        self._locks_held = 0
        self._without_foreign_rows: set[str] = set()

    def __enter__(self) -> Self:
        """Return the target itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the target."""
        self.close()

    def close(self) -> None:
        """Close the connection; nothing that was not committed stays."""
        for session in (self._session, self._place_session):
            if session is not None:
                session.close()
        self._session = self._place_session = None

    def _wanted(self, *, books_alone: bool) -> dict[str, sa.Table]:
        """Return the tables that `prepare` is to find or make."""
        tables = build_tables()
        return {name: tables[name] for name in (self.books.tables if books_alone else tables)}

    @property
    def session(self) -> Session:
        """The connection for everything but scans."""
        if self._session is None:
            self._session = self._opened()
        return self._session

    def _opened(self) -> Session:
        session = self._connect()
        session.books = self.books
        return session

    # -- what an engine does in its own way
    # ---------------------------------------------------------------------

    @abstractmethod
    def prepare(self, *, books_alone: bool = False) -> None:
        """Create the missing tables in one transaction, after finding those that stand compatible; stamp the version.

        Idempotent; of two processes at once, one waits for the other.

        Args:
            books_alone: Whether only the tables of the books are to stand, for a database that is to hold no entity;
                such a one has no version.

        Raises:
            MigrationError: The target is at another version, a table is not compatible (every difference is named), or
                is a view. Nothing was written.
        """

    @abstractmethod
    def standing(self) -> Collection[str]:
        """Return which of our names stand in the target, the version's table among them, whatever has the name."""

    @abstractmethod
    def differences(self) -> list[str]:
        """Return how the tables differ from this program's version of them, a few words for each; writes nothing.

        Columns, types, NOT NULL, keys, checks, references and indexes are compared, also those that come after a load.
        """

    @abstractmethod
    def _incompatible_or_found(self) -> Collection[str]:
        """Return which of our tables stand, having refused those that are not compatible."""

    @abstractmethod
    def constrain(self) -> list[str]:
        """Add the missing keys, checks, references and indexes, verify all references, gather statistics.

        Returns:
            What was done, a sentence for each.

        Raises:
            MigrationError: A row breaks a constraint; names table, constraint and up to 5 keys. Nothing was
                added.
        """

    @abstractmethod
    def _upkeep(self, *, reindex: bool) -> Iterable[Work]:
        """Return the steps of `optimise`."""

    @abstractmethod
    def size(self) -> int:
        """Return the bytes that the database takes."""

    @abstractmethod
    def missing_constraints(self) -> list[str]:
        """Return the names of what `constrain` would add to the tables that stand: keys, checks, indexes and so on."""

    @abstractmethod
    def provisioning(self) -> Provisioning:
        """Return what the database tells of itself, and what of it stands in a migration's way; writes nothing."""

    @abstractmethod
    def denied(self) -> list[str]:
        """Return what this user may not do though a migration does it, a few words for each; writes nothing.

        Raises:
            MigrationError: A table is not compatible.
        """

    @abstractmethod
    def throughput(self) -> Throughput:
        """Measure how fast the target takes bytes, by a temporary table, or a scratch file beside a file.

        Raises:
            MigrationError: Nothing can be sent there.
        """

    @abstractmethod
    def _connect(self) -> Session:
        """Open a connection."""

    @abstractmethod
    def _lock_name(self) -> str:
        """Return what names the lock: equal for all URLs of the same database."""

    @abstractmethod
    def _acquire_lock(self) -> Release:
        """Take the migration's lock, or raise MigrationError at once; it must end with this process."""

    @abstractmethod
    def _stored_type(self, kind: Kind) -> pa.DataType:
        """Return the Arrow type in which this engine takes a column of the kind."""

    @abstractmethod
    def _encode(self, column: pa.Array, kind: Kind) -> pa.Array:
        """Return a canonical column in its stored type."""

    @abstractmethod
    def _select(self, table: str, condition: str) -> str:
        """Return the query whose rows `_decode` reads."""

    @abstractmethod
    def _decode(self, table: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Return the rows of `_select` in canonical types, with the column `inexact`."""

    def _before_load(self, session: Session) -> None:  # noqa: B027  # PostgreSQL needs nothing
        """Set what cannot be set within the transaction."""

    @property
    def reads_beside_writing(self) -> bool:
        """Whether rows can be read on another connection while this one writes, without either failing."""
        return True

    def _last_place(self, session: Session, entity: str) -> int | None:
        """Return the place behind which the next rows of the table will stand, if the engine can tell."""
        return None

    def _place_of(self, session: Session, batch: BatchToLoad, before: int, loaded: int) -> str | None:
        """Return the SQL condition under which a row `t` was inserted behind the place; None where nobody can tell."""
        return None

    def _before_scan(self, session: Session) -> None:  # noqa: B027  # an engine may need nothing
        """Set what makes a scan read in storage order."""

    # -- writing
    # ------------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the target for this process: a second migration into it is refused at once.

        Re-entrant within the process; freed by the system when the process dies.

        Raises:
            MigrationError: Another process holds it.
        """
        with held_once(self._lock_name(), self._acquire_lock):
            if self._locks_held == 0:
                self._without_foreign_rows.clear()
            self._locks_held += 1
            try:
                yield
            finally:
                self._locks_held -= 1

    def stamps(self) -> list[str]:
        """Return what stands in the version's table: one version, or nothing where the target has none."""
        if VERSION_TABLE not in self.standing():
            return []
        return [str(version) for (version,) in self.session.execute(f"SELECT version_num FROM {VERSION_TABLE}")]

    def version(self) -> str | None:
        """Return the version of the tables that stand in the target; None where no migration has been there."""
        return version_of(self.stamps(), self.standing())

    def refuse_other_version(self) -> None:
        """Raise MigrationError where the tables are at another version than this program's, older or newer."""
        version = self.version()
        if version not in (None, HEAD):
            raise other_version(self.name, version)

    def _whole_ddl(self) -> list[str]:
        """Return the statements that make all tables with everything that they have in the end."""
        ddl: list[CreateTable | CreateIndex] = []
        for table in build_tables().values():
            indexes = [index for index in table.indexes if index.info.get("engine", self.engine) == self.engine]
            ddl += [CreateTable(table), *map(CreateIndex, indexes)]
        return [str(one.compile(dialect=self._dialect)).strip() for one in ddl]

    def examine(self) -> bool:
        """Find out, writing nothing, whether this target can be migrated into.

        Returns:
            Whether a migration has been here before: its bookkeeping tables stand.

        Raises:
            MigrationError: It is at another version, a table is not compatible, or rows stand in it that this migration
                did not write.
        """
        self.refuse_other_version()
        found = self._incompatible_or_found()
        recorded = set(self.books.tables) <= set(found)
        if recorded:
            self.refuse_foreign_rows(ENTITIES)
            return True
        for entity in ENTITIES:
            present = readings.count_rows(self.session, entity) if entity in found else 0
            if present:
                raise foreign_rows(self.name, self.books, entity, {"all": (present, 0)})
        return False

    def load_batch(self, batch: BatchToLoad) -> BatchLoaded:
        """Bring a batch into the target, rows and records in one transaction.

        Afterwards the target holds exactly these rows of the batch.
        A batch that was never loaded, beside batches of the same snapshot and policies, is inserted. Any
        other is merged by key: only rows that differ are written. Rows of other batches with the same keys
        are taken over; rows that go take the rows that refer to them along. Takes the lock where it is not
        held.

        Raises:
            MigrationError: Rows that this migration did not write stand in the way, a row breaks a
                constraint, not
                every source row is accounted for, or the database fails. Nothing was written.
        """
        refuse_unknown_label(batch.entity, batch.batch)
        with self.lock():
            self._refuse_foreign_rows_once(batch.entity)
            self._before_load(self.session)
            try:
                with self.session.transaction():
                    return self._load(batch)
            except BaseException:
                self._without_foreign_rows.discard(batch.entity)
                raise

    def unchanged(self, entity: str, digests: Mapping[str, str]) -> set[str]:
        """Return those of the batches (batch -> content digest) that were loaded with this very content.

        As many rows as were loaded must still stand, counted in the table; whether they are the same rows only
        reading them back can tell.
        """
        whole = {
            record.batch: record.loaded
            for record in self.recorded_batches()
            if record.entity == entity
            and record.content_digest == digests.get(record.batch)
            and record.source_rows == record.loaded + record.rejected + record.excluded
        }
        counts = self.counts_by_batch(entity) if whole else {}
        return {batch for batch, loaded in whole.items() if counts.get(batch, 0) == loaded}

    def keep_batch(self, batch: BatchToLoad) -> BatchLoaded:
        """Record a batch whose rows stand already (see `unchanged`): its books and defects are written, no row is.

        Raises:
            MigrationError: Not every source row is accounted for, or the database fails. Nothing was written.
        """
        with self.lock(), self.session.transaction():
            loaded = self.session.value(
                f"SELECT loaded FROM {self.books.batch} WHERE entity = $1 AND batch = $2", (batch.entity, batch.batch)
            )
            self._record(batch, int(loaded))
        return BatchLoaded(batch.entity, batch.batch, "keep", int(loaded), 0, 0, 0)

    def carry_books(self, snapshot: Snapshot, tables: Mapping[str, Iterable[pa.RecordBatch]]) -> dict[str, int]:
        """Bring the migration's bookkeeping of another database into this one, all of it in one transaction.

        Args:
            snapshot: Where it comes from; recorded as that of each table.
            tables: Every table of `books.MIGRATION` -> its rows in canonical types, streamed once.

        Returns:
            Table -> rows that stand now, counted there.

        Raises:
            MigrationError: The tables hold rows that no copy brought, or the database fails. Nothing was written.
        """
        with self.lock(), self.session.transaction():
            brought = {name: sum(loaded_by_batch(self.session, name).values()) for name in tables}
            for name, rows in brought.items():
                present = readings.count_rows(self.session, name)
                if present > rows:
                    raise foreign_rows(self.name, self.books, name, {ALL: (present, rows)})
            # a batch refers to its snapshot, so the snapshots come first and go last
            for name in reversed(MIGRATION.tables):
                self.session.execute(f"DELETE FROM {quoted(name)}")
            record_snapshot(self.session, snapshot)
            for name in MIGRATION.tables:
                stored = (self._stored(name, part) for part in tables[name])
                self.session.ingest(name, self._stored_schema(name), stored)
                record_batch(self.session, carried_table(name, snapshot, readings.count_rows(self.session, name)))
            return {name: readings.count_rows(self.session, name) for name in MIGRATION.tables}

    def scan_books(self, table: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table of the bookkeeping, like `scan`."""
        return self._read(table, ["1 = 1"])

    def optimise(self, *, reindex: bool = False) -> Optimised:
        """Prove the database whole, give back what it does not need, and gather statistics; no row changes.

        Args:
            reindex: Whether indexes are built anew also where the engine has no use for it after a load.

        Raises:
            MigrationError: A migration is at work, the database is damaged, there is too little disk space, or a right
                is missing. What was done before stays; the data is as it was.
        """
        with self.lock():
            return taken(self._upkeep(reindex=reindex), self.size)

    def _load(self, batch: BatchToLoad) -> BatchLoaded:
        session, entity = self.session, batch.entity
        road: Literal["insert", "merge"]
        place: str | None = None
        if is_fresh(session, entity, batch.batch, batch.snapshot.snapshot_id, batch.policies_digest):
            road = "insert"
            before = self._last_place(session, entity)
            loaded = self._insert(batch)
            changes = Changes(inserted=loaded)
            if before is not None:
                place = self._place_of(session, batch, before, loaded)
        else:
            road = "merge"
            rows = (part for part, _ in self._stored_rows(batch))
            loaded, changes = merge(session, entity, batch.batch, self._stored_schema(entity), rows)
        self._record(batch, loaded)
        values = {"inserted": changes.inserted, "updated": changes.updated, "removed": changes.removed}
        return BatchLoaded(
            entity, batch.batch, road, loaded, **values, removed_elsewhere=dict(changes.removed_elsewhere), place=place
        )

    def _record(self, batch: BatchToLoad, loaded: int) -> None:
        defects = replace_defects(self.session, batch.entity, batch.batch, batch.defects)
        record_snapshot(self.session, batch.snapshot)
        recorded = recorded_batch(batch, loaded, defects["rows repaired"])
        refuse_unaccounted(recorded, defects)
        record_batch(self.session, recorded)

    def _insert(self, batch: BatchToLoad) -> int:
        outside: list[pa.Array] = []

        def parts() -> Iterator[pa.RecordBatch]:
            # the next part is encoded while the database takes this one, if there is one
            encoded = self._stored_rows(batch)
            for stored, keys in read_ahead(encoded) if batch.source_rows > ROWS_PER_WRITE else encoded:
                outside.append(keys)
                yield stored

        before = self.session.inserted_so_far(batch.entity)
        self.session.ingest(batch.entity, self._stored_schema(batch.entity), parts())
        inserted = self.session.inserted_so_far(batch.entity) - before
        list_rows(self.session, batch.entity, batch.batch, pa.chunked_array(outside, pa.string()))
        return inserted

    def _stored_schema(self, table: str) -> pa.Schema:
        columns = TABLES[table].columns
        return pa.schema([pa.field(column.name, self._stored_type(kind_of(column))) for column in columns])

    def _stored_rows(self, batch: BatchToLoad) -> Iterator[tuple[pa.RecordBatch, pa.Array]]:
        """Yield the rows in stored form, each part with the keys that must be listed."""
        schema = canonical_schema(batch.entity)
        for whole in batch.rows:
            if not whole.schema.equals(schema):
                raise TypeError(f"rows of {batch.entity} must have the schema {schema}, not {whole.schema}")
            for start in range(0, whole.num_rows, ROWS_PER_WRITE):
                part = whole.slice(start, ROWS_PER_WRITE)
                yield self._stored(batch.entity, part), keys_outside(batch.entity, batch.batch, part)

    def _stored(self, entity: str, rows: pa.RecordBatch) -> pa.RecordBatch:
        columns = zip(rows.columns, TABLES[entity].columns, strict=True)
        stored = [self._encode(cells, kind_of(column)) for cells, column in columns]
        return pa.RecordBatch.from_arrays(stored, schema=self._stored_schema(entity))

    def refuse_foreign_rows(self, entities: Sequence[str]) -> None:
        """Raise MigrationError where a table holds more rows than this migration recorded as loaded."""
        for entity in entities:
            present = readings.count_rows(self.session, entity)
            recorded = sum(loaded_by_batch(self.session, entity).values())
            if present > recorded:
                raise foreign_rows(self.name, self.books, entity, {"all": (present, recorded)})

    def _refuse_foreign_rows_once(self, entity: str) -> None:
        """Count a table once while the lock is held by the caller, not again for each of its batches."""
        if entity not in self._without_foreign_rows:
            self.refuse_foreign_rows([entity])
            if self._locks_held > 1:
                self._without_foreign_rows.add(entity)

    def rehearse(self, entity: str, rows: Sequence[pa.RecordBatch]) -> Rehearsal:
        """Load rows into a table made for it, index it, and undo everything: how quick this target is.

        All of it is one transaction that is rolled back, so that nothing of it stays and nobody sees it.

        Args:
            entity: What the rows are.
            rows: Record batches in canonical form.

        Raises:
            MigrationError: The database fails, or this user may not create a table.
        """
        started = time.monotonic()
        with suppress(_RolledBack), self.session.transaction():
            self.session.execute(str(CreateTable(_rehearsal_table(entity)).compile(dialect=self._dialect)))
            parts = (self._stored(entity, part) for part in rows)
            self.session.ingest(_REHEARSAL, self._stored_schema(entity), parts)
            for number, columns in enumerate(_indexed(entity, self.engine)):
                self.session.execute(f"CREATE INDEX {_REHEARSAL}_{number} ON {_REHEARSAL} ({columns})")
            size = self.session.table_size(_REHEARSAL)
            raise _RolledBack
        return Rehearsal(sum(part.num_rows for part in rows), time.monotonic() - started, size)

    # -- reading
    # ------------------------------------------------------------------------------------------------

    def scan(self, entity: str, batch: str | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the table's rows as they are stored, in storage order, on a connection of its own.

        Args:
            entity: The table.
            batch: Only the rows of this batch; None reads all.

        Yields:
            Record batches of the canonical schema and the further column `inexact` (string): null, or a
            JSON object of column names to what stands there, for cells that are no value this migration
            writes (a third decimal, text or NULL for an amount, NaN, a date that is none). Such a cell
            itself is null.
        """
        if batch is None:
            return self._read(entity, ["1 = 1"])
        refuse_unknown_label(entity, batch)
        return self._read(entity, member_conditions(entity, batch, self.books))

    def scan_place(self, entity: str, place: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows that one load inserted (`BatchLoaded.place`), like `scan`.

        On a connection that is kept for the next place, so one scan of a place must end before the next begins.
        """
        if self._place_session is None:
            self._place_session = self._opened()
            self._before_scan(self._place_session)
        yield from self._decode(entity, self._place_session.stream(self._select(entity, place)))

    def defects(self, entity: str | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the recorded defects, all or one entity's; the last column, `inexact`, is null."""
        if entity is not None and entity not in TABLES:
            raise MigrationError(f"There is no entity {entity!r}", why="its name is unknown", remedy="Check the name")
        return self._read(self.books.defect, ["1 = 1" if entity is None else f"entity = '{entity}'"])

    def _read(self, table: str, conditions: Sequence[str]) -> Iterator[pa.RecordBatch]:
        session = self._opened()
        try:
            self._before_scan(session)
            for condition in conditions:
                yield from self._decode(table, session.stream(self._select(table, condition)))
        finally:
            session.close()

    def _records(self, table: str) -> list[dict[str, Any]]:
        parts = self._decode(table, self.session.stream(self._select(table, "1 = 1")))
        return [row for part in parts for row in part.drop_columns("inexact").to_pylist()]

    def count(self, entity: str) -> int:
        """Return the number of rows that stand in the table."""
        return readings.count_rows(self.session, entity)

    def counts_by_batch(self, entity: str) -> dict[str, int]:
        """Return the number of rows that stand in the table, by batch; batches without rows are left out."""
        return readings.count_by_batch(self.session, entity)

    def recorded_batches(self) -> list[RecordedBatch]:
        """Return what was recorded of each loaded batch, ordered by entity and batch."""
        recorded = [RecordedBatch(**row) for row in self._records(self.books.batch)]
        return sorted(recorded, key=lambda batch: (batch.entity, batch.batch))

    def defect_counts(self) -> dict[tuple[str, str, str], int]:
        """Return the number of defect records by (entity, batch, action)."""
        rows = self.session.execute(
            f"SELECT entity, batch, action, count(*) FROM {self.books.defect}"
            " GROUP BY entity, batch, action ORDER BY 1, 2, 3"
        )
        return {(entity, batch, action): count for entity, batch, action, count in rows}

    def defect_reasons(self, entity: str) -> dict[tuple[str, str, str, str], int]:
        """Return the number of an entity's defect records by (batch, action, reason, reasons)."""
        rows = self.session.execute(
            f"SELECT batch, action, reason, reasons, count(*) FROM {self.books.defect} WHERE entity = $1"
            " GROUP BY batch, action, reason, reasons ORDER BY 1, 2, 3, 4",
            (entity,),
        )
        return {(batch, action, reason, reasons): count for batch, action, reason, reasons, count in rows}

    def counts_by_value(self, entity: str, column: str) -> dict[str, int]:
        """Return the number of rows that stand in the table, for each value of a column."""
        return readings.count_by_value(self.session, entity, column)

    def latest_snapshot(self) -> Snapshot | None:
        """Return the snapshot of the batch that was loaded last; None before the first load."""
        recorded = self.recorded_batches()
        if not recorded:
            return None
        last = max(recorded, key=lambda batch: batch.loaded_at).snapshot_id
        return next(Snapshot(**row) for row in self._records(self.books.snapshot) if row["snapshot_id"] == last)

    def control_totals(self, entity: str, *, by_batch: bool = False) -> readings.Totals:
        """Return exact counts and sums in cents, by SQL; see `readings.control_totals`.

        `account`: by (product_id, status): rows, balance. `transaction`: by (transaction_type,), or
        (batch, transaction_type): rows, amount, balance_after.
        """
        return readings.control_totals(self.session, entity, by_batch=by_batch)

    def plausibility(self, as_of: datetime) -> list[plausibility.Finding]:
        """Return what is possible and yet strange, by SQL on a connection of its own; see `plausibility.findings`."""
        with closing(self._opened()) as session:
            return list(plausibility.findings(session, as_of))

    def workflows(self) -> list[workflows.Workflow]:
        """Ask what the users of the service ask; see `workflows.workflows`."""
        return list(workflows.workflows(self.session))

    def server_version(self) -> str:
        """Return the version of the server, or of the library that reads the file."""
        return self.session.version()

    def referential_integrity(self) -> dict[str, int]:
        """Return the number of rows without their parent, by `account->customer` and so on."""
        return readings.orphans(self.session)


class _RolledBack(Exception):
    """Ends a rehearsal: the transaction is to be undone."""


def _rehearsal_table(entity: str) -> sa.Table:
    """Return the table without keys and checks, as a load finds it in PostgreSQL."""
    return sa.Table(_REHEARSAL, sa.MetaData(), *(sa.Column(one.name, one.type) for one in TABLES[entity].columns))


def _indexed(entity: str, engine: str) -> list[str]:
    indexes = [index for index in entity_indexes(engine) if index.table is TABLES[entity]]
    return [key_of(entity), *(", ".join(column.name for column in index.columns) for index in indexes)]


def constraint_broken(name: str, table: str, constraint: str, keys: Sequence[str]) -> MigrationError:
    """Return the error that rows already in the target break a constraint, naming some of them."""
    named = ", ".join(keys[:MOST_KEYS_NAMED])
    return MigrationError(
        f"The constraints of {name} do not hold",
        why=f"rows of table {table} break {constraint}" + (f", for example {named}" if named else ""),
        remedy="No constraint was added. Load the batches of these rows and of their parents again",
    )
