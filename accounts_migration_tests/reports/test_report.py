"""The report: every figure as counted again in both databases, on the page as in its twin, and nobody's name in it."""

import hashlib
import json
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from accounts_migration.databases.snapshot import find_snapshots
from accounts_migration.databases.target import open_target, target_location
from accounts_migration.reports.contents import Check, Report
from accounts_migration.reports.gathering import gather
from accounts_migration.reports.rendering import render
from accounts_migration_tests.reports.conftest import HOSTILE, PASSWORD, Reported

LEGACY = {
    "product": "legacy_products",
    "customer": "legacy_customers",
    "account": "legacy_accounts",
    "transaction": "legacy_transactions",
}
TYPES = {"CR": "CREDIT", "DR": "DEBIT", "FE": "FEE", "IN": "INTEREST"}
STATUSES = {"A": "ACTIVE", "C": "CLOSED"}


def in_source(reported: Reported, query: str) -> list[Any]:
    with closing(sqlite3.connect(reported.migration.settings.source_db)) as connection:
        return connection.execute(query).fetchall()


def in_target(reported: Reported, query: str) -> list[Any]:
    if reported.url.startswith("postgresql"):
        with psycopg.connect(reported.url) as server:
            return server.execute(query.encode()).fetchall()
    with closing(sqlite3.connect(reported.url)) as connection:
        return connection.execute(query).fetchall()


def cents(value: object) -> int | None:
    """Return an amount of the sample bank in cents; None where it has a third decimal."""
    exact = Decimal(str(value)) * 100
    return int(exact) if exact == int(exact) else None


def month(date: object) -> str:
    return str(date)[:7] if re.match(r"\d{4}-\d\d", str(date)) else "undated"


def records(reported: Reported, entity: str, *columns: str) -> list[Any]:
    return in_target(reported, f"SELECT {', '.join(columns)} FROM migration_defect WHERE entity = '{entity}'")  # noqa: S608


def laws(reported: Reported, entity: str, batch: str | None = None) -> list[int]:
    """Return source, loaded, rejected, excluded, repaired of a batch, or of all; counted here."""
    source = in_source(reported, f"SELECT * FROM {LEGACY[entity]}")  # noqa: S608  # our names
    loaded = in_target(reported, f'SELECT * FROM "{entity}"')  # noqa: S608
    if batch is not None and entity == "transaction":
        source = [row for row in source if month(row[6]) == batch]
        # before the date of 10 stands a blank in the source
        loaded = [row for row in loaded if ("undated" if row[0] == "TXN-10" else str(row[6])[:7]) == batch]
    actions = Counter(action for name, action in records(reported, entity, "batch", "action") if batch in (None, name))
    return [len(source), len(loaded), actions["rejected"], actions["excluded"], actions["repaired"]]


COUNTS = ("source", "loaded", "rejected", "excluded", "repaired")


def test_every_row_of_an_entity_is_counted_in_both_databases(reported: Reported) -> None:
    lines = {line["entity"]: [line[name] for name in COUNTS] for line in reported.json["entities"]}
    assert lines == {entity: laws(reported, entity) for entity in LEGACY}
    assert lines["transaction"] == [16, 12, 3, 1, 0]
    assert [line["unexplained"] for line in reported.json["entities"]] == [0] * 4


def test_every_row_of_a_batch_is_counted_in_both_databases(reported: Reported) -> None:
    batches = reported.json["batches"]
    assert [line["batch"] for line in batches] == ["all"] * 3 + ["2024-01", "2024-02", "2024-03", "2100-12", "undated"]
    for line in batches:
        assert [line[name] for name in COUNTS] == laws(reported, line["entity"], line["batch"])
        assert line["unexplained"] == 0


def source_sums(reported: Reported) -> Counter[tuple[str, ...]]:
    sums: Counter[tuple[str, ...]] = Counter()
    for product, status, balance in in_source(
        reported, "SELECT product_code, account_status, current_balance FROM legacy_accounts"
    ):
        sums["account", f"PROD-{product:03d}/{STATUSES[status.upper()]}", "balance"] += cents(balance) or 0
    for kind, moved, after in in_source(
        reported, "SELECT trans_type, trans_amount, balance_after FROM legacy_transactions"
    ):
        sums["transaction", TYPES[kind.upper()], "amount"] += abs(cents(moved) or 0)
        sums["transaction", TYPES[kind.upper()], "balance_after"] += cents(after) or 0
    return sums


