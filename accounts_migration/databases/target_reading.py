"""Reading a target database: its rows, its records, and what SQL counts and adds in it (contract section 7).

Here: what reads, alike for both engines. Not here: what writes (`target_interface`), and the SQL of counting
(`readings`, `plausibility`, `workflows`).
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

import pyarrow as pa

from accounts_migration.databases import plausibility, readings, workflows
from accounts_migration.databases.batches import member_conditions, refuse_unknown_label
from accounts_migration.databases.bookkeeping import RecordedBatch, Snapshot
from accounts_migration.databases.sql_text import literal, quoted
from accounts_migration.databases.target_engine import TargetEngine
from accounts_migration.databases.target_schema import TABLES, key_of
from accounts_migration.errors import MigrationError


class TargetReading(TargetEngine):
    """A target database that is read; see `target_interface.Target`."""

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
        """Yield the rows that one load inserted (`BatchLoaded.place`) but its strays, like `scan`.

        On a connection that is kept for the next place, so one scan of a place must end before the next begins.
        """
        if self._place_session is None:
            self._place_session = self._opened()
            self._before_scan(self._place_session)
        yield from self._decode(entity, self._place_session.stream(self._select(entity, place)))

    def scan_keys(self, entity: str, keys: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a few keys, like `scan`; there need be no index."""
        chosen = ", ".join(map(literal, keys))
        return self._read(entity, [f"t.{quoted(key_of(entity))} IN ({chosen})"])

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

    def scan_books(self, table: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table of the bookkeeping, like `scan`."""
        return self._read(table, ["1 = 1"])
