"""The tables of the target database, once, for both engines (contract sections 5 and 6).

Here: columns, keys, checks, references and indexes as SQLAlchemy tables, and the canonical Arrow types of
their rows. Not here: when a constraint is created (`accounts_migration.databases.sqlite_target`,
`postgres_target`), and how a value is stored (`sqlite_rows`, `postgres_rows`).

A check says a rule of section 5 as the database can hold it: it is the last guard against a wrong row, not
the place where rows are judged. Checks are written so that they are fast in SQLite (ORs, not IN) and so
that they refuse what the engine itself would let pass: `amount < 10000000000000` refuses text in SQLite and
NaN in PostgreSQL.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from accounts_migration.databases.books import COPY, MIGRATION, Books
from accounts_migration.databases.sql_text import quoted

ENTITIES = ("product", "customer", "account", "transaction")
"""The entities, parents before children: the order in which they are loaded."""

CENTS = 100
MILLIONTHS = 1_000_000
WHOLE_DIGITS_OF_MONEY = 13
"""Money is below 10^13 in magnitude, so cents stay exact in a double, too."""

_BELOW_LIMIT = "10000000000000"


class Kind(Enum):
    """What a column holds, and with it how it travels: `arrow_type` is its canonical Arrow type."""

    CODE = "an id or code"
    TEXT = "text"
    MONEY = "money, in cents"
    RATE = "percent, in millionths"
    DATE = "a date"
    MOMENT = "a date and time without zone"
    COUNT = "a count"

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type in which a column of this kind enters and leaves the target interface."""
        return _ARROW_TYPES[self]

    @property
    def scale(self) -> int:
        """How many canonical units make one of the stored decimal; 1 for what is not decimal."""
        return {Kind.MONEY: CENTS, Kind.RATE: MILLIONTHS}.get(self, 1)


_ARROW_TYPES = {
    Kind.CODE: pa.string(),
    Kind.TEXT: pa.string(),
    Kind.MONEY: pa.int64(),
    Kind.RATE: pa.int64(),
    Kind.DATE: pa.date32(),
    Kind.MOMENT: pa.timestamp("us"),
    Kind.COUNT: pa.int64(),
}


def _sql_type(kind: Kind) -> sa.types.TypeEngine[Any]:
    if kind is Kind.CODE:
        # byte order: keys are compared and sorted faster, and alike on every server
        return sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
    if kind is Kind.MONEY:
        return sa.DECIMAL(WHOLE_DIGITS_OF_MONEY + 2, 2)
    if kind is Kind.RATE:
        return sa.DECIMAL(9, 6)
    # SQLite would give a column named DATE numeric affinity, and compare text with it as numbers
    if kind is Kind.DATE:
        return sa.Date().with_variant(sa.Text(), "sqlite")
    if kind is Kind.MOMENT:
        return sa.TIMESTAMP().with_variant(sa.Text(), "sqlite")
    return sa.BigInteger() if kind is Kind.COUNT else sa.Text()


def _column(name: str, kind: Kind, *, key: bool = False, null: bool = False, refers: str = "") -> sa.Column[Any]:
    references = [sa.ForeignKey(f"{refers}.{refers}_id")] if refers else []
    return sa.Column(
        sa.quoted_name(name, True if name == "column" else None),
        _sql_type(kind),
        *references,
        primary_key=key,
        nullable=null,
        autoincrement=False,
        info={"kind": kind},
    )


def _either(column: str, *values: str) -> str:
    return " OR ".join(f"{column} = '{value}'" for value in values)


def _within_limit(column: str) -> str:
    return f"{column} > -{_BELOW_LIMIT} AND {column} < {_BELOW_LIMIT}"


def _not_negative(column: str) -> str:
    return f"{column} >= 0 AND {column} < {_BELOW_LIMIT}"


def _within_years(column: str) -> str:
    return f"{column} >= '1900-01-01' AND {column} < '2101-01-01'"


def _prefixed(column: str, prefix: str, shortest: int) -> str:
    return f"substr({column}, 1, {len(prefix)}) = '{prefix}' AND length({column}) >= {shortest}"


