"""The one interface to a target database, whatever engine it is (contract sections 1, 6 and 7).

Here: what writes into a target, alike for both engines: examining it, loading a batch, and its upkeep. Not here: what
reads (`target_reading`), what an engine does in its own way (`target_engine`), the SQL of merging (`merge`) and of the
records (`bookkeeping`), what a load is given and returns (`loads`), and any rule of what a correct row is.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from accounts_migration.databases import readings
from accounts_migration.databases.batches import ALL, keys_outside, refuse_unknown_label
from accounts_migration.databases.bookkeeping import (
    Snapshot,
    is_fresh,
    list_rows,
    loaded_by_batch,
    record_batch,
    record_snapshot,
    refuse_unaccounted,
    replace_defects,
)
from accounts_migration.databases.books import MIGRATION
from accounts_migration.databases.loads import BatchLoaded, BatchToLoad, Rehearsal, carried_table, recorded_batch
from accounts_migration.databases.locks import held_once
from accounts_migration.databases.merge import Changes, foreign_rows, merge
from accounts_migration.databases.references import release
from accounts_migration.databases.schema_versions.known import HEAD, VERSION_TABLE, other_version, version_of
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_reading import TargetReading
from accounts_migration.databases.target_schema import (
    ENTITIES,
    TABLES,
    build_tables,
    canonical_schema,
    entity_indexes,
    key_of,
    kind_of,
)
from accounts_migration.databases.upkeep import Optimised, taken
from accounts_migration.errors import MigrationError
from accounts_migration.streams import read_ahead

ROWS_PER_WRITE = 65_536
MOST_KEYS_NAMED = 5
_REHEARSAL = "accounts_migration_rehearsal"


class Target(TargetReading):
    """A target database. Use it as a context manager, or call `close`.

    Every method raises MigrationError for what its user can act on. A target object is for one thread; each
    scan has a connection of its own, so a scan may stay open while other methods are used.
    """

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

    def has_books(self) -> bool:
        """Return whether the bookkeeping tables stand, beside tables that can hold our rows.

        Whose rows stand there is not looked at, nor whether any load is recorded: after a migration that was stopped
        before its first load, the tables stand empty.

        Raises:
            MigrationError: It is at another version, or a table is not compatible.
        """
        self.refuse_other_version()
        return self._are_books_among(self._incompatible_or_found())

    def _are_books_among(self, found: Iterable[str]) -> bool:
        return set(self.books.tables) <= set(found)

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
        if self._are_books_among(found):
            # a copy of other tables alone makes its books without our tables
            self.refuse_foreign_rows([entity for entity in ENTITIES if entity in found])
            return True
        for entity in ENTITIES:
            present = readings.count_rows(self.session, entity) if entity in found else 0
            if present:
                raise foreign_rows(self.name, self.books, entity, {ALL: (present, 0)})
        return False

    def load_batch(self, batch: BatchToLoad) -> BatchLoaded:
        """Bring a batch into the target, rows and records in one transaction.

        Afterwards the target holds exactly these rows of the batch. A batch that was never loaded, beside batches of
        the same snapshot and policies, is inserted. Any other is merged by key: only rows that differ are written. Rows
        of other batches with the same keys are taken over; rows that go take the rows that refer to them along. Takes
        the lock where it is not held.

        Raises:
            MigrationError: Rows that this migration did not write stand in the way, a row breaks a constraint, not
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

    def release_references(self) -> None:
        """Let rows of the entities go though rows of tables that copies brought refer to them.

        For who carries these tables after the entities, and makes their references anew. Call it after `prepare`.

        Raises:
            MigrationError: The database fails.
        """
        release(self.session)
        self._references_released = True

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
        place: tuple[str, int] | None = None
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
        where, strays = place or (None, 0)
        return BatchLoaded(
            entity,
            batch.batch,
            road,
            loaded,
            **values,
            removed_elsewhere=dict(changes.removed_elsewhere),
            place=where,
            strays=strays,
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
                raise foreign_rows(self.name, self.books, entity, {ALL: (present, recorded)})

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
