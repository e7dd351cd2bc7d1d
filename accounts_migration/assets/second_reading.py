"""`validation/second_reading`: the target held against a reading of the snapshot that shares nothing with the cleaning.

Here: the asset and its checks. Not here: the reading (`accounts_migration.second_reading`) and the comparison
(`accounts_migration.reconciliation.second_reading`).
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from accounts_migration.assets.constraints import CONSTRAINTS
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.verdicts import examples_of, told
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration.reconciliation.content import DIFFERENT, MISSING, UNEXPECTED
from accounts_migration.reconciliation.second_reading import Held, Scope, hold_against, plain_rules, scope_of
from accounts_migration.resources import LegacyResource, TargetResource
from accounts_migration.second_reading.reading import SecondReading

SECOND_READING = dg.AssetKey(["validation", "second_reading"])


@dg.asset(
    key=SECOND_READING,
    group_name="validation",
    deps=[CONSTRAINTS],
    kinds={"arrow"},
    check_specs=[
        dg.AssetCheckSpec(
            entity,
            asset=SECOND_READING,
            description=f"Every row of {entity} and every record of its defects is as a second reading of the snapshot,"
            " independent of the cleaning, has it.",
        )
        for entity in ENTITIES
    ],
)
def second_reading(
    context: dg.AssetExecutionContext,
    policies: dg.ResourceParam[Policies],
    legacy: dg.ResourceParam[LegacyResource],
    target: dg.ResourceParam[TargetResource],
) -> Iterator[dg.MaterializeResult[None]]:
    """Every source row read and judged a second time, without the cleaning, and held against the target."""
    found: list[tuple[Held, Scope]] = []
    with failing_clearly(), target.open() as database:
        snapshot, in_force = _judged_by(database, legacy, policies)
        reading = SecondReading(snapshot.path, plain_rules(in_force), snapshot.time)
        for entity in ENTITIES:
            scope = scope_of(entity, snapshot, database, of_any_snapshot=legacy.is_verification)
            held = hold_against(entity, reading, database, scope)
            found.append((held, scope))
            differences = sum(held.count(kind) for kind in (MISSING, UNEXPECTED, DIFFERENT))
            context.log.info(f"{entity}: {held.judged:,} source rows judged again, {differences:,} differences")
            for one in held.differences:
                context.log.info(told(entity, one))
    yield dg.MaterializeResult(
        metadata={f"rows of {held.entity} judged": held.judged for held, _ in found},
        check_results=[_check(held, scope) for held, scope in found],
    )


def _judged_by(database: Target, legacy: LegacyResource, policies: Policies) -> tuple[Snapshot, Policies]:
    """Return the snapshot and the policies to hold the target against: those it recorded, unless it is verified."""
    if legacy.is_verification:
        return legacy.snapshot(), policies
    recorded = database.latest_snapshot()
    if recorded is None:
        raise MigrationError(
            f"Cannot hold {database.name} against its source",
            why="no migration has been recorded in it",
            remedy="Migrate into it first, or name the right target",
        )
    snapshot = legacy.snapshot_of(recorded)
    latest = max(database.recorded_batches(), key=lambda record: record.loaded_at)
    return snapshot, Policies.model_validate_json(latest.policies)


def _check(held: Held, scope: Scope) -> dg.AssetCheckResult:
    # what could not be compared is no pass; that nothing is loaded yet is no error either
    is_compared = bool(scope.loaded) or scope.is_everything
    is_good = held.is_equal and held.judged == scope.rows
    metadata: dict[str, Any] = {
        "batches compared": len(scope.loaded),
        "source rows judged": held.judged,
        "rows compared": held.rows.compared,
        "records compared": held.records,
        **{kind: held.count(kind) for kind in (MISSING, UNEXPECTED, DIFFERENT)},
        **examples_of(held.differences),
    }
    return dg.AssetCheckResult(
        check_name=held.entity,
        passed=is_good and is_compared,
        severity=dg.AssetCheckSeverity.WARN if is_good and not is_compared else dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
    )
