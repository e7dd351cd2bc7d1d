"""An Account Processing System by hand: rows of its four tables, in a SQLite file as a service writes them.

Here: what the tests of a copy share. Not here: what a copy should make of it.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from accounts_migration.entities import PLATFORM_ENTITIES
from accounts_migration.legacy_values import LegacyValue, UndecodableText

Row = dict[str, LegacyValue]

SOUND: dict[str, Row] = {
    "product": {
        "product_id": "PROD-001", "product_name": "Basic", "product_type": "CHECKING", "interest_rate": 1.5,
        "transaction_fee": 0.25, "monthly_fee": 3, "min_balance_for_interest": 100, "created_at": "2024-01-01 00:00:00",
    },
    "customer": {
        "customer_id": "CUST-0001", "first_name": "Ada", "last_name": "Byron", "email": "ada@example.org",
        "phone": "555-1815", "created_at": "2024-01-01 00:00:00",
    },
    "account": {
        "account_id": "ACCT-00000001", "customer_id": "CUST-0001", "product_id": "PROD-001", "status": "ACTIVE",
        "balance": 12.5, "opening_date": "2020-01-02", "closing_date": None, "created_at": "2024-01-01 00:00:00",
        "updated_at": "2024-01-01 00:00:00",
    },
    "transaction": {
        "transaction_id": "TXN-1", "account_id": "ACCT-00000001", "transaction_type": "CREDIT", "amount": 10,
        "balance_after": 22.5, "reference": "salary", "transaction_date": "2024-01-05 10:11:12",
    },
}  # fmt: skip
"""A row of each table that breaks no rule, and whose parents are the others."""

ODD: dict[str, list[Row]] = {
    "product": [
        {},
        {"product_id": "PROD-0002x", "product_name": ' “Odd” \'1\' "2" \U0001f4b6 ', "product_type": "CURRENT",
         "interest_rate": 99.999999, "min_balance_for_interest": -5.5, "created_at": "2100-12-31 23:59:59.999999"},
        {"product_id": "PROD-007 ", "product_name": "a\tb\r\nc", "created_at": "1900-01-01 00:00:00.000001"},
    ],
    "customer": [
        {},
        {"customer_id": "CUST-0002", "first_name": "\u0645\u0631\u064a\u0645 \u202eabc", "last_name": "X" * 5000,
         "email": "Mixed.Case@Example.ORG", "phone": " 555 "},
        {"customer_id": "CUST-é日本語", "first_name": "ß\u200b", "last_name": "\ufeff", "email": None, "phone": None},
    ],
    "account": [
        {},
        {"account_id": "ACCT-x\ty é000", "customer_id": "CUST-é日本語", "product_id": "PROD-0002x", "status": "CLOSED",
         "balance": -9999999999999.99, "opening_date": None, "closing_date": "2021-02-28"},
        {"account_id": "ACCT-000000010", "product_id": "PROD-007 ", "balance": 0},
    ],
    "transaction": [
        {},
        {"transaction_id": "TXN-" + "é" * 64, "account_id": "ACCT-x\ty é000", "transaction_type": "FEE",
         "amount": 9999999999999.99, "balance_after": -0.01, "reference": "\U0001f4b6" * 200,
         "transaction_date": "2024-02-29 23:59:59.999999"},
        {"transaction_id": "TXN-007", "reference": "", "transaction_date": "1900-01-01 00:00:00"},
        {"transaction_id": "TXN-7", "account_id": "ACCT-000000010", "amount": 0.1, "transaction_type": "DEBIT",
         "reference": " \r\n ", "transaction_date": "2024-01-31 23:59:59"},
        {"transaction_id": "TXN- ", "transaction_type": "INTEREST", "amount": 0.07, "balance_after": 0},
    ],
}  # fmt: skip
"""Odd values, each of which the target's columns hold as they are."""


def write_platform(path: Path, rows: Mapping[str, Sequence[Row]], *, create: bool = True) -> Path:
    """Write rows into tables without types and keys; a row says what differs from the sound one.

    Args:
        path: The file.
        rows: Table -> rows; a table left out has the sound row.
        create: Whether the tables are to be created first.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for name, entity in PLATFORM_ENTITIES.items():
            if create:
                connection.execute(f'CREATE TABLE "{name}" ({", ".join(entity.legacy_columns)})')
            for row in rows.get(name, [{}]):
                cells = [(SOUND[name] | row)[column] for column in entity.legacy_columns]
                marks = ", ".join("CAST(? AS TEXT)" if isinstance(cell, UndecodableText) else "?" for cell in cells)
                values = [cell.raw if isinstance(cell, UndecodableText) else cell for cell in cells]
                connection.execute(f'INSERT INTO "{name}" VALUES ({marks})', values)  # noqa: S608  # our own names
        connection.commit()
    return path


def differences(one: Path, other: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return table -> the rows that only one of two SQLite files holds, of every table that one of them has."""
    with closing(sqlite3.connect(one)) as connection:
        connection.execute("ATTACH ? AS other", (str(other),))
        names = {name for (name,) in connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'")}
        return {
            name: connection.execute(
                f'SELECT * FROM (SELECT * FROM main."{name}" EXCEPT SELECT * FROM other."{name}")'  # noqa: S608
                f' UNION ALL SELECT * FROM (SELECT * FROM other."{name}" EXCEPT SELECT * FROM main."{name}")'
            ).fetchall()
            for name in sorted(names)
            if not name.startswith(("copy_", "sqlite_"))
        }
