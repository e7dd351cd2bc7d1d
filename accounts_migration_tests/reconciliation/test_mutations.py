"""Every fault planted in a loaded target, or in the cleaning itself, is found and named by the validation."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from accounts_migration.definitions import build_defs
from accounts_migration.entities import ENTITIES, columns, policies, product, transaction
from accounts_migration.entities.cleaning import Cleaned, clean
from accounts_migration.entities.columns import LegacyColumn, ParsedColumn
from accounts_migration.entities.values import REASONS
from accounts_migration.resources import TargetResource

VALIDATION = (
    "validation/referential_integrity",
    "validation/content",
    "validation/reconciliation",
    "validation/second_reading",
)
Checks = Mapping[str, dg.AssetCheckEvaluation]


@dataclass(frozen=True)
class Mutation:
    """A change of the target: its SQL, what the content names of it, and which checks fail.

    Args:
        change: The statements, for both engines.
        named: (difference, key, column, expected, found).
        failed: The checks that fail; with the content of a table its second reading fails, too.
        unexplained: What the control totals say.
    """

    change: tuple[str, ...]
    named: list[tuple[str, str, str, str, str]]
    failed: set[str]
    unexplained: str = "0.00"


def different(key: str, column: str, expected: str, found: str) -> tuple[str, str, str, str, str]:
    return ("DIFFERENT", key, column, expected, found)


def stands_on_one_side(kind: str, key: str) -> tuple[str, str, str, str, str]:
    return (kind, key, "", "None", "None")


CONTENT, LAW, TOTALS, ORPHANS = (
    "content {}",
    "reconciliation accounting_law",
    "reconciliation control_totals",
    "no_orphans",
)
OF_TRANSACTIONS, OF_ACCOUNTS, OF_CUSTOMERS = "content transaction", "content account", "content customer"
SECOND_READING = "second_reading"
READING_OF_TRANSACTIONS = "second_reading transaction"

MUTATIONS = {
    "a row missing": Mutation(
        ("""DELETE FROM "transaction" WHERE transaction_id = 'TXN-4'""",),
        [stands_on_one_side("MISSING_IN_TARGET", "TXN-4")],
        {OF_TRANSACTIONS, LAW, TOTALS},
        "transaction INTEREST amount: 0.05, transaction INTEREST balance_after: 6.80",
    ),
    "a row additional": Mutation(
        (
            """INSERT INTO "transaction" SELECT 'TXN-99', account_id, transaction_type, 1, 0, '', transaction_date
            FROM "transaction" WHERE transaction_id = 'TXN-4'""",
        ),
        [stands_on_one_side("UNEXPECTED_IN_TARGET", "TXN-99")],
        {OF_TRANSACTIONS, LAW, TOTALS},
        "transaction INTEREST amount: -1.00",
    ),
    "a row additional in a month that the source has not": Mutation(
        (
            """INSERT INTO "transaction" SELECT 'TXN-99', account_id, transaction_type, 1, 0, '', '2031-05-06 00:00:00'
            FROM "transaction" WHERE transaction_id = 'TXN-4'""",
        ),
        [stands_on_one_side("UNEXPECTED_IN_TARGET", "TXN-99")],
        {OF_TRANSACTIONS, LAW, TOTALS},
        "transaction INTEREST amount: -1.00",
    ),
    "one cent": Mutation(
        ("""UPDATE "transaction" SET amount = 3.26 WHERE transaction_id = 'TXN-2'""",),
        [different("TXN-2", "amount", "3.25", "3.26")],
        {OF_TRANSACTIONS, TOTALS},
        "transaction DEBIT amount: -0.01",
    ),
    "a cent moved between two accounts": Mutation(
        (
            "UPDATE account SET balance = 100.09 WHERE account_id = 'ACCT-00000001'",
            "UPDATE account SET balance = -5.49 WHERE account_id = 'ACCT-00000002'",
        ),
        [
            different("ACCT-00000001", "balance", "100.10", "100.09"),
            different("ACCT-00000002", "balance", "-5.50", "-5.49"),
        ],
        {OF_ACCOUNTS, TOTALS},
        "account PROD-001/ACTIVE balance: 0.01, account PROD-002/ACTIVE balance: -0.01",
    ),
    "a total kept equal on purpose": Mutation(
        (
            """UPDATE "transaction" SET amount = 12.34 WHERE transaction_id = 'TXN-1'""",
            """UPDATE "transaction" SET amount = 17.66 WHERE transaction_id = 'TXN-6'""",
        ),
        [different("TXN-1", "amount", "10.00", "12.34"), different("TXN-6", "amount", "20.00", "17.66")],
        {OF_TRANSACTIONS},
    ),
    "products of two accounts exchanged": Mutation(
        (
            "UPDATE account SET product_id = 'PROD-002' WHERE account_id = 'ACCT-00000001'",
            "UPDATE account SET product_id = 'PROD-001' WHERE account_id = 'ACCT-00000002'",
        ),
        [
            different("ACCT-00000001", "product_id", "PROD-001", "PROD-002"),
            different("ACCT-00000002", "product_id", "PROD-002", "PROD-001"),
        ],
        {OF_ACCOUNTS, TOTALS},
        "account PROD-001/ACTIVE balance: 105.60, account PROD-002/ACTIVE balance: -105.60",
    ),
    "customers of two accounts exchanged": Mutation(
        (
            "UPDATE account SET customer_id = 'CUST-0002' WHERE account_id = 'ACCT-00000001'",
            "UPDATE account SET customer_id = 'CUST-0001' WHERE account_id = 'ACCT-00000003'",
        ),
        [
            different("ACCT-00000001", "customer_id", "CUST-0001", "CUST-0002"),
            different("ACCT-00000003", "customer_id", "CUST-0002", "CUST-0001"),
        ],
        {OF_ACCOUNTS},
    ),
    "first and last name exchanged": Mutation(
        ("UPDATE customer SET first_name = last_name, last_name = first_name WHERE customer_id = 'CUST-0001'",),
        [
            different("CUST-0001", "first_name", "xxxxx", "xxxxxxx"),
            different("CUST-0001", "last_name", "xxxxxxx", "xxxxx"),
        ],
        {OF_CUSTOMERS},
    ),
    "a value lost": Mutation(
        ("UPDATE customer SET phone = NULL WHERE customer_id = 'CUST-0001'",),
        [different("CUST-0001", "phone", "999-xx9", "None")],
        {OF_CUSTOMERS},
    ),
    "a text for an empty one": Mutation(
        ("""UPDATE "transaction" SET reference = 'NULL' WHERE transaction_id = 'TXN-2'""",),
        [different("TXN-2", "reference", "", "xxxx")],
        {OF_TRANSACTIONS},
    ),
    "a second off": Mutation(
        ("""UPDATE "transaction" SET transaction_date = '2024-01-02 10:11:13' WHERE transaction_id = 'TXN-2'""",),
        [different("TXN-2", "transaction_date", "2024-01-02 10:11:12", "2024-01-02 10:11:13")],
        {OF_TRANSACTIONS},
    ),
    "a fraction of a second lost": Mutation(
        ("""UPDATE "transaction" SET transaction_date = '2024-01-31 23:59:59' WHERE transaction_id = 'TXN-3'""",),
        [different("TXN-3", "transaction_date", "2024-01-31 23:59:59.500000", "2024-01-31 23:59:59")],
        {OF_TRANSACTIONS},
    ),
    "a row moved to another month": Mutation(
        ("""UPDATE "transaction" SET transaction_date = '2024-03-01 00:00:00' WHERE transaction_id = 'TXN-4'""",),
        [different("TXN-4", "transaction_date", "2024-02-01 00:00:00", "2024-03-01 00:00:00")],
        {OF_TRANSACTIONS, LAW},
    ),
    "two rows' references exchanged": Mutation(
        (
            """UPDATE "transaction" SET account_id = 'ACCT-00000003' WHERE transaction_id = 'TXN-4'""",
            """UPDATE "transaction" SET account_id = 'ACCT-00000001' WHERE transaction_id = 'TXN-6'""",
        ),
        [
            different("TXN-4", "account_id", "ACCT-00000001", "ACCT-00000003"),
            different("TXN-6", "account_id", "ACCT-00000003", "ACCT-00000001"),
        ],
        {OF_TRANSACTIONS},
    ),
    "two rows' keys exchanged": Mutation(
        (
            """UPDATE "transaction" SET transaction_id = 'TXN-x' WHERE transaction_id = 'TXN-7'""",
            """UPDATE "transaction" SET transaction_id = 'TXN-7' WHERE transaction_id = 'TXN-9'""",
            """UPDATE "transaction" SET transaction_id = 'TXN-9' WHERE transaction_id = 'TXN-x'""",
        ),
        [
            different("TXN-7", "account_id", "ACCT-00000002", "ACCT-00000003"),
            different("TXN-9", "account_id", "ACCT-00000003", "ACCT-00000002"),
            different("TXN-7", "amount", "4.50", "20.00"),
            different("TXN-9", "amount", "20.00", "4.50"),
            different("TXN-7", "balance_after", "-5.50", "0.00"),
            different("TXN-9", "balance_after", "0.00", "-5.50"),
            different("TXN-7", "reference", "xx xxxx", "xx xxxx"),
            different("TXN-9", "reference", "xx xxxx", "xx xxxx"),
            different("TXN-7", "transaction_date", "2024-03-04 00:00:00", "2024-03-06 00:00:00"),
            different("TXN-9", "transaction_date", "2024-03-06 00:00:00", "2024-03-04 00:00:00"),
        ],
        {OF_TRANSACTIONS},
    ),
    "a batch loaded twice": Mutation(
        (
            """INSERT INTO "transaction" SELECT transaction_id || '-again', account_id, transaction_type, amount,
            balance_after, reference, transaction_date FROM "transaction" WHERE transaction_id IN ('TXN-7', 'TXN-9')""",
        ),
        [
            stands_on_one_side("UNEXPECTED_IN_TARGET", "TXN-7-again"),
            stands_on_one_side("UNEXPECTED_IN_TARGET", "TXN-9-again"),
        ],
        {OF_TRANSACTIONS, LAW, TOTALS},
        "transaction DEBIT amount: -24.50, transaction DEBIT balance_after: 5.50",
    ),
    "a type changed": Mutation(
        ("""UPDATE "transaction" SET transaction_type = 'DEBIT' WHERE transaction_id = 'TXN-1'""",),
        [different("TXN-1", "transaction_type", "CREDIT", "DEBIT")],
        {OF_TRANSACTIONS, TOTALS},
        "transaction CREDIT amount: 10.00, transaction CREDIT balance_after: 10.00, "
        "transaction DEBIT amount: -10.00, transaction DEBIT balance_after: -10.00",
    ),
    "a customer and all that is his lost": Mutation(
        (
            """DELETE FROM "transaction" WHERE account_id = 'ACCT-00000003'""",
            "DELETE FROM account WHERE account_id = 'ACCT-00000003'",
            "DELETE FROM customer WHERE customer_id = 'CUST-0002'",
        ),
        [
            stands_on_one_side("MISSING_IN_TARGET", "CUST-0002"),
            stands_on_one_side("MISSING_IN_TARGET", "ACCT-00000003"),
            stands_on_one_side("MISSING_IN_TARGET", "TXN-6"),
            stands_on_one_side("MISSING_IN_TARGET", "TXN-9"),
        ],
        {OF_CUSTOMERS, OF_ACCOUNTS, OF_TRANSACTIONS, LAW, TOTALS},
        "transaction CREDIT amount: 20.00, transaction CREDIT balance_after: 20.00, transaction DEBIT amount: 20.00",
    ),
    "an empty table": Mutation(
        ('DELETE FROM "transaction"',),
        [stands_on_one_side("MISSING_IN_TARGET", f"TXN-{number}") for number in (1, 2, 3, 4, 6, 7, 9, 10)],
        {OF_TRANSACTIONS, LAW, TOTALS},
        "transaction CREDIT amount: 32.00, transaction CREDIT balance_after: 38.80, "
        "transaction DEBIT amount: 27.75, transaction DEBIT balance_after: 1.25, "
        "transaction FEE amount: 1.00, transaction FEE balance_after: -1.00, "
        "transaction INTEREST amount: 0.05, transaction INTEREST balance_after: 6.80",
    ),
    "a defect record lost": Mutation(
        ("DELETE FROM migration_defect WHERE reason = 'SUB_CENT'",),
        [],
        {LAW, TOTALS, READING_OF_TRANSACTIONS},
        "transaction CREDIT balance_after: 7.80",
    ),
}

# what the constraints of the engines refuse, and a file edited past them does not
WITHOUT_KEYS = {
    "an orphan": Mutation(
        (
            "PRAGMA foreign_keys = OFF",
            """UPDATE "transaction" SET account_id = 'ACCT-00000009' WHERE transaction_id = 'TXN-4'""",
        ),
        [different("TXN-4", "account_id", "ACCT-00000001", "ACCT-00000009")],
        {OF_TRANSACTIONS, ORPHANS},
    ),
    "accounts without their product": Mutation(
        ("PRAGMA foreign_keys = OFF", "DELETE FROM product WHERE product_id = 'PROD-002'"),
        [stands_on_one_side("MISSING_IN_TARGET", "PROD-002")],
        {"content product", LAW, ORPHANS},
    ),
    "half a cent": Mutation(
        (
            "PRAGMA ignore_check_constraints = ON",
            """UPDATE "transaction" SET amount = 3.255 WHERE transaction_id = 'TXN-2'""",
        ),
        [
            different("TXN-2", "amount", "3.25", "None"),
            different("TXN-2", "inexact", "None", '{"amount": "3.255"}'),
        ],
        {OF_TRANSACTIONS, TOTALS},
        "transaction DEBIT amount: -0.01",
    ),
}


@dataclass
class Loaded:
    """A migrated target, and validations of changed copies of it."""

    migration: Any
    copy: Callable[[], str]
    run_sql: Callable[..., Any]
    instance: dg.DagsterInstance
    copies: list[str] = field(default_factory=list)

    def validated(self, *change: str) -> Checks:
        """Change a copy of the target and run the job `verify` on it; return check -> evaluation."""
        url = self.copy()
        self.run_sql(url, *change)
        return evaluations(self.migration, self.instance, url)


def evaluations(migration: Any, instance: dg.DagsterInstance, url: str) -> Checks:
    definitions = build_defs(settings=migration.settings, resource_overrides={"target": TargetResource(url)})
    run = definitions.resolve_job_def("verify").execute_in_process(
        instance=instance,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert migration.refusals(run) == {}
    found = {}
    for one in run.get_asset_check_evaluations():
        place = one.asset_key.path[-1]
        found[one.check_name if place == "referential_integrity" else f"{place} {one.check_name}"] = one
    assert len(found) == 12
    return found


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """Record the validations in memory: what is stored of a run is shown elsewhere."""
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def loaded(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
    copy_postgres: Callable[[str], str],
    run_sql: Callable[..., Any],
    instance: dg.DagsterInstance,
) -> Iterator[Loaded]:
    """Migrate once for each engine; every mutation has a copy of its own."""
    folder = tmp_path_factory.mktemp("mutations")
    url = new_target(request.param, folder)

    def copy() -> str:
        if request.param == "postgresql":
            return copy_postgres(url)
        return str(shutil.copy(url, folder / "mutated.db"))

    with open_migration(folder, url) as migration:
        migration.migrate()
        yield Loaded(migration, copy, run_sql, instance)


def named(checks: Checks, by: str = "content") -> list[tuple[str, str, str, str, str]]:
    """Return what the checks on content, or the second reading, name: (difference, key, column, expected, found)."""
    found = []
    for entity in ENTITIES:
        examples = checks[f"{by} {entity}"].metadata.get("examples")
        for line in str(examples.value).splitlines()[2:] if examples else []:
            kind, _, *rest = re.split(r" ?\| ?", line)[1:-1]
            found.append((kind, *rest))
    return found  # type: ignore[return-value]  # a line has six cells


def failed(checks: Checks) -> set[str]:
    return {name for name, check in checks.items() if not check.passed}


def refuse_unnamed(loaded: Loaded, mutation: Mutation) -> None:
    checks = loaded.validated(*mutation.change)
    assert sorted(named(checks)) == sorted(mutation.named)
    of_rows = [one for one in named(checks, SECOND_READING) if not one[1].startswith("row ")]
    assert sorted(of_rows) == sorted(mutation.named)
    read_again = {name.replace("content", SECOND_READING) for name in mutation.failed if name.startswith("content")}
    assert failed(checks) == mutation.failed | read_again
    assert checks[TOTALS].metadata["unexplained"].value == mutation.unexplained


def test_nothing_is_found_in_what_was_loaded(loaded: Loaded) -> None:
    checks = loaded.validated("SELECT 1")
    assert (named(checks), named(checks, SECOND_READING), failed(checks)) == ([], [], set())
    compared = {name: checks[f"content {name}"].metadata["rows compared"].value for name in ("account", "transaction")}
    assert compared == {"account": 3, "transaction": 8}
    again = checks[READING_OF_TRANSACTIONS].metadata
    assert {name: again[name].value for name in again} == {
        "batches compared": 4,
        "source rows judged": 12,
        "rows compared": 8,
        "records compared": 8,
        "MISSING_IN_TARGET": 0,
        "UNEXPECTED_IN_TARGET": 0,
        "DIFFERENT": 0,
    }
    assert checks[TOTALS].metadata["totals compared"].value == 11


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_of_the_target_is_named(loaded: Loaded, mutation: str) -> None:
    refuse_unnamed(loaded, MUTATIONS[mutation])


@pytest.mark.parametrize("mutation", WITHOUT_KEYS)
@pytest.mark.parametrize("loaded", ["sqlite"], indirect=True)
def test_a_mutation_past_the_constraints_is_named(loaded: Loaded, mutation: str) -> None:
    refuse_unnamed(loaded, WITHOUT_KEYS[mutation])


def test_orphans_are_counted_by_reference(loaded: Loaded) -> None:
    drop = "ALTER TABLE account DROP CONSTRAINT account_customer_id_fkey"
    if loaded.migration.settings.target_db.endswith(".db"):
        drop = "PRAGMA foreign_keys = OFF"
    checks = loaded.validated(drop, "UPDATE account SET customer_id = 'CUST-0009' WHERE customer_id = 'CUST-0001'")
    metadata = checks[ORPHANS].metadata
    assert not checks[ORPHANS].passed
    assert {name: metadata[name].value for name in metadata if not name.startswith("rows of")} == {
        "account->customer": 2,
        "account->product": 0,
        "transaction->account": 0,
        "entities that do not hold": "account",
    }


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


# faults in the cleaning that no total, no count and no read-back can see: all of these agree on what is wrong


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


# values that the cleaning gets wrong where all else agrees, all of them in one migration


ADDITIONAL: dict[str, list[tuple[Any, ...]]] = {
    "legacy_products": [(4, "ZQ GOLD", "CHK", 2.25, 4.44, 5.55, 777.7, 1)],
    "legacy_customers": [(5, "ZQMARY-ANN", "Zqeve", "ZQ.five@example.com", "555 ZQ5", "2021-03-04", "ACTIVE")],
    "legacy_accounts": [
        (5, 5, 4, "A", 12.12, "2021-05-06", "2022-01-02"),
        (6, 5, 4, "A", -12.12, "2021-05-07", None),
        (7, 1, 1, "A", 0, "2021-05-08", None),
    ],
    "legacy_transactions": [
        (12, 5, "DR", 1, 13.13, "zq", "2024-03-07 08:00:00"),
        (13, 5, "DR", 1, -13.13, "zq cut reference", "2024-03-09"),
        (14, 1, "DR", 1, 5, "zq", "2024-03-10"),
        (15, 5, "DR", 2, 5, "zq", "2024-02-30"),
        (16, 5, "DR", 2, 5, "zq", "2024-02-28"),
    ],
}

MISREAD: dict[str, dict[Any, Any]] = {
    "title_case_column": {"Zqmary-Ann": "Zqmary-ann"},
    "name": {"555 ZQ5": "555ZQ5"},
    "email": {"zq.five@example.com": "ZQ.five@example.com"},
    "rate": {2_250_000: 225_000},
    "money": {444: 445, 555: 565, 77_770: 77_700, 1212: -1212, -1212: 1212, 1313: -1313, -1313: 1313},
    "date_time": {
        datetime(2021, 3, 4): datetime(2021, 4, 3),
        datetime(2024, 3, 7, 8): datetime(2024, 3, 8, 8),
    },
    "calendar_date": {date(2021, 5, 6): date(2021, 6, 5)},
    "closing_date": {date(2022, 1, 2): date(2022, 2, 1)},
    "description": {"zq cut reference": "zq cut referenc"},
}
"""Parser of the cleaning -> values that it reads and what it makes of them."""

REPLACED: dict[str, list[tuple[str, str, Any]]] = {
    "product": [("PROD-004", "created_at", datetime(2021, 1, 1))],
    "account": [
        ("ACCT-00000006", "customer_id", "CUST-0001"),
        ("ACCT-00000007", "product_id", "PROD-002"),
        ("ACCT-00000007", "updated_at", datetime(2021, 1, 1)),
    ],
    "transaction": [("TXN-14", "account_id", "ACCT-00000003")],
}
"""Entity -> (key, column, value) that the cleaning puts in place of the right one."""

PLANTED = {
    "letter case": [different("CUST-0005", "first_name", "xxxxxx-xxx", "xxxxxx-xxx")],
    "a phone number": [different("CUST-0005", "phone", "999 xx9", "999xx9")],
    "an e-mail address": [different("CUST-0005", "email", "xx.xxxx@xxxxxxx.xxx", "xx.xxxx@xxxxxxx.xxx")],
    "a rate": [different("PROD-004", "interest_rate", "2.250000", "0.225000")],
    "fees": [
        different("PROD-004", "transaction_fee", "4.44", "4.45"),
        different("PROD-004", "monthly_fee", "5.55", "5.65"),
    ],
    "the least balance": [different("PROD-004", "min_balance_for_interest", "777.70", "777.00")],
    "the sign of two balances": [
        different("ACCT-00000005", "balance", "12.12", "-12.12"),
        different("ACCT-00000006", "balance", "-12.12", "12.12"),
        different("TXN-12", "balance_after", "13.13", "-13.13"),
        different("TXN-13", "balance_after", "-13.13", "13.13"),
    ],
    "a date read as another": [
        different("CUST-0005", "created_at", "2021-03-04 00:00:00", "2021-04-03 00:00:00"),
        different("ACCT-00000005", "opening_date", "2021-05-06", "2021-06-05"),
        different("ACCT-00000005", "closing_date", "2022-01-02", "2022-02-01"),
        different("TXN-12", "transaction_date", "2024-03-07 08:00:00", "2024-03-08 08:00:00"),
    ],
    "a reference cut": [different("TXN-13", "reference", "xx xxx xxxxxxxxx", "xx xxx xxxxxxxx")],
    "the time of the snapshot": [
        different("PROD-004", "created_at", "TAKEN", "2021-01-01 00:00:00"),
        different("ACCT-00000007", "updated_at", "TAKEN", "2021-01-01 00:00:00"),
    ],
    "a parent that is another's": [
        different("ACCT-00000006", "customer_id", "CUST-0005", "CUST-0001"),
        different("ACCT-00000007", "product_id", "PROD-001", "PROD-002"),
        different("TXN-14", "account_id", "ACCT-00000001", "ACCT-00000003"),
    ],
    "a code": [different("TXN-3", "transaction_type", "FEE", "DEBIT")],
    "errors that cancel each other out": [
        stands_on_one_side("MISSING_IN_TARGET", "TXN-16"),
        stands_on_one_side("UNEXPECTED_IN_TARGET", "TXN-15"),
        stands_on_one_side("MISSING_IN_TARGET", "row 16 rejected INVALID_DATE"),
        stands_on_one_side("UNEXPECTED_IN_TARGET", "row 17 rejected INVALID_DATE"),
    ],
}


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put every fault into the cleaning."""
    for parser, wrong in MISREAD.items():
        monkeypatch.setattr(columns, parser, misreading(getattr(columns, parser), wrong))
    monkeypatch.setattr("accounts_migration.assets.judging.clean", cleaning_wrongly)
    monkeypatch.setattr(policies, "TRANSACTION_TYPES", {**policies.TRANSACTION_TYPES, "FE": "DEBIT"})


