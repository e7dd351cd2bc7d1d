"""Whole legacy databases judged: duplicates, parents, policies, and the one law for any rows (contract sections 1, 5).

The laws are counted from the source rows as the test wrote them and read with `decimal.Decimal`, not from what the
cleaning says of itself.
"""

import json
import math
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from accounts_migration.entities import ENTITIES
from accounts_migration.entities.cleaning import Cleaned
from accounts_migration.entities.policies import Policies
from accounts_migration.legacy_values import LegacyValue, UndecodableText, read_source_row
from accounts_migration_tests.entities.judging import SOUND, Row, judge, judged, judged_rows, records, write_source

KEYS = {entity.name: entity.key_column for entity in ENTITIES.values()}


def fates(verdicts: Mapping[str, Cleaned], entity: str) -> list[str]:
    """Return what became of each source row, in their order: `loaded`, or the reasons of its rejection or exclusion."""
    left_out = {
        row: f"{action} {reasons}"
        for row, action, reasons in records(verdicts[entity], "source_row_id", "action", "reasons")
        if action != "repaired"
    }
    count = verdicts[entity].rows.num_rows + len(left_out)
    return [left_out.get(row, "loaded") for row in range(1, count + 1)]


# duplicates


@pytest.mark.parametrize("entity", KEYS)
def test_of_identical_rows_the_first_is_kept(tmp_path: Path, entity: str) -> None:
    verdicts = judged_rows(tmp_path, {entity: [{}, {}, {KEYS[entity]: 2}, {}]}, Policies())
    assert fates(verdicts, entity) == ["loaded", "excluded EXACT_DUPLICATE", "loaded", "excluded EXACT_DUPLICATE"]
    told = records(verdicts[entity], "source_key", "column", "old_value", "new_value")
    assert told == [("1", None, None, None), ("1", None, None, None)]


@pytest.mark.parametrize("entity", KEYS)
def test_of_rows_that_share_a_key_and_differ_all_are_rejected(tmp_path: Path, entity: str) -> None:
    other = next(column for column in SOUND[entity] if column not in KEYS.values())
    verdicts = judged_rows(tmp_path, {entity: [{}, {other: "X"}, {KEYS[entity]: 2}, {}]}, Policies())
    reasons = [fate.split(",")[0] for fate in fates(verdicts, entity)]
    assert reasons == ["rejected DUPLICATE_KEY", "rejected DUPLICATE_KEY", "loaded", "rejected DUPLICATE_KEY"]


@pytest.mark.parametrize("entity", KEYS)
@pytest.mark.parametrize("twin", [7.0, "7", "007", " 7\u200b"])
def test_spellings_of_a_key_are_one_key_but_no_identical_rows(tmp_path: Path, entity: str, twin: LegacyValue) -> None:
    verdicts = judged_rows(tmp_path, {entity: [{KEYS[entity]: 7}, {KEYS[entity]: twin}]}, Policies())
    assert fates(verdicts, entity) == ["rejected DUPLICATE_KEY"] * 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (5, 5.0),
        (5, "5"),
        ("5", b"5"),
        ("5", UndecodableText(b"5\xff")),
        (None, ""),
        (b"\xff", UndecodableText(b"\xff")),
    ],
)
def test_a_storage_class_makes_rows_differ(tmp_path: Path, one: LegacyValue, other: LegacyValue) -> None:
    verdicts = judged(tmp_path, customer=[{"phone_number": one}, {"phone_number": other}])
    assert [fate.split(",")[0] for fate in fates(verdicts, "customer")] == ["rejected DUPLICATE_KEY"] * 2
    verdicts = judged(tmp_path, customer=[{"phone_number": other}, {"phone_number": other}])
    assert fates(verdicts, "customer")[1] == "excluded EXACT_DUPLICATE"


def test_the_kept_one_of_identical_rows_is_judged_by_the_rules(tmp_path: Path) -> None:
    verdicts = judged(tmp_path, customer=[{"first_name": None}] * 2)
    assert fates(verdicts, "customer") == ["rejected MISSING_VALUE", "excluded EXACT_DUPLICATE"]


def test_rows_without_a_usable_key_are_no_duplicates(tmp_path: Path) -> None:
    verdicts = judged(tmp_path, customer=[{"customer_number": key} for key in (None, None, "x", "x", -1, -1)])
    assert fates(verdicts, "customer") == ["rejected MISSING_KEY"] * 2 + ["rejected INVALID_KEY"] * 4


