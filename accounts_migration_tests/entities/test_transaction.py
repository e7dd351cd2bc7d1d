"""Transactions: every accepted and every broken form of each column (contract section 5, transaction)."""

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.entities.policies import Policies
from accounts_migration.legacy_values import LegacyValue, UndecodableText
from accounts_migration_tests.entities.judging import (
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
    "x", "1,5", "1.", ".5", "nan", "inf", "1_0", "0x10", "\0", "1\0", b"1", b"", BROKEN, math.inf, -math.inf,
]  # fmt: skip
TOO_LARGE: list[LegacyValue] = [10**13, -(10**13), 1e13, "10000000000000.00", "-1e13", 1e300, -(2**63), 2**63 - 1]

ACCEPTED: dict[str, tuple[str, list[tuple[LegacyValue, Any]]]] = {
    "trans_id": (
        "transaction_id",
        [
            (0, "TXN-0"),
            (1, "TXN-1"),
            (2.0, "TXN-2"),
            ("3", "TXN-3"),
            ("007", "TXN-7"),
            (" 8\ufeff", "TXN-8"),
            ("0" * 100 + "9", "TXN-9"),
            (2**63 - 1, "TXN-9223372036854775807"),
            (2.0**53, "TXN-9007199254740992"),
            ("A-17", "TXN-A-17"),
            ("a-17", "TXN-a-17"),
            (" x y\u200b", "TXN-x y"),
            ("-1", "TXN--1"),
            ("1.0", "TXN-1.0"),
            ("1e5", "TXN-1e5"),
            ("\u0661", "TXN-\u0661"),
            ("é" * 64, "TXN-" + "é" * 64),
            (" " + "x" * 64 + " ", "TXN-" + "x" * 64),
        ],
    ),
    "account_number": (
        "account_id",
        [(1, "ACCT-00000001"), (1.0, "ACCT-00000001"), ("1", "ACCT-00000001"), ("\u200b001 ", "ACCT-00000001")],
    ),
    "trans_type": (
        "transaction_type",
        [("DR", "DEBIT"), ("FE", "FEE"), ("dr", "DEBIT"), (" Fe\u200b", "FEE")],
    ),
    "trans_amount": (
        "amount",
        [
            (1, 100),
            (-1, 100),
            (-12.34, 1234),
            (0.1 + 0.2, 30),
            ("-0.01", 1),
            (" +1.50e1 ", 1500),
            ("9999999999999.99", 10**15 - 1),
            ("-9999999999999.99", 10**15 - 1),
        ],
    ),
    "balance_after": (
        "balance_after",
        [(0, 0), (-5, -500), (-0.1, -10), ("-9999999999999.99", 1 - 10**15), ("1e-2", 1), ("0e0", 0)],
    ),
    "description": (
        "reference",
        [
            (None, ""),
            ("", ""),
            (" \t Rent\u200b\n", " \t Rent\u200b\n"),
            ("RENT", "RENT"),
            ("x" * 200, "x" * 200),
            ("\U0001f600" * 200, "\U0001f600" * 200),
            (5, "5"),
            (5.0, "5.0"),
            (-1e-7, "-1.0e-07"),
            (math.inf, "Inf"),
        ],
    ),
    "trans_date": (
        "transaction_date",
        [
            ("2024-03-05", datetime(2024, 3, 5)),
            ("2024-03-05T10:11", datetime(2024, 3, 5, 10, 11)),
            (" 2024-03-05 10:11:12\u00a0", datetime(2024, 3, 5, 10, 11, 12)),
            ("2024-03-05 10:11:12.000001", datetime(2024, 3, 5, 10, 11, 12, 1)),
            ("1900-01-01", datetime(1900, 1, 1)),
            ("2100-12-31T23:59:59.9", datetime(2100, 12, 31, 23, 59, 59, 900_000)),
        ],
    ),
}

