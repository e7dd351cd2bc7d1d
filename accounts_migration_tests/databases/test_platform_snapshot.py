"""The one state of a platform database that a copy reads: PostgreSQL of whatever types, SQLite of whatever kind."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.platform_snapshot import take_platform_snapshot
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import PLATFORM_ENTITIES
from accounts_migration.errors import MigrationError
from accounts_migration_tests.platform_rows import ODD, write_platform

RunSql = Callable[..., list[tuple[Any, ...]]]

MOMENT = "timestamp DEFAULT '2024-01-01'"
TABLES = {
    "product": {
        "product_id": "text", "product_name": "text DEFAULT 'Basic'", "product_type": "text DEFAULT 'CHECKING'",
        "interest_rate": "numeric DEFAULT 1", "transaction_fee": "numeric DEFAULT 1",
        "monthly_fee": "numeric DEFAULT 1", "min_balance_for_interest": "numeric DEFAULT 1", "created_at": MOMENT,
    },
    "customer": {
        "customer_id": "text", "first_name": "text DEFAULT 'Ada'", "last_name": "text DEFAULT 'Byron'", "email": "text",
        "phone": "text", "created_at": MOMENT,
    },
    "account": {
        "account_id": "text", "customer_id": "text", "product_id": "text", "status": "text DEFAULT 'ACTIVE'",
        "balance": "numeric DEFAULT 1", "opening_date": "date", "closing_date": "date", "created_at": MOMENT,
        "updated_at": MOMENT,
    },
    "transaction": {
        "transaction_id": "text", "account_id": "text", "transaction_type": "text DEFAULT 'CREDIT'",
        "amount": "numeric DEFAULT 1", "balance_after": "numeric DEFAULT 1", "reference": "text DEFAULT ''",
        "transaction_date": MOMENT,
    },
}  # fmt: skip


def tables(**types: str) -> list[str]:
    """Return the SQL that makes the four tables as a service of others might, some columns of another type."""
    return [
        f'CREATE TABLE "{table}" ({", ".join(f"{name} {types.get(name, kind)}" for name, kind in columns.items())})'
        for table, columns in TABLES.items()
    ]


def copied(snapshot: Snapshot, table: str, column: str) -> list[Any]:
    """Return the cells of a column of the snapshot with their storage class, in order of the table."""
    with closing(sqlite3.connect(snapshot.path)) as connection:
        return [row[0] for row in connection.execute(f'SELECT "{column}" FROM "{table}" ORDER BY rowid')]  # noqa: S608


@pytest.fixture
def taken(tmp_path: Path) -> Callable[[str], Snapshot]:
    """Return a function that takes the snapshot of a URL and lets go of the source."""

    def take(url: str) -> Snapshot:
        snapshot, kept = take_platform_snapshot(url, tmp_path / "backups")
        kept.close()
        return snapshot

    return take


# column -> its type, SQL values, and what must stand in the snapshot: the value to its last digit, never rounded
CELLS: dict[str, tuple[str, str, list[str], list[Any]]] = {
    "numeric without scale": (
        "amount",
        "numeric",
        ["10.000000000000000001", "'NaN'", "1e-7", "'Infinity'", "9999999999999.99", "1.500"],
        ["10.000000000000000001", "NaN", "0.0000001", "Infinity", "9999999999999.99", "1.500"],
    ),
    "double precision": (
        "amount", "double precision", ["54263342.700000085", "0.1::float8 + 0.2", "'NaN'", "'-Infinity'", "1e300"],
        ["54263342.7000001", "0.3", "NaN", "-Infinity", "1e+300"],
    ),
    "real": ("amount", "real", ["1234567.89", "0.5"], ["1234567.875", "0.5"]),
    "a domain of reals": ("amount", "cash", ["1234567.89", "0.5"], ["1234567.875", "0.5"]),
    "a domain of a domain of doubles": ("amount", "wealth", ["54263342.700000085"], ["54263342.7000001"]),
    "integers": ("amount", "bigint", ["9223372036854775807", "-1"], ["9223372036854775807", "-1"]),
    "money": ("amount", "money", ["1234.5"], ["$1,234.50"]),
    "varchar": ("reference", "varchar(300)", ["' a '", "repeat('é', 201)"], [" a ", "é" * 201]),
    "bytes": ("reference", "bytea", [r"'\x00ff41'", "''", "NULL"], [b"\x00\xffA", b"", None]),
    "a domain of bytes": ("reference", "raw", [r"'\x41'"], [b"A"]),
    "an enumeration": ("transaction_type", "kind", ["'CREDIT'", "'sonstige'"], ["CREDIT", "sonstige"]),
    "timestamp": (
        "transaction_date", "timestamp",
        ["'2024-02-29 23:59:59.999999'", "'infinity'", "'0044-03-15 BC'", "'12024-01-01'"],
        ["2024-02-29 23:59:59.999999", "infinity", "0044-03-15 00:00:00 BC", "12024-01-01 00:00:00"],
    ),
    "timestamp with zone": (
        "transaction_date", "timestamptz", ["'2024-01-01 10:00:00+00'"], ["2024-01-01 10:00:00+00"],
    ),
    "date as text": ("transaction_date", "text", ["'2023-02-30'", "'31.12.2023'"], ["2023-02-30", "31.12.2023"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CELLS)
def test_a_cell_of_postgresql_arrives_exactly(
    case: str, postgres_url: str, run_sql: RunSql, taken: Callable[[str], Snapshot]
) -> None:
    column, kind, values, expected = CELLS[case]
    run_sql(
        postgres_url,
        "CREATE DOMAIN cash AS real",
        "CREATE DOMAIN wealth_0 AS double precision",
        "CREATE DOMAIN wealth AS wealth_0 CHECK (value <> 0)",
        "CREATE DOMAIN raw AS bytea",
        "CREATE TYPE kind AS ENUM ('CREDIT', 'sonstige')",
        "ALTER DATABASE " + postgres_url.partition("?")[0].rpartition("/")[2] + " SET timezone = 'UTC'",
        *tables(**{column: kind}),
    )
    run_sql(postgres_url, *(f'INSERT INTO "transaction" ({column}) VALUES ({value})' for value in values))  # noqa: S608  # our own cells
    assert copied(taken(postgres_url), "transaction", column) == expected


def test_views_and_other_schemas_are_read_as_the_search_path_has_them(
    postgres_url: str, run_sql: RunSql, taken: Callable[[str], Snapshot]
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    run_sql(
        postgres_url,
        *tables(),
        "INSERT INTO product (product_id) VALUES ('PROD-666')",
        'CREATE SCHEMA "The ""Bank"""',
        f'ALTER DATABASE {name} SET search_path = "The ""Bank""", public',
    )
    run_sql(
        postgres_url,
        *tables(),
        "ALTER TABLE product RENAME TO \"odd 'product'\"",
        'CREATE VIEW product AS SELECT *, 1 AS "it\'s one" FROM "odd \'product\'"',
        "INSERT INTO product (product_id, product_name) VALUES ('PROD-001', 'Basic')",
        'CREATE TABLE "transaction "() ',
    )
    snapshot = taken(postgres_url)
    assert copied(snapshot, "product", "product_id") == ["PROD-001"]
    assert {(one.table, one.column, one.values) for one in snapshot.unmigrated} == {
        ("odd 'product'", "", 1),
        ("transaction ", "", 0),
        ("product", "it's one", 1),
    }


