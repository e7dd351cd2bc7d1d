"""Plausibility: each question finds exactly what was planted for it, on both engines, to the cent and to the day."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pytest

from accounts_migration.databases.target import Target

WHEN = datetime(2024, 3, 5)
OPENED, CLOSED_ON = date(2020, 1, 2), date(2024, 3, 5)
TODAY, TOMORROW = date(2025, 1, 2), date(2025, 1, 3)  # the bank's snapshot was taken on 2025-01-02

LAST, SUM = "balance_differs_from_last_balance_after", "balance_differs_from_sum_of_movements"

Found = dict[str, tuple[int, int, tuple[str, ...]]]


@pytest.fixture
def parents(target: Target, bank: Any) -> Target:
    bank.load(target, "product", bank.product(1))
    bank.load(target, "customer", bank.customer(1))
    return target


def account(
    number: int,
    balance: int,
    status: str = "ACTIVE",
    opened: date | None = OPENED,
    closed: date | None = None,
) -> tuple[object, ...]:
    return (f"ACCT-{number:08d}", "CUST-0001", "PROD-001", status, balance, opened, closed, WHEN, WHEN)


def movement(key: object, number: int, kind: str, amount: int, after: int, when: datetime = WHEN) -> tuple[object, ...]:
    return (f"TXN-{key}", f"ACCT-{number:08d}", kind, amount, after, "ref", when)


def load(target: Target, bank: Any, accounts: Sequence[Any], movements: Sequence[Any] = ()) -> None:
    bank.load(target, "account", bank.rows("account", accounts))
    if movements:
        bank.load(target, "transaction", bank.rows("transaction", movements), "2024-03")


def findings(target: Target, bank: Any) -> Found:
    found = target.plausibility(bank.snapshot.taken_at)
    return {one.kind: (one.asked, one.found, one.examples) for one in found}


def found_in(target: Target, bank: Any) -> dict[str, tuple[str, ...]]:
    """Return kind -> keys, of the kinds that were found; the examples are all there is."""
    found = {kind: one for kind, one in findings(target, bank).items() if one[1]}
    assert [kind for kind, (_, count, examples) in found.items() if count != len(examples)] == []
    return {kind: examples for kind, (_, _, examples) in found.items()}


def test_a_sound_bank_is_asked_everything_and_nothing_is_found(parents: Target, bank: Any) -> None:
    accounts = [account(1, 90), account(2, 0, "CLOSED", OPENED, OPENED), account(3, 0, opened=TODAY)]
    load(parents, bank, accounts, [movement(1, 1, "CREDIT", 100, 100), movement(2, 1, "FEE", 10, 90)])
    asked = {kind: asked for kind, (asked, _, _) in findings(parents, bank).items()}
    assert asked == {
        LAST: 1,
        SUM: 3,
        "closed_with_balance": 1,
        "closed_without_date": 1,
        "closing_before_opening": 1,
        "duplicate_email": 0,
        "customer_in_the_future": 1,
        "account_in_the_future": 3,
        "transaction_in_the_future": 2,
    }
    assert found_in(parents, bank) == {}


def test_an_empty_target_is_asked_everything(target: Target, bank: Any) -> None:
    assert set(findings(target, bank).values()) == {(0, 0, ())}


def test_a_balance_that_is_not_the_last_balance_after(parents: Target, bank: Any) -> None:
    later = datetime(2024, 3, 5, 0, 0, 0, 500_000)
    load(
        parents,
        bank,
        [account(1, 100), account(2, 100)],
        [
            movement(1, 1, "CREDIT", 40, 100),
            movement(2, 1, "CREDIT", 60, 99, later),
            movement(3, 2, "CREDIT", 40, 99),
            movement(4, 2, "CREDIT", 60, 100, later),
        ],
    )
    assert found_in(parents, bank) == {LAST: ("ACCT-00000001",)}


def test_of_movements_at_the_last_moment_one_that_fits_is_enough(parents: Target, bank: Any) -> None:
    load(
        parents,
        bank,
        [account(1, 100)],
        [movement(9, 1, "CREDIT", 40, 40), movement(10, 1, "CREDIT", 60, 100)],
    )
    assert found_in(parents, bank) == {}


def test_a_balance_that_is_not_the_sum_of_movements(parents: Target, bank: Any) -> None:
    """Credit and interest add, debit and fee take away; an account without movements should have nothing."""
    load(
        parents,
        bank,
        [account(1, 75), account(2, 76), account(3, 1)],
        [
            *(movement(f"{n}1", n, "CREDIT", 100, 0, datetime(2024, 3, 1)) for n in (1, 2)),
            *(movement(f"{n}2", n, "DEBIT", 30, 0, datetime(2024, 3, 2)) for n in (1, 2)),
            *(movement(f"{n}3", n, "FEE", 5, 0, datetime(2024, 3, 3)) for n in (1, 2)),
            *(movement(f"{n}4", n, "INTEREST", 10, 74 + n) for n in (1, 2)),
        ],
    )
    assert found_in(parents, bank) == {SUM: ("ACCT-00000002", "ACCT-00000003")}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_cent_is_found_among_the_largest_amounts(parents: Target, bank: Any, sign: int) -> None:
    """9,999,999,999,999.99 twice, less one of them and a cent: no floating-point sum would tell."""
    largest, (plus, minus) = 10**15 - 1, ("CREDIT", "DEBIT")[::sign]
    movements = [
        movement(f"{n}{place}", n, kind, amount, balance)
        for n, balance in ((1, sign * (largest - 1)), (2, sign * largest))
        for place, (kind, amount) in enumerate([(plus, largest), (plus, largest), (minus, largest), (minus, 1)])
    ]
    load(parents, bank, [account(1, sign * (largest - 1)), account(2, sign * largest)], movements)
    assert found_in(parents, bank) == {SUM: ("ACCT-00000002",)}


def test_closed_with_a_balance_and_without_a_date(parents: Target, bank: Any) -> None:
    load(
        parents,
        bank,
        [account(1, 1, "CLOSED", OPENED, CLOSED_ON), account(2, 0, "CLOSED", OPENED, None), account(3, 0)],
        [movement(1, 1, "CREDIT", 1, 1)],
    )
    assert found_in(parents, bank) == {
        "closed_with_balance": ("ACCT-00000001",),
        "closed_without_date": ("ACCT-00000002",),
    }


def test_closed_before_it_was_opened(parents: Target, bank: Any) -> None:
    load(
        parents,
        bank,
        [
            account(1, 0, "CLOSED", date(2020, 1, 3), OPENED),
            account(2, 0, "CLOSED", OPENED, OPENED),
            account(3, 0, "CLOSED", None, OPENED),
        ],
    )
    assert found_in(parents, bank) == {"closing_before_opening": ("ACCT-00000001",)}


def test_customers_who_share_an_email(target: Target, bank: Any) -> None:
    emails = {1: "a@x.org", 2: "b@x.org", 3: "a@x.org", 4: None, 5: None, 6: "a@x.org"}
    rows = [(f"CUST-{n:04d}", "Ada", "Byron", email, None, WHEN) for n, email in emails.items()]
    bank.load(target, "customer", bank.rows("customer", rows))
    assert findings(target, bank)["duplicate_email"] == (4, 3, ("CUST-0001", "CUST-0003", "CUST-0006"))


def test_the_future_begins_after_the_day_of_the_snapshot(target: Target, bank: Any) -> None:
    last, first = datetime(2025, 1, 2, 23, 59, 59, 999_999), datetime(2025, 1, 3)
    customers = [(f"CUST-{n:04d}", "Ada", "Byron", None, None, when) for n, when in ((1, last), (2, first))]
    bank.load(target, "product", bank.product(1))
    bank.load(target, "customer", bank.rows("customer", customers))
    accounts = [
        account(1, 0, opened=TODAY),
        account(2, 0, opened=TOMORROW),
        account(3, 0, "CLOSED", OPENED, TODAY),
        account(4, 0, "CLOSED", OPENED, TOMORROW),
    ]
    bank.load(target, "account", bank.rows("account", accounts))
    movements = [movement(1, 1, "CREDIT", 1, 1, last), movement(2, 1, "DEBIT", 1, 0, first)]
    bank.load(target, "transaction", bank.rows("transaction", movements), "2025-01")
    assert found_in(target, bank) == {
        "customer_in_the_future": ("CUST-0002",),
        "account_in_the_future": ("ACCT-00000002", "ACCT-00000004"),
        "transaction_in_the_future": ("TXN-2",),
    }


def test_all_are_counted_and_the_first_five_keys_named(parents: Target, bank: Any) -> None:
    load(parents, bank, [account(n, 0, "CLOSED", OPENED, None) for n in range(20, 0, -1)])
    expected = tuple(f"ACCT-{n:08d}" for n in (1, 2, 3, 4, 5))
    assert findings(parents, bank)["closed_without_date"] == (20, 20, expected)
