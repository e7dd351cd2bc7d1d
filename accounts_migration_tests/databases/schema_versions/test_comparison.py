"""Every way in which tables may differ from what their version wants is named, on both engines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.schema_versions.changing import statements
from accounts_migration.databases.schema_versions.known import HEAD
from accounts_migration.databases.target import Target, open_target

RunSql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def finished(target: Target) -> Target:
    target.constrain()
    return target


def test_a_half_loaded_target_lacks_what_the_last_step_adds(target: Target) -> None:
    found = target.differences()
    names = target.missing_constraints()
    assert len(found) == len(names)
    assert "account: index account_customer_id is missing, it must be " in "; ".join(found)
    kinds = {
        f"{table}: primary key {table}_pkey is missing, it must be PRIMARY KEY ({table}_id)"
        for table in ("product", "customer", "account", "transaction")
    }
    assert target.engine == "sqlite" or kinds <= set(found)


def test_a_schema_whose_name_must_be_quoted_is_looked_into(quoted_schema_url: str) -> None:
    with open_target(quoted_schema_url) as target:
        target.prepare()
        target.constrain()
        assert target.differences() == []
        target.session.execute("DROP INDEX account_customer_id")
        assert [line.partition(" is missing")[0] for line in target.differences()] == [
            "account: index account_customer_id"
        ]


def test_what_is_dropped_or_added(finished: Target) -> None:
    for statement in (
        "DROP INDEX account_customer_id",
        "DROP TABLE migration_batch_row",
        "ALTER TABLE customer ADD COLUMN branch_code TEXT",
        "CREATE INDEX customer_email ON customer (email)",
        "DROP INDEX copy_defect_entity_batch",
        "CREATE TABLE theirs (x text)",
    ):
        finished.session.execute(statement)
    small, using = ("TEXT", "on ") if finished.engine == "sqlite" else ("text", "btree ")
    columns = [f"{using}{words}" for words in ("(customer_id)", "(email)", "(entity, batch)")]
    on_customer, on_email, on_entity = (
        columns if using == "btree " else [one.translate(NO_PARENTHESES) for one in columns]
    )
    assert finished.differences() == [
        f"customer: column branch_code is not of this version: {small}",
        f"customer: index customer_email is not of this version: {on_email}",
        f"account: index account_customer_id is missing, it must be {on_customer}",
        "table migration_batch_row is missing",
        f"copy_defect: index copy_defect_entity_batch is missing, it must be {on_entity}",
    ]


NO_PARENTHESES = str.maketrans("", "", "()")


def test_what_is_altered_in_postgresql(postgres_url: str) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
        target.constrain()
        for statement in (
            "ALTER TABLE product ALTER COLUMN monthly_fee TYPE numeric(18,2)",
            "ALTER TABLE customer ALTER COLUMN last_name DROP NOT NULL",
            "ALTER TABLE customer ALTER COLUMN first_name SET DEFAULT 'Ada'",
            "ALTER TABLE account DROP CONSTRAINT account_status_check",
            "ALTER TABLE account ADD CONSTRAINT account_status_check CHECK (status = 'ACTIVE')",
            "ALTER TABLE account DROP CONSTRAINT account_product_id_fkey",
            "ALTER TABLE account ADD UNIQUE (product_id)",
            'ALTER TABLE "transaction" DROP CONSTRAINT transaction_pkey',
            'ALTER TABLE "transaction" DROP CONSTRAINT transaction_account_id_fkey',
            'ALTER TABLE "transaction" ADD CONSTRAINT transaction_account_id_fkey FOREIGN KEY (account_id)'
            " REFERENCES account ON DELETE CASCADE NOT VALID",
            "DROP INDEX transaction_transaction_date",
            'CREATE INDEX transaction_transaction_date ON "transaction" (transaction_date)',
            'ALTER TABLE copy_defect ALTER COLUMN batch TYPE text COLLATE "default"',
        ):
            target.session.execute(statement)
        assert target.differences() == [
            "product: column monthly_fee is numeric(18,2) NOT NULL, it must be numeric(15,2) NOT NULL",
            "customer: column first_name is text NOT NULL DEFAULT 'Ada'::text, it must be text NOT NULL",
            "customer: column last_name is text, it must be text NOT NULL",
            "account: reference account_product_id_fkey is missing, it must be FOREIGN KEY (product_id) REFERENCES"
            " product(product_id)",
            "account: check account_status_check is CHECK ((status = 'ACTIVE'::text)), it must be CHECK (((status ="
            " 'ACTIVE'::text) OR (status = 'CLOSED'::text)))",
            "account: unique constraint account_product_id_key is not of this version: UNIQUE (product_id)",
            "transaction: primary key transaction_pkey is missing, it must be PRIMARY KEY (transaction_id)",
            "transaction: reference transaction_account_id_fkey is FOREIGN KEY (account_id) REFERENCES"
            " account(account_id) ON DELETE CASCADE NOT VALID, it must be FOREIGN KEY (account_id) REFERENCES"
            " account(account_id)",
            "transaction: index transaction_transaction_date is btree (transaction_date), it must be brin"
            " (transaction_date)",
            "copy_defect: column batch is text NOT NULL, it must be text COLLATE C NOT NULL",
        ]
        assert target.session.execute("SELECT relname::text FROM pg_class WHERE relpersistence = 't'") == []


CHANGED = (
    ("monthly_fee DECIMAL(15, 2) NOT NULL", "monthly_fee INTEGER NOT NULL"),
    ("last_name TEXT NOT NULL", "last_name TEXT"),
    ("CONSTRAINT transaction_pkey PRIMARY KEY (transaction_id)", "UNIQUE (transaction_id)"),
    ("CHECK (status = 'ACTIVE' OR status = 'CLOSED')", "CHECK (status = 'ACTIVE)' OR status IN ('CLOSED'))"),
    ("CONSTRAINT account_balance_check", "CONSTRAINT balance_check"),
    ("REFERENCES account (account_id)", "REFERENCES account (account_id) ON DELETE CASCADE"),
    ("REFERENCES product (product_id)", "REFERENCES product"),
)


def test_what_is_made_otherwise_in_sqlite(tmp_path: Path) -> None:
    """SQLite alters little: the tables are made so."""
    (tmp_path / "target.db").touch()
    with open_target(str(tmp_path / "target.db")) as target:
        for statement in statements("sqlite", "base", HEAD):
            for words, others in CHANGED:
                statement = statement.replace(words, others)
            target.session.execute(statement)
        target.constrain()
        assert target.differences() == [
            "product: column monthly_fee is INTEGER NOT NULL, it must be DECIMAL(15, 2) NOT NULL",
            "customer: column last_name is TEXT, it must be TEXT NOT NULL",
            "account: check account_balance_check is missing, it must be balance > -10000000000000 AND balance <"
            " 10000000000000",
            "account: reference of product_id is to product (the key), it must be to product (product_id)",
            "account: check account_status_check is status = 'ACTIVE)' OR status IN ('CLOSED'), it must be status ="
            " 'ACTIVE' OR status = 'CLOSED'",
            "account: check balance_check is not of this version: balance > -10000000000000 AND balance <"
            " 10000000000000",
            "transaction: primary key is missing, it must be transaction_id",
            "transaction: reference of account_id is to account (account_id) ON DELETE CASCADE, it must be to account"
            " (account_id)",
            "transaction: unique constraint on transaction_id is not of this version: unique on transaction_id",
        ]
