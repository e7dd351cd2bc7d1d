"""The Dagster instance: ours is made complete, somebody else's is used as it is, two processes may share one."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster_shared.yaml_utils import load_yaml_from_path

from accounts_migration.errors import UsageError
from accounts_migration.event_log import KeptOpenEventLogStorage, stored_together
from accounts_migration.instance import open_instance, prepare_instance


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give DAGSTER_HOME and its companion back after the test."""
    for name in ("DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_folder_of_ours_gets_its_configuration(tmp_path: Path) -> None:
    folder = prepare_instance(tmp_path / "new" / "dagster", is_ours=True)
    configuration = load_yaml_from_path(str(folder / "dagster.yaml"))
    assert isinstance(configuration, dict)
    assert configuration["telemetry"] == {"enabled": False}
    assert configuration["concurrency"]["pools"] == {"granularity": "run", "default_limit": 1}
    assert configuration["run_monitoring"]["free_slots_after_run_end_seconds"] > 0


def test_the_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = prepare_instance(tmp_path / "dagster", is_ours=True)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_dagster_is_told_the_absolute_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prepare_instance(Path("var/dagster"), is_ours=True)
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / "var" / "dagster")


def test_a_configuration_that_stands_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    prepare_instance(tmp_path, is_ours=True)
    assert (tmp_path / "dagster.yaml").read_text() == "telemetry:\n  enabled: false\n"


def test_ours_records_its_events_below_its_folder(tmp_path: Path) -> None:
    with open_instance(tmp_path, is_ours=True) as instance:
        assert isinstance(instance.event_log_storage, KeptOpenEventLogStorage)
        instance.add_dynamic_partitions("batches", ["2024-01"])
    assert list((tmp_path / "event_log").glob("*.db")) != []


def test_ours_records_its_events_below_a_folder_that_yaml_reads_otherwise(tmp_path: Path) -> None:
    folder = tmp_path / "q1 #2: 'x' \"y\" {z} 100% \U0001f600\nline" / "dagster"
    with open_instance(folder, is_ours=True) as instance:
        instance.add_dynamic_partitions("batches", ["2024-01"])
    assert list((folder / "event_log").glob("*.db"))


@pytest.mark.parametrize("name", ["q?mark", "100%25", "bad\udcff"])
def test_a_folder_that_dagster_would_not_find_is_refused_before_it_is_made(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot keep the Dagster instance in"):
        prepare_instance(tmp_path / name / "dagster", is_ours=True)
    assert list(tmp_path.iterdir()) == []


def test_a_dagster_yaml_of_an_earlier_version_has_the_same_event_log(tmp_path: Path) -> None:
    written = prepare_instance(tmp_path, is_ours=True) / "dagster.yaml"
    text = written.read_text()
    written.write_text(text.replace("module: accounts_migration.event_log", "module: accounts_migration.instance"))
    assert written.read_text() != text
    with open_instance(tmp_path, is_ours=True) as instance:
        assert isinstance(instance.event_log_storage, KeptOpenEventLogStorage)


def test_the_dagster_yaml_of_somebody_else_is_used_as_it_is(tmp_path: Path) -> None:
    text = f"storage:\n  sqlite:\n    base_dir: {tmp_path / 'elsewhere'}\ntelemetry:\n  enabled: false\n"
    (tmp_path / "dagster.yaml").write_text(text)
    with open_instance(tmp_path, is_ours=False) as instance:
        assert type(instance.event_log_storage) is SqliteEventLogStorage
        instance.add_dynamic_partitions("batches", ["2024-01"])
    assert (tmp_path / "elsewhere").is_dir()
    assert (tmp_path / "dagster.yaml").read_text() == text


def test_an_empty_folder_of_somebody_else_gets_our_configuration(tmp_path: Path) -> None:
    for _ in range(2):
        with open_instance(tmp_path, is_ours=False) as instance:
            assert isinstance(instance.event_log_storage, KeptOpenEventLogStorage)
            assert instance.telemetry_enabled is False
            assert instance.root_directory == str(tmp_path)


@pytest.mark.filterwarnings("ignore:No dagster instance configuration file")
def test_a_folder_of_somebody_else_that_holds_something_stays_without_configuration(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    with open_instance(tmp_path, is_ours=False) as instance:
        assert type(instance.event_log_storage) is SqliteEventLogStorage
    assert not (tmp_path / "dagster.yaml").exists()
    assert not (tmp_path / "opening.lock").exists()


def test_what_was_recorded_is_found_again(tmp_path: Path) -> None:
    with open_instance(tmp_path, is_ours=True) as first:
        first.add_dynamic_partitions("batches", ["2024-01"])
        first.report_runless_asset_event(dg.AssetMaterialization("asset", partition="2024-01"))
    with open_instance(tmp_path, is_ours=True) as second:
        assert second.get_dynamic_partitions("batches") == ["2024-01"]
        assert second.get_materialized_partitions(dg.AssetKey("asset")) == {"2024-01"}


def test_a_run_in_this_process_starts_no_other_to_copy_what_it_prints(tmp_path: Path) -> None:
    with open_instance(tmp_path, is_ours=True) as ours:
        _judge(ours)
        assert ours.get_runs()[0].is_success
    assert list(tmp_path.rglob("*.err")) == []
    # one that the UI or a schedule launches is captured: nobody sees its terminal
    with dg.DagsterInstance.get() as as_launched:
        _judge(as_launched)
    assert len(list(tmp_path.rglob("*.err"))) == 1


def test_the_log_of_runs_is_not_emptied_after_every_question(tmp_path: Path) -> None:
    waiting = tmp_path / "history" / "runs.db-wal"
    with open_instance(tmp_path, is_ours=True) as instance:
        instance.add_run_tags(instance.create_run_for_job(_job()).run_id, {"asked": "twice"})
        assert waiting.stat().st_size > 0
        assert instance.get_runs()[0].tags["asked"] == "twice"
        assert waiting.stat().st_size > 0
    assert not waiting.exists()


def test_a_configuration_in_our_folder_may_keep_the_runs_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "dagster.yaml").write_text(f"storage:\n  sqlite:\n    base_dir: {elsewhere}\n")
    with open_instance(tmp_path, is_ours=True) as instance:
        assert instance.get_runs_count() == 0
    assert (elsewhere / "history" / "runs.db").exists()
    assert not (tmp_path / "history").exists()


_WRITER = """
import sys, dagster as dg
from pathlib import Path
from accounts_migration.instance import open_instance
with open_instance(Path(sys.argv[1]), is_ours=sys.argv[3] == "ours") as instance:
    for number in range(40):
        instance.report_runless_asset_event(dg.AssetMaterialization("asset", partition=f"{sys.argv[2]}-{number}"))
"""


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_two_processes_write_to_one_new_instance_at_once(whose: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _WRITER, str(tmp_path / "dagster")]
    writers = [subprocess.Popen([*command, name, whose], stderr=subprocess.PIPE, text=True) for name in ("a", "b")]  # noqa: S603
    said = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], said
    with open_instance(tmp_path / "dagster", is_ours=True) as instance:
        found = instance.get_materialized_partitions(dg.AssetKey("asset"))
    assert found == {f"{name}-{number}" for name in ("a", "b") for number in range(40)}


