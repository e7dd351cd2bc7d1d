"""`target/constraints`: keys, foreign keys, checks and indexes, where the engine lets them come after the load.

Here: the asset, which begins the reconciliation beside it, since the constraints keep one core busy and change no row.
Not here: the SQL (`accounts_migration.databases`).
"""

import dagster as dg

from accounts_migration.assets.ahead import Ahead
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.links import target_key
from accounts_migration.assets.reconciling import RECONCILIATION, begin_reconciliation, reconciled
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation.promises import Promises
from accounts_migration.reconciliation.report import Reconciliation
from accounts_migration.resources import LegacyResource, TargetResource

CONSTRAINTS = dg.AssetKey(["target", "constraints"])


@dg.asset(
    key=CONSTRAINTS,
    group_name="target",
    deps=[target_key(entity) for entity in ENTITIES.values()],
    pool="target",
    kinds={"sql"},
)
def constraints(
    context: dg.AssetExecutionContext,
    legacy: dg.ResourceParam[LegacyResource],
    policies: dg.ResourceParam[Policies],
    target: dg.ResourceParam[TargetResource],
    promising: dg.ResourceParam[Ahead[Promises]],
    reconciling: dg.ResourceParam[Ahead[Reconciliation]],
) -> dg.MaterializeResult[None]:
    """Add what is missing of keys, foreign keys, checks and indexes, verify the foreign keys, analyze."""
    with failing_clearly(), target.open() as database, database.lock():
        database.prepare()
        begun = promising.begun(context.run.run_id)

        def reconcile() -> Reconciliation:
            return reconciled(legacy.snapshot(), policies, target, promises=begun)

        begin_reconciliation(context, database, RECONCILIATION, reconciling, reconcile)
        return constrained(context, database)


def constrained(context: dg.AssetExecutionContext, database: Target) -> dg.MaterializeResult[None]:
    """Constrain a database and return what was done, for the UI."""
    done = database.constrain()
    context.log.info(f"constraints and indexes: {len(done)} steps")
    return dg.MaterializeResult(metadata={"steps": dg.MetadataValue.md("\n".join(f"- {step}" for step in done) or "-")})
