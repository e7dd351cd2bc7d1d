"""`legacy/<entities>`: the raw legacy table, as found, staged as Parquet.

Here: the asset only. Not here: the SQL (`accounts_migration.databases.legacy_source`).
"""

from collections.abc import Iterator

import dagster as dg
import pyarrow as pa

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.links import add_metadata, backfill_policy_of, batches_of, partitions_of, raw_key
from accounts_migration.assets.snapshot import SNAPSHOT
from accounts_migration.databases.legacy_source import raw_schema, read_rows
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import Entity
from accounts_migration.errors import MigrationError
from accounts_migration.resources import legacy_table
from accounts_migration.staging import StagedOutput, Tables
from accounts_migration.streams import read_ahead


def raw_asset(entity: Entity) -> dg.AssetsDefinition:
    """Return the asset that stages an entity's legacy table."""
    key = raw_key(entity)

    @dg.asset(
        key=key,
        group_name="legacy",
        kinds={"parquet"},
        ins={"snapshot": dg.AssetIn(SNAPSHOT)},
        io_manager_key="staging_io",
        description=f"Raw rows of {entity.legacy_table} as found in the snapshot, storage classes kept.",
        partitions_def=partitions_of(entity),
        backfill_policy=backfill_policy_of(entity),
    )
    def raw(context: dg.AssetExecutionContext, snapshot: Snapshot) -> StagedOutput:
        batches = batches_of(context, entity)
        source_rows = {batch: snapshot.tables[entity.legacy_table].batches.get(batch, 0) for batch in batches}
        read = dict.fromkeys(batches, 0)

        def finish(batch: str) -> dict[str, int]:
            if read[batch] != source_rows[batch]:
                raise MigrationError(
                    f"Cannot account for every row of {entity.legacy_table}, batch {batch}",
                    why=f"{source_rows[batch]} rows counted, {read[batch]} read",
                    remedy="The snapshot was changed: take a new one",
                )
            add_metadata(
                context,
                key,
                entity,
                batch,
                {"dagster/partition_row_count" if entity.batch_column else "dagster/row_count": read[batch]},
            )
            return {"source_rows": source_rows[batch]}

        with failing_clearly():
            schema = raw_schema(legacy_table(entity), snapshot.tables[entity.legacy_table].classes)
            return StagedOutput(
                snapshot_id=snapshot.snapshot_id,
                schemas={"rows": schema.remove(schema.get_field_index("batch"))},
                batches=batches,
                chunks=_chunks(entity, snapshot, batches, read),
                summary=finish,
            )

    return raw


def _chunks(entity: Entity, snapshot: Snapshot, batches: list[str], read: dict[str, int]) -> Iterator[Tables]:
    manifest = snapshot.tables[entity.legacy_table]
    everything = set(manifest.batches) <= set(batches)
    rows = read_rows(
        snapshot.path,
        legacy_table(entity),
        manifest.classes,
        manifest.row_id,
        None if everything else batches,
    )
    for chunk in read_ahead(rows):
        for counted in chunk["batch"].value_counts().to_pylist():
            read[counted["values"]] += counted["counts"]
        yield {"rows": pa.Table.from_batches([chunk])}
