"""`platform/snapshot`: the one state of the database that is copied.

Here: the asset. Not here: how it is taken (`accounts_migration.databases.platform_snapshot`).
"""

from collections.abc import Iterator

import dagster as dg

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.links import is_in_run
from accounts_migration.assets.snapshot import SNAPSHOT, snapshot_output
from accounts_migration.databases.legacy_source import Unmigrated
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import PLATFORM_ENTITIES
from accounts_migration.resources import PlatformResource

PLATFORM_SNAPSHOT = dg.AssetKey(["platform", "snapshot"])


@dg.asset(
    key=PLATFORM_SNAPSHOT,
    group_name="platform",
    kinds={"sqlite"},
    io_manager_key="platform_snapshot_io",
    output_required=False,
)
def platform_snapshot(
    context: dg.AssetExecutionContext, platform: dg.ResourceParam[PlatformResource]
) -> Iterator[dg.Output[Snapshot]]:
    """One consistent copy of the database that is copied, in BACKUP_DIR, proved whole.

    Registers the batches found in it. An unchanged database gives the snapshot taken before.
    """
    if not platform.is_named and is_in_run(context, SNAPSHOT):
        # somebody who materializes all assets to migrate has nothing to copy
        context.log.warning("Nothing is copied to another platform: COPY_FROM is not set")
        return
    with failing_clearly():
        taken = platform.take_snapshot()
    left = [_left(item) for item in taken.unmigrated]
    yield snapshot_output(context, taken, PLATFORM_ENTITIES["transaction"].legacy_table, left)


def _left(item: Unmigrated) -> str:
    return f"not copied: {item.what}" if item.column else f"comes along where all tables are copied: {item.what}"
