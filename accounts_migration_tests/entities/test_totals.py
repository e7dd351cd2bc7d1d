"""Control totals of cleaned rows: exact sums of cents, also where they leave 64 bits (contract section 7)."""

import random

import pyarrow as pa

from accounts_migration.entities.totals import Totals, added, control_totals

LARGEST = 10**15 - 1


def accounts(*rows: tuple[str, str, int]) -> pa.Table:
    names = ("product_id", "status", "balance")
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})


def test_accounts_are_summed_by_product_and_status() -> None:
    rows = accounts(
        ("PROD-001", "ACTIVE", 100),
        ("PROD-001", "CLOSED", 1),
        ("PROD-001", "ACTIVE", -350),
        ("PROD-002", "ACTIVE", 0),
    )
    assert control_totals("account", rows) == {
        "PROD-001/ACTIVE": {"rows": 2, "balance": -250},
        "PROD-001/CLOSED": {"rows": 1, "balance": 1},
        "PROD-002/ACTIVE": {"rows": 1, "balance": 0},
    }


def test_transactions_are_summed_by_type() -> None:
    rows = pa.table(
        {"transaction_type": ["FEE", "CREDIT", "FEE"], "amount": [5, LARGEST, 7], "balance_after": [-1, -LARGEST, -2]}
    )
    assert control_totals("transaction", rows) == {
        "CREDIT": {"rows": 1, "amount": LARGEST, "balance_after": -LARGEST},
        "FEE": {"rows": 2, "amount": 12, "balance_after": -3},
    }


def test_sums_that_leave_64_bits_are_exact() -> None:
    count = 20_000
    assert count * LARGEST > 2**63
    for balance in (LARGEST, -LARGEST):
        rows = pa.table({"product_id": ["P"] * count, "status": ["A"] * count, "balance": [balance] * count})
        assert control_totals("account", rows) == {"P/A": {"rows": count, "balance": count * balance}}


def test_totals_of_parts_are_the_totals_of_the_whole() -> None:
    chosen = random.Random(7)  # noqa: S311  # no secret
    rows = accounts(*((chosen.choice("PQ"), "A", chosen.randint(-LARGEST, LARGEST)) for _ in range(1000)))
    parts = [control_totals("account", rows.slice(start, 77)) for start in range(0, 1000, 77)]
    assert added(parts) == control_totals("account", rows)
    balances = rows["balance"].to_pylist()
    assert sum(group["balance"] for group in added(parts).values()) == sum(balances)


def test_entities_without_money_and_no_rows_give_no_totals() -> None:
    assert control_totals("customer", pa.table({"customer_id": ["CUST-0001"]})) == {}
    assert control_totals("product", pa.table({"product_id": ["PROD-001"]})) == {}
    assert control_totals("account", accounts()) == {}


def test_addition_keeps_groups_in_order_and_leaves_its_parts_alone() -> None:
    one: Totals = {"FEE": {"rows": 1, "amount": 5}}
    other: Totals = {"FEE": {"rows": 2, "amount": -7}, "CREDIT": {"rows": 1, "amount": 2**70}}
    total = added([one, {}, other])
    assert list(total.items()) == [("CREDIT", {"rows": 1, "amount": 2**70}), ("FEE", {"rows": 3, "amount": -2})]
    assert one == {"FEE": {"rows": 1, "amount": 5}}
    assert added([]) == {}
