"""`target/constraints`: keys, foreign keys, checks and indexes, where the engine lets them come after the load.

Here: the asset. Not here: the SQL (`accounts_migration.databases`).
"""

import dagster as dg

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.links import target_key
from accounts_migration.entities import ENTITIES
from accounts_migration.resources import TargetResource

CONSTRAINTS = dg.AssetKey(["target", "constraints"])


@dg.asset(
    key=CONSTRAINTS,
    group_name="target",
    deps=[target_key(entity) for entity in ENTITIES.values()],
    pool="target",
    kinds={"sql"},
)
def constraints(
    context: dg.AssetExecutionContext, target: dg.ResourceParam[TargetResource]
) -> dg.MaterializeResult[None]:
    """Add what is missing of keys, foreign keys, checks and indexes, verify the foreign keys, analyze."""
    with failing_clearly(), target.open() as database, database.lock():
        database.prepare()
        done = database.constrain()
    context.log.info(f"constraints and indexes: {len(done)} steps")
    return dg.MaterializeResult(metadata={"steps": dg.MetadataValue.md("\n".join(f"- {step}" for step in done) or "-")})
