"""The snapshot of the legacy database, and which of its rows share a key.

Here: `legacy/snapshot` and `legacy/duplicates`. Not here: the raw tables (`accounts_migration.assets.chain`).
"""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.duplicates import duplicates_of
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.keys import DUPLICATE_SCHEMA
from accounts_migration.entities.policies import Policies
from accounts_migration.partitions import register_batches
from accounts_migration.resources import LegacyResource
from accounts_migration.staging import WHOLE, StagedOutput

SNAPSHOT = dg.AssetKey(["legacy", "snapshot"])
DUPLICATES = dg.AssetKey(["legacy", "duplicates"])


@dg.asset(key=SNAPSHOT, group_name="legacy", kinds={"sqlite"}, io_manager_key="snapshot_io")
def snapshot(context: dg.AssetExecutionContext, legacy: dg.ResourceParam[LegacyResource]) -> dg.Output[Snapshot]:
    """One consistent copy of the legacy database, taken by online backup into BACKUP_DIR and proved whole.

    Registers the batches found in it. An unchanged source gives the snapshot taken before.
    """
    with failing_clearly():
        taken = legacy.take_snapshot()
    return snapshot_output(context, taken, ENTITIES["transaction"].legacy_table, [str(one) for one in taken.unmigrated])


def snapshot_output(
    context: dg.AssetExecutionContext, taken: Snapshot, batched: str, left: Sequence[str]
) -> dg.Output[Snapshot]:
    """Register the batches of a snapshot and return it with its metadata.

    Args:
        context: The asset's.
        taken: The snapshot.
        batched: The table that moves in batches.
        left: What is left behind, a sentence for each.
    """
    # a database that holds no Account Processing System has no batches
    batches = taken.tables[batched].batches if taken.tables else {}
    new = register_batches(context.instance, batches) if taken.tables else []
    for item in left:
        context.log.warning(item)
    context.log.info(
        f"snapshot {taken.snapshot_id}: {len(batches)} batches, {taken.size:,} bytes, integrity {taken.integrity}"
    )
    return dg.Output(
        taken,
        data_version=dg.DataVersion(taken.sha256),
        metadata={
            "snapshot_id": taken.snapshot_id,
            "source": taken.source,
            "folder": dg.MetadataValue.path(taken.folder),
            "sha256": taken.sha256,
            "bytes": taken.size,
            "taken_at": taken.taken_at,
            "integrity_check": taken.integrity,
            **{f"rows of {name}": table.rows for name, table in taken.tables.items()},
            "batches": len(batches),
            "new batches": len(new),
            "not migrated": dg.MetadataValue.md("\n".join(f"- {item}" for item in left) or "nothing"),
        },
    )


@dg.asset(
    key=DUPLICATES,
    group_name="legacy",
    ins={"snapshot": dg.AssetIn(SNAPSHOT)},
    io_manager_key="staging_io",
    kinds={"parquet"},
)
def duplicates(
    context: dg.AssetExecutionContext, snapshot: Snapshot, policies: dg.ResourceParam[Policies]
) -> dg.Output[StagedOutput]:
    """Rows of the snapshot that share a key, and the verdict on each: EXACT_DUPLICATE or DUPLICATE_KEY.

    Judged over the whole snapshot, so that a single batch can be cleaned on its own.
    """
    found = {name: duplicates_of(entity, snapshot, policies) for name, entity in ENTITIES.items()}
    counts = {name: table.num_rows for name, table in found.items()}
    context.log.info("rows sharing a key: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    output = StagedOutput(
        snapshot_id=snapshot.snapshot_id,
        schemas=dict.fromkeys(found, DUPLICATE_SCHEMA),
        batches=[WHOLE],
        chunks=[{name: _labelled(table) for name, table in found.items()}],
        summary=lambda _: {"policies_digest": policies.digest},
    )
    return dg.Output(output, metadata={f"rows of {name}": count for name, count in counts.items()})


def _labelled(table: pa.Table) -> pa.Table:
    return table.add_column(0, "batch", pa.array([WHOLE] * table.num_rows, pa.string()))