_CHECKS: dict[str, dict[str, str]] = {
    "product": {
        "product_id": _prefixed("product_id", "PROD-", 8),
        "product_name": "product_name <> ''",
        "product_type": _either("product_type", "CHECKING", "CURRENT"),
        "interest_rate": "interest_rate >= 0 AND interest_rate <= 100",
        "transaction_fee": _not_negative("transaction_fee"),
        "monthly_fee": _not_negative("monthly_fee"),
        "min_balance_for_interest": _within_limit("min_balance_for_interest"),
        "created_at": _within_years("created_at"),
    },
    "customer": {
        "customer_id": _prefixed("customer_id", "CUST-", 9),
        "first_name": "first_name <> ''",
        "last_name": "last_name <> ''",
        "email": "email LIKE '_%@_%' AND email NOT LIKE '%@%@%'",
        "phone": "phone <> ''",
        "created_at": _within_years("created_at"),
    },
    "account": {
        "account_id": _prefixed("account_id", "ACCT-", 13),
        "status": _either("status", "ACTIVE", "CLOSED"),
        "balance": _within_limit("balance"),
        "opening_date": _within_years("opening_date"),
        "closing_date": _within_years("closing_date"),
        "created_at": _within_years("created_at"),
        "updated_at": _within_years("updated_at"),
    },
    "transaction": {
        "transaction_id": f"{_prefixed('transaction_id', 'TXN-', 5)} AND length(transaction_id) <= 68",
        "transaction_type": _either("transaction_type", "CREDIT", "DEBIT", "FEE", "INTEREST"),
        "amount": f"amount > 0 AND amount < {_BELOW_LIMIT}",
        "balance_after": _within_limit("balance_after"),
        "reference": "length(reference) <= 200",
        "transaction_date": _within_years("transaction_date"),
    },
}


def build_tables() -> dict[str, sa.Table]:
    """Return all tables of the target by name, entities first, parents before children.

    Each column's `info["kind"]` is its `Kind`; `kind_of` reads it.
    """
    metadata = sa.MetaData(
        naming_convention={"pk": "%(table_name)s_pkey", "ck": "%(table_name)s_%(constraint_name)s_check"}
    )
    tables = [
        *_entity_tables(metadata),
        *_bookkeeping_tables(metadata, MIGRATION),
        *_bookkeeping_tables(metadata, COPY),
    ]
    for table in tables:
        for name, rule in _CHECKS.get(table.name, {}).items():
            table.append_constraint(sa.CheckConstraint(rule, name=name))
        for constraint in table.foreign_key_constraints:
            constraint.name = f"{table.name}_{constraint.column_keys[0]}_fkey"
    return {table.name: table for table in tables}


def _entity_tables(metadata: sa.MetaData) -> list[sa.Table]:
    product = sa.Table(
        "product",
        metadata,
        _column("product_id", Kind.CODE, key=True),
        _column("product_name", Kind.TEXT),
        _column("product_type", Kind.CODE),
        _column("interest_rate", Kind.RATE),
        _column("transaction_fee", Kind.MONEY),
        _column("monthly_fee", Kind.MONEY),
        _column("min_balance_for_interest", Kind.MONEY),
        _column("created_at", Kind.MOMENT),
    )
    customer = sa.Table(
        "customer",
        metadata,
        _column("customer_id", Kind.CODE, key=True),
        _column("first_name", Kind.TEXT),
        _column("last_name", Kind.TEXT),
        _column("email", Kind.TEXT, null=True),
        _column("phone", Kind.TEXT, null=True),
        _column("created_at", Kind.MOMENT),
    )
    account = sa.Table(
        "account",
        metadata,
        _column("account_id", Kind.CODE, key=True),
        _column("customer_id", Kind.CODE, refers="customer"),
        _column("product_id", Kind.CODE, refers="product"),
        _column("status", Kind.CODE),
        _column("balance", Kind.MONEY),
        _column("opening_date", Kind.DATE, null=True),
        _column("closing_date", Kind.DATE, null=True),
        _column("created_at", Kind.MOMENT),
        _column("updated_at", Kind.MOMENT),
        sa.Index("account_customer_id", "customer_id"),
        sa.Index("account_product_id", "product_id"),
    )
    transaction = sa.Table(
        sa.quoted_name("transaction", True),
        metadata,
        _column("transaction_id", Kind.CODE, key=True),
        _column("account_id", Kind.CODE, refers="account"),
        _column("transaction_type", Kind.CODE),
        _column("amount", Kind.MONEY),
        _column("balance_after", Kind.MONEY),
        _column("reference", Kind.TEXT),
        _column("transaction_date", Kind.MOMENT),
        sa.Index("transaction_account_id_transaction_date", "account_id", "transaction_date"),
        # a few pages that find a month where batches were loaded one after the other
        sa.Index(
            "transaction_transaction_date",
            "transaction_date",
            postgresql_using="brin",
            info={"engine": "postgresql"},
        ),
    )
    return [product, customer, account, transaction]


