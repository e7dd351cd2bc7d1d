"""The Dagster definitions: everything is assembled here, nothing is defined here."""

import contextlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from accounts_migration.approaches import build_approaches
from accounts_migration.assets.ahead import Ahead
from accounts_migration.assets.archive import archive_asset
from accounts_migration.assets.assessment import ASSESSMENTS
from accounts_migration.assets.chain import build_chains
from accounts_migration.assets.checklist import checklist
from accounts_migration.assets.constraints import constraints
from accounts_migration.assets.platform.backup import copy_backup
from accounts_migration.assets.platform.chain import build_platform_chains
from accounts_migration.assets.platform.other_tables import other_tables
from accounts_migration.assets.platform.proof import bookkeeping, copy_constraints, proof
from accounts_migration.assets.platform.report import copy_report_asset
from accounts_migration.assets.platform.snapshot import platform_snapshot
from accounts_migration.assets.plausibility import plausibility
from accounts_migration.assets.post_migration import api, application, optimised_asset, user_workflows
from accounts_migration.assets.preflight import preflight
from accounts_migration.assets.report import report_asset
from accounts_migration.assets.snapshot import duplicates, snapshot
from accounts_migration.assets.target_backup import backup_retention, target_backup
from accounts_migration.assets.validation import build_validation
from accounts_migration.databases.books import COPY
from accounts_migration.errors import UsageError
from accounts_migration.executors import Work, logged_executor
from accounts_migration.io_managers import AssessmentIOManager, snapshot_of, staging_of
from accounts_migration.jobs import BACKUP_JOB, build_copy_jobs, build_jobs, build_rollback_job, is_copy
from accounts_migration.resources import (
    BackupResource,
    LegacyResource,
    PlatformResource,
    RollbackResource,
    SourceResource,
    TargetResource,
)
from accounts_migration.schedules import build_schedules
from accounts_migration.sensors import build_sensors
from accounts_migration.settings import Settings, load_settings
from accounts_migration.snapshots_of_runs import for_each_run
from accounts_migration.streams import use_frugal_memory


def build_defs(
    *, settings: Settings | None = None, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Return the definitions for some settings.

    Args:
        settings: Where source and target are; the environment's where None.
        resource_overrides: Resources by name that replace the usual ones.

    Raises:
        UsageError: Source and target are one file.
    """
    use_frugal_memory()
    chosen = settings or load_settings()
    _refuse_target_in_source(chosen)
    resources = {**_resources(chosen), **(resource_overrides or {})}
    checked, copied = checked_assets(), copied_assets()
    location = _location(chosen.target_db)
    jobs = build_jobs(location)
    approaches = build_approaches(location)
    return dg.Definitions(
        assets=[
            *ASSESSMENTS,
            *(snapshot, duplicates, *checked, constraints, report_asset(checked)),
            *(target_backup, backup_retention),
            *(optimised_asset(checked), application, api, user_workflows),
            *(archive_asset(checked), checklist),
            preflight,
            *(platform_snapshot, copy_backup, *copied, copy_constraints, copy_report_asset(copied)),
        ],
        jobs=[*jobs, *approaches, build_rollback_job(location), *build_copy_jobs(_location(chosen.copy_to))],
        schedules=build_schedules(next(job for job in jobs if job.name == BACKUP_JOB)),
        sensors=build_sensors(approaches),
        resources={name: _as_resource(value) for name, value in resources.items()},
        executor=logged_executor(chosen.logs, partial(work_of, chosen)),
    )


def _resources(chosen: Settings) -> dict[str, object]:
    """Return the plain objects that the assets ask for, by name."""
    legacy = LegacyResource(chosen.source_db, chosen.backups, chosen.migration_home)
    target = TargetResource(chosen.target_db)
    platform = PlatformResource(chosen.copy_from, chosen.backups, chosen.migration_home)
    copy_target = TargetResource(chosen.copy_to, COPY)
    return {
        "legacy": legacy,
        "target": target,
        "backups": BackupResource(target, chosen.backups, chosen.pg_dump, chosen.backup_retention_days),
        "rollback": RollbackResource(target, chosen),
        "policies": chosen.policies,
        "settings": chosen,
        "assessment_io": AssessmentIOManager(chosen),
        "staging_io": staging_of(chosen.staging_location, "legacy"),
        "snapshot_io": snapshot_of("legacy"),
        "promising": Ahead(),
        "reconciling": Ahead(),
        "platform": platform,
        "copy_target": copy_target,
        "copy_backups": BackupResource(copy_target, chosen.backups, chosen.pg_dump, chosen.backup_retention_days),
        "platform_staging_io": staging_of(chosen.staging_location, "platform"),
        "platform_snapshot_io": snapshot_of("platform"),
        "reports": chosen.migration_home / "reports",
    }


def checked_assets() -> list[dg.AssetsDefinition]:
    """Return the assets whose checks judge a migration."""
    return [*build_chains(), *build_validation(), plausibility]


def copied_assets() -> list[dg.AssetsDefinition]:
    """Return the assets whose checks judge a copy to another database."""
    return [*build_platform_chains(), bookkeeping, proof, other_tables]


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions that Dagster loads: the UI, the daemon and `dagster job` find them here."""
    return build_defs()


def _refuse_target_in_source(chosen: Settings) -> None:
    """The legacy database is read-only, always: not a table of ours may come into it."""
    target = Path((chosen.target_db or "").removeprefix("sqlite:///")).expanduser()
    source = chosen.source_db
    if source and chosen.target_db and source.exists() and target.exists() and target.samefile(source):
        raise UsageError(
            f"Cannot migrate {source} into itself",
            why="SOURCE and TARGET are the same file",
            remedy="Name another file as TARGET",
        )


def work_of(chosen: Settings, run: dg.DagsterRun) -> Work:
    """Return the source of a run and where its target is; of a copy, the two databases that it is between."""
    if is_copy(run):
        return _location(chosen.copy_from), _location(chosen.copy_to)
    return chosen.source_db, _location(chosen.target_db)


def _location(url: str | None) -> str | None:
    """Return where a database is; None as well where its URL cannot be read, which is told when it is opened."""
    with contextlib.suppress(UsageError):
        return TargetResource(url).location
    return None


def _as_resource(value: Any) -> Any:
    """A source is one for each run; Dagster knows I/O managers; every other plain object is handed on as it is."""
    if isinstance(value, SourceResource):
        return for_each_run(value)
    known = isinstance(value, (dg.IOManager, dg.ResourceDefinition))
    return value if known else dg.ResourceDefinition.hardcoded_resource(value)
