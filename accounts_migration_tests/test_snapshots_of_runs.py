"""A run reads one snapshot from its first step to its last, and so do all runs of a command, whatever is taken beside.

Beside each, the source is changed and the job `snapshot` takes another one on the same instance, as a person at the UI
does.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import BACKFILL_ID_TAG

from accounts_migration import copying, migration, runner
from accounts_migration.databases.target import open_target
from accounts_migration.definitions import build_defs
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration.phases import PHASES
from accounts_migration.resources import BackupResource, LegacyResource, PlatformResource
from accounts_migration.settings import Settings
from accounts_migration.snapshots_of_runs import for_each_run
from accounts_migration_tests.commands import change, started

TAG = "accounts_migration/legacy_snapshot"
MOST_TAKEN = 40
PRODUCTS = [dg.AssetKey(["legacy", "products"])]


class Beside:
    """A migration, and the colleague who takes snapshots beside it."""

    def __init__(self, migration: Any) -> None:
        self.migration = migration
        self.taken: list[str] = []

    def take_another(self) -> None:
        """Change the source, which has a month more from then on, and take a snapshot of it."""
        number = len(self.taken)
        with closing(sqlite3.connect(self.migration.settings.source_db)) as source, source:
            row = (700 + number, f"{2030 + number}-01-05")
            source.execute("INSERT INTO legacy_transactions VALUES (?, 1, 'CR', 1, 1, 'beside', ?)", row)
        run = self.migration.run(job="snapshot")
        assert run.success, self.migration.refusals(run)
        self.taken.append(self.migration.metadata("legacy/snapshot")["snapshot_id"])

    def taking_another_before_each(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return what runs a job as `run` does; before each but the first another snapshot is taken."""
        runs: list[str] = []

        def disturbed(
            definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, *args: Any, **kw: Any
        ) -> Any:
            if runs:
                self.take_another()
            runs.append(job)
            return run(definitions, instance, job, *args, **kw)

        return disturbed

    @property
    def span(self) -> tuple[str, str]:
        """Return the first and the last registered batch."""
        keys = self.migration.instance.get_dynamic_partitions("batches")
        return keys[0], keys[-1]

    def prepare(self) -> None:
        """Clean everything of the present snapshot."""
        assert self.migration.run(job="prepare", span=self.span).success

    def loaded_from(self) -> set[str]:
        """Return the snapshots that the target's books name."""
        with open_target(self.migration.settings.target_db) as target:
            return {record.snapshot_id for record in target.recorded_batches()}

    def within(self, do: Callable[[], None]) -> Any:
        """Return the migration, in whose runs this is done while the target is backed up, before a load begins."""

        class Meddling(BackupResource):
            def take(self) -> Any:
                do()
                return super().take()

        settings = self.migration.settings
        target = self.migration.definitions.resources["target"].resource_fn(None)
        backups = Meddling(target, settings.backups, None, 30)
        other = type(self.migration)(settings, self.migration.instance)
        other.definitions = build_defs(settings=settings, resource_overrides={"backups": backups})
        return other

    def run_of(
        self, job: str, tags: Mapping[str, str] | None = None, assets: Sequence[dg.AssetKey] = PRODUCTS
    ) -> dg.DagsterRun:
        """Run some assets of a job to their success, and return how the run was recorded."""
        made = self.migration
        done = made.definitions.resolve_job_def(job).execute_in_process(
            instance=made.instance, tags=tags, asset_selection=assets
        )
        run = made.instance.get_run_by_id(done.run_id)
        assert isinstance(run, dg.DagsterRun)
        return run

    @property
    def present(self) -> str:
        """Return the id of the snapshot that was taken last."""
        return str(self.migration.metadata("legacy/snapshot")["snapshot_id"])

    @staticmethod
    def read_by(run: dg.DagsterRun) -> str:
        """Return the id of the snapshot that a run read; its tag names the folder, and then the run."""
        return Path(run.tags[TAG].removesuffix(f" {run.run_id}")).name


@pytest.fixture
def beside(tmp_path: Path, target_url: str, open_migration: Callable[..., Any]) -> Iterator[Beside]:
    """Return a migration that has not begun, once for each engine."""
    with open_migration(tmp_path, target_url) as made:
        yield Beside(made)


@pytest.fixture
def beside_sqlite(tmp_path: Path, open_migration: Callable[..., Any]) -> Iterator[Beside]:
    """Return a migration that has not begun, into SQLite."""
    with open_migration(tmp_path, str(tmp_path / "target.db")) as made:
        yield Beside(made)


