"""Products: every accepted and every broken form of each column, and what is recorded (contract section 5, product)."""

import math
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.entities.policies import Policies
from accounts_migration.legacy_values import LegacyValue, UndecodableText
from accounts_migration_tests.entities.judging import (
    SOUND,
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

BROKEN = UndecodableText(b"1\xff")
BLANKS: list[LegacyValue] = [None, "", " \t\u200b\ufeff\u00a0"]
NO_NUMBERS: list[LegacyValue] = [
    "abc", "1,5", ".5", "5.", "0x1", "1_0", "1 0", "nan", "inf", "--1", "1e", "\u0661", "\0", "1\0", b"1", b"", BROKEN,
    math.inf, -math.inf,
]  # fmt: skip

ACCEPTED: dict[str, tuple[str, list[tuple[LegacyValue, Any]]]] = {
    "product_code": (
        "product_id",
        [
            (0, "PROD-000"),
            (1, "PROD-001"),
            (2.0, "PROD-002"),
            ("3", "PROD-003"),
            ("0004", "PROD-004"),
            ("\u200b 5\ufeff\u00a0", "PROD-005"),
            ("0" * 70 + "6", "PROD-006"),
            (999, "PROD-999"),
            (1000, "PROD-1000"),
            (2.0**53, "PROD-9007199254740992"),
            (2**63 - 1, "PROD-9223372036854775807"),
            ("9223372036854775806", "PROD-9223372036854775806"),
        ],
    ),
    "product_description": (
        "product_name",
        [
            ("CURRENT PLUS", "Current Plus"),
            ("basic", "Basic"),
            ("WOMEN'S ACCOUNT", "Women's Account"),
            ("O\u2019NEIL SAVER", "O\u2019Neil Saver"),
            ("CO-OP J.P. SAVER", "Co-Op J.P. Saver"),
            ("ÉPARGNE", "Épargne"),
            ("USA Saver", "USA Saver"),
            ("\ufeff Basic\u200b", "Basic"),
            (5, "5"),
            (5.0, "5.0"),
            (5.25, "5.25"),
            (1e20, "1.0e+20"),
        ],
    ),
    "account_type": (
        "product_type",
        [("CHK", "CHECKING"), ("CUR", "CURRENT"), ("chk", "CHECKING"), (" Cur\u200b", "CURRENT")],
    ),
    "int_rate": (
        "interest_rate",
        [
            (0, 0),
            (1.5, 1_500_000),
            ("2.25", 2_250_000),
            (100, 100_000_000),
            (" 100.0 ", 100_000_000),
            ("0.000001", 1),
            ("1.50000000", 1_500_000),
            ("25E-1", 2_500_000),
            ("+1", 1_000_000),
            ("-0", 0),
            (0.1 + 0.2, 300_000),
        ],
    ),
    "debit_fee": ("transaction_fee", [(0, 0), (0.1 + 0.2, 30), ("1.500", 150), (9_999_999_999_999, 10**15 - 100)]),
    "maint_fee": ("monthly_fee", [("0", 0), (" 12.34\u200b", 1234), ("1e2", 10_000), ("9999999999999.99", 10**15 - 1)]),
    "min_bal_int": (
        "min_balance_for_interest",
        [(-1, -100), ("-0.01", -1), (-12.34, -1234), (9999999999999.99, 10**15 - 1), ("-9999999999999.99", 1 - 10**15)],
    ),
}

MONEY: dict[str, list[LegacyValue]] = {
    "MISSING_VALUE": BLANKS,
    "INVALID_NUMBER": NO_NUMBERS,
    "SUB_CENT": ["0.001", 0.005, "1e-3", "-1.005", "10000000000000.001"],
    "OUT_OF_RANGE": [10**13, 1e13, "1e13", "-10000000000000", 2**63 - 1, -(2**63), 1e300, "1e999999999999"],
}
FEE = MONEY | {"OUT_OF_RANGE": [-1, -0.01, "-0.01", *MONEY["OUT_OF_RANGE"]]}

REJECTED: dict[str, dict[str, list[LegacyValue]]] = {
    "product_code": {
        "MISSING_KEY": BLANKS,
        "INVALID_KEY": [
            -1, 1.5, -2.0, 2.0**54, math.inf, "-7", "+7", "7.0", "1e2", "7a", "1 2", "\u0667", "9223372036854775808",
            "9" * 5000, b"7", b"", BROKEN, "7\0", "\0",
        ],
    },
    "product_description": {
        "MISSING_VALUE": BLANKS,
        "INVALID_TEXT": [b"Basic", b""],
        "INVALID_ENCODING": [UndecodableText(b"\xc9pargne"), BROKEN],
        "NUL_CHARACTER": ["Ba\0sic", "\0", " \0 "],
    },
    "account_type": {
        "MISSING_VALUE": BLANKS,
        "UNKNOWN_CODE": ["SAV", "CHKX", "CHECKING", "C HK", "CHK\0", 1, 1.0, 1.5, b"CHK", UndecodableText(b"CHK\xff")],
    },
    "int_rate": {
        "MISSING_VALUE": BLANKS,
        "INVALID_NUMBER": NO_NUMBERS,
        "SUB_CENT": ["0.0000001", 1e-7, "-1.0000001"],
        "OUT_OF_RANGE": [-1, "-0.1", -0.000001, 101, "100.000001", "1e5", 1e300, 2**63 - 1],
    },
    "debit_fee": FEE,
    "maint_fee": FEE,
    "min_bal_int": MONEY,
}  # fmt: skip

CASES = [(column, reason) for column, reasons in REJECTED.items() for reason in reasons]


def test_a_sound_product_is_loaded_with_every_column(tmp_path: Path) -> None:
    verdict = judged(tmp_path, product=[{}])["product"]
    assert verdict.rows.to_pylist() == [
        {
            "batch": "all",
            "product_id": "PROD-001",
            "product_name": "Basic Checking",
            "product_type": "CHECKING",
            "interest_rate": 1_500_000,
            "transaction_fee": 50,
            "monthly_fee": 300,
            "min_balance_for_interest": 10_000,
            "created_at": TAKEN,
        }
    ]
    assert verdict.defects.num_rows == 0


@pytest.mark.parametrize("column", ACCEPTED)
def test_accepted_forms(tmp_path: Path, column: str) -> None:
    target, cases = ACCEPTED[column]
    assert_accepted(tmp_path, "product", column, target, cases)


@pytest.mark.parametrize(("column", "reason"), CASES)
def test_broken_forms(tmp_path: Path, column: str, reason: str) -> None:
    assert_rejected(tmp_path, "product", column, reason, REJECTED[column][reason])


def test_every_reason_of_every_column_is_among_the_broken_forms() -> None:
    targets = {legacy: target for legacy, (target, _) in ACCEPTED.items()}
    assert reasons_of("product") == {(targets[column], reason) for column, reason in CASES} | {
        ("duplicate", "DUPLICATE_KEY")
    }


def test_all_broken_rules_stand_in_one_record_in_the_order_of_the_columns(tmp_path: Path) -> None:
    broken: list[tuple[str, LegacyValue, str]] = [
        ("product_code", "x", "INVALID_KEY"),
        ("product_description", b"\0", "INVALID_TEXT"),
        ("account_type", "SAV", "UNKNOWN_CODE"),
        ("int_rate", "abc", "INVALID_NUMBER"),
        ("debit_fee", -1, "OUT_OF_RANGE"),
        ("maint_fee", None, "MISSING_VALUE"),
        ("min_bal_int", "0.001", "SUB_CENT"),
    ]
    assert_told_together(tmp_path, "product", broken)


def test_a_reason_that_two_columns_give_is_named_once(tmp_path: Path) -> None:
    verdict = judged(tmp_path, product=[{"debit_fee": None, "maint_fee": "", "min_bal_int": "x"}])["product"]
    assert records(verdict, "reasons", "column") == [("MISSING_VALUE,INVALID_NUMBER", "debit_fee")]


def test_a_defect_keeps_the_whole_source_row(tmp_path: Path) -> None:
    row: Row = {"product_code": b"\x00\xff", "product_description": UndecodableText(b"\xe9"), "int_rate": 1e-7}
    verdict = judged(tmp_path, product=[SOUND["product"], row | {"active": "J\0"}], account=[])["product"]
    assert records(verdict, "source_row_id", "source_key", "source_row") == [
        (
            2,
            "00ff",
            '{"product_code": {"blob": "00ff"}, "product_description": {"text": "e9"}, "account_type": "CHK",'
            ' "int_rate": 1e-07, "debit_fee": 0.5, "maint_fee": 3, "min_bal_int": 100, "active": "J\\u0000"}',
        )
    ]


ACTIVE: list[LegacyValue] = [1, 1.0, "1", "y", "Y", "t", "T", "true", "TRUE", " 1 ", "\u200bTrue\ufeff"]
INACTIVE: list[LegacyValue] = [
    0, 0.0, 2, -1, 1.5, None, "", " ", "0", "01", "1.0", "N", "F", "FALSE", "YES", "ACTIVE", "1\0", b"1", b"",
    UndecodableText(b"1\xff"), math.inf,
]  # fmt: skip


def test_active_codes(tmp_path: Path) -> None:
    rows = numbered("product", "active", ACTIVE)
    verdict = judged(tmp_path, product=rows)["product"]
    assert (verdict.rows.num_rows, verdict.defects.num_rows) == (len(ACTIVE), 0)


def test_anything_else_is_inactive_and_excluded(tmp_path: Path) -> None:
    rows = [row | {"product_code": n} for n, row in enumerate(numbered("product", "active", INACTIVE), 2)]
    verdict = judged(tmp_path, product=rows)["product"]
    assert verdict.rows.num_rows == 0
    assert records(verdict, "action", "reason", "reasons", "column", "old_value", "new_value") == [
        ("excluded", "INACTIVE", "INACTIVE", "active", as_told(value), None) for value in INACTIVE
    ]


def test_an_inactive_product_of_an_account_is_kept_and_recorded(tmp_path: Path) -> None:
    accounts: list[Row] = [{"account_number": n, "product_code": f" 0{n}"} for n in range(1, len(INACTIVE) + 1)]
    rows = numbered("product", "active", INACTIVE)
    verdict = judged(tmp_path, product=rows, account=accounts)["product"]
    assert verdict.rows["product_id"].to_pylist() == [f"PROD-{n:03d}" for n in range(1, len(INACTIVE) + 1)]
    assert records(verdict, "action", "reason", "column", "old_value", "new_value") == [
        ("repaired", "KEPT_INACTIVE", "active", as_told(value), None) for value in INACTIVE
    ]


def test_an_inactive_product_that_breaks_rules_is_excluded_unless_an_account_refers_to_it(tmp_path: Path) -> None:
    broken: Row = {"active": 0, "product_description": None, "int_rate": "x"}
    rows = [broken | {"product_code": code} for code in (1, 2, "x")]
    verdict = judged(tmp_path, product=rows, account=[{"account_number": "broken, but it refers"}])["product"]
    assert records(verdict, "action", "reasons") == [
        ("rejected", "MISSING_VALUE,INVALID_NUMBER"),
        ("excluded", "INACTIVE"),
        ("excluded", "INACTIVE"),
    ]


def test_letter_case_keep(tmp_path: Path) -> None:
    verdict = judged(tmp_path, policies=Policies(letter_case="keep"), product=[{"product_description": " BASIC acct "}])
    assert verdict["product"].rows["product_name"].to_pylist() == ["BASIC acct"]


def test_an_additional_product_type(tmp_path: Path) -> None:
    policies = Policies(product_type={"sav": "CHECKING", "7": "CURRENT"})
    rows = numbered("product", "account_type", ["SAV", " sav ", 7, 7.0, "CUR"])
    verdict = judged(tmp_path, policies=policies, product=rows)["product"]
    assert verdict.rows["product_type"].to_pylist() == ["CHECKING", "CHECKING", "CURRENT", "CURRENT", "CURRENT"]