@pytest.mark.parametrize(
    ("key", "apart"),
    [
        ("CREATE UNIQUE INDEX k ON customer (customer_id)", True),
        ("ALTER TABLE customer ADD PRIMARY KEY (customer_id)", True),
        ("CREATE INDEX k ON customer (customer_id)", False),
        ("CREATE UNIQUE INDEX k ON customer (customer_id) WHERE email IS NULL", False),
        ("CREATE UNIQUE INDEX k ON customer (customer_id, email)", False),
        ("CREATE UNIQUE INDEX k ON customer (lower(customer_id))", False),
        ("CREATE UNIQUE INDEX k ON customer (customer_id) INCLUDE (email)", True),
    ],
)
def test_a_key_is_known_to_be_unique_only_where_an_index_keeps_it_so(
    key: str, apart: bool, postgres_url: str, run_sql: RunSql, taken: Callable[[str], Snapshot]
) -> None:
    run_sql(postgres_url, *tables(), key)
    assert taken(postgres_url).tables["customer"].unique_key is apart


def test_rows_that_a_role_may_not_see_are_not_left_out_in_silence(
    postgres_url: str, run_sql: RunSql, taken: Callable[[str], Snapshot]
) -> None:
    run_sql(
        postgres_url,
        *tables(),
        "INSERT INTO customer (customer_id) VALUES ('CUST-0001'), ('CUST-0002')",
        "ALTER TABLE customer ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY one ON customer USING (customer_id = 'CUST-0001')",
        "DROP ROLE IF EXISTS teller",
        "CREATE ROLE teller LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO teller",
    )
    with pytest.raises(MigrationError, match="lacks a right"):
        taken(postgres_url.replace("//postgres@", "//teller@"))
    assert taken(postgres_url).tables["customer"].rows == 2


def test_a_schema_that_a_role_may_not_use_is_not_taken_for_an_empty_one(
    postgres_url: str, run_sql: RunSql, taken: Callable[[str], Snapshot]
) -> None:
    run_sql(postgres_url, *tables(), "REVOKE USAGE ON SCHEMA public FROM public", "CREATE ROLE stranger LOGIN")
    with pytest.raises(MigrationError, match="no schema is selected") as caught:
        taken(postgres_url.replace("//postgres@", "//stranger@"))
    assert "Grant it USAGE on the schema and SELECT on its tables" in str(caught.value)


