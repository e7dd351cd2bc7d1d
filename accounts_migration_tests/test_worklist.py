"""The defects as work: the money at stake, read as the contract reads money, and the most of it first."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import open_target
from accounts_migration.entities import ENTITIES
from accounts_migration.worklist import FIELDS, worklist

ROWS = {
    "legacy_products": [
        (1, "Basic", "CHK", 0, 0, 0, 0, 1),
        ("002", "ZQ unknown", "???", 0, 0, 0, 0, 1),  # UNKNOWN_CODE, and it holds back account 3
        (3, "Old", "CHK", 0, 0, 0, 0, 0),  # INACTIVE
    ],
    "legacy_customers": [
        (1, "Zqada", "Zqbyron", None, None, "2020-01-02", "ACTIVE"),
        (2, "Zqalan", "Zqturing", "=zq.alan", None, "2020-01-02", "ACTIVE"),  # INVALID_EMAIL, holds back 2, 3 and 4
        (4, "Zqidle", None, None, None, "2020-01-02", "ACTIVE"),  # MISSING_VALUE, holds back nothing
    ],
    "legacy_accounts": [
        (1, 1, 1, "A", "9999999999999.99", "2020-01-02", "9999-12-31"),  # SENTINEL_DATE
        (2, 2.0, 1, "A", -1000.10, "2020-01-02", None),  # PARENT_REJECTED
        (3, "02", 2, "A", "1e2", "2020-01-02", None),  # PARENT_REJECTED by both
        (4, 2, 1, "A", "much", "2020-01-02", None),  # INVALID_NUMBER and PARENT_REJECTED
        (5, 9, 1, "A", 7, "2020-01-02", None),  # ORPHAN
    ],
    "legacy_transactions": [
        (1, 1, "CR", -20.5, 0, "zq sign", "2024-01-01"),  # SIGN_CONFLICT
        (2, 1, "CR", b"12", 0, "zq", "2024-01-02"),  # INVALID_NUMBER
        # a blank of the legacy code page before the number
        (3, 1, "??", sqlite3.Binary(b"\xa0300.25"), 0, "zq", "2024-01-03"),
        (4, 1, "CR", 1, 0, "zq", "2024-01-04"),
    ],
}
EXPECTED = [
    ("account", "1", "SENTINEL_DATE", "9999999999999.99"),
    ("customer", "2", "INVALID_EMAIL", "1100.10"),
    ("account", "2", "PARENT_REJECTED", "1000.10"),
    ("transaction", "3", "UNKNOWN_CODE", "300.25"),
    ("account", "3", "PARENT_REJECTED", "100.00"),
    ("product", "002", "UNKNOWN_CODE", "100.00"),
    ("transaction", "1", "SIGN_CONFLICT", "20.50"),
    ("account", "5", "ORPHAN", "7.00"),
    ("customer", "4", "MISSING_VALUE", "0.00"),
    ("product", "3", "INACTIVE", "0.00"),
    ("account", "4", "INVALID_NUMBER,PARENT_REJECTED", None),
    ("transaction", "2", "INVALID_NUMBER", None),
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def migrated(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
) -> Iterator[str]:
    """Migrate the rows, whatever is rejected, and return the target's URL."""
    folder = tmp_path_factory.mktemp("worklist")
    url = new_target(request.param, folder)
    with open_migration(folder, url, ROWS, max_reject_rate=1.0, legacy_encoding="cp1252") as migration:
        with closing(sqlite3.connect(folder / "legacy.db")) as legacy, legacy:
            legacy.execute(
                "UPDATE legacy_transactions SET trans_amount = CAST(trans_amount AS TEXT) WHERE trans_id = 3"
            )
        migration.migrate()
    yield url


def listed(url: str, entity: str | None = None, *, show_personal_data: bool = False) -> list[dict[str, Any]]:
    """Return the whole list."""
    with open_target(url) as target:
        return list(worklist(target, ENTITIES, entity, show_personal_data=show_personal_data))


def test_the_most_money_comes_first_and_what_cannot_be_read_last(migrated: str) -> None:
    found = listed(migrated)
    assert [(row["entity"], row["source_key"], row["reasons"], row["money_at_stake"]) for row in found] == EXPECTED
    assert {tuple(row) for row in found} == {FIELDS}


@pytest.mark.parametrize("entity", ["product", "customer", "account", "transaction"])
def test_one_entity_has_the_same_lines_as_in_the_whole_list(entity: str, migrated: str) -> None:
    assert listed(migrated, entity) == [row for row in listed(migrated) if row["entity"] == entity]
    assert listed(migrated, entity) != []


def test_each_line_says_how_it_is_mended(migrated: str) -> None:
    remedies = {row["source_key"]: row["remedy"] for row in listed(migrated, "account")}
    assert remedies["4"] == (
        "Enter a plain number, with a point before its decimals and without currency or separators. "
        "Mend the row it refers to, which is rejected itself; then this one follows."
    )


def test_personal_data_is_masked_unless_it_is_asked_for(migrated: str) -> None:
    masked, shown = (str(listed(migrated, "customer", show_personal_data=asked)) for asked in (False, True))
    assert ("zq" in masked.lower(), "=zq.alan" in shown, "=xx.xxxx" in masked) == (False, True, True)
