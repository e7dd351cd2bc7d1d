"""`validation/report`: the whole account as one page and its JSON twin, for somebody to sign.

Here: the asset, and what it has in common with the report of a copy. Not here: what a report says and how it looks
(`accounts_migration.reports`).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg

from accounts_migration.assets.comparisons import SECOND_READING
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.plausibility import PLAUSIBILITY
from accounts_migration.assets.reconciling import RECONCILIATION
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.reconciliation.amounts import amount
from accounts_migration.reconciliation.report import Reconciliation
from accounts_migration.reports.checks import latest_checks
from accounts_migration.reports.contents import OtherTables, Report
from accounts_migration.reports.gathering import answered, gather
from accounts_migration.reports.pictures import Picture, draw
from accounts_migration.reports.rendering import PAGE, TWIN, Written, write_report
from accounts_migration.resources import LegacyResource, TargetResource, recorded_snapshot

REPORT = dg.AssetKey(["validation", "report"])


class ReportConfig(dg.Config):
    """Where a report is written; an empty folder is MIGRATION_HOME/reports/SNAPSHOT."""

    folder: str = ""


def report_asset(checked: Sequence[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    """Return the asset; the report tells the verdicts on the assets given."""

    @dg.asset(
        key=REPORT,
        group_name="validation",
        deps=[PLAUSIBILITY, RECONCILIATION, SECOND_READING],
        kinds={"html"},
        description="The whole account of the target as one HTML page with its JSON twin, and the sha256 of both.",
    )
    def report(
        context: dg.AssetExecutionContext,
        config: ReportConfig,
        legacy: dg.ResourceParam[LegacyResource],
        target: dg.ResourceParam[TargetResource],
        reports: dg.ResourceParam[Path],
    ) -> dg.MaterializeResult[None]:
        with failing_clearly(), target.open() as database, database.lock():
            location = target.location or database.name
            snapshot = legacy.snapshot_of(recorded_snapshot(database, "report on"))
            return reported(context, database, location, snapshot, checked, reports_folder(config, reports))

    return report


def reported(
    context: dg.AssetExecutionContext,
    database: Target,
    location: str,
    snapshot: Snapshot,
    checked: Sequence[dg.AssetsDefinition],
    folder: Callable[[str], Path],
    *,
    entities: Mapping[str, Entity] = ENTITIES,
    other_tables: OtherTables | None = None,
    account: Reconciliation | None = None,
) -> dg.MaterializeResult[None]:
    """Write the report on a locked target, and return where it is, and its sha256.

    Args:
        context: The asset's.
        database: The target, with the books of what is reported.
        location: Where it is, as `TargetResource.location` tells.
        snapshot: What it was loaded from.
        checked: The assets whose checks are told.
        folder: Snapshot id -> where to.
        entities: The four entities, as that snapshot holds them; none where other tables alone were copied.
        other_tables: What came along beside them.
        account: The reconciliation, where the run has made it.

    Raises:
        MigrationError: The folder cannot be written.
    """
    with ThreadPoolExecutor(max_workers=1) as beside:
        # the database answers while the pictures are drawn
        findings = beside.submit(database.plausibility, snapshot.time) if entities else None
        said = gather(
            database,
            location,
            snapshot,
            latest_checks(context.instance, checked, location),
            entities=entities,
            other_tables=other_tables,
            account=account,
        )
        pictures = draw(said)
        said = answered(said, findings.result() if findings else [])
    written = write_report(said, pictures, folder(snapshot.snapshot_id))
    context.log.info(f"report: {written.folder / PAGE}")
    return dg.MaterializeResult(metadata=_metadata(said, pictures, written))


def reports_folder(config: ReportConfig, reports: Path) -> Callable[[str], Path]:
    """Return snapshot id -> the folder of its report."""
    return lambda snapshot_id: Path(config.folder) if config.folder else reports / snapshot_id


def _metadata(said: Report, pictures: Sequence[Picture], written: Written) -> dict[str, Any]:
    return {
        "accounted for": said.conclusion.accounted_for,
        "unexplained rows": said.conclusion.unexplained_rows,
        "unexplained amount": amount(said.conclusion.unexplained_cents),
        "problems": dg.MetadataValue.md("\n".join(f"- {problem}" for problem in said.conclusion.problems) or "none"),
        "plausibility findings": sum(one.found for one in said.plausibility),
        "page": dg.MetadataValue.path(written.folder / PAGE),
        "twin": dg.MetadataValue.path(written.folder / TWIN),
        "sha256 of the page": written.html_sha256,
        "sha256 of the twin": written.json_sha256,
        **{picture.title: dg.MetadataValue.md(picture.as_markdown()) for picture in pictures},
    }
