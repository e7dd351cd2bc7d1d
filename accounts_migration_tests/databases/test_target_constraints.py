"""Keys, checks, references and indexes: added once, verified each time, and in force afterwards."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts_migration.databases.target import Target, open_target
from accounts_migration.errors import MigrationError

RunSql = Callable[..., list[tuple[Any, ...]]]


def test_constrain_does_what_is_missing_and_then_only_verifies(target: Target, bank: Any) -> None:
    bank.load_parents(target)
    done = target.constrain()
    assert "created index transaction_account_id_transaction_date" in done
    assert done[-1] == "verified all references and gathered statistics"
    assert target.constrain() == ["verified all references and gathered statistics"]


@pytest.mark.parametrize(
    ("entity", "numbers", "changes", "constraint"),
    [
        ("transaction", [1, 2, 3, 4, 5, 6, 7], {"account": 9}, "transaction_account_id_fkey"),
        ("account", [8], {"customer": 9}, "account_customer_id_fkey"),
        ("account", [8], {"product": 9}, "account_product_id_fkey"),
    ],
)
def test_a_row_without_its_parent_is_named(
    target: Target, bank: Any, entity: str, numbers: list[int], changes: dict[str, int], constraint: str
) -> None:
    bank.load(target, "product", bank.product(1))
    bank.load(target, "customer", bank.customer(1))
    rows = getattr(bank, entity)(*numbers, **changes)
    bank.load(target, entity, rows, "2024-03" if entity == "transaction" else "all")
    with pytest.raises(MigrationError) as caught:
        target.constrain()
    keys = rows.column(0).to_pylist()[:5]
    assert f"rows of table {entity} break {constraint}, for example {', '.join(keys)}" in caught.value.why
    parent = constraint.removeprefix(f"{entity}_").removesuffix("_id_fkey")
    assert target.referential_integrity()[f"{entity}->{parent}"] == len(numbers)


def test_a_sound_target_has_no_orphans(target: Target, bank: Any) -> None:
    bank.load_parents(target)
    bank.load(target, "transaction", bank.transaction(1, 2), "2024-03")
    assert target.referential_integrity() == {
        "account->customer": 0,
        "account->product": 0,
        "transaction->account": 0,
    }


def test_references_are_in_force_once_constrained(target: Target, bank: Any) -> None:
    bank.load_parents(target)
    target.constrain()
    with pytest.raises(MigrationError, match="a row breaks the constraint"):
        bank.load(target, "transaction", bank.transaction(1, account=9), "2024-03")
    assert target.counts_by_batch("transaction") == {}
    assert bank.load(target, "transaction", bank.transaction(1, account=3), "2024-03").loaded == 1


def test_a_key_that_stands_twice_is_named(postgres_url: str, bank: Any) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
        bank.load_parents(target)
        bank.load(target, "transaction", bank.transaction(1, 2), "2024-03")
        bank.load(target, "transaction", bank.transaction(2, when="2024-04-01"), "2024-04")
        with pytest.raises(MigrationError, match="break transaction_pkey, for example TXN-2"):
            target.constrain()
        # the load of either batch heals it: the key belongs to the one that is loaded last
        bank.load(target, "transaction", bank.transaction(1), "2024-03")
        target.constrain()


def test_a_row_that_breaks_a_check_is_named(postgres_url: str, bank: Any) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
        bank.load_parents(target)
        bank.load(target, "transaction", bank.transaction(1, amount=0), "2024-03")
        with pytest.raises(MigrationError, match=r"rows of table transaction break transaction_amount_check, .* TXN-1"):
            target.constrain()


@pytest.mark.parametrize(
    "assignment",
    [
        "amount = 0",
        "amount = 10000000000000",
        "balance_after = -10000000000000",
        "transaction_type = 'OTHER'",
        "transaction_type = NULL",
        "transaction_date = '1899-12-31 23:59:59'",
        "transaction_id = '7'",
        "account_id = 'ACCT-00000009'",
        "transaction_id = 'TXN-2'",
    ],
)
def test_the_database_holds_the_rules_itself(
    target: Target, target_url: str, bank: Any, run_sql: RunSql, assignment: str
) -> None:
    bank.load_parents(target)
    bank.load(target, "transaction", bank.transaction(1, 2), "2024-03")
    target.constrain()
    with pytest.raises(MigrationError, match=r"a row breaks the constraint|a value does not fit its column"):
        run_sql(target_url, f"UPDATE \"transaction\" SET {assignment} WHERE transaction_id = 'TXN-1'")  # noqa: S608


def test_sqlite_refuses_text_and_postgres_nan_for_an_amount(
    target: Target, target_url: str, bank: Any, run_sql: RunSql
) -> None:
    bank.load_parents(target)
    bank.load(target, "transaction", bank.transaction(1), "2024-03")
    target.constrain()
    odd = "'twelve'" if target.engine == "sqlite" else "'NaN'"
    for column in ("amount", "balance_after"):
        with pytest.raises(MigrationError, match="a row breaks the constraint"):
            run_sql(target_url, f'UPDATE "transaction" SET {column} = {odd}')  # noqa: S608
