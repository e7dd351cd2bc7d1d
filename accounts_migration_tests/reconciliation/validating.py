"""What the validation of a whole migration finds.

Here: running it, and reading its checks. Not here: what it should find.
"""

import re
from collections.abc import Mapping
from typing import Any

import dagster as dg

from accounts_migration.definitions import build_defs
from accounts_migration.entities import ENTITIES
from accounts_migration.resources import TargetResource

Checks = Mapping[str, dg.AssetCheckEvaluation]
"""Place and name of a check -> its evaluation."""

Named = tuple[str, str, str, str, str]
"""(difference, key, column, expected, found)"""

LAW, TOTALS, ORPHANS = "reconciliation accounting_law", "reconciliation control_totals", "no_orphans"
SECOND_READING, READING_OF_TRANSACTIONS = "second_reading", "second_reading transaction"


def different(key: str, column: str, expected: str, found: str) -> Named:
    """Return what is named of a value that is not the right one."""
    return ("DIFFERENT", key, column, expected, found)


def stands_on_one_side(kind: str, key: str) -> Named:
    """Return what is named of a row, or a record, that stands in the source or the target alone."""
    return (kind, key, "", "None", "None")


def evaluations(migration: Any, instance: dg.DagsterInstance, url: str) -> Checks:
    """Run the job `verify` of a migration on a target."""
    definitions = build_defs(settings=migration.settings, resource_overrides={"target": TargetResource(url)})
    run = definitions.resolve_job_def("verify").execute_in_process(
        instance=instance,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert migration.refusals(run) == {}
    found = {}
    for one in run.get_asset_check_evaluations():
        place = one.asset_key.path[-1]
        found[one.check_name if place == "referential_integrity" else f"{place} {one.check_name}"] = one
    assert len(found) == 12
    return found


def named(checks: Checks, by: str = "content") -> list[Named]:
    """Return what the checks on content, or the second reading, name."""
    found = []
    for entity in ENTITIES:
        examples = checks[f"{by} {entity}"].metadata.get("examples")
        for line in str(examples.value).splitlines()[2:] if examples else []:
            kind, _, *rest = re.split(r" ?\| ?", line)[1:-1]
            found.append((kind, *rest))
    return found  # type: ignore[return-value]  # a line has six cells


def failed(checks: Checks) -> set[str]:
    """Return the checks that fail."""
    return {name for name, check in checks.items() if not check.passed}
