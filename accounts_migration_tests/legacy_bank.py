"""A small bank as a legacy source holds it, and writing a source.

Here: rows of the four legacy tables by hand, with a defect of every action. Not here: rows in canonical form
(`canonical_bank.py`), or anything that is asserted.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accounts_migration.entities import ENTITIES

_COLUMNS = {entity.legacy_table: entity.legacy_columns for entity in ENTITIES.values()}


def legacy_rows() -> dict[str, list[tuple[Any, ...]]]:
    """Return a legacy bank by hand: three months and `undated`, and a defect of every action.

    Of each entity but product exactly a quarter of the rows is rejected. ZQ marks personal data.
    """
    return {
        "legacy_products": [
            (1, "BASIC CHECKING", "CHK", 0.5, 1.25, 3, 100, 1),
            (2, "Current Plus", "cur", "1.250", 0, 0, 0, "Y"),
            (3, "Old", "CHK", 0, 0, 0, 0, 0),  # INACTIVE
        ],
        "legacy_customers": [
            (1, "ZQADA", "ZQBYRON", "ZQ.Ada@example.com", "555-ZQ1", "2020-01-02", "ACTIVE"),
            (2, "Zqgrace", "Zqhopper", None, None, None, "ACTIVE"),  # DEFAULTED
            (3, "Zqalan", "Zqturing", "zq.alan@@example.com", "555-ZQ3", "2020-01-02", "ACTIVE"),  # INVALID_EMAIL
            (4, "Zqidle", "Zqhands", "zq.idle@example.com", "555-ZQ4", "2020-01-02", "CLOSED"),  # INACTIVE
        ],
        "legacy_accounts": [
            (1, 1, 1, "A", 100.10, "2020-01-02", None),
            (2, 1, 2, "a", "-5.5", "2020-01-03 00:00:00", "9999-12-31"),  # SENTINEL_DATE
            (3, 2, 1, "C", 0, "2020-02-02", "2021-01-01"),
            (4, 3, 1, "A", 70, "2020-02-03", None),  # PARENT_REJECTED
        ],
        "legacy_transactions": [
            (1, 1, "CR", 10, 10, "zq salary", "2024-01-01"),
            (2, 1, "DR", -3.25, 6.75, None, "2024-01-02 10:11:12"),
            (3, 2, "FE", -1, -1, " zq fee", "2024-01-31T23:59:59.5"),
            (4, 1, "IN", 0.05, 6.80, "zq interest", "2024-02-01"),
            (5, 1, "CR", 1.005, 7.80, "zq sub-cent", "2024-02-02"),  # SUB_CENT
            (6, 3, "cr", 20, 20, "zq twice", "2024-02-03"),
            (6, 3, "cr", 20, 20, "zq twice", "2024-02-03"),  # EXACT_DUPLICATE
            (7, 2, "DR", 4.50, -5.50, "zq rent", "2024-03-04"),
            (8, 4, "CR", 70, 70, "zq orphaned", "2024-03-05"),  # PARENT_REJECTED
            (9, 3, "DR", -20, 0, "zq gone", "2024-03-06"),
            (10, 1, "CR", 2, 8.80, "zq blank", " 2024-02-05 10:00"),  # a row of `undated`
            (11, 1, "CR", 3, 11.80, "zq undated", "yesterday"),  # INVALID_DATE
        ],
    }


def write_legacy(path: Path, rows: Mapping[str, Iterable[Sequence[object]]]) -> Path:
    """Write a legacy database, its columns without types, in place of an earlier one; return its path."""
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for table, columns in _COLUMNS.items():
            connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            places = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows[table])  # noqa: S608  # our own names
    return path