@pytest.fixture
def stock_instance(tmp_path: Path) -> Iterator[Path]:
    """Configure an instance as Dagster's own default is."""
    folder = tmp_path / "stock"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    yield folder


def test_a_migration_runs_on_an_instance_of_somebody_else(
    stock_instance: Path, tmp_path: Path, open_migration: Callable[..., Any], new_target: Callable[[str, Path], str]
) -> None:
    """Nothing may depend on our own event log: here it is Dagster's."""
    with open_migration(tmp_path, new_target("sqlite", tmp_path)) as ours:
        with open_instance(stock_instance, is_ours=False) as instance:
            assert type(instance.event_log_storage) is SqliteEventLogStorage
            migration = type(ours)(ours.settings, instance)
            migration.migrate()
            assert migration.materialized("target/transaction") == {"2024-01", "2024-02", "2024-03", "undated"}
            assert set(migration.checks("target/transaction").values()) == {"SUCCEEDED"}
        assert ours.materialized("target/transaction") == set()


@dg.asset(
    partitions_def=dg.DynamicPartitionsDefinition(name="batches"),
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("sound", asset="judged")],
)
def judged(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
    """Log a verdict on each batch, the last one twice: of equal verdicts the later one stands."""
    with stored_together(context.instance):
        for batch, passed in (("2024-01", True), ("2024-02", False), ("2024-03", False), ("2024-03", True)):
            context.log_event(
                dg.AssetCheckEvaluation(asset_key=context.asset_key, check_name="sound", passed=passed, partition=batch)
            )
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="sound", passed=True)])


def _job() -> dg.JobDefinition:
    job = dg.define_asset_job("judge", [judged])
    definitions = dg.Definitions(assets=[judged], jobs=[job], executor=dg.in_process_executor)
    return definitions.resolve_job_def("judge")


def _judge(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("batches", ["2024-01", "2024-02", "2024-03"])
    result = _job().execute_in_process(
        instance=instance,
        tags={"dagster/asset_partition_range_start": "2024-01", "dagster/asset_partition_range_end": "2024-03"},
    )
    assert result.success


def _recorded(instance: dg.DagsterInstance) -> dict[str, object]:
    """Return what the instance tells of the asset, its checks and its run."""
    key = dg.AssetCheckKey(dg.AssetKey("judged"), "sound")
    verdicts = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    found = [one.event.get_dagster_event().asset_check_evaluation_data for one in verdicts if one.event]
    records = instance.get_records_for_run(instance.get_runs()[0].run_id).records
    numbers = {one.storage_id: one.event_log_entry.dagster_event_type for one in records}
    latest = instance.get_latest_materialization_event(dg.AssetKey("judged"))
    return {
        "verdicts": sorted((one.partition or "", one.status.value) for one in verdicts),
        "their events": sorted((one.partition or "", one.check_name, one.passed) for one in found),
        "events": [numbers[number] for number in sorted(numbers)],
        "materialized": instance.get_materialized_partitions(dg.AssetKey("judged")),
        "latest": latest.get_dagster_event().partition if latest else None,
    }


def test_events_stored_together_are_recorded_as_dagster_records_each(tmp_path: Path, stock_instance: Path) -> None:
    with open_instance(tmp_path / "ours", is_ours=True) as ours:
        assert isinstance(ours.event_log_storage, KeptOpenEventLogStorage)
        _judge(ours)
        recorded = _recorded(ours)
    with open_instance(stock_instance, is_ours=False) as stock:
        _judge(stock)
        assert recorded == _recorded(stock)
    assert recorded["verdicts"] == [
        ("", "SUCCEEDED"),
        ("2024-01", "SUCCEEDED"),
        ("2024-02", "FAILED"),
        ("2024-03", "SUCCEEDED"),
    ]
    assert recorded["materialized"] == {"2024-01", "2024-02", "2024-03"}


def test_a_partition_that_was_deleted_is_not_remembered(tmp_path: Path) -> None:
    with open_instance(tmp_path, is_ours=True) as instance:
        instance.add_dynamic_partitions("batches", ["2024-01"])
        assert instance.has_dynamic_partition("batches", "2024-01")
        instance.delete_dynamic_partition("batches", "2024-01")
        assert not instance.has_dynamic_partition("batches", "2024-01")