REJECTED: dict[str, dict[str, list[LegacyValue]]] = {
    "trans_id": {
        "MISSING_KEY": BLANKS,
        "INVALID_KEY": [
            -1, 0.5, 2.0**54, math.inf, "9223372036854775808", "x" * 65, "\0", "a\0b", b"1", b"", BROKEN,
        ],
    },
    "account_number": {
        "MISSING_KEY": BLANKS,
        "INVALID_KEY": [-1, 0.5, math.inf, "A-17", "-1", "1.0", "\u0661", "1\0", b"1", BROKEN, "9" * 30],
    },
    "trans_type": {
        "MISSING_VALUE": BLANKS,
        "UNKNOWN_CODE": ["XX", "DEBIT", "D R", "DR\0", 1, 1.0, 0.5, b"DR", UndecodableText(b"DR\xff")],
    },
    "trans_amount": {
        "MISSING_VALUE": BLANKS,
        "INVALID_NUMBER": NO_NUMBERS,
        "SUB_CENT": ["0.001", -0.005, 1e-300, "1.2345", "-1e-3"],
        "OUT_OF_RANGE": TOO_LARGE,
        "ZERO_AMOUNT": [0, 0.0, "0", "-0", "0.00", " 0e5 ", "0e-99"],
    },
    "balance_after": {
        "MISSING_VALUE": BLANKS,
        "INVALID_NUMBER": NO_NUMBERS,
        "SUB_CENT": ["0.001", 0.005, "-1.2345"],
        "OUT_OF_RANGE": TOO_LARGE,
    },
    "description": {
        "INVALID_TEXT": [b"Rent", b""],
        "INVALID_ENCODING": [UndecodableText(b"Z\xfcrich"), BROKEN],
        "NUL_CHARACTER": ["\0", "Rent\0", "x" * 300 + "\0"],
    },
    "trans_date": {
        "MISSING_VALUE": BLANKS,
        "INVALID_DATE": [
            "2024-02-30", "1899-12-31", "2101-01-01", "9999-12-31", "0000-00-00", "2024-3-5", "2024-03", "05/03/2024",
            "2024-03-05 24:00", "2024-03-05Z", "2024-03-05\0", 20240305, 2024.0, b"2024-03-05",
            UndecodableText(b"2024-03-05\xff"),
        ],
    },
}  # fmt: skip

CASES = [(column, reason) for column, reasons in REJECTED.items() for reason in reasons]


def test_a_sound_transaction_is_loaded_with_every_column(tmp_path: Path) -> None:
    verdict = judged(tmp_path, transaction=[{}])["transaction"]
    assert verdict.rows.to_pylist() == [
        {
            "batch": "2024-03",
            "transaction_id": "TXN-1",
            "account_id": "ACCT-00000001",
            "transaction_type": "DEBIT",
            "amount": 1234,
            "balance_after": 500,
            "reference": "Rent",
            "transaction_date": datetime(2024, 3, 5, 10, 11, 12),
        }
    ]
    assert verdict.defects.num_rows == 0


@pytest.mark.parametrize("column", ACCEPTED)
def test_accepted_forms(tmp_path: Path, column: str) -> None:
    target, cases = ACCEPTED[column]
    assert_accepted(tmp_path, "transaction", column, target, cases)


@pytest.mark.parametrize(("column", "reason"), CASES)
def test_broken_forms(tmp_path: Path, column: str, reason: str) -> None:
    assert_rejected(tmp_path, "transaction", column, reason, REJECTED[column][reason])


def test_every_reason_of_every_column_is_among_the_broken_forms() -> None:
    targets = {legacy: target for legacy, (target, _) in ACCEPTED.items()}
    assert reasons_of("transaction") == {(targets[column], reason) for column, reason in CASES} | {
        ("duplicate", "DUPLICATE_KEY"),
        ("signed_credit", "SIGN_CONFLICT"),
        ("account", "ORPHAN"),
        ("account", "PARENT_REJECTED"),
    }


