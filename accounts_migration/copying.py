"""A whole copy of an Account Processing System to another database, as one command runs it.

Here: the order of the Dagster jobs and when to stop. Not here: what the jobs do (`accounts_migration.assets.platform`),
and how the outcome is shown (`accounts_migration.console`).
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import dagster as dg

from accounts_migration.assets.links import target_key
from accounts_migration.assets.platform.backup import COPY_BACKUP
from accounts_migration.assets.platform.other_tables import OTHER_TABLES
from accounts_migration.assets.platform.report import COPY_REPORT
from accounts_migration.databases.books import COPY
from accounts_migration.databases.platform_snapshot import refuse_without_platform
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target, is_same_database
from accounts_migration.definitions import build_defs
from accounts_migration.entities import PLATFORM_ENTITIES
from accounts_migration.errors import UsageError
from accounts_migration.instance import open_instance_of
from accounts_migration.jobs import COPY_ALL_JOB, COPY_JOB, COPY_PREPARE_JOB, COPY_SNAPSHOT_JOB
from accounts_migration.migration import all_batches, assets_of_range, judge, report_config
from accounts_migration.outcome import Outcome, account_for
from accounts_migration.preflight.checklist import before_copying, refuse_failed
from accounts_migration.resources import PlatformResource, TargetResource
from accounts_migration.runner import RunOutcome, ranges, run_job, snapshot_taken
from accounts_migration.settings import Settings

Run = Callable[..., RunOutcome]
"""Runs a job that reads the snapshot of this copy; the arguments are those of `run_job` after the instance."""


def copy(
    settings: Settings,
    *,
    all_tables: bool = False,
    report_folder: Path | None = None,
    instance: dg.DagsterInstance | None = None,
) -> Outcome:
    """Copy COPY_FROM into COPY_TO, prove it, and write the report; `report` of the outcome tells where.

    Args:
        settings: Both databases, and the policies.
        all_tables: Whether every other table comes along.
        report_folder: Where the report goes; None is MIGRATION_HOME/reports/SNAPSHOT.
        instance: Where the runs are recorded; that of the settings where None.

    Raises:
        MigrationError: A database cannot be used, a right in COPY_TO is missing, or something else writes to it.
        UsageError: One is not named, or both are the same.
    """
    started = time.monotonic()
    outcome = Outcome(is_copy=True)
    source = PlatformResource(settings.copy_from, settings.backups, settings.migration_home)
    source.refuse_unnamed()
    target = TargetResource(settings.copy_to, COPY)
    _refuse_same(source, target)
    definitions = build_defs(settings=settings, resource_overrides={"platform": source})
    with ExitStack() as stack:
        stack.callback(source.close)
        database = stack.enter_context(target.open())
        outcome.target = database.name
        stack.enter_context(database.lock())
        judged = before_copying(database, all_tables=all_tables)
        refuse_failed(f"The copy into {database.name} is refused, nothing was written", judged)
        if instance is None:
            instance = stack.enter_context(open_instance_of(settings))
        taken = run_job(definitions, instance, COPY_SNAPSHOT_JOB)
        if outcome.take(taken):
            outcome.snapshot = snapshot_taken(taken, source)
            run = partial(run_job, definitions, instance, reads=(source, outcome.snapshot))
            if not all_tables:
                source.close()
            if outcome.snapshot.tables or not all_tables:
                refuse_without_platform(outcome.snapshot)
                outcome.batches = _batches(outcome.snapshot, database)
                spans = ranges(instance, outcome.batches)
                _copy(outcome, definitions, run, COPY_ALL_JOB if all_tables else COPY_JOB, spans, report_folder)
            else:
                _copy_other_tables(outcome, run, report_folder)
        account_for(outcome, settings, database, PLATFORM_ENTITIES)
    outcome.seconds = time.monotonic() - started
    return outcome


def _refuse_same(source: PlatformResource, target: TargetResource) -> None:
    if is_same_database(source.url, target.url):
        raise UsageError(
            f"Cannot copy {source.location} into itself",
            why="FROM and TO are the same database",
            remedy="Name another database as TO",
        )


def _batches(snapshot: Snapshot, database: Target) -> list[str]:
    """Return the batches to copy: those found, and what an earlier copy brought and is to become empty.

    Raises:
        MigrationError: The database holds tables or rows that are in the way.
    """
    found = snapshot.tables[PLATFORM_ENTITIES["transaction"].legacy_table].batches
    return all_batches(found, database.recorded_batches() if database.examine() else [])


def _copy_other_tables(outcome: Outcome, run: Run, report_folder: Path | None) -> None:
    """Carry a database that holds no Account Processing System, and report on it, if there is a table."""
    outcome.loaded = True
    loaded = outcome.take(run(COPY_ALL_JOB, assets=[COPY_BACKUP, OTHER_TABLES]))
    if loaded and outcome.other_tables:
        config = report_config(COPY_REPORT, report_folder)
        reported = run(COPY_ALL_JOB, assets=[COPY_REPORT], config=config)
        outcome.report = reported.metadata.get(COPY_REPORT.to_user_string(), {})
        loaded = outcome.take(reported)
    outcome.success = loaded and all(check.passed for check in outcome.checks)


def _copy(
    outcome: Outcome,
    definitions: dg.Definitions,
    run: Run,
    job: str,
    spans: Sequence[Sequence[str]],
    report_folder: Path | None,
) -> None:
    """Judge everything, and load it only if every check passed."""

    def prepare(span: Sequence[str], some: Sequence[dg.AssetKey] | None) -> RunOutcome:
        return run(COPY_PREPARE_JOB, span, assets=some)

    def load(place: int, span: Sequence[str]) -> bool:
        assets = assets_of_range(definitions, job, loads, place, len(spans))
        config = report_config(COPY_REPORT, report_folder) if COPY_REPORT in assets else None
        loaded = run(job, span, assets=assets, config=config)
        outcome.report = loaded.metadata.get(COPY_REPORT.to_user_string(), {})
        return outcome.take(loaded)

    if not judge(outcome, prepare, spans, list(PLATFORM_ENTITIES.values())):
        return
    loads = [COPY_BACKUP, *map(target_key, PLATFORM_ENTITIES.values())]
    outcome.loaded = True
    loaded = all(load(place, span) for place, span in enumerate(spans))
    outcome.success = loaded and outcome.all_passed
