"""Launching the Dagster jobs from the command line, on the same instance that the UI shows.

Here: one run after the other in this process, ranges of batches, and what a run recorded. Not here: words and colours
(`accounts_migration.cli`, `accounts_migration.console`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._core.utils import make_new_run_id
from dagster_shared.error import SerializableErrorInfo

from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.dead_runs import PROCESS_TAG, this_process
from accounts_migration.errors import MigrationError
from accounts_migration.jobs import RUN_TAG
from accounts_migration.logs import hear, run_id, say
from accounts_migration.partitions import BATCHES
from accounts_migration.resources import SourceResource
from accounts_migration.snapshots_of_runs import reading

_INTERRUPTIONS = (DagsterExecutionInterruptedError, KeyboardInterrupt)
# else it would show each event on the terminal
_DAGSTERS_OWN_IS_SILENT = {"console": {"config": {"log_level": "CRITICAL"}}}
Reads = tuple[SourceResource, Snapshot]
"""A source, and the snapshot of it that a run is to read."""

_EXPLAINED = ("MigrationError", "UsageError", "ConstraintViolated")


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """The verdict of one check as the run recorded it."""

    asset: str
    check: str
    passed: bool
    blocking: bool
    is_warning: bool
    metadata: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a run came to: `problems` are the errors of its steps, one sentence each; `metadata` of the whole assets."""

    job: str
    run_id: str
    success: bool
    problems: list[str]
    checks: list[CheckVerdict]
    metadata: Mapping[str, Mapping[str, object]]


def run_job(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    batches: Sequence[str] | None = None,
    config: Mapping[str, object] | None = None,
    assets: Sequence[dg.AssetKey] | None = None,
    tags: Mapping[str, str] | None = None,
    reads: Reads | None = None,
) -> RunOutcome:
    """Run a job in this process and return what it came to.

    Args:
        definitions: The definitions of this migration.
        instance: Where the run is recorded.
        job: The job's name.
        batches: First and last batch of a contiguous range; None for a job without batches.
        config: Step -> its configuration.
        assets: Only these of the job's assets; None for all.
        tags: Tags of the run, besides those of the job.
        reads: The snapshot that the run is to read; None for the present one, or the one that it takes.

    Raises:
        MigrationError: Somebody stopped the run.
    """
    run = make_new_run_id()
    told = {**_tags(batches), **(tags or {}), **(reading(*reads, run) if reads else {})}
    hear(instance, run, say)
    try:
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags=told,
            asset_selection=assets,
            run_id=run,
            run_config={
                "loggers": _DAGSTERS_OWN_IS_SILENT,
                "ops": {step: {"config": one} for step, one in (config or {}).items()},
            },
        )
    except _INTERRUPTIONS:
        raise _stopped(job) from None
    if any(_is_interruption(event) for event in result.all_events):
        raise _stopped(job)
    problems = list(dict.fromkeys(filter(None, map(problem_of, result.all_events))))
    return RunOutcome(job, result.run_id, result.success, problems, list(_checks(result)), _metadata(result))


def _tags(batches: Sequence[str] | None) -> dict[str, str]:
    """Return what tells whose a run is, and which range of batches it moves."""
    tags = {PROCESS_TAG: this_process()}
    if launched_by := run_id():
        tags[RUN_TAG] = launched_by
    if batches:
        tags |= {ASSET_PARTITION_RANGE_START_TAG: batches[0], ASSET_PARTITION_RANGE_END_TAG: batches[-1]}
    return tags


def _checks(result: dg.ExecuteInProcessResult) -> Iterator[CheckVerdict]:
    """Yield the verdicts on whole assets, and the summaries of those on batches."""
    for evaluation in result.get_asset_check_evaluations():
        if evaluation.partition is None:
            yield CheckVerdict(
                asset=evaluation.asset_key.to_user_string(),
                check=evaluation.check_name,
                passed=evaluation.passed,
                blocking=bool(evaluation.blocking),
                is_warning=evaluation.severity == dg.AssetCheckSeverity.WARN,
                metadata={name: value.value for name, value in evaluation.metadata.items()},
            )


def _metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, object]]:
    """Return asset -> its metadata, of whole assets."""
    return {
        event.asset_key.to_user_string(): {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None and event.partition is None
    }


def snapshot_taken(run: RunOutcome, source: SourceResource) -> Snapshot:
    """Return the snapshot of the source that a run took; it succeeded."""
    return source.in_folder(Path(str(run.metadata[source.asset]["folder"])))


def _stopped(job: str) -> MigrationError:
    return MigrationError(
        f"The run {job} was stopped",
        why="somebody asked for it, as Ctrl-C does",
        remedy="What was loaded is whole; run the same command again to go on",
    )


def _is_interruption(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error if event.is_step_failure else None
    while error is not None:
        if error.cls_name in [kind.__name__ for kind in _INTERRUPTIONS]:
            return True
        error = error.cause
    return False


def problem_of(event: dg.DagsterEvent) -> str | None:
    """Return why a step failed, in one sentence without values of a row; None where a check stopped it, or none did."""
    error = event.step_failure_data.error if event.is_step_failure else None
    blocked = error is not None and error.cls_name == "DagsterAssetCheckFailedError"
    return None if error is None or blocked else _explained(error)


def _explained(error: SerializableErrorInfo) -> str:
    """Return the message of the refusal behind a step's error, or the error itself with its place."""
    cause: SerializableErrorInfo | None = error
    while cause is not None:
        if cause.cls_name in _EXPLAINED:
            return str(cause.message).partition(": ")[2].strip()
        cause = cause.cause
    innermost = error
    while innermost.cause is not None:
        innermost = innermost.cause
    place = innermost.stack[-1].strip().splitlines()[0] if innermost.stack else "unknown place"
    # its message may quote a value of a row, so only its kind and place are shown
    return f"A fault of this program, {innermost.cls_name} at {place}. Nothing half-written stays; please report it"


def ranges(instance: dg.DagsterInstance, batches: Sequence[str]) -> list[list[str]]:
    """Return the batches as contiguous ranges of the registered partitions: one run each."""
    wanted = set(batches)
    found: list[list[str]] = []
    open_range = False
    for key in BATCHES.get_partition_keys(dynamic_partitions_store=instance):
        if key in wanted:
            if not open_range:
                found.append([])
            found[-1].append(key)
        open_range = key in wanted
    return found
