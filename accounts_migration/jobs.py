"""The jobs: which assets are materialized together.

Here: selections by name. Not here: how a run is launched (`accounts_migration.cli`, the UI).
"""

from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from accounts_migration.ops import roll_back

ASSESS_JOB = "assess"
SNAPSHOT_JOB, PREPARE_JOB, LOAD_JOB, VERIFY_JOB, REPORT_JOB = "snapshot", "prepare", "load", "verify", "report"
BACKUP_JOB, ROLLBACK_JOB, POST_MIGRATION_JOB = "backup", "rollback", "post_migration"
PREFLIGHT_JOB = "preflight_checklist"

TARGET_TAG = "accounts_migration/target"
"""The tag that tells of a run which target it worked on, without its password."""

RUN_TAG = "accounts_migration/run"
"""The tag that tells of a Dagster run which command launched it: the id that is on each line of the command's log."""

PREFLIGHT_TAG = "accounts_migration/preflight"
"""The tag that tells of a run that its command judged the preflight's items before it launched the first one."""

# without it Dagster's own logger would take the place of ours
_LOGGED: dict[str, Any] = {"loggers": {"console": {}}}

_SNAPSHOT = dg.AssetSelection.assets("legacy/snapshot")
_PREPARED = dg.AssetSelection.groups("legacy", "cleaned") - _SNAPSHOT
_CONTENT = dg.AssetSelection.assets("validation/content")
_SECOND_READING = dg.AssetSelection.assets("validation/second_reading")
_REPORTED = dg.AssetSelection.assets("validation/plausibility", "validation/report")
_BACKUP = dg.AssetSelection.assets("operations/target_backup")
_LOADED = _BACKUP | (dg.AssetSelection.groups("target", "validation") - _CONTENT - _SECOND_READING - _REPORTED)


def build_jobs(target: str | None = None) -> list[UnresolvedAssetJobDefinition]:
    """Return the jobs in the order in which a migration runs them; `target` is where their target is."""
    tags = {} if target is None else {TARGET_TAG: target}
    return [
        dg.define_asset_job(
            ASSESS_JOB,
            _SNAPSHOT | dg.AssetSelection.groups("assessment"),
            tags=tags,
            config=_LOGGED,
            description="Find out what a migration would do, and plan it; write nothing into source and target.",
        ),
        dg.define_asset_job(
            PREFLIGHT_JOB,
            _BACKUP | dg.AssetSelection.assets("preflight"),
            tags=tags,
            config=_LOGGED,
            description="Take a backup of the target, and judge every item of the checklist; migrate nothing.",
        ),
        dg.define_asset_job(
            SNAPSHOT_JOB,
            _SNAPSHOT,
            tags=tags,
            config=_LOGGED,
            description="Copy the legacy database and register its batches.",
        ),
        dg.define_asset_job(
            PREPARE_JOB,
            _PREPARED,
            tags=tags,
            config=_LOGGED,
            description="Read and clean all entities; nothing is written to the target.",
        ),
        dg.define_asset_job(
            LOAD_JOB,
            _LOADED,
            tags=tags,
            config=_LOGGED,
            description="Take a backup, load what was accepted, add the constraints, validate everything.",
        ),
        dg.define_asset_job(
            VERIFY_JOB,
            dg.AssetSelection.groups("validation") - _REPORTED,
            tags=tags,
            config=_LOGGED,
            description="Compare the whole target with the present snapshot, row by row; write nothing.",
        ),
        dg.define_asset_job(
            REPORT_JOB,
            _REPORTED | _SECOND_READING,
            tags=tags,
            config=_LOGGED,
            description="Write the report on the target, to be read and signed; write nothing into the target.",
        ),
        dg.define_asset_job(
            BACKUP_JOB,
            _BACKUP | dg.AssetSelection.assets("operations/backup_retention"),
            tags=tags,
            config=_LOGGED,
            description="Take and prove a backup of the target, then delete those that are too old.",
        ),
        dg.define_asset_job(
            POST_MIGRATION_JOB,
            dg.AssetSelection.groups("post_migration"),
            tags=tags,
            config=_LOGGED,
            description="After the last load and its report: optimise, configure, test, archive, go through the guide's"
            " list, notify.",
        ),
    ]


def build_rollback_job(target: str | None = None) -> dg.JobDefinition:
    """Return the job that rolls back; `target` is where its target is."""

    @dg.job(
        name=ROLLBACK_JOB,
        tags={} if target is None else {TARGET_TAG: target},
        # the target is for a person to type: launched as it is, the job refuses and names it
        config={**_LOGGED, "ops": {roll_back.name: {"config": {"target": ""}}}},
        description="Put a proved backup in the place of the target, which the config has to name.",
    )
    def rollback() -> None:
        roll_back()

    return rollback
