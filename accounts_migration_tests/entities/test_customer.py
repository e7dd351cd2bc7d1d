"""Customers: every accepted and every broken form of each column, and what is recorded (contract section 5)."""

import math
from datetime import datetime
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
    assert_told_together,
    judged,
    numbered,
    reasons_of,
    records,
)

LATIN_1 = UndecodableText("Zoë".encode("latin-1"))
BLANKS: list[LegacyValue] = [None, "", " \t\u200b\ufeff\u00a0"]
NAMES: list[tuple[LegacyValue, Any]] = [
    ("ADA", "Ada"),
    ("ada", "Ada"),
    ("  ADA\u200b", "Ada"),
    ("O'NEIL", "O'Neil"),
    ("d\u2019arcy", "D\u2019Arcy"),
    ("JEAN-LUC", "Jean-Luc"),
    ("j.r.r. tolkien", "J.R.R. Tolkien"),
    ("MARY ANN", "Mary Ann"),
    ("ZOË", "Zoë"),
    ("McDonald", "McDonald"),
    ("de la Cruz", "de la Cruz"),
    ("李", "李"),
    (7, "7"),
    (7.0, "7.0"),
    (-0.5, "-0.5"),
    (2**63 - 1, "9223372036854775807"),
    (math.inf, "Inf"),
]

ACCEPTED: dict[str, tuple[str, list[tuple[LegacyValue, Any]]]] = {
    "customer_number": (
        "customer_id",
        [
            (0, "CUST-0000"),
            (1, "CUST-0001"),
            (2.0, "CUST-0002"),
            (" 0003\ufeff", "CUST-0003"),
            (9999, "CUST-9999"),
            ("10000", "CUST-10000"),
            (2**63 - 1, "CUST-9223372036854775807"),
        ],
    ),
    "first_name": ("first_name", NAMES),
    "last_name": ("last_name", NAMES),
    "email_address": (
        "email",
        [
            (None, None),
            ("", None),
            (" \u200b\u00a0", None),
            ("ada@example.org", "ada@example.org"),
            (" Ada@EXAMPLE.Org\ufeff", "ada@example.org"),
            ("a@b", "a@b"),
            ("ÄDA+x@exämple.org", "äda+x@exämple.org"),
        ],
    ),
    "phone_number": (
        "phone",
        [
            (None, None),
            ("", None),
            ("\u200b \u3000", None),
            (" +44 (0)20 7946-0018 ", "+44 (0)20 7946-0018"),
            ("Ask For Ada", "Ask For Ada"),
            (5550100, "5550100"),
            (5550100.0, "5550100.0"),
            (442079460018, "442079460018"),
        ],
    ),
    "created_date": (
        "created_at",
        [
            ("2020-01-02", datetime(2020, 1, 2)),
            ("2020-01-02T03:04", datetime(2020, 1, 2, 3, 4)),
            (" 2020-02-29 03:04:05\u200b", datetime(2020, 2, 29, 3, 4, 5)),
            ("2020-01-02 23:59:59.5", datetime(2020, 1, 2, 23, 59, 59, 500_000)),
            ("2020-01-02T03:04:05.123456", datetime(2020, 1, 2, 3, 4, 5, 123_456)),
            ("1900-01-01", datetime(1900, 1, 1)),
            ("2100-12-31 23:59:59.999999", datetime(2100, 12, 31, 23, 59, 59, 999_999)),
        ],
    ),
}

TEXT: dict[str, list[LegacyValue]] = {
    "INVALID_TEXT": [b"Ada", b"", b"\xff"],
    "INVALID_ENCODING": [LATIN_1, UndecodableText(b"\xff"), UndecodableText(b"a\0\xff")],
    "NUL_CHARACTER": ["A\0da", "\0", "Ada\0", "ada@example.org\0"],
}

NO_ADDRESSES: list[LegacyValue] = [
    "ada", "@example.org", "ada@", "@", "a@b@c", "a b@c", "ada@\u00a0example.org", "ada@exa\u200bmple.org",
    "a\u00ad@b", "a@b\x07", "a\n@b", 5, 5.5,
]  # fmt: skip

REJECTED: dict[str, dict[str, list[LegacyValue]]] = {
    "customer_number": {
        "MISSING_KEY": BLANKS,
        "INVALID_KEY": [-1, 0.5, math.inf, "C1", "1.0", "-1", "1\0", b"1", LATIN_1, "\u0661", "9223372036854775808"],
    },
    "first_name": {"MISSING_VALUE": BLANKS} | TEXT,
    "last_name": {"MISSING_VALUE": BLANKS} | TEXT,
    "email_address": {"INVALID_EMAIL": NO_ADDRESSES} | TEXT,
    "phone_number": TEXT,
    "created_date": {
        "INVALID_DATE": [
            "2020-02-30", "2019-02-29", "1899-12-31", "2101-01-01", "9999-12-31", "0000-00-00", "2020-1-2",
            "02/01/2020", "20200102", "2020-01-02Z", "2020-01-02T03:04:05+00:00", "2020-01-02  03:04",
            "2020-01-02t03:04",
            "2020-01-02 24:00", "2020-01-02 03:60", "2020-01-02 03:04:60", "2020-01-02 03:04:05.1234567",
            "2020-01-02 03", "\u0662020-01-02", "2020-01-02\0", "\0", 20200102, 2020.0, 0, b"2020-01-02", LATIN_1,
        ],
    },
}  # fmt: skip

