"""What a load of a batch is given, what it did, and what the books say of it.

Here: the plain data that goes into and comes out of `target_interface.Target.load_batch`. Not here: loading.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa

from accounts_migration.databases.batches import ALL
from accounts_migration.databases.bookkeeping import RecordedBatch, Snapshot


@dataclass(frozen=True, slots=True)
class BatchToLoad:
    """A cleaned batch and all that is recorded of it.

    `rows` are record batches in the canonical types of `target_schema.canonical_schema(entity)`; `defects`
    have the columns of `migration_defect`. Both are streamed once and never held whole. The number of
    loaded rows is not given: the database counts it, and `source_rows = loaded + rejected + excluded` must
    then hold.
    """

    entity: str
    batch: str
    snapshot: Snapshot
    policies: str
    policies_digest: str
    content_digest: str
    source_rows: int
    rejected: int
    excluded: int
    control_totals: str
    rows: Iterable[pa.RecordBatch]
    defects: Iterable[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class BatchLoaded:
    """What a load did.

    `loaded` is the number of the batch's rows that now stand in the table, counted there. `road` tells whether rows
    were simply inserted, merged, or kept as they stand. `removed_elsewhere` counts rows taken from other batches, by
    (entity, batch): these batches want loading again. `place` is the SQL condition under which a row `t` was inserted
    by this load, where the engine can tell and find such rows quickly, even while the next batch is loaded; `strays`
    are the rows of this load that do not stand there.
    """

    entity: str
    batch: str
    road: Literal["insert", "merge", "keep"]
    loaded: int
    inserted: int
    updated: int
    removed: int
    removed_elsewhere: Mapping[tuple[str, str], int] = field(default_factory=dict)
    place: str | None = None
    strays: int = 0

    @property
    def rows_written(self) -> int:
        """The number of entity rows that were inserted, updated or removed; 0 for an unchanged re-load."""
        return self.inserted + self.updated + self.removed + sum(self.removed_elsewhere.values())


def recorded_batch(batch: BatchToLoad, loaded: int, repaired: int) -> RecordedBatch:
    """Return what the books say of a batch; `loaded` and `repaired` are rows counted in the target, the time is now."""
    given = {item.name for item in dataclasses.fields(BatchToLoad)}
    same = {item.name: getattr(batch, item.name) for item in dataclasses.fields(RecordedBatch) if item.name in given}
    return RecordedBatch(
        **same,
        snapshot_id=batch.snapshot.snapshot_id,
        loaded=loaded,
        repaired=repaired,
        loaded_at=datetime.now(UTC).replace(tzinfo=None),
    )


def carried_table(table: str, snapshot: Snapshot, rows: int) -> RecordedBatch:
    """Return what the books say of a table that is no entity's and was copied whole; the time is now."""
    return RecordedBatch(
        entity=table,
        batch=ALL,
        snapshot_id=snapshot.snapshot_id,
        source_rows=rows,
        loaded=rows,
        rejected=0,
        excluded=0,
        repaired=0,
        control_totals="{}",
        content_digest="",
        policies="{}",
        policies_digest="",
        loaded_at=datetime.now(UTC).replace(tzinfo=None),
    )


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How quick a target is: rows that were loaded and indexed on trial, the seconds it took, the bytes they filled."""

    rows: int
    seconds: float
    size: int
