"""Every fault planted in a loaded target is found and named by the validation."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from accounts_migration_tests.reconciliation.validating import (
    LAW,
    ORPHANS,
    READING_OF_TRANSACTIONS,
    SECOND_READING,
    TOTALS,
    Checks,
    Named,
    different,
    evaluations,
    failed,
    named,
    stands_on_one_side,
)


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
    named: list[Named]
    failed: set[str]
    unexplained: str = "0.00"


OF_TRANSACTIONS, OF_ACCOUNTS, OF_CUSTOMERS = "content transaction", "content account", "content customer"

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
