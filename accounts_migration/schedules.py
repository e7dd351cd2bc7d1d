"""The schedules: what goes on by itself when the migration is over.

Here: when. Not here: what runs (`accounts_migration.jobs`). A schedule is off until somebody turns it on in the UI, and
needs the daemon that `make ui` starts.
"""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

DAILY_BACKUP = "daily_backup"


def build_schedules(backup: UnresolvedAssetJobDefinition) -> list[dg.ScheduleDefinition]:
    """Return the schedules (guide, "Post-Migration Checklist": "Schedule backup")."""
    return [
        dg.ScheduleDefinition(
            name=DAILY_BACKUP,
            job=backup,
            cron_schedule="0 2 * * *",
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.STOPPED,
            description="A proved backup of the target every night at 02:00 UTC; old ones are deleted.",
        )
    ]
