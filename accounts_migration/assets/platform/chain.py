"""The chain of an entity that is copied: judged rows -> loaded table.

Here: one factory that makes the same two links for every entity. Not here: judging and loading
(`accounts_migration.assets.judging`, `.loading`), and the rules (`accounts_migration.entities.platform`).
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow as pa

from accounts_migration.assets.ahead import Ahead
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.judging import check_specs, judged, refuse_unless_same_policies
from accounts_migration.assets.links import (
    backfill_policy_of,
    batches_of,
    cleaned_key,
    column_schema,
    partitions_of,
    target_key,
)
from accounts_migration.assets.loading import (
    load_and_read_back,
    load_check_specs,
    loaded_and_judged,
    refuse_unaccepted,
)
from accounts_migration.assets.platform.backup import COPY_BACKUP, back_up_alone
from accounts_migration.assets.platform.proof import PROOF
from accounts_migration.assets.platform.snapshot import PLATFORM_SNAPSHOT
from accounts_migration.assets.reconciling import begin_promises
from accounts_migration.databases.legacy_source import read_rows
from accounts_migration.databases.platform_snapshot import refuse_without_platform
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.duplicates import duplicates_of
from accounts_migration.entities import PLATFORM_ENTITIES, Entity
from accounts_migration.entities.entity import Circumstances
from accounts_migration.entities.keys import DUPLICATE_SCHEMA, KeyFates
from accounts_migration.entities.policies import Policies
from accounts_migration.io_managers import StagingIOManager
from accounts_migration.jobs import COPY_ALL_JOB
from accounts_migration.reconciliation.promises import Promises
from accounts_migration.resources import BackupResource, TargetResource, legacy_table
from accounts_migration.staging import Staged, StagedOutput
from accounts_migration.streams import joined


def build_platform_chains() -> list[dg.AssetsDefinition]:
    """Return the assets of all entities."""
    return [make(entity) for entity in PLATFORM_ENTITIES.values() for make in (judged_asset, copied_asset)]


def judged_asset(entity: Entity) -> dg.AssetsDefinition:
    """Return the asset that judges the rows of an entity, with its blocking checks."""
    parents = {f"parent_{name}": dg.AssetIn(cleaned_key(PLATFORM_ENTITIES[name])) for name in entity.parents}

    @dg.asset(
        key=cleaned_key(entity),
        group_name="platform",
        kinds={"pandas", "pandera", "parquet"},
        ins={"snapshot": dg.AssetIn(PLATFORM_SNAPSHOT), **parents},
        io_manager_key="platform_staging_io",
        check_specs=check_specs(entity),
        metadata={"dagster/column_schema": column_schema(entity)},
        description=f"Rows of {entity.name} as they were written; what no {entity.name} can be stands beside them.",
        partitions_def=partitions_of(entity),
        backfill_policy=backfill_policy_of(entity),
    )
    def judge(
        context: dg.AssetExecutionContext,
        policies: dg.ResourceParam[Policies],
        platform_staging_io: dg.ResourceParam[StagingIOManager],
        **inputs: Any,
    ) -> Iterator[dg.Output[StagedOutput] | dg.AssetCheckResult]:
        snapshot: Snapshot = inputs["snapshot"]
        with failing_clearly():
            refuse_without_platform(snapshot)
            found = snapshot.tables[entity.legacy_table]
            source_rows = {batch: found.batches.get(batch, 0) for batch in batches_of(context, entity)}
            circumstances = _circumstances(entity, snapshot, policies, inputs)
            rows = joined(_rows(entity, snapshot, list(source_rows)))
            yield from judged(context, entity, snapshot, circumstances, source_rows, rows, platform_staging_io)

    return judge


def _circumstances(entity: Entity, snapshot: Snapshot, policies: Policies, inputs: dict[str, Any]) -> Circumstances:
    parents = {}
    for name in entity.parents:
        refuse_unless_same_policies(inputs[f"parent_{name}"], policies)
        parents[name] = KeyFates.from_tables(inputs[f"parent_{name}"].scan("keys"))
    return Circumstances(
        policies=policies,
        snapshot_time=snapshot.time,
        duplicates=_duplicates(entity, snapshot, policies),
        parents=parents,
    )


def _duplicates(entity: Entity, snapshot: Snapshot, policies: Policies) -> pa.Table:
    # where the database keeps the keys apart itself, there is nothing to look for
    if snapshot.tables[entity.legacy_table].unique_key:
        return DUPLICATE_SCHEMA.empty_table()
    return duplicates_of(entity, snapshot, policies)


def _rows(entity: Entity, snapshot: Snapshot, batches: list[str]) -> Iterator[pa.RecordBatch]:
    found = snapshot.tables[entity.legacy_table]
    everything = set(found.batches) <= set(batches)
    table = legacy_table(entity)
    return read_rows(snapshot.path, table, found.classes, found.row_id, None if everything else batches)


def copied_asset(entity: Entity) -> dg.AssetsDefinition:
    """Return the asset that loads an entity, with its checks."""

    @dg.asset(
        key=target_key(entity),
        group_name="platform",
        kinds={"sql"},
        ins={"snapshot": dg.AssetIn(PLATFORM_SNAPSHOT), "rows": dg.AssetIn(cleaned_key(entity))},
        # which comes after all four are judged, so that nothing is written before
        deps=[COPY_BACKUP, *(target_key(PLATFORM_ENTITIES[parent]) for parent in entity.parents)],
        pool="target",
        check_specs=load_check_specs(entity),
        metadata={"dagster/column_schema": column_schema(entity)},
        description=f"Table {entity.name} of the database that is copied into; one transaction for each batch.",
        partitions_def=partitions_of(entity),
        backfill_policy=backfill_policy_of(entity),
    )
    def copy(
        context: dg.AssetExecutionContext,
        snapshot: Snapshot,
        rows: Staged,
        policies: dg.ResourceParam[Policies],
        copy_target: dg.ResourceParam[TargetResource],
        platform_staging_io: dg.ResourceParam[StagingIOManager],
        copy_backups: dg.ResourceParam[BackupResource],
        promising: dg.ResourceParam[Ahead[Promises]],
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        with failing_clearly():
            refuse_unaccepted(entity, rows, snapshot, policies, platform_staging_io)
            begin_promises(context, entity, PROOF, promising, snapshot, policies)
            with copy_target.open() as database, database.lock():
                back_up_alone(context, database, copy_backups)
                if context.job_def.name == COPY_ALL_JOB:
                    database.prepare()
                    database.release_references()
                verdicts = load_and_read_back(context, entity, database, rows, snapshot, policies)
        yield from loaded_and_judged(context, entity, verdicts)

    return copy
