"""`post_migration/archive`: everything that must be kept of a migration, in one file.

Here: what goes into it: the logs of all runs on this target, the manifests of snapshots and backups, the books, the
report, the last verdict of every check. Nothing of it holds personal data, unless masked; snapshots and backups
themselves stay where they are. Not here: writing the file (`accounts_migration.operations.archive`).
"""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from accounts_migration import logs
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.items import DONE, FAILED, Item, check_result
from accounts_migration.assets.post_migration import API, APPLICATION, GROUP, OPTIMISED, USER_WORKFLOWS
from accounts_migration.assets.report import REPORT
from accounts_migration.databases.bookkeeping import Snapshot
from accounts_migration.databases.files import fingerprint
from accounts_migration.databases.snapshot import MANIFEST_FILE
from accounts_migration.databases.target import Target
from accounts_migration.errors import MigrationError
from accounts_migration.jobs import RUN_TAG, TARGET_TAG
from accounts_migration.last_migration import last_load
from accounts_migration.operations.archive import Archive, Member, write_archive
from accounts_migration.operations.backup import MANIFEST
from accounts_migration.reports.checks import latest_checks
from accounts_migration.reports.rendering import PAGE, SUMS, TWIN
from accounts_migration.resources import BackupResource, LegacyResource, TargetResource, recorded_snapshot
from accounts_migration.settings import Settings

ARCHIVE = dg.AssetKey([GROUP, "archive"])
ARCHIVE_CHECK = "archived"


def archive_asset(checked: Sequence[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    """Return the asset; the archive tells the verdicts on the assets given."""

    @dg.asset(
        key=ARCHIVE,
        group_name=GROUP,
        deps=[REPORT, OPTIMISED, APPLICATION, API, USER_WORKFLOWS],
        check_specs=[
            dg.AssetCheckSpec(
                ARCHIVE_CHECK,
                asset=ARCHIVE,
                description="Logs, manifests, report and checks stand in one whole archive.",
            )
        ],
        description="Logs, manifests, books, report and checks in one tar.zst with a list of digests; without personal"
        " data.",
    )
    def archive(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        legacy: dg.ResourceParam[LegacyResource],
        target: dg.ResourceParam[TargetResource],
        backups: dg.ResourceParam[BackupResource],
    ) -> Iterator[dg.MaterializeResult[None]]:
        with failing_clearly(), target.open() as database:
            recorded = recorded_snapshot(database, "archive the migration of")
            what = _Archived(
                context.instance, settings, legacy, database, target.location or database.name, recorded, backups
            )
            item = _written(what, checked, logs.run_id() or context.run.run_id)
        context.log.info(f"archive: {item.state}, {item.evidence}")
        yield dg.MaterializeResult(metadata=item.figures, check_results=[check_result(ARCHIVE, ARCHIVE_CHECK, item)])

    return archive


@dataclass(frozen=True, slots=True)
class _Archived:
    """The migration that is archived, and where its traces are."""

    instance: dg.DagsterInstance
    settings: Settings
    legacy: LegacyResource
    database: Target
    location: str
    snapshot: Snapshot
    backups: BackupResource


def _written(what: _Archived, checked: Sequence[dg.AssetsDefinition], run_id: str) -> Item:
    path = what.settings.archives.resolve() / f"migration_{run_id}.tar.zst"
    try:
        done = write_archive(path, _members(what, checked, run_id), datetime.now(UTC))
    except MigrationError as error:
        return Item(FAILED, str(error))
    return Item(DONE, f"{done.path}: {done.files} files, {done.size:,} bytes, sha256 {done.sha256}", _figures(done))


def _figures(done: Archive) -> dict[str, Any]:
    path = dg.MetadataValue.path(done.path)
    return {"archive": path, "sha256": done.sha256, "files": done.files, "bytes": done.size}


def _members(what: _Archived, checked: Sequence[dg.AssetsDefinition], run_id: str) -> Iterator[Member]:
    for path in logs.logs_of(what.settings.logs, what.location, _runs_on(what) | {run_id}):
        yield Member(f"logs/{path.name}", path)
    snapshot = what.legacy.snapshot_of(what.snapshot)
    yield Member(f"manifests/{snapshot.snapshot_id}.json", Path(snapshot.folder) / MANIFEST_FILE)
    for backup in what.backups.all():
        yield Member(f"manifests/{backup.backup_id}.json", backup.folder / MANIFEST)
    yield Member("books.json", _as_json([asdict(record) for record in what.database.recorded_batches()]))
    folder = _report_folder(what)
    for name in (PAGE, TWIN, SUMS):
        yield Member(f"report/{name}", folder / name)
    verdicts = latest_checks(what.instance, checked, what.location)
    yield Member("checks.json", _as_json([asdict(verdict) for verdict in verdicts]))


def _runs_on(what: _Archived) -> set[str]:
    """Return the ids that the logs of all runs on this target bear."""
    runs = what.instance.get_runs(dg.RunsFilter(tags={TARGET_TAG: what.location}))
    return {run.tags.get(RUN_TAG, run.run_id) for run in runs}


def _report_folder(what: _Archived) -> Path:
    """Return where the report on this target is, as it was written after the last load.

    Raises:
        MigrationError: There is none, or it was changed.
    """
    records = what.instance.fetch_materializations(dg.AssetRecordsFilter(REPORT), limit=100).records
    for record in records:
        run = what.instance.get_run_by_id(record.run_id)
        if run is None or run.tags.get(TARGET_TAG, what.location) != what.location:
            continue
        written = datetime.fromtimestamp(record.timestamp, UTC).replace(tzinfo=None)
        if record.asset_materialization is None or written < last_load(what.database):
            break
        metadata = {name: value.value for name, value in record.asset_materialization.metadata.items()}
        page = Path(str(metadata["page"]))
        if page.is_file() and fingerprint(page) == metadata["sha256 of the page"]:
            return page.parent
    raise MigrationError(
        "Cannot archive the report",
        why="none was written since the last load, or it was changed since",
        remedy=f"Run `accounts-migration report {shlex.quote(what.database.name)}`, then finish again",
    )


def _as_json(value: object) -> bytes:
    return (json.dumps(value, indent=2, default=str) + "\n").encode()
