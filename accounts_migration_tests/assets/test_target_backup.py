"""The way back in Dagster: a backup before the first write, the nightly job, and the job that rolls back."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from accounts_migration.definitions import build_defs
from accounts_migration.operations.backup import list_backups
from accounts_migration.settings import Settings

BACKUP, RETENTION = "operations/target_backup", "operations/backup_retention"


@pytest.fixture(params=["sqlite", "postgresql"])
def migration(request: pytest.FixtureRequest, tmp_path: Path, new_target: Any, open_migration: Any) -> Iterator[Any]:
    """Yield a migration into an empty target that nobody began."""
    with open_migration(tmp_path, new_target(request.param, tmp_path)) as opened:
        opened.settings = opened.settings.model_copy(
            update={"service_stop": "", "service_start": "", "service_health_url": ""}
        )
        opened.definitions = build_defs(settings=opened.settings)
        yield opened


def held(migration: Any) -> list[str]:
    """Return what the backups hold, oldest first."""
    return [backup.state for backup in reversed(list_backups(migration.settings.backups))]


def rolled_back(migration: Any, **config: Any) -> dg.ExecuteInProcessResult:
    job: dg.JobDefinition = migration.definitions.resolve_job_def("rollback")
    return job.execute_in_process(
        instance=migration.instance,
        raise_on_error=False,
        run_config={
            "ops": {"roll_back": {"config": config}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )


def test_a_load_takes_a_backup_before_its_first_write_and_a_rollback_goes_back_to_it(migration: Any) -> None:
    migration.migrate()
    empty = "nothing" if "://" not in migration.settings.target_db else "empty"
    assert held(migration) == [empty]
    told = migration.metadata(BACKUP)
    assert (told["backup"], told["rows"], told["proved by"]) == (
        list_backups(migration.settings.backups)[0].backup_id,
        0,
        "nothing: there is no file to restore",
    )
    assert migration.checks(BACKUP) == {("restored_and_compared", None): "SUCCEEDED"}
    # a single batch again, as a person does in the UI: it is not made to wait for a backup of everything
    assert migration.run("target/transaction", batch="2024-02").success
    assert held(migration) == [empty]
    # the whole load again: now the backup holds rows
    assert migration.run(job="load", batch="2024-02").success
    told = migration.metadata(BACKUP)
    assert (held(migration), told["rows"], told["proved by"]) == ([empty, "data"], 35, "restoring it")
    location = list_backups(migration.settings.backups)[0].target

    unnamed = migration.definitions.resolve_job_def("rollback").execute_in_process(
        instance=migration.instance, raise_on_error=False
    )
    assert f"Cannot roll back without a target: the target is {location}" in migration.refusals(unnamed)["roll_back"]
    refused = rolled_back(migration, target="another")
    assert "Cannot roll back another: the target is " in migration.refusals(refused)["roll_back"]
    assert migration.books() != {}
    done = rolled_back(migration, target=location)
    assert done.success
    assert done.output_for_node("roll_back") == list_backups(migration.settings.backups)[1].backup_id
    if empty == "nothing":
        assert not Path(migration.settings.target_db).exists()
    # and once more from the start: the snapshot and what was cleaned are still good
    migration.migrate()
    assert len(migration.books()) == 7


def test_a_load_that_somebody_chose_alone_has_its_backup_too(
    tmp_path: Path, new_target: Any, open_migration: Any
) -> None:
    with open_migration(tmp_path, new_target("sqlite", tmp_path)) as migration:
        assert migration.run(job="snapshot").success
        keys = migration.instance.get_dynamic_partitions("batches")
        assert migration.run(job="prepare", span=(keys[0], keys[-1])).success
        assert held(migration) == []
        assert migration.run("target/product").success
        assert migration.run("target/customer").success
        assert held(migration) == ["nothing"]


def test_the_runs_of_a_backfill_take_one_backup(tmp_path: Path, new_target: Any, open_migration: Any) -> None:
    """`dagster job backfill -j load` launches a run for each month: a backup in each would fill the disk."""
    with open_migration(tmp_path, new_target("sqlite", tmp_path)) as migration:
        migration.migrate()
        begun = PartitionBackfill(
            backfill_id="months",
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={},
            backfill_timestamp=time.time(),
        )
        migration.instance.add_backfill(begun)
        job = migration.definitions.resolve_job_def("load")
        for month in ("2024-01", "2024-02"):
            done = job.execute_in_process(
                instance=migration.instance,
                partition_key=month,
                tags={"dagster/backfill": "months"},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            assert done.success
        assert held(migration) == ["nothing", "data"]


def test_a_load_whose_backup_fails_writes_nothing(tmp_path: Path, new_target: Any, open_migration: Any) -> None:
    url = new_target("sqlite", tmp_path)
    with open_migration(tmp_path, url) as migration:
        assert migration.run(job="snapshot").success
        keys = migration.instance.get_dynamic_partitions("batches")
        assert migration.run(job="prepare", span=(keys[0], keys[-1])).success
        with _in_the_way(migration.settings):
            failed = migration.run(job="load", span=(keys[0], keys[-1]))
        assert not failed.success
        assert "Cannot write a backup of" in migration.refusals(failed)["operations__target_backup"]
        assert not Path(url).exists()


@contextmanager
def _in_the_way(settings: Settings) -> Iterator[None]:
    """Let BACKUP_DIR be a file for a while, so that nothing can be written into it."""
    aside = settings.backups.with_name("aside")
    settings.backups.rename(aside)
    settings.backups.write_text("in the way")
    try:
        yield
    finally:
        settings.backups.unlink()
        aside.rename(settings.backups)


def test_the_nightly_job_takes_a_backup_and_deletes_old_ones(
    tmp_path: Path, new_target: Any, open_migration: Any
) -> None:
    with open_migration(tmp_path, new_target("sqlite", tmp_path)) as migration:
        migration.migrate()
        for _ in range(2):
            assert migration.run(job="backup").success
        assert held(migration) == ["nothing", "data", "data"]
        assert migration.metadata(RETENTION) == {"deleted": 0, "names": "none", "kept": 3}


def test_the_schedule_is_daily_and_off_until_somebody_turns_it_on(tmp_path: Path) -> None:
    definitions = build_defs(settings=Settings(migration_home=tmp_path))
    schedule = definitions.resolve_schedule_def("daily_backup")
    assert (schedule.cron_schedule, schedule.execution_timezone, schedule.job_name) == ("0 2 * * *", "UTC", "backup")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
