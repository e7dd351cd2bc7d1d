"""Accounts: every accepted and every broken form of each column, and what is recorded (contract section 5, account)."""

import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.entities.policies import Policies
from accounts_migration.legacy_values import LegacyValue, UndecodableText
from accounts_migration_tests.entities.judging import (
    TAKEN,
    Row,
    as_told,
    assert_accepted,
    assert_rejected,
    judged,
    numbered,
    reasons_of,
    records,
)

BROKEN = UndecodableText(b"1\xff")
BLANKS: list[LegacyValue] = [None, "", " \t\u200b\ufeff\u00a0"]
NO_KEYS: list[LegacyValue] = [
    -1, 0.5, -1.0, 2.0**54, math.inf, "x", "1.0", "-1", "+1", "1 0", "\u0661", "9223372036854775808", "\0", "1\0", b"1",
    b"", BROKEN,
]  # fmt: skip
DATES: list[tuple[LegacyValue, Any]] = [
    (None, None),
    ("", None),
    (" \u200b\ufeff", None),
    ("2020-01-02", date(2020, 1, 2)),
    (" 2020-02-29\u00a0", date(2020, 2, 29)),
    ("2020-01-02T00:00", date(2020, 1, 2)),
    ("2020-01-02 00:00:00", date(2020, 1, 2)),
    ("2020-01-02 00:00:00.000000", date(2020, 1, 2)),
    ("1900-01-01", date(1900, 1, 1)),
    ("2100-12-31", date(2100, 12, 31)),
]
NO_DATES: list[LegacyValue] = [
    "2020-02-30", "1899-12-31", "2101-01-01", "2020-1-2", "02/01/2020", "2020-01-02 24:00", "2020-01-02Z", "x", "\0",
    "2020-01-02\0", 20200102, 1.5, 0, math.inf, b"2020-01-02", b"", UndecodableText(b"2020-01-02\xff"),
]  # fmt: skip
SENTINELS = [
    "9999-12-31", "0001-01-01", "0000-00-00", " 9999-12-31\u200b", "9999-12-31 23:59:59", "0001-01-01T00:00:00.000",
    "0000-00-00 00:00:00",
]  # fmt: skip

ACCEPTED: dict[str, tuple[str, list[tuple[LegacyValue, Any]]]] = {
    "account_number": (
        "account_id",
        [
            (0, "ACCT-00000000"),
            (1, "ACCT-00000001"),
            (2.0, "ACCT-00000002"),
            (" 003\ufeff", "ACCT-00000003"),
            (99_999_999, "ACCT-99999999"),
            ("100000000", "ACCT-100000000"),
            (2**63 - 1, "ACCT-9223372036854775807"),
        ],
    ),
    "customer_number": (
        "customer_id",
        [(1, "CUST-0001"), (1.0, "CUST-0001"), ("1", "CUST-0001"), ("\u200b0001 ", "CUST-0001")],
    ),
    "product_code": (
        "product_id",
        [(1, "PROD-001"), (1.0, "PROD-001"), ("1", "PROD-001"), ("\u200b0001 ", "PROD-001")],
    ),
    "account_status": ("status", [("A", "ACTIVE"), ("c", "CLOSED"), (" C\u200b", "CLOSED")]),
    "current_balance": (
        "balance",
        [
            (0, 0),
            (0.0, 0),
            (-12.5, -1250),
            (0.1 + 0.2, 30),
            ("-1234567890123.45", -123_456_789_012_345),
            ("+1.500", 150),
            (" 1.5E+3 ", 150_000),
            ("9999999999999.99", 10**15 - 1),
            (-9_999_999_999_999, 100 - 10**15),
        ],
    ),
    "open_date": ("opening_date", DATES),
    "close_date": ("closing_date", DATES),
}

