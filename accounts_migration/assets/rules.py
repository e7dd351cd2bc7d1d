"""`validation/rules`: every rule held against a second account of it, which shares nothing with the cleaning.

Here: the asset and its checks. Not here: the count by SQL on the snapshot
(`accounts_migration.databases.legacy_census`) and the comparison (`accounts_migration.reconciliation.rules`).
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from accounts_migration.assets.constraints import CONSTRAINTS
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.databases.legacy_census import open_census
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration.reconciliation.rules import (
    RuleDifference,
    RulesHeld,
    Scope,
    compare_rules,
    plain_rules,
    scope_of,
)
from accounts_migration.resources import LegacyResource, TargetResource

RULES = dg.AssetKey(["validation", "rules"])

SHOWN = 50


@dg.asset(
    key=RULES,
    group_name="validation",
    deps=[CONSTRAINTS],
    kinds={"sql"},
    check_specs=[
        dg.AssetCheckSpec(
            entity,
            asset=RULES,
            description=f"Every rule of {entity} was applied to as many rows as SQL on the snapshot finds to break it.",
        )
        for entity in ENTITIES
    ],
)
def rules(
    context: dg.AssetExecutionContext,
    policies: dg.ResourceParam[Policies],
    legacy: dg.ResourceParam[LegacyResource],
    target: dg.ResourceParam[TargetResource],
) -> Iterator[dg.MaterializeResult[None]]:
    """Source rows that break each rule, counted by SQL on the snapshot, against the defects and codes of the target."""
    found: dict[str, tuple[RulesHeld, Scope]] = {}
    with failing_clearly(), target.open() as database:
        snapshot, in_force = _judged_by(database, legacy, policies)
        with open_census(snapshot.path, plain_rules(in_force)) as census:
            for entity in ENTITIES:
                scope = scope_of(entity, snapshot, database, of_any_snapshot=legacy.is_verification)
                held = compare_rules(entity, census, database, scope)
                found[entity] = held, scope
                context.log.info(f"{entity}: {held.rows:,} source rows judged, {len(held.differences)} differences")
                for one in held.differences[:SHOWN]:
                    context.log.info(_sentence(one))
    yield dg.MaterializeResult(
        metadata={f"rows of {entity} judged": held.rows for entity, (held, _) in found.items()},
        check_results=[_check(held, scope) for held, scope in found.values()],
    )


def _judged_by(database: Target, legacy: LegacyResource, policies: Policies) -> tuple[Snapshot, Policies]:
    """Return the snapshot and the policies to hold the target against: those it recorded, unless it is verified."""
    if legacy.is_verification:
        return legacy.snapshot(), policies
    recorded = database.latest_snapshot()
    if recorded is None:
        raise MigrationError(
            f"Cannot hold the rules against {database.name}",
            why="no migration has been recorded in it",
            remedy="Migrate into it first, or name the right target",
        )
    snapshot = legacy.snapshot_of(recorded)
    latest = max(database.recorded_batches(), key=lambda record: record.loaded_at)
    return snapshot, Policies.model_validate_json(latest.policies)


def _check(held: RulesHeld, scope: Scope) -> dg.AssetCheckResult:
    # what could not be compared is no pass; that nothing is loaded yet is no error either
    is_compared = bool(scope.loaded) or scope.is_everything
    return dg.AssetCheckResult(
        check_name=held.entity,
        passed=held.hold and is_compared,
        severity=dg.AssetCheckSeverity.WARN if held.hold and not is_compared else dg.AssetCheckSeverity.ERROR,
        metadata={"batches compared": len(scope.loaded), **_metadata(held)},
    )


def _metadata(held: RulesHeld) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "source rows judged": held.rows,
        "numbers compared": held.compared,
        "differences": len(held.differences),
    }
    if held.differences:
        lines = [
            "| action | reason or code | source breaks it | target tells | only in the source | only in the target |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {one.action} | {one.reason} | {one.expected:,} | {one.found:,} | {_listed(one.only_expected)} |"
            f" {_listed(one.only_found)} |"
            for one in held.differences[:SHOWN]
        ]
        metadata["examples"] = dg.MetadataValue.md("\n".join(lines))
    return metadata


def _sentence(one: RuleDifference) -> str:
    rows = "; ".join(
        f"{side} alone: {_listed(names)}"
        for side, names in (("the source", one.only_expected), ("the target", one.only_found))
        if names
    )
    return f"RULE: {one.entity} {one.action} {one.reason}: expected {one.expected:,}, found {one.found:,}; {rows}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names).replace("|", "\\|")
