"""What came of an item of the guide's post-migration checklist, as the check that shows it in the UI.

Here: an item, its check result, and reading it back from the instance. Not here: the items
(`accounts_migration.assets.post_migration`, `accounts_migration.assets.checklist`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from accounts_migration.evaluations import evaluations

DONE, FAILED, NOT_CONFIGURED, ACKNOWLEDGED = "done", "FAILED", "not configured", "acknowledged"
STATE, EVIDENCE = "state", "evidence"


@dataclass(frozen=True, slots=True)
class Item:
    """How an item stands: one of the states, what shows it in a sentence, and figures for a program to read."""

    state: str
    evidence: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Return whether it did not fail; what nobody configured has not failed, and says so."""
        return self.state != FAILED


def check_result(asset: dg.AssetKey, name: str, item: Item, *, warns: bool = False) -> dg.AssetCheckResult:
    """Return the item as the result of a check; with `warns` its failure fails nothing else."""
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=item.passed,
        severity=dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR,
        metadata={STATE: item.state, EVIDENCE: item.evidence, **item.figures},
    )


def item_since(
    since: datetime, key: dg.AssetCheckKey, location: str, instance: dg.DagsterInstance, targets: dict[str, str]
) -> Item:
    """Return what a check found last, on this target and after the time (UTC without zone); else that nothing did.

    Args:
        since: When the target was loaded last: what was true before need not be so now.
        key: The check.
        location: Where the target is.
        instance: Where the runs are recorded.
        targets: Run id -> where its target is; see `evaluations`.
    """
    found = next(evaluations(instance, key, location, targets), None)
    if found is None or found.at < since:
        name = f"{key.asset_key.to_user_string()} {key.name}"
        return Item(FAILED, f"{name} was not done since the load of {since:%Y-%m-%d %H:%M:%S} UTC")
    values = {name: value.value for name, value in found.evaluation.metadata.items()}
    state, evidence = str(values.pop(STATE, "")), str(values.pop(EVIDENCE, ""))
    return Item(state if found.evaluation.passed else FAILED, evidence, values)
