"""The reconciliation of a run, begun before its asset's turn.

Here: what is begun when; the source's side beside the loads, all of it beside the constraints. Not here: the account
itself (`accounts_migration.reconciliation`), and handing its result over (`accounts_migration.assets.ahead`).
"""

from collections.abc import Callable, Mapping

import dagster as dg

from accounts_migration.assets.ahead import Ahead
from accounts_migration.assets.links import batches_of, is_in_run
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES, Entity, family_of
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation.promises import Promises, promises_of
from accounts_migration.reconciliation.report import Reconciliation, reconcile
from accounts_migration.resources import TargetResource

RECONCILIATION = dg.AssetKey(["validation", "reconciliation"])


def begin_promises(
    context: dg.AssetExecutionContext,
    entity: Entity,
    asset: dg.AssetKey,
    promising: Ahead[Promises],
    snapshot: Snapshot,
    policies: Policies,
) -> None:
    """Begin adding up the whole source beside the load of an entity, which leaves a core half idle.

    Only where the entity moves in batches, the run moves all of them, and it goes on to the asset that needs the sums.
    """
    everything = set(snapshot.tables[entity.legacy_table].batches)
    if entity.batch_column and everything <= set(batches_of(context, entity)) and is_in_run(context, asset):
        by_month = entity.origin == "platform"
        promising.begin(context.run.run_id, lambda: promises_of(snapshot, policies, family_of(entity), by_month))


def begin_reconciliation(
    context: dg.AssetExecutionContext,
    database: Target,
    asset: dg.AssetKey,
    reconciling: Ahead[Reconciliation],
    work: Callable[[], Reconciliation],
) -> None:
    """Begin the work of a later asset of the same run, where the database can be read beside its constraints."""
    if database.reads_beside_writing and is_in_run(context, asset):
        reconciling.begin(context.run.run_id, work)


def reconciled(
    snapshot: Snapshot,
    policies: Policies,
    target: TargetResource,
    *,
    of_any_snapshot: bool = False,
    entities: Mapping[str, Entity] = ENTITIES,
    by_month: bool = False,
    promises: Callable[[], Promises] | None = None,
) -> Reconciliation:
    """Reconcile on a connection of its own; see `reconcile`."""
    with target.open() as database:
        return reconcile(
            snapshot,
            policies,
            database,
            of_any_snapshot=of_any_snapshot,
            entities=entities,
            by_month=by_month,
            promises=promises,
        )