@pytest.mark.parametrize(
    ("code", "kind"), [("CR", "CREDIT"), ("IN", "INTEREST"), ("cr", "CREDIT"), (" in ", "INTEREST")]
)
def test_a_credit_or_interest_is_positive(tmp_path: Path, code: str, kind: str) -> None:
    amounts: list[LegacyValue] = [12.34, "0.01", -12.34, "-0.01", -1]
    rows = [row | {"trans_type": code} for row in numbered("transaction", "trans_amount", amounts)]
    verdict = judged(tmp_path, transaction=rows)["transaction"]
    assert verdict.rows.select(["transaction_type", "amount"]).to_pylist() == [
        {"transaction_type": kind, "amount": 1234},
        {"transaction_type": kind, "amount": 1},
    ]
    assert records(verdict, "action", "reason", "reasons", "column", "old_value", "new_value") == [
        ("rejected", "SIGN_CONFLICT", "SIGN_CONFLICT", "trans_amount", as_told(amount), None) for amount in amounts[2:]
    ]


def test_a_sign_conflict_goes_by_the_target_type_of_an_additional_code(tmp_path: Path) -> None:
    policies = Policies(transaction_type={"XC": "CREDIT", "XD": "DEBIT"})
    rows: list[Row] = [
        {"trans_id": number, "trans_type": code, "trans_amount": -1} for number, code in enumerate(("xc", "xd"), 1)
    ]
    verdict = judged(tmp_path, policies=policies, transaction=rows)["transaction"]
    assert verdict.rows["transaction_type"].to_pylist() == ["DEBIT"]
    assert records(verdict, "source_key", "reasons") == [("1", "SIGN_CONFLICT")]


def test_a_zero_credit_is_a_zero_amount_alone(tmp_path: Path) -> None:
    verdict = judged(tmp_path, transaction=[{"trans_type": "CR", "trans_amount": "-0.00"}])["transaction"]
    assert records(verdict, "reasons", "column") == [("ZERO_AMOUNT", "trans_amount")]


def test_a_long_description_is_cut_at_200_code_points_and_recorded(tmp_path: Path) -> None:
    texts = [" " + "x" * 200, "\U0001f600" * 201, "é" * 5000]
    verdict = judged(tmp_path, transaction=numbered("transaction", "description", [*texts]))["transaction"]
    assert verdict.rows["reference"].to_pylist() == [text[:200] for text in texts]
    assert records(verdict, "action", "reason", "reasons", "column", "old_value", "new_value") == [
        ("repaired", "TRUNCATED", "TRUNCATED", "description", text, text[:200]) for text in texts
    ]


def test_all_broken_rules_stand_in_one_record_in_the_order_of_the_columns(tmp_path: Path) -> None:
    broken: list[tuple[str, LegacyValue, str]] = [
        ("trans_id", b"1", "INVALID_KEY"),
        ("account_number", None, "MISSING_KEY"),
        ("trans_type", "XX", "UNKNOWN_CODE"),
        ("trans_amount", 0, "ZERO_AMOUNT"),
        ("balance_after", "0.001", "SUB_CENT"),
        ("description", "\0", "NUL_CHARACTER"),
        ("trans_date", "", "MISSING_VALUE"),
    ]
    assert_told_together(tmp_path, "transaction", broken)


def test_duplicates_come_first_and_parents_last(tmp_path: Path) -> None:
    broken: Row = {"account_number": 99, "trans_type": "CR", "trans_amount": -1, "trans_date": None}
    verdict = judged(tmp_path, transaction=[broken, {}])["transaction"]
    assert records(verdict, "reasons", "column") == [
        ("DUPLICATE_KEY,SIGN_CONFLICT,MISSING_VALUE,ORPHAN", "trans_id"),
        ("DUPLICATE_KEY", "trans_id"),
    ]


