"""The reconciliation: what is counted and added on both sides, what is missing, and what waits for a later snapshot."""

import dataclasses
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.snapshot import Snapshot, take_snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation import report
from accounts_migration.reconciliation.accounting import BatchLaw
from accounts_migration.reconciliation.promises import ControlTotal, Promises, promises_of
from accounts_migration.reconciliation.report import Reconciliation, reconcile
from accounts_migration.resources import LEGACY_TABLES

ROWS: dict[str, list[tuple[Any, ...]]] = {
    "legacy_products": [(1, "Basic", "CHK", 2.5, 0.5, 3, 100, 1)],
    "legacy_customers": [(1, "Ada", "Byron", None, "555", "2020-01-02", "ACTIVE")],
    "legacy_accounts": [(1, 1, 1, "A", 1, "2020-01-02", None)],
    "legacy_transactions": [
        (1, 1, "CR", 12.34, -0.05, "ref", "2024-03-05"),
        (2, 1, "CR", 12.34, -0.05, "ref", "2024-03-05"),
        (3, 1, "CR", 12.34, -0.05, "ref", "2024-04-05"),
    ],
}
PARENTS = ["product all", "customer all", "account all"]
BALANCE = ControlTotal("account", "PROD-001/ACTIVE", "balance", 100, 100, 0)


@pytest.fixture
def snapshot(tmp_path: Path, write_legacy: Callable[..., Path], bank: Any) -> Snapshot:
    taken = take_snapshot(write_legacy(tmp_path / "legacy.db", ROWS), tmp_path / "backups", LEGACY_TABLES)
    return dataclasses.replace(taken, snapshot_id=bank.snapshot.snapshot_id)


@pytest.fixture
def parents(target: Target, bank: Any) -> None:
    bank.load(target, "product", bank.product(1))
    bank.load(target, "customer", bank.customer(1))
    bank.load(target, "account", bank.account(1))


def reconciled(snapshot: Snapshot, target: Target, *, of_any_snapshot: bool = False) -> Reconciliation:
    return reconcile(snapshot, Policies(), target, of_any_snapshot=of_any_snapshot)


def begun(snapshot: Snapshot) -> Promises:
    """Return promises that can be told from those that are added up now: a cent more of each credit."""
    found = promises_of(snapshot, Policies(), ENTITIES, by_month=False)
    found.totals["transaction"]["CREDIT"]["amount"] += 3
    return found


def credits(*, source: int, found: int) -> list[ControlTotal]:
    """Return the totals of so many transactions of 12.34 each in source and target."""
    return [
        ControlTotal("transaction", "CREDIT", "amount", 1234 * source, 1234 * found, 0),
        ControlTotal("transaction", "CREDIT", "balance_after", -5 * source, -5 * found, 0),
    ]


def of_transactions(found: Reconciliation) -> list[BatchLaw]:
    return [line for line in found.batches if line.entity == "transaction"]


def test_before_anything_is_loaded_everything_is_missing(snapshot: Snapshot, target: Target) -> None:
    found = reconciled(snapshot, target)
    assert found.missing == [*PARENTS, "transaction 2024-03", "transaction 2024-04"]
    assert (found.batches, found.totals, found.is_complete) == ([], [], False)


@pytest.mark.usefixtures("parents")
def test_what_is_loaded_is_counted_and_added_on_both_sides(snapshot: Snapshot, target: Target, bank: Any) -> None:
    bank.load(target, "transaction", bank.transaction(1, 2), "2024-03")
    bank.load(target, "transaction", bank.transaction(3, when="2024-04-05"), "2024-04")
    assert reconciled(snapshot, target) == Reconciliation(
        batches=[
            BatchLaw("product", "all", 1, 1, 0, 0),
            BatchLaw("customer", "all", 1, 1, 0, 0),
            BatchLaw("account", "all", 1, 1, 0, 0),
            BatchLaw("transaction", "2024-03", 2, 2, 0, 0),
            BatchLaw("transaction", "2024-04", 1, 1, 0, 0),
        ],
        entities=[
            BatchLaw("product", "all", 1, 1, 0, 0),
            BatchLaw("customer", "all", 1, 1, 0, 0),
            BatchLaw("account", "all", 1, 1, 0, 0),
            BatchLaw("transaction", "all", 3, 3, 0, 0),
        ],
        totals=[BALANCE, *credits(source=3, found=3)],
        missing=[],
    )


@pytest.mark.usefixtures("parents")
def test_only_the_batches_that_are_loaded_are_held_against_the_source(
    snapshot: Snapshot, target: Target, bank: Any
) -> None:
    bank.load(target, "transaction", bank.transaction(3, when="2024-04-05"), "2024-04")
    found = reconciled(snapshot, target)
    assert found.missing == ["transaction 2024-03"]
    assert of_transactions(found) == [BatchLaw("transaction", "2024-04", 1, 1, 0, 0)]
    assert found.totals == [BALANCE, *credits(source=1, found=1)]


@pytest.mark.usefixtures("parents")
def test_what_an_earlier_snapshot_loaded_waits(snapshot: Snapshot, target: Target, bank: Any) -> None:
    """March stands from an earlier snapshot, and so does May, which this one has not: both are missing, not wrong."""
    earlier = dataclasses.replace(bank.snapshot, snapshot_id="earlier", taken_at=datetime(2024, 12, 1))
    bank.load(target, "transaction", bank.transaction(1), "2024-03", snapshot=earlier)
    bank.load(target, "transaction", bank.transaction(5, when="2024-05-05"), "2024-05", snapshot=earlier)
    bank.load(target, "transaction", bank.transaction(3, when="2024-04-05"), "2024-04")
    found = reconciled(snapshot, target)
    assert found.missing == ["transaction 2024-03", "transaction 2024-05"]
    assert of_transactions(found) == [BatchLaw("transaction", "2024-04", 1, 1, 0, 0)]
    assert found.totals == [BALANCE, *credits(source=1, found=1)]