def test_tables_that_a_role_may_not_read_are_named_with_the_role(
    postgres_url: str, run_sql: RunSql, taken: Callable[[str], Snapshot]
) -> None:
    """A right on some columns is one, and a view that is no table of the system need not be read."""
    run_sql(
        postgres_url,
        *tables(),
        'CREATE TABLE "Note\'s" (id integer)',
        "CREATE VIEW seen AS SELECT 1",
        "CREATE ROLE onlooker LOGIN",
        "GRANT SELECT ON product, customer, account TO onlooker",
    )
    onlooker = postgres_url.replace("//postgres@", "//onlooker@")
    with pytest.raises(
        MigrationError, match=r"role onlooker may not read Note's, transaction\. Grant it SELECT on all"
    ):
        taken(onlooker)
    columns = ", ".join(PLATFORM_ENTITIES["transaction"].legacy_columns)
    run_sql(
        postgres_url, 'GRANT SELECT ON "Note\'s" TO onlooker', f'GRANT SELECT ({columns}) ON "transaction" TO onlooker'
    )
    assert taken(onlooker).tables["transaction"].rows == 0


def test_missing_tables_and_columns_of_postgresql_are_named(
    postgres_url: str, run_sql: RunSql, taken: Callable[[str], Snapshot], tmp_path: Path
) -> None:
    run_sql(postgres_url, *tables(), "DROP TABLE account", "ALTER TABLE customer DROP phone")
    with pytest.raises(MigrationError, match=r"missing: table account, column customer\.phone\."):
        taken(postgres_url)
    assert list((tmp_path / "backups").glob("*")) == []


def test_an_unchanged_database_gives_the_snapshot_taken_before(
    postgres_url: str, run_sql: RunSql, taken: Callable[[str], Snapshot]
) -> None:
    run_sql(postgres_url, *tables(), "INSERT INTO product (product_id) VALUES ('PROD-001')")
    first = taken(postgres_url)
    assert taken(postgres_url) == first
    run_sql(postgres_url, "UPDATE product SET product_name = 'Other'")
    assert taken(postgres_url).snapshot_id != first.snapshot_id


UNTYPED = {name: ", ".join(entity.legacy_columns) for name, entity in PLATFORM_ENTITIES.items()}
SQLITE: dict[str, list[str]] = {
    "without rowid": [
        "ALTER TABLE product RENAME TO old",
        f"CREATE TABLE product ({UNTYPED['product']}, PRIMARY KEY (product_id)) WITHOUT ROWID",
        "INSERT INTO product SELECT * FROM old",
        "DROP TABLE old",
    ],
    "a column named rowid": ["ALTER TABLE product ADD COLUMN rowid", "UPDATE product SET rowid = 7"],
    "a generated column": ["ALTER TABLE product ADD COLUMN shout AS (upper(product_name)) VIRTUAL"],
    "a view": ["ALTER TABLE product RENAME TO old", "CREATE VIEW product AS SELECT * FROM old"],
    "upper-case names": ["ALTER TABLE product RENAME TO p", "ALTER TABLE p RENAME TO PRODUCT",
                         "ALTER TABLE PRODUCT RENAME COLUMN product_name TO PRODUCT_NAME"],
    "a collation": [
        "ALTER TABLE product RENAME TO old",
        f"CREATE TABLE product ({UNTYPED['product'].replace('product_id', 'product_id TEXT COLLATE NOCASE')})",
        "INSERT INTO product SELECT * FROM old",
        "DROP TABLE old",
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", SQLITE)
def test_sqlite_tables_of_any_kind_are_read(case: str, taken: Callable[[str], Snapshot], tmp_path: Path) -> None:
    path = write_platform(tmp_path / "accounts.db", ODD)
    with closing(sqlite3.connect(path)) as connection:
        for statement in SQLITE[case]:
            connection.execute(statement)
        connection.commit()
    snapshot = taken(str(path))
    assert {name: table.rows for name, table in snapshot.tables.items()} == {n: len(rows) for n, rows in ODD.items()}
    assert snapshot.tables["transaction"].batches == {"1900-01": 1, "2024-01": 3, "2024-02": 1}


def test_pages_that_are_not_checkpointed_are_read(taken: Callable[[str], Snapshot], tmp_path: Path) -> None:
    path = write_platform(tmp_path / "accounts.db", {})
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE customer SET first_name = 'Grace'")
        writer.commit()
        writer.execute("UPDATE customer SET first_name = 'nobody, yet'")
        assert copied(taken(str(path)), "customer", "first_name") == ["Grace"]
