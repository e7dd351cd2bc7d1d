"""The guide's way: its own scripts, repaired only where they cannot run at all.

Kept as they are: fetchall and dictionaries, LIMIT and OFFSET, JSON files, row by row inserts, executemany
of 1,000, a commit for each thousand, execute_batch for PostgreSQL. Repaired: imports, the reserved word
`transaction` in quotes, and target tables, which the guide never creates. Prints the seconds as JSON.
"""

import argparse
import json
import sqlite3
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg2
from psycopg2.extras import execute_batch

from benchmarks.tables import bare_postgres_tables, postgres_constraints, sqlite_indexes, sqlite_tables

Rows = list[dict[str, Any]]
_TYPES = {"CR": "CREDIT", "DR": "DEBIT", "FE": "FEE", "IN": "INTEREST"}


def extract_products(cursor: sqlite3.Cursor) -> Rows:
    """Return the active products as the guide extracts them."""
    cursor.execute(
        "SELECT product_code, product_description, account_type, int_rate, debit_fee, maint_fee, min_bal_int"
        " FROM legacy_products WHERE active = 1"
    )
    return [
        {
            "product_id": f"PROD-{row[0]:03d}",
            "product_name": row[1],
            "product_type": "CHECKING" if row[2] == "CHK" else "CURRENT",
            "interest_rate": float(row[3]),
            "transaction_fee": float(row[4]),
            "monthly_fee": float(row[5]),
            "min_balance_for_interest": float(row[6]),
            "created_at": datetime.now().isoformat(),
        }
        for row in cursor.fetchall()
    ]


def extract_customers(cursor: sqlite3.Cursor) -> Rows:
    """Return the active customers as the guide extracts them."""
    cursor.execute(
        "SELECT customer_number, first_name, last_name, email_address, phone_number, created_date"
        " FROM legacy_customers WHERE status = 'ACTIVE'"
    )
    return [
        {
            "customer_id": f"CUST-{row[0]:04d}",
            "first_name": row[1].strip(),
            "last_name": row[2].strip(),
            "email": row[3].lower().strip(),
            "phone": row[4],
            "created_at": row[5] if row[5] else datetime.now().isoformat(),
        }
        for row in cursor.fetchall()
    ]


def extract_accounts(cursor: sqlite3.Cursor) -> Rows:
    """Return the accounts as the guide extracts them."""
    cursor.execute(
        "SELECT account_number, customer_number, product_code, account_status, current_balance, open_date,"
        " close_date FROM legacy_accounts"
    )
    return [
        {
            "account_id": f"ACCT-{row[0]:08d}",
            "customer_id": f"CUST-{row[1]:04d}",
            "product_id": f"PROD-{row[2]:03d}",
            "status": "ACTIVE" if row[3] == "A" else "CLOSED",
            "balance": float(row[4]),
            "opening_date": row[5],
            "closing_date": row[6] if row[6] else None,
            "created_at": datetime.now().isoformat(),
            "updated_at": datetime.now().isoformat(),
        }
        for row in cursor.fetchall()
    ]


def extract_transactions(cursor: sqlite3.Cursor, batch_size: int = 10_000) -> Rows:
    """Return the transactions as the guide extracts them: page by page, each page sorted anew."""
    total = cursor.execute("SELECT COUNT(*) FROM legacy_transactions").fetchone()[0]
    transactions = []
    for offset in range(0, total, batch_size):
        cursor.execute(
            "SELECT trans_id, account_number, trans_type, trans_amount, balance_after, description,"
            " trans_date FROM legacy_transactions ORDER BY trans_date LIMIT ? OFFSET ?",
            (batch_size, offset),
        )
        for row in cursor.fetchall():
            transactions.append(
                {
                    "transaction_id": f"TXN-{row[0]}",
                    "account_id": f"ACCT-{row[1]:08d}",
                    "transaction_type": _TYPES.get(row[2], "DEBIT"),
                    "amount": abs(float(row[3])),
                    "balance_after": float(row[4]),
                    "reference": row[5][:200] if row[5] else "",
                    "transaction_date": row[6],
                }
            )
    return transactions


