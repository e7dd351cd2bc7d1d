"""`accounts-migration copy` of values that PostgreSQL alone can hold: none is rounded, shortened or left out unsaid."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accounts_migration_tests.commands import Here
from accounts_migration_tests.platform_rows import SOUND

RunSql = Callable[..., list[tuple[Any, ...]]]

# as wide as somebody may have made them
TABLES = (
    "CREATE TABLE product (product_id text, product_name text, product_type text, interest_rate double precision,"
    " transaction_fee numeric, monthly_fee numeric, min_balance_for_interest numeric, created_at timestamp)",
    "CREATE TABLE customer (customer_id text, first_name text, last_name text, email text, phone text,"
    " created_at timestamp)",
    "CREATE TABLE account (account_id text, customer_id text, product_id text, status text, balance numeric,"
    " opening_date date, closing_date date, created_at timestamp, updated_at timestamp)",
    'CREATE TABLE "transaction" (transaction_id text, account_id text, transaction_type text, amount double precision,'
    " balance_after numeric, reference text, transaction_date timestamp)",
)
BAD = {
    "product": {
        "interest_rate": {"NaN": "INVALID_NUMBER", "-Infinity": "INVALID_NUMBER", "1e36": "OUT_OF_RANGE"},
        "transaction_fee": {"NaN": "INVALID_NUMBER", "1e36": "OUT_OF_RANGE"},
        "min_balance_for_interest": {"-1e36": "OUT_OF_RANGE", "1e-36": "SUB_CENT", "Infinity": "INVALID_NUMBER"},
        "created_at": {"infinity": "INVALID_DATE", "2024-01-05 10:11:12 BC": "INVALID_DATE"},
    },
    "customer": {"created_at": {"-infinity": "INVALID_DATE", "0044-03-15 12:00:00 BC": "INVALID_DATE"}},
    "account": {
        "balance": {"NaN": "INVALID_NUMBER", "1e36": "OUT_OF_RANGE", "10000000000000.001": "SUB_CENT"},
        "opening_date": {"2020-01-02 BC": "INVALID_DATE", "infinity": "INVALID_DATE", "12020-01-02": "INVALID_DATE"},
        "closing_date": {"0001-01-01 BC": "INVALID_DATE"},
        "updated_at": {"20240-01-01 00:00:00": "INVALID_DATE"},
    },
    "transaction": {
        "amount": {"NaN": "INVALID_NUMBER", "Infinity": "INVALID_NUMBER", "1e36": "OUT_OF_RANGE"},
        "balance_after": {"NaN": "INVALID_NUMBER", "123456789012345678901234567890123456.78": "OUT_OF_RANGE"},
        "transaction_date": {"2024-01-05 10:11:12 BC": "INVALID_DATE", "infinity": "INVALID_DATE"},
    },
}
OTHERS = {
    "n": ("numeric", ["NaN", "Infinity", "1" + "0" * 36, "123456789012345678.90", "-0.0000000000000000000000000001"]),
    "m": ("numeric(38,2)", ["NaN", "123456789012345678901234567890123456.78", "0.10"]),
    "f": ("double precision", ["NaN", "-Infinity", "1e+36", "0.1"]),
    "r": ("real", ["Infinity", "1e+36"]),
    "d": ("date", ["infinity", "0044-03-15 BC", "2024-02-29"]),
    "t": ("timestamp without time zone", ["-infinity", "0044-03-15 12:00:00 BC", "2024-02-29 00:00:00.000001"]),
    "z": ("timestamp with time zone", ["infinity", "0044-03-15 12:00:00+00 BC"]),
}


def key(table: str, number: int) -> str:
    return {"product": f"PROD-1{number:02}", "customer": f"CUST-1{number:03}", "account": f"ACCT-1{number:07}"}.get(
        table, f"TXN-1{number}"
    )


def written() -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the statements that write a source, and the defects that it must give."""
    statements, defects = list(TABLES), []
    for table, columns in BAD.items():
        cases = [(column, *case) for column, values in columns.items() for case in values.items()]
        rows = [SOUND[table]]
        for number, (column, value, reason) in enumerate(cases):
            rows.append(SOUND[table] | {f"{table}_id": key(table, number), column: value})
            defects.append((table, key(table, number), column, reason))
        for row in rows:
            cells = ["NULL" if cell is None else "'" + str(cell) + "'" for cell in row.values()]
            statements.append(f'INSERT INTO "{table}" ({", ".join(row)}) VALUES ({", ".join(cells)})')  # noqa: S608
    for name, (kind, values) in OTHERS.items():
        statements.append(f"CREATE TABLE other_{name} (place integer PRIMARY KEY, v {kind})")
        statements += [f"INSERT INTO other_{name} VALUES ({n}, '{v}')" for n, v in enumerate(values)]  # noqa: S608
    return statements, sorted(defects)


def test_they_are_defects_of_the_four_tables_and_exact_in_others(
    postgres_url: str, new_target: Callable[[str, Path], str], tmp_path: Path, here: Here, run_sql: RunSql
) -> None:
    statements, defects = written()
    run_sql(postgres_url, "SET TimeZone = 'UTC'", *statements)
    for engine in ("sqlite", "postgresql"):
        to = new_target(engine, tmp_path)
        said = here("copy", postgres_url, to, "--all-tables", "--policy", "max_reject_rate=0.95", "--json", "said.json")
        assert said.status == 0, said.err
        told = json.loads((tmp_path / "said.json").read_text())
        laws = {one["entity"]: (one["source"], one["loaded"], one["rejected"]) for one in told["entities"]}
        assert laws == {
            table: (1 + sum(map(len, columns.values())), 1, sum(map(len, columns.values())))
            for table, columns in BAD.items()
        }
        found = run_sql(to, 'SELECT entity, source_key, "column", reasons FROM copy_defect')
        assert sorted(found) == defects
        [(row,)] = run_sql(to, f"SELECT source_row FROM copy_defect WHERE source_key = '{key('account', 1)}'")  # noqa: S608
        assert json.loads(row)["balance"] == "1" + "0" * 36
        # carried whole, and each column that became text is named with its reason
        for name, (kind, values) in OTHERS.items():
            held = [cell for (cell,) in run_sql(to, f"SELECT v FROM other_{name} ORDER BY place")]  # noqa: S608
            # a float of 4 bytes is one of 8 there
            exact = (
                [struct.unpack("f", struct.pack("f", float(value)))[0] for value in values] if name == "r" else values
            )
            assert (name, held) == (name, exact)
            is_told = f"other_{name}.v {kind} -> text (" in said.err.replace("TEXT", "text")
            assert (name, is_told) == (name, name != "r")
        assert {one["table"]: one["compared"] for one in told["other_tables"]} == {
            f"other_{name}": len(values) for name, (_, values) in OTHERS.items()
        }