CASES = [(column, reason) for column, reasons in REJECTED.items() for reason in reasons]


def test_a_sound_customer_is_loaded_with_every_column(tmp_path: Path) -> None:
    verdict = judged(tmp_path, customer=[{}])["customer"]
    assert verdict.rows.to_pylist() == [
        {
            "batch": "all",
            "customer_id": "CUST-0001",
            "first_name": "Ada",
            "last_name": "O'Neil",
            "email": "ada@example.org",
            "phone": "555-0100",
            "created_at": datetime(2020, 1, 2, 3, 4, 5),
        }
    ]
    assert verdict.defects.num_rows == 0


@pytest.mark.parametrize("column", ACCEPTED)
def test_accepted_forms(tmp_path: Path, column: str) -> None:
    target, cases = ACCEPTED[column]
    assert_accepted(tmp_path, "customer", column, target, cases)


@pytest.mark.parametrize(("column", "reason"), CASES)
def test_broken_forms(tmp_path: Path, column: str, reason: str) -> None:
    assert_rejected(tmp_path, "customer", column, reason, REJECTED[column][reason])


def test_every_reason_of_every_column_is_among_the_broken_forms() -> None:
    targets = {legacy: target for legacy, (target, _) in ACCEPTED.items()}
    assert reasons_of("customer") == {(targets[column], reason) for column, reason in CASES} | {
        ("duplicate", "DUPLICATE_KEY")
    }


def test_all_broken_rules_stand_in_one_record_in_the_order_of_the_columns(tmp_path: Path) -> None:
    broken: list[tuple[str, LegacyValue, str]] = [
        ("customer_number", None, "MISSING_KEY"),
        ("first_name", " ", "MISSING_VALUE"),
        ("last_name", b"O'Neil", "INVALID_TEXT"),
        ("email_address", "ada", "INVALID_EMAIL"),
        ("phone_number", "\0", "NUL_CHARACTER"),
        ("created_date", 5, "INVALID_DATE"),
    ]
    assert_told_together(tmp_path, "customer", broken)


def test_a_missing_date_becomes_the_snapshots_time_and_is_recorded(tmp_path: Path) -> None:
    verdict = judged(tmp_path, customer=numbered("customer", "created_date", BLANKS))["customer"]
    assert verdict.rows["created_at"].to_pylist() == [TAKEN] * len(BLANKS)
    assert records(verdict, "action", "reason", "reasons", "column", "old_value", "new_value") == [
        ("repaired", "DEFAULTED", "DEFAULTED", "created_date", blank, "2025-01-15 12:00:00") for blank in BLANKS
    ]


def test_an_invalid_email_is_null_and_recorded_under_its_policy(tmp_path: Path) -> None:
    values = NO_ADDRESSES
    rows = numbered("customer", "email_address", [*values, "A@b"])
    verdict = judged(tmp_path, policies=Policies(invalid_email="null"), customer=rows)["customer"]
    assert verdict.rows["email"].to_pylist() == [None] * len(values) + ["a@b"]
    assert records(verdict, "action", "reason", "reasons", "column", "old_value", "new_value") == [
        ("repaired", "INVALID_EMAIL", "INVALID_EMAIL", "email_address", as_told(value), None) for value in values
    ]


@pytest.mark.parametrize("reason", TEXT)
def test_no_policy_takes_an_address_that_is_no_text(tmp_path: Path, reason: str) -> None:
    rows = numbered("customer", "email_address", TEXT[reason])
    verdict = judged(tmp_path, policies=Policies(invalid_email="null"), customer=rows)["customer"]
    assert verdict.rows.num_rows == 0
    assert records(verdict, "action", "reasons") == [("rejected", reason)] * len(rows)


def test_each_changed_value_of_a_row_has_its_own_record(tmp_path: Path) -> None:
    row: Row = {"email_address": "Ada", "created_date": "", "status": "GONE"}
    verdict = judged(tmp_path, policies=Policies(invalid_email="null"), customer=[row], account=[{}])["customer"]
    assert verdict.rows.num_rows == 1
    assert sorted(records(verdict, "action", "reason", "column", "old_value", "new_value")) == [
        ("repaired", "DEFAULTED", "created_date", "", "2025-01-15 12:00:00"),
        ("repaired", "INVALID_EMAIL", "email_address", "Ada", None),
        ("repaired", "KEPT_INACTIVE", "status", "GONE", None),
    ]


