"""The guide's list after a migration: each item done, not configured and failing, on both targets."""

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
)

from accounts_migration.assets.checklist import ITEMS
from accounts_migration.logs import end_log, start_log
from accounts_migration.operations.archive import read_archive
from accounts_migration_tests.migrations import Migration
from accounts_migration_tests.operations.servers import Reply, web_server

CHECKLIST = "post_migration/checklist"
NOT_THERE = "http://127.0.0.1:1/"
RunSql = Callable[..., list[tuple[Any, ...]]]

QUIET = {"service_stop": "", "service_start": "", "service_health_url": ""}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def migrated(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    new_target: Callable[[str, Path], str],
    open_migration: Callable[..., Any],
) -> Iterator[Migration]:
    """The sample bank, migrated and reported once for each engine; tests put back what they change in it."""
    folder = tmp_path_factory.mktemp("finished")
    with open_migration(folder, new_target(request.param, folder)) as migration:
        migration.migrate()
        assert migration.run(job="report").success
        yield migration


def configured(migration: Migration, **settings: Any) -> Migration:
    return Migration(migration.settings.model_copy(update={**QUIET, **settings}), migration.instance)


def states(run: dg.ExecuteInProcessResult) -> dict[str, tuple[str, str]]:
    """Return item -> its state and evidence, as the run's checks told them, in their order."""
    return {
        one.check_name: (str(one.metadata["state"].value), str(one.metadata["evidence"].value))
        for one in run.get_asset_check_evaluations()
        if one.asset_key.to_user_string() == CHECKLIST
    }


def having(run: dg.ExecuteInProcessResult, state: str) -> set[str]:
    return {name for name, (found, _) in states(run).items() if found == state}


def turn_on_daily_backup(instance: dg.DagsterInstance) -> InstigatorState:
    """Record what the UI's switch records."""
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("accounts_migration.definitions"), "__repository__"),
        "daily_backup",
    )
    state = InstigatorState(
        origin, InstigatorType.SCHEDULE, InstigatorStatus.RUNNING, ScheduleInstigatorData("0 2 * * *")
    )
    return instance.add_instigator_state(state)


