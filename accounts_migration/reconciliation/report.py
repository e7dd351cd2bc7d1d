"""The whole reconciliation of a target with its snapshot (contract section 7), from counts and sums of both databases.

Here: putting rows, totals and completeness together. Not here: content row by row
(`accounts_migration.reconciliation.content`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.beside import begun_beside
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.totals import Totals
from accounts_migration.reconciliation.accounting import BatchLaw, laws, total
from accounts_migration.reconciliation.promises import (
    ControlTotal,
    Promises,
    control_totals,
    left_behind,
    promises_of,
)
from accounts_migration.reconciliation.target_totals import BatchFigures, counts_and_totals

_IN_MONTHS = "transaction"


@dataclass(frozen=True, slots=True)
class Months:
    """What stands of transactions in each batch: `promised` by the snapshot (group -> cents), and in the target."""

    promised: dict[str, Totals]
    standing: BatchFigures


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Rows by entity and batch, control totals, and the batches that are not loaded from the snapshot yet.

    Totals are those of the batches that are loaded; `months` stand only where they were asked for.
    """

    batches: list[BatchLaw]
    entities: list[BatchLaw]
    totals: list[ControlTotal]
    missing: list[str]
    months: Months | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether every batch of the snapshot is loaded from it, and none of another one stands."""
        return not self.missing


def reconcile(
    snapshot: Snapshot,
    policies: Policies,
    target: Target,
    *,
    of_any_snapshot: bool = False,
    entities: Mapping[str, Entity] = ENTITIES,
    by_month: bool = False,
    promises: Callable[[], Promises] | None = None,
) -> Reconciliation:
    """Count and add on both sides.

    Args:
        snapshot: The source.
        policies: Those the target was loaded under.
        target: The target.
        of_any_snapshot: Whether batches that were loaded from another snapshot are held against this one, too.
        entities: The four entities, as the snapshot's source holds them.
        by_month: Whether the figures of each month of transactions are kept, for a report.
        promises: Gives what the whole snapshot promises, where that was begun before; asked where all of it is loaded.
    """
    records = target.recorded_batches()
    of_others = [] if of_any_snapshot else [one for one in records if one.snapshot_id != snapshot.snapshot_id]
    of_other_snapshots = {(record.entity, record.batch) for record in of_others}
    recorded = {(record.entity, record.batch) for record in records} - of_other_snapshots
    loaded = {
        name: [batch for batch in sorted(snapshot.tables[entity.legacy_table].batches) if (name, batch) in recorded]
        for name, entity in entities.items()
    }
    defects = target.defect_counts()
    promised, standing = _added_up(snapshot, policies, target, entities, by_month, loaded, promises)
    months = None if promised.months is None else Months(promised.months, standing[_IN_MONTHS])
    found = Reconciliation([], [], [], [], months)
    for name, entity in entities.items():
        source = snapshot.tables[entity.legacy_table].batches
        figures = standing[name]
        present = {batch for batch, rows in figures.rows.items() if rows}
        # what waits to be replaced or emptied from this snapshot is missing, not wrong; else rows must be explained
        waiting = {batch for batch in present if (name, batch) in of_other_snapshots}
        found.missing.extend(f"{name} {batch}" for batch in sorted({*source, *waiting} - {*loaded[name]}))
        counted = sorted({*loaded[name], *present} - waiting)
        lines = laws(name, source, figures.rows, defects, counted)
        found.batches.extend(lines)
        found.entities.append(total(name, lines))
        left = left_behind(entity, _of_batches(target.defects(name), counted), policies)
        found.totals.extend(control_totals(name, promised.totals[name], figures.of(counted), left))
    return found


def _added_up(
    snapshot: Snapshot,
    policies: Policies,
    target: Target,
    entities: Mapping[str, Entity],
    by_month: bool,
    loaded: Mapping[str, list[str]],
    promises: Callable[[], Promises] | None,
) -> tuple[Promises, dict[str, BatchFigures]]:
    """Return what the loaded batches of the source promise and what stands in the target, read at the same time."""
    some = {name: _unless_all(entity, snapshot, loaded[name]) for name, entity in entities.items()}
    is_whole = all(named is None for named in some.values())
    add_up = partial(promises_of, snapshot, policies, entities, by_month, some)
    result = promises if promises is not None and is_whole else begun_beside(add_up).result
    standing = {name: counts_and_totals(target, name) for name in entities}
    promised = result()
    # somebody may have taken another snapshot, and loaded it, since they were begun
    return (promised if promised.snapshot_id == snapshot.snapshot_id else add_up()), standing


def _of_batches(defects: Iterable[pa.RecordBatch], batches: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for part in defects:
        yield part.filter(pc.is_in(part["batch"], pa.array(batches, pa.string())))


def _unless_all(entity: Entity, snapshot: Snapshot, batches: list[str]) -> list[str] | None:
    return None if len(batches) == len(snapshot.tables[entity.legacy_table].batches) else batches
