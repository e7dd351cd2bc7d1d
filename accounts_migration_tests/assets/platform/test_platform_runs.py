"""A copy as the UI runs it: assets chosen by hand, single months and ranges, in any order, and what a load refuses."""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from accounts_migration.databases.target import target_location
from accounts_migration.entities.cleaning import Cleaned, clean
from accounts_migration.operations.backup import list_backups
from accounts_migration.settings import Settings
from accounts_migration_tests.commands import change
from accounts_migration_tests.platform_rows import SOUND, write_platform

ENTITIES = ("product", "customer", "account", "transaction")
JUDGED = tuple(f"platform/judged/{entity}" for entity in ENTITIES)
WHOLE = ("platform/product", "platform/customer", "platform/account")
MONTHS = ("2024-01", "2024-02", "undated")
PASSED = "SUCCEEDED"

RunSql = Callable[..., list[tuple[Any, ...]]]


def movement(number: int, date: object, **changes: Any) -> dict[str, Any]:
    return {"transaction_id": f"TXN-{number}", "transaction_date": date, **changes}


REJECTED_ACCOUNT = {"account_id": "ACCT-00000002", "balance": "a lot"}
OF_IT = movement(4, "2024-02-01 00:00:00", account_id="ACCT-00000002")
ROWS = {
    "account": [{}, REJECTED_ACCOUNT],
    "transaction": [movement(1, "2024-01-05 10:11:12"), movement(2, "2024-02-29 00:00:00"), movement(3, "soon"), OF_IT],
}


@pytest.fixture
def copying(tmp_path: Path, target_url: str, open_migration: Callable[..., Any]) -> Iterator[Any]:
    """Return a real instance with COPY_FROM and COPY_TO set, and room for a rejected row in two."""
    with open_migration(tmp_path, str(tmp_path / "unused.db"), max_reject_rate=0.5) as migration:
        yield between(migration, write_platform(tmp_path / "from.db", ROWS), target_url)


def between(migration: Any, origin: Path, target: str) -> Any:
    settings: Settings = migration.settings.model_copy(update={"copy_from": str(origin), "copy_to": target})
    return type(migration)(settings, migration.instance)


def ids(run_sql: RunSql, url: str) -> list[str]:
    return [key for (key,) in run_sql(url, 'SELECT transaction_id FROM "transaction" ORDER BY 1')]


def stands(migration: Any, asset: str) -> bool:
    """Return whether the asset was ever materialized."""
    return migration.instance.get_latest_materialization_event(dg.AssetKey.from_user_string(asset)) is not None


def backups(migration: Any, url: str) -> int:
    """Return how many backups of a target stand in BACKUP_DIR."""
    return len(list_backups(migration.settings.backups, target_location(url)))


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
    kept = run_sql(target_url, "SELECT batch, source_key, action, reasons, source_row FROM copy_defect ORDER BY 2")
    assert [row[:4] for row in kept] == [
        ("all", "ACCT-00000002", "rejected", "INVALID_NUMBER"),
        ("undated", "TXN-3", "rejected", "INVALID_DATE"),
        ("2024-02", "TXN-4", "rejected", "PARENT_REJECTED"),
    ]
    assert [json.loads(row[4]) for row in kept] == [
        SOUND["account"] | REJECTED_ACCOUNT,
        SOUND["transaction"] | ROWS["transaction"][2],
        SOUND["transaction"] | OF_IT,
    ]
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


def test_a_load_refuses_what_is_not_judged_or_was_judged_otherwise(
    copying: Any, target_url: str, run_sql: RunSql, tmp_path: Path
) -> None:
    assert copying.run("platform/snapshot", *JUDGED[:3]).success
    assert copying.run(*WHOLE).success
    assert copying.run(JUDGED[3], batch="2024-01").success

    def refused(migration: Any, batch: str) -> str:
        [said] = migration.refusals(migration.run("platform/transaction", batch=batch)).values()
        assert ids(run_sql, target_url) == []
        return str(said)

    assert refused(copying, "2024-02") == (
        "Nothing is staged of judged/transaction for batch 2024-02: it was not materialized for this run's snapshot. "
        "Materialize judged/transaction (batch 2024-02) first"
    )
    assert refused(copying.under(invalid_email="null"), "2024-01") == (
        "The rows of judged/customer, batch all, cannot be used: they were cleaned under other policies than those "
        "in force now. Materialize judged/customer again"
    )
    change(tmp_path / "from.db", "UPDATE customer SET first_name = 'Grace'")
    assert copying.run("platform/snapshot").success
    assert refused(copying, "2024-01") == (
        "Nothing is staged of judged/customer for batch all: it was not materialized for this run's snapshot. "
        "Materialize judged/customer (batch all) first"
    )


