"""The second reading equals what is loaded and recorded, and whatever the cleaning does wrong is named.

The two readings share no code; rows of every storage class hold them against each other.
"""

import dataclasses
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings

from accounts_migration.databases.target import BatchToLoad, Snapshot, Target, open_target
from accounts_migration.demo_source import write_demo_source
from accounts_migration.entities import ENTITIES, Entity, columns
from accounts_migration.entities import policies as policies_module
from accounts_migration.entities.cleaning import Cleaned
from accounts_migration.entities.columns import ParsedColumn
from accounts_migration.entities.defects import DEFECT_SCHEMA, EXCLUDED, REJECTED
from accounts_migration.entities.entity import ParsedChunk, ParsedField
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.schemas import FAULT_SUFFIX
from accounts_migration.entities.values import REASONS
from accounts_migration.legacy_values import LegacyValue, UndecodableText
from accounts_migration.reconciliation.second_reading import Held, Scope, hold_against, plain_rules
from accounts_migration.second_reading.reading import Record, SecondReading
from accounts_migration_tests.entities.judging import SOUND, TAKEN, Row, judge, write_source
from accounts_migration_tests.entities.test_cleaning import POLICIES, WITHOUT_SHRINKING, legacy_databases

EVERYTHING = Scope([], is_everything=True, waiting=(), rows=0)
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

RULES = [
    pytest.param(entity, target, legacy, reason, id=f"{entity}-{target}-{reason}")
    for (entity, target, legacy), reasons in BREAKING.items()
    for reason in reasons
]

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


def load(target: Target, verdicts: Mapping[str, Cleaned], policies: Policies) -> None:
    """Load what was cleaned into an empty target, with its records, a batch at a time."""
    snapshot = Snapshot("one", "legacy.db", "ab" * 32, TAKEN)
    target.prepare()
    for entity, verdict in verdicts.items():
        batches = {*verdict.rows["batch"].to_pylist(), *verdict.defects["batch"].to_pylist()}
        for batch in sorted(batches):
            rows = verdict.rows.filter(pc.equal(verdict.rows["batch"], batch)).drop_columns(["batch"])
            defects = verdict.defects.filter(pc.equal(verdict.defects["batch"], batch))
            actions = Counter(defects["action"].to_pylist())
            target.load_batch(
                BatchToLoad(
                    entity=entity,
                    batch=batch,
                    snapshot=snapshot,
                    policies=policies.as_json(),
                    policies_digest=policies.digest,
                    content_digest="",
                    source_rows=len(rows) + actions[REJECTED] + actions[EXCLUDED],
                    rejected=actions[REJECTED],
                    excluded=actions[EXCLUDED],
                    control_totals="{}",
                    rows=rows.combine_chunks().to_batches(),
                    defects=defects.select(DEFECT_SCHEMA.names).combine_chunks().to_batches(),
                )
            )


Difference = tuple[str, str, str, str, str | None, str | None]


def held(source: Path, url: str, policies: Policies) -> list[Held]:
    """Clean and load a source as the code stands, and hold it against the second reading."""
    verdicts = judge(source, policies)
    reading = SecondReading(source, plain_rules(policies), TAKEN)
    with open_target(url) as target:
        load(target, verdicts, policies)
        return [hold_against(entity, reading, target, EVERYTHING) for entity in ENTITIES]


def differences(source: Path, url: str, policies: Policies) -> list[Difference]:
    """Return what the second reading finds: (entity, difference, key, column, expected, found)."""
    return [
        (one.entity, told.kind, told.key, told.column, told.expected, told.found)
        for one in held(source, url, policies)
        for told in one.differences
    ]


def lacks(entity: str, key: str) -> Difference:
    return (entity, "MISSING_IN_TARGET", key, "", None, None)


def has_too_much(entity: str, key: str) -> Difference:
    return (entity, "UNEXPECTED_IN_TARGET", key, "", None, None)


def tells(entity: str, key: str, column: str, expected: str | None, found: str | None) -> Difference:
    return (entity, "DIFFERENT", key, column, expected, found)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("dirty") / "legacy.db", dirty_bank())


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "target.db")


LENIENT: dict[str, Any] = {
    "inactive_parents": "exclude",
    "invalid_email": "null",
    "legacy_encoding": "cp1252",
    "date_formats": ("%d.%m.%Y", "%Y%m%d"),
    "transaction_type": {"XX": "CREDIT"},
}


