"""A whole migration, as one command runs it: snapshot, cleaning, judgement over all four entities, loading, proof.

Here: the order of the Dagster jobs and when to stop; of a phase, a verification and a report, too. Not here: what the
jobs do (`accounts_migration.assets`), what came of them (`accounts_migration.outcome`), and how that is shown
(`accounts_migration.console`).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from accounts_migration.assets.constraints import CONSTRAINTS
from accounts_migration.assets.links import cleaned_key, raw_key, target_key
from accounts_migration.assets.preflight import record
from accounts_migration.assets.reconciling import RECONCILIATION
from accounts_migration.assets.report import REPORT
from accounts_migration.assets.snapshot import DUPLICATES
from accounts_migration.assets.target_backup import TARGET_BACKUP
from accounts_migration.assets.validation import INTEGRITY
from accounts_migration.batches import chosen_batches, named_ranges
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import RecordedBatch, Target
from accounts_migration.definitions import build_defs
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.errors import MigrationError
from accounts_migration.instance import open_instance_of
from accounts_migration.jobs import LOAD_JOB, PREFLIGHT_TAG, PREPARE_JOB, REPORT_JOB, SNAPSHOT_JOB, VERIFY_JOB
from accounts_migration.outcome import Outcome, account_for
from accounts_migration.partitions import EMPTY
from accounts_migration.phases import PHASES, Phase, progress, refuse_out_of_order
from accounts_migration.phases import Progress as PhaseProgress
from accounts_migration.preflight.checklist import before_writing, refuse_failed
from accounts_migration.preflight.situation import share_of, situation
from accounts_migration.resources import LegacyResource, TargetResource, recorded_policies, recorded_snapshot
from accounts_migration.runner import RunOutcome, ranges, run_job, snapshot_taken
from accounts_migration.settings import Settings


@dataclass(frozen=True, slots=True)
class _Work:
    """A migration under way, its target locked; `was_migrated_into` tells whether the target's books stand."""

    outcome: Outcome
    settings: Settings
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    legacy: LegacyResource
    database: Target
    was_migrated_into: bool

    def run(
        self, job: str, batches: Sequence[str] | None = None, assets: Sequence[dg.AssetKey] | None = None
    ) -> RunOutcome:
        """Run a job, or some of its assets."""
        judged = {PREFLIGHT_TAG: "judged before the first write"}
        reads = (self.legacy, self.outcome.snapshot) if self.outcome.snapshot else None
        return run_job(self.definitions, self.instance, job, batches, assets=assets, tags=judged, reads=reads)

    def take(self, job: str, batches: Sequence[str] | None = None, assets: Sequence[dg.AssetKey] | None = None) -> bool:
        """Run a job and add what it recorded; return whether it succeeded."""
        return self.outcome.take(self.run(job, batches, assets))

    def take_snapshot(self) -> Snapshot | None:
        """Take and return the snapshot that all later runs read, whatever is taken beside them; None if that failed."""
        run = self.run(SNAPSHOT_JOB)
        if self.outcome.take(run):
            self.outcome.snapshot = snapshot_taken(run, self.legacy)
        return self.outcome.snapshot


@contextmanager
def _work(settings: Settings, instance: dg.DagsterInstance | None) -> Iterator[_Work]:
    """Open and lock the target, and account for what was done to it at the end."""
    started = time.monotonic()
    outcome = Outcome()
    legacy = LegacyResource(settings.source_db, settings.backups, settings.migration_home)
    legacy.refuse_unnamed()
    definitions = build_defs(settings=settings)
    with ExitStack() as stack:
        database = stack.enter_context(TargetResource(settings.target_db).open())
        outcome.target = database.name
        stack.enter_context(database.lock())
        was_migrated_into = database.examine()
        if instance is None:
            instance = stack.enter_context(open_instance_of(settings))
        yield _Work(outcome, settings, definitions, instance, legacy, database, was_migrated_into)
        account_for(outcome, settings, database)
    outcome.seconds = time.monotonic() - started