def test_duplicates_are_judged_before_inactivity(tmp_path: Path) -> None:
    gone: Row = {"status": "GONE"}
    rows: list[Row] = [gone, gone, {"customer_number": 2} | gone, {"customer_number": 2}]
    verdicts = judged(tmp_path, customer=rows, account=[])
    assert fates(verdicts, "customer") == [
        "excluded INACTIVE",
        "excluded EXACT_DUPLICATE",
        "rejected DUPLICATE_KEY",
        "rejected DUPLICATE_KEY",
    ]


def test_children_of_a_duplicated_parent(tmp_path: Path) -> None:
    customers: list[Row] = [{}, {}, {"customer_number": 2}, {"customer_number": 2, "first_name": "EVE"}]
    accounts: list[Row] = [{}, {"account_number": 2, "customer_number": 2}]
    verdicts = judged(tmp_path, customer=customers, account=accounts)
    assert fates(verdicts, "account") == ["loaded", "rejected PARENT_REJECTED"]


# parents


@pytest.mark.parametrize(("column", "parent"), [("customer_number", "customer"), ("product_code", "product")])
def test_an_account_whose_parent_the_source_lacks_is_an_orphan(tmp_path: Path, column: str, parent: str) -> None:
    keys: list[LegacyValue] = [2, "2", 2**63 - 1, 0]
    rows = [{"account_number": number} | {column: key} for number, key in enumerate(keys, 1)]
    verdicts = judged_rows(tmp_path, {"account": rows}, Policies())
    assert records(verdicts["account"], "action", "reason", "reasons", "column", "old_value", "new_value") == [
        ("rejected", "ORPHAN", "ORPHAN", column, str(key), None) for key in keys
    ]
    no_parents = judged_rows(tmp_path, {parent: [], "account": [{}]}, Policies())
    assert fates(no_parents, "account") == ["rejected ORPHAN"]


@pytest.mark.parametrize(("column", "parent"), [("customer_number", "customer"), ("product_code", "product")])
def test_an_account_of_a_rejected_parent_is_rejected(tmp_path: Path, column: str, parent: str) -> None:
    broken: Row = {"first_name": None} if parent == "customer" else {"product_description": None}
    verdicts = judged_rows(tmp_path, {parent: [broken], "account": [{}]}, Policies())
    assert records(verdicts["account"], "action", "reasons", "column", "old_value") == [
        ("rejected", "PARENT_REJECTED", column, "1")
    ]


def test_both_parents_are_named_customer_first(tmp_path: Path) -> None:
    verdicts = judged(tmp_path, customer=[{"first_name": None}], account=[{"product_code": 9}])
    assert records(verdicts["account"], "reasons", "column") == [("PARENT_REJECTED,ORPHAN", "customer_number")]


def test_a_transaction_follows_its_account(tmp_path: Path) -> None:
    accounts: list[Row] = [
        {},
        {"account_number": 2, "current_balance": None},
        {"account_number": 3, "customer_number": 9},
    ]
    transactions: list[Row] = [{"trans_id": key, "account_number": key} for key in (1, 2, 3, 4)]
    verdicts = judged(tmp_path, account=accounts, transaction=transactions)
    assert fates(verdicts, "transaction") == [
        "loaded",
        "rejected PARENT_REJECTED",
        "rejected PARENT_REJECTED",
        "rejected ORPHAN",
    ]
    assert records(verdicts["transaction"], "column", "old_value") == [("account_number", key) for key in "234"]


def test_an_account_of_a_kept_inactive_parent_is_loaded(tmp_path: Path) -> None:
    verdicts = judged(tmp_path, product=[{"active": 0}], customer=[{"status": None}], account=[{}], transaction=[{}])
    assert [fates(verdicts, entity) for entity in ENTITIES] == [["loaded"]] * 4
    told = [records(verdict, "reasons", "column") for verdict in verdicts.values()]
    assert told == [[("KEPT_INACTIVE", "active")], [("KEPT_INACTIVE", "status")], [], []]


def test_a_rejected_account_still_refers_to_its_parents(tmp_path: Path) -> None:
    verdicts = judged(tmp_path, customer=[{"status": "GONE"}], account=[{"account_number": None}])
    assert records(verdicts["customer"], "reasons") == [("KEPT_INACTIVE",)]


