"""The evaluations of a check that the Dagster instance keeps, of one target alone.

Here: reading them, the latest first. Not here: what they are read for (`accounts_migration.reports.checks`,
`accounts_migration.phases`). An instance may have seen several targets. Runs of our jobs carry the tag TARGET_TAG, and
those of another target do not count; a run of assets chosen by hand carries none, and counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from accounts_migration.jobs import TARGET_TAG

_READ_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation; `batch` is None for a whole asset or the summary of a run, `at` is UTC without zone."""

    batch: str | None
    evaluation: dg.AssetCheckEvaluation
    at: datetime


def evaluations(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, location: str, targets: dict[str, str]
) -> Iterator[Evaluated]:
    """Yield every evaluation of a check on the target at `location`, the latest first.

    Args:
        instance: Where the runs are recorded.
        key: The check.
        location: Where the target is, as `TargetResource.location` tells.
        targets: Run id -> where its target is; filled here, for the next check.
    """
    cursor = None
    while True:
        records = instance.event_log_storage.get_asset_check_execution_history(key, _READ_AT_ONCE, cursor)
        for record in records:
            if record.run_id not in targets:
                run = instance.get_run_by_id(record.run_id)
                targets[record.run_id] = run.tags.get(TARGET_TAG, location) if run else location
            evaluation = record.evaluation
            # of a step that did not run, the plan alone is stored
            is_plan = not isinstance(evaluation, dg.AssetCheckEvaluation)
            if record.event is None or evaluation is None or is_plan or targets[record.run_id] != location:
                continue
            at = datetime.fromtimestamp(record.event.timestamp, UTC).replace(tzinfo=None)
            yield Evaluated(record.partition, evaluation, at)
        if len(records) < _READ_AT_ONCE:
            return
        cursor = records[-1].id