def misreading(read: Callable[..., Any], wrong: Mapping[Any, Any]) -> Callable[..., Any]:
    def reading(*arguments: Any, **more: Any) -> Any:
        parsed = read(*arguments, **more)
        right = parsed.values if isinstance(parsed, ParsedColumn) else parsed
        values = pa.array([wrong.get(value, value) for value in right.to_pylist()], right.type)
        return parsed.replaced(values) if isinstance(parsed, ParsedColumn) else values

    return reading


def cleaning_wrongly(entity: Any, *arguments: Any) -> Cleaned:
    cleaned = clean(entity, *arguments)
    rows, defects = cleaned.rows.to_pylist(), cleaned.defects.to_pylist()
    for row in rows:
        for key, column, value in REPLACED.get(entity.name, []):
            if row[f"{entity.name}_id"] == key:
                row[column] = value
        if row.get("transaction_id") == "TXN-16":
            row["transaction_id"] = "TXN-15"
    for record in defects:
        if record["entity"] == "transaction" and record["source_key"] == "15":
            whole = json.loads(record["source_row"]) | {"trans_id": 16, "trans_date": "2024-02-28"}
            record |= {"source_key": "16", "source_row_id": 17, "old_value": "2024-02-28"}
            record["source_row"] = json.dumps(whole)
    return dataclasses.replace(
        cleaned,
        rows=pa.Table.from_pylist(rows, cleaned.rows.schema),
        defects=pa.Table.from_pylist(defects, cleaned.defects.schema),
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def planted(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
    new_legacy_rows: Callable[[], dict[str, list[tuple[Any, ...]]]],
    instance: dg.DagsterInstance,
) -> Checks:
    """Migrate and verify with all the faults planted, once for each engine."""
    folder = tmp_path_factory.mktemp("planted")
    url = new_target(request.param, folder)
    rows = {table: [*given, *ADDITIONAL[table]] for table, given in new_legacy_rows().items()}
    with pytest.MonkeyPatch.context() as monkeypatch, open_migration(folder, url, rows) as migration:
        plant(monkeypatch)
        migration.migrate()
        return evaluations(migration, instance, url)


def without_time(found: tuple[str, str, str, str, str]) -> tuple[str, str, str, str, str]:
    """Return what was named, with TAKEN for the snapshot's time."""
    kind, key, column, expected, told = found
    is_taken = column in ("created_at", "updated_at") and not expected.startswith("2021")
    return (kind, key, column, "TAKEN" if is_taken else expected, told)


@pytest.mark.parametrize("fault", PLANTED)
def test_a_value_that_the_cleaning_gets_wrong_is_named(planted: Checks, fault: str) -> None:
    found = list(map(without_time, named(planted, SECOND_READING)))
    assert [one for one in PLANTED[fault] if one not in found] == []


def test_nothing_else_sees_the_faults_of_the_cleaning_and_nothing_else_is_named(planted: Checks) -> None:
    assert failed(planted) == {f"{SECOND_READING} {entity}" for entity in ENTITIES}
    assert named(planted) == []
    found = sorted(map(without_time, named(planted, SECOND_READING)))
    assert found == sorted(one for faults in PLANTED.values() for one in faults)