def test_inactive_parents_excluded_take_their_accounts_and_transactions_along(tmp_path: Path) -> None:
    verdicts = judged(
        tmp_path,
        policies=Policies(inactive_parents="exclude"),
        product=[{}, {"product_code": 2, "active": 0}],
        customer=[{}, {"customer_number": 2, "status": "GONE"}],
        account=[
            {},
            {"account_number": 2, "customer_number": 2, "current_balance": "broken, but excluded"},
            {"account_number": 3, "product_code": "02"},
            {"account_number": 4, "customer_number": 2, "product_code": 99},
        ],
        transaction=[
            {},
            {"trans_id": 2, "account_number": 2},
            {"trans_id": 3, "account_number": 3, "trans_amount": None},
            {"trans_id": 4, "account_number": 4},
        ],
    )
    excluded = "excluded PARENT_EXCLUDED"
    assert {entity: fates(verdicts, entity) for entity in ENTITIES} == {
        "product": ["loaded", "excluded INACTIVE"],
        "customer": ["loaded", "excluded INACTIVE"],
        "account": ["loaded", excluded, excluded, excluded],
        "transaction": ["loaded", excluded, excluded, excluded],
    }


def test_a_duplicate_of_an_excluded_parent_stays_a_duplicate(tmp_path: Path) -> None:
    verdicts = judged(
        tmp_path,
        policies=Policies(inactive_parents="exclude"),
        customer=[{"status": "GONE"}],
        account=[{}, {}, {"account_number": 2}, {"account_number": 2, "current_balance": 1}],
        transaction=[{"trans_id": key, "account_number": key} for key in (1, 2)],
    )
    assert fates(verdicts, "account") == [
        "excluded PARENT_EXCLUDED",
        "excluded EXACT_DUPLICATE",
        "rejected DUPLICATE_KEY",
        "rejected DUPLICATE_KEY",
    ]
    assert fates(verdicts, "transaction") == ["excluded PARENT_EXCLUDED", "rejected PARENT_REJECTED"]


# how rows are read


def test_integers_in_a_column_of_reals_keep_their_spelling_as_text_and_code(tmp_path: Path) -> None:
    """Whole amounts stand as INTEGER among REALs, so both are read as REAL; as text 5 and 5.0 differ."""
    names: list[LegacyValue] = [0.5, 1.5, 2.5, 5, 5.0, 2**53 + 1]
    rows: list[Row] = [{"customer_number": n, "phone_number": name} for n, name in enumerate(names, 1)]
    verdict = judged(tmp_path, customer=rows)["customer"]
    assert verdict.rows["phone"].to_pylist() == ["0.5", "1.5", "2.5", "5", "5.0", "9007199254740993"]


@pytest.mark.parametrize("entity", KEYS)
def test_an_empty_table_gives_no_rows_and_no_defects(tmp_path: Path, entity: str) -> None:
    verdict = judged_rows(tmp_path, {entity: []}, Policies())[entity]
    assert (verdict.rows.num_rows, verdict.defects.num_rows, verdict.keys.num_rows) == (0, 0, 0)
    assert verdict.rows.schema == ENTITIES[entity].row_schema


# the laws, for any rows

_ANY = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-2, 3),
    st.floats(allow_nan=False),
    st.sampled_from([0.0, 0.1 + 0.2, -12.34, 1e13, 0.005]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.sampled_from(["", " \u200b", "\0", "1", "02", "1\0", "-1.50", "1e2", "1e13", "0.001", "2024-02-30", "x" * 201]),
    st.binary(max_size=3),
    st.sampled_from([b"\xff", b"2024-03\xff", b"1\xff", b"\xa01"]).map(UndecodableText),
)
_KEY: st.SearchStrategy[LegacyValue] = st.one_of(st.integers(0, 3), st.integers(1, 2), st.just("1"), st.just(2.0), _ANY)
_MONEY: st.SearchStrategy[LegacyValue] = st.one_of(
    st.integers(-(10**15) + 1, 10**15 - 1).map(lambda cents: str(Decimal(cents) / 100)),
    st.floats(-1e6, 1e6).map(lambda amount: round(amount, 2)),
    st.integers(-100, 100),
    _ANY,
)
_DATE: st.SearchStrategy[LegacyValue] = st.one_of(
    st.dates().map(str), st.datetimes().map(str), st.sampled_from(["2024-03-05", "2024-04", "9999-12-31", None]), _ANY
)


def _codes(*codes: LegacyValue) -> st.SearchStrategy[LegacyValue]:
    return st.one_of(st.sampled_from(codes), st.sampled_from(codes), _ANY)


