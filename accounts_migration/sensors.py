"""The sensor that lets a phased migration run unattended.

Here: when the next phase starts by itself. Not here: what a phase is and when it has passed
(`accounts_migration.phases`).
"""

from collections.abc import Iterable

import dagster as dg

from accounts_migration.errors import MigrationError
from accounts_migration.phases import PHASES, Phase, Progress, next_phase
from accounts_migration.preflight.decisions import approval, window
from accounts_migration.preflight.situation import share_of, situation
from accounts_migration.resources import LegacyResource, TargetResource
from accounts_migration.settings import Settings

SENSOR = "start_next_phase"

_SECONDS_BETWEEN_TICKS = 30
_UNDER_WAY = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def build_sensors(approaches: Iterable[dg.JobDefinition]) -> list[dg.SensorDefinition]:
    """Return the sensors, which start some of the approaches' jobs."""
    later = {phase.name for phase in PHASES[1:]}

    @dg.sensor(
        name=SENSOR,
        jobs=[job for job in approaches if job.name in later],
        minimum_interval_seconds=_SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Starts phase 2, 3 or 4 of a phased migration when all phases before it have passed for the "
        "present snapshot. Phase 1 is started by a person. A phase that failed is not started again by itself.",
        required_resource_keys={"settings", "legacy", "target"},
    )
    def start_next_phase(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        try:
            return _next(context)
        except MigrationError as error:
            return dg.SkipReason(str(error))

    return [start_next_phase]


def _next(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    # they run the jobs of the definitions, and these hold the present sensor
    from accounts_migration.migration import phase_progress

    settings: Settings = context.resources.settings
    legacy: LegacyResource = context.resources.legacy
    target: TargetResource = context.resources.target
    snapshot = legacy.snapshot()
    under_way = _phase_under_way(context.instance)
    if under_way:
        return dg.SkipReason(f"{under_way} is under way")
    with target.open() as database:
        at = phase_progress(settings, snapshot, database, context.instance)
        phase = next_phase(at)
        if phase is None:
            return dg.SkipReason(f"all phases have passed for the snapshot {snapshot.snapshot_id}")
        if phase.number == 1:
            return dg.SkipReason(f"phase 1 has not passed for the snapshot {snapshot.snapshot_id}; start it yourself")
        closed = _closed(settings, at, phase)
        if closed:
            return dg.SkipReason(f"{phase.name} waits: {closed}")
        return dg.RunRequest(run_key=_run_key(phase, at), job_name=phase.name)


def _closed(settings: Settings, at: Progress, phase: Phase) -> str:
    """Return what keeps the phase from beginning now, or nothing: once refused, it would not be started again."""
    now = situation(settings, at.snapshot, share_of(at.snapshot, phase.entities, at.batches_of(phase)))
    return "; ".join(item.finding for item in (window(now), approval(now)) if item.blocks)


def _phase_under_way(instance: dg.DagsterInstance) -> str | None:
    runs = (
        instance.get_runs(dg.RunsFilter(job_name=phase.name, statuses=list(_UNDER_WAY)), limit=1) for phase in PHASES
    )
    return next((found[0].job_name for found in runs if found), None)


def _run_key(phase: Phase, at: Progress) -> str:
    """Return a key that is new when an earlier phase was loaded again: a phase that failed is started once for it."""
    since = max(at.last_loaded(earlier) for earlier in phase.predecessors)
    return f"{phase.name} {at.snapshot.snapshot_id} {at.policies.digest} {at.location} {since.isoformat()}"