def target_sums(reported: Reported) -> Counter[tuple[str, ...]]:
    sums: Counter[tuple[str, ...]] = Counter()
    for product, status, balance in in_target(reported, "SELECT product_id, status, balance FROM account"):
        sums["account", f"{product}/{status}", "balance"] += cents(balance) or 0
    for kind, moved, after in in_target(reported, 'SELECT transaction_type, amount, balance_after FROM "transaction"'):
        sums["transaction", kind, "amount"] += cents(moved) or 0
        sums["transaction", kind, "balance_after"] += cents(after) or 0
    return sums


def sums_left_behind(reported: Reported) -> dict[tuple[str, ...], Counter[str]]:
    """Return (entity, group, measure) -> reason -> cents of the rows that the books keep."""
    sums: dict[tuple[str, ...], Counter[str]] = {}
    for entity in ("account", "transaction"):
        for action, reason, text in records(reported, entity, "action", "reason", "source_row"):
            row = json.loads(text)
            if action == "repaired":
                continue
            if entity == "account":
                group = f"PROD-{row['product_code']:03d}/{STATUSES[row['account_status'].upper()]}"
                money = {"balance": cents(row["current_balance"])}
            else:
                group = TYPES[row["trans_type"].upper()]
                money = {"amount": abs(cents(row["trans_amount"]) or 0), "balance_after": cents(row["balance_after"])}
            for measure, value in money.items():
                sums.setdefault((entity, group, measure), Counter())[reason] += value or 0
    return sums


def test_control_totals_are_those_of_both_databases_and_nothing_is_unexplained(reported: Reported) -> None:
    source, target, left = source_sums(reported), target_sums(reported), sums_left_behind(reported)
    found = {(one["entity"], one["group"], one["measure"]): one for one in reported.json["totals"]}
    assert set(found) == set(source)
    for key, one in found.items():
        assert (one["source"], one["target"]) == (source[key], target[key])
        assert one["reasons"] == {reason: value for reason, value in left.get(key, Counter()).items() if value}
        assert one["left_behind"] == sum(one["reasons"].values())
        assert one["unexplained"] == source[key] - target[key] - one["left_behind"] == 0


def test_the_totals_over_all_groups_are_the_sums_of_the_groups(reported: Reported) -> None:
    overall = reported.json["overall"]
    assert [(one["entity"], one["measure"]) for one in overall] == [
        ("account", "balance"),
        ("transaction", "amount"),
        ("transaction", "balance_after"),
    ]
    for one in overall:
        groups = [
            part
            for part in reported.json["totals"]
            if (part["entity"], part["measure"]) == (one["entity"], one["measure"])
        ]
        for name in ("source", "target", "left_behind", "unexplained"):
            assert one[name] == sum(part[name] for part in groups)
        reasons = sum((Counter(part["reasons"]) for part in groups), Counter[str]())
        assert one["reasons"] == dict(reasons)
    assert overall[0]["reasons"] == {"PARENT_REJECTED": 7000}
    assert overall[1]["reasons"] == {"EXACT_DUPLICATE": 2000, "INVALID_DATE": 300, "PARENT_REJECTED": 7000}


def test_defects_by_reason_with_their_money_and_masked_examples(reported: Reported) -> None:
    found = {
        (one["entity"], one["action"], one["reason"]): (one["records"], one["cents"], one["unreadable"])
        for one in reported.json["defects"]
    }
    counted = Counter(
        (entity, action, reason)
        for entity in LEGACY
        for action, reason in records(reported, entity, "action", "reason")
    )
    assert {key: records for key, (records, _, _) in found.items()} == counted
    assert found["account", "rejected", "PARENT_REJECTED"] == (1, 7000, 0)
    assert found["account", "repaired", "SENTINEL_DATE"] == (1, -550, 0)
    assert found["transaction", "rejected", "SUB_CENT"] == (1, 0, 1)
    assert found["transaction", "excluded", "EXACT_DUPLICATE"] == (1, 2000, 0)
    assert found["customer", "rejected", "INVALID_EMAIL"] == (1, None, 0)
    [one] = [one for one in reported.json["defects"] if one["reason"] == "INVALID_EMAIL"]
    assert one["examples"] == [
        {
            "batch": "all",
            "source_key": "3",
            "source_row_id": 3,
            "column": "email_address",
            "old_value": "xx.xxxx@@xxxxxxx.xxx",
            "new_value": None,
        }
    ]


