"""What the links of a chain share.

Here: asset keys, the partitions of an entity, the column schema that the UI shows. Not here: the assets themselves.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pandera.pandas as pandera

from accounts_migration.entities import Entity, family_of
from accounts_migration.entities.schemas import FAULT_SUFFIX
from accounts_migration.partitions import BATCHES
from accounts_migration.staging import WHOLE


def raw_key(entity: Entity) -> dg.AssetKey:
    """Return the key of the raw legacy table, as `legacy/accounts`."""
    return dg.AssetKey(["legacy", entity.plural])


def cleaned_key(entity: Entity) -> dg.AssetKey:
    """Return the key of the cleaned frame, as `cleaned/accounts`; of a platform's own, as `platform/judged/account`."""
    if entity.origin == "platform":
        return dg.AssetKey(["platform", "judged", entity.name])
    return dg.AssetKey(["cleaned", entity.plural])


def target_key(entity: Entity) -> dg.AssetKey:
    """Return the key of the loaded table, as `target/account`, or `platform/account`."""
    return dg.AssetKey(["platform" if entity.origin == "platform" else "target", entity.name])


def partitions_of(entity: Entity) -> dg.PartitionsDefinition | None:
    """Return the batches in which an entity moves; None for one that moves whole."""
    return BATCHES if entity.batch_column else None


def backfill_policy_of(entity: Entity) -> dg.BackfillPolicy | None:
    """Return how a range of batches is run: as one run, since each run costs seconds to start."""
    return dg.BackfillPolicy.single_run() if entity.batch_column else None


def batches_of(context: dg.AssetExecutionContext, entity: Entity) -> list[str]:
    """Return the batches that the run moves, in order."""
    return sorted(context.partition_keys) if entity.batch_column else [WHOLE]


def ancestors(entity: Entity) -> list[Entity]:
    """Return the entities that an entity refers to, directly or not, parents first."""
    found: dict[str, Entity] = {}
    for name in entity.parents:
        parent = family_of(entity)[name]
        found |= {one.name: one for one in [*ancestors(parent), parent]}
    return list(found.values())


def column_schema(entity: Entity) -> dg.TableSchema:
    """Return the columns of a cleaned and loaded row with the reason codes that guard each."""
    columns = [
        dg.TableColumn(
            name,
            type=str(entity.row_schema.field(name).type),
            description=_rules(entity.schema, name),
            constraints=dg.TableColumnConstraints(nullable=bool(entity.schema.columns[name].nullable)),
        )
        for name in entity.target_columns
    ]
    return dg.TableSchema(columns=columns)


def _rules(schema: pandera.DataFrameSchema, name: str) -> str:
    checks = [
        str(check.name)
        for column in (name + FAULT_SUFFIX, name)
        if column in schema.columns
        for check in schema.columns[column].checks
    ]
    return "rejected as " + ", ".join(dict.fromkeys(checks)) if checks else "set by the migration"


def is_in_run(context: dg.AssetExecutionContext, asset: dg.AssetKey) -> bool:
    """Return whether an asset is among those of the run."""
    return bool(context.job_def.graph.has_node_named(asset.to_python_identifier()))


def add_metadata(
    context: dg.AssetExecutionContext,
    asset_key: dg.AssetKey,
    entity: Entity,
    batch: str,
    metadata: Mapping[str, Any],
) -> None:
    """Add metadata to the materialization of one batch, or of the whole asset where it has no batches."""
    partition = batch if entity.batch_column else None
    context.add_asset_metadata(metadata, asset_key=asset_key, partition_key=partition)
