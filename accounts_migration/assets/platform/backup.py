"""`platform/target_backup`: a way back, before a copy overwrites what an earlier one has brought.

Here: the asset. Not here: how a backup is taken and proved (`accounts_migration.operations.backup`).
"""

from collections.abc import Iterator

import dagster as dg

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.links import cleaned_key, is_in_run
from accounts_migration.assets.target_backup import backed_up, backup_check_specs
from accounts_migration.databases.target import Target
from accounts_migration.entities import PLATFORM_ENTITIES
from accounts_migration.resources import BackupResource, TargetResource

COPY_BACKUP = dg.AssetKey(["platform", "target_backup"])


def holds_a_copy(database: Target) -> bool:
    """Return whether an earlier copy has brought tables, whose rows may be in use by now.

    Unlike `Target.has_books` it refuses nothing: a database that is no Account Processing System may hold a table with
    the name of one of ours and other columns, which an earlier copy has brought with the rest.
    """
    return set(database.books.tables) <= set(database.standing()) and bool(database.recorded_batches())


def back_up_alone(context: dg.AssetExecutionContext, database: Target, backups: BackupResource) -> None:
    """Take the first backup of what an earlier copy brought, where the run has no `platform/target_backup` to wait for.

    Such is a step that somebody chose alone in the UI. The database is locked.

    Raises:
        MigrationError: The backup cannot be taken; then nothing may be written.
    """
    alone = not is_in_run(context, COPY_BACKUP)
    if alone and holds_a_copy(database) and (backup := backups.take_first()):
        context.log.info(f"backup {backup.backup_id}: {backup}")


@dg.asset(
    key=COPY_BACKUP,
    group_name="platform",
    deps=[cleaned_key(entity) for entity in PLATFORM_ENTITIES.values()],
    pool="target",
    kinds={"sql"},
    check_specs=backup_check_specs(COPY_BACKUP),
)
def copy_backup(
    context: dg.AssetExecutionContext,
    copy_target: dg.ResourceParam[TargetResource],
    copy_backups: dg.ResourceParam[BackupResource],
) -> Iterator[dg.MaterializeResult[None]]:
    """The database that is copied into as it is now, in BACKUP_DIR and proved, where an earlier copy stands there."""
    with failing_clearly():
        with copy_target.open() as database:
            overwrites = holds_a_copy(database)
        backup = copy_backups.take() if overwrites else None
    yield backed_up(context, backup)