def test_each_plausibility_finding_is_the_planted_one(reported: Reported) -> None:
    found = {one["kind"]: (one["found"], one["examples"]) for one in reported.json["plausibility"]}
    # the sample bank does not hold all movements of account 1
    assert found == {
        "balance_differs_from_last_balance_after": (2, ["ACCT-00000001", "ACCT-00000021"]),
        "balance_differs_from_sum_of_movements": (2, ["ACCT-00000001", "ACCT-00000022"]),
        "closed_with_balance": (1, ["ACCT-00000023"]),
        "closed_without_date": (1, ["ACCT-00000024"]),
        "closing_before_opening": (1, ["ACCT-00000025"]),
        "duplicate_email": (2, ["CUST-0011", "CUST-0012"]),
        "customer_in_the_future": (1, ["CUST-0013"]),
        "account_in_the_future": (1, ["ACCT-00000026"]),
        "transaction_in_the_future": (1, [f"TXN-{HOSTILE}"]),
    }


def test_a_finding_is_a_check_that_warns_and_blocks_nothing(reported: Reported) -> None:
    checks = [one for one in reported.json["checks"] if one["asset"] == "validation/plausibility"]
    assert {one["verdict"] for one in checks} == {"warning"}
    assert len(checks) == len(reported.json["plausibility"]) == 9
    evaluation = reported.migration.evaluation("validation/plausibility", "closed_without_date")
    assert {name: value.value for name, value in evaluation.metadata.items()} == {
        "rows asked": 4,
        "rows found": 1,
        "examples": "ACCT-00000024",
    }


def test_the_months_lay_source_and_target_side_by_side(reported: Reported) -> None:
    rows, money = Counter[str](), Counter[str]()
    for date, moved in in_source(reported, "SELECT trans_date, trans_amount FROM legacy_transactions"):
        rows[month(date)] += 1
        money[month(date)] += abs(cents(moved) or 0)
    found = {one["batch"]: one for one in reported.json["months"]}
    assert {name: (one["source_rows"], one["source_cents"]) for name, one in found.items()} == {
        name: (rows[name], money[name]) for name in rows
    }
    assert {name: one["target_rows"] for name, one in found.items()} == {
        name: laws(reported, "transaction", name)[1] for name in rows
    }
    assert sum(one["target_cents"] for one in found.values()) == reported.json["overall"][1]["target"]
    assert found["undated"]["target_cents"] == 200


def test_the_time_line_is_that_of_the_books(reported: Reported) -> None:
    books = in_target(reported, "SELECT loaded_at, entity, batch, loaded FROM migration_batch ORDER BY loaded_at")
    loads = reported.json["loads"]
    assert [[one["loaded_at"], one["entity"], one["batch"], one["rows"]] for one in loads] == [
        [str(moment)[:19], *rest] for moment, *rest in books
    ]
    assert loads[0]["seconds"] is None
    assert all(one["rows_per_second"] == round(one["rows"] / one["seconds"]) for one in loads[1:])


def test_it_says_what_was_migrated_where_and_under_which_policies(reported: Reported) -> None:
    source, target = reported.json["source"], reported.json["target"]
    [snapshot] = find_snapshots(reported.migration.settings.backups)
    assert source["path"] == str(reported.migration.settings.source_db)
    assert source["snapshot_id"] == snapshot.snapshot_id == reported.folder.name
    assert source["sha256"] == hashlib.sha256(snapshot.path.read_bytes()).hexdigest()
    assert (source["bytes"], source["integrity_check"]) == (snapshot.path.stat().st_size, "ok")
    assert source["rows"] == {table: laws(reported, entity)[0] for entity, table in LEGACY.items()}
    assert target["name"] == target_location(reported.url)
    query = "SHOW server_version" if target["engine"] == "PostgreSQL" else None
    assert query is None or target["version"] == in_target(reported, query)[0][0]
    assert list(reported.json["software"]) == ["accounts_migration", "Python", "Dagster"]
    assert reported.json["policies"]["max_reject_rate"] == 0.25
    assert reported.json["batches_under_other_policies"] == 0


def test_it_concludes_that_everything_is_accounted_for(reported: Reported) -> None:
    conclusion = reported.json["conclusion"]
    assert (conclusion["accounted_for"], conclusion["problems"]) == (True, [])
    assert (conclusion["unexplained_rows"], conclusion["unexplained_cents"]) == (0, 0)
    assert conclusion["warnings"] == [f"validation/plausibility {one['kind']}" for one in reported.json["plausibility"]]
    assert conclusion["not_run"] == [f"validation/content {entity}" for entity in LEGACY]
    assert "EVERYTHING IS ACCOUNTED FOR" in reported.html


def test_the_same_target_gives_the_same_bytes(reported: Reported) -> None:
    assert set(reported.first) == {"report.html", "report.json", "report.sha256"}
    assert reported.files() == reported.first


