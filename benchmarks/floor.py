"""The floor: what the databases alone need for rows that somebody else has read, cleaned and proved.

PostgreSQL: binary COPY of prepared Arrow batches into bare tables, then keys, checks, references and
indexes. SQLite: one INSERT ... SELECT for each table within SQLite, references checked afterwards, then the
indexes. Preparing is not timed. Prints the seconds as JSON.
"""

import argparse
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.tables import bare_postgres_tables, postgres_constraints, sqlite_indexes, sqlite_tables

ROWS_AT_ONCE = 65_536
# as the target's: what is sorted, is so in pieces that fit the processor's cache
_CACHE_KIBIBYTES, _SORTING_KIBIBYTES = 32_000, 2_000
_TIME = "2025-01-01 00:00:00"

SELECTS = {
    "product": f"""
        SELECT printf('PROD-%03d', product_code), product_description,
            CASE account_type WHEN 'CHK' THEN 'CHECKING' ELSE 'CURRENT' END,
            int_rate, debit_fee, maint_fee, min_bal_int, '{_TIME}'
        FROM legacy_products""",  # noqa: S608  # a constant
    "customer": f"""
        SELECT printf('CUST-%04d', customer_number), first_name, last_name, lower(email_address),
            phone_number, coalesce(created_date || ' 00:00:00', '{_TIME}')
        FROM legacy_customers""",  # noqa: S608  # a constant
    "account": f"""
        SELECT printf('ACCT-%08d', account_number), printf('CUST-%04d', customer_number),
            printf('PROD-%03d', product_code), CASE account_status WHEN 'A' THEN 'ACTIVE' ELSE 'CLOSED' END,
            current_balance, open_date, close_date, '{_TIME}', '{_TIME}'
        FROM legacy_accounts""",  # noqa: S608  # a constant
    "transaction": """
        SELECT 'TXN-' || trans_id, printf('ACCT-%08d', account_number),
            CASE trans_type WHEN 'CR' THEN 'CREDIT' WHEN 'DR' THEN 'DEBIT' WHEN 'FE' THEN 'FEE'
                ELSE 'INTEREST' END,
            abs(trans_amount), balance_after, coalesce(substr(description, 1, 200), ''), trans_date
        FROM legacy_transactions""",
}
"""Entity -> the query that gives its target columns, in order, from a legacy database without defects."""

_MONEY, _RATE = pa.decimal128(15, 2), pa.decimal128(9, 6)
_MOMENT, _TEXT = pa.timestamp("us"), pa.string()
_TYPES: dict[str, dict[str, pa.DataType]] = {
    "product": {
        "product_id": _TEXT, "product_name": _TEXT, "product_type": _TEXT, "interest_rate": _RATE,
        "transaction_fee": _MONEY, "monthly_fee": _MONEY, "min_balance_for_interest": _MONEY,
        "created_at": _MOMENT,
    },
    "customer": {
        "customer_id": _TEXT, "first_name": _TEXT, "last_name": _TEXT, "email": _TEXT, "phone": _TEXT,
        "created_at": _MOMENT,
    },
    "account": {
        "account_id": _TEXT, "customer_id": _TEXT, "product_id": _TEXT, "status": _TEXT, "balance": _MONEY,
        "opening_date": pa.date32(), "closing_date": pa.date32(), "created_at": _MOMENT,
        "updated_at": _MOMENT,
    },
    "transaction": {
        "transaction_id": _TEXT, "account_id": _TEXT, "transaction_type": _TEXT, "amount": _MONEY,
        "balance_after": _MONEY, "reference": _TEXT, "transaction_date": _MOMENT,
    },
}  # fmt: skip


def prepare(source: Path, folder: Path) -> None:
    """Write the target's rows as Arrow files, one for each entity, a batch at a time."""
    for entity, query in SELECTS.items():
        schema = pa.schema(_TYPES[entity])
        path = folder / f"{entity}.arrow"
        unfinished = path.with_suffix(".unfinished")
        with pa.OSFile(str(unfinished), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for rows in _rows(source, query):
                columns = zip(*rows, strict=True)
                arrays = [_array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        unfinished.rename(path)


def _rows(source: Path, query: str) -> Iterator[list[Any]]:
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as connection:
        cursor = connection.execute(query)
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield rows


def _array(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(kind):
        step = Decimal(1).scaleb(-kind.scale)
        return pa.array([Decimal(str(value)).quantize(step) for value in values], kind)
    if pa.types.is_date(kind):
        return pa.array([value and date.fromisoformat(value) for value in values], kind)
    if pa.types.is_timestamp(kind):
        return pc.cast(pa.array(map(datetime.fromisoformat, values), pa.timestamp("us")), kind)
    return pa.array(values, kind)


def postgres(folder: Path, url: str) -> float:
    """Fill an empty PostgreSQL database with the prepared rows and return the seconds it took."""
    start = time.perf_counter()
    with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:
        for statement in bare_postgres_tables():
            cursor.execute(statement)
        for entity in SELECTS:
            with pa.memory_map(str(folder / f"{entity}.arrow")) as file:
                reader = pa.ipc.open_file(file)
                batches = (reader.get_batch(place) for place in range(reader.num_record_batches))
                stream = pa.RecordBatchReader.from_batches(reader.schema, batches)
                cursor.adbc_ingest(entity, stream, mode="append")
        connection.commit()
        for statement in postgres_constraints():
            cursor.execute(statement)
        connection.commit()
    return time.perf_counter() - start


def sqlite(source: Path, target: Path) -> float:
    """Fill a new SQLite file from the legacy one and return the seconds it took."""
    start = time.perf_counter()
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"ATTACH '{source}' AS legacy")
        connection.execute("BEGIN")
        for statement in sqlite_tables():
            connection.execute(statement)
        for entity, query in SELECTS.items():
            connection.execute(f'INSERT INTO main."{entity}" {query}')
        connection.execute(f"PRAGMA cache_size = -{_SORTING_KIBIBYTES}")
        for statement in sqlite_indexes():
            connection.execute(statement)
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
        broken = connection.execute("PRAGMA main.foreign_key_check").fetchall()
        connection.execute("COMMIT")
    if broken:
        raise SystemExit(f"the floor broke {len(broken)} references")
    return time.perf_counter() - start


def main() -> None:
    """Run one part: `prepare SOURCE FOLDER`, `postgres FOLDER URL` or `sqlite SOURCE TARGET`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["prepare", "postgres", "sqlite"])
    parser.add_argument("come_from", type=Path)
    parser.add_argument("go_to")
    words = parser.parse_args()
    if words.part == "prepare":
        seconds = 0.0
        prepare(words.come_from, Path(words.go_to))
    elif words.part == "postgres":
        seconds = postgres(words.come_from, words.go_to)
    else:
        seconds = sqlite(words.come_from, Path(words.go_to))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