@pytest.mark.usefixtures("parents")
def test_a_verification_holds_everything_against_the_source(snapshot: Snapshot, target: Target, bank: Any) -> None:
    earlier = dataclasses.replace(bank.snapshot, snapshot_id="earlier", taken_at=datetime(2024, 12, 1))
    bank.load(target, "transaction", bank.transaction(1), "2024-03", snapshot=earlier)
    bank.load(target, "transaction", bank.transaction(5, when="2024-05-05"), "2024-05", snapshot=earlier)
    bank.load(target, "transaction", bank.transaction(3, when="2024-04-05"), "2024-04")
    found = reconciled(snapshot, target, of_any_snapshot=True)
    assert found.missing == []
    assert {line.batch: line.unexplained for line in of_transactions(found)} == {
        "2024-03": 1,
        "2024-04": 0,
        "2024-05": -1,
    }


@pytest.mark.usefixtures("parents")
def test_rows_in_a_month_that_nobody_loaded_break_the_law(
    snapshot: Snapshot, target: Target, bank: Any, run_sql: Callable[..., Any], target_url: str
) -> None:
    bank.load(target, "transaction", bank.transaction(3, when="2024-04-05"), "2024-04")
    run_sql(
        target_url,
        """INSERT INTO "transaction" SELECT 'TXN-9', account_id, transaction_type, amount, balance_after, reference,
        '2031-05-06 00:00:00' FROM "transaction" """,
    )
    found = reconciled(snapshot, target)
    assert [(line.batch, line.unexplained) for line in of_transactions(found)] == [("2024-04", 0), ("2031-05", -1)]
    assert [total.unexplained for total in found.totals] == [0, -1234, 5]


@pytest.mark.usefixtures("parents")
def test_the_money_of_rejected_rows_is_left_behind(snapshot: Snapshot, target: Target, bank: Any) -> None:
    defect = bank.defect("transaction", "2024-03", "2")
    row = '{"trans_type": "CR", "trans_amount": 12.34, "balance_after": -0.05}'
    place = defect.schema.get_field_index("source_row")
    defect = defect.set_column(place, defect.schema.field(place), [row])
    counts = {"source_rows": 2, "rejected": 1, "defects": [defect]}
    bank.load(target, "transaction", bank.transaction(1), "2024-03", **counts)
    found = reconciled(snapshot, target)
    assert of_transactions(found) == [BatchLaw("transaction", "2024-03", 2, 1, 1, 0)]
    assert found.totals[1:] == [
        ControlTotal("transaction", "CREDIT", "amount", 2468, 1234, 1234),
        ControlTotal("transaction", "CREDIT", "balance_after", -10, -5, -5),
    ]


@pytest.mark.usefixtures("parents")
def test_sums_begun_before_stand_for_the_source_once_all_of_it_is_loaded(
    snapshot: Snapshot, target: Target, bank: Any
) -> None:
    bank.load(target, "transaction", bank.transaction(1, 2), "2024-03")
    of_a_part = reconcile(snapshot, Policies(), target, promises=lambda: begun(snapshot))
    assert [total for total in of_a_part.totals if total.unexplained] == []
    bank.load(target, "transaction", bank.transaction(3, when="2024-04-05"), "2024-04")
    of_all = reconcile(snapshot, Policies(), target, promises=lambda: begun(snapshot))
    assert [(total.group, total.measure, total.unexplained) for total in of_all.totals if total.unexplained] == [
        ("CREDIT", "amount", 3)
    ]


@pytest.mark.usefixtures("parents")
def test_what_another_snapshot_promised_is_not_held_against_this_one(
    snapshot: Snapshot, target: Target, bank: Any
) -> None:
    bank.load(target, "transaction", bank.transaction(1, 2), "2024-03")
    bank.load(target, "transaction", bank.transaction(3, when="2024-04-05"), "2024-04")
    other = dataclasses.replace(snapshot, snapshot_id="taken-by-somebody-meanwhile")
    found = reconcile(snapshot, Policies(), target, promises=lambda: begun(other))
    assert [total for total in found.totals if total.unexplained] == []


def test_a_process_that_ends_does_not_wait_until_the_source_is_added_up(
    snapshot: Snapshot, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited_for: list[bool] = []

    def adding_up(*arguments: Any) -> Promises:
        waited_for.append(not threading.current_thread().daemon)
        return promises_of(*arguments)

    monkeypatch.setattr(report, "promises_of", adding_up)
    reconciled(snapshot, target)
    assert waited_for == [False]


@pytest.mark.parametrize("by_month", [False, True])
def test_a_snapshot_promises_every_readable_amount(snapshot: Snapshot, by_month: bool) -> None:
    found = promises_of(snapshot, Policies(), ENTITIES, by_month)
    assert found.totals == {
        "product": {},
        "customer": {},
        "account": {"PROD-001/ACTIVE": {"balance": 100}},
        "transaction": {"CREDIT": {"amount": 3702, "balance_after": -15}},
    }
    months = {
        "2024-03": {"CREDIT": {"amount": 2468, "balance_after": -10}},
        "2024-04": {"CREDIT": {"amount": 1234, "balance_after": -5}},
    }
    assert found.months == (months if by_month else None)


def test_of_some_batches_their_amounts_alone_are_promised(snapshot: Snapshot) -> None:
    for by_month in (False, True):
        found = promises_of(snapshot, Policies(), ENTITIES, by_month, {"transaction": ["2024-04"]})
        assert found.totals["transaction"] == {"CREDIT": {"amount": 1234, "balance_after": -5}}
