"""`preflight`: the guide's checklist, one blocking check for each item.

Here: the asset, its checks, and what of it a load asks for itself. Not here: how an item is judged
(`accounts_migration.preflight`).

The asset stands upstream of the loads: in a run that holds both, an item that failed stops the loads. A run of a load
alone does not ask for it, or a person could not run one month again, nor a backfill its sixty. What a person decided
holds all the same: where a window or an approval is set, a load refuses outside the one and without the other, unless
`migrate` or a phase judged both before its first write. The other items are facts, which the load meets by itself.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg

from accounts_migration.assets.assessment import PLAN
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.snapshot import SNAPSHOT
from accounts_migration.assets.target_backup import TARGET_BACKUP
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.event_log import stored_together
from accounts_migration.jobs import PREFLIGHT_TAG
from accounts_migration.preflight.checklist import refuse_failed, whole_checklist
from accounts_migration.preflight.decisions import approval, window
from accounts_migration.preflight.items import DESCRIPTIONS, Item, Verdict
from accounts_migration.preflight.situation import situation
from accounts_migration.resources import BackupResource, LegacyResource, TargetResource
from accounts_migration.settings import Settings

PREFLIGHT = dg.AssetKey(["preflight"])


@dg.asset(
    key=PREFLIGHT,
    group_name="preflight",
    deps=[SNAPSHOT, PLAN, TARGET_BACKUP],
    kinds={"sql"},
    check_specs=[
        dg.AssetCheckSpec(name, asset=PREFLIGHT, blocking=True, description=description)
        for name, description in DESCRIPTIONS.items()
    ],
)
def preflight(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    legacy: dg.ResourceParam[LegacyResource],
    target: dg.ResourceParam[TargetResource],
    backups: dg.ResourceParam[BackupResource],
) -> Iterator[dg.MaterializeResult[None]]:
    """The checklist before a migration, each item with its evidence; writes nothing into source and target.

    An item that nobody configured says so, as a warning, and does not block.
    """
    with failing_clearly():
        judged = list(whole_checklist(settings, legacy, target, backups))
    for item in judged:
        context.log.info(f"{item.name}: {item.verdict}. {item.finding}")
    counts = {str(verdict): sum(item.verdict is verdict for item in judged) for verdict in Verdict}
    yield dg.MaterializeResult(
        metadata=counts,
        check_results=[
            dg.AssetCheckResult(
                check_name=item.name,
                passed=item.verdict is Verdict.passed,
                severity=_severity(item),
                metadata=_metadata(item),
            )
            for item in judged
        ],
    )


def record(instance: dg.DagsterInstance, judged: Iterable[Item]) -> None:
    """Let the UI show items that were judged outside a run of the asset."""
    with stored_together(instance):
        for item in judged:
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=PREFLIGHT,
                    check_name=item.name,
                    passed=item.verdict is Verdict.passed,
                    severity=_severity(item),
                    metadata=_metadata(item),
                    blocking=True,
                )
            )


def refuse_undecided(context: dg.AssetExecutionContext, what: str, settings: Settings, snapshot: Snapshot) -> None:
    """Raise MigrationError for a load outside the window, or without its approval, where these are set.

    Not for one whose command judged them before its first write: the window may close while it runs, and half a
    migration is worse than a late one.
    """
    is_set = settings.migration_window or settings.migration_approval_file
    if is_set and PREFLIGHT_TAG not in context.run.tags:
        at = situation(settings, snapshot, share=0)
        refuse_failed(what, [window(at), approval(at)])


def _severity(item: Item) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if item.blocks else dg.AssetCheckSeverity.WARN


def _metadata(item: Item) -> dict[str, Any]:
    remedy = {"what to do": item.remedy} if item.remedy else {}
    return {"verdict": str(item.verdict), "finding": item.finding, **remedy, **item.evidence}