def test_the_list_is_green_where_everything_is_configured(migrated: Migration, tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    (tmp_path / "signed.toml").write_text(f'[update_documentation]\nby = "J. Doe"\non = {today}\nnote = "runbook"')
    state = turn_on_daily_backup(migrated.instance)
    log = start_log(migrated.settings.logs, quiet=True)
    with web_server({"/api/health": Reply(), "/api/accounts": Reply(body=b"[]"), "/hook": Reply()}) as server:
        run = configured(
            migrated,
            service_health_url=f"{server.url}/api/health",
            smoke_test_urls=f"{server.url}/api/accounts?limit=1",
            configure_application=f"touch {tmp_path}/configured",
            clear_caches=f"touch {tmp_path}/cleared",
            acknowledgements=tmp_path / "signed.toml",
            notify_webhook=f"{server.url}/hook",
        ).run(job="post_migration")
    end_log()
    migrated.instance.delete_instigator_state(state.instigator_origin_id, state.selector_id)
    assert run.success
    found = states(run)
    assert list(found) == list(ITEMS)
    assert having(run, "done") == set(ITEMS) - {"update_documentation"}
    assert found["update_documentation"] == ("acknowledged", f"acknowledged by J. Doe on {today}: runbook")
    assert found["validate_row_counts"][1] == (
        "source = loaded + rejected + excluded: product 3 = 2 + 0 + 1; customer 4 = 2 + 1 + 1;"
        " account 4 = 3 + 1 + 0; transaction 12 = 8 + 3 + 1"
    )
    assert "account balance 164.60 = 94.60 + 70.00;" in found["validate_balance_totals"][1]
    assert found["test_user_workflows"][1].split(", in ")[0] == "CUST-0001: accounts 2, balances 94.60"
    assert {path.name for path in tmp_path.iterdir()} == {"signed.toml", "configured", "cleared"}
    asked = [path for _, path, _ in server.requests]
    assert asked == ["/api/health", "/api/accounts?limit=1", "/hook"]
    notice = json.loads(server.requests[-1][2])
    assert (notice["what"], notice["verdict"], notice["succeeded"], notice["problems"]) == (
        "finish",
        "FINISHED",
        True,
        [],
    )
    _is_plotted(migrated, server.url)
    _is_archived(migrated, log)


def _is_plotted(migrated: Migration, url: str) -> None:
    figures = migrated.metadata("post_migration/user_workflows")
    names = ("customer_with_accounts", "statement_of_a_month", "balance", "totals")
    assert set(figures) == {f"{name} (milliseconds)" for name in names}
    assert migrated.metadata("post_migration/api").keys() == {
        f"{url}/api/health (milliseconds)",
        f"{url}/api/accounts (milliseconds)",
    }
    assert [value for value in figures.values() if not isinstance(value, float) or value <= 0] == []
    optimised = migrated.metadata("post_migration/optimised")
    assert (optimised["bytes before"] > 0, optimised["bytes after"] > 0) == (True, True)


def _is_archived(migrated: Migration, log: Path) -> None:
    archive = migrated.metadata("post_migration/archive")
    found = read_archive(Path(archive["archive"]))
    kinds = sorted({name.partition("/")[0] for name in found})
    assert kinds == ["books.json", "checks.json", "logs", "manifests", "report"]
    assert {name for name in found if name.startswith("report/")} == {
        "report/report.html",
        "report/report.json",
        "report/report.sha256",
    }
    assert f"logs/{log.name}" in found
    # the snapshot's manifest, and that of the backup before the first write
    assert len([name for name in found if name.startswith("manifests/")]) == 2
    assert archive["files"] == len(found)


def test_what_nobody_configured_says_so_and_does_not_fail(migrated: Migration) -> None:
    run = configured(migrated).run(job="post_migration")
    assert run.success
    found = states(run)
    assert {name: found[name][1] for name in having(run, "not configured")} == {
        "smoke_test_api": "there is no service here, and SMOKE_TEST_URLS is not set",
        "update_application_configuration": "CONFIGURE_APPLICATION is not set",
        "clear_application_caches": "CLEAR_CACHES is not set",
        "update_documentation": "nobody acknowledged it in acknowledgements.toml, or where ACKNOWLEDGEMENTS says",
        "notify_stakeholders": "neither NOTIFY_WEBHOOK nor NOTIFY_EMAIL is set",
        "schedule_backup": "the schedule daily_backup is off; turn it on in the UI",
    }
    assert having(run, "FAILED") == set()


def test_each_item_that_failed_fails_and_stops_no_other(migrated: Migration, tmp_path: Path) -> None:
    """Commands that fail or hang, no API, a notice nobody takes, signatures of other days, no place for the archive."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    (tmp_path / "signed.toml").write_text(
        f'[update_documentation]\nby = "J. Doe"\non = {yesterday}\n'
        '[clear_application_caches]\nby = "J. Doe"\non = 2100-01-01\n'
        '[schedule_backup]\nby = "J. Doe"\non = 2100-01-01'
    )
    (tmp_path / "file").write_text("")
    run = configured(
        migrated,
        smoke_test_urls=NOT_THERE,
        configure_application="false",
        clear_caches="sleep 600",
        command_timeout=0.3,
        acknowledgements=tmp_path / "signed.toml",
        notify_webhook=NOT_THERE,
        archive_dir=tmp_path / "file",
    ).run(job="post_migration")
    found = states(run)
    failed = {
        "smoke_test_api": f"1 of 1 URLs: {NOT_THERE}: Connection refused",
        "update_application_configuration": "The command of CONFIGURE_APPLICATION failed: false ended with status 1",
        "clear_application_caches": "The command of CLEAR_CACHES failed: sleep did not end within 0.3 s",
        "update_documentation": f"acknowledged by J. Doe on {yesterday}; but the target was loaded on ",
        "schedule_backup": "acknowledged by J. Doe on 2100-01-01; but that day has not come",
        "notify_stakeholders": "webhook 127.0.0.1: NOT delivered, Connection refused",
        "archive_migration_logs": f"Cannot write the archive into {tmp_path / 'file'}: ",
    }
    assert having(run, "FAILED") == set(failed)
    assert {name: found[name][1][: len(evidence)] for name, evidence in failed.items()} == failed
    severities = {
        one.check_name: one.severity
        for one in run.get_asset_check_evaluations()
        if one.asset_key.to_user_string() == CHECKLIST and not one.passed
    }
    assert [name for name, severity in severities.items() if severity == dg.AssetCheckSeverity.WARN] == [
        "notify_stakeholders"
    ]


@contextmanager
def changed(url: str, run_sql: RunSql, change: Sequence[str], back: Sequence[str]) -> Iterator[None]:
    """Change a target behind the migration's back, and put it back."""
    freely = "SET session_replication_role = replica" if "postgresql" in url else "PRAGMA foreign_keys = OFF"
    run_sql(url, freely, *change)
    try:
        yield
    finally:
        run_sql(url, freely, *back)


DAMAGE = {
    "sqlite": (
        (
            "CREATE INDEX damaged ON account (status) WHERE 0",
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_master SET sql = 'CREATE INDEX damaged ON account (status)' WHERE name = 'damaged'",
        ),
        ("DROP INDEX damaged",),
    ),
    "postgresql": (
        ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'account_customer_id'::regclass",),
        ("UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'account_customer_id'::regclass",),
    ),
}
FOUND_DAMAGE = {
    "sqlite": "is damaged: integrity_check found: wrong # of entries in index damaged; row 1 missing from index",
    "postgresql": "the server does not hold these for valid: account_customer_id",
}


def test_a_damaged_target_fails_what_rests_on_it(migrated: Migration, run_sql: RunSql) -> None:
    url = str(migrated.settings.target_db)
    engine = "postgresql" if "postgresql" in url else "sqlite"
    with changed(url, run_sql, *DAMAGE[engine]):
        run = configured(migrated).run(job="post_migration")
    assert having(run, "FAILED") == {"verify_data_integrity", "monitor_performance"}
    assert FOUND_DAMAGE[engine] in states(run)["verify_data_integrity"][1]


TAMPERED = (
    "UPDATE account SET account_id = 'ACCT-99999999' WHERE account_id = 'ACCT-00000003'",
    "UPDATE account SET balance = 100.11 WHERE account_id = 'ACCT-00000001'",
    "CREATE TABLE kept AS SELECT * FROM \"transaction\" WHERE transaction_id = 'TXN-9'",
    "DELETE FROM \"transaction\" WHERE transaction_id = 'TXN-9'",
)
PUT_BACK = (
    'INSERT INTO "transaction" SELECT * FROM kept',
    "DROP TABLE kept",
    "UPDATE account SET balance = 100.10 WHERE account_id = 'ACCT-00000001'",
    "UPDATE account SET account_id = 'ACCT-00000003' WHERE account_id = 'ACCT-99999999'",
)


def test_rows_totals_and_references_are_counted_anew_and_the_job_refuses_what_was_not_loaded(
    migrated: Migration, run_sql: RunSql
) -> None:
    with changed(str(migrated.settings.target_db), run_sql, TAMPERED, PUT_BACK):
        found = states(configured(migrated).run(CHECKLIST, job="post_migration"))
        refused = configured(migrated).run(job="post_migration")
    assert found["validate_row_counts"] == ("FAILED", "transaction 2024-03 is not accounted for")
    assert found["check_referential_integrity"] == (
        "FAILED",
        "references without their row: 1 of transaction->account",
    )
    assert found["validate_balance_totals"] == (
        "FAILED",
        "unexplained: account PROD-001/ACTIVE balance: -0.01; transaction DEBIT amount: 20.00",
    )
    assert not refused.success
    [refusal] = migrated.refusals(refused).values()
    assert "it did not end with every check passed: account all has other control totals than were loaded" in refusal
    assert "Run `accounts-migration migrate` without --batches until it ends with MIGRATED" in refusal
    assert states(refused) == {}


LOADED_LATER = ("UPDATE migration_batch SET loaded_at = '2100-01-01 00:00:00' WHERE entity = 'product'",)
LOADED_AS_BEFORE = (
    "UPDATE migration_batch SET loaded_at = (SELECT loaded_at FROM migration_batch WHERE entity = 'customer')"
    " WHERE entity = 'product'",
)


def test_what_was_done_before_the_last_load_does_not_count(migrated: Migration, run_sql: RunSql) -> None:
    with changed(str(migrated.settings.target_db), run_sql, LOADED_LATER, LOADED_AS_BEFORE):
        run = configured(migrated).run("post_migration/archive", CHECKLIST, job="post_migration")
    assert having(run, "FAILED") == {
        "verify_data_integrity",
        "smoke_test_api",
        "test_user_workflows",
        "update_application_configuration",
        "clear_application_caches",
        "monitor_performance",
        "archive_migration_logs",
    }
    assert states(run)["smoke_test_api"][1] == (
        "post_migration/api every_url_answers was not done since the load of 2100-01-01 00:00:00 UTC"
    )
    [archived] = [one for one in run.get_asset_check_evaluations() if one.check_name == "archived"]
    assert archived.metadata["evidence"].value == (
        "Cannot archive the report: none was written since the last load, or it was changed since. Run "
        f"`accounts-migration report {shlex.quote(str(migrated.settings.target_db))}`, then finish again"
    )
