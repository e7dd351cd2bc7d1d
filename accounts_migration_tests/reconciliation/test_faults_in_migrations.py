"""A fault in the cleaning, in a whole migration: which checks find it, and what they name."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from accounts_migration.entities import columns, product, transaction
from accounts_migration.entities.cleaning import Cleaned, clean
from accounts_migration.entities.columns import LegacyColumn, ParsedColumn
from accounts_migration.entities.values import REASONS
from accounts_migration_tests.reconciliation.validating import (
    READING_OF_TRANSACTIONS,
    SECOND_READING,
    TOTALS,
    Checks,
    different,
    evaluations,
    failed,
    named,
    stands_on_one_side,
)

VALIDATION = (
    "validation/referential_integrity",
    "validation/content",
    "validation/reconciliation",
    "validation/second_reading",
)


@pytest.fixture(scope="module")
def parents_loaded(
    tmp_path_factory: pytest.TempPathFactory, open_migration: Callable[..., Any], new_target: Callable[[str, Path], str]
) -> Iterator[Any]:
    """Migrate everything faultlessly; a test then cleans and loads the transactions with a fault planted."""
    folder = tmp_path_factory.mktemp("faults")
    with open_migration(folder, new_target("sqlite", folder)) as migration:
        migration.migrate()
        yield migration


def transactions_again(migration: Any) -> Checks:
    """Clean, load and validate all transactions; return check -> evaluation, of what was not refused."""
    selected = ("cleaned/transactions", "target/transaction", "target/constraints", *VALIDATION)
    run = migration.run(*selected, span=("2024-01", "undated"))
    return {
        f"{one.asset_key.path[-1]} {one.check_name}": one
        for one in run.get_asset_check_evaluations()
        if one.partition is None
    }


def test_a_code_mapped_wrongly_is_found(parents_loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source's totals come from SQL on the snapshot: cleaned and loaded alike, CR as DEBIT is still found."""
    mapped = columns.code

    def wrongly(column: LegacyColumn, codes: Mapping[str, str], encoding: str) -> ParsedColumn:
        return mapped(column, {**codes, "CR": "DEBIT"}, encoding)

    monkeypatch.setattr(columns, "code", wrongly)
    checks = transactions_again(parents_loaded)
    assert failed(checks) == {TOTALS, READING_OF_TRANSACTIONS}
    assert named(checks, SECOND_READING) == [
        different(key, "transaction_type", "CREDIT", "DEBIT") for key in ("TXN-1", "TXN-6", "TXN-10")
    ]
    assert checks[TOTALS].metadata["unexplained"].value == (
        "transaction CREDIT amount: 32.00, transaction CREDIT balance_after: 38.80, "
        "transaction DEBIT amount: -32.00, transaction DEBIT balance_after: -38.80"
    )


