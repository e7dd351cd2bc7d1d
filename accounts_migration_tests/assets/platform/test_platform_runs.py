"""A copy as the UI runs it: assets chosen by hand, single months and ranges, in any order, and what a load refuses."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from accounts_migration.settings import Settings
from accounts_migration_tests.platform_rows import write_platform

ENTITIES = ("product", "customer", "account", "transaction")
JUDGED = tuple(f"platform/judged/{entity}" for entity in ENTITIES)
WHOLE = ("platform/product", "platform/customer", "platform/account")
MONTHS = ("2024-01", "2024-02", "undated")
PASSED = "SUCCEEDED"

RunSql = Callable[..., list[tuple[Any, ...]]]


def movement(number: int, date: object, **changes: Any) -> dict[str, Any]:
    return {"transaction_id": f"TXN-{number}", "transaction_date": date, **changes}


ROWS = {"transaction": [movement(1, "2024-01-05 10:11:12"), movement(2, "2024-02-29 00:00:00"), movement(3, "soon")]}


@pytest.fixture
def copying(tmp_path: Path, target_url: str, open_migration: Callable[..., Any]) -> Iterator[Any]:
    """Return a real instance with COPY_FROM and COPY_TO set, and room for one rejected row in three."""
    with open_migration(tmp_path, str(tmp_path / "unused.db"), max_reject_rate=0.4) as migration:
        yield between(migration, write_platform(tmp_path / "from.db", ROWS), target_url)


def between(migration: Any, origin: Path, target: str) -> Any:
    settings: Settings = migration.settings.model_copy(update={"copy_from": str(origin), "copy_to": target})
    return type(migration)(settings, migration.instance)


def ids(run_sql: RunSql, url: str) -> list[str]:
    return [key for (key,) in run_sql(url, 'SELECT transaction_id FROM "transaction" ORDER BY 1')]


def reasons(run: Any) -> str:
    return " ".join(str(event.step_failure_data.error) for event in run.all_events if event.is_step_failure)


def stands(migration: Any, asset: str) -> bool:
    """Return whether the asset was ever materialized."""
    return migration.instance.get_latest_materialization_event(dg.AssetKey.from_user_string(asset)) is not None


def test_months_in_any_order_one_by_one_and_what_is_rejected(copying: Any, target_url: str, run_sql: RunSql) -> None:
    assert copying.run("platform/snapshot").success
    assert copying.instance.get_dynamic_partitions("batches") == list(MONTHS)
    assert copying.run(*JUDGED[:3]).success
    for month in ("undated", "2024-02", "2024-01"):
        assert copying.run(JUDGED[3], batch=month).success
    assert copying.run(*WHOLE).success
    for month, expected in (("2024-02", ["TXN-2"]), ("undated", ["TXN-2"]), ("2024-01", ["TXN-1", "TXN-2"])):
        assert copying.run("platform/transaction", batch=month).success
        assert ids(run_sql, target_url) == expected
    assert copying.materialized("platform/transaction") == set(MONTHS)
    checks = ("accounting_law", "content", "control_totals")
    assert copying.checks("platform/transaction") == {
        (check, month): PASSED for check in checks for month in (None, *MONTHS)
    }
    kept = run_sql(target_url, "SELECT batch, source_key, action, reason, source_row FROM copy_defect")
    assert [row[:4] for row in kept] == [("undated", "TXN-3", "rejected", "INVALID_DATE")]
    assert '"transaction_date": "soon"' in kept[0][4]
    assert copying.run("platform/bookkeeping", "platform/constraints", "platform/proof").success
    assert copying.checks("platform/proof") == {
        (check, None): PASSED for check in ("accounting_law", "control_totals", "complete", "no_orphans")
    }


def test_the_jobs_over_all_months_as_one_range(copying: Any, target_url: str, run_sql: RunSql) -> None:
    assert copying.run(job="copy_snapshot").success
    for job in ("copy_prepare", "copy"):
        assert copying.run(job=job, span=(MONTHS[0], MONTHS[-1])).success
    assert ids(run_sql, target_url) == ["TXN-1", "TXN-2"]
    assert copying.metadata("platform/report")["accounted for"] is True
    # a second time there is something to lose, and nothing to write
    assert copying.run(job="copy", span=(MONTHS[0], MONTHS[-1])).success
    assert copying.metadata("platform/target_backup")["proved by"] == "restoring it"
    written = copying.metadata("platform/transaction", "2024-01")
    assert (written["rows"], written["inserted"], written["updated"], written["removed"]) == (1, 0, 0, 0)


def test_a_load_refuses_what_is_not_judged_or_was_judged_otherwise(copying: Any) -> None:
    assert copying.run("platform/snapshot", *JUDGED[:3]).success
    assert copying.run(*WHOLE).success
    unjudged = copying.run("platform/transaction", batch="2024-01")
    assert (unjudged.success, "Nothing is staged of judged/transaction for batch 2024-01" in reasons(unjudged)) == (
        False,
        True,
    )
    assert copying.run(JUDGED[3], span=(MONTHS[0], MONTHS[-1])).success
    stricter = copying.under(max_reject_rate=0)
    refused = stricter.run("platform/transaction", batch="2024-01")
    assert (refused.success, "under other policies" in reasons(refused)) == (False, True)


def test_too_many_rejects_stop_the_whole_copy_before_its_first_row(
    tmp_path: Path, target_url: str, open_migration: Callable[..., Any], run_sql: RunSql
) -> None:
    rows = {
        "account": [{}, {"account_id": "ACCT-00000002", "balance": "a lot"}],
        "transaction": ROWS["transaction"][:2],
    }
    with open_migration(tmp_path, str(tmp_path / "unused.db"), max_reject_rate=0) as migration:
        copying = between(migration, write_platform(tmp_path / "from.db", rows), target_url)
        assert copying.run("platform/snapshot").success
        both = (*JUDGED, "platform/target_backup", *WHOLE, "platform/transaction")
        run = copying.run(*both, span=("2024-01", "2024-02"))
        assert not run.success
        assert copying.checks("platform/judged/account")["rejects_within_policy", None] == "FAILED"
        assert (
            copying.instance.get_latest_materialization_event(dg.AssetKey.from_user_string("platform/product")) is None
        )
        alone = copying.run("platform/account")
        assert "1 of 2 rows of account are rejected, and max_reject_rate is 0" in reasons(alone)


def test_who_materializes_everything_to_migrate_has_nothing_to_copy(
    tmp_path: Path, target_url: str, open_migration: Callable[..., Any]
) -> None:
    with open_migration(tmp_path, target_url) as migration:
        run = migration.run("legacy/snapshot", "platform/snapshot", *JUDGED[:3])
        assert run.success
        assert (
            migration.instance.get_latest_materialization_event(dg.AssetKey.from_user_string("platform/snapshot"))
            is None
        )
        alone = migration.run("platform/snapshot")
        assert (alone.success, "COPY_FROM is not set" in reasons(alone)) == (False, True)