def migrate(settings: Settings, words: Sequence[str], instance: dg.DagsterInstance | None = None) -> Outcome:
    """Migrate the source into the target: everything, or the batches that the words name.

    This is the guide's big bang: all in order, and it stops at the first gate that does not open.

    Args:
        settings: Source, target and policies.
        words: The batches, as a person names them; none for all.
        instance: Where the runs are recorded; that of the settings where None.

    Raises:
        MigrationError: Source or target cannot be used, or another migration writes to the target.
        UsageError: A word is no batch; the source is not read then.
    """
    named_ranges(words)
    with _work(settings, instance) as work:
        snapshot = work.take_snapshot()
        if snapshot is not None:
            _migrate(work, snapshot, words)
    return work.outcome


def _migrate(work: _Work, snapshot: Snapshot, words: Sequence[str]) -> None:
    outcome = work.outcome
    found = snapshot.tables[ENTITIES["transaction"].legacy_table].batches
    if words:
        outcome.batches = chosen_batches(words, found)
    else:
        outcome.batches = all_batches(found, work.database.recorded_batches() if work.was_migrated_into else [])
    entities = list(ENTITIES.values())
    _refuse_unready(work, snapshot, entities, outcome.batches)
    spans = ranges(work.instance, outcome.batches)
    if _prepare(work, spans, entities):
        outcome.loaded = True
        outcome.success = _load(work, spans) and outcome.all_passed


def all_batches(found: Iterable[str], records: Iterable[RecordedBatch]) -> list[str]:
    """Return the batches that are moved where none are named, in order.

    Args:
        found: Those of the snapshot.
        records: What the target's books say: a batch that stands there and that the snapshot lacks must become empty.
    """
    recorded = {record.batch for record in records if record.entity == "transaction"}
    return sorted({*found, *recorded} or {EMPTY})


def _refuse_unready(work: _Work, snapshot: Snapshot, entities: Sequence[Entity], batches: Sequence[str]) -> None:
    """Raise MigrationError where an item of the preflight failed without which nothing may be written."""
    share = share_of(snapshot, [entity.name for entity in entities], batches)
    judged = before_writing(situation(work.settings, snapshot, share), work.database)
    record(work.instance, judged)
    refuse_failed(f"The migration into {work.database.name} is refused, nothing was written", judged)


def _load(work: _Work, spans: Sequence[Sequence[str]]) -> bool:
    """Load all batches, then prove everything once; return whether every run succeeded."""
    loads = [TARGET_BACKUP, *map(target_key, ENTITIES.values())]
    return all(
        work.take(LOAD_JOB, span, assets_of_range(work.definitions, LOAD_JOB, loads, place, len(spans)))
        for place, span in enumerate(spans)
    )


def assets_of_range(
    definitions: dg.Definitions, job: str, loads: Sequence[dg.AssetKey], place: int, count: int
) -> list[dg.AssetKey]:
    """Return what is materialized with one of several ranges of batches: the proof with the last of them alone.

    Args:
        definitions: The definitions of this migration.
        job: The job that loads.
        loads: The backup, which is taken with the first range, before the first write; then what each range loads.
        place: Which range it is, from 0.
        count: How many there are.
    """
    everything = definitions.resolve_job_def(job).asset_layer.selected_asset_keys
    chosen = set(everything) if place == count - 1 else set(loads)
    return sorted(chosen if place == 0 else chosen - {loads[0]})


def _prepare(
    work: _Work, spans: Sequence[Sequence[str]], entities: Sequence[Entity], assets: Sequence[dg.AssetKey] | None = None
) -> bool:
    """Clean the entities; return whether every check passed."""

    def prepare(span: Sequence[str], some: Sequence[dg.AssetKey] | None) -> RunOutcome:
        return work.run(PREPARE_JOB, span, some)

    return judge(work.outcome, prepare, spans, entities, assets)