def test_keys_of_letters_differ_by_case_and_numbers_do_not_by_zeros(tmp_path: Path) -> None:
    rows: list[Row] = [{"trans_id": key} for key in ("a", "A", "7", "007", 7, "7.0")]
    verdict = judged(tmp_path, transaction=rows)["transaction"]
    assert verdict.rows["transaction_id"].to_pylist() == ["TXN-a", "TXN-A", "TXN-7.0"]
    assert records(verdict, "source_key", "reasons") == [(key, "DUPLICATE_KEY") for key in ("7", "007", "7")]


BATCHES: list[tuple[LegacyValue, str]] = [
    ("2024-03-05", "2024-03"),
    ("2024-03", "2024-03"),
    ("2024-03garbage", "2024-03"),
    ("2024-02-31", "2024-02"),
    ("1900-01-01", "1900-01"),
    ("2100-12-31", "2100-12"),
    (UndecodableText(b"2024-03-05\xff"), "2024-03"),
    ("2024-03-05\0", "2024-03"),
    (" 2024-03-05", "undated"),
    ("1899-12-31", "undated"),
    ("2101-01-01", "undated"),
    ("2024-00-01", "undated"),
    ("2024-13-01", "undated"),
    ("2024-3-05", "undated"),
    ("05/03/2024", "undated"),
    ("", "undated"),
    (None, "undated"),
    (20240305, "undated"),
    (2024.5, "undated"),
    (b"2024-03-05", "undated"),
    (UndecodableText(b"\xff2024-03-05"), "undated"),
]


def test_every_row_is_of_one_batch_whatever_its_date_holds(tmp_path: Path) -> None:
    verdict = judged(tmp_path, transaction=numbered("transaction", "trans_date", [value for value, _ in BATCHES]))
    of_loaded = {row["transaction_id"]: row["batch"] for row in verdict["transaction"].rows.to_pylist()}
    of_others = {f"TXN-{key}": batch for key, batch in records(verdict["transaction"], "source_key", "batch")}
    assert of_loaded | of_others == {f"TXN-{number}": batch for number, (_, batch) in enumerate(BATCHES, 1)}
    assert len(of_loaded) + len(of_others) == len(BATCHES)


def test_the_batch_is_of_the_source_text_even_where_a_format_reads_another_month(tmp_path: Path) -> None:
    policies = Policies(date_formats=("%Y-%d-%m",))
    verdict = judged(
        tmp_path, policies=policies, transaction=[{"trans_date": "2024-12-13"}, {"trans_date": "05.03.24"}]
    )
    assert verdict["transaction"].rows.num_rows == 0
    late = judged(tmp_path, policies=policies, transaction=[{"trans_date": "2024-13-02"}])["transaction"].rows
    assert late.select(["batch", "transaction_date"]).to_pylist() == [
        {"batch": "undated", "transaction_date": datetime(2024, 2, 13)}
    ]


def test_a_legacy_code_page_reads_every_column(tmp_path: Path) -> None:
    def cp1252(text: str) -> UndecodableText:
        return UndecodableText(f"\u00a0{text}".encode("cp1252"))

    row: Row = {
        "trans_id": cp1252("É1"),
        "account_number": cp1252("1"),
        "trans_type": cp1252("in"),
        "trans_amount": cp1252("1.25"),
        "balance_after": cp1252("-2"),
        "description": cp1252("Zürich"),
        "trans_date": cp1252("2024-03-05"),
    }
    verdict = judged(tmp_path, policies=Policies(legacy_encoding="cp1252"), transaction=[row])["transaction"]
    assert list(verdict.rows.to_pylist()[0].values()) == [
        "undated", "TXN-É1", "ACCT-00000001", "INTEREST", 125, -200, "\u00a0Zürich", datetime(2024, 3, 5),
    ]  # fmt: skip
    assert verdict.defects.num_rows == 0
