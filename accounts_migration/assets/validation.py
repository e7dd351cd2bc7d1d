"""`validation/...`: referential integrity, and the whole reconciliation.

Here: assets and their checks. Not here: rows compared (`accounts_migration.assets.comparisons`), and the account itself
(`accounts_migration.reconciliation`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import dagster as dg

from accounts_migration.assets.ahead import Ahead
from accounts_migration.assets.comparisons import comparisons
from accounts_migration.assets.constraints import CONSTRAINTS
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.reconciling import RECONCILIATION, reconciled
from accounts_migration.assets.snapshot import SNAPSHOT
from accounts_migration.assets.verdicts import BATCHES_NAMED
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation.amounts import amount
from accounts_migration.reconciliation.promises import Promises
from accounts_migration.reconciliation.report import Reconciliation
from accounts_migration.resources import LegacyResource, TargetResource

ACCOUNT = "account"
"""The metadata entry that holds the reconciliation for a program to read; amounts in cents."""

BLAMED = "entities that do not hold"
"""The metadata entry of a check that names the entities for which it failed."""

TOTALS_NAMED, TOTALS_SHOWN, TOTALS_KEPT = 20, 100, 1000

INTEGRITY = dg.AssetKey(["validation", "referential_integrity"])


def build_validation() -> list[dg.AssetsDefinition]:
    """Return the validation assets."""
    return [referential_integrity, comparisons, reconciliation]


@dg.asset(
    key=INTEGRITY,
    group_name="validation",
    deps=[CONSTRAINTS],
    kinds={"sql"},
    check_specs=[dg.AssetCheckSpec("no_orphans", asset=INTEGRITY, description="Every reference has its row.")],
)
def referential_integrity(
    target: dg.ResourceParam[TargetResource],
) -> Iterator[dg.MaterializeResult[None]]:
    """References without a row, counted in the target: account to customer and product, transaction to account."""
    with failing_clearly(), target.open() as database:
        orphans = database.referential_integrity()
        rows = {name: database.count(name) for name in ENTITIES}
    yield dg.MaterializeResult(metadata=dict(orphans), check_results=[no_orphans(orphans, rows)])


def no_orphans(orphans: Mapping[str, int], rows: Mapping[str, int]) -> dg.AssetCheckResult:
    """Return the verdict on references without a row, by `account->customer` and so on; `rows` by table."""
    return dg.AssetCheckResult(
        check_name="no_orphans",
        passed=not any(orphans.values()),
        metadata={
            **orphans,
            **{f"rows of {name}": count for name, count in rows.items()},
            BLAMED: _listed(reference.partition("->")[0] for reference, count in orphans.items() if count),
        },
    )


def account_check_specs(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return the checks of an account; see `account_checks`."""
    return [
        dg.AssetCheckSpec("accounting_law", asset=asset, description="Every source row is accounted for."),
        dg.AssetCheckSpec(
            "control_totals",
            asset=asset,
            description="Source (SQL on the snapshot) = target (SQL on the target) + rows left behind, to the cent.",
        ),
        dg.AssetCheckSpec("complete", asset=asset, description="Every batch of the snapshot is loaded."),
    ]


@dg.asset(
    key=RECONCILIATION,
    group_name="validation",
    ins={"snapshot": dg.AssetIn(SNAPSHOT)},
    deps=[INTEGRITY],
    check_specs=account_check_specs(RECONCILIATION),
)
def reconciliation(
    context: dg.AssetExecutionContext,
    snapshot: Snapshot,
    policies: dg.ResourceParam[Policies],
    legacy: dg.ResourceParam[LegacyResource],
    target: dg.ResourceParam[TargetResource],
    promising: dg.ResourceParam[Ahead[Promises]],
    reconciling: dg.ResourceParam[Ahead[Reconciliation]],
) -> Iterator[dg.MaterializeResult[None]]:
    """The whole account: rows by entity and batch, control totals of source, target and what was left behind."""
    begun = promising.begun(context.run.run_id)
    with failing_clearly():
        found = reconciling.result(
            context.run.run_id,
            lambda: reconciled(snapshot, policies, target, of_any_snapshot=legacy.is_verification, promises=begun),
        )
    for line in found.entities:
        context.log.info(str(line))
    yield dg.MaterializeResult(metadata=account_metadata(found), check_results=list(account_checks(found)))


def _listed(entities: Iterable[str]) -> str:
    return ", ".join(sorted(set(entities))) or "none"


def account_metadata(found: Reconciliation) -> dict[str, Any]:
    """Return the whole account as the UI shows it, and for a program to read."""
    accounting = [{**asdict(line), "unexplained": line.unexplained} for line in found.entities]
    totals = [{**asdict(one), "unexplained": one.unexplained} for one in found.totals]
    metadata: dict[str, Any] = {
        "accounting": dg.MetadataValue.table([dg.TableRecord(line) for line in accounting]),
        ACCOUNT: dg.MetadataValue.json({"entities": accounting, "totals in cents": totals[:TOTALS_KEPT]}),
    }
    if totals:
        amounts = [
            {name: amount(value) if isinstance(value, int) else value for name, value in one.items()}
            for one in totals[:TOTALS_SHOWN]
        ]
        metadata["control totals"] = dg.MetadataValue.table([dg.TableRecord(one) for one in amounts])
    return metadata


def account_checks(found: Reconciliation) -> Iterator[dg.AssetCheckResult]:
    """Yield the verdicts on an account: the law, the control totals, and a warning where batches are not loaded yet."""
    broken = [f"{line.entity} {line.batch}" for line in found.batches if not line.holds]
    yield dg.AssetCheckResult(
        check_name="accounting_law",
        passed=not broken and bool(found.batches),
        metadata={
            "batches": len(found.batches),
            "broken": ", ".join(broken[:BATCHES_NAMED]) or "none",
            BLAMED: _listed(line.entity for line in found.batches if not line.holds),
        },
    )
    unexplained = [total for total in found.totals if total.unexplained]
    yield dg.AssetCheckResult(
        check_name="control_totals",
        passed=not unexplained,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "totals compared": len(found.totals),
            "unexplained": ", ".join(map(str, unexplained[:TOTALS_NAMED])) or amount(0),
            "complete": found.is_complete,
            BLAMED: _listed(one.entity for one in unexplained),
        },
    )
    yield dg.AssetCheckResult(
        check_name="complete",
        passed=found.is_complete,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "batches not loaded yet": ", ".join(found.missing[:BATCHES_NAMED]) or "none",
            "count": len(found.missing),
        },
    )