def test_a_rejected_row_is_not_repaired_as_well(tmp_path: Path) -> None:
    row: Row = {"first_name": None, "email_address": "Ada", "created_date": None, "status": "GONE"}
    verdict = judged(tmp_path, policies=Policies(invalid_email="null"), customer=[row], account=[{}])["customer"]
    assert records(verdict, "action", "reasons") == [("rejected", "MISSING_VALUE")]


ACTIVE: list[LegacyValue] = ["ACTIVE", "active", " Active\u200b"]
INACTIVE: list[LegacyValue] = [
    None, "", " ", "A", "INACTIVE", "ACTIVE\0", "ACTIVE.", 1, 1.0, b"ACTIVE", b"", UndecodableText(b"ACTIVE\xff"),
]  # fmt: skip


def test_active_statuses(tmp_path: Path) -> None:
    verdict = judged(tmp_path, customer=numbered("customer", "status", ACTIVE))["customer"]
    assert (verdict.rows.num_rows, verdict.defects.num_rows) == (len(ACTIVE), 0)


def test_a_missing_or_odd_status_is_inactive_and_excluded(tmp_path: Path) -> None:
    rows = numbered("customer", "status", INACTIVE)
    verdict = judged(tmp_path, customer=rows, account=[])["customer"]
    assert verdict.rows.num_rows == 0
    assert records(verdict, "action", "reason", "reasons", "column", "old_value", "new_value") == [
        ("excluded", "INACTIVE", "INACTIVE", "status", as_told(value), None) for value in INACTIVE
    ]


def test_an_inactive_customer_of_an_account_is_kept_and_recorded(tmp_path: Path) -> None:
    accounts: list[Row] = [{"account_number": n, "customer_number": float(n)} for n in range(1, len(INACTIVE) + 1)]
    rows = numbered("customer", "status", INACTIVE)
    verdict = judged(tmp_path, customer=rows, account=accounts)["customer"]
    assert verdict.rows["customer_id"].to_pylist() == [f"CUST-{n:04d}" for n in range(1, len(INACTIVE) + 1)]
    assert records(verdict, "action", "reason", "column", "old_value", "new_value") == [
        ("repaired", "KEPT_INACTIVE", "status", as_told(value), None) for value in INACTIVE
    ]


def test_letter_case_keep(tmp_path: Path) -> None:
    names: Row = {"first_name": " ADA ", "last_name": "o'neil"}
    rows = judged(tmp_path, policies=Policies(letter_case="keep"), customer=[names])["customer"].rows
    assert (rows["first_name"].to_pylist(), rows["last_name"].to_pylist()) == (["ADA"], ["o'neil"])


def test_a_legacy_code_page_reads_every_column(tmp_path: Path) -> None:
    def cp1252(text: str) -> UndecodableText:
        return UndecodableText(text.encode("cp1252"))

    row: Row = {
        "customer_number": cp1252("\u00a07"),
        "first_name": cp1252("ZOË"),
        "last_name": cp1252("D\u2019ARCY"),
        "email_address": cp1252("zoë@example.org"),
        "phone_number": cp1252("\u00a0555"),
        "created_date": cp1252("2020-01-02\u00a0"),
        "status": cp1252("\u00a0active"),
    }
    verdict = judged(tmp_path, policies=Policies(legacy_encoding="cp1252"), customer=[row])["customer"]
    assert list(verdict.rows.to_pylist()[0].values()) == [
        "all", "CUST-0007", "Zoë", "D\u2019Arcy", "zoë@example.org", "555", datetime(2020, 1, 2),
    ]  # fmt: skip
    assert verdict.defects.num_rows == 0


def test_text_that_the_code_page_does_not_have_stays_invalid(tmp_path: Path) -> None:
    policies = Policies(legacy_encoding="cp1252")
    verdict = judged(tmp_path, policies=policies, customer=[{"first_name": UndecodableText(b"Ada\x81")}])["customer"]
    assert records(verdict, "reasons", "old_value") == [("INVALID_ENCODING", "41646181")]


def test_further_date_formats_are_tried_in_order_after_iso(tmp_path: Path) -> None:
    policies = Policies(date_formats=("%d/%m/%Y", "%m/%d/%Y", "%Y%m%d"))
    rows = numbered("customer", "created_date", ["2020-01-02", "03/04/2020", "12/31/2020", " 20200102 ", 20200102])
    verdict = judged(tmp_path, policies=policies, customer=rows)["customer"]
    assert verdict.rows["created_at"].to_pylist() == [
        datetime(2020, 1, 2),
        datetime(2020, 4, 3),
        datetime(2020, 12, 31),
        datetime(2020, 1, 2),
    ]
    assert records(verdict, "reasons", "old_value") == [("INVALID_DATE", "20200102")]
