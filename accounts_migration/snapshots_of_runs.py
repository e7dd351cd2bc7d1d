"""Which snapshot a run reads: one and the same, from its first step to its last.

Here: telling it from the run's tags, and recording it there. A run that takes a snapshot reads that one from then on;
any other reads the one that was present when it began, whatever is taken while it goes on. A command tells the snapshot
that it took to the runs that it launches. What goes on with the work of other runs reads what they read: a run that was
executed again from where it failed, and each run of a backfill. So it is in each process that executes steps of a run.
Not here: which snapshot is present, and taking one (`accounts_migration.resources`).
"""

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import ASSET_RESUME_RETRY_TAG, BACKFILL_ID_TAG

from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.errors import MigrationError
from accounts_migration.resources import SourceResource


def snapshot_tag(source: SourceResource) -> str:
    """Return the tag that tells which snapshot of the source a run reads: its folder, and the id of the run.

    Dagster copies the tags of a run to the one that executes it again, and that may have to read another snapshot.
    """
    return f"accounts_migration/{source.asset.replace('/', '_')}"


def reading(source: SourceResource, snapshot: Snapshot, run_id: str) -> dict[str, str]:
    """Return the tags of a run that is to read the snapshot."""
    return _told(source, Path(snapshot.folder), run_id)


def for_each_run(source: SourceResource) -> dg.ResourceDefinition:
    """Return the resource that is the source as the run that uses it reads it; outside of runs it is the source."""

    @dg.resource
    def source_of_run(context: dg.InitResourceContext) -> SourceResource:
        run, instance = context.run, context.instance
        if run is None or instance is None:
            return source

        def record(folder: Path) -> None:
            instance.add_run_tags(run.run_id, _told(source, folder, run.run_id))

        # a process that executes a step is given the run as it was before its first step
        folder = _read_by(run, source) or _read_by(instance.get_run_by_id(run.run_id), source)
        if folder is None:
            folder = _to_be_read(instance, run, source)
            if folder is not None:
                record(folder)
        return source.read_by_run(folder, record)

    return source_of_run


def _told(source: SourceResource, folder: Path, run_id: str) -> dict[str, str]:
    return {snapshot_tag(source): f"{folder.resolve()} {run_id}"}


def _read_by(run: dg.DagsterRun | None, source: SourceResource) -> Path | None:
    """Return the folder of the snapshot that a run reads; None where it is not told."""
    if run is None:
        return None
    told, its_own = run.tags.get(snapshot_tag(source), ""), f" {run.run_id}"
    return Path(told.removesuffix(its_own)) if told.endswith(its_own) else None


def _to_be_read(instance: dg.DagsterInstance, run: dg.DagsterRun, source: SourceResource) -> Path | None:
    """Return the folder of the snapshot that a run is to read which was told nothing; None if there is no snapshot."""
    folder = _read_by(_gone_before(instance, run), source)
    if folder is not None:
        return folder
    with contextlib.suppress(MigrationError):
        return source.present_folder()
    return None


def begun_at(instance: dg.DagsterInstance, run: dg.DagsterRun) -> datetime:
    """Return when a run, or the one with whose work it goes on, began with its snapshot; UTC without zone."""
    before = _gone_before(instance, run)
    while before:
        run, before = before, _gone_before(instance, before)
    [record] = instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    began = datetime.fromtimestamp(record.start_time, UTC) if record.start_time else record.create_timestamp
    return began.replace(tzinfo=None)


def _gone_before(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun | None:
    """Return the run with whose work another one goes on; None for one that begins anew.

    A run goes on where an earlier one failed, if it does not execute all again; and the runs of a backfill are one
    piece of work.
    """
    again = run.parent_run_id if run.step_keys_to_execute or ASSET_RESUME_RETRY_TAG in run.tags else None
    if again:
        return instance.get_run_by_id(again)
    backfill = run.tags.get(BACKFILL_ID_TAG)
    first = (
        instance.get_runs(dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill}), limit=1, ascending=True) if backfill else []
    )
    return next((one for one in first if one.run_id != run.run_id), None)
