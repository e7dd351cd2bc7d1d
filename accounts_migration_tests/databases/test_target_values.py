"""Values in and out: exact money, rates, dates and text on both engines, and what is not exact is shown."""

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import Target, open_target

RunSql = Callable[..., list[tuple[Any, ...]]]

AMOUNTS = [
    1,
    99,
    100,
    101,
    123456789012345,
    999_999_999_999_999,
    999_999_999_999_998,
    57,
    29,
    1005,
    4350,
    819,
]
BALANCES = [-1, 0, -999_999_999_999_999, 999_999_999_999_999, -29, 1, 7, -100, 10, 20, 30, 115]
DATES = [
    "1900-01-01", "2100-12-31 23:59:59.999999", "2024-02-29 00:00:00.000001", "2024-03-01 12:34:56",
    "1969-12-31 23:59:59.5", "1970-01-01", "2024-01-01 00:00:00.100000", "2000-06-15 06:07:08",
    "1901-01-01 00:00:01", "2024-12-31 23:59:59", "2024-03-31 02:30:00", "1999-12-31",
]  # fmt: skip
TEXTS = [
    "", " ", "'", '"', "O'Neil; DROP TABLE \"transaction\"; --", "\t\r\n\\N", "é" * 200,
    "\U0001d4b3" * 200, "ﬁ\u200b\u202e", "$1 %s ?", "{a,b}", "NULL",
]  # fmt: skip


def test_transactions_come_back_as_they_were(target: Target, bank: Any) -> None:
    types = ["CREDIT", "DEBIT", "FEE", "INTEREST"] * 3
    values = [
        (
            f"TXN-{text or 'empty'}-{place}"[:68],
            "ACCT-00000001",
            kind,
            amount,
            balance,
            text,
            datetime.fromisoformat(when),
        )
        for place, (kind, amount, balance, text, when) in enumerate(
            zip(types, AMOUNTS, BALANCES, TEXTS, DATES, strict=True)
        )
    ]
    rows = bank.rows("transaction", values)
    bank.load_parents(target)
    bank.load(target, "transaction", rows, "undated")
    assert bank.stored(target, "transaction") == sorted(rows.to_pylist(), key=lambda row: row["transaction_id"])
    target.constrain()
    assert target.control_totals("transaction")[("CREDIT",)] == {
        "rows": 3,
        "amount": AMOUNTS[0] + AMOUNTS[4] + AMOUNTS[8],
        "balance_after": BALANCES[0] + BALANCES[4] + BALANCES[8],
    }
    assert bank.load(target, "transaction", rows, "undated").rows_written == 0


def test_the_other_entities_come_back_as_they_were(target: Target, bank: Any) -> None:
    when = datetime(2025, 1, 2, 3, 4, 5)
    highest, lowest = 999_999_999_999_999, -999_999_999_999_999
    products = [
        ("PROD-001", "Basic", "CHECKING", 99_999_999, highest, 0, lowest, when),
        ("PROD-002", "Ünï ' \"", "CURRENT", 0, 1, 0, highest, when),
        ("PROD-1001", "More", "CURRENT", 1, 0, 29, 0, when),
        ("PROD-1002", "All", "CURRENT", 100_000_000, 0, 0, -1, when),
    ]
    customers = [
        ("CUST-0001", "李", "O'Neil", "a@b", None, datetime(1999, 1, 1, 0, 0, 0, 1)),
        ("CUST-0002", "X", "Y", None, "+44 (0)1", datetime(2000, 1, 1)),
    ]
    accounts = [
        ("ACCT-00000001", "CUST-0001", "PROD-001", "ACTIVE", lowest, None, None, when, when),
        (
            "ACCT-123456789",
            "CUST-0002",
            "PROD-1001",
            "CLOSED",
            -1,
            date(1900, 1, 1),
            date(2100, 12, 31),
            when,
            when,
        ),
    ]
    for entity, values in (("product", products), ("customer", customers), ("account", accounts)):
        rows = bank.rows(entity, values)
        bank.load(target, entity, rows)
        assert bank.stored(target, entity) == rows.to_pylist()
    target.constrain()
    assert target.control_totals("account") == {
        ("PROD-001", "ACTIVE"): {"rows": 1, "balance": lowest},
        ("PROD-1001", "CLOSED"): {"rows": 1, "balance": -1},
    }


