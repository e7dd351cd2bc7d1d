"""Dagster's way to staging: what an asset streams goes to Parquet, what it asks for comes back as a stream.

Here: which folder belongs to which asset and partition. Not here: the files themselves (`accounts_migration.staging`).
Single partitions and ranges of them are written and read alike. Docs: Dagster's concept pages on I/O managers.
"""

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from upath import UPath

from accounts_migration.assessment.records import findings_folder, read_finding, write_finding
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.errors import MigrationError
from accounts_migration.jobs import RUN_TAG
from accounts_migration.resources import SourceResource
from accounts_migration.settings import Settings
from accounts_migration.staging import WHOLE, Staged, StagedOutput, StagingWriter


def staging_folder(location: str, snapshot_id: str, asset_key: dg.AssetKey) -> UPath:
    """Return the folder of an asset's batches below a location."""
    return UPath(location).joinpath(snapshot_id, *asset_key.path)


class StagingIOManager(dg.IOManager):
    """Stages Parquet below `location/<snapshot id>/<asset>/<batch>`."""

    def __init__(self, location: str, source: SourceResource) -> None:
        """Remember the location, any fsspec URL will do, and the database whose snapshot is staged."""
        self._location = location
        self._source = source

    def handle_output(self, context: dg.OutputContext, obj: StagedOutput) -> None:
        """Write every batch of the output, each replaced atomically."""
        folder = staging_folder(self._location, obj.snapshot_id, context.asset_key)
        with failing_clearly():
            StagingWriter(folder, obj, lambda: _others_run(context)).write()

    def load_input(self, context: dg.InputContext) -> Staged:
        """Return the staged tables of the asset for the partitions that the run asks for."""
        batches = tuple(sorted(context.asset_partition_keys)) if context.has_asset_partitions else (WHOLE,)
        with failing_clearly():
            return self.staged(context.asset_key, batches)

    def staged(self, asset_key: dg.AssetKey, batches: tuple[str, ...] = (WHOLE,)) -> Staged:
        """Return the staged tables of an asset for the snapshot that the run reads."""
        return Staged(staging_folder(self._location, self._source.snapshot().snapshot_id, asset_key), batches)


class SnapshotIOManager(dg.IOManager):
    """Hands on the snapshot that the run reads; its files are written by the asset itself, into BACKUP_DIR."""

    def __init__(self, source: SourceResource) -> None:
        """Remember the source database."""
        self._source = source

    def handle_output(self, context: dg.OutputContext, obj: Snapshot) -> None:
        """Do nothing: the snapshot stands already."""

    def load_input(self, context: dg.InputContext) -> Snapshot:
        """Return the snapshot that the run reads."""
        with failing_clearly():
            return self._source.snapshot()


def _others_run(context: dg.OutputContext) -> bool:
    """Return whether another run is in progress than this one, and than the one that launched it."""
    step = context.step_context
    ours = {step.run_id, step.dagster_run.tags.get(RUN_TAG)}
    running = step.instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES))
    return any(run.run_id not in ours for run in running)


def staging_of(location: str, source: str) -> dg.IOManagerDefinition:
    """Return the resource that stages what a run reads of the source, which is a resource's name."""

    @dg.io_manager(required_resource_keys={source})
    def staging(context: dg.InitResourceContext) -> StagingIOManager:
        return StagingIOManager(location, getattr(context.resources, source))

    return staging


def snapshot_of(source: str) -> dg.IOManagerDefinition:
    """Return the resource that hands on the snapshot that a run reads of the source, which is a resource's name."""

    @dg.io_manager(required_resource_keys={source})
    def handing_on(context: dg.InitResourceContext) -> SnapshotIOManager:
        return SnapshotIOManager(getattr(context.resources, source))

    return handing_on


class AssessmentIOManager(dg.IOManager):
    """Keeps the findings of an assessment as JSON below MIGRATION_HOME, for the present source and target."""

    def __init__(self, settings: Settings) -> None:
        """Remember whose findings they are."""
        self._settings = settings

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Write the finding in place of the earlier one."""
        with failing_clearly():
            write_finding(findings_folder(self._settings), context.asset_key.path[-1], obj)

    def load_input(self, context: dg.InputContext) -> object:
        """Return the finding as the type that the asset asks for."""
        name = context.asset_key.path[-1]
        with failing_clearly():
            found = read_finding(findings_folder(self._settings), name, context.dagster_type.typing_type)
            if found is None:
                raise MigrationError(
                    f"There is no assessment/{name} of {self._settings.source_db}",
                    why="it was not made yet for this target",
                    remedy=f"Materialize assessment/{name} first, or run the whole job assess",
                )
        return found
