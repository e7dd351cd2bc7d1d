"""The four phases of a phased migration: what each moves, and whether one has passed.

Here: which entities and batches belong to a phase, and the gate between two of them. Not here: how a phase is run
(`accounts_migration.migration`), its jobs (`accounts_migration.approaches`).

A phase has passed for a snapshot when everything it moves stands in the target, loaded from this snapshot under the
policies in force, accounted for and of the recorded number (the target's own books, and rows counted now), when each
check of the loads passed after the load it speaks of, and when references, the law and the control totals were found
right after the last of them (Dagster's event log). Nothing else is remembered: so it holds in another process and on
another day, it does not matter whether a phase, `migrate` or a person in the UI loaded a batch, and a new snapshot, or
another policy, starts again at phase 1.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from accounts_migration.assets.links import target_key
from accounts_migration.assets.loading import ACCOUNTING_CHECK, CONTENT_CHECK, TOTALS_CHECK
from accounts_migration.assets.validation import INTEGRITY, RECONCILIATION
from accounts_migration.databases.bookkeeping import RecordedBatch
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration.evaluations import Evaluated, evaluations
from accounts_migration.partitions import EMPTY
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
        if self is PHASES[-1]:
            return [month for month in months if month >= first]
        return [*(month for month in months if month < first), EMPTY]


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
    lacking = False
    for entity in phase.entities:
        batches = at.batches_of(phase)
        for one in [*_not_loaded(entity, batches, at), *_not_checked(entity, batches, at)]:
            lacking = True
            yield one
    if not lacking:
        yield from _not_validated(phase, at)


def _not_loaded(entity: str, batches: Sequence[str], at: Progress) -> Iterator[str]:
    counts: Mapping[str, int] | None = None
    source = at.snapshot.tables[ENTITIES[entity].legacy_table].batches
    for batch in batches:
        record = at.records.get((entity, batch))
        if record is None:
            yield f"{entity} {batch} is not loaded"
        elif record.snapshot_id != at.snapshot.snapshot_id:
            yield f"{entity} {batch} is loaded from another snapshot"
        elif record.policies_digest != at.policies.digest:
            yield f"{entity} {batch} is loaded under other policies"
        else:
            counts = at.database.counts_by_batch(entity) if counts is None else counts
            if source.get(batch, 0) != record.loaded + record.rejected + record.excluded:
                yield f"{entity} {batch} is not accounted for"
            elif counts.get(batch, 0) != record.loaded:
                yield f"{entity} {batch} holds {counts.get(batch, 0):,} rows, {record.loaded:,} were loaded"


def _not_checked(entity: str, batches: Sequence[str], at: Progress) -> Iterator[str]:
    key = target_key(ENTITIES[entity])
    partitioned = ENTITIES[entity].batch_column is not None
    targets: dict[str, str] = {}
    for check in _OF_LOADS:
        latest = _latest(evaluations(at.instance, dg.AssetCheckKey(key, check), at.location, targets))
        for batch in batches:
            record = at.records.get((entity, batch))
            if record is not None:
                found = latest.get(batch if partitioned else None)
                yield from _not_passed(f"{check} of {entity} {batch}", found, record.loaded_at)


def _not_validated(phase: Phase, at: Progress) -> Iterator[str]:
    since = at.last_loaded(phase)
    targets: dict[str, str] = {}
    for asset, check in _OF_THE_WHOLE:
        found = next(evaluations(at.instance, dg.AssetCheckKey(asset, check), at.location, targets), None)
        yield from _not_passed(f"{check} of {asset.to_user_string()}", found, since)


def _not_passed(name: str, found: Evaluated | None, since: datetime) -> Iterator[str]:
    if found is None:
        yield f"{name} was not checked"
    elif found.at < since:
        yield f"{name} was not checked since it was loaded again"
    elif not found.evaluation.passed:
        yield f"{name} failed"


def _latest(found: Iterable[Evaluated]) -> dict[str | None, Evaluated]:
    latest: dict[str | None, Evaluated] = {}
    for one in found:
        latest.setdefault(one.batch, one)
    return latest
