"""The last verdict of every check, as the Dagster instance keeps it.

Here: the last one of each batch where there are batches. Not here: reading them (`accounts_migration.evaluations`) and
the checks (`accounts_migration.assets`).
"""

from collections.abc import Iterable

import dagster as dg

from accounts_migration.evaluations import Evaluated, evaluations
from accounts_migration.reports.contents import FAILED, NOT_RUN, PASSED, WARNING, Check


def latest_checks(instance: dg.DagsterInstance, assets: Iterable[dg.AssetsDefinition], location: str) -> list[Check]:
    """Return the last verdict of each check of the assets on the target at `location`."""
    targets: dict[str, str] = {}
    found = []
    for asset in assets:
        for spec in asset.check_specs:
            latest = _latest(evaluations(instance, spec.key, location, targets), asset.partitions_def is not None)
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


def _latest(evaluated: Iterable[Evaluated], in_batches: bool) -> dict[str | None, dg.AssetCheckEvaluation]:
    found: dict[str | None, dg.AssetCheckEvaluation] = {}
    for one in evaluated:
        # beside the evaluations of batches stands a summary of their run, which may have had only some of them
        if (one.batch is not None) == in_batches:
            found.setdefault(one.batch, one.evaluation)
            if not in_batches:
                break
    return found
