"""Creating the tables, and refusing those that cannot take the rows."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from accounts_migration.databases.books import COPY
from accounts_migration.databases.schema_versions.known import VERSION_TABLE
from accounts_migration.databases.target import Target, open_target
from accounts_migration.databases.target_schema import TABLES
from accounts_migration.errors import MigrationError

RunSql = Callable[..., list[tuple[Any, ...]]]

COMPATIBLE = """CREATE TABLE product (product_id {text} PRIMARY KEY, product_name {text}, product_type
{text} NOT NULL,
    interest_rate NUMERIC(9,6), transaction_fee NUMERIC(15,2), monthly_fee NUMERIC(18,2),
    min_balance_for_interest NUMERIC(15,2), created_at TIMESTAMP, remark {text}, origin {text} NOT NULL
    DEFAULT 'x')"""


def tables(run_sql: RunSql, url: str) -> set[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    if "://" in url:
        query = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()"
    return {row[0] for row in run_sql(url, query)}


def refusal(url: str) -> str:
    with open_target(url) as target, pytest.raises(MigrationError) as caught:
        target.prepare()
    return caught.value.why


def test_prepare_creates_all_tables_and_may_be_repeated(target_url: str, run_sql: RunSql) -> None:
    for _ in range(2):
        with open_target(target_url) as target:
            target.prepare()
    assert tables(run_sql, target_url) == {*TABLES, VERSION_TABLE}


def test_copies_are_recorded_in_tables_like_those_of_migrations(target: Target) -> None:
    """Columns, types, NOT NULL, keys, references and indexes: alike but for the family in their names."""

    def rows(family: str) -> list[tuple[Any, ...]]:
        query = "SELECT sql FROM sqlite_master WHERE tbl_name LIKE $1 AND sql IS NOT NULL ORDER BY name"
        if target.engine == "postgresql":
            query = (
                "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
                " a.attcollation::regcollation::text, coalesce(pg_get_indexdef(i.indexrelid), ''), r.conname::text,"
                " pg_get_constraintdef(r.oid) FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
                " LEFT JOIN pg_index AS i ON i.indexrelid = c.oid LEFT JOIN pg_constraint AS r ON r.conrelid = c.oid"
                " WHERE c.relname LIKE $1 AND a.attnum > 0 ORDER BY 1, a.attnum, 7"
            )
        words = target.session.execute(query, (f"{family}_%",))
        return [tuple(str(word).replace(f"{family}_", "") for word in row) for row in words]

    assert len(rows("copy")) >= len(COPY.tables)
    assert rows("copy") == rows("migration")


def test_tables_stay_acceptable_before_and_after_their_constraints(target: Target) -> None:
    target.prepare()
    target.constrain()
    target.prepare()


def test_two_processes_may_prepare_at_once(target_url: str, run_sql: RunSql) -> None:
    program = (
        "import sys; from accounts_migration.databases.target import open_target\n"
        "with open_target(sys.argv[1]) as target: target.prepare()"
    )
    command = [sys.executable, "-c", program, target_url]
    started = [subprocess.Popen(command) for _ in range(3)]  # noqa: S603  # this interpreter
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert tables(run_sql, target_url) == {*TABLES, VERSION_TABLE}


def test_every_difference_is_named_and_nothing_is_written(target_url: str, run_sql: RunSql) -> None:
    run_sql_on_new(
        target_url,
        "CREATE TABLE product (product_id INTEGER PRIMARY KEY, product_name INTEGER, branch TEXT NOT NULL)",
        "CREATE VIEW customer AS SELECT 1 AS customer_id",
        'CREATE TABLE "transaction" (transaction_id TEXT, transaction_date INTEGER)',
    )
    why = refusal(target_url)
    for difference in (
        "product.product_id is ",
        "product.product_name is ",
        "product.created_at is missing",
        "product.branch is not ours, is NOT NULL and has no default",
        "customer is a view, not a table",
        "the primary key of transaction is nothing, it must be transaction_id",
        "transaction.transaction_date is ",
    ):
        assert difference in why
    assert tables(run_sql, target_url) == {"product", "transaction"}


def run_sql_on_new(url: str, *statements: str) -> None:
    if "://" not in url:
        open(url, "w").close()  # noqa: PTH123  # an empty file is an empty database
    with open_target(url) as target:
        for statement in statements:
            target.session.execute(statement)


def test_a_nullable_column_must_stay_nullable(target_url: str) -> None:
    run_sql_on_new(
        target_url,
        "CREATE TABLE customer (customer_id TEXT PRIMARY KEY, first_name TEXT, last_name TEXT,"
        " email TEXT NOT NULL, phone TEXT, created_at TIMESTAMP)",
    )
    assert refusal(target_url) == "customer.email is NOT NULL, it must allow NULL"


def test_money_must_have_two_decimals(postgres_url: str) -> None:
    run_sql_on_new(
        postgres_url,
        COMPATIBLE.format(text="TEXT").replace("transaction_fee NUMERIC(15,2)", "transaction_fee REAL"),
    )
    assert refusal(postgres_url) == "product.transaction_fee is real, it must be numeric(15,2)"


def test_a_compatible_table_is_used_as_it_stands(target_url: str, bank: Any, run_sql: RunSql) -> None:
    run_sql_on_new(target_url, COMPATIBLE.format(text="TEXT"))
    with open_target(target_url) as target:
        target.prepare()
        assert bank.load(target, "product", bank.product(1, 2)).loaded == 2
        assert bank.load(target, "product", bank.product(1)).removed == 1
        target.constrain()
        assert bank.stored(target, "product") == bank.product(1).to_pylist()
    assert run_sql(target_url, "SELECT remark, origin FROM product") == [(None, "x")]


def test_examining_writes_nothing_and_tells_whether_a_migration_was_here(
    target_url: str, bank: Any, run_sql: RunSql
) -> None:
    with open_target(target_url) as target:
        assert target.examine() is False
    run_sql_on_new(target_url)
    with open_target(target_url) as target:
        assert target.examine() is False
        assert tables(run_sql, target_url) == set()
        target.prepare()
        bank.load(target, "product", bank.product(1))
        assert target.examine() is True


def test_examining_refuses_what_a_load_would_refuse(target_url: str, run_sql: RunSql) -> None:
    run_sql_on_new(
        target_url,
        COMPATIBLE.format(text="TEXT"),
        "INSERT INTO product (product_id, product_type) VALUES ('PROD-001', 'CHECKING')",
    )
    with (
        open_target(target_url) as target,
        pytest.raises(MigrationError, match="1 rows stand there, 0 are recorded"),
    ):
        target.examine()
    run_sql(target_url, "DROP TABLE product", "CREATE TABLE product (product_id TEXT)")
    with (
        open_target(target_url) as target,
        pytest.raises(MigrationError, match=r"product\.created_at is missing"),
    ):
        target.examine()
