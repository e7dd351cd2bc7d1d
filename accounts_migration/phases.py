"""The four phases of a phased migration: what each moves, and whether one has passed.

Here: which entities and batches belong to a phase, and the gate between two of them. Not here: how a phase is run
(`accounts_migration.migration`), its jobs (`accounts_migration.approaches`).

A phase has passed for a snapshot when everything it moves was loaded from this snapshot under the policies in force and
is accounted for (the target's books); when rows, control totals and references, counted in the target now, are what the
books say; and when each check of its loads, and its validation of the whole, passed after the load (Dagster's event
log). Nothing else is remembered: so it holds in another process and on another day, it does not matter whether a phase,
`migrate` or a person in the UI loaded a batch, and a new snapshot, or another policy, starts again at phase 1.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

import dagster as dg

from accounts_migration.assets.links import target_key
from accounts_migration.assets.loading import ACCOUNTING_CHECK, CONTENT_CHECK, TOTALS_CHECK
from accounts_migration.assets.reconciling import RECONCILIATION
from accounts_migration.assets.validation import BLAMED, INTEGRITY
from accounts_migration.databases.bookkeeping import RecordedBatch
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration.evaluations import Evaluated, evaluations
from accounts_migration.partitions import EMPTY
from accounts_migration.reconciliation.target_totals import counts_and_totals
from accounts_migration.staging import WHOLE

RECENT_MONTHS = 12
"""How many of the latest months that hold rows are recent, where RECENT_FROM is not set."""

_MOST_NAMED = 5
_OF_LOADS = (ACCOUNTING_CHECK, TOTALS_CHECK, CONTENT_CHECK)
_OF_THE_WHOLE = ((INTEGRITY, "no_orphans"), (RECONCILIATION, "accounting_law"), (RECONCILIATION, "control_totals"))


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase: its job's name, and the entities that it moves, parents first."""

    number: int
    name: str
    entities: tuple[str, ...]
    description: str

    @property
    def predecessors(self) -> "tuple[Phase, ...]":
        """Return the phases that must have passed before."""
        return PHASES[: self.number - 1]

    def batches(self, batches: Iterable[str], recent_from: str | None) -> list[str]:
        """Return the batches that the phase moves, of all batches of transactions.

        Args:
            batches: Months and `undated`.
            recent_from: The first recent month; None takes the latest months that hold rows.
        """
        if self.entities != ("transaction",):
            return [WHOLE]
        months = sorted(batch for batch in batches if batch != EMPTY)
        first = recent_from or min(months[-RECENT_MONTHS:], default="")
        recent = [month for month in months if month >= first]
        return recent if self is PHASES[-1] else sorted({*batches} - {*recent})