REJECTED: dict[str, dict[str, list[LegacyValue]]] = {
    "account_number": {"MISSING_KEY": BLANKS, "INVALID_KEY": NO_KEYS},
    "customer_number": {"MISSING_KEY": BLANKS, "INVALID_KEY": NO_KEYS},
    "product_code": {"MISSING_KEY": BLANKS, "INVALID_KEY": NO_KEYS},
    "account_status": {
        "MISSING_VALUE": BLANKS,
        "UNKNOWN_CODE": ["X", "ACTIVE", "A\0", "\0", 1, 1.0, 0.5, b"A", UndecodableText(b"A\xff")],
    },
    "current_balance": {
        "MISSING_VALUE": BLANKS,
        "INVALID_NUMBER": ["x", "1,5", "1.", ".5", "nan", "1_0", "0x10", "1\0", b"1", b"", BROKEN, math.inf, -math.inf],
        "SUB_CENT": ["0.001", 0.005, 1e-300, "-1.2345", "1e-9999"],
        "OUT_OF_RANGE": [10**13, -(10**13), 1e13, "10000000000000.00", "-1e13", 1e300, -(2**63)],
    },
    "open_date": {"INVALID_DATE": [*NO_DATES, *SENTINELS]},
    "close_date": {"INVALID_DATE": [*NO_DATES, "9999-12-30", "0000-00-00 24:00", "9999-12-31Z", "0000-00-01"]},
}

CASES = [(column, reason) for column, reasons in REJECTED.items() for reason in reasons]


def test_a_sound_account_is_loaded_with_every_column(tmp_path: Path) -> None:
    verdict = judged(tmp_path, account=[{"close_date": "2021-02-03"}])["account"]
    assert verdict.rows.to_pylist() == [
        {
            "batch": "all",
            "account_id": "ACCT-00000001",
            "customer_id": "CUST-0001",
            "product_id": "PROD-001",
            "status": "ACTIVE",
            "balance": -1250,
            "opening_date": date(2020, 1, 2),
            "closing_date": date(2021, 2, 3),
            "created_at": TAKEN,
            "updated_at": TAKEN,
        }
    ]
    assert verdict.defects.num_rows == 0


@pytest.mark.parametrize("column", ACCEPTED)
def test_accepted_forms(tmp_path: Path, column: str) -> None:
    target, cases = ACCEPTED[column]
    assert_accepted(tmp_path, "account", column, target, cases)


@pytest.mark.parametrize(("column", "reason"), CASES)
def test_broken_forms(tmp_path: Path, column: str, reason: str) -> None:
    assert_rejected(tmp_path, "account", column, reason, REJECTED[column][reason])


def test_every_reason_of_every_column_is_among_the_broken_forms() -> None:
    targets = {legacy: target for legacy, (target, _) in ACCEPTED.items()}
    assert reasons_of("account") == {(targets[column], reason) for column, reason in CASES} | {
        ("duplicate", "DUPLICATE_KEY"),
        ("customer", "ORPHAN"),
        ("customer", "PARENT_REJECTED"),
        ("product", "ORPHAN"),
        ("product", "PARENT_REJECTED"),
    }


def test_all_broken_rules_stand_in_one_record_in_the_order_of_the_columns(tmp_path: Path) -> None:
    """Duplicates come first, parents last: the two readable references of the last rows are orphans."""
    broken: list[tuple[str, LegacyValue, str]] = [
        ("account_number", "x", "INVALID_KEY"),
        ("customer_number", None, "MISSING_KEY"),
        ("product_code", "y", "INVALID_KEY"),
        ("account_status", None, "MISSING_VALUE"),
        ("current_balance", "0.001", "SUB_CENT"),
        ("open_date", 5, "INVALID_DATE"),
    ]
    orphans: Row = {"customer_number": 8, "product_code": 9}
    rows: list[Row] = [
        {"account_number": 100 + first} | orphans | {column: value for column, value, _ in broken[first:]}
        for first in range(len(broken))
    ]
    verdict = judged(tmp_path, account=rows)["account"]
    assert verdict.rows.num_rows == 0
    assert records(verdict, "reason", "reasons", "column", "old_value") == [
        ("INVALID_KEY", "INVALID_KEY,MISSING_KEY,MISSING_VALUE,SUB_CENT,INVALID_DATE", "account_number", "x"),
        ("MISSING_KEY", "MISSING_KEY,INVALID_KEY,MISSING_VALUE,SUB_CENT,INVALID_DATE", "customer_number", None),
        ("INVALID_KEY", "INVALID_KEY,MISSING_VALUE,SUB_CENT,INVALID_DATE,ORPHAN", "product_code", "y"),
        ("MISSING_VALUE", "MISSING_VALUE,SUB_CENT,INVALID_DATE,ORPHAN", "account_status", None),
        ("SUB_CENT", "SUB_CENT,INVALID_DATE,ORPHAN", "current_balance", "0.001"),
        ("INVALID_DATE", "INVALID_DATE,ORPHAN", "open_date", "5"),
    ]


