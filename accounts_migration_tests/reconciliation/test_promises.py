"""What the source promises by SQL, and the money left behind: both sides of the control totals, in cents."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from accounts_migration.databases.snapshot import Snapshot, take_snapshot
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.defects import DEFECT_SCHEMA
from accounts_migration.entities.policies import Policies
from accounts_migration.legacy_values import LegacyValue, UndecodableText, source_row_json
from accounts_migration.reconciliation.promises import ControlTotal, control_totals, left_behind, promised
from accounts_migration.resources import LEGACY_TABLES

ACCOUNT, TRANSACTION = ENTITIES["account"], ENTITIES["transaction"]
EMPTY: dict[str, list[tuple[Any, ...]]] = {entity.legacy_table: [] for entity in ENTITIES.values()}


@pytest.fixture
def snapshot_of(tmp_path: Path, write_legacy: Callable[..., Path]) -> Callable[..., Snapshot]:
    """Return a function (table, rows) -> snapshot of a bank that holds nothing else."""

    def taken(table: str, rows: Sequence[tuple[Any, ...]]) -> Snapshot:
        source = write_legacy(tmp_path / "legacy.db", {**EMPTY, table: rows})
        return take_snapshot(source, tmp_path / "backups", LEGACY_TABLES)

    return taken


def transaction(amount: LegacyValue, *, kind: LegacyValue = "CR", date: str = "2024-01-01") -> tuple[Any, ...]:
    return (1, 1, kind, amount, 0, None, date)


@pytest.mark.parametrize(
    ("amount", "cents"),
    [
        (10, 1000),
        (-10, 1000),
        (0.1, 10),
        (-3.25, 325),
        (1.005, 0),
        ("1.10", 110),
        (" +1e2 ", 10_000),
        ("1.500", 150),
        ("1.005", 0),
        ("1,000", 0),
        ("", 0),
        (None, 0),
        (b"10", 0),
        (9_999_999_999_999.99, 999_999_999_999_999),
        (10**13, 0),
        (float("inf"), 0),
        ("NaN", 0),
        ("\u0661", 0),
    ],
)
def test_an_amount_is_promised_without_its_sign_where_it_can_be_read(
    snapshot_of: Callable[..., Snapshot], amount: LegacyValue, cents: int
) -> None:
    snapshot = snapshot_of("legacy_transactions", [transaction(amount)])
    assert promised(TRANSACTION, snapshot, Policies()) == {"CREDIT": {"amount": cents, "balance_after": 0}}


@pytest.mark.parametrize(
    ("kind", "group"),
    [("CR", "CREDIT"), (" dr ", "DEBIT"), ("Fe", "FEE"), ("IN", "INTEREST"), ("XX", "?"), (None, "?"), (b"CR", "?")],
)
def test_codes_are_grouped_by_what_they_mean(
    snapshot_of: Callable[..., Snapshot], kind: LegacyValue, group: str
) -> None:
    snapshot = snapshot_of("legacy_transactions", [transaction(1, kind=kind)])
    assert promised(TRANSACTION, snapshot, Policies()) == {group: {"amount": 100, "balance_after": 0}}


def test_codes_of_a_policy_count(snapshot_of: Callable[..., Snapshot]) -> None:
    snapshot = snapshot_of("legacy_transactions", [transaction(1, kind="77"), transaction(2, kind=77)])
    policies = Policies(transaction_type={"77": "FEE"})
    assert promised(TRANSACTION, snapshot, policies) == {"FEE": {"amount": 300, "balance_after": 0}}


@pytest.mark.parametrize(
    ("batches", "cents"),
    [(None, 700), (["2024-01"], 100), (["2024-02", "undated"], 600), (["2030-01"], None), ([], None)],
)
def test_only_the_batches_asked_for_are_promised(
    snapshot_of: Callable[..., Snapshot], batches: list[str] | None, cents: int | None
) -> None:
    dates = {"2024-01-31": 1, "2024-02-01": 2, " 2024-02-01": 4}
    snapshot = snapshot_of("legacy_transactions", [transaction(n, date=date) for date, n in dates.items()])
    expected = {} if cents is None else {"CREDIT": {"amount": cents, "balance_after": 0}}
    assert promised(TRANSACTION, snapshot, Policies(), batches) == expected


def test_balances_are_promised_with_their_sign_by_product_and_status(snapshot_of: Callable[..., Snapshot]) -> None:
    rows = [(1, 1, 1, "A", -0.05, None, None), (2, 1, "001", "a", 1, None, None), (3, 1, None, "?", 2, None, None)]
    assert promised(ACCOUNT, snapshot_of("legacy_accounts", rows), Policies()) == {
        "PROD-001/ACTIVE": {"balance": 95},
        "?/?": {"balance": 200},
    }


def test_entities_without_money_promise_nothing(snapshot_of: Callable[..., Snapshot]) -> None:
    snapshot = snapshot_of("legacy_products", [(1, "A", "CHK", 1, 1, 1, 1, 1)])
    assert promised(ENTITIES["product"], snapshot, Policies()) == {}
    assert left_behind(ENTITIES["product"], [defects("rejected", {"product_code": 1})], Policies()) == {}


def test_sums_beyond_64_bits_are_exact(snapshot_of: Callable[..., Snapshot]) -> None:
    rows = [(number, 1, "CR", "9999999999999.99", 0, None, "2024-01-01") for number in range(10_000)]
    snapshot = snapshot_of("legacy_transactions", rows)
    assert promised(TRANSACTION, snapshot, Policies())["CREDIT"]["amount"] == 999_999_999_999_999 * 10_000


def defects(action: str, row: dict[str, LegacyValue]) -> pa.RecordBatch:
    values = dict.fromkeys(DEFECT_SCHEMA.names) | {"action": action, "source_row": source_row_json(row)}
    return pa.RecordBatch.from_pylist([values], schema=DEFECT_SCHEMA)


def rejected(action: str = "rejected", **changes: LegacyValue) -> pa.RecordBatch:
    return defects(action, {"trans_type": "DR", "trans_amount": -3.25, "balance_after": "7", **changes})


@pytest.mark.parametrize("action", ["rejected", "excluded"])
def test_rejected_and_excluded_rows_leave_their_money_behind(action: str) -> None:
    found = left_behind(TRANSACTION, [rejected(action), rejected(action)], Policies())
    assert found == {"DEBIT": {"amount": 650, "balance_after": 1400}}


def test_repaired_rows_are_loaded_and_leave_nothing_behind() -> None:
    assert left_behind(TRANSACTION, [rejected("repaired")], Policies()) == {}


@pytest.mark.parametrize("amount", [None, "", b"\x01", UndecodableText(b"\xff"), float("inf"), 1.005, "abc"])
def test_what_cannot_be_read_has_no_amount(amount: LegacyValue) -> None:
    found = left_behind(TRANSACTION, [rejected(trans_amount=amount)], Policies())
    assert found == {"DEBIT": {"amount": 0, "balance_after": 700}}


def test_a_code_that_cannot_be_read_has_a_group_of_its_own() -> None:
    found = left_behind(TRANSACTION, [rejected(trans_type=b"DR")], Policies())
    assert found == {"?": {"amount": 325, "balance_after": 700}}


def test_the_three_columns_of_every_group_stand_side_by_side() -> None:
    found = control_totals(
        "transaction",
        {"CREDIT": {"amount": 100}, "DEBIT": {"amount": 5}},
        {"CREDIT": {"rows": 2, "amount": 70}, "FEE": {"rows": 1, "amount": 9}},
        {"CREDIT": {"amount": 30}, "?": {"amount": 1}},
    )
    assert found == [
        ControlTotal("transaction", "?", "amount", 0, 0, 1),
        ControlTotal("transaction", "CREDIT", "amount", 100, 70, 30),
        ControlTotal("transaction", "DEBIT", "amount", 5, 0, 0),
        ControlTotal("transaction", "FEE", "amount", 0, 9, 0),
    ]
    assert [one.unexplained for one in found] == [-1, 0, 5, -9]
