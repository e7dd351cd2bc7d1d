"""`operations/target_backup` and `operations/backup_retention`: a way back, before the first write.

Here: the assets. Not here: how a backup is taken and proved (`accounts_migration.operations.backup`), and how the
target is put back (`accounts_migration.operations.rollback`).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.storage.tags import BACKFILL_ID_TAG

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.snapshot import SNAPSHOT
from accounts_migration.operations.backup import Backup
from accounts_migration.resources import BackupResource

TARGET_BACKUP = dg.AssetKey(["operations", "target_backup"])
BACKUP_RETENTION = dg.AssetKey(["operations", "backup_retention"])

RESTORED_CHECK = "restored_and_compared"
_TABLES_SHOWN = 20
_NOTHING = "nothing: no copy stands there yet"


def backup_check_specs(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return the check of a backup."""
    return [
        dg.AssetCheckSpec(
            RESTORED_CHECK,
            asset=asset,
            description="Restored to a scratch place, it gave the rows and totals that were copied.",
        )
    ]


@dg.asset(
    key=TARGET_BACKUP,
    group_name="operations",
    deps=[SNAPSHOT],
    pool="target",
    kinds={"sql"},
    check_specs=backup_check_specs(TARGET_BACKUP),
)
def target_backup(
    context: dg.AssetExecutionContext, backups: dg.ResourceParam[BackupResource]
) -> Iterator[dg.MaterializeResult[None]]:
    """The target as it is now, copied into BACKUP_DIR and proved by restoring it; taken before a load writes."""
    with failing_clearly():
        backup = _of_this_backfill(context, backups) or backups.take()
    yield backed_up(context, backup)


def backed_up(context: dg.AssetExecutionContext, backup: Backup | None) -> dg.MaterializeResult[None]:
    """Return what is recorded of a backup; None where there was nothing to lose."""
    if backup is None:
        verdict = dg.AssetCheckResult(check_name=RESTORED_CHECK, passed=True, metadata={"remark": _NOTHING})
        return dg.MaterializeResult(metadata={"holds": _NOTHING}, check_results=[verdict])
    context.log.info(f"backup {backup.backup_id}: {backup}")
    return dg.MaterializeResult(
        metadata=_metadata(backup),
        check_results=[
            dg.AssetCheckResult(
                check_name=RESTORED_CHECK,
                passed=backup.restored,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"tables compared": len(backup.figures.tables), "remark": backup.remark or "none"},
            )
        ],
    )


def _of_this_backfill(context: dg.AssetExecutionContext, backups: BackupResource) -> Backup | None:
    """Return the backup that the backfill of this run has taken already: its runs are one migration, and need one."""
    backfill_id = context.run.tags.get(BACKFILL_ID_TAG)
    backfill = context.instance.get_backfill(backfill_id) if backfill_id else None
    if backfill is None:
        return None
    begun = datetime.fromtimestamp(backfill.backfill_timestamp, UTC)
    taken = [one for one in backups.all() if datetime.fromisoformat(one.taken_at) >= begun]
    return taken[-1] if taken else None


@dg.asset(key=BACKUP_RETENTION, group_name="operations", deps=[TARGET_BACKUP])
def backup_retention(
    context: dg.AssetExecutionContext, backups: dg.ResourceParam[BackupResource]
) -> dg.MaterializeResult[None]:
    """Backups of the target older than BACKUP_RETENTION_DAYS, deleted; never the last good one or the way back."""
    with failing_clearly():
        gone = backups.forget_old(datetime.now(UTC))
    for backup in gone:
        context.log.info(f"backup {backup.backup_id} was deleted: older than {backups.retention_days} days")
    return dg.MaterializeResult(
        metadata={
            "deleted": len(gone),
            "names": dg.MetadataValue.md("\n".join(f"- {one.backup_id}" for one in gone[:_TABLES_SHOWN]) or "none"),
            "kept": len(backups.all()),
        }
    )


def _metadata(backup: Backup) -> dict[str, Any]:
    tables = sorted(backup.figures.tables.items())[:_TABLES_SHOWN]
    lines = ["| table | rows |", "| --- | --- |", *(f"| {name} | {one.rows:,} |" for name, one in tables)]
    return {
        "backup": backup.backup_id,
        "folder": dg.MetadataValue.path(str(backup.folder)),
        "target": backup.target,
        "holds": str(backup),
        "taken_at": backup.taken_at,
        "sha256": backup.sha256 or "no file",
        "bytes": backup.size,
        "rows": backup.rows,
        "tables": dg.MetadataValue.md("\n".join(lines) if tables else "none"),
        "version": backup.version,
        "proved by": _proof(backup),
        "seconds": backup.seconds,
    }


def _proof(backup: Backup) -> str:
    if backup.path is None:
        return "nothing: there is no file to restore"
    return "restoring it" if backup.restored else backup.remark