@pytest.fixture(scope="module")
def under_way(tmp_path_factory: pytest.TempPathFactory, open_migration: Callable[..., Any]) -> Iterator[Beside]:
    """Return a migration into SQLite of which a snapshot was taken; the tests take others beside."""
    folder = tmp_path_factory.mktemp("under_way")
    with open_migration(folder, str(folder / "target.db")) as made:
        assert made.run(job="snapshot").success
        yield Beside(made)


@pytest.fixture
def prepared(under_way: Beside) -> Beside:
    """Return the migration, its present snapshot cleaned."""
    under_way.prepare()
    return under_way


def test_a_migration_reads_the_snapshot_that_it_took(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "run_job", beside.taking_another_before_each(runner.run_job))
    outcome = migration.migrate(beside.migration.settings, [], beside.migration.instance)
    assert (outcome.success, outcome.problems, len(beside.taken)) == (True, [], 2)
    assert outcome.snapshot is not None
    assert beside.loaded_from() == {outcome.snapshot.snapshot_id}
    assert "2030-01" not in outcome.batches
    assert [(line.source, line.unexplained) for line in outcome.entities] == [(3, 0), (4, 0), (4, 0), (12, 0)]


def test_a_phase_reads_one_snapshot(beside_sqlite: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    made = beside_sqlite.migration
    monkeypatch.setattr(migration, "run_job", beside_sqlite.taking_another_before_each(runner.run_job))
    outcome = migration.run_phase(made.settings, PHASES[0], made.instance)
    assert (outcome.success, outcome.problems, len(beside_sqlite.taken)) == (True, [], 4)
    assert outcome.snapshot is not None
    assert beside_sqlite.loaded_from() == {outcome.snapshot.snapshot_id}


def test_a_verification_reads_one_snapshot_and_leaves_the_present_one(
    beside_sqlite: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = beside_sqlite.migration
    assert migration.migrate(made.settings, [], made.instance).success
    pointers = [path.read_text() for path in made.settings.migration_home.rglob("snapshots/*.json")]

    def beside_another(definitions: Any, instance: Any, job: str, *args: Any, **kw: Any) -> Any:
        if job != "snapshot":
            change(made.settings.source_db, "DELETE FROM legacy_transactions")
            assert runner.run_job(definitions, instance, "snapshot").success
        return runner.run_job(definitions, instance, job, *args, **kw)

    monkeypatch.setattr(migration, "run_job", beside_another)
    outcome = migration.verify(made.settings, keep_policies=True)
    assert (outcome.success, outcome.problems) == (True, [])
    assert [path.read_text() for path in made.settings.migration_home.rglob("snapshots/*.json")] == pointers


def test_a_copy_reads_the_snapshot_that_it_took(
    tmp_path: Path, beside_sqlite: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = beside_sqlite.migration
    assert migration.migrate(made.settings, [], made.instance).success
    origin, copied = made.settings.target_db, str(tmp_path / "copy.db")
    settings = Settings(migration_home=tmp_path / "home", copy_from=origin, copy_to=copied)
    runs: list[str] = []

    def beside_another(*args: Any, **kw: Any) -> Any:
        if runs:
            change(Path(origin), "UPDATE product SET product_name = product_name || ' beside'")
            PlatformResource(origin, settings.backups, settings.migration_home).take_snapshot()
        runs.append(args[2])
        return runner.run_job(*args, **kw)

    monkeypatch.setattr(copying, "run_job", beside_another)
    outcome = copying.copy(settings, instance=made.instance)
    assert (outcome.success, outcome.problems, runs) == (True, [], ["copy_snapshot", "copy_prepare", "copy"])
    with open_target(copied) as target:
        names = [row["product_name"] for part in target.scan("product") for row in part.to_pylist()]
    assert sorted(names) == ["Basic Checking", "Current Plus"]


def test_a_migration_in_a_process_of_its_own_ends_well_beside_new_snapshots(
    tmp_path: Path, beside_sqlite: Beside
) -> None:
    settings = beside_sqlite.migration.settings
    process = started(
        tmp_path,
        "migrate",
        settings.source_db,
        settings.target_db,
        MIGRATION_HOME=str(settings.migration_home),
        DAGSTER_HOME=str(tmp_path / "dagster"),
        MAX_REJECT_RATE="0.25",
    )
    while process.poll() is None and len(beside_sqlite.taken) < MOST_TAKEN:
        beside_sqlite.take_another()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert beside_sqlite.taken
    assert len(beside_sqlite.loaded_from()) == 1


def test_a_run_reads_the_snapshot_that_was_present_when_it_began(prepared: Beside) -> None:
    before = prepared.present
    assert prepared.within(prepared.take_another).run(job="load", span=prepared.span).success
    assert prepared.loaded_from() == {before}
    assert prepared.present != before


def test_a_run_that_takes_a_snapshot_reads_that_one(under_way: Beside) -> None:
    change(under_way.migration.settings.source_db, "CREATE TABLE another (a)")
    run = under_way.run_of("__ASSET_JOB", assets=[dg.AssetKey(["legacy", "snapshot"]), *PRODUCTS])
    assert run.tags[TAG] == f"{under_way.migration.settings.backups.resolve() / under_way.present} {run.run_id}"
    assert under_way.migration.metadata("legacy/snapshot")["new batches"] == 0


def test_each_process_of_a_run_reads_what_the_first_one_read(under_way: Beside) -> None:
    made = under_way.migration
    run = under_way.run_of("prepare")
    under_way.take_another()
    # as Dagster hands it to a process of a step: as it was before the first step
    stale = run.with_tags({name: value for name, value in run.tags.items() if name != TAG})
    source = LegacyResource(made.settings.source_db, made.settings.backups, made.settings.migration_home)
    given: Any = for_each_run(source).resource_fn
    nothing: Any = None
    context = dg.InitResourceContext(nothing, nothing, nothing, {}, instance=made.instance, dagster_run=stale)
    assert given(context).snapshot().snapshot_id == under_way.read_by(run) != under_way.present


def test_a_run_that_is_executed_again_as_a_whole_reads_what_is_present(under_way: Beside) -> None:
    first = under_way.run_of("prepare")
    under_way.take_another()
    again = under_way.run_of("prepare", first.tags)
    assert [under_way.read_by(first) != under_way.present, under_way.read_by(again)] == [True, under_way.present]


def test_all_runs_of_a_backfill_read_what_its_first_one_read(under_way: Beside) -> None:
    first = under_way.run_of("prepare", {BACKFILL_ID_TAG: "nightly"})
    under_way.take_another()
    second, other = (under_way.run_of("prepare", {BACKFILL_ID_TAG: name}) for name in ("nightly", "morning"))
    assert under_way.read_by(first) == under_way.read_by(second) != under_way.present
    assert under_way.read_by(other) == under_way.present


def job_of(name: str, source: str, target: str, home: str) -> dg.JobDefinition:
    """Return a job; Dagster goes on only with one that it can make anew."""
    settings = Settings(
        source_db=Path(source),
        target_db=target,
        migration_home=Path(home),
        policies=Policies(max_reject_rate=0.25),
    )
    return build_defs(settings=settings).resolve_job_def(name)


def test_a_run_that_goes_on_where_one_failed_reads_what_that_one_read(prepared: Beside) -> None:
    before = prepared.present

    def fail() -> None:
        prepared.take_another()
        raise MigrationError("No backup", why="a test", remedy="none")

    made = prepared.migration
    failed = prepared.within(fail).run(job="load", span=prepared.span)
    words: Any = ("load", str(made.settings.source_db), made.settings.target_db, str(made.settings.migration_home))
    job = dg.build_reconstructable_job(__name__, "job_of", reconstructable_args=words)
    from_failure = dg.ReexecutionOptions.from_failure(failed.run_id, made.instance)
    tags = dict(failed.dagster_run.tags)
    with dg.execute_job(job, made.instance, reexecution_options=from_failure, tags=tags) as done:
        run = made.instance.get_run_by_id(done.run_id)
    assert (failed.success, done.success, prepared.read_by(run)) == (False, True, before)
    assert prepared.loaded_from() == {before}


def test_a_load_takes_nothing_back_that_was_loaded_from_another_snapshot_since_it_began(prepared: Beside) -> None:
    before = prepared.present

    def overtake() -> None:
        prepared.take_another()
        prepared.prepare()
        assert prepared.migration.run(job="load", span=prepared.span).success

    made = prepared.within(overtake)
    run = made.run(job="load", span=prepared.span)
    assert made.refusals(run)["target__product"] == (
        "The load of product is refused: "
        f"batch all was loaded from the snapshot {prepared.present} since this run began with {before}. "
        "Launch a new run, which reads the present snapshot, if anything is left to be loaded"
    )
    assert prepared.loaded_from() == {prepared.present}
