"""A load on trial: it measures, and nothing of it stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import Target, open_target
from accounts_migration.errors import MigrationError

TABLES_OF = {
    "sqlite": "SELECT name FROM sqlite_master",
    "postgresql": "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace",
}


@pytest.mark.parametrize("entity", ["product", "customer", "account", "transaction"])
def test_rows_of_each_entity_are_loaded_indexed_and_gone(target: Target, bank: Any, entity: str) -> None:
    # more rows than pages that stand already, so that the size must grow
    rows = [getattr(bank, entity)(*range(start, start + 500)) for start in (1, 501)]
    before = target.session.execute(TABLES_OF[target.engine])

    small, large = target.rehearse(entity, rows[:1]), target.rehearse(entity, rows)

    assert (small.rows, large.rows) == (500, 1000)
    assert small.seconds > 0
    assert large.size > small.size > 500 * 20
    assert target.session.execute(TABLES_OF[target.engine]) == before
    assert target.count(entity) == 0


def test_beside_a_migrated_bank_nothing_changes(target: Target, bank: Any) -> None:
    bank.load_parents(target)
    before = {entity: bank.stored(target, entity) for entity in ("product", "customer", "account")}

    target.rehearse("account", [bank.account(1, 2, 3, balance=5)])

    assert {entity: bank.stored(target, entity) for entity in before} == before


def test_rows_that_cannot_be_read_end_it_and_nothing_stays(target: Target, bank: Any) -> None:
    before = target.session.execute(TABLES_OF[target.engine])

    with pytest.raises(ZeroDivisionError):
        target.rehearse("account", [bank.account(1), _Broken()])

    assert target.session.execute(TABLES_OF[target.engine]) == before
    assert target.rehearse("account", [bank.account(1)]).rows == 1


class _Broken:
    num_rows = 1

    @property
    def columns(self) -> list[Any]:
        return [1 // 0]


def test_a_role_that_may_not_create_a_table_is_told_so(
    postgres_url: str, bank: Any, run_sql: Callable[..., Any]
) -> None:
    run_sql(postgres_url, "DROP ROLE IF EXISTS rehearsal_clerk", "CREATE ROLE rehearsal_clerk LOGIN")
    url = postgres_url.replace("://postgres@", "://rehearsal_clerk@")

    with open_target(url) as target, pytest.raises(MigrationError, match="this role lacks a right"):
        target.rehearse("account", [bank.account(1)])

    run_sql(postgres_url, "DROP ROLE rehearsal_clerk")


def test_the_size_of_a_database(target: Target, bank: Any) -> None:
    before = target.session.size()
    bank.load_parents(target)
    bank.load(target, "account", bank.account(*range(1, 5_001)))

    assert target.session.size() > before > 0


def test_a_sqlite_file_is_measured_as_it_stands(tmp_path: Path, bank: Any) -> None:
    path = tmp_path / "target.db"
    with open_target(str(path)) as target:
        target.prepare()
        bank.load_parents(target)
        size = target.session.size()

    assert size == path.stat().st_size
