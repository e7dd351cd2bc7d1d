"""The last verdict of every check, as the Dagster instance keeps it.

Here: reading evaluations, for each batch where there are batches. Not here: the checks (`accounts_migration.assets`).
An instance may have seen several targets. Runs of our jobs carry the tag TARGET_TAG, and those of another target do not
count; a run of assets chosen by hand carries none, and counts.
"""

from collections.abc import Iterable, Iterator

import dagster as dg

from accounts_migration.jobs import TARGET_TAG
from accounts_migration.reports.contents import FAILED, NOT_RUN, PASSED, WARNING, Check

_READ_AT_ONCE = 1000


def latest_checks(instance: dg.DagsterInstance, assets: Iterable[dg.AssetsDefinition], location: str) -> list[Check]:
    """Return the last verdict of each check of the assets on the target at `location`."""
    targets: dict[str, str] = {}
    found = []
    for asset in assets:
        for spec in asset.check_specs:
            latest = _latest(_evaluations(instance, spec.key, location, targets), asset.partitions_def is not None)
            found.append(_check(spec.key, latest))
    return found


def _check(key: dg.AssetCheckKey, latest: dict[str | None, dg.AssetCheckEvaluation]) -> Check:
    verdicts = {batch: _verdict(evaluation) for batch, evaluation in sorted(latest.items(), key=str)}
    worst = [verdict for verdict in (FAILED, WARNING, PASSED) if verdict in verdicts.values()]
    batches = {str(batch): verdict for batch, verdict in verdicts.items() if batch is not None}
    return Check(
        asset=key.asset_key.to_user_string(),
        check=key.name,
        verdict=worst[0] if worst else NOT_RUN,
        batches=len(batches),
        batches_failed=[batch for batch, verdict in batches.items() if verdict != PASSED],
    )


def _verdict(evaluation: dg.AssetCheckEvaluation) -> str:
    if evaluation.passed:
        return PASSED
    return WARNING if evaluation.severity == dg.AssetCheckSeverity.WARN else FAILED


def _latest(
    evaluations: Iterator[tuple[str | None, dg.AssetCheckEvaluation]], in_batches: bool
) -> dict[str | None, dg.AssetCheckEvaluation]:
    found: dict[str | None, dg.AssetCheckEvaluation] = {}
    for batch, evaluation in evaluations:
        # beside the evaluations of batches stands a summary of their run, which may have had only some of them
        if (batch is not None) == in_batches:
            found.setdefault(batch, evaluation)
            if not in_batches:
                break
    return found


def _evaluations(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, location: str, targets: dict[str, str]
) -> Iterator[tuple[str | None, dg.AssetCheckEvaluation]]:
    """Yield the batch and the evaluation of each execution on this target, the latest first."""
    cursor = None
    while True:
        records = instance.event_log_storage.get_asset_check_execution_history(key, _READ_AT_ONCE, cursor)
        for record in records:
            if record.run_id not in targets:
                run = instance.get_run_by_id(record.run_id)
                targets[record.run_id] = run.tags.get(TARGET_TAG, location) if run else location
            if record.evaluation is not None and targets[record.run_id] == location:
                yield record.partition, record.evaluation
        if len(records) < _READ_AT_ONCE:
            return
        cursor = records[-1].id
