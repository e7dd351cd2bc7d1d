"""Rows of the platform's own tables: accepted and refused forms of each column (contract sections 4 to 6)."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts_migration.entities import PLATFORM_ENTITIES
from accounts_migration.entities.cleaning import Cleaned
from accounts_migration.entities.keys import numbered
from accounts_migration.entities.policies import Policies
from accounts_migration.legacy_values import LegacyValue, UndecodableText, read_source_row
from accounts_migration_tests.entities.judging import as_told, judge, records
from accounts_migration_tests.platform_rows import ODD, SOUND, Row, write_platform

BROKEN = UndecodableText(b"PROD-001\xff")
SURROGATE = UndecodableText(b"\xed\xa0\x80")
BLANKS: list[LegacyValue] = [None, "", " \t\u200b\ufeff\u00a0"]
MOMENT_OK: list[tuple[LegacyValue, Any]] = [
    ("1900-01-01 00:00:00", datetime(1900, 1, 1)),
    ("2100-12-31T23:59:59.999999", datetime(2100, 12, 31, 23, 59, 59, 999999)),
    (" 2024-02-29 ", datetime(2024, 2, 29)),
    ("2024-02-29 10:11", datetime(2024, 2, 29, 10, 11)),
    ("2024-02-29 10:11:12.5", datetime(2024, 2, 29, 10, 11, 12, 500000)),
]
NO_DATES: list[LegacyValue] = [
    "1899-12-31", "2101-01-01 00:00:00", "2023-02-29", "2023-02-30", "2024-13-01", "2024-1-1", "01/02/2024",
    "2024-01-01 24:00", "2024-01-01 00:00:60", "2024-01-01T00:00:00Z", "2024-01-01 00:00:00+00",
    "2024-01-01 00:00:00.1234567", "infinity", "-infinity", "0044-03-15 BC", "now", "2024-01-01\0", 20240101, 1.5,
    1704067200, math.inf, b"2024-01-01", b"", UndecodableText(b"2024-01-01\xff"),
]  # fmt: skip
MONEY_OK: list[tuple[LegacyValue, Any]] = [
    (0, 0), (0.01, 1), (0.1 + 0.2, 30), ("1.500", 150), ("+1", 100), ("1e2", 10_000), (" 007.10 ", 710),
    ("1.1e1", 1100),
    (9_999_999_999_999, 999_999_999_999_900), (9999999999999.99, 10**15 - 1), ("9999999999999.99", 10**15 - 1),
]  # fmt: skip
NO_NUMBERS: list[LegacyValue] = [
    "x", "1,5", "$1.00", "1.", ".5", "NaN", "Infinity", "1_0", "0x10", "1\0", "\u0661", b"1", b"", BROKEN, math.inf,
    -math.inf,
]  # fmt: skip
SUB_CENTS: list[LegacyValue] = [0.005, "0.001", 1e-7, "1e-7", 54263342.700000085, "10.000000000000000001", "1.2345"]
TOO_LARGE: list[LegacyValue] = [10**13, -(10**13), 1e13, "1e13", "10000000000000.00", 1e300, 2**63 - 1, -(2**63)]
FEES: dict[str, list[LegacyValue]] = {
    "MISSING_VALUE": BLANKS,
    "INVALID_NUMBER": NO_NUMBERS,
    "SUB_CENT": SUB_CENTS,
    "OUT_OF_RANGE": [*TOO_LARGE, -0.01, "-0.01", -1],
}
MONEY = FEES | {"OUT_OF_RANGE": TOO_LARGE}
TEXTS: dict[str, list[LegacyValue]] = {
    "MISSING_VALUE": [None, ""],
    "INVALID_TEXT": [b"Basic", b""],
    "INVALID_ENCODING": [BROKEN, SURROGATE],
    "NUL_CHARACTER": ["a\0b", "\0"],
}
MOMENTS: dict[str, list[LegacyValue]] = {"MISSING_VALUE": BLANKS, "INVALID_DATE": NO_DATES}


def no_ids(prefix: str, shortest: int) -> list[LegacyValue]:
    """Return what is no id of an entity, each for one reason."""
    short = prefix + "1" * (shortest - 1)
    return [
        short, prefix, prefix.lower() + "00000001", "X" + prefix + "00000001", " " + prefix + "00000001",
        prefix + "0000\x000001", 1, 1.0, prefix.encode() + b"00000001", b"",
        UndecodableText(prefix.encode() + b"00000001\xff"), SURROGATE,
    ]  # fmt: skip


def _ids(prefix: str, shortest: int) -> dict[str, list[LegacyValue]]:
    return {"MISSING_KEY": BLANKS, "INVALID_KEY": no_ids(prefix, shortest)}


TEXTS_OK: list[tuple[LegacyValue, Any]] = [
    (" as Written\u200b ", " as Written\u200b "), (" ", " "), ("\ufeff", "\ufeff"), (7, "7"), (1.5, "1.5"),
    ("\U0001f4b6" * 300, "\U0001f4b6" * 300), ("'; DROP TABLE \"x\"", "'; DROP TABLE \"x\""),
]  # fmt: skip
ACCEPTED: dict[tuple[str, str], list[tuple[LegacyValue, Any]]] = {
    ("product", "product_id"): [(id_, id_) for id_ in ("PROD-001", "PROD-é日本", "PROD-0001", "PROD-1 '", "PROD-   ")],
    ("product", "product_name"): TEXTS_OK,
    ("product", "product_type"): [("CHECKING", "CHECKING"), (" current ", "CURRENT")],
    ("product", "interest_rate"): [(0, 0), (100, 100_000_000), ("99.999999", 99_999_999), (1e-6, 1)],
    ("product", "transaction_fee"): MONEY_OK,
    ("product", "monthly_fee"): MONEY_OK,
    ("product", "min_balance_for_interest"): [*MONEY_OK, (-0.01, -1), ("-9999999999999.99", 1 - 10**15)],
    ("product", "created_at"): MOMENT_OK,
    ("customer", "customer_id"): [(id_, id_) for id_ in ("CUST-0001", "CUST-A B\u200b")],
    ("customer", "first_name"): TEXTS_OK,
    ("customer", "last_name"): TEXTS_OK,
    ("customer", "email"): [(None, None), ("", None), (" ", None), ("A.b@C", "A.b@C"), ("é'@日.本", "é'@日.本")],
    ("customer", "phone"): [(None, None), ("", None), (" \u200b", None), (" 5 ", " 5 "), (555, "555")],
    ("customer", "created_at"): MOMENT_OK,
    ("account", "account_id"): [(id_, id_) for id_ in ("ACCT-00000001", "ACCT-000000001", "ACCT-éééééééé")],
    ("account", "status"): [("ACTIVE", "ACTIVE"), ("closed", "CLOSED")],
    ("account", "balance"): [*MONEY_OK, (-0.01, -1)],
    ("account", "opening_date"): [(None, None), (" ", None), ("1900-01-01", date(1900, 1, 1)),
                                  ("2100-12-31 00:00:00", date(2100, 12, 31))],
    ("account", "closing_date"): [(None, None), ("", None), ("2024-02-29", date(2024, 2, 29))],
    ("account", "created_at"): MOMENT_OK,
    ("account", "updated_at"): MOMENT_OK,
    ("transaction", "transaction_id"): [(id_, id_) for id_ in ("TXN-1", "TXN-" + "9" * 64, "TXN-" + "é" * 64, "TXN- ")],
    ("transaction", "transaction_type"): [(code, code.upper()) for code in ("CREDIT", "DEBIT", "fee", "INTEREST")],
    ("transaction", "amount"): MONEY_OK[1:],
    ("transaction", "balance_after"): [*MONEY_OK, (-0.01, -1)],
    ("transaction", "reference"): [(None, ""), ("", ""), (" \n", " \n"), ("é" * 200, "é" * 200), (-0.0, "0.0")],
    ("transaction", "transaction_date"): MOMENT_OK,
}  # fmt: skip

REFUSED: dict[tuple[str, str], dict[str, list[LegacyValue]]] = {
    ("product", "product_id"): _ids("PROD-", 3),
    ("product", "product_name"): TEXTS,
    ("product", "product_type"): {"MISSING_VALUE": BLANKS, "UNKNOWN_CODE": ["CHK", "CHECKING\0", 1, b"CHECKING"]},
    ("product", "interest_rate"): {
        "MISSING_VALUE": BLANKS,
        "INVALID_NUMBER": NO_NUMBERS,
        "SUB_CENT": [1e-7, "0.0000001", "1.2345678"],
        "OUT_OF_RANGE": [-1e-6, 100.000001, 101, "1000", -1],
    },
    ("product", "transaction_fee"): FEES,
    ("product", "monthly_fee"): FEES,
    ("product", "min_balance_for_interest"): MONEY,
    ("product", "created_at"): MOMENTS,
    ("customer", "customer_id"): _ids("CUST-", 4),
    ("customer", "first_name"): TEXTS,
    ("customer", "last_name"): TEXTS,
    ("customer", "email"): {
        "INVALID_TEXT": [b"a@b"],
        "INVALID_ENCODING": [UndecodableText(b"a@b\xff"), SURROGATE],
        "NUL_CHARACTER": ["a@b\0", "\0"],
        "INVALID_EMAIL": ["@", "a@", "@b", "a@b@c", "ab", " a@b", "a@b\n", "a b@c", "a@b\u200b", "a@\u00a0b", 5],
    },
    ("customer", "phone"): {"INVALID_TEXT": [b"5"], "INVALID_ENCODING": [BROKEN], "NUL_CHARACTER": ["5\0", " \0"]},
    ("customer", "created_at"): MOMENTS,
    ("account", "account_id"): _ids("ACCT-", 8),
    ("account", "customer_id"): _ids("CUST-", 4) | {"ORPHAN": ["CUST-0002", "CUST-00001", "CUST-0001 ", "CUST-éééé"]},
    ("account", "product_id"): _ids("PROD-", 3) | {"ORPHAN": ["PROD-002", "PROD-0001", "PROD-00\u0661", "PROD-001x"]},
    ("account", "status"): {"MISSING_VALUE": BLANKS, "UNKNOWN_CODE": ["A", "FROZEN", 1, b"ACTIVE", "ACTIVE\0", BROKEN]},
    ("account", "balance"): MONEY,
    ("account", "opening_date"): {"INVALID_DATE": [*NO_DATES, "9999-12-31"]},
    ("account", "closing_date"): {"INVALID_DATE": [*NO_DATES, "9999-12-31", "0001-01-01", "0000-00-00"]},
    ("account", "created_at"): MOMENTS,
    ("account", "updated_at"): MOMENTS,
    ("transaction", "transaction_id"): _ids("TXN-", 1) | {
        "INVALID_KEY": ["TXN-", "TXN-" + "9" * 65, "TXN-" + "é" * 65, "txn-1", "TXN-1\0", 1, b"TXN-1", SURROGATE]
    },
    ("transaction", "account_id"): _ids("ACCT-", 8) | {"ORPHAN": ["ACCT-00000002", "ACCT-0000000\u0661"]},
    ("transaction", "transaction_type"): {"MISSING_VALUE": BLANKS, "UNKNOWN_CODE": ["CR", "REVERSAL", 5, b"FEE"]},
    ("transaction", "amount"): MONEY | {
        "ZERO_AMOUNT": [0, 0.0, "-0.00"], "OUT_OF_RANGE": [*TOO_LARGE, -0.01, -5, "-5"],
    },
    ("transaction", "balance_after"): MONEY,
    ("transaction", "reference"): {
        "INVALID_TEXT": [b"salary"], "INVALID_ENCODING": [BROKEN, SURROGATE], "NUL_CHARACTER": ["a\0", "\0"],
    },
    ("transaction", "transaction_date"): MOMENTS,
}  # fmt: skip


def judged(folder: Path, rows: Mapping[str, Sequence[Row]]) -> dict[str, Cleaned]:
    """Write rows and judge them, as far as the last entity named."""
    path = write_platform(folder / f"platform-{len(list(folder.iterdir()))}.db", rows)
    last = max(list(PLATFORM_ENTITIES).index(entity) for entity in rows)
    return judge(path, Policies(), entities=list(PLATFORM_ENTITIES.values())[: last + 1])


def one_for_each(entity: str, column: str, values: Sequence[LegacyValue]) -> list[Row]:
    """Return a row for each value of a column, with keys of their own unless the column is the key."""
    key = PLATFORM_ENTITIES[entity].key_column
    sound = str(SOUND[entity][key])
    return [{key: f"{sound}-{number}", column: value} for number, value in enumerate(values)]


@pytest.mark.parametrize(("entity", "column"), ACCEPTED)
def test_a_value_that_fits_arrives_and_nothing_is_recorded(entity: str, column: str, tmp_path: Path) -> None:
    cases = ACCEPTED[entity, column]
    verdict = judged(tmp_path, {entity: one_for_each(entity, column, [value for value, _ in cases])})[entity]
    assert records(verdict, "reasons", "column", "old_value") == []
    assert verdict.rows[column].to_pylist() == [expected for _, expected in cases]


@pytest.mark.parametrize(("entity", "column"), REFUSED)
def test_a_value_that_does_not_fit_rejects_its_row_whole(entity: str, column: str, tmp_path: Path) -> None:
    cases = [(value, reason) for reason, values in REFUSED[entity, column].items() for value in values]
    rows = one_for_each(entity, column, [value for value, _ in cases])
    verdict = judged(tmp_path, {entity: rows})[entity]
    found = records(verdict, "action", "reason", "reasons", "column", "old_value", "new_value")
    assert found == [("rejected", reason, reason, column, as_told(value), None) for value, reason in cases]
    assert verdict.rows.num_rows == 0
    kept = [read_source_row(text) for (text,) in records(verdict, "source_row")]
    assert kept == [SOUND[entity] | row for row in rows]


def test_every_reason_of_the_schemas_is_tried() -> None:
    named = {
        (entity.name, name.removesuffix("_fault"), str(check.name))
        for entity in PLATFORM_ENTITIES.values()
        for name, column in entity.schema.columns.items()
        for check in column.checks
    }
    parents = {("account", "customer_id"): "customer", ("account", "product_id"): "product"}
    parents |= {("transaction", "account_id"): "account"}
    tried = {
        (entity, parents[entity, column] if reason == "ORPHAN" else column, reason)
        for (entity, column), reasons in REFUSED.items()
        for reason in reasons
    }
    elsewhere = {(entity, "duplicate", "DUPLICATE_KEY") for entity in PLATFORM_ENTITIES}
    elsewhere |= {("account", "customer", "PARENT_REJECTED"), ("account", "product", "PARENT_REJECTED")}
    elsewhere |= {("transaction", "account", "PARENT_REJECTED")}
    assert named - tried - elsewhere == set()


def test_odd_values_arrive_as_they_are(tmp_path: Path) -> None:
    verdicts = judged(tmp_path, ODD)
    for entity, rows in ODD.items():
        assert verdicts[entity].defects.num_rows == 0
        key = PLATFORM_ENTITIES[entity].key_column
        assert verdicts[entity].rows[key].to_pylist() == [(SOUND[entity] | row)[key] for row in rows]


def test_a_reference_beyond_200_code_points_is_truncated_and_told(tmp_path: Path) -> None:
    verdict = judged(tmp_path, {"transaction": [{"reference": "\U0001f4b6" * 201}]})["transaction"]
    [record] = records(verdict, "action", "reason", "column", "old_value", "new_value")
    assert record == ("repaired", "TRUNCATED", "reference", "\U0001f4b6" * 201, "\U0001f4b6" * 200)
    assert verdict.rows["reference"].to_pylist() == ["\U0001f4b6" * 200]


@pytest.mark.parametrize("column", ["opening_date", "closing_date"])
def test_a_time_of_day_on_a_date_is_dropped_and_told(column: str, tmp_path: Path) -> None:
    verdict = judged(tmp_path, {"account": [{column: "2024-01-02 00:00:01"}]})["account"]
    [record] = records(verdict, "action", "reason", "column", "old_value", "new_value")
    assert record == ("repaired", "TRUNCATED", column, "2024-01-02 00:00:01", "2024-01-02")


def test_rows_of_one_key_are_duplicates(tmp_path: Path) -> None:
    rows: list[Row] = [{}, {}, {"transaction_id": "TXN-2"}, {"transaction_id": "TXN-2", "amount": "10"}]
    verdict = judged(tmp_path, {"transaction": rows})["transaction"]
    assert verdict.rows["transaction_id"].to_pylist() == ["TXN-1"]
    assert records(verdict, "action", "reason", "source_key") == [
        ("excluded", "EXACT_DUPLICATE", "TXN-1"),
        ("rejected", "DUPLICATE_KEY", "TXN-2"),
        ("rejected", "DUPLICATE_KEY", "TXN-2"),
    ]


def test_several_rows_without_a_key_are_each_rejected(tmp_path: Path) -> None:
    verdict = judged(tmp_path, {"customer": [{"customer_id": None}, {"customer_id": None}, {}]})["customer"]
    assert records(verdict, "reasons", "source_key") == [("MISSING_KEY", None), ("MISSING_KEY", None)]


def test_rows_of_a_rejected_parent_are_rejected_with_it(tmp_path: Path) -> None:
    verdicts = judged(tmp_path, {"product": [{"product_name": None}], "account": [{}], "transaction": [{}]})
    assert records(verdicts["account"], "reasons", "column") == [("PARENT_REJECTED", "product_id")]
    assert records(verdicts["transaction"], "reasons", "column") == [("PARENT_REJECTED", "account_id")]


def test_a_row_tells_all_its_broken_rules_in_the_order_of_the_columns(tmp_path: Path) -> None:
    row: Row = {"account_id": "x", "status": "A", "balance": 0.001, "created_at": None, "updated_at": "x"}
    [told] = records(judged(tmp_path, {"account": [row]})["account"], "reason", "reasons", "column")
    assert told == ("INVALID_KEY", "INVALID_KEY,UNKNOWN_CODE,SUB_CENT,MISSING_VALUE,INVALID_DATE", "account_id")


IDS = [
    "ACCT-00000001", "ACCT-000000001", "ACCT-0000000001", "ACCT-10000000", "ACCT-100000000", "ACCT-00000001 ",
    "ACCT-0000000\u0661", "ACCT-9223372036854775807", "ACCT-9223372036854775808", "ACCT-4611686018427387904",
    "ACCT-999999999999999999", "ACCT-1000000000000000000", "ACCT-éééééééé", "ACCT-ÉÉÉÉÉÉÉÉ",
]  # fmt: skip


def test_different_ids_have_different_numbers_and_equal_ones_the_same() -> None:
    numbers = numbered(pa.array([*IDS, None, *IDS]), "ACCT-", 8).to_pylist()
    assert numbers[len(IDS)] is None
    assert numbers[: len(IDS)] == numbers[len(IDS) + 1 :]
    assert len({*numbers}) == len(IDS) + 1
    assert min(number for number in numbers if number is not None) >= 0


CELLS: st.SearchStrategy[LegacyValue] = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),  # SQLite holds none: it stores NULL
    st.text(st.characters(exclude_categories=["Cs"]), max_size=220),
    st.binary(max_size=20),
    st.binary(max_size=20).filter(lambda raw: not _decodes(raw)).map(UndecodableText),
    st.sampled_from([value for cases in ACCEPTED.values() for value, _ in cases]),
)


def _decodes(raw: bytes) -> bool:
    try:
        return raw.decode() is not None
    except UnicodeDecodeError:
        return False


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cell_arrives_or_is_a_defect_that_keeps_the_whole_row(data: st.DataObject, tmp_path: Path) -> None:
    rows: dict[str, list[Row]] = {}
    for entity, sound in SOUND.items():
        changed = st.dictionaries(st.sampled_from(sorted(sound)), CELLS, max_size=2)
        rows[entity] = [{}, *data.draw(st.lists(changed, max_size=4), entity)]
    for entity, verdict in judged(tmp_path, rows).items():
        left = {row: json.loads(text) for row, text in records(verdict, "source_row_id", "source_row")}
        gone = {row for row, action in records(verdict, "source_row_id", "action") if action != "repaired"}
        assert len(rows[entity]) == verdict.rows.num_rows + len(gone)
        for place, row in enumerate(rows[entity], 1):
            if place in left:
                assert read_source_row(json.dumps(left[place])) == SOUND[entity] | row
