"""Verdicts in a report: the last one of each check and batch, on this target and no other."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from accounts_migration.jobs import TARGET_TAG
from accounts_migration.reports.checks import latest_checks
from accounts_migration.reports.contents import Check
from accounts_migration_tests.reports.conftest import Reported

HERE, ELSEWHERE = "/here.db", "/elsewhere.db"


def checked(name: str, passed: bool, batches: dg.PartitionsDefinition | None = None, *, warns: bool = False) -> Any:
    """Return an asset with the check `law`, evaluated for its batch, if it has batches, and for its run."""
    severity = dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR

    @dg.asset(name=name, partitions_def=batches, check_specs=[dg.AssetCheckSpec("law", asset=name)])
    def asset(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        if batches:
            context.log_event(
                dg.AssetCheckEvaluation(
                    asset_key=context.asset_key, check_name="law", passed=passed, partition=context.partition_key
                )
            )
        result = dg.AssetCheckResult(check_name="law", passed=passed, severity=severity)
        yield dg.MaterializeResult(check_results=[result])

    return asset


BATCHES = dg.StaticPartitionsDefinition(["2024-01", "2024-02"])
WHOLE, PARTED = checked("whole", True), checked("parted", True, BATCHES)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def evaluate(
    instance: dg.DagsterInstance, passed: bool, batch: str | None = None, *, warns: bool = False, target: str = HERE
) -> None:
    asset = checked("parted", passed, BATCHES) if batch else checked("whole", passed, warns=warns)
    run = dg.materialize([asset], instance=instance, partition_key=batch, tags={TARGET_TAG: target})
    assert run.success


def verdicts(instance: dg.DagsterInstance, asset: dg.AssetsDefinition = WHOLE) -> list[Check]:
    return latest_checks(instance, [asset], HERE)


def test_a_check_that_never_ran_is_not_run(instance: dg.DagsterInstance) -> None:
    assert verdicts(instance) == [Check("whole", "law", "not run", 0, [])]


def test_the_last_verdict_counts(instance: dg.DagsterInstance) -> None:
    evaluate(instance, True)
    evaluate(instance, False)
    assert verdicts(instance) == [Check("whole", "law", "failed", 0, [])]
    evaluate(instance, True)
    assert verdicts(instance) == [Check("whole", "law", "passed", 0, [])]


def test_a_check_may_only_warn(instance: dg.DagsterInstance) -> None:
    evaluate(instance, False, warns=True)
    assert verdicts(instance) == [Check("whole", "law", "warning", 0, [])]


def test_each_batch_has_its_last_verdict(instance: dg.DagsterInstance) -> None:
    """The second batch failed and nobody ran it again; that the first one passed since does not hide it."""
    evaluate(instance, False, "2024-01")
    evaluate(instance, False, "2024-02")
    evaluate(instance, True, "2024-01")
    assert verdicts(instance, PARTED) == [Check("parted", "law", "failed", 2, ["2024-02"])]
    evaluate(instance, True, "2024-02")
    assert verdicts(instance, PARTED) == [Check("parted", "law", "passed", 2, [])]


def test_a_run_that_does_not_tell_its_target_counts(instance: dg.DagsterInstance) -> None:
    assert dg.materialize([checked("whole", False)], instance=instance).success
    assert verdicts(instance)[0].verdict == "failed"


def test_runs_on_another_target_do_not_count(instance: dg.DagsterInstance) -> None:
    evaluate(instance, False, target=ELSEWHERE)
    assert verdicts(instance)[0].verdict == "not run"
    evaluate(instance, True)
    evaluate(instance, False, target=ELSEWHERE)
    assert verdicts(instance)[0].verdict == "passed"


def test_a_report_tells_every_check_of_the_migration(reported: Reported) -> None:
    found = {(one["asset"], one["check"]): (one["verdict"], one["batches"]) for one in reported.json["checks"]}
    assert len(found) == 12 + 12 + 1 + 4 + 3 + 4 + 9
    assert found["target/transaction", "content"] == ("passed", 5)
    assert found["cleaned/transactions", "rejects_within_policy"] == ("passed", 5)
    assert found["target/account", "control_totals"] == ("passed", 0)
    assert found["validation/reconciliation", "complete"] == ("passed", 0)
    assert found["validation/second_reading", "transaction"] == ("passed", 0)
    assert found["validation/content", "account"] == ("not run", 0)
