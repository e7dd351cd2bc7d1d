"""`validation/plausibility`: what is possible and yet strange in the target, as checks that warn and never block.

Here: the asset and its checks. Not here: the SQL (`accounts_migration.databases.plausibility`).
"""

from collections.abc import Iterator

import dagster as dg

from accounts_migration.assets.constraints import CONSTRAINTS
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.databases.plausibility import Finding
from accounts_migration.reconciliation.plausibility import MEANINGS
from accounts_migration.resources import TargetResource, recorded_snapshot

PLAUSIBILITY = dg.AssetKey(["validation", "plausibility"])


@dg.asset(
    key=PLAUSIBILITY,
    group_name="validation",
    deps=[CONSTRAINTS],
    kinds={"sql"},
    check_specs=[
        dg.AssetCheckSpec(kind, asset=PLAUSIBILITY, description=meaning, blocking=False)
        for kind, meaning in MEANINGS.items()
    ],
)
def plausibility(
    context: dg.AssetExecutionContext, target: dg.ResourceParam[TargetResource]
) -> Iterator[dg.MaterializeResult[None]]:
    """What a bank should look at, although no rule forbids it, counted in the target; examples are keys alone."""
    with failing_clearly(), target.open() as database:
        found = database.plausibility(recorded_snapshot(database, "examine").taken_at)
    for finding in found:
        context.log.info(f"{finding.kind}: {finding.found:,} of {finding.asked:,}")
    yield dg.MaterializeResult(
        metadata={finding.kind: finding.found for finding in found}, check_results=list(map(_check, found))
    )


def _check(finding: Finding) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=finding.kind,
        passed=not finding.found,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "rows asked": finding.asked,
            "rows found": finding.found,
            "examples": ", ".join(finding.examples) or "none",
        },
    )