def test_the_sums_name_both_files_and_stand_in_the_metadata(reported: Reported) -> None:
    sums = {name: hashlib.sha256(reported.first[name]).hexdigest() for name in ("report.html", "report.json")}
    lines = reported.first["report.sha256"].decode().splitlines()
    assert lines == [f"{sums['report.html']}  report.html", f"{sums['report.json']}  report.json"]
    metadata = reported.migration.metadata("validation/report")
    assert [metadata[f"sha256 of the {name}"] for name in ("page", "twin")] == list(sums.values())
    assert sums["report.json"] in reported.html


def test_files_are_readable_by_their_owner_alone(reported: Reported) -> None:
    assert {oct(path.stat().st_mode & 0o077) for path in (reported.folder, *reported.folder.iterdir())} == {"0o0"}


def test_nobody_is_named_and_no_password_told(reported: Reported) -> None:
    told = (reported.html + json.dumps(reported.json) + str(reported.migration.metadata("validation/report"))).lower()
    told = re.sub(r"base64,[a-z0-9+/=]*", "", told)
    assert [word for word in ("zq", PASSWORD) if word in told] == []
    assert "xx.xxxx@@xxxxxxx.xxx" in told


Changed = Callable[..., Report]


@pytest.fixture
def changed(reported: Reported, tmp_path: Path, copy_postgres: Callable[[str], str], run_sql: Any) -> Changed:
    """Return a function that changes a copy of the target by SQL and returns the report on it."""
    [snapshot] = find_snapshots(reported.migration.settings.backups)

    def change(*statements: str) -> Report:
        url = str(tmp_path / "copy.db")
        if reported.url.startswith("postgresql"):
            url = copy_postgres(reported.url)
        else:
            shutil.copy(reported.url, url)
        run_sql(url, *statements)
        with open_target(url) as target:
            return gather(target, url, snapshot, [])

    return change


def test_a_row_that_is_gone_from_the_target_is_unexplained(changed: Changed) -> None:
    report = changed("""DELETE FROM "transaction" WHERE transaction_id = 'TXN-7'""")
    assert report.conclusion.problems == [
        "1 rows are unexplained, in transaction 2024-03",
        "10.00 of control totals are unexplained",
    ]
    assert [(one.measure, one.unexplained) for one in report.overall] == [
        ("balance", 0),
        ("amount", 450),
        ("balance_after", -550),
    ]
    page = render(report, [], "")
    assert "NOT EVERYTHING IS ACCOUNTED FOR" in page
    assert '<td class="n bad">4.50</td>' in page


def test_a_cent_too_much_is_unexplained(changed: Changed) -> None:
    report = changed("UPDATE account SET balance = balance + 0.01 WHERE account_id = 'ACCT-00000001'")
    assert report.conclusion.problems == ["0.01 of control totals are unexplained"]
    assert [one.unexplained for one in report.totals if one.group == "PROD-001/ACTIVE"] == [-1]


def test_a_check_that_failed_is_a_problem(reported: Reported) -> None:
    [snapshot] = find_snapshots(reported.migration.settings.backups)
    checks = [
        Check("target/account", "content", "failed", 0, []),
        Check("target/transaction", "content", "failed", 2, ["2024-01"]),
        Check("target/product", "content", "passed", 0, []),
    ]
    with open_target(reported.url) as target:
        report = gather(target, "here", snapshot, checks)
    assert report.conclusion.problems == ["checks failed: target/account content, target/transaction content"]
    assert not report.conclusion.accounted_for


def test_a_batch_that_is_not_loaded_is_a_problem(changed: Changed) -> None:
    report = changed(
        "DELETE FROM migration_batch WHERE batch = '2100-12'",
        "DELETE FROM migration_defect WHERE batch = '2100-12'",
        """DELETE FROM "transaction" WHERE transaction_date > '2100-01-01'""",
    )
    assert report.conclusion.problems == ["1 batches are not loaded: transaction 2100-12"]
    assert report.not_loaded == ["transaction 2100-12"]


def test_batches_under_other_policies_are_counted(changed: Changed) -> None:
    report = changed("UPDATE migration_batch SET policies_digest = 'other' WHERE batch = '2024-01'")
    assert report.batches_under_other_policies == 1
    assert "1 batches were loaded under other policies" in render(report, [], "")


def test_a_path_that_looks_like_markup_is_shown_as_it_is(changed: Changed) -> None:
    report = changed("SELECT 1")
    report = replace(report, source=replace(report.source, path="/<script>alert(1)</script>"))
    assert "/&lt;script&gt;alert(1)&lt;/script&gt;" in render(report, [], "")
