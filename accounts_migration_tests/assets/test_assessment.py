"""The assessment in the UI: what its assets show, and that they refuse findings that do not belong together."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.assessment.plan import recorded_plan
from accounts_migration.databases.target import open_target

Rows = dict[str, list[tuple[Any, ...]]]
FINDINGS = ["volumes", "profile", "dry_run", "plan"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def assessed(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
) -> Iterator[Any]:
    """Run the job `assess` on the bank of the fixtures."""
    folder = tmp_path_factory.mktemp("assessed")
    with open_migration(folder, new_target(request.param, folder)) as migration:
        assert migration.run(job="assess").success
        yield migration


def test_the_findings_stand_in_the_home_and_nothing_stands_in_the_target(assessed: Any) -> None:
    home, url = assessed.settings.migration_home, assessed.settings.target_db
    [folder] = [path for path in (home / "assessment").iterdir() if path.is_dir()]

    assert sorted(path.stem for path in folder.iterdir()) == sorted(FINDINGS)
    assert not (home / "staging").exists()
    if "://" in url:
        with open_target(url) as target:
            assert target.examine() is False
    else:
        assert not Path(url).exists()


def test_the_plan_that_was_made_last_is_found(assessed: Any) -> None:
    plan = recorded_plan(assessed.settings)

    assert plan is not None
    assert plan.digest == assessed.metadata("assessment/plan")["digest"]
    assert plan.is_present(assessed.metadata("legacy/snapshot")["sha256"], assessed.settings.policies.digest)
    assert plan.batches == {"2024-01": 3, "2024-02": 4, "2024-03": 3, "undated": 2}
    assert plan.estimated_seconds == assessed.metadata("assessment/plan")["estimated seconds"] > 4
    assert plan.bytes_needed("target") == assessed.metadata("assessment/plan")["bytes for target"] > 0


def test_the_ui_shows_the_tables(assessed: Any) -> None:
    volumes = assessed.metadata("assessment/volumes")["volumes"]
    dry = assessed.metadata("assessment/dry_run")
    plan = assessed.metadata("assessment/plan")

    assert "| total balance | 164.60 |" in volumes
    assert [dry[f"rows to be {action}"] for action in ("loaded", "rejected", "excluded")] == [15, 5, 3]
    assert "| transaction | 12 | 8 | 3 | 1 | 0 | 93.00 | 1 | yes |" in "\n".join(map(str, dry.values()))
    assert "| account | rejected | PARENT_REJECTED | 1 | 1 | 70.00 | 0 |" in "\n".join(map(str, dry.values()))
    assert "| data volume | small: 4 accounts are small, 12 transactions are small |" in plan["plan"]
    assert "| undated | 2 |" in "\n".join(map(str, plan.values()))


def test_what_the_ui_shows_is_small(assessed: Any) -> None:
    for name in FINDINGS:
        assert sum(len(str(value)) for value in assessed.metadata(f"assessment/{name}").values()) < 20_000


def test_the_checks_of_an_acceptable_source_pass(assessed: Any) -> None:
    assert assessed.checks("assessment/dry_run") == {
        ("accounting_law", None): "SUCCEEDED",
        ("rejects_within_policy", None): "SUCCEEDED",
    }
    assert assessed.checks("assessment/plan") == {("disk_space", None): "SUCCEEDED"}


def test_more_rejects_than_allowed_are_a_warning(tmp_path: Path, open_migration: Callable[..., Any]) -> None:
    with open_migration(tmp_path, str(tmp_path / "target.db"), max_reject_rate=0.2) as migration:
        assert migration.run(job="assess").success

        verdict = migration.evaluation("assessment/dry_run", "rejects_within_policy")
        assert (verdict.passed, verdict.severity.value, verdict.blocking) == (False, "WARN", False)
        assert verdict.metadata["rejected customer"].value == 1


def test_a_plan_is_made_of_findings_that_belong_together(
    tmp_path: Path,
    open_migration: Callable[..., Any],
    write_legacy: Callable[..., Path],
    new_legacy_rows: Callable[[], Rows],
) -> None:
    with open_migration(tmp_path, str(tmp_path / "target.db")) as migration:
        assert migration.run(job="snapshot").success
        assert "There is no assessment/dry_run" in refusal(migration, "assessment/plan")
        assert migration.run(job="assess").success
        assert migration.run("assessment/plan").success
        # the same findings under other policies, or of another source
        assert "is of another snapshot, or of other policies" in refusal(migration.under(letter_case="keep"))
        rows = new_legacy_rows()
        write_legacy(tmp_path / "legacy.db", rows | {"legacy_transactions": []})
        assert migration.run(job="snapshot").success
        assert "is of another snapshot, or of other policies" in refusal(migration)
        assert migration.run(job="assess").success


def refusal(migration: Any, asset: str = "assessment/plan") -> str:
    [message] = migration.refusals(migration.run(asset)).values()
    return str(message)