def test_a_duplicate_key_is_told_before_all_other_rules(tmp_path: Path) -> None:
    rows: list[Row] = [{"account_number": 7, "customer_number": 99, "current_balance": None}, {"account_number": "7"}]
    verdict = judged(tmp_path, account=rows)["account"]
    assert records(verdict, "reason", "reasons", "column", "old_value") == [
        ("DUPLICATE_KEY", "DUPLICATE_KEY,MISSING_VALUE,ORPHAN", "account_number", "7"),
        ("DUPLICATE_KEY", "DUPLICATE_KEY", "account_number", "7"),
    ]


@pytest.mark.parametrize("sentinel", SENTINELS)
def test_a_sentinel_closing_date_becomes_null_and_is_recorded(tmp_path: Path, sentinel: str) -> None:
    verdict = judged(tmp_path, account=[{"close_date": sentinel}])["account"]
    assert verdict.rows["closing_date"].to_pylist() == [None]
    assert records(verdict, "action", "reason", "reasons", "column", "old_value", "new_value") == [
        ("repaired", "SENTINEL_DATE", "SENTINEL_DATE", "close_date", sentinel, None)
    ]


@pytest.mark.parametrize(("column", "target"), [("open_date", "opening_date"), ("close_date", "closing_date")])
def test_a_time_of_day_is_dropped_and_recorded(tmp_path: Path, column: str, target: str) -> None:
    values: list[LegacyValue] = ["2020-01-02 00:00:00.000001", " 2020-01-02T23:59\u200b", "2020-01-02 10:11:12"]
    verdict = judged(tmp_path, account=numbered("account", column, values))["account"]
    assert verdict.rows[target].to_pylist() == [date(2020, 1, 2)] * 3
    assert records(verdict, "action", "reason", "reasons", "column", "old_value", "new_value") == [
        ("repaired", "TRUNCATED", "TRUNCATED", column, value, "2020-01-02") for value in values
    ]


def test_each_changed_value_of_a_row_has_its_own_record(tmp_path: Path) -> None:
    row: Row = {"open_date": "2020-01-02 03:04", "close_date": "9999-12-31"}
    verdict = judged(tmp_path, account=[row])["account"]
    assert records(verdict, "action", "reason", "column", "old_value", "new_value") == [
        ("repaired", "TRUNCATED", "open_date", "2020-01-02 03:04", "2020-01-02"),
        ("repaired", "SENTINEL_DATE", "close_date", "9999-12-31", None),
    ]


def test_further_date_formats_hold_for_both_dates(tmp_path: Path) -> None:
    row: Row = {"open_date": "02.01.2020", "close_date": "31.12.9999"}
    verdict = judged(tmp_path, policies=Policies(date_formats=("%d.%m.%Y",)), account=[row])["account"]
    assert verdict.rows.select(["opening_date", "closing_date"]).to_pylist() == [
        {"opening_date": date(2020, 1, 2), "closing_date": None}
    ]
    assert records(verdict, "reason", "column") == [("SENTINEL_DATE", "close_date")]


def test_an_additional_account_status(tmp_path: Path) -> None:
    rows = numbered("account", "account_status", ["dormant", "0", 0, 0.0, "A"])
    policies = Policies(account_status={"DORMANT": "CLOSED", "0": "CLOSED"})
    verdict = judged(tmp_path, policies=policies, account=rows)["account"]
    assert verdict.rows["status"].to_pylist() == ["CLOSED"] * 4 + ["ACTIVE"]


def test_a_legacy_code_page_reads_every_column(tmp_path: Path) -> None:
    def cp1252(text: str) -> UndecodableText:
        return UndecodableText(f"\u00a0{text}".encode("cp1252"))

    row: Row = {
        "account_number": cp1252("1"),
        "customer_number": cp1252("1"),
        "product_code": cp1252("1"),
        "account_status": cp1252("c"),
        "current_balance": cp1252("1.25"),
        "open_date": cp1252("2020-01-02"),
        "close_date": cp1252("9999-12-31"),
    }
    verdict = judged(tmp_path, policies=Policies(legacy_encoding="cp1252"), account=[row])["account"]
    assert list(verdict.rows.to_pylist()[0].values()) == [
        "all", "ACCT-00000001", "CUST-0001", "PROD-001", "CLOSED", 125, date(2020, 1, 2), None, TAKEN, TAKEN,
    ]  # fmt: skip
    found = records(verdict, "reason", "old_value")
    assert found == [("SENTINEL_DATE", as_told(row["close_date"]))]
