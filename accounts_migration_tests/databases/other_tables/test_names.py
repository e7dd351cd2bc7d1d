"""Names in the target: the source's own, or one that is the same each time and no other's."""

import pytest

from accounts_migration.databases.other_tables.names import Names, column_names, relation_names
from accounts_migration.databases.platform_snapshot import HANDLED


@pytest.mark.parametrize("name", ["select", "Order Details", "100%", 'a"b', "é" * 31, "x" * 63, "$1", "sqlite_x"])
def test_postgresql_keeps_a_name(name: str) -> None:
    assert Names("postgresql").take(name) == name


@pytest.mark.parametrize("name", ["x" * 64, "é" * 32, "x" * 62 + "é", ""])
def test_a_name_that_postgresql_would_cut_gets_a_digest(name: str) -> None:
    chosen = Names("postgresql").take(name)
    assert chosen == Names("postgresql").take(name)
    assert 0 < len(chosen.encode()) <= 63
    assert chosen[-9] == "_"
    assert name.startswith(chosen[:-9])


def test_names_with_the_same_beginning_stay_apart() -> None:
    names = Names("postgresql")
    chosen = [names.take("x" * 70 + str(number)) for number in range(100)]
    assert len(set(chosen)) == 100
    assert {len(name) for name in chosen} == {63}


def test_a_name_twice_is_two_names() -> None:
    names = Names("postgresql")
    first, second, third = names.take("idx"), names.take("idx"), names.take("idx")
    assert first == "idx"
    assert len({first, second, third}) == 3


def test_sqlite_takes_upper_and_lower_case_for_one() -> None:
    names = Names("sqlite")
    assert names.take("Order") == "Order"
    assert names.take("ORDER") != "ORDER"
    assert names.take("É") == "É"
    assert names.take("é") == "é"
    assert names.take("x" * 70) == "x" * 70
    assert names.take("sqlite_stat").startswith("_sqlite_stat_")


def test_names_of_ours_are_taken() -> None:
    for name in ("account", "transaction", "account_customer_id", "copy_batch", "product_pkey", "alembic_version"):
        assert relation_names("postgresql", HANDLED).take(name) != name


def test_system_columns_are_postgresqls_own() -> None:
    assert column_names("postgresql").take("ctid").startswith("ctid_")
    assert column_names("sqlite").take("ctid") == "ctid"
