"""`cleaned/<entities>`: the legacy rows judged by the rules.

Here: the asset, and the circumstances of its verdicts. Not here: the judging and its checks
(`accounts_migration.assets.judging`), and the rules (`accounts_migration.entities`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pyarrow as pa

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.judging import check_specs, judged, refuse_unless_same_policies
from accounts_migration.assets.links import (
    backfill_policy_of,
    batches_of,
    cleaned_key,
    column_schema,
    partitions_of,
    raw_key,
)
from accounts_migration.assets.snapshot import DUPLICATES, SNAPSHOT
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.entity import Circumstances, LegacyChunk
from accounts_migration.entities.keys import DUPLICATE_SCHEMA, KeyFates, referenced_keys
from accounts_migration.entities.policies import Policies
from accounts_migration.io_managers import StagingIOManager
from accounts_migration.staging import Staged, StagedOutput
from accounts_migration.streams import joined


def cleaned_asset(entity: Entity) -> dg.AssetsDefinition:
    """Return the asset that cleans an entity, with its blocking checks."""
    key = cleaned_key(entity)
    parents = {f"parent_{name}": dg.AssetIn(cleaned_key(ENTITIES[name])) for name in entity.parents}
    # a parent is kept where an account refers to it, so its cleaning looks at the raw accounts
    referring = {} if entity.parents else {"accounts": dg.AssetIn(raw_key(ENTITIES["account"]))}

    @dg.asset(
        key=key,
        group_name="cleaned",
        kinds={"pandas", "pandera", "parquet"},
        ins={
            "snapshot": dg.AssetIn(SNAPSHOT),
            "duplicates": dg.AssetIn(DUPLICATES),
            "rows": dg.AssetIn(raw_key(entity)),
            **parents,
            **referring,
        },
        io_manager_key="staging_io",
        check_specs=check_specs(entity),
        metadata={"dagster/column_schema": column_schema(entity)},
        description=f"Rows of {entity.legacy_table} as the target will hold them; beside them the defects.",
        partitions_def=partitions_of(entity),
        backfill_policy=backfill_policy_of(entity),
    )
    def cleaned(
        context: dg.AssetExecutionContext,
        policies: dg.ResourceParam[Policies],
        staging_io: dg.ResourceParam[StagingIOManager],
        **inputs: Any,
    ) -> Iterator[dg.Output[StagedOutput] | dg.AssetCheckResult]:
        snapshot: Snapshot = inputs["snapshot"]
        raw: Staged = inputs["rows"]
        with failing_clearly():
            source_rows = {batch: raw.manifest(batch)["source_rows"] for batch in batches_of(context, entity)}
            circumstances = _circumstances(entity, snapshot, policies, inputs)
            rows = joined(raw.scan("rows"))
            yield from judged(context, entity, snapshot, circumstances, source_rows, rows, staging_io)

    return cleaned


def _circumstances(entity: Entity, snapshot: Snapshot, policies: Policies, inputs: Mapping[str, Any]) -> Circumstances:
    referenced = None
    if "accounts" in inputs:
        referenced = referenced_keys(_references(entity, snapshot, inputs["accounts"], policies))
    return Circumstances(
        policies=policies,
        snapshot_time=snapshot.time,
        duplicates=pa.Table.from_batches(
            [rows.select(DUPLICATE_SCHEMA.names) for rows in inputs["duplicates"].scan(entity.name)],
            DUPLICATE_SCHEMA,
        ),
        parents={
            name: KeyFates.from_tables(_accepted(inputs[f"parent_{name}"], policies).scan("keys"))
            for name in entity.parents
        },
        referenced=referenced,
    )


def _accepted(staged: Staged, policies: Policies) -> Staged:
    refuse_unless_same_policies(staged, policies)
    return staged


def _references(entity: Entity, snapshot: Snapshot, accounts: Staged, policies: Policies) -> Iterator[Any]:
    account = ENTITIES["account"]
    column = account.parents[entity.name]
    has_row_id = snapshot.tables[account.legacy_table].row_id is not None
    for rows in accounts.scan("rows"):
        chunk = LegacyChunk(rows, account.legacy_columns, has_row_id)
        yield entity.parse_keys(chunk.column(column), policies.legacy_encoding)