def transform_and_validate(entity: str, rows: Rows) -> Rows:
    """Return the rows as the guide transforms them."""
    frame = pd.DataFrame(rows)
    checks = []
    if entity == "product":
        checks = [
            frame["interest_rate"].between(0, 100),
            frame["transaction_fee"].ge(0),
            frame["monthly_fee"].ge(0),
        ]
        frame["product_name"] = frame["product_name"].str.title()
    elif entity == "customer":
        checks = [frame["email"].str.contains("@"), ~frame["customer_id"].duplicated()]
        frame["first_name"] = frame["first_name"].str.strip().str.title()
        frame["last_name"] = frame["last_name"].str.strip().str.title()
        frame["email"] = frame["email"].str.lower().str.strip()
    elif entity == "account":
        statuses = frame["status"].isin(["ACTIVE", "CLOSED"])
        checks = [~frame["account_id"].duplicated(), frame["balance"].notna(), statuses]
    else:
        checks = [~frame["transaction_id"].duplicated(), frame["amount"].gt(0)]
    if not all(check.all() for check in checks):
        raise SystemExit(f"the guide's validation of {entity} failed")
    return frame.to_dict("records")  # type: ignore[return-value]  # its keys are text


def _insert(entity: str, rows: Rows) -> str:
    columns = list(rows[0])
    return f'INSERT INTO "{entity}" ({", ".join(columns)}) VALUES ({", ".join("?" * len(columns))})'  # noqa: S608


def load_row_by_row(target: Path, entity: str, rows: Rows) -> None:
    """Load products, customers or accounts as the guide does."""
    with closing(sqlite3.connect(target)) as connection:
        insert = _insert(entity, rows)
        for row in rows:
            connection.execute(insert, tuple(row.values()))
        connection.commit()


def load_transactions(target: Path, rows: Rows, batch_size: int = 1_000) -> None:
    """Load transactions as the guide does."""
    with closing(sqlite3.connect(target)) as connection:
        insert = _insert("transaction", rows)
        for start in range(0, len(rows), batch_size):
            connection.executemany(insert, [tuple(row.values()) for row in rows[start : start + batch_size]])
            connection.commit()


def to_sqlite(source: Path, target: Path) -> None:
    """Run the guide's migrate.py; its JSON files go beside the target."""
    with closing(sqlite3.connect(target)) as connection:
        for statement in [*sqlite_tables(), *sqlite_indexes()]:
            connection.execute(statement)
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as connection:
        extracted = {
            "product": extract_products(connection.cursor()),
            "customer": extract_customers(connection.cursor()),
            "account": extract_accounts(connection.cursor()),
            "transaction": extract_transactions(connection.cursor()),
        }
    for entity, rows in extracted.items():
        with (target.parent / f"{entity}s_extracted.json").open("w") as file:
            json.dump(rows, file, indent=2)
    transformed = {entity: transform_and_validate(entity, rows) for entity, rows in extracted.items()}
    for entity, rows in transformed.items():
        if entity == "transaction":
            load_transactions(target, rows)
        else:
            load_row_by_row(target, entity, rows)


def to_postgres(sqlite_target: Path, url: str) -> None:
    """Run the guide's sqlite_to_postgresql.py on the SQLite target that its first script filled."""
    with (
        closing(sqlite3.connect(sqlite_target)) as source,
        closing(psycopg2.connect(url)) as connection,
        connection.cursor() as cursor,
    ):
        for statement in [*bare_postgres_tables(), *postgres_constraints()]:
            cursor.execute(statement)
        for entity in ("product", "customer", "account", "transaction"):
            selected = source.execute(f'SELECT * FROM "{entity}"')  # noqa: S608  # our own names
            rows = selected.fetchall()
            columns = ", ".join(column[0] for column in selected.description)
            marks = ",".join(["%s"] * len(selected.description))
            insert = f'INSERT INTO "{entity}" ({columns}) VALUES ({marks})'  # noqa: S608  # our own names
            execute_batch(cursor, insert, rows, page_size=1000)
            connection.commit()


def main() -> None:
    """Run one script: `sqlite SOURCE TARGET` or `postgres SQLITE_TARGET URL`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("script", choices=["sqlite", "postgres"])
    parser.add_argument("come_from", type=Path)
    parser.add_argument("go_to")
    words = parser.parse_args()
    start = time.perf_counter()
    if words.script == "sqlite":
        to_sqlite(words.come_from, Path(words.go_to))
    else:
        to_postgres(words.come_from, words.go_to)
    print(json.dumps({"seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