def judge(
    outcome: Outcome,
    prepare: Callable[[Sequence[str], Sequence[dg.AssetKey] | None], RunOutcome],
    spans: Sequence[Sequence[str]],
    entities: Sequence[Entity],
    assets: Sequence[dg.AssetKey] | None = None,
) -> bool:
    """Judge the rows of all entities and batches; return whether every check passed.

    A blocking check stops what is behind it in its own run only. Each asset that was stopped gets a run of its own: who
    has to mend the source needs the rejects of all entities and batches at once. No load accepts them.

    Args:
        outcome: What the runs recorded is added to it.
        prepare: Runs the job that judges, for a range of batches: the assets given, or None for all.
        spans: The ranges of batches.
        entities: What is judged.
        assets: The assets of the first run of each range; None for all of the job.
    """
    accepted = True
    for span in spans:
        run = prepare(span, assets)
        accepted = outcome.take(run) and accepted
        judged = {check.asset for check in run.checks}
        for key in map(cleaned_key, entities):
            if key.to_user_string() not in judged and not outcome.problems:
                outcome.take(prepare(span, [key]))
        if outcome.problems:
            return False
    return accepted


def run_phase(settings: Settings, phase: Phase, instance: dg.DagsterInstance | None = None) -> Outcome:
    """Run one phase of a phased migration: clean and judge its entities, load them, test and validate.

    Phase 1 takes a new snapshot, where the source has changed; the others go on with the snapshot that it took, however
    the source has changed since. Nothing of a phase is written before all its entities are judged, and nothing at all
    before all earlier phases have passed (`accounts_migration.phases`).

    Args:
        settings: Source, target, policies, and which months are recent.
        phase: The phase.
        instance: Where the runs are recorded; that of the settings where None.

    Raises:
        MigrationError: An earlier phase has not passed, source or target cannot be used, or another migration writes
            to the target.
    """
    with _work(settings, instance) as work:
        snapshot = work.take_snapshot() if phase.number == 1 else _snapshot_of_phase_1(work.legacy)
        if snapshot is not None:
            work.outcome.snapshot = snapshot
            at = phase_progress(settings, snapshot, work.database, work.instance)
            refuse_out_of_order(phase, at)
            _migrate_phase(work, phase, at)
    return work.outcome


def _snapshot_of_phase_1(legacy: LegacyResource) -> Snapshot:
    try:
        return legacy.snapshot()
    except MigrationError as error:
        raise MigrationError(error.what, why=error.why, remedy="Run phase 1 first") from error


def phase_progress(
    settings: Settings, snapshot: Snapshot, database: Target, instance: dg.DagsterInstance
) -> PhaseProgress:
    """Return what tells which phases have passed for the snapshot, under the settings' policies."""
    location = TargetResource(settings.target_db).location or ""
    return progress(snapshot, settings.policies, settings.recent_from, database, location, instance)


def _migrate_phase(work: _Work, phase: Phase, at: PhaseProgress) -> None:
    outcome, batches = work.outcome, at.batches_of(phase)
    entities = [ENTITIES[name] for name in phase.entities]
    in_batches = any(entity.batch_column for entity in entities)
    if in_batches:
        outcome.batches = batches
    _refuse_unready(work, at.snapshot, entities, outcome.batches)
    spans: Sequence[Sequence[str]] = ranges(work.instance, batches) if in_batches else [[]]
    links = [key for entity in entities for key in (raw_key(entity), cleaned_key(entity))]
    # a product or customer is kept while an account refers to it, so their cleaning reads the raw accounts
    prepared = [DUPLICATES, raw_key(ENTITIES["account"]), *links] if phase.number == 1 else links
    if _prepare(work, spans, entities, prepared):
        outcome.loaded = True
        loads = list(map(target_key, entities))
        proofs = [*([CONSTRAINTS] if phase is PHASES[-1] else []), INTEGRITY, RECONCILIATION]
        backed_up = work.take(LOAD_JOB, assets=[TARGET_BACKUP])
        loaded = backed_up and all(work.take(LOAD_JOB, span, loads) for span in spans) and outcome.all_passed
        outcome.success = loaded and work.take(LOAD_JOB, assets=proofs) and outcome.all_passed


