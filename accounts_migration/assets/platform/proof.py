"""`platform/bookkeeping`, `platform/constraints` and `platform/proof`: what ends a copy.

Here: the assets and their checks. Not here: the bookkeeping's rows (`accounts_migration.platform.bookkeeping`),
counting and adding (`accounts_migration.reconciliation`), and the entities' rows, which are compared as they are
loaded (`accounts_migration.assets.platform.chain`).
"""

from collections.abc import Iterable, Iterator

import dagster as dg
import pyarrow as pa

from accounts_migration.assets.ahead import Ahead
from accounts_migration.assets.constraints import constrained
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.links import target_key
from accounts_migration.assets.platform.backup import back_up_alone
from accounts_migration.assets.platform.snapshot import PLATFORM_SNAPSHOT
from accounts_migration.assets.reconciling import begin_reconciliation, reconciled
from accounts_migration.assets.validation import account_check_specs, account_checks, account_metadata, no_orphans
from accounts_migration.databases.books import MIGRATION
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import PLATFORM_ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.platform.bookkeeping import carried_books, digest_of, read_books
from accounts_migration.reconciliation.promises import Promises
from accounts_migration.reconciliation.report import Reconciliation
from accounts_migration.resources import BackupResource, PlatformResource, TargetResource, as_recorded

BOOKKEEPING = dg.AssetKey(["platform", "bookkeeping"])
COPY_CONSTRAINTS = dg.AssetKey(["platform", "constraints"])
PROOF = dg.AssetKey(["platform", "proof"])

ARRIVED_CHECK = "arrived"


@dg.asset(
    key=BOOKKEEPING,
    group_name="platform",
    kinds={"sql"},
    ins={"snapshot": dg.AssetIn(PLATFORM_SNAPSHOT)},
    deps=[target_key(entity) for entity in PLATFORM_ENTITIES.values()],
    pool="target",
    check_specs=[
        dg.AssetCheckSpec(
            ARRIVED_CHECK, asset=BOOKKEEPING, description="Every row read back equals that of the snapshot."
        )
    ],
)
def bookkeeping(
    context: dg.AssetExecutionContext,
    snapshot: Snapshot,
    copy_target: dg.ResourceParam[TargetResource],
    copy_backups: dg.ResourceParam[BackupResource],
) -> Iterator[dg.MaterializeResult[None]]:
    """The migration's own tables, which come along: what was migrated, when, and what was left behind."""
    with failing_clearly(), copy_target.open() as database, database.lock():
        back_up_alone(context, database, copy_backups)
        database.prepare()
        tables = {table.name: table for table in carried_books(snapshot)}

        def read(name: str) -> Iterable[pa.RecordBatch]:
            return read_books(snapshot, tables[name]) if tables else ()

        expected = {name: digest_of(read(name)) for name in MIGRATION.tables}
        # books that an earlier copy brought and that are gone from the source go as well
        if expected != (found := _digests(database)):
            database.carry_books(as_recorded(snapshot), {name: read(name) for name in MIGRATION.tables})
            found = _digests(database)
    rows = {f"rows of {name}": count for name, (count, _) in found.items()}
    different = [name for name in expected if expected[name] != found[name]]
    context.log.info(
        f"bookkeeping: {sum(rows.values()):,} rows came along" if tables else "bookkeeping: the source has none"
    )
    check = dg.AssetCheckResult(
        check_name=ARRIVED_CHECK,
        passed=not different,
        metadata={"rows compared": sum(rows.values()), "different": ", ".join(different) or "none"},
    )
    yield dg.MaterializeResult(metadata=rows, check_results=[check])


def _digests(database: Target) -> dict[str, tuple[int, int]]:
    """Return table -> number and digest of the rows of the migration's bookkeeping that stand in a database."""
    return {
        name: digest_of(part.drop_columns(["inexact"]) for part in database.scan_books(name))
        for name in MIGRATION.tables
    }


@dg.asset(
    key=COPY_CONSTRAINTS,
    group_name="platform",
    deps=[target_key(entity) for entity in PLATFORM_ENTITIES.values()],
    pool="target",
    kinds={"sql"},
)
def copy_constraints(
    context: dg.AssetExecutionContext,
    platform: dg.ResourceParam[PlatformResource],
    policies: dg.ResourceParam[Policies],
    copy_target: dg.ResourceParam[TargetResource],
    promising: dg.ResourceParam[Ahead[Promises]],
    reconciling: dg.ResourceParam[Ahead[Reconciliation]],
) -> dg.MaterializeResult[None]:
    """Add what is missing of keys, foreign keys, checks and indexes, verify the foreign keys, analyze."""
    with failing_clearly(), copy_target.open() as database, database.lock():
        database.prepare()

        def reconcile() -> Reconciliation:
            return _reconciled(context, platform.snapshot(), policies, copy_target, promising)

        begin_reconciliation(context, database, PROOF, reconciling, reconcile)
        return constrained(context, database)


@dg.asset(
    key=PROOF,
    group_name="platform",
    kinds={"sql"},
    ins={"snapshot": dg.AssetIn(PLATFORM_SNAPSHOT)},
    deps=[COPY_CONSTRAINTS, BOOKKEEPING],
    check_specs=[
        *account_check_specs(PROOF),
        dg.AssetCheckSpec("no_orphans", asset=PROOF, description="Every reference has its row."),
    ],
)
def proof(
    context: dg.AssetExecutionContext,
    snapshot: Snapshot,
    policies: dg.ResourceParam[Policies],
    copy_target: dg.ResourceParam[TargetResource],
    promising: dg.ResourceParam[Ahead[Promises]],
    reconciling: dg.ResourceParam[Ahead[Reconciliation]],
) -> Iterator[dg.MaterializeResult[None]]:
    """The whole account: rows by entity and batch, control totals of both databases, references."""
    with failing_clearly():
        found = reconciling.result(
            context.run.run_id,
            lambda: _reconciled(context, snapshot, policies, copy_target, promising),
        )
        with copy_target.open() as database:
            orphans = database.referential_integrity()
            rows = {name: database.count(name) for name in PLATFORM_ENTITIES}
    for line in found.entities:
        context.log.info(str(line))
    checks = [*account_checks(found), no_orphans(orphans, rows)]
    yield dg.MaterializeResult(metadata=account_metadata(found), check_results=checks)


def _reconciled(
    context: dg.AssetExecutionContext,
    snapshot: Snapshot,
    policies: Policies,
    target: TargetResource,
    promising: Ahead[Promises],
) -> Reconciliation:
    return reconciled(
        snapshot,
        policies,
        target,
        entities=PLATFORM_ENTITIES,
        by_month=True,
        promises=promising.begun(context.run.run_id),
    )
