"""The plan: what its digest covers, and the plan that was recorded last."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from accounts_migration.assessment.dry_run import EntityOutcome
from accounts_migration.assessment.plan import PLAN, DiskNeed, Plan, Stage, recorded_plan
from accounts_migration.assessment.records import findings_folder, write_finding
from accounts_migration.assessment.tiers import recommendation
from accounts_migration.assessment.volumes import Volumes
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.settings import Settings

SETTINGS = Settings()
A_PLAN = Plan(
    source="/bank/legacy.db",
    source_sha256="ab" * 32,
    target="postgresql://accounts@db/accounts",
    policies_digest="cd" * 32,
    volumes=Volumes("ab" * 32, "cd" * 32, 3, 4, 4, 3, 16_460, 0, 12, "2024-01-01T00:00:00", "2024-03-06T00:00:00", 1),
    outcomes=(EntityOutcome("transaction", 12, 8, 3, 1, 0, 9_400, 0, True),),
    recommendation=recommendation(4, 12),
    batches={"2024-01": 3, "undated": 2},
    stages=(Stage("load", 2.5, "measured"), Stage("snapshot", 0.5, "measured")),
    disk=(DiskNeed("backup", "/backups", 4096, 10**9, 1), DiskNeed("target", "/data", 8192, None, None)),
    measured_at="2026-11-28T10:00:00+00:00",
)


def test_the_digest_covers_what_a_person_approves_and_nothing_measured() -> None:
    later = replace(A_PLAN, stages=(), disk=(), measured_at="2026-11-28T23:00:00+00:00")

    assert later.digest == A_PLAN.digest
    for change in (
        {"source_sha256": "ef" * 32},
        {"target": "postgresql://accounts@db/other"},
        {"policies_digest": ""},
        {"batches": {"2024-01": 4, "undated": 2}},
        {"outcomes": ()},
        {"volumes": replace(A_PLAN.volumes, total_balance=16_461)},
        {"recommendation": recommendation(10_000, 12)},
    ):
        assert replace(A_PLAN, **change).digest != A_PLAN.digest


def test_time_and_space_are_sums() -> None:
    assert A_PLAN.estimated_seconds == 3.0
    assert [A_PLAN.bytes_needed(purpose) for purpose in ("backup", "staging", "target")] == [4096, 0, 8192]


def test_it_is_of_one_content_of_the_source_and_one_set_of_policies() -> None:
    assert A_PLAN.is_present("ab" * 32, "cd" * 32)
    assert not A_PLAN.is_present("ef" * 32, "cd" * 32)
    assert not A_PLAN.is_present("ab" * 32, "ef" * 32)


@pytest.mark.parametrize("target", [None, "accounts.db", "postgresql://accounts:hush-4711@db/accounts"])
def test_the_plan_recorded_last_is_found_again(tmp_path: Path, target: str | None) -> None:
    source = tmp_path / "legacy.db"
    settings = SETTINGS.model_copy(
        update={"source_db": source, "target_db": target, "migration_home": tmp_path / "home"}
    )
    assert recorded_plan(settings) is None

    folder = findings_folder(settings)
    write_finding(folder, PLAN, replace(A_PLAN, measured_at="earlier"))
    write_finding(folder, PLAN, A_PLAN)

    found = recorded_plan(settings)
    assert found == A_PLAN
    assert found is not None
    assert found.digest == A_PLAN.digest
    assert [path.name for path in folder.iterdir()] == ["plan.json"]
    assert stat.S_IMODE((folder / "plan.json").stat().st_mode) == 0o600
    assert "hush-4711" not in (folder / "plan.json").read_text() + str(folder)
    other = settings.model_copy(update={"target_db": "another.db"})
    assert recorded_plan(other) is None


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    source = tmp_path / "legacy.db"
    settings = SETTINGS.model_copy(update={"source_db": source, "target_db": None, "migration_home": tmp_path})
    folder = findings_folder(settings)
    write_finding(folder, PLAN, A_PLAN)
    (folder / "plan.json").write_text('{"source": 1}')

    with pytest.raises(MigrationError, match="damaged, or another version") as raised:
        recorded_plan(settings)

    assert "Assess again" in raised.value.remedy


def test_without_a_source_there_is_no_plan() -> None:
    with pytest.raises(UsageError, match="SOURCE_DB is not set"):
        recorded_plan(SETTINGS.model_copy(update={"source_db": None}))