def verify(settings: Settings, *, keep_policies: bool) -> Outcome:
    """Compare every row of the target with the source, as it would be migrated now; write nothing into the target.

    The source is read and cleaned anew, in a staging area of its own, under the snapshot time that the target recorded.
    Its snapshot does not become the present one.

    Args:
        settings: Source and target.
        keep_policies: Whether the policies of the settings hold; else those that the target recorded.

    Raises:
        MigrationError: Source or target cannot be used, or nothing was migrated into the target.
    """
    started = time.monotonic()
    outcome = Outcome(loaded=True)
    with ExitStack() as stack:
        database = stack.enter_context(TargetResource(settings.target_db).open())
        outcome.target = database.name
        recorded = recorded_snapshot(database, "verify")
        if not keep_policies:
            settings = settings.model_copy(update={"policies": recorded_policies(database)})
        staging = settings.migration_home / "verification" / "staging"
        settings = settings.model_copy(update={"staging": str(staging.resolve())})
        legacy = LegacyResource(settings.source_db, settings.backups, None, as_of=recorded.taken_at)
        legacy.refuse_unnamed()
        instance = stack.enter_context(open_instance_of(settings))
        _compare(outcome, build_defs(settings=settings, resource_overrides={"legacy": legacy}), instance, legacy)
        account_for(outcome, settings, database)
    outcome.seconds = time.monotonic() - started
    return outcome


def _compare(
    outcome: Outcome, definitions: dg.Definitions, instance: dg.DagsterInstance, legacy: LegacyResource
) -> None:
    run = run_job(definitions, instance, SNAPSHOT_JOB)
    if not outcome.take(run):
        return
    outcome.snapshot = snapshot_taken(run, legacy)
    reads = (legacy, outcome.snapshot)
    outcome.batches = sorted(outcome.snapshot.tables[ENTITIES["transaction"].legacy_table].batches or {EMPTY})
    spans = ranges(instance, outcome.batches)
    cleaned = all(outcome.take(run_job(definitions, instance, PREPARE_JOB, span, reads=reads)) for span in spans)
    compared = cleaned and outcome.take(run_job(definitions, instance, VERIFY_JOB, reads=reads))
    # everything is asked for here: what could not be compared is no pass
    outcome.success = compared and all(check.passed for check in outcome.checks)


def report(settings: Settings, folder: Path | None) -> Outcome:
    """Write the report on the target; the outcome's `report` tells where, and the sha256 of its files.

    Args:
        settings: The target, and where snapshots are.
        folder: Where to; None is MIGRATION_HOME/reports/SNAPSHOT.

    Raises:
        MigrationError: The target cannot be used, or nothing was migrated into it.
    """
    started = time.monotonic()
    outcome = Outcome(loaded=True)
    with ExitStack() as stack:
        database = stack.enter_context(TargetResource(settings.target_db).open())
        outcome.target = database.name
        recorded_snapshot(database, "report on")
        instance = stack.enter_context(open_instance_of(settings))
        run = run_job(build_defs(settings=settings), instance, REPORT_JOB, config=report_config(REPORT, folder))
        outcome.success = outcome.take(run)
        outcome.report = run.metadata.get(REPORT.to_user_string(), {})
    outcome.seconds = time.monotonic() - started
    return outcome


def report_config(asset: dg.AssetKey, folder: Path | None) -> dict[str, dict[str, str]]:
    """Return the configuration of the asset that writes a report; None leaves the folder to it."""
    return {} if folder is None else {asset.to_python_identifier(): {"folder": str(folder.resolve())}}
