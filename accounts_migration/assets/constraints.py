"""`target/constraints`: keys, foreign keys, checks and indexes, where the engine lets them come after the load.

Here: the asset, and the reconciliation begun beside it, since the constraints keep one core busy and change no row.
Not here: the SQL (`accounts_migration.databases`).
"""

from collections.abc import Callable, Mapping

import dagster as dg

from accounts_migration.assets.ahead import Ahead
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.links import target_key
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation.report import Reconciliation, reconcile
from accounts_migration.resources import LegacyResource, TargetResource

CONSTRAINTS = dg.AssetKey(["target", "constraints"])
RECONCILIATION = dg.AssetKey(["validation", "reconciliation"])


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
    reconciling: dg.ResourceParam[Ahead[Reconciliation]],
) -> dg.MaterializeResult[None]:
    """Add what is missing of keys, foreign keys, checks and indexes, verify the foreign keys, analyze."""
    with failing_clearly(), target.open() as database, database.lock():
        database.prepare()
        begin_reconciliation(
            context, database, RECONCILIATION, reconciling, lambda: reconciled(legacy.snapshot(), policies, target)
        )
        return constrained(context, database)


def begin_reconciliation(
    context: dg.AssetExecutionContext,
    database: Target,
    asset: dg.AssetKey,
    reconciling: Ahead[Reconciliation],
    work: Callable[[], Reconciliation],
) -> None:
    """Begin the work of a later asset of the same run, where the database can be read beside its constraints."""
    if database.reads_beside_writing and context.job_def.graph.has_node_named(asset.to_python_identifier()):
        reconciling.begin(context.run.run_id, work)


def constrained(context: dg.AssetExecutionContext, database: Target) -> dg.MaterializeResult[None]:
    """Constrain a database and return what was done, for the UI."""
    done = database.constrain()
    context.log.info(f"constraints and indexes: {len(done)} steps")
    return dg.MaterializeResult(metadata={"steps": dg.MetadataValue.md("\n".join(f"- {step}" for step in done) or "-")})


def reconciled(
    snapshot: Snapshot,
    policies: Policies,
    target: TargetResource,
    *,
    of_any_snapshot: bool = False,
    entities: Mapping[str, Entity] = ENTITIES,
    by_month: bool = False,
) -> Reconciliation:
    """Reconcile on a connection of its own; see `reconcile`."""
    with target.open() as database:
        return reconcile(
            snapshot, policies, database, of_any_snapshot=of_any_snapshot, entities=entities, by_month=by_month
        )