def test_a_rule_switched_off_is_found(parents_loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without SUB_CENT the amount 1.005 is loaded as 1.00, which the source never said."""
    read = columns.money

    def without_sub_cent(column: LegacyColumn, encoding: str) -> ParsedColumn:
        parsed = read(column, encoding)
        sub_cent = parsed.faults == REASONS.index("SUB_CENT")
        values = pc.if_else(pa.array(sub_cent), pa.scalar(100), parsed.values)
        return ParsedColumn(values, np.where(sub_cent, np.int8(0), parsed.faults), parsed.repairs)

    monkeypatch.setattr(columns, "money", without_sub_cent)
    checks = transactions_again(parents_loaded)
    assert failed(checks) == {TOTALS, READING_OF_TRANSACTIONS}
    assert named(checks, SECOND_READING) == [
        stands_on_one_side("UNEXPECTED_IN_TARGET", "TXN-5"),
        stands_on_one_side("MISSING_IN_TARGET", "row 5 rejected SUB_CENT"),
    ]
    assert checks[TOTALS].metadata["unexplained"].value == "transaction CREDIT amount: -1.00"


def test_an_amount_read_wrongly_is_found(parents_loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read = columns.money

    def a_cent_off(column: LegacyColumn, encoding: str) -> ParsedColumn:
        parsed = read(column, encoding)
        return parsed.replaced(pc.if_else(pc.equal(parsed.values, -325), -326, parsed.values))

    monkeypatch.setattr(columns, "money", a_cent_off)
    checks = transactions_again(parents_loaded)
    assert failed(checks) == {TOTALS, READING_OF_TRANSACTIONS}
    assert named(checks, SECOND_READING) == [different("TXN-2", "amount", "3.25", "3.26")]
    assert checks[TOTALS].metadata["unexplained"].value == "transaction DEBIT amount: -0.01"


def test_a_row_dropped_in_silence_is_found_before_it_is_loaded(
    parents_loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropping(*arguments: Any) -> Cleaned:
        cleaned = clean(*arguments)
        return dataclasses.replace(cleaned, rows=cleaned.rows.slice(1))

    before = parents_loaded.stored("transaction")
    monkeypatch.setattr("accounts_migration.assets.judging.clean", dropping)
    checks = transactions_again(parents_loaded)
    assert failed(checks) == {"transactions accounting_law"}
    assert "transaction content" not in checks
    refusal = parents_loaded.refusals(parents_loaded.run("target/transaction", batch="2024-01"))
    assert refusal == {
        "target__transaction": "The load of transaction is refused: cleaned/transactions, batch 2024-01, did not pass "
        "its checks. See the checks of cleaned/transactions, and materialize it again"
    }
    assert parents_loaded.stored("transaction") == before


def test_a_cleaned_row_that_breaks_a_rule_is_found_before_it_is_loaded(
    parents_loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def zeroing(*arguments: Any) -> Cleaned:
        cleaned = clean(*arguments)
        place = cleaned.rows.schema.get_field_index("amount")
        zeros = pc.if_else(pc.equal(cleaned.rows["amount"], 325), 0, cleaned.rows["amount"])
        return dataclasses.replace(cleaned, rows=cleaned.rows.set_column(place, cleaned.rows.field(place), zeros))

    monkeypatch.setattr("accounts_migration.assets.judging.clean", zeroing)
    checks = transactions_again(parents_loaded)
    assert failed(checks) == {"transactions pandera_schema"}
    assert parents_loaded.evaluation("cleaned/transactions", "pandera_schema", "2024-01").metadata == {
        "rows compared": dg.MetadataValue.int(3),
        "rows that break the schema": dg.MetadataValue.int(1),
    }
    assert not parents_loaded.run("target/transaction", batch="2024-01").success


def test_duplicates_that_nobody_judged_are_refused_by_the_target(
    parents_loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unjudged(entity: Any, chunk: Any, circumstances: Any) -> Cleaned:
        nothing = circumstances.duplicates.slice(0, 0)
        return clean(entity, chunk, dataclasses.replace(circumstances, duplicates=nothing))

    monkeypatch.setattr("accounts_migration.assets.judging.clean", unjudged)
    before = parents_loaded.stored("transaction")
    run = parents_loaded.run("cleaned/transactions", "target/transaction", batch="2024-02")
    assert list(parents_loaded.refusals(run)) == ["target__transaction"]
    assert parents_loaded.stored("transaction") == before


@pytest.fixture
def checks_of_a_migration(
    tmp_path: Path,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
    new_legacy_rows: Callable[[], dict[str, list[tuple[Any, ...]]]],
    instance: dg.DagsterInstance,
) -> Callable[..., Checks]:
    """Return a function (table=rows) that adds rows to the sample bank, migrates it and validates it."""

    def validated(**additional: list[tuple[Any, ...]]) -> Checks:
        url = new_target("sqlite", tmp_path)
        rows = {table: [*given, *additional.get(table, [])] for table, given in new_legacy_rows().items()}
        with open_migration(tmp_path, url, rows) as migration:
            migration.migrate()
            return evaluations(migration, instance, url)

    return validated


def test_a_negative_credit_let_in_is_found(
    checks_of_a_migration: Callable[..., Checks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its absolute value stands on both sides of the totals."""

    def signless(kind: ParsedColumn, signed: ParsedColumn) -> ParsedColumn:
        return ParsedColumn(pa.nulls(len(signed.values), pa.int64()), kind.faults * 0, kind.repairs * 0)

    monkeypatch.setattr(transaction, "_signed_credit", signless)
    checks = checks_of_a_migration(legacy_transactions=[(12, 1, "CR", -5, 5, "zq", "2024-01-01")])
    assert failed(checks) == {READING_OF_TRANSACTIONS}
    assert named(checks, SECOND_READING) == [
        stands_on_one_side("UNEXPECTED_IN_TARGET", "TXN-12"),
        stands_on_one_side("MISSING_IN_TARGET", "row 13 rejected SIGN_CONFLICT"),
    ]


def test_a_malformed_address_let_in_is_found(
    checks_of_a_migration: Callable[..., Checks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No total knows of it, and its one @ is all that the target asks for."""
    read = columns.email

    def of_any_form(column: LegacyColumn, encoding: str) -> ParsedColumn:
        parsed, names = read(column, encoding), columns.name(column, encoding)
        let_in = pc.match_substring(names.values, "\u200b").fill_null(False)
        return ParsedColumn(
            pc.if_else(let_in, names.values, parsed.values),
            np.where(np.asarray(let_in), np.int8(0), parsed.faults),
            parsed.repairs,
        )

    monkeypatch.setattr(columns, "email", of_any_form)
    customer = (5, "Zqeve", "Zqeve", "zq\u200beve@example.com", None, "2020-01-02", "ACTIVE")
    checks = checks_of_a_migration(legacy_customers=[customer])
    assert failed(checks) == {"second_reading customer"}
    assert named(checks, SECOND_READING) == [
        stands_on_one_side("UNEXPECTED_IN_TARGET", "CUST-0005"),
        stands_on_one_side("MISSING_IN_TARGET", "row 5 rejected INVALID_EMAIL"),
    ]


def test_inactive_rows_let_in_are_found(
    checks_of_a_migration: Callable[..., Checks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "_ACTIVE_CODES", {"1": "active", "Y": "active", "0": "active"})
    checks = checks_of_a_migration()
    assert failed(checks) == {"second_reading product"}
    assert named(checks, SECOND_READING) == [
        stands_on_one_side("UNEXPECTED_IN_TARGET", "PROD-003"),
        stands_on_one_side("MISSING_IN_TARGET", "row 3 excluded INACTIVE"),
    ]