def test_a_load_refuses_rows_that_failed_a_blocking_check_also_in_a_later_run(
    tmp_path: Path, open_migration: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unruly(*arguments: Any) -> Cleaned:
        cleaned = clean(*arguments)
        place = cleaned.rows.schema.get_field_index("last_name")
        nameless = pa.nulls(cleaned.rows.num_rows, pa.string())
        return dataclasses.replace(cleaned, rows=cleaned.rows.set_column(place, cleaned.rows.field(place), nameless))

    with open_migration(tmp_path, str(tmp_path / "unused.db")) as migration:
        copying = between(migration, write_platform(tmp_path / "from.db", {}), str(tmp_path / "to.db"))
        assert copying.run("platform/snapshot").success
        with monkeypatch.context() as broken:
            broken.setattr("accounts_migration.assets.judging.clean", unruly)
            assert not copying.run("platform/judged/customer", "platform/target_backup", "platform/customer").success
        assert copying.checks("platform/judged/customer")["pandera_schema", None] == "FAILED"
        assert copying.refusals(copying.run("platform/customer")) == {
            "platform__customer": "The load of customer is refused: judged/customer, batch all, did not pass its "
            "checks. See the checks of judged/customer, and materialize it again"
        }
        assert not (tmp_path / "to.db").exists()


def test_too_many_rejects_stop_the_whole_copy_before_its_first_row(
    tmp_path: Path, target_url: str, open_migration: Callable[..., Any]
) -> None:
    rows = {
        "account": [{}, {"account_id": "ACCT-00000002", "balance": "a lot"}],
        "transaction": ROWS["transaction"][:2],
    }
    with open_migration(tmp_path, str(tmp_path / "unused.db"), max_reject_rate=0) as migration:
        copying = between(migration, write_platform(tmp_path / "from.db", rows), target_url)
        assert copying.run("platform/snapshot").success
        both = (*JUDGED, "platform/target_backup", *WHOLE, "platform/transaction")
        assert not copying.run(*both, span=("2024-01", "2024-02")).success
        assert copying.checks("platform/judged/account")["rejects_within_policy", None] == "FAILED"
        assert not stands(copying, "platform/product")
        assert copying.refusals(copying.run("platform/account")) == {
            "platform__account": "The load of account is refused: 1 of 2 rows of account are rejected, and "
            "max_reject_rate is 0.0. Mend the source and take a new snapshot, or raise the policy max_reject_rate"
        }


PLATFORM = (
    *("platform/snapshot", *JUDGED, "platform/target_backup", *WHOLE, "platform/transaction", "platform/bookkeeping"),
    *("platform/constraints", "platform/other_tables", "platform/proof", "platform/report"),
)


def test_who_materializes_everything_to_migrate_has_nothing_to_copy(
    tmp_path: Path, open_migration: Callable[..., Any]
) -> None:
    with open_migration(tmp_path, str(tmp_path / "to.db")) as migration:
        assert migration.run("legacy/snapshot").success
        run = migration.run("legacy/snapshot", *PLATFORM, span=("2024-01", "undated"))
        assert run.success
        said = [one.user_message for one in migration.instance.all_logs(run.run_id) if one.level >= logging.WARNING]
        assert said == ["Nothing is copied to another platform: COPY_FROM is not set"]
        assert [asset for asset in PLATFORM if stands(migration, asset)] == []
        assert migration.refusals(migration.run("platform/snapshot")) == {
            "platform__snapshot": "No database to copy is named: COPY_FROM is not set. Set COPY_FROM, or name FROM"
        }


NOTES = """
CREATE TABLE note (mail text PRIMARY KEY, body text);
CREATE TABLE answer (id integer PRIMARY KEY, note text REFERENCES note);
INSERT INTO note VALUES ('zoe@example', 'Zoe'), ('ada@example', NULL);
INSERT INTO answer VALUES (1, 'zoe@example');
"""


def test_other_tables_alone_are_carried_and_mended_and_saved_first(
    copying: Any, target_url: str, run_sql: RunSql, tmp_path: Path
) -> None:
    change(tmp_path / "from.db", NOTES)
    assert copying.run("platform/snapshot").success
    assert copying.run("platform/other_tables").success
    assert copying.checks("platform/other_tables") == {("equal", None): PASSED}
    assert run_sql(target_url, "SELECT count(*) FROM account") == [(0,)]
    assert backups(copying, target_url) == 0
    run_sql(target_url, "UPDATE note SET body = 'Eve' WHERE mail = 'zoe@example'")
    assert copying.run("platform/other_tables").success
    assert copying.checks("platform/other_tables") == {("equal", None): PASSED}
    assert run_sql(target_url, "SELECT mail, body FROM note ORDER BY 1") == [
        ("ada@example", None),
        ("zoe@example", "Zoe"),
    ]
    assert backups(copying, target_url) == 1


def test_bookkeeping_alone_is_saved_first(tmp_path: Path, target_url: str, open_migration: Callable[..., Any]) -> None:
    with open_migration(tmp_path, str(tmp_path / "migrated.db")) as migration:
        migration.migrate()
        copying = between(migration, tmp_path / "migrated.db", target_url)
        assert copying.run("platform/snapshot", "platform/judged/product").success
        assert copying.run("platform/product").success
        assert backups(copying, target_url) == 0
        assert copying.run("platform/bookkeeping").success
        assert backups(copying, target_url) == 1
