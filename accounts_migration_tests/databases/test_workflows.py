"""The questions of the service: exact answers, and what makes them wrong, on both engines."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import Target, open_target
from accounts_migration.databases.workflows import WORKFLOWS

RunSql = Callable[..., list[tuple[Any, ...]]]


def moved(key: int, account: int, kind: str, amount: int, when: datetime) -> tuple[object, ...]:
    return (f"TXN-{key}", f"ACCT-{account:08d}", kind, amount, 0, "ref", when)


@pytest.fixture
def moved_bank(target: Target, bank: Any) -> Target:
    """Customer 2 has accounts 3 to 5; account 4 moved most in April, the latest month; account 1 owes most."""
    bank.load(target, "product", bank.product(1, 2))
    bank.load(target, "customer", bank.customer(1, 2))
    accounts = [
        *bank.account(1, 2, balance=-50_000).to_pylist(),
        *bank.account(3, customer=2, balance=12_345).to_pylist(),
        *bank.account(4, customer=2, product=2, balance=-45).to_pylist(),
        *bank.account(5, customer=2, balance=0).to_pylist(),
    ]
    totals = json.dumps({"one": {"rows": 2, "balance": -100_000}, "other": {"rows": 3, "balance": 12_300}})
    bank.load(target, "account", bank.rows("account", [row.values() for row in accounts]), control_totals=totals)
    march = [moved(number, 3, "CREDIT", 10, datetime(2024, 3, 31, 23, 59, 59, 999_999)) for number in range(5)]
    april = [
        moved(10, 4, "CREDIT", 100, datetime(2024, 4, 1)),
        moved(11, 4, "DEBIT", 30, datetime(2024, 4, 30, 23, 59, 59, 999_999)),
        moved(12, 4, "INTEREST", 5, datetime(2024, 4, 2)),
        moved(13, 4, "FEE", 7, datetime(2024, 4, 2)),
        moved(14, 1, "FEE", 1, datetime(2024, 4, 2)),
    ]
    bank.load(
        target, "transaction", bank.rows("transaction", march), "2024-03",
        control_totals=json.dumps({"CREDIT": {"rows": 5, "amount": 50, "balance_after": 0}}),
    )  # fmt: skip
    bank.load(
        target, "transaction", bank.rows("transaction", april), "2024-04",
        control_totals=json.dumps({"all": {"rows": 5, "amount": 143, "balance_after": 0}}),
    )  # fmt: skip
    target.constrain()
    return target


RIGHT = {
    "customer_with_accounts": ("CUST-0002", {"accounts": 3, "balances": 12_300}),
    "statement_of_a_month": ("ACCT-00000004 in 2024-04", {"lines": 4, "in": 105, "out": 37}),
    "balance": ("ACCT-00000001", {"accounts": 1, "balance": -50_000}),
    "totals": (
        "all accounts and transactions",
        {"accounts": 5, "balances": -87_700, "transactions": 10, "amounts": 193},
    ),
}


def test_each_question_has_its_exact_answer_and_its_latency(moved_bank: Target) -> None:
    found = moved_bank.workflows()
    assert {one.name: (one.about, one.found) for one in found} == RIGHT
    assert {one.name: (one.about, one.expected) for one in found} == RIGHT
    assert [one.name for one in found] == list(WORKFLOWS)
    assert [one.name for one in found if not one.passed or not 0 < one.milliseconds < 60_000] == []


CHANGES: list[tuple[str, dict[str, int]]] = [
    ("UPDATE \"transaction\" SET amount = 10.01 WHERE transaction_id = 'TXN-2'", {"amounts": 1184}),
    ("DELETE FROM \"transaction\" WHERE transaction_id = 'TXN-2'", {"transactions": 9, "amounts": 183}),
    (
        "UPDATE account SET balance = 0.01 WHERE account_id = 'ACCT-00000005'",
        {"transactions": 9, "amounts": 183, "balances": -87_699},
    ),
]


def test_what_changed_since_the_load_is_found(moved_bank: Target) -> None:
    for statement, wrong in CHANGES:
        moved_bank.session.execute(statement)
        [asked] = [one for one in moved_bank.workflows() if not one.passed]
        assert asked.name == "totals"
        assert {name: value for name, value in asked.found.items() if value != asked.expected[name]} == wrong


def test_a_customer_or_product_that_is_gone_is_missed_by_those_who_ask(moved_bank: Target) -> None:
    if moved_bank.engine == "sqlite":
        moved_bank.session.execute("PRAGMA foreign_keys = OFF")
    else:
        moved_bank.session.execute('ALTER TABLE account DROP CONSTRAINT "account_product_id_fkey"')
    moved_bank.session.execute("DELETE FROM product WHERE product_id = 'PROD-002'")
    [asked] = [one for one in moved_bank.workflows() if not one.passed]
    assert (asked.name, asked.found, asked.expected) == (
        "customer_with_accounts",
        {"accounts": 2, "balances": 12_345},
        {"accounts": 3, "balances": 12_300},
    )


def test_a_damaged_index_gives_a_short_statement(tmp_path: Path, bank: Any, run_sql: RunSql) -> None:
    """SQLite believes an index; this one is empty, as after a fault of the disk."""
    url = str(tmp_path / "target.db")
    with open_target(url) as target:
        target.prepare()
        bank.load_parents(target)
        totals = json.dumps({"CREDIT": {"rows": 2, "amount": 2468, "balance_after": -10}})
        bank.load(target, "transaction", bank.transaction(1, 2), "2024-03", control_totals=totals)
        target.constrain()
    [(name, sql)] = run_sql(
        url, "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'transaction' AND sql IS NOT NULL"
    )
    run_sql(
        url,
        f"DROP INDEX {name}",
        f"{sql} WHERE 0",
        "PRAGMA writable_schema = ON",
        f"UPDATE sqlite_master SET sql = '{sql}' WHERE name = '{name}'",  # noqa: S608  # both as SQLite gave them
    )
    with open_target(url) as target:
        found = {one.name: one for one in target.workflows()}
    statement = found["statement_of_a_month"]
    assert (statement.found["lines"], statement.expected["lines"], statement.passed) == (0, 2, False)


def test_an_empty_bank_is_asked_and_answers_nothing(target: Target) -> None:
    assert {one.name: (one.about, set(one.found.values()), one.passed) for one in target.workflows()} == {
        "customer_with_accounts": ("", {0}, True),
        "statement_of_a_month": ("", {0}, True),
        "balance": ("", {0}, True),
        "totals": ("all accounts and transactions", {0}, True),
    }


def test_amounts_beyond_64_bits_are_added_exactly(target: Target, bank: Any) -> None:
    bank.load_parents(target)
    most, rows = 10**15 - 1, 10_000
    totals = json.dumps({"CREDIT": {"rows": rows, "amount": most * rows, "balance_after": 0}})
    bank.load(
        target, "transaction", bank.transaction(*range(rows), amount=most), "2024-03", control_totals=totals
    )  # fmt: skip
    found = {one.name: one for one in target.workflows()}
    assert found["totals"].found["amounts"] == 9_999_999_999_999_990_000
    assert found["statement_of_a_month"].found == {"lines": rows, "in": 9_999_999_999_999_990_000, "out": 0}
    assert found["statement_of_a_month"].passed
