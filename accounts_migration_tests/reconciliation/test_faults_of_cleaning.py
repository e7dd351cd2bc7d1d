"""Whatever the cleaning does wrong is named by the second reading, whichever rule or column it is."""

import dataclasses
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from accounts_migration.entities import ENTITIES, Entity, columns
from accounts_migration.entities import policies as policies_module
from accounts_migration.entities.columns import ParsedColumn
from accounts_migration.entities.defects import EXCLUDED, REJECTED
from accounts_migration.entities.entity import ParsedChunk, ParsedField
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.schemas import FAULT_SUFFIX
from accounts_migration.entities.values import REASONS
from accounts_migration_tests.entities.judging import Row, judge, write_source
from accounts_migration_tests.reconciliation.holding import differences, has_too_much, lacks, tells
from accounts_migration_tests.second_reading.dirty_bank import BREAKING

RULES = [
    pytest.param(entity, target, legacy, reason, id=f"{entity}-{target}-{reason}")
    for (entity, target, legacy), reasons in BREAKING.items()
    for reason in reasons
]


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
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, entity: str, target: str, legacy: str, reason: str
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
    found = differences(source, sqlite_url, Policies())
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
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, entity: str, row: Row, reason: str
) -> None:
    source = write_source(tmp_path / "legacy.db", {entity: [row]})
    monkeypatch.setitem(ENTITIES, entity, changed(entity, without_repairs))
    found = differences(source, sqlite_url, Policies(invalid_email="null"))
    assert found == [lacks(entity, f"row 1 repaired {reason}")]


def always_active(parsed: ParsedChunk) -> ParsedChunk:
    return dataclasses.replace(parsed, inactive=None)


@pytest.mark.parametrize(
    ("entity", "row"),
    [("product", {"product_code": 2, "active": "N"}), ("customer", {"customer_number": 2, "status": "GONE"})],
)
def test_an_inactive_row_that_nobody_refers_to_and_is_loaded_is_named(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, entity: str, row: Row
) -> None:
    source = write_source(tmp_path / "legacy.db", {entity: [{}, row]})
    monkeypatch.setitem(ENTITIES, entity, changed(entity, always_active))
    key = {"product": "PROD-002", "customer": "CUST-0002"}[entity]
    assert differences(source, sqlite_url, Policies()) == [
        has_too_much(entity, key),
        lacks(entity, f"row 2 {EXCLUDED} INACTIVE"),
    ]


@pytest.mark.parametrize(("entity", "row"), [("product", {"active": "N"}), ("customer", {"status": "GONE"})])
def test_a_kept_inactive_row_that_is_not_recorded_is_named(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, entity: str, row: Row
) -> None:
    source = write_source(tmp_path / "legacy.db", {entity: [row]})
    monkeypatch.setitem(ENTITIES, entity, changed(entity, always_active))
    assert differences(source, sqlite_url, Policies()) == [lacks(entity, "row 1 repaired KEPT_INACTIVE")]


@pytest.mark.parametrize(
    ("entity", "codes", "column", "code", "right", "wrong"),
    [
        ("product", "PRODUCT_TYPES", "account_type", "CHK", "CHECKING", "CURRENT"),
        ("account", "ACCOUNT_STATUSES", "account_status", "C", "CLOSED", "ACTIVE"),
        ("transaction", "TRANSACTION_TYPES", "trans_type", "FE", "FEE", "DEBIT"),
    ],
)
def test_a_code_mapped_wrongly_for_cleaning_and_totals_alike_is_named(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, entity: str, codes: str, column: str, code: str,
    right: str, wrong: str,
) -> None:  # fmt: skip
    source = write_source(tmp_path / "legacy.db", {entity: [{column: code}]})
    monkeypatch.setattr(policies_module, codes, {**getattr(policies_module, codes), code: wrong})
    key = {"product": "PROD-001", "account": "ACCT-00000001", "transaction": "TXN-1"}[entity]
    column = {"product": "product_type", "account": "status", "transaction": "transaction_type"}[entity]
    assert differences(source, sqlite_url, Policies()) == [tells(entity, key, column, right, wrong)]


def test_a_code_unknown_to_cleaning_alone_is_named(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_source(tmp_path / "legacy.db", {"transaction": [{"trans_type": "FE"}]})
    monkeypatch.setattr(policies_module, "TRANSACTION_TYPES", {"CR": "CREDIT", "DR": "DEBIT", "IN": "INTEREST"})
    assert differences(source, sqlite_url, Policies()) == [
        lacks("transaction", "TXN-1"),
        has_too_much("transaction", "row 1 rejected UNKNOWN_CODE"),
    ]


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
def test_a_wrong_value_is_named_whichever_column_it_stands_in(tmp_path: Path, sqlite_url: str, entity: str) -> None:
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
    found = differences(source, sqlite_url, Policies(), verdicts)
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
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    parser: str,
    change: Callable[[pa.Array], pa.Array],
    row: Row,
    named: tuple[str, str, str, str, str],
) -> None:
    source = write_source(tmp_path / "legacy.db", {"transaction": [row]})
    monkeypatch.setattr(columns, parser, differently(getattr(columns, parser), change))
    assert differences(source, sqlite_url, Policies()) == [tells(*named)]


def test_names_cased_wrongly_are_named(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_source(tmp_path / "legacy.db", {})
    monkeypatch.setattr(columns, "title_case_column", lambda names: names)
    assert differences(source, sqlite_url, Policies()) == [
        tells("product", "PROD-001", "product_name", "Basic Checking", "BASIC CHECKING"),
        tells("customer", "CUST-0001", "first_name", "xxx", "xxx"),
        tells("customer", "CUST-0001", "last_name", "x'xxxx", "x'xxxx"),
    ]
