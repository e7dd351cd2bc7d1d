"""A bank whose rows break every rule of the contract, in every storage class.

Here: the rows, and policies under which more of them are taken. Not here: what a reading should make of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from accounts_migration.entities import ENTITIES
from accounts_migration.legacy_values import LegacyValue, UndecodableText
from accounts_migration_tests.entities.judging import Row

_BAD_UTF_8 = UndecodableText(b"ab\xff")
_KEYS: dict[str, list[LegacyValue]] = {
    "MISSING_KEY": [None, " \u200b"],
    "INVALID_KEY": [-1, 1.5, "-7", "9223372036854775808", b"1", _BAD_UTF_8],
}
_MONEY: dict[str, list[LegacyValue]] = {
    "MISSING_VALUE": [None, "\ufeff "],
    "INVALID_NUMBER": ["1,50", "NaN", b"1", float("inf"), "1\0", _BAD_UTF_8, "\u0663"],
    "SUB_CENT": [1.005, "0.001", "1e-3", 1e-20, "1e-99999999999999999999"],
    "OUT_OF_RANGE": [10**13, 1e13, "1e13", "10000000000000.00", "9e99999999999999999999"],
}
_FEE: dict[str, list[LegacyValue]] = {**_MONEY, "OUT_OF_RANGE": [*_MONEY["OUT_OF_RANGE"], -1, "-0.01"]}
_RATE: dict[str, list[LegacyValue]] = {
    **{reason: _MONEY[reason] for reason in ("MISSING_VALUE", "INVALID_NUMBER")},
    "SUB_CENT": ["1.0000001", 1e-7],
    "OUT_OF_RANGE": [101, "100.000001", -1, "-0.5", 1e3],
}
_TEXT: dict[str, list[LegacyValue]] = {
    "INVALID_TEXT": [b"abc"],
    "INVALID_ENCODING": [_BAD_UTF_8, UndecodableText(b"\x80")],
    "NUL_CHARACTER": ["a\0b", "\0"],
}
_NAME: dict[str, list[LegacyValue]] = {"MISSING_VALUE": [None, "", "\u3000\t"], **_TEXT}
_CODE: dict[str, list[LegacyValue]] = {
    "MISSING_VALUE": [None, " "],
    "UNKNOWN_CODE": ["XX", 7, 7.5, b"CR", "CR\0", _BAD_UTF_8],
}
_DATE: dict[str, list[LegacyValue]] = {
    "INVALID_DATE": ["2023-02-29", "2024-04-31 10:00:00", "1899-12-31", "2101-01-01", 20240101, 2460000.5,
                     b"2024-01-01", "2024-01-01 24:00:00", "2024-01-01T10:00:00Z", "2024-01-01\0", "now", _BAD_UTF_8],
}  # fmt: skip
_EMAIL: dict[str, list[LegacyValue]] = {
    **_TEXT,
    "INVALID_EMAIL": ["a", "a@", "@b", "a@@b", "a b@c", "a\u200bb@c", "a@b\x01", 5, 1.5],
}
_TRANSACTION_KEY: dict[str, list[LegacyValue]] = {
    "MISSING_KEY": [None, " "],
    "INVALID_KEY": [-1, 1.5, "9" * 20, "k" * 65, "a\0", b"1", _BAD_UTF_8],
}
_AMOUNT: dict[str, list[LegacyValue]] = {**_MONEY, "ZERO_AMOUNT": [0, 0.0, "0.00", "-0", "0e9"]}
_MOMENT: dict[str, list[LegacyValue]] = {"MISSING_VALUE": [None, " \t"], **_DATE}

BREAKING: dict[tuple[str, str, str], Mapping[str, Sequence[LegacyValue]]] = {
    ("product", "product_id", "product_code"): _KEYS,
    ("product", "product_name", "product_description"): _NAME,
    ("product", "product_type", "account_type"): _CODE,
    ("product", "interest_rate", "int_rate"): _RATE,
    ("product", "transaction_fee", "debit_fee"): _FEE,
    ("product", "monthly_fee", "maint_fee"): _FEE,
    ("product", "min_balance_for_interest", "min_bal_int"): _MONEY,
    ("customer", "customer_id", "customer_number"): _KEYS,
    ("customer", "first_name", "first_name"): _NAME,
    ("customer", "last_name", "last_name"): _NAME,
    ("customer", "email", "email_address"): _EMAIL,
    ("customer", "phone", "phone_number"): _TEXT,
    ("customer", "created_at", "created_date"): _DATE,
    ("account", "account_id", "account_number"): _KEYS,
    ("account", "customer_id", "customer_number"): _KEYS,
    ("account", "product_id", "product_code"): _KEYS,
    ("account", "status", "account_status"): _CODE,
    ("account", "balance", "current_balance"): _MONEY,
    ("account", "opening_date", "open_date"): {"INVALID_DATE": [*_DATE["INVALID_DATE"], "9999-12-31"]},
    ("account", "closing_date", "close_date"): _DATE,
    ("transaction", "transaction_id", "trans_id"): _TRANSACTION_KEY,
    ("transaction", "account_id", "account_number"): _KEYS,
    ("transaction", "transaction_type", "trans_type"): _CODE,
    ("transaction", "amount", "trans_amount"): _AMOUNT,
    ("transaction", "signed_credit", "trans_amount"): {"SIGN_CONFLICT": [-1, -0.01, "-5.00"]},
    ("transaction", "balance_after", "balance_after"): _MONEY,
    ("transaction", "reference", "description"): _TEXT,
    ("transaction", "transaction_date", "trans_date"): _MOMENT,
}  # fmt: skip
"""(entity, target column, legacy column) -> reason -> values that break the rule, in every storage class."""

SOUND_YET_ODD: dict[str, list[dict[str, Any]]] = {
    "transaction": [
        {"trans_amount": value, "balance_after": value}
        for value in ("+5", "1e2", "0012.500", " 7 ", 0.1 + 0.2, 5.0, "9999999999999.99", "1.50E1")
    ]
    + [{"trans_date": value} for value in ("2024-01-02T03:04", " 2024-01-02 ", "2024-02-29 23:59:59.123456")]
    + [{"trans_type": value} for value in (" cr ", "dr\u00a0", "fe", "\u0131n")]
    + [{"description": value} for value in ("", "caf\u00e9", "x" * 201, "\u00e9" * 200, 5, 1.5, None)]
    + [{"trans_id": value} for value in ("TX-1", " k\u00e9y ", "0099", "8.0", "k" * 64)]
    + [{"account_number": value} for value in (1.0, "001", " 1\u200b")],
    "account": [
        {"close_date": value}
        for value in ("9999-12-31", "0000-00-00 00:00", "0001-01-01T00:00", "2024-01-02 10:00", "2024-01-02 00:00:00")
    ]
    + [{"open_date": "2020-01-01 01:00", "close_date": "2020-01-01 01:00"}, {"account_number": "0077"}],
    "customer": [
        {"created_date": None}, {"created_date": " "}, {"email_address": "\u00e4@\u00f6"}, {"email_address": None},
        {"phone_number": 5}, {"first_name": 5}, {"first_name": "\u00c4nne"}, {"status": " act\u0131ve"},
    ],
    "product": [{"active": value} for value in (1, 1.0, " y ", "true", 0, None, b"1", "1.0")]
    + [{"int_rate": value} for value in ("1e2", 100.0, 0, "0.000001")],
}  # fmt: skip
"""Rows that break no rule, or are repaired, spelt so that a fast form does not know them."""


def dirty_bank() -> dict[str, list[Row]]:
    """Return rows that break each rule in each storage class, and odd ones; parents 1 are sound."""
    rows: dict[str, list[Row]] = {entity: [{}] for entity in ENTITIES}
    for (entity, _, legacy), reasons in BREAKING.items():
        credit: Row = {"trans_type": "CR"} if "SIGN_CONFLICT" in reasons else {}
        for value in (value for values in reasons.values() for value in values):
            rows[entity].append({ENTITIES[entity].key_column: len(rows[entity]) + 1, **credit, legacy: value})
    for entity, odd in SOUND_YET_ODD.items():
        for row in odd:
            rows[entity].append({ENTITIES[entity].key_column: 1000 + len(rows[entity]), **row})
    for entity, changed in {"product": "debit_fee", "customer": "phone_number", "account": "current_balance",
                            "transaction": "balance_after"}.items():  # fmt: skip
        key = ENTITIES[entity].key_column
        rows[entity] += [{key: 5000}, {key: 5000}, {key: "5000", changed: 9}, {key: 5001}, {key: 5001}, {key: 5001}]
    rows["product"] += [{"product_code": 5002, "active": "N"}, {"product_code": 5003, "active": "N"}]
    rows["customer"] += [{"customer_number": 5002, "status": "X"}, {"customer_number": 5003, "status": "X"}]
    rows["account"] += [
        {"account_number": number, **reference}
        for number, reference in enumerate(
            [{"product_code": 5002}, {"customer_number": 5002}, {"customer_number": 4999}, {"product_code": 5000}], 6000
        )
    ]
    rows["transaction"] += [
        {"trans_id": 6000 + place, "account_number": account} for place, account in enumerate((6000, 6002, 6003, 4999))
    ]
    return rows


LENIENT: dict[str, Any] = {
    "inactive_parents": "exclude",
    "invalid_email": "null",
    "legacy_encoding": "cp1252",
    "date_formats": ("%d.%m.%Y", "%Y%m%d"),
    "transaction_type": {"XX": "CREDIT"},
}