PHASES = (
    Phase(1, "phase_1_reference", ("product", "customer"), "A new snapshot; products and customers."),
    Phase(2, "phase_2_accounts", ("account",), "Accounts, from the snapshot of phase 1."),
    Phase(3, "phase_3_history", ("transaction",), "Transactions before the recent months, and undated ones."),
    Phase(4, "phase_4_recent", ("transaction",), "Transactions from RECENT_FROM on; then keys, references, indexes."),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """What tells whether a phase has passed: the snapshot and policies in force, the target and its books, the log."""

    snapshot: Snapshot
    policies: Policies
    recent_from: str | None
    database: Target
    location: str
    instance: dg.DagsterInstance
    records: Mapping[tuple[str, str], RecordedBatch]

    @property
    def batches(self) -> list[str]:
        """Return the batches of transactions: those of the snapshot, and those that an earlier one left to empty."""
        found = self.snapshot.tables[ENTITIES["transaction"].legacy_table].batches
        return sorted({*found, *(batch for entity, batch in self.records if entity == "transaction")})

    def batches_of(self, phase: Phase) -> list[str]:
        """Return the batches that the phase moves."""
        return phase.batches(self.batches, self.recent_from)

    def last_loaded(self, phase: Phase) -> datetime:
        """Return when the last batch of the phase was loaded, UTC without zone; of a phase that has passed."""
        places = ((entity, batch) for entity in phase.entities for batch in self.batches_of(phase))
        return max((self.records[place].loaded_at for place in places), default=datetime.min)


def progress(
    snapshot: Snapshot,
    policies: Policies,
    recent_from: str | None,
    database: Target,
    location: str,
    instance: dg.DagsterInstance,
) -> Progress:
    """Read the target's books, for judging phases.

    Raises:
        MigrationError: The tables of the target are not compatible, or hold rows that are not ours.
    """
    recorded = database.recorded_batches() if database.examine() else []
    records = {(record.entity, record.batch): record for record in recorded}
    return Progress(snapshot, policies, recent_from, database, location, instance, records)


def refuse_out_of_order(phase: Phase, at: Progress) -> None:
    """Raise MigrationError unless all phases before this one have passed."""
    for earlier in phase.predecessors:
        lacking = list(unpassed(earlier, at))
        if lacking:
            more = f"; and {len(lacking) - _MOST_NAMED:,} more" if len(lacking) > _MOST_NAMED else ""
            raise MigrationError(
                f"Phase {phase.number} is refused",
                why=f"phase {earlier.number} has not passed for the snapshot {at.snapshot.snapshot_id}: "
                f"{'; '.join(lacking[:_MOST_NAMED])}{more}",
                remedy=f"Run phase {earlier.number} ({earlier.name}) first; what is unchanged is not loaded again",
            )


def next_phase(at: Progress) -> Phase | None:
    """Return the first phase that has not passed; None where all have."""
    return next((phase for phase in PHASES if any(unpassed(phase, at))), None)


def unpassed(phase: Phase, at: Progress) -> Iterator[str]:
    """Yield what is missing for the phase to have passed, a few words for each; nothing where it has passed."""
    lacking = [
        one
        for entity in phase.entities
        for look in (_not_loaded, _not_what_was_loaded, _not_checked)
        for one in look(entity, at.batches_of(phase), at)
    ]
    if phase is PHASES[-1] and not lacking:
        lacking += [f"{name} does not stand" for name in at.database.missing_constraints()]
    yield from lacking or _not_validated(phase, at)


def _not_loaded(entity: str, batches: Sequence[str], at: Progress) -> Iterator[str]:
    source = at.snapshot.tables[ENTITIES[entity].legacy_table].batches
    for batch in batches:
        record = at.records.get((entity, batch))
        if record is None:
            yield f"{entity} {batch} is not loaded"
        elif record.snapshot_id != at.snapshot.snapshot_id:
            yield f"{entity} {batch} is loaded from another snapshot"
        elif record.policies_digest != at.policies.digest:
            yield f"{entity} {batch} is loaded under other policies"
        elif source.get(batch, 0) != record.loaded + record.rejected + record.excluded:
            yield f"{entity} {batch} is not accounted for"


def _not_what_was_loaded(entity: str, batches: Sequence[str], at: Progress) -> Iterator[str]:
    """Hold the target as it is now against its books."""
    records = [at.records[entity, batch] for batch in batches if (entity, batch) in at.records]
    if not records:
        return
    found = counts_and_totals(at.database, entity)
    for record in records:
        rows = found.rows.get(record.batch, 0)
        if rows != record.loaded:
            yield f"{entity} {record.batch} holds {rows:,} rows, {record.loaded:,} were loaded"
        elif found.totals.get(record.batch, {}) != json.loads(record.control_totals):
            yield f"{entity} {record.batch} has other control totals than were loaded"
    for reference, orphans in at.database.referential_integrity().items():
        if reference.startswith(f"{entity}->") and orphans:
            yield f"{orphans:,} references {reference} have no row"


def _not_checked(entity: str, batches: Sequence[str], at: Progress) -> Iterator[str]:
    partitioned = ENTITIES[entity].batch_column is not None
    targets: dict[str, str] = {}
    for check in _OF_LOADS:
        latest = _latest(_of(target_key(ENTITIES[entity]), check, at, targets))
        for batch in batches:
            record, found = at.records.get((entity, batch)), latest.get(batch if partitioned else None)
            if record is None:
                continue
            if found is None or found.at < record.loaded_at:
                yield f"{check} of {entity} {batch} was not checked since the load"
            elif not found.evaluation.passed:
                yield f"{check} of {entity} {batch} failed"


def _not_validated(phase: Phase, at: Progress) -> Iterator[str]:
    """Ask for one validation after the load that found nothing in the phase's entities.

    What a later one finds may be the matter of a later phase, whose gate would else stay closed for ever.
    """
    since = at.last_loaded(phase)
    targets: dict[str, str] = {}
    for asset, check in _OF_THE_WHOLE:
        name = f"{check} of {asset.to_user_string()}"
        found = list(takewhile(lambda one: one.at >= since, _of(asset, check, at, targets)))
        if not any(one.evaluation.passed or not _blames(one.evaluation, phase) for one in found):
            yield f"{name} failed" if found else f"{name} was not checked since the load"


def _blames(evaluation: dg.AssetCheckEvaluation, phase: Phase) -> bool:
    blamed = evaluation.metadata.get(BLAMED)
    return blamed is None or not {*phase.entities}.isdisjoint(str(blamed.value).split(", "))


def _of(asset: dg.AssetKey, check: str, at: Progress, targets: dict[str, str]) -> Iterator[Evaluated]:
    return evaluations(at.instance, dg.AssetCheckKey(asset, check), at.location, targets)


def _latest(found: Iterable[Evaluated]) -> dict[str | None, Evaluated]:
    latest: dict[str | None, Evaluated] = {}
    for one in found:
        latest.setdefault(one.batch, one)
    return latest
