"""The jobs: which assets are materialized together.

Here: selections by name. Not here: how a run is launched (`accounts_migration.cli`, the UI).
"""

from functools import partial

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from accounts_migration.ops import roll_back

ASSESS_JOB = "assess"
SNAPSHOT_JOB, PREPARE_JOB, LOAD_JOB, VERIFY_JOB, REPORT_JOB = "snapshot", "prepare", "load", "verify", "report"
BACKUP_JOB, ROLLBACK_JOB, POST_MIGRATION_JOB = "backup", "rollback", "post_migration"
PREFLIGHT_JOB = "preflight_checklist"
COPY_SNAPSHOT_JOB, COPY_PREPARE_JOB, COPY_JOB = "copy_snapshot", "copy_prepare", "copy"
COPY_ALL_JOB = "copy_all_tables"

TARGET_TAG = "accounts_migration/target"
"""The tag that tells of a run which target it worked on, without its password."""

RUN_TAG = "accounts_migration/run"
"""The tag that tells of a Dagster run which command launched it: the id that is on each line of the command's log."""

PREFLIGHT_TAG = "accounts_migration/preflight"
"""The tag that tells of a run that its command judged the preflight's items before it launched the first one."""

_SNAPSHOT = dg.AssetSelection.assets("legacy/snapshot")
_PREPARED = dg.AssetSelection.groups("legacy", "cleaned") - _SNAPSHOT
_PLATFORM_SNAPSHOT = dg.AssetSelection.assets("platform/snapshot")
_PLATFORM_JUDGED = dg.AssetSelection.key_prefixes(["platform", "judged"])
_PLATFORM_COPIED = dg.AssetSelection.groups("platform") - _PLATFORM_SNAPSHOT - _PLATFORM_JUDGED
_OTHER_TABLES = dg.AssetSelection.assets("platform/other_tables")
_CONTENT = dg.AssetSelection.assets("validation/content")
_SECOND_READING = dg.AssetSelection.assets("validation/second_reading")
_REPORTED = dg.AssetSelection.assets("validation/plausibility", "validation/report")
_BACKUP = dg.AssetSelection.assets("operations/target_backup")
_LOADED = _BACKUP | (dg.AssetSelection.groups("target", "validation") - _CONTENT - _SECOND_READING - _REPORTED)


def build_jobs(target: str | None = None) -> list[UnresolvedAssetJobDefinition]:
    """Return the jobs in the order in which a migration runs them; `target` is where their target is."""
    job = partial(_job, target)
    return [
        job(
            ASSESS_JOB,
            _SNAPSHOT | dg.AssetSelection.groups("assessment"),
            "Find out what a migration would do, and plan it; write nothing into source and target.",
        ),
        job(
            PREFLIGHT_JOB,
            _BACKUP | dg.AssetSelection.assets("preflight"),
            "Take a backup of the target, and judge every item of the checklist; migrate nothing.",
        ),
        job(SNAPSHOT_JOB, _SNAPSHOT, "Copy the legacy database and register its batches."),
        job(PREPARE_JOB, _PREPARED, "Read and clean all entities; nothing is written to the target."),
        job(LOAD_JOB, _LOADED, "Take a backup, load what was accepted, add the constraints, validate everything."),
        job(
            VERIFY_JOB,
            dg.AssetSelection.groups("validation") - _REPORTED,
            "Compare the whole target with the present snapshot, row by row; write nothing.",
        ),
        job(
            REPORT_JOB,
            _REPORTED | _SECOND_READING,
            "Write the report on the target, to be read and signed; write nothing into the target.",
        ),
        job(
            BACKUP_JOB,
            _BACKUP | dg.AssetSelection.assets("operations/backup_retention"),
            "Take and prove a backup of the target, then delete those that are too old.",
        ),
        job(
            POST_MIGRATION_JOB,
            dg.AssetSelection.groups("post_migration"),
            "After the last load and its report: optimise, configure, test, archive, go through the guide's list,"
            " notify.",
        ),
    ]


def build_copy_jobs(target: str | None = None) -> list[UnresolvedAssetJobDefinition]:
    """Return the jobs of a copy to another database, in order; `target` is where that is."""
    job = partial(_job, target)
    return [
        job(
            COPY_SNAPSHOT_JOB,
            _PLATFORM_SNAPSHOT,
            "Copy the state of the Account Processing System and register its batches.",
        ),
        job(
            COPY_PREPARE_JOB,
            _PLATFORM_JUDGED,
            "Read and judge the rows to be copied; nothing is written to the other database.",
        ),
        job(
            COPY_JOB,
            _PLATFORM_COPIED - _OTHER_TABLES,
            "Load what was judged into the other database, add the constraints, prove everything.",
        ),
        job(
            COPY_ALL_JOB,
            _PLATFORM_COPIED,
            "Load what was judged and carry every other table along, add the constraints, prove everything.",
        ),
    ]


def _job(target: str | None, name: str, selection: dg.AssetSelection, description: str) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(name, selection, tags=target_tags(target), description=description)


def is_copy(run: dg.DagsterRun) -> bool:
    """Return whether a run is one of a copy to another database: of its jobs, or of its assets alone."""
    if run.asset_selection:
        return all(key.path[0] == "platform" for key in run.asset_selection)
    return run.job_name in (COPY_SNAPSHOT_JOB, COPY_PREPARE_JOB, COPY_JOB, COPY_ALL_JOB)


def build_rollback_job(target: str | None = None) -> dg.JobDefinition:
    """Return the job that rolls back; `target` is where its target is."""

    @dg.job(
        name=ROLLBACK_JOB,
        tags=target_tags(target),
        # the target is for a person to type: launched as it is, the job refuses and names it
        config={"ops": {roll_back.name: {"config": {"target": ""}}}},
        description="Put a proved backup in the place of the target, which the config has to name.",
    )
    def rollback() -> None:
        roll_back()

    return rollback


def target_tags(target: str | None) -> dict[str, str]:
    """Return the tags of a job: where its target is; none where no target is set."""
    return {} if target is None else {TARGET_TAG: target}