# both readings agree


@pytest.mark.parametrize("chosen", [{}, LENIENT], ids=["defaults", "lenient"])
def test_nothing_differs_on_rows_of_every_storage_class(dirty: Path, target_url: str, chosen: dict[str, Any]) -> None:
    found = held(dirty, target_url, Policies(**chosen))
    assert [one.differences for one in found] == [[], [], [], []]
    assert all(one.is_equal and one.judged and one.rows.compared and one.records for one in found)


def test_every_reason_of_the_contract_is_found(dirty: Path) -> None:
    found: set[str] = set()
    for chosen in ({}, LENIENT):
        reading = SecondReading(dirty, plain_rules(Policies(**chosen)), TAKEN)
        for entity in ENTITIES:
            found |= {reason for record in records_of(reading, entity) for reason in record.reasons.split(",")}
    assert found == {reason for reason in REASONS if reason}


def test_nothing_differs_on_a_demo_source_full_of_dirt(tmp_path: Path, url: str) -> None:
    source = tmp_path / "legacy.db"
    write_demo_source(source, accounts=400, transactions=4000, dirt=0.05, seed=3)
    found = held(source, url, Policies(max_reject_rate=1))
    assert [one.differences for one in found] == [[], [], [], []]
    assert [one.judged for one in found] == [20, 280, 400, 4000]


def records_of(reading: SecondReading, entity: str) -> list[Record]:
    """Return the records of an entity, having read it to its end."""
    records: list[Record] = []
    for _ in reading.rows(entity, records.extend):
        pass
    return records


def as_read(reading: SecondReading, entity: str) -> tuple[list[Row], list[list[Any]]]:
    """Return the rows by key, and the records, of a second reading."""
    records: list[Record] = []
    rows = [row for part in reading.rows(entity, records.extend) for row in part.to_pylist()]
    return sorted(rows, key=lambda row: str(row[f"{entity}_id"])), in_order(map(list, records))


def as_cleaned(verdict: Cleaned, entity: str) -> tuple[list[Row], list[list[Any]]]:
    """Return the same of the cleaning."""
    records = [list(record.values()) for record in verdict.defects.to_pylist()]
    for record in records:
        record[-1] = json.dumps(json.loads(record[-1]))
    return sorted(verdict.rows.to_pylist(), key=lambda row: str(row[f"{entity}_id"])), in_order(records)


def in_order(records: Iterable[list[Any]]) -> list[list[Any]]:
    return sorted(records, key=lambda record: list(map(str, record)))


