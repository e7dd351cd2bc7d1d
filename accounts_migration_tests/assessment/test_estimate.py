"""Downtime and disk space: measured here, on trial, and nothing of the trial stays."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.assessment.dry_run import dry_run
from accounts_migration.assessment.estimate import disk_of, rehearse, stages_of
from accounts_migration.assessment.plan import DiskNeed, Plan
from accounts_migration.assessment.planning import make_plan
from accounts_migration.assessment.sample import read_sample
from accounts_migration.assessment.tables import duration, size
from accounts_migration.assessment.volumes import count_volumes
from accounts_migration.databases.loads import Rehearsal
from accounts_migration.databases.snapshot import Snapshot, take_snapshot
from accounts_migration.databases.target import open_target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration.resources import LEGACY_TABLES
from accounts_migration.settings import Settings

Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def snapshot(tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]) -> Snapshot:
    return take_snapshot(write_legacy(tmp_path / "legacy.db", new_legacy_rows()), tmp_path / "backups", LEGACY_TABLES)


def settings_of(folder: Path, target: str | None, **changes: Any) -> Settings:
    values = {"source_db": folder / "legacy.db", "target_db": target, "migration_home": folder / "home", **changes}
    return Settings().model_copy(update=values)


def plan_of(snapshot: Snapshot, settings: Settings) -> Plan:
    policies = settings.policies
    return make_plan(snapshot, count_volumes(snapshot, policies), dry_run(snapshot, policies), settings)


def test_a_sample_holds_the_rows_that_the_target_could_take(snapshot: Snapshot) -> None:
    sample = read_sample(ENTITIES["transaction"], snapshot, Policies())

    assert sample.raw.num_rows == 12
    [rows] = sample.rows
    # the sub-cent amount and the date that is none are left out
    assert sorted(rows["transaction_id"].to_pylist()) == sorted(f"TXN-{n}" for n in (1, 2, 3, 4, 6, 6, 7, 8, 9, 10))


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_the_largest_table_is_loaded_on_trial_and_nothing_stays(
    engine: str, tmp_path: Path, snapshot: Snapshot, new_target: Callable[[str, Path], str]
) -> None:
    url = new_target(engine, tmp_path)
    settings = settings_of(tmp_path, url)

    trial = rehearse(snapshot, settings)

    assert trial.engine == engine
    assert trial.load is not None
    assert trial.load.rows == 10
    assert trial.staged_size > 0
    if engine == "sqlite":
        assert trial.target_size == 0
        assert not Path(url).exists()
        assert list((tmp_path / "home" / "assessment").iterdir()) == []
    else:
        assert trial.target_size > 1_000_000
        with open_target(url) as target:
            assert (
                target.session.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
            )


def test_scratch_files_of_a_killed_assessment_are_removed(tmp_path: Path, snapshot: Snapshot) -> None:
    home = tmp_path / "home" / "assessment"
    # a process that has ended, and one that lives
    with subprocess.Popen(["/bin/true"]) as ended:
        ended.wait()
    for process in (ended.pid, os.getpid()):
        (home / f"scratch-{process}-abc").mkdir(parents=True)
        (home / f"scratch-{process}-abc" / "rehearsal.db").touch()

    rehearse(snapshot, settings_of(tmp_path, None))

    assert [path.name for path in home.iterdir()] == [f"scratch-{os.getpid()}-abc"]


def test_every_second_has_its_reason(tmp_path: Path, snapshot: Snapshot) -> None:
    settings = settings_of(tmp_path, None)
    dry = replace(dry_run(snapshot, settings.policies), rows=1_000_000, seconds=6.0)
    load = Rehearsal(rows=100_000, seconds=0.25, size=20_000_000)
    trial = replace(rehearse(snapshot, settings), load=load, target_size=6_000_000)

    stages = {stage.name: (round(stage.seconds, 2), stage.basis) for stage in stages_of(snapshot, dry, trial)}

    assert stages == {
        "start": (4.12, "4 s, and 0.03 s for each of 4 batches"),
        "snapshot": (round(snapshot.seconds, 2), "measured when it was taken"),
        "backup of the target": (0.2, "6,000,000 bytes, copied and proved at 30,000,000 bytes/s"),
        "read and clean": (6.0, "the dry run: 1,000,000 rows"),
        "write staging": (2.1, "35% of the dry run"),
        "load": (2.5, "100,000 rows loaded on trial into SQLite: 400,000 rows/s"),
        "constraints and proof": (5.0, "2 times the load"),
        "reserve": (round((4.12 + snapshot.seconds + 0.2 + 6.0 + 2.1 + 2.5 + 5.0) / 2, 2), "50% of all these"),
    }


def test_every_byte_has_its_folder(tmp_path: Path, snapshot: Snapshot) -> None:
    settings = settings_of(tmp_path, str(tmp_path / "new" / "accounts.db"), backup_dir=tmp_path / "elsewhere")
    dry = replace(dry_run(snapshot, settings.policies), rows=1_000_000)
    trial = replace(
        rehearse(snapshot, settings),
        load=Rehearsal(rows=100_000, seconds=0.25, size=20_000_000),
        staged_size=7_000_000,
        target_size=1_000,
    )

    needs = {need.purpose: need for need in disk_of(snapshot, dry, trial, settings)}

    assert (needs["backup"].folder, needs["backup"].needed) == (str(tmp_path / "elsewhere"), snapshot.size + 2_000)
    assert (needs["staging"].folder, needs["staging"].needed) == (str(tmp_path / "home" / "staging"), 7_000_000)
    assert (needs["target"].folder, needs["target"].needed) == (str(tmp_path / "new"), 400_000_000)
    assert {need.filesystem for need in needs.values()} == {tmp_path.stat().st_dev}
    assert all(need.free for need in needs.values())
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_seen_from_here_has_no_free_space(tmp_path: Path, snapshot: Snapshot, postgres_url: str) -> None:
    settings = settings_of(tmp_path, postgres_url, staging="s3://bucket/staging")
    trial = rehearse(snapshot, settings)

    needs = {need.purpose: need for need in disk_of(snapshot, dry_run(snapshot, Policies()), trial, settings)}

    assert (needs["staging"].folder, needs["staging"].free) == ("s3://bucket/staging", None)
    assert (needs["target"].folder.partition("?")[0], needs["target"].free) == (postgres_url.partition("?")[0], None)


def test_what_shares_a_filesystem_must_fit_together(tmp_path: Path, snapshot: Snapshot) -> None:
    plan = plan_of(snapshot, settings_of(tmp_path, None))
    assert plan.lacking == []

    needs = (
        DiskNeed("backup", "/b", 600, 1_000, 1),
        DiskNeed("staging", "/s", 600, 1_000, 1),
        DiskNeed("target", "/t", 600, 1_000, 2),
        DiskNeed("target", "postgresql://db/bank", 10**15, None, None),
    )

    assert replace(plan, disk=needs).lacking == [
        "1,200 bytes are needed for backup in /b, staging in /s, and 1,000 are free"
    ]


def test_the_digest_is_the_same_each_time_and_another_for_another_source_target_or_policy(
    tmp_path: Path, snapshot: Snapshot, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    here = settings_of(tmp_path, None)
    digest = plan_of(snapshot, here).digest
    assert plan_of(snapshot, here).digest == digest
    assert plan_of(snapshot, settings_of(tmp_path, "accounts.db")).digest != digest
    strict = settings_of(tmp_path, None, policies=Policies(letter_case="keep"))
    assert plan_of(snapshot, strict).digest != digest

    rows = new_legacy_rows()
    rows["legacy_customers"][1] = (2, "Zqgrace", "Zqhopper", None, "1", None, "ACTIVE")
    path = write_legacy(tmp_path / "legacy.db", rows)
    changed = plan_of(take_snapshot(path, tmp_path / "backups", LEGACY_TABLES), here)
    assert changed.digest != digest
    assert replace(changed, source_sha256=snapshot.sha256, volumes=plan_of(snapshot, here).volumes).digest == digest


def test_findings_of_another_snapshot_or_other_policies_make_no_plan(tmp_path: Path, snapshot: Snapshot) -> None:
    settings = settings_of(tmp_path, None)
    volumes, dry = count_volumes(snapshot, Policies()), dry_run(snapshot, Policies())

    with pytest.raises(MigrationError, match="assessment/volumes is of another snapshot"):
        make_plan(snapshot, replace(volumes, source_sha256="ab" * 32), dry, settings)
    with pytest.raises(MigrationError, match="assessment/dry_run is of another snapshot, or of other policies"):
        make_plan(snapshot, volumes, dry_run(snapshot, Policies(letter_case="keep")), settings)


def test_a_source_without_rows_takes_the_time_of_the_start(tmp_path: Path, write_legacy: Callable[..., Path]) -> None:
    nothing: Rows = {entity.legacy_table: [] for entity in ENTITIES.values()}
    empty = take_snapshot(write_legacy(tmp_path / "legacy.db", nothing), tmp_path / "backups", LEGACY_TABLES)

    plan = plan_of(empty, settings_of(tmp_path, None))

    assert (plan.recommendation.tier, plan.batches, plan.bytes_needed("target")) == ("small", {}, 0)
    assert 4 <= plan.estimated_seconds < 30
    assert [stage.basis for stage in plan.stages if stage.name == "load"] == ["there are no rows to load"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (26.2, "27 s"), (59.5, "1 min 0 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (3901, "1 h 6 min")],
)
def test_a_time_is_rounded_up(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0.0 MB"), (1, "0.1 MB"), (23_887_872, "23.9 MB"), (2 * 10**9, "2.0 GB")]
)
def test_bytes_as_a_person_says_them(count: int, said: str) -> None:
    assert size(count) == said