def _bookkeeping_tables(metadata: sa.MetaData, books: Books) -> list[sa.Table]:
    snapshot = sa.Table(
        books.snapshot,
        metadata,
        _column("snapshot_id", Kind.CODE, key=True),
        _column("source", Kind.TEXT),
        _column("sha256", Kind.CODE),
        _column("taken_at", Kind.MOMENT),
    )
    batch = sa.Table(
        books.batch,
        metadata,
        _column("entity", Kind.CODE, key=True),
        _column("batch", Kind.CODE, key=True),
        sa.Column(
            "snapshot_id",
            _sql_type(Kind.CODE),
            sa.ForeignKey(snapshot.c.snapshot_id),
            nullable=False,
            info={"kind": Kind.CODE},
        ),
        _column("source_rows", Kind.COUNT),
        _column("loaded", Kind.COUNT),
        _column("rejected", Kind.COUNT),
        _column("excluded", Kind.COUNT),
        _column("repaired", Kind.COUNT),
        _column("control_totals", Kind.TEXT),
        _column("content_digest", Kind.CODE),
        _column("policies", Kind.TEXT),
        _column("policies_digest", Kind.CODE),
        _column("loaded_at", Kind.MOMENT),
    )
    # lists only rows whose date lies outside their batch's month; all others are found by their date
    batch_row = sa.Table(
        books.batch_row,
        metadata,
        _column("entity", Kind.CODE, key=True),
        _column("target_key", Kind.CODE, key=True),
        _column("batch", Kind.CODE),
    )
    defect = sa.Table(
        books.defect,
        metadata,
        _column("entity", Kind.CODE),
        _column("batch", Kind.CODE),
        _column("source_key", Kind.TEXT, null=True),
        _column("source_row_id", Kind.COUNT, null=True),
        _column("action", Kind.CODE),
        _column("reason", Kind.CODE),
        _column("reasons", Kind.TEXT, null=True),
        _column("column", Kind.TEXT, null=True),
        _column("old_value", Kind.TEXT, null=True),
        _column("new_value", Kind.TEXT, null=True),
        _column("source_row", Kind.TEXT, null=True),
        sa.Index(f"{books.defect}_entity_batch", "entity", "batch"),
    )
    return [snapshot, batch, batch_row, defect]


TABLES = build_tables()
"""For reading names, kinds and keys; who compiles DDL builds tables of their own (`build_tables`)."""


def entity_indexes(engine: str) -> list[sa.Index]:
    """Return the indexes of the entities' tables, by name, that an engine is to have."""
    indexes = (index for entity in ENTITIES for index in TABLES[entity].indexes)
    return sorted((i for i in indexes if i.info.get("engine", engine) == engine), key=lambda i: str(i.name))


def kind_of(column: sa.Column[Any]) -> Kind:
    """Return what the column holds."""
    kind: Kind = column.info["kind"]
    return kind


def key_of(entity: str) -> str:
    """Return the name of the entity's key column."""
    return f"{entity}_id"


def parents_of(entity: str) -> list[tuple[str, str]]:
    """Return (foreign key column, parent entity) for each reference of the entity."""
    return [
        (column.name, reference.column.table.name)
        for column in TABLES[entity].columns
        for reference in column.foreign_keys
    ]


def children_of(entity: str) -> list[tuple[str, str]]:
    """Return (child entity, its foreign key column) for each reference to the entity."""
    return [(child, column) for child in ENTITIES for column, parent in parents_of(child) if parent == entity]


def canonical_schema(table: str) -> pa.Schema:
    """Return the canonical Arrow schema of a table's rows, columns in the order of contract section 6.

    Text is string, money int64 cents, a rate int64 millionths of a percent, a date date32, a date-time
    timestamp[us] without zone, a count int64.
    """
    return pa.schema([pa.field(column.name, kind_of(column).arrow_type) for column in TABLES[table].columns])


def selected(columns: Sequence[str], alias: str = "") -> str:
    """Return the columns as SQL, quoted and parted by commas, each after the table alias if one is given."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + quoted(column) for column in columns)


def column_names(table: str) -> list[str]:
    """Return the table's column names in the order of contract section 6."""
    return [column.name for column in TABLES[table].columns]