def test_the_database_itself_shows_plain_decimals_and_dates(
    target: Target, target_url: str, bank: Any, run_sql: RunSql
) -> None:
    bank.load_parents(target)
    rows = bank.transaction(1, when="2024-03-05 06:07:08", amount=999_999_999_999_999)
    bank.load(target, "transaction", rows, "2024-03")
    bank.load(target, "transaction", bank.transaction(2, when="2024-04-05 06:07:08.5", amount=29), "2024-04")
    amount = "printf('%.15g', amount)" if target.engine == "sqlite" else "amount::text"
    query = f'SELECT {amount}, CAST(transaction_date AS TEXT) FROM "transaction" ORDER BY transaction_id'  # noqa: S608
    fraction = "500000" if target.engine == "sqlite" else "5"
    assert run_sql(target_url, query) == [
        ("9999999999999.99", "2024-03-05 06:07:08"),
        ("0.29", f"2024-04-05 06:07:08.{fraction}"),
    ]


@pytest.fixture
def loose_url(tmp_path: Path, bank: Any) -> str:
    """Return a SQLite target whose transactions stand in a table that somebody else made."""
    url = str(tmp_path / "loose.db")
    Path(url).touch()
    with open_target(url) as target:
        target.session.execute(
            'CREATE TABLE "transaction" (transaction_id TEXT PRIMARY KEY, account_id TEXT,'
            " transaction_type TEXT, amount DECIMAL(15,2), balance_after DECIMAL(15,2), reference TEXT,"
            " transaction_date TIMESTAMP)"
        )
        target.prepare()
        bank.load(target, "transaction", bank.transaction(*range(1, 10)), "2024-03")
    return url


@pytest.mark.parametrize(
    ("assignment", "shown"),
    [
        ("amount = 0.1 + 0.2", {"amount": "0.30000000000000004"}),
        ("amount = 12.345", {"amount": "12.345"}),
        ("amount = 'twelve'", {"amount": "'twelve'"}),
        ("amount = x'0102'", {"amount": "X'0102'"}),
        ("amount = NULL", {"amount": "NULL"}),
        ("amount = 1e300, balance_after = 0.001", {"amount": "1e+300", "balance_after": "0.001"}),
        ("amount = 9e999", {"amount": "inf"}),
        ("amount = 10000000000000", {"amount": "10000000000000.0"}),
        ("reference = x'ff00'", {"reference": "X'FF00'"}),
        ("transaction_date = '2024-02-30 00:00:00'", {"transaction_date": "2024-02-30 00:00:00"}),
        ("transaction_date = '2024-03-05T00:00:00'", {"transaction_date": "2024-03-05T00:00:00"}),
        ("transaction_date = '2024-03-05 00:00:00.5'", {"transaction_date": "2024-03-05 00:00:00.5"}),
        ("transaction_date = 20240305", {"transaction_date": "20240305"}),
    ],
)
def test_what_is_not_exact_is_shown_not_rounded(
    loose_url: str, run_sql: RunSql, assignment: str, shown: dict[str, str]
) -> None:
    run_sql(loose_url, f"UPDATE \"transaction\" SET {assignment} WHERE transaction_id = 'TXN-5'")  # noqa: S608
    with open_target(loose_url) as target:
        rows = [row for part in target.scan("transaction") for row in part.to_pylist()]
    odd = [row for row in rows if row["inexact"] is not None]
    assert [row["transaction_id"] for row in odd] == ["TXN-5"]
    assert json.loads(odd[0]["inexact"]) == shown
    assert [odd[0][column] for column in shown] == [None] * len(shown)


def test_a_merge_heals_what_is_not_exact(loose_url: str, bank: Any, run_sql: RunSql) -> None:
    run_sql(loose_url, "UPDATE \"transaction\" SET amount = 'twelve' WHERE transaction_id = 'TXN-5'")
    with open_target(loose_url) as target:
        assert bank.load(target, "transaction", bank.transaction(*range(1, 10)), "2024-03").updated == 1
        assert bank.stored(target, "transaction") == bank.transaction(*range(1, 10)).to_pylist()


def test_a_nan_is_shown(postgres_url: str, bank: Any, run_sql: RunSql) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
        bank.load(target, "transaction", bank.transaction(1, 2), "2024-03")
        run_sql(postgres_url, "UPDATE \"transaction\" SET amount = 'NaN' WHERE transaction_id = 'TXN-2'")
        rows = [row for part in target.scan("transaction") for row in part.to_pylist()]
    assert [row["inexact"] for row in rows] == [None, '{"amount": "NaN or NULL"}']