@given(rows=legacy_databases(most=12), policies=POLICIES)
@settings(parent=WITHOUT_SHRINKING, max_examples=25)
def test_both_readings_make_the_same_of_any_rows(rows: dict[str, list[Row]], policies: Policies) -> None:
    """Every value of every row, and every word of every record."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_source(Path(folder) / "legacy.db", rows)
        verdicts = judge(path, policies)
        reading = SecondReading(path, plain_rules(policies), TAKEN)
        for entity in ENTITIES:
            assert as_read(reading, entity) == as_cleaned(verdicts[entity], entity)


# a rule switched off in the cleaning is named


def without_rule(entity: Entity, target: str, reason: str) -> Entity:
    """Return the entity with one rule switched off: its parser accepts what breaks it, and its check is gone."""

    def parse(*arguments: Any) -> ParsedChunk:
        parsed = entity.parse(*arguments)
        fields = [_accepting(one, reason) if one.target == target else one for one in parsed.fields]
        return dataclasses.replace(parsed, fields=fields)

    columns = dict(entity.schema.columns)
    for name in (target, target + FAULT_SUFFIX):
        if name in columns:
            kept = [check for check in columns[name].checks if check.name != reason]
            column = columns[name]
            columns[name] = pandera.Column(column.dtype, kept, nullable=column.nullable, required=column.required)
    return dataclasses.replace(entity, parse=parse, schema=pandera.DataFrameSchema(columns))


FILLERS: dict[str, Any] = {
    "product_type": "CURRENT",
    "status": "CLOSED",
    "transaction_type": "FEE",
    "customer_id": "CUST-0001",
    "product_id": "PROD-001",
    "account_id": "ACCT-00000001",
    "email": "a@b",
    "opening_date": date(2024, 1, 1),
    "closing_date": date(2024, 1, 1),
    "created_at": datetime(2024, 1, 1),
    "transaction_date": datetime(2024, 1, 1),
}


FREE_KEYS = {
    "product": "PROD-999",
    "customer": "CUST-9999",
    "account": "ACCT-00009999",
    "transaction": "TXN-accepted",
}


def _accepting(field: ParsedField, reason: str) -> ParsedField:
    parsed = field.column
    accepted = parsed.faults == REASONS.index(reason)
    is_number = pa.types.is_integer(parsed.values.type)
    if reason == "ZERO_AMOUNT":  # which the target would refuse as such, and a negative fee, too
        accepted = accepted | np.asarray(pc.equal(parsed.values, 0).fill_null(False))
    elif reason == "OUT_OF_RANGE":
        accepted = accepted | np.asarray(pc.less(parsed.values, 0).fill_null(False))
    filler = pa.scalar(FILLERS.get(field.target, 1 if is_number else "accepted"), parsed.values.type)
    values = pc.if_else(pa.array(accepted), filler, parsed.values)
    return dataclasses.replace(
        field, column=ParsedColumn(values, np.where(accepted, np.int8(0), parsed.faults), parsed.repairs)
    )


@pytest.mark.parametrize(("entity", "target", "legacy", "reason"), RULES)
def test_a_rule_switched_off_is_named(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, entity: str, target: str, legacy: str, reason: str
) -> None:
    key = ENTITIES[entity].key_column
    value = BREAKING[entity, target, legacy][reason][-1]
    credit: Row = {"trans_type": "CR", "trans_amount": 5} if entity == "transaction" else {}
    broken: Row = {key: 2, **credit, legacy: value}
    rows: list[Row] = [{}, broken]
    source = write_source(tmp_path / "legacy.db", {entity: rows})
    if legacy == key:
        monkeypatch.setitem(FILLERS, target, FREE_KEYS[entity])
    monkeypatch.setitem(ENTITIES, entity, without_rule(ENTITIES[entity], target, reason))
    found = differences(source, url, Policies())
    assert lacks(entity, f"row 2 {REJECTED} {reason}") in found
    assert {difference[0] for difference in found} == {entity}


def test_the_rules_switched_off_are_all_rules_of_columns(tmp_path: Path) -> None:
    of_schemas = {
        (entity.name, name.removesuffix(FAULT_SUFFIX), str(check.name))
        for entity in ENTITIES.values()
        for name, column in entity.schema.columns.items()
        for check in column.checks
    }
    switched_off = {(entity, target, reason) for (entity, target, _), reasons in BREAKING.items() for reason in reasons}
    of_keys = {one for one in of_schemas if one[2] in ("DUPLICATE_KEY", "ORPHAN", "PARENT_REJECTED")}
    # what the schema names in two ways is one rule
    assert switched_off == of_schemas - of_keys


def changed(entity: str, change: Callable[[ParsedChunk], ParsedChunk]) -> Entity:
    """Return the entity with a fault behind its parser."""
    parse = ENTITIES[entity].parse
    return dataclasses.replace(ENTITIES[entity], parse=lambda *arguments: change(parse(*arguments)))


def without_repairs(parsed: ParsedChunk) -> ParsedChunk:
    """Return the chunk with its values repaired, and nothing said of it."""
    fields = [
        dataclasses.replace(one, column=one.column._replace(repairs=np.zeros_like(one.column.repairs)))
        for one in parsed.fields
    ]
    return dataclasses.replace(parsed, fields=fields)


@pytest.mark.parametrize(
    ("entity", "row", "reason"),
    [
        ("customer", {"created_date": None}, "DEFAULTED"),
        ("customer", {"email_address": "a@@b"}, "INVALID_EMAIL"),
        ("account", {"open_date": "2024-01-01 10:00"}, "TRUNCATED"),
        ("account", {"close_date": "2024-01-01 10:00"}, "TRUNCATED"),
        ("account", {"close_date": "9999-12-31"}, "SENTINEL_DATE"),
        ("transaction", {"description": "x" * 201}, "TRUNCATED"),
    ],
)
def test_a_repair_that_is_not_recorded_is_named(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, entity: str, row: Row, reason: str
) -> None:
    source = write_source(tmp_path / "legacy.db", {entity: [row]})
    monkeypatch.setitem(ENTITIES, entity, changed(entity, without_repairs))
    found = differences(source, url, Policies(invalid_email="null"))
    assert found == [lacks(entity, f"row 1 repaired {reason}")]


def always_active(parsed: ParsedChunk) -> ParsedChunk:
    return dataclasses.replace(parsed, inactive=None)


@pytest.mark.parametrize(
    ("entity", "row"),
    [("product", {"product_code": 2, "active": "N"}), ("customer", {"customer_number": 2, "status": "GONE"})],
)
def test_an_inactive_row_that_nobody_refers_to_and_is_loaded_is_named(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, entity: str, row: Row
) -> None:
    source = write_source(tmp_path / "legacy.db", {entity: [{}, row]})
    monkeypatch.setitem(ENTITIES, entity, changed(entity, always_active))
    key = {"product": "PROD-002", "customer": "CUST-0002"}[entity]
    assert differences(source, url, Policies()) == [
        has_too_much(entity, key),
        lacks(entity, f"row 2 {EXCLUDED} INACTIVE"),
    ]


@pytest.mark.parametrize(("entity", "row"), [("product", {"active": "N"}), ("customer", {"status": "GONE"})])
def test_a_kept_inactive_row_that_is_not_recorded_is_named(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, entity: str, row: Row
) -> None:
    source = write_source(tmp_path / "legacy.db", {entity: [row]})
    monkeypatch.setitem(ENTITIES, entity, changed(entity, always_active))
    assert differences(source, url, Policies()) == [lacks(entity, "row 1 repaired KEPT_INACTIVE")]


@pytest.mark.parametrize(
    ("entity", "codes", "column", "code", "right", "wrong"),
    [
        ("product", "PRODUCT_TYPES", "account_type", "CHK", "CHECKING", "CURRENT"),
        ("account", "ACCOUNT_STATUSES", "account_status", "C", "CLOSED", "ACTIVE"),
        ("transaction", "TRANSACTION_TYPES", "trans_type", "FE", "FEE", "DEBIT"),
    ],
)
def test_a_code_mapped_wrongly_for_cleaning_and_totals_alike_is_named(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, entity: str, codes: str, column: str, code: str,
    right: str, wrong: str,
) -> None:  # fmt: skip
    source = write_source(tmp_path / "legacy.db", {entity: [{column: code}]})
    monkeypatch.setattr(policies_module, codes, {**getattr(policies_module, codes), code: wrong})
    key = {"product": "PROD-001", "account": "ACCT-00000001", "transaction": "TXN-1"}[entity]
    column = {"product": "product_type", "account": "status", "transaction": "transaction_type"}[entity]
    assert differences(source, url, Policies()) == [tells(entity, key, column, right, wrong)]


def test_a_code_unknown_to_cleaning_alone_is_named(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_source(tmp_path / "legacy.db", {"transaction": [{"trans_type": "FE"}]})
    monkeypatch.setattr(policies_module, "TRANSACTION_TYPES", {"CR": "CREDIT", "DR": "DEBIT", "IN": "INTEREST"})
    assert differences(source, url, Policies()) == [
        lacks("transaction", "TXN-1"),
        has_too_much("transaction", "row 1 rejected UNKNOWN_CODE"),
    ]


def records_changed(verdict: Cleaned, **values: Any) -> Cleaned:
    """Return what was cleaned with other values in its records."""
    records = [{**record, **values} for record in verdict.defects.to_pylist()]
    return dataclasses.replace(verdict, defects=pa.Table.from_pylist(records, verdict.defects.schema))


@pytest.mark.parametrize(
    ("changed_to", "named"),
    [
        (
            # an orphan that is told as the child of a rejected parent would be mended in the wrong place
            {"reason": "PARENT_REJECTED", "reasons": "PARENT_REJECTED"},
            [lacks("account", "row 1 rejected ORPHAN"), has_too_much("account", "row 1 rejected PARENT_REJECTED")],
        ),
        ({"old_value": "8"}, [tells("account", "row 1 rejected ORPHAN", "old_value", "9", "8")]),
        ({"new_value": "8"}, [tells("account", "row 1 rejected ORPHAN", "new_value", None, "8")]),
        ({"source_key": "11"}, [tells("account", "row 1 rejected ORPHAN", "source_key", "1", "11")]),
        (
            {"column": "customer_number"},
            [tells("account", "row 1 rejected ORPHAN", "column", "product_code", "customer_number")],
        ),
        (
            {"source_row_id": 2},
            [lacks("account", "row 1 rejected ORPHAN"), has_too_much("account", "row 2 rejected ORPHAN")],
        ),
    ],
)
def test_a_record_that_tells_it_wrongly_is_named(
    tmp_path: Path, url: str, changed_to: dict[str, Any], named: list[Difference]
) -> None:
    source = write_source(tmp_path / "legacy.db", {"account": [{"product_code": 9}]})
    verdicts = judge(source, Policies())
    verdicts["account"] = records_changed(verdicts["account"], **changed_to)
    assert loaded_differently(source, url, verdicts) == named


def test_personal_data_of_a_record_is_masked(tmp_path: Path, url: str) -> None:
    source = write_source(tmp_path / "legacy.db", {"customer": [{"email_address": "Ada Byron"}], "account": []})
    verdicts = judge(source, Policies())
    row = json.dumps({**SOUND["customer"], "email_address": "Eve"})
    verdicts["customer"] = records_changed(verdicts["customer"], old_value="Eve", source_row=row)
    found = loaded_differently(source, url, verdicts)
    assert tells("customer", "row 1 rejected INVALID_EMAIL", "old_value", "xxx xxxxx", "xxx") in found
    assert not any("Eve" in str(one) or "Byron" in str(one) for one in found)


def test_two_errors_that_cancel_each_other_out_are_named(tmp_path: Path, url: str) -> None:
    """One row wrongly rejected, another wrongly accepted, for the same reason and with the same money."""
    source = write_source(
        tmp_path / "legacy.db",
        {"transaction": [{"trans_date": "2024-02-30"}, {"trans_id": 2, "trans_date": "2024-02-29"}]},
    )
    verdicts = judge(source, Policies())
    told = verdicts["transaction"]
    [row], [record] = told.rows.to_pylist(), told.defects.to_pylist()
    row |= {"transaction_id": "TXN-1"}
    whole = {**SOUND["transaction"], "trans_id": 2, "trans_date": "2024-02-29"}
    record |= {"source_key": "2", "source_row_id": 2, "old_value": "2024-02-29", "source_row": json.dumps(whole)}
    verdicts["transaction"] = dataclasses.replace(
        told,
        rows=pa.Table.from_pylist([row], told.rows.schema),
        defects=pa.Table.from_pylist([record], told.defects.schema),
    )
    assert loaded_differently(source, url, verdicts) == [
        lacks("transaction", "TXN-2"),
        has_too_much("transaction", "TXN-1"),
        lacks("transaction", "row 1 rejected INVALID_DATE"),
        has_too_much("transaction", "row 2 rejected INVALID_DATE"),
    ]


def loaded_differently(source: Path, url: str, verdicts: Mapping[str, Cleaned]) -> list[Difference]:
    """Load what is given as cleaned, and return what the second reading finds."""
    reading = SecondReading(source, plain_rules(Policies()), TAKEN)
    with open_target(url) as target:
        load(target, verdicts, Policies())
        found = [hold_against(entity, reading, target, EVERYTHING) for entity in ENTITIES]
    return [
        (one.entity, told.kind, told.key, told.column, told.expected, told.found)
        for one in found
        for told in one.differences
    ]


# a value read wrongly is named, whichever column it stands in


WRONG: dict[str, Any] = {
    **FILLERS,
    "product_name": "Another",
    "first_name": "Eve",
    "last_name": "Moneypenny",
    "phone": "555 0100",
    "reference": "rent",
    "customer_id": "CUST-0002",
    "product_id": "PROD-002",
    "account_id": "ACCT-00000002",
}


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_wrong_value_is_named_whichever_column_it_stands_in(tmp_path: Path, url: str, entity: str) -> None:
    """A valid value in place of the right one, in another column of each row: no total, no count, no schema sees it."""
    target_columns = ENTITIES[entity].target_columns[1:]
    numbers = range(1, len(target_columns) + 1)
    rows: dict[str, list[Row]] = {name: [{ENTITIES[name].key_column: key} for key in numbers] for name in ENTITIES}
    source = write_source(tmp_path / "legacy.db", rows)
    verdicts = judge(source, Policies())
    cleaned = verdicts[entity].rows.to_pylist()
    for row, column in zip(cleaned, target_columns, strict=True):
        assert row[column] != WRONG.get(column, 123)
        row[column] = WRONG.get(column, 123)
    table = pa.Table.from_pylist(cleaned, verdicts[entity].rows.schema)
    verdicts[entity] = dataclasses.replace(verdicts[entity], rows=table)
    found = loaded_differently(source, url, verdicts)
    keys = [row[f"{entity}_id"] for row in cleaned]
    assert {one[:4] for one in found} == {
        (entity, "DIFFERENT", key, column) for key, column in zip(keys, target_columns, strict=True)
    }


def differently(
    read: Callable[..., ParsedColumn], change: Callable[[pa.Array], pa.Array]
) -> Callable[..., ParsedColumn]:
    """Return a parser of the cleaning that makes other values, and says nothing of it."""

    def reading(*arguments: Any, **more: Any) -> ParsedColumn:
        parsed = read(*arguments, **more)
        return parsed.replaced(change(parsed.values))

    return reading


@pytest.mark.parametrize(
    ("parser", "change", "row", "named"),
    [
        ("email", pc.utf8_swapcase, {}, ("customer", "CUST-0001", "email", "xxx@xxxxxxx.xxx", "xxx@xxxxxxx.xxx")),
        (
            "description",
            lambda texts: pc.utf8_slice_codeunits(texts, 0, 199),
            {"description": "9" * 200},
            ("transaction", "TXN-1", "reference", "9" * 200, "9" * 199),
        ),
        (
            "rate",
            lambda rates: pc.divide(rates, 100),
            {},
            ("product", "PROD-001", "interest_rate", "1.500000", "0.015000"),
        ),
    ],
)
def test_a_parser_that_reads_wrongly_is_named(
    tmp_path: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    parser: str,
    change: Callable[[pa.Array], pa.Array],
    row: Row,
    named: tuple[str, str, str, str, str],
) -> None:
    source = write_source(tmp_path / "legacy.db", {"transaction": [row]})
    monkeypatch.setattr(columns, parser, differently(getattr(columns, parser), change))
    assert differences(source, url, Policies()) == [tells(*named)]


def test_names_cased_wrongly_are_named(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_source(tmp_path / "legacy.db", {})
    monkeypatch.setattr(columns, "title_case_column", lambda names: names)
    assert differences(source, url, Policies()) == [
        tells("product", "PROD-001", "product_name", "Basic Checking", "BASIC CHECKING"),
        tells("customer", "CUST-0001", "first_name", "xxx", "xxx"),
        tells("customer", "CUST-0001", "last_name", "x'xxxx", "x'xxxx"),
    ]


@pytest.mark.parametrize(("months", "in_order"), [(range(1, 10), True), (range(9, 0, -1), False)])
def test_rows_in_any_order_are_compared(tmp_path: Path, url: str, months: range, in_order: bool) -> None:
    rows: list[Row] = [
        {"trans_id": f"{month}-{day}", "trans_date": f"2024-0{month}-0{day}"} for month in months for day in (1, 2)
    ]
    source = write_source(tmp_path / "legacy.db", {"transaction": rows})
    assert SecondReading(source, plain_rules(Policies()), TAKEN).is_in_order("transaction") is in_order
    found = held(source, url, Policies())[-1]
    assert (found.differences, found.judged, found.rows.compared) == ([], 18, 18)


def test_keys_are_known_to_stand_twice_however_many_scans_it_takes(
    dirty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = plain_rules(Policies())
    at_once = [as_read(reading, entity) for reading in [SecondReading(dirty, rules, TAKEN)] for entity in ENTITIES]
    monkeypatch.setattr("accounts_migration.second_reading.reading._KEYS_AT_ONCE", 20)
    in_parts = [as_read(reading, entity) for reading in [SecondReading(dirty, rules, TAKEN)] for entity in ENTITIES]
    assert in_parts == at_once


@pytest.mark.parametrize("make", ["CREATE VIEW {0} AS SELECT * FROM kept", "CREATE TABLE {0} ({1}) WITHOUT ROWID"])
def test_a_table_without_rowids_is_read_alike(dirty: Path, tmp_path: Path, make: str) -> None:
    source = Path(shutil.copy(dirty, tmp_path / "legacy.db"))
    columns = ENTITIES["transaction"].legacy_columns
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("ALTER TABLE legacy_transactions RENAME TO kept")
        keyed = ", ".join([*columns, "place INTEGER PRIMARY KEY"])
        connection.execute(make.format("legacy_transactions", keyed))
        if "VIEW" not in make:
            names = ", ".join(columns)
            connection.execute(
                f"INSERT INTO legacy_transactions ({names}, place) SELECT {names}, rowid FROM kept"  # noqa: S608  # ours
            )
    rules = plain_rules(Policies())
    usual, without = SecondReading(dirty, rules, TAKEN), SecondReading(source, rules, TAKEN)
    for entity in ENTITIES:
        (rows, records), (same_rows, same_records) = as_read(usual, entity), as_read(without, entity)
        assert rows == same_rows
        row_id = Record._fields.index("source_row_id")
        for record in records if entity == "transaction" else []:
            record[row_id] = None
        assert in_order(records) == same_records


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_text_in_utf_16_is_read_alike(tmp_path: Path, url: str, encoding: str) -> None:
    source = tmp_path / "legacy.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute("CREATE TABLE first (a)")
        connection.commit()
    odd: list[Row] = [
        {"trans_id": "k\u00e9y", "trans_type": "\u0131n", "description": "\u00e9" * 201, "trans_amount": "1e2"},
        {"trans_id": "0002", "description": "a\0b", "trans_date": "2024-01-02T10:00", "trans_amount": "\u0663"},
    ]
    write_source(source, {"transaction": odd})
    assert [one.differences for one in held(source, url, Policies())] == [[], [], [], []]
    reading = SecondReading(source, plain_rules(Policies()), TAKEN)
    reasons = [record.reasons for entity in ENTITIES for record in records_of(reading, entity)]
    assert reasons == ["TRUNCATED", "INVALID_NUMBER,NUL_CHARACTER"]


def evaluated(migration: Any, entity: str) -> tuple[bool, str, int, int]:
    """Return of the check on an entity: passed, severity, batches compared, source rows judged."""
    one = migration.evaluation("validation/second_reading", entity)
    figures = [one.metadata[name].value for name in ("batches compared", "source rows judged")]
    return one.passed, one.severity.value, *figures


def test_only_what_is_loaded_is_compared_and_nothing_is_no_pass(
    tmp_path: Path, open_migration: Callable[..., Any], url: str
) -> None:
    with open_migration(tmp_path, url) as migration:
        assert migration.run(job="snapshot").success
        assert migration.run(job="prepare", span=("2024-01", "undated")).success
        assert migration.run("target/product", "target/customer", "target/account").success
        assert migration.run("validation/second_reading").success
        assert evaluated(migration, "account") == (True, "ERROR", 1, 4)
        assert evaluated(migration, "transaction") == (False, "WARN", 0, 0)
        assert migration.run("target/transaction", batch="2024-02").success
        assert migration.run("validation/second_reading").success
        assert evaluated(migration, "transaction") == (True, "ERROR", 1, 4)


def test_what_waits_to_be_replaced_is_not_compared(
    tmp_path: Path,
    open_migration: Callable[..., Any],
    write_legacy: Callable[..., Path],
    new_legacy_rows: Callable[[], dict[str, list[tuple[Any, ...]]]],
    url: str,
) -> None:
    """One month is loaded from a source that was mended; the others still stand as the earlier one had them."""
    rows = new_legacy_rows()
    with open_migration(tmp_path, url, rows) as migration:
        migration.migrate()
        rows["legacy_transactions"] = [
            (key, account, kind, amount, balance, f"mended {text}", moment)
            for key, account, kind, amount, balance, text, moment in rows["legacy_transactions"]
        ]
        write_legacy(tmp_path / "legacy.db", rows)
        assert migration.run(job="snapshot").success
        assert migration.run(job="prepare", span=("2024-01", "undated")).success
        assert migration.run("target/transaction", batch="2024-02").success
        assert migration.run("validation/second_reading").success
        assert evaluated(migration, "transaction") == (True, "ERROR", 1, 4)
        assert migration.evaluation("validation/second_reading", "transaction").metadata["rows compared"].value == 2
        assert evaluated(migration, "customer") == (False, "WARN", 0, 0)


def test_a_target_without_a_migration_is_refused(tmp_path: Path, open_migration: Callable[..., Any], url: str) -> None:
    with open_migration(tmp_path, url) as migration:
        assert migration.run(job="snapshot").success
        with open_target(url) as target:
            target.prepare()
        assert list(migration.refusals(migration.run("validation/second_reading")).values()) == [
            f"Cannot hold {url} against its source: no migration has been recorded in it. "
            "Migrate into it first, or name the right target"
        ]
