"""The sensor that starts the next phase: its ticks on a real instance, and the runs that they ask for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from accounts_migration.definitions import build_defs
from accounts_migration.settings import Settings
from accounts_migration_tests.commands import change


def ticked(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """Return what one tick of the sensor comes to."""
    sensor = definitions.resolve_sensor_def("start_next_phase")
    repository = definitions.get_repository_def()
    with dg.build_sensor_context(
        instance=instance, repository_def=repository, resources=definitions.resources
    ) as context:
        data = sensor.evaluate_tick(context)
    if data.skip_message:
        return dg.SkipReason(data.skip_message)
    [request] = data.run_requests or []
    return request


class Ticks:
    """The sensor's ticks on the instance of a migration."""

    def __init__(self, migration: Any) -> None:
        self.migration = migration

    def tick(self) -> dg.RunRequest | str:
        """Return the run that a tick asks for, or why it asks for none."""
        asked = ticked(self.migration.definitions, self.migration.instance)
        if isinstance(asked, dg.SkipReason):
            return str(asked.skip_message)
        assert isinstance(asked, dg.RunRequest)
        return asked

    def asked(self) -> dg.RunRequest:
        """Return the run that a tick asks for."""
        found = self.tick()
        assert isinstance(found, dg.RunRequest), found
        return found

    def launch(self, name: str) -> bool:
        """Run a job as the daemon does for the sensor; return whether it succeeded."""
        job = self.migration.definitions.resolve_job_def(name)
        return bool(job.execute_in_process(instance=self.migration.instance, raise_on_error=False).success)


def test_phases_run_unattended_one_after_the_other(tmp_path: Path, open_migration: Callable[..., Any]) -> None:
    with open_migration(tmp_path, str(tmp_path / "target.db")) as migration:
        ticks = Ticks(migration)
        assert "none was taken yet" in str(ticks.tick())
        migration.run(job="snapshot")
        assert "phase 1 has not passed for the snapshot" in str(ticks.tick())
        assert ticks.launch("phase_1_reference")

        first = ticks.asked()
        assert first.job_name == "phase_2_accounts"
        assert ticks.asked().run_key == first.run_key, "asked for twice, the daemon starts it once"
        change(Path(migration.settings.target_db), "DELETE FROM product WHERE product_id = 'PROD-002'")
        assert "phase 1 has not passed" in str(ticks.tick()), "a gate that closed again"
        assert ticks.launch("phase_1_reference")
        assert ticks.asked().run_key != first.run_key, "after phase 1 was run again, phase 2 may be, too"

        tonight = migration.settings.model_copy(update={"migration_window": "2090-01-01T22:00Z/2090-01-02T06:00Z"})
        waits = ticked(build_defs(settings=tonight), migration.instance)
        assert isinstance(waits, dg.SkipReason)
        assert str(waits.skip_message).startswith("phase_2_accounts waits: 2090-01-01T22:00+00:00 to")

        waiting = migration.instance.create_run_for_job(migration.definitions.resolve_job_def("phase_2_accounts"))
        assert ticks.tick() == "phase_2_accounts is under way"
        migration.instance.delete_run(waiting.run_id)

        for name in ("phase_2_accounts", "phase_3_history", "phase_4_recent"):
            request = ticks.asked()
            assert request.job_name == name
            assert ticks.launch(name)
        assert str(ticks.tick()).startswith("all phases have passed for the snapshot ")

        Path(migration.settings.target_db).write_text("no database any more")
        assert "it is not a SQLite database" in str(ticks.tick())


def test_the_sensor_waits_until_it_is_switched_on(tmp_path: Path) -> None:
    sensor = build_defs(settings=Settings(migration_home=tmp_path)).resolve_sensor_def("start_next_phase")
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED


def test_without_a_source_a_tick_says_so(tmp_path: Path) -> None:
    definitions = build_defs(settings=Settings(migration_home=tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        asked = ticked(definitions, instance)
    assert isinstance(asked, dg.SkipReason)
    assert "SOURCE_DB is not set" in str(asked.skip_message)