_COLUMNS: dict[str, dict[str, st.SearchStrategy[LegacyValue]]] = {
    "product": {
        "product_code": _KEY, "account_type": _codes("CHK", "cur"), "int_rate": _codes(1, 2.5, "3"),
        "debit_fee": _codes(0, 1.5), "active": _codes(1, 0, "Y"),
    },
    "customer": {
        "customer_number": _KEY, "first_name": _codes("ADA", "eve"), "email_address": _codes("a@b", None, "a"),
        "created_date": _DATE, "status": _codes("ACTIVE", "GONE"),
    },
    "account": {
        "account_number": _KEY, "customer_number": _KEY, "product_code": _KEY, "account_status": _codes("A", "c"),
        "current_balance": _MONEY, "close_date": _DATE,
    },
    "transaction": {
        "trans_id": st.one_of(_KEY, st.sampled_from(["A", "b"])), "account_number": _KEY,
        "trans_type": _codes("CR", "DR", "in"), "trans_amount": _MONEY, "balance_after": _MONEY,
        "description": _ANY, "trans_date": _DATE,
    },
}  # fmt: skip


@st.composite
def _rows_of(draw: st.DrawFn, entity: str, most: int) -> list[dict[str, LegacyValue]]:
    """Draw rows that differ from the sound row in any of the columns; some twice."""
    changes = {
        column: st.one_of(st.just(SOUND[entity][column]), strategy) for column, strategy in _COLUMNS[entity].items()
    }
    rows: list[dict[str, LegacyValue]] = draw(st.lists(st.fixed_dictionaries(changes), max_size=most))
    return rows + rows[:1] if draw(st.booleans()) else rows


def legacy_databases(most: int) -> st.SearchStrategy[dict[str, list[dict[str, LegacyValue]]]]:
    """Return databases of up to so many rows a table (one more where a row stands twice)."""
    return st.fixed_dictionaries({entity: _rows_of(entity, most) for entity in ENTITIES})


# to shrink a database of four tables takes minutes: the example that was found is told as it is
WITHOUT_SHRINKING = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)

POLICIES = st.builds(
    Policies,
    inactive_parents=st.sampled_from(["referenced", "exclude"]),
    invalid_email=st.sampled_from(["reject", "null"]),
    letter_case=st.sampled_from(["title", "keep"]),
    legacy_encoding=st.sampled_from(["utf-8", "cp1252", "utf-16"]),
    date_formats=st.sampled_from([(), ("%d.%m.%Y", "%Y-%m")]),
    transaction_type=st.sampled_from([{}, {"X": "CREDIT"}]),
)


def batch_of(entity: str, row: Mapping[str, LegacyValue]) -> str:
    """Return the batch of a source row by contract section 3."""
    date = row.get("trans_date")
    text = date.raw.decode("latin-1") if isinstance(date, UndecodableText) else date
    if entity != "transaction":
        return "all"
    month = re.match(r"(19\d\d|20\d\d|2100)-(0[1-9]|1[0-2])", text, re.ASCII) if isinstance(text, str) else None
    return month[0] if month else "undated"


def cents(value: LegacyValue) -> Decimal:
    """Return the money of a source value in cents by contract section 4, 0 where there is none."""
    if isinstance(value, float):
        text = f"{value:.15g}" if math.isfinite(value) else ""
    elif isinstance(value, int | str):
        text = str(value).strip("\u200b\ufeff \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u3000")
    else:
        text = ""
    if not re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,6})?", text, re.ASCII):
        return Decimal(0)
    amount = Decimal(text)
    if amount and (abs(amount) >= 10**13 or amount.normalize().as_tuple().exponent < -2):  # type: ignore[operator]  # a finite number has an integer exponent
        return Decimal(0)
    return amount * 100


MEASURES = {
    "account": {"balance": "current_balance"},
    "transaction": {"amount": "trans_amount", "balance_after": "balance_after"},
}


def exactly(row: Row) -> list[tuple[str, type, LegacyValue]]:
    """Return a row with the storage class of each value, which `==` alone does not tell."""
    return [(column, type(value), value) for column, value in row.items()]


def left_out_rows(verdict: Cleaned) -> list[dict[str, Any]]:
    """Return the defects of rows that were not loaded."""
    return [record for record in verdict.defects.to_pylist() if record["action"] != "repaired"]


