"""`validation/report`: the whole account as one page and its JSON twin, for somebody to sign.

Here: the asset. Not here: what the report says and how it looks (`accounts_migration.reports`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from accounts_migration.assets.comparisons import SECOND_READING
from accounts_migration.assets.constraints import RECONCILIATION
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.plausibility import PLAUSIBILITY
from accounts_migration.reconciliation.amounts import amount
from accounts_migration.reports.checks import latest_checks
from accounts_migration.reports.contents import Report
from accounts_migration.reports.gathering import gather
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
    ) -> Iterator[dg.MaterializeResult[None]]:
        with failing_clearly(), target.open() as database, database.lock():
            recorded = recorded_snapshot(database, "report on")
            snapshot = legacy.snapshot_of(recorded)
            location = target.location or database.name
            said = gather(database, location, snapshot, latest_checks(context.instance, checked, location))
            pictures = draw(said)
            folder = Path(config.folder) if config.folder else reports / snapshot.snapshot_id
            written = write_report(said, pictures, folder)
        context.log.info(f"report: {folder / PAGE}")
        yield dg.MaterializeResult(metadata=_metadata(said, pictures, written))

    return report


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
