"""The tables of the four entities, and the books of migrations.

In PostgreSQL the entities' tables are made bare, as for every new target: keys, checks, references and indexes come
after the load. Nothing is below this version, so there is no way down from it.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

# byte order: keys are compared and sorted alike on every server
CODE = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
TEXT = sa.Text()
MONEY: sa.types.TypeEngine[Any] = sa.DECIMAL(15, 2)
RATE: sa.types.TypeEngine[Any] = sa.DECIMAL(9, 6)
# SQLite would compare what stands in a column named DATE as numbers
DATE = sa.Date().with_variant(sa.Text(), "sqlite")
MOMENT = sa.TIMESTAMP().with_variant(sa.Text(), "sqlite")
COUNT = sa.BigInteger()

OURS = "created by accounts_migration; keys and checks are added after the load"


def upgrade() -> None:
    """Create the tables, parents before children."""
    _create_product()
    _create_customer()
    _create_account()
    _create_transaction()
    _create_books()


def _create_product() -> None:
    _create_entity(
        "product",
        sa.Column("product_id", CODE, nullable=False),
        sa.Column("product_name", TEXT, nullable=False),
        sa.Column("product_type", CODE, nullable=False),
        sa.Column("interest_rate", RATE, nullable=False),
        sa.Column("transaction_fee", MONEY, nullable=False),
        sa.Column("monthly_fee", MONEY, nullable=False),
        sa.Column("min_balance_for_interest", MONEY, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        checks={
            "product_id": "substr(product_id, 1, 5) = 'PROD-' AND length(product_id) >= 8",
            "product_name": "product_name <> ''",
            "product_type": "product_type = 'CHECKING' OR product_type = 'CURRENT'",
            "interest_rate": "interest_rate >= 0 AND interest_rate <= 100",
            "transaction_fee": "transaction_fee >= 0 AND transaction_fee < 10000000000000",
            "monthly_fee": "monthly_fee >= 0 AND monthly_fee < 10000000000000",
            "min_balance_for_interest": "min_balance_for_interest > -10000000000000"
            " AND min_balance_for_interest < 10000000000000",
            "created_at": "created_at >= '1900-01-01' AND created_at < '2101-01-01'",
        },
    )


def _create_customer() -> None:
    _create_entity(
        "customer",
        sa.Column("customer_id", CODE, nullable=False),
        sa.Column("first_name", TEXT, nullable=False),
        sa.Column("last_name", TEXT, nullable=False),
        sa.Column("email", TEXT),
        sa.Column("phone", TEXT),
        sa.Column("created_at", MOMENT, nullable=False),
        checks={
            "customer_id": "substr(customer_id, 1, 5) = 'CUST-' AND length(customer_id) >= 9",
            "first_name": "first_name <> ''",
            "last_name": "last_name <> ''",
            "email": "email LIKE '_%@_%' AND email NOT LIKE '%@%@%'",
            "phone": "phone <> ''",
            "created_at": "created_at >= '1900-01-01' AND created_at < '2101-01-01'",
        },
    )


def _create_account() -> None:
    _create_entity(
        "account",
        sa.Column("account_id", CODE, nullable=False),
        sa.Column("customer_id", CODE, nullable=False),
        sa.Column("product_id", CODE, nullable=False),
        sa.Column("status", CODE, nullable=False),
        sa.Column("balance", MONEY, nullable=False),
        sa.Column("opening_date", DATE),
        sa.Column("closing_date", DATE),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        parents=("customer", "product"),
        checks={
            "account_id": "substr(account_id, 1, 5) = 'ACCT-' AND length(account_id) >= 13",
            "status": "status = 'ACTIVE' OR status = 'CLOSED'",
            "balance": "balance > -10000000000000 AND balance < 10000000000000",
            "opening_date": "opening_date >= '1900-01-01' AND opening_date < '2101-01-01'",
            "closing_date": "closing_date >= '1900-01-01' AND closing_date < '2101-01-01'",
            "created_at": "created_at >= '1900-01-01' AND created_at < '2101-01-01'",
            "updated_at": "updated_at >= '1900-01-01' AND updated_at < '2101-01-01'",
        },
    )


def _create_transaction() -> None:
    _create_entity(
        "transaction",
        sa.Column("transaction_id", CODE, nullable=False),
        sa.Column("account_id", CODE, nullable=False),
        sa.Column("transaction_type", CODE, nullable=False),
        sa.Column("amount", MONEY, nullable=False),
        sa.Column("balance_after", MONEY, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        sa.Column("transaction_date", MOMENT, nullable=False),
        parents=("account",),
        checks={
            "transaction_id": "substr(transaction_id, 1, 4) = 'TXN-' AND length(transaction_id) >= 5"
            " AND length(transaction_id) <= 68",
            "transaction_type": "transaction_type = 'CREDIT' OR transaction_type = 'DEBIT'"
            " OR transaction_type = 'FEE' OR transaction_type = 'INTEREST'",
            "amount": "amount > 0 AND amount < 10000000000000",
            "balance_after": "balance_after > -10000000000000 AND balance_after < 10000000000000",
            "reference": "length(reference) <= 200",
            "transaction_date": "transaction_date >= '1900-01-01' AND transaction_date < '2101-01-01'",
        },
    )


def _create_entity(name: str, *columns: sa.Column[Any], checks: dict[str, str], parents: tuple[str, ...] = ()) -> None:
    quoted = sa.quoted_name(name, True)
    if op.get_context().dialect.name == "postgresql":
        op.create_table(quoted, *columns)
        op.execute(f"COMMENT ON TABLE \"{name}\" IS '{OURS}'")
        return
    op.create_table(
        quoted,
        *columns,
        sa.PrimaryKeyConstraint(f"{name}_id", name=f"{name}_pkey"),
        *(sa.ForeignKeyConstraint([f"{one}_id"], [f"{one}.{one}_id"], name=f"{name}_{one}_id_fkey") for one in parents),
        *(sa.CheckConstraint(rule, name=f"{name}_{column}_check") for column, rule in checks.items()),
    )


def _create_books() -> None:
    op.create_table(
        "migration_snapshot",
        sa.Column("snapshot_id", CODE, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("sha256", CODE, nullable=False),
        sa.Column("taken_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("snapshot_id", name="migration_snapshot_pkey"),
    )
    op.create_table(
        "migration_batch",
        sa.Column("entity", CODE, nullable=False),
        sa.Column("batch", CODE, nullable=False),
        sa.Column("snapshot_id", CODE, nullable=False),
        sa.Column("source_rows", COUNT, nullable=False),
        sa.Column("loaded", COUNT, nullable=False),
        sa.Column("rejected", COUNT, nullable=False),
        sa.Column("excluded", COUNT, nullable=False),
        sa.Column("repaired", COUNT, nullable=False),
        sa.Column("control_totals", TEXT, nullable=False),
        sa.Column("content_digest", CODE, nullable=False),
        sa.Column("policies", TEXT, nullable=False),
        sa.Column("policies_digest", CODE, nullable=False),
        sa.Column("loaded_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("entity", "batch", name="migration_batch_pkey"),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["migration_snapshot.snapshot_id"], name="migration_batch_snapshot_id_fkey"
        ),
    )
    op.create_table(
        "migration_batch_row",
        sa.Column("entity", CODE, nullable=False),
        sa.Column("target_key", CODE, nullable=False),
        sa.Column("batch", CODE, nullable=False),
        sa.PrimaryKeyConstraint("entity", "target_key", name="migration_batch_row_pkey"),
    )
    op.create_table(
        "migration_defect",
        sa.Column("entity", CODE, nullable=False),
        sa.Column("batch", CODE, nullable=False),
        sa.Column("source_key", TEXT),
        sa.Column("source_row_id", COUNT),
        sa.Column("action", CODE, nullable=False),
        sa.Column("reason", CODE, nullable=False),
        sa.Column("reasons", TEXT),
        sa.Column(sa.quoted_name("column", True), TEXT),
        sa.Column("old_value", TEXT),
        sa.Column("new_value", TEXT),
        sa.Column("source_row", TEXT),
    )
    op.create_index("migration_defect_entity_batch", "migration_defect", ["entity", "batch"])
