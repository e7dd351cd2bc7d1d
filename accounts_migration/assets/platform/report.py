"""`platform/report`: the whole account of a copy as one page and its JSON twin, for somebody to sign.

Here: the asset. Not here: writing it (`accounts_migration.assets.report`), what it says (`accounts_migration.reports`).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from accounts_migration.assets.ahead import Ahead
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.platform.backup import holds_a_copy
from accounts_migration.assets.platform.other_tables import NOT_CARRIED, OTHER_TABLES, TABLES
from accounts_migration.assets.platform.proof import PROOF
from accounts_migration.assets.report import ReportConfig, reported, reports_folder
from accounts_migration.databases.bookkeeping import Snapshot as RecordedSnapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import PLATFORM_ENTITIES
from accounts_migration.jobs import TARGET_TAG
from accounts_migration.reconciliation.report import Reconciliation
from accounts_migration.reports.contents import NotCarried, OtherTable, OtherTables
from accounts_migration.resources import PlatformResource, TargetResource, nothing_recorded, recorded_snapshot

COPY_REPORT = dg.AssetKey(["platform", "report"])

_PURPOSE = "report on"
_LATEST = 100
"""How many records are looked at for one of this target."""


def copy_report_asset(checked: Sequence[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    """Return the asset; the report tells the verdicts on the assets given."""

    @dg.asset(
        key=COPY_REPORT,
        group_name="platform",
        deps=[PROOF, OTHER_TABLES],
        kinds={"html"},
        description="The whole account of the copy as one HTML page with its JSON twin, and the sha256 of both.",
    )
    def report(
        context: dg.AssetExecutionContext,
        config: ReportConfig,
        platform: dg.ResourceParam[PlatformResource],
        copy_target: dg.ResourceParam[TargetResource],
        reports: dg.ResourceParam[Path],
        reconciling: dg.ResourceParam[Ahead[Reconciliation]],
    ) -> dg.MaterializeResult[None]:
        with failing_clearly(), copy_target.open() as database, database.lock():
            location = copy_target.location or database.name
            present = platform.snapshot()
            # of a database without an Account Processing System the other tables are all there are
            alone = not present.tables
            return reported(
                context,
                database,
                location,
                platform.snapshot_of(_recorded(database, alone)),
                [asset for asset in checked if asset.key == OTHER_TABLES] if alone else checked,
                reports_folder(config, reports),
                entities={} if alone else PLATFORM_ENTITIES,
                other_tables=_other_tables(context.instance, location, present.time),
                account=reconciling.known(context.run.run_id),
            )

    return report


def _recorded(database: Target, alone: bool) -> RecordedSnapshot:
    """Return the snapshot that was copied last; `alone` tells that it is none of an Account Processing System.

    Then tables may stand that have the names of ours and other columns, as `holds_a_copy` tells.
    """
    if not alone:
        return recorded_snapshot(database, _PURPOSE)
    recorded = database.latest_snapshot() if holds_a_copy(database) else None
    if recorded is None:
        raise nothing_recorded(database, _PURPOSE)
    return recorded


def _other_tables(instance: dg.DagsterInstance, location: str, since: datetime) -> OtherTables:
    """Return what was recorded of the other tables, if they were carried from this snapshot or a later state."""
    wanted = dg.AssetRecordsFilter(OTHER_TABLES, after_timestamp=since.replace(tzinfo=UTC).timestamp())
    for record in instance.fetch_materializations(wanted, limit=_LATEST).records:
        run = instance.get_run_by_id(record.run_id)
        if record.asset_materialization and (run is None or run.tags.get(TARGET_TAG, location) == location):
            metadata = record.asset_materialization.metadata
            return OtherTables(
                [_table(row) for row in _rows(metadata, TABLES)],
                [NotCarried(**row) for row in _rows(metadata, NOT_CARRIED)],
            )
    return OtherTables()


def _table(row: Mapping[str, Any]) -> OtherTable:
    return OtherTable(
        table=row["table"],
        source_rows=row["rows in source"],
        target_rows=row["rows in target"],
        compared=row["compared"],
        rejected=row["rejected"],
        differences=row["differences"],
    )


def _rows(metadata: Mapping[str, dg.MetadataValue[Any]], name: str) -> Iterator[Mapping[str, Any]]:
    found = metadata[name]
    if isinstance(found, dg.TableMetadataValue):
        yield from (record.data for record in found.records)
