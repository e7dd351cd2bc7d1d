"""`validation/...`: referential integrity, content on demand, and the whole reconciliation.

Here: assets and their checks. Not here: the comparisons themselves (`accounts_migration.reconciliation`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import dagster as dg

from accounts_migration.assets.ahead import Ahead
from accounts_migration.assets.constraints import CONSTRAINTS, RECONCILIATION, reconciled
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.links import cleaned_key
from accounts_migration.assets.snapshot import SNAPSHOT
from accounts_migration.assets.verdicts import content_metadata, told
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.io_managers import StagingIOManager
from accounts_migration.reconciliation.amounts import amount
from accounts_migration.reconciliation.content import ContentComparison
from accounts_migration.reconciliation.report import Reconciliation
from accounts_migration.reconciliation.target_content import compare_entity
from accounts_migration.resources import LegacyResource, TargetResource
from accounts_migration.staging import WHOLE

ACCOUNT = "account"
"""The metadata entry that holds the reconciliation for a program to read; amounts in cents."""

BLAMED = "entities that do not hold"
"""The metadata entry of a check that names the entities for which it failed."""

TOTALS_SHOWN, TOTALS_KEPT = 100, 1000

INTEGRITY = dg.AssetKey(["validation", "referential_integrity"])
CONTENT = dg.AssetKey(["validation", "content"])


def build_validation() -> list[dg.AssetsDefinition]:
    """Return the validation assets."""
    return [referential_integrity, content, reconciliation]


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
    check = dg.AssetCheckResult(
        check_name="no_orphans",
        passed=not any(orphans.values()),
        metadata={
            **orphans,
            **{f"rows of {name}": count for name, count in rows.items()},
            BLAMED: _listed(reference.partition("->")[0] for reference, count in orphans.items() if count),
        },
    )
    yield dg.MaterializeResult(metadata=dict(orphans), check_results=[check])


@dg.asset(
    key=CONTENT,
    group_name="validation",
    ins={"snapshot": dg.AssetIn(SNAPSHOT)},
    deps=[CONSTRAINTS],
    check_specs=[
        dg.AssetCheckSpec(entity, asset=CONTENT, description=f"Every row of {entity} equals its cleaned row.")
        for entity in ENTITIES
    ],
)
def content(
    context: dg.AssetExecutionContext,
    snapshot: Snapshot,
    target: dg.ResourceParam[TargetResource],
    staging_io: dg.ResourceParam[StagingIOManager],
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Every row of the target, of all batches, read back and compared with the cleaned rows of the present snapshot."""
    found: dict[str, ContentComparison] = {}
    expected: dict[str, int] = {}
    with failing_clearly(), target.open() as database:
        for name, entity in ENTITIES.items():
            staged = staging_io.staged(cleaned_key(entity))
            batches = tuple(snapshot.tables[entity.legacy_table].batches) if entity.batch_column else (WHOLE,)
            expected[name] = sum(staged.manifest(batch)["cleaned"] for batch in batches)
            found[name] = compare_entity(entity, staged.of(batches), database, everything=True)
            context.log.info(
                f"{name}: {found[name].compared:,} rows compared, {sum(found[name].counts.values())} differences"
            )
            for one in found[name].examples:
                context.log.info(told(name, one))
    yield dg.MaterializeResult(metadata={f"rows of {name} compared": one.compared for name, one in found.items()})
    for name, comparison in found.items():
        yield dg.AssetCheckResult(
            asset_key=CONTENT,
            check_name=name,
            passed=comparison.is_equal and bool(comparison.compared or not expected[name]),
            metadata=content_metadata(comparison),
        )


@dg.asset(
    key=RECONCILIATION,
    group_name="validation",
    ins={"snapshot": dg.AssetIn(SNAPSHOT)},
    deps=[INTEGRITY],
    check_specs=[
        dg.AssetCheckSpec("accounting_law", asset=RECONCILIATION, description="Every source row is accounted for."),
        dg.AssetCheckSpec(
            "control_totals",
            asset=RECONCILIATION,
            description="Source (SQL on the snapshot) = target (SQL on the target) + rows left behind, to the cent.",
        ),
        dg.AssetCheckSpec("complete", asset=RECONCILIATION, description="Every batch of the snapshot is loaded."),
    ],
)
def reconciliation(
    context: dg.AssetExecutionContext,
    snapshot: Snapshot,
    policies: dg.ResourceParam[Policies],
    legacy: dg.ResourceParam[LegacyResource],
    target: dg.ResourceParam[TargetResource],
    reconciling: dg.ResourceParam[Ahead[Reconciliation]],
) -> Iterator[dg.MaterializeResult[None]]:
    """The whole account: rows by entity and batch, control totals of source, target and what was left behind."""
    with failing_clearly():
        found = reconciling.result(
            context.run.run_id,
            lambda: reconciled(snapshot, policies, target, of_any_snapshot=legacy.is_verification),
        )
    for line in found.entities:
        context.log.info(
            f"{line.entity}: source {line.source:,} = loaded {line.loaded:,} + rejected {line.rejected:,}"
            f" + excluded {line.excluded:,}; unexplained {line.unexplained:,}"
        )
    yield dg.MaterializeResult(metadata=_metadata(found), check_results=list(_checks(found)))


def _listed(entities: Iterable[str]) -> str:
    return ", ".join(sorted(set(entities))) or "none"


def _metadata(found: Reconciliation) -> dict[str, Any]:
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


def _checks(found: Reconciliation) -> Iterator[dg.AssetCheckResult]:
    broken = [f"{line.entity} {line.batch}" for line in found.batches if not line.holds]
    yield dg.AssetCheckResult(
        check_name="accounting_law",
        passed=not broken and bool(found.batches),
        metadata={
            "batches": len(found.batches),
            "broken": ", ".join(broken[:20]) or "none",
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
            "unexplained": ", ".join(
                f"{one.entity} {one.group} {one.measure}: {amount(one.unexplained)}" for one in unexplained[:20]
            )
            or "0.00",
            "complete": found.is_complete,
            BLAMED: _listed(one.entity for one in unexplained),
        },
    )
    yield dg.AssetCheckResult(
        check_name="complete",
        passed=found.is_complete,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "batches not loaded yet": ", ".join(found.missing[:20]) or "none",
            "count": len(found.missing),
        },
    )
