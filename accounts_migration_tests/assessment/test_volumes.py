"""The guide's volumes: exact, over what can be read, with what cannot be read counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accounts_migration.assessment.volumes import Volumes, count_volumes
from accounts_migration.databases.snapshot import take_snapshot
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.resources import LEGACY_TABLES

Rows = dict[str, list[tuple[Any, ...]]]


def volumes_of(folder: Path, write: Callable[..., Path], rows: Rows, policies: Policies) -> Volumes:
    return count_volumes(take_snapshot(write(folder / "legacy.db", rows), folder / "backups", LEGACY_TABLES), policies)


def test_what_the_guide_counts(
    tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    rows = new_legacy_rows()
    rows["legacy_accounts"] += [
        (5, 1, 1, " a ", 0.1 + 0.2, "2020-01-01", None),
        (6, 1, 1, "OPEN", "1,000.00", "2020-01-01", None),
        (7, 1, 1, None, None, None, None),
        (8, 1, 1, "C", b"1", None, None),
        (9, 1, 1, "A", 1.005, None, None),
    ]
    rows["legacy_transactions"].append((16, 1, "CR", 1, 1, None, "31/12/2023"))

    found = volumes_of(tmp_path, write_legacy, rows, Policies())

    assert (found.products, found.customers, found.accounts, found.transactions) == (3, 4, 9, 13)
    assert found.active_accounts == 5
    # 100.10 - 5.50 + 0 + 70 + 0.30 cents; four balances are no amount of cents
    assert (found.total_balance, found.unreadable_balances) == (100_10 - 5_50 + 0 + 70_00 + 30, 4)
    assert (found.first_date, found.last_date) == ("2024-01-01 00:00:00", "2024-03-06 00:00:00")
    assert found.unreadable_dates == 2


def test_codes_and_dates_are_read_under_the_policies(
    tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    rows = new_legacy_rows()
    rows["legacy_accounts"].append((5, 1, 1, "OPEN", 1, None, None))
    rows["legacy_transactions"].append((16, 1, "CR", 1, 1, None, "31/12/2023"))
    policies = Policies(account_status={"OPEN": "ACTIVE"}, date_formats=("%d/%m/%Y",))

    found = volumes_of(tmp_path, write_legacy, rows, policies)

    assert (found.active_accounts, found.first_date, found.unreadable_dates) == (4, "2023-12-31 00:00:00", 1)


def test_cents_that_no_float_could_add(tmp_path: Path, write_legacy: Callable[..., Path]) -> None:
    largest = "9999999999999.99"
    rows: Rows = {entity.legacy_table: [] for entity in ENTITIES.values()}
    rows["legacy_accounts"] = [(number, 1, 1, "A", largest, None, None) for number in range(100_003)]

    found = volumes_of(tmp_path, write_legacy, rows, Policies())

    assert found.total_balance == 100_003 * 999_999_999_999_999


def test_a_source_without_rows(tmp_path: Path, write_legacy: Callable[..., Path]) -> None:
    found = volumes_of(tmp_path, write_legacy, {entity.legacy_table: [] for entity in ENTITIES.values()}, Policies())

    assert (found.accounts, found.active_accounts, found.total_balance, found.unreadable_balances) == (0, 0, 0, 0)
    assert (found.transactions, found.first_date, found.last_date, found.unreadable_dates) == (0, None, None, 0)