@given(rows=legacy_databases(6), policies=POLICIES)
@settings(WITHOUT_SHRINKING, max_examples=20)
def test_every_row_and_every_cent_is_accounted_for(rows: dict[str, list[Row]], policies: Policies) -> None:
    with tempfile.TemporaryDirectory() as folder:
        verdicts = judged_rows(Path(folder), rows, policies)
    for entity, verdict in verdicts.items():
        source = [SOUND[entity] | row for row in rows[entity]]
        left_out = left_out_rows(verdict)
        batches = Counter(verdict.rows["batch"].to_pylist()) + Counter(record["batch"] for record in left_out)
        assert batches == Counter(batch_of(entity, row) for row in source)
        numbers = [record["source_row_id"] for record in left_out]
        assert len(numbers) == len(set(numbers)), "a row that is not loaded has one record"
        for record in verdict.defects.to_pylist():
            row = source[record["source_row_id"] - 1]
            assert exactly(read_source_row(record["source_row"])) == exactly(row), "kept whole"
        for target, legacy in MEASURES.get(entity, {}).items():
            of_rows = [cents(row[legacy]) for row in source]
            of_left_out = [cents(read_source_row(record["source_row"])[legacy]) for record in left_out]
            if target == "amount":
                of_rows, of_left_out = list(map(abs, of_rows)), list(map(abs, of_left_out))
            assert sum(of_rows) == sum(verdict.rows[target].to_pylist()) + sum(of_left_out)
    assert_integrity({entity: verdict.rows.to_pydict() for entity, verdict in verdicts.items()})


def assert_integrity(loaded: Mapping[str, Mapping[str, list[Any]]]) -> None:
    """Assert that each key is loaded once and each reference has its parent."""
    for entity, columns in loaded.items():
        keys = columns[f"{entity}_id"]
        assert len(keys) == len(set(keys))
    assert set(loaded["account"]["customer_id"]) <= set(loaded["customer"]["customer_id"])
    assert set(loaded["account"]["product_id"]) <= set(loaded["product"]["product_id"])
    assert set(loaded["transaction"]["account_id"]) <= set(loaded["account"]["account_id"])


def _sorted(verdict: Cleaned) -> tuple[list[Any], list[str], list[Any]]:
    """Return rows in their order, and the defects in an order that does not depend on chunks."""
    return verdict.rows.to_pylist(), sorted(map(json.dumps, verdict.defects.to_pylist())), verdict.keys.to_pylist()


@given(rows=legacy_databases(3), policies=POLICIES)
@settings(WITHOUT_SHRINKING, max_examples=5)
def test_how_rows_are_cut_into_chunks_does_not_matter(rows: dict[str, list[Row]], policies: Policies) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_source(Path(folder) / "legacy.db", rows)
        whole, singly, by_three = (judge(path, policies, size) for size in (None, 1, 3))
    for entity in ENTITIES:
        assert _sorted(singly[entity]) == _sorted(whole[entity])
        assert _sorted(by_three[entity]) == _sorted(whole[entity])


ODD: list[LegacyValue] = [
    None, -(2**63), 0.1, -math.inf, "", "\0", "é" * 300, b"", b"\x00\xff", UndecodableText(b"\xc3\x28"),
]  # fmt: skip


@pytest.mark.parametrize("entity", KEYS)
def test_one_odd_value_in_every_column_leaves_out_that_row_alone(tmp_path: Path, entity: str) -> None:
    odd: list[Row] = [dict.fromkeys(SOUND[entity], value) for value in ODD]
    rows: list[Row] = [{}, *odd]
    verdict = judged_rows(tmp_path, {entity: rows}, Policies())[entity]
    assert verdict.rows.num_rows == 1
    left_out = {record["source_row_id"]: read_source_row(record["source_row"]) for record in left_out_rows(verdict)}
    assert {number: exactly(row) for number, row in left_out.items()} == {
        number: exactly(row) for number, row in enumerate(rows, 1) if row
    }


def _children_first(rows: Sequence[Row]) -> list[Row]:
    return list(reversed(rows))


def test_the_order_of_rows_decides_nothing_but_which_twin_is_kept(tmp_path: Path) -> None:
    accounts: list[Row] = [{"account_number": n, "current_balance": n if n % 3 else None} for n in (5, 1, 4, 2, 3, 2)]
    one, other = (judged(tmp_path, account=order)["account"] for order in (accounts, _children_first(accounts)))
    assert sorted(one.rows.to_pylist(), key=str) == sorted(other.rows.to_pylist(), key=str)
    assert Counter(records(one, "source_key", "reasons")) == Counter(records(other, "source_key", "reasons"))
    assert pa.compute.sum(one.rows["balance"]).as_py() == 1200
