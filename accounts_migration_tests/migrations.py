"""A migration on a real Dagster instance, as the UI launches it.

Here: running its jobs and assets, and reading what they left behind. Not here: the command line (`commands.py`), or
anything that is asserted.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from accounts_migration.databases.target import open_target
from accounts_migration.definitions import build_defs
from accounts_migration.entities.policies import Policies
from accounts_migration.instance import open_instance
from accounts_migration.settings import Settings
from accounts_migration_tests.legacy_bank import legacy_rows, write_legacy


class Migration:
    """A migration on a real Dagster instance: runs as the UI launches them, and what they left behind."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        """Take the definitions for these settings."""
        self.settings = settings
        self.instance = instance
        self.definitions = build_defs(settings=settings)

    def under(self, **policies: Any) -> "Migration":
        """Return the same migration under other policies."""
        changed = self.settings.policies.model_copy(update=policies)
        return Migration(self.settings.model_copy(update={"policies": changed}), self.instance)

    def run(
        self, *assets: str, job: str = "__ASSET_JOB", batch: str | None = None, span: tuple[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run a job, or only some of its assets; for one batch, for a range of them, or for none."""
        tags = dict(
            zip((ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG), span, strict=True) if span else ()
        )
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            partition_key=batch,
            asset_selection=[dg.AssetKey.from_user_string(name) for name in assets] or None,
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def migrate(self) -> None:
        """Take the snapshot, then prepare and load all batches as ranges; all must succeed."""
        assert self.run(job="snapshot").success
        keys = self.instance.get_dynamic_partitions("batches")
        for job in ("prepare", "load"):
            assert self.run(job=job, span=(keys[0], keys[-1])).success

    def materialized(self, asset: str) -> set[str]:
        """Return the materialized partitions of an asset."""
        return set(self.instance.get_materialized_partitions(dg.AssetKey.from_user_string(asset)))

    def metadata(self, asset: str, partition: str | None = None) -> dict[str, Any]:
        """Return the metadata of an asset's latest materialization, of one partition if it is named."""
        wanted = dg.AssetRecordsFilter(
            dg.AssetKey.from_user_string(asset), asset_partitions=None if partition is None else [partition]
        )
        [record] = self.instance.fetch_materializations(wanted, limit=1).records
        assert record.asset_materialization is not None
        return {name: value.value for name, value in record.asset_materialization.metadata.items()}

    def books(self) -> dict[tuple[str, str], tuple[int, int, int, int]]:
        """Return (entity, batch) -> source rows, loaded, rejected and excluded as the target recorded them."""
        assert self.settings.target_db is not None
        with open_target(self.settings.target_db) as target:
            recorded = target.recorded_batches()
        return {(one.entity, one.batch): (one.source_rows, one.loaded, one.rejected, one.excluded) for one in recorded}

    def checks(self, asset: str) -> dict[tuple[str, str | None], str]:
        """Return (check, partition) -> status as stored last."""
        key = dg.AssetKey.from_user_string(asset)
        graph = self.definitions.resolve_asset_graph()
        found: dict[tuple[str, str | None], str] = {}
        for check in graph.get_check_keys_for_assets({key}):
            for record in self.instance.event_log_storage.get_asset_check_execution_history(check, limit=1000):
                found.setdefault((check.name, record.partition), record.status.value)
        return found

    def evaluation(self, asset: str, check: str, partition: str | None = None) -> dg.AssetCheckEvaluation:
        """Return the evaluation of a check as stored last."""
        key = dg.AssetCheckKey(dg.AssetKey.from_user_string(asset), check)
        for record in self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1000):
            if record.partition == partition and record.evaluation is not None:
                return record.evaluation
        raise LookupError(f"{asset} {check} was not evaluated for {partition}")

    def stored(self, entity: str) -> list[tuple[Any, ...]]:
        """Return the rows of a table of the target in canonical form, ordered by key."""
        assert self.settings.target_db is not None
        with open_target(self.settings.target_db) as target:
            rows = [row for part in target.scan(entity) for row in part.to_pylist()]
        assert [row for row in rows if row.pop("inexact") is not None] == []
        return sorted(tuple(row.values()) for row in rows)

    @staticmethod
    def refusals(run: dg.ExecuteInProcessResult) -> dict[str, str]:
        """Return step -> what was refused and why, of the steps of a run that failed; any other error as it is."""
        found: dict[str, str] = {}
        for event in run.all_events:
            error = event.step_failure_data.error if event.is_step_failure else None
            while error is not None:
                kind, _, message = str(error.message).partition(": ")
                found.setdefault(str(event.step_key), str(error.message))
                if kind.endswith(("MigrationError", "UsageError")):
                    found[str(event.step_key)] = message.strip()
                    break
                error = error.cause
        return found


@contextlib.contextmanager
def open_migration(
    folder: Path, target: str, rows: Mapping[str, Iterable[Sequence[object]]] | None = None, **policies: Any
) -> Iterator[Migration]:
    """Open a migration of these rows (default: `legacy_rows`) into the target, on an instance of its own.

    `policies` are fields of Policies; by default a quarter of the rows may be rejected.
    """
    settings = Settings(
        source_db=write_legacy(folder / "legacy.db", rows or legacy_rows()),
        target_db=target,
        migration_home=folder / "home",
        policies=Policies(**{"max_reject_rate": 0.25, **policies}),
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DAGSTER_HOME", str(folder / "dagster"))
        with open_instance(folder / "dagster", is_ours=True) as instance:
            yield Migration(settings, instance)
