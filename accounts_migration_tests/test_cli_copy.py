"""`accounts-migration copy` as people start it: there and back, again and again, and what it refuses."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from accounts_migration_tests.commands import PASSWORD, Here, change, verdict, write_bank
from accounts_migration_tests.platform_rows import ODD, differences, write_platform

RunSql = Callable[..., list[tuple[Any, ...]]]


def test_there_and_back_every_row_of_every_table_is_equal(postgres_url: str, tmp_path: Path, here: Here) -> None:
    assert here("migrate", write_bank(tmp_path / "legacy.db"), "accounts.db").status == 0
    write_platform(tmp_path / "odd.db", ODD)
    with closing(sqlite3.connect(tmp_path / "accounts.db")) as connection:
        connection.execute("ATTACH ? AS odd", (str(tmp_path / "odd.db"),))
        for table in ODD:
            connection.execute(f'INSERT OR REPLACE INTO "{table}" SELECT * FROM odd."{table}"')  # noqa: S608
        connection.commit()
    for words in (("accounts.db", postgres_url), (postgres_url, "back.db")):
        said = here("copy", *words)
        assert (said.status, verdict(said.out)) == (0, "COPIED"), said
        assert "X" * 100 not in said.out + said.err
    found = differences(tmp_path / "accounts.db", tmp_path / "back.db")
    assert {"product", "customer", "account", "transaction", "migration_batch", "migration_defect"} <= found.keys()
    assert {table: rows for table, rows in found.items() if rows} == {}


def test_a_second_copy_of_the_same_writes_no_row(target_url: str, tmp_path: Path, here: Here) -> None:
    write_platform(tmp_path / "accounts.db", ODD)
    assert here("copy", "accounts.db", target_url).status == 0
    said = here("copy", "accounts.db", target_url)
    assert said.status == 0
    assert said.err.count("unchanged by their digest: not loaded again") == 6  # three tables, three months
    assert "inserted" not in said.err


def test_what_changed_in_the_source_is_brought_and_what_somebody_changed_in_the_copy_is_mended(
    target_url: str, tmp_path: Path, here: Here, run_sql: RunSql
) -> None:
    write_platform(tmp_path / "accounts.db", ODD)
    assert here("copy", "accounts.db", target_url).status == 0
    change(
        tmp_path / "accounts.db",
        "UPDATE \"transaction\" SET transaction_date = '2031-05-06 00:00:00' WHERE transaction_id = 'TXN-1'",
        "UPDATE account SET balance = -0.07 WHERE account_id = 'ACCT-00000001'",
        "DELETE FROM \"transaction\" WHERE account_id = 'ACCT-000000010'",
        "DELETE FROM account WHERE account_id = 'ACCT-000000010'",
        "DELETE FROM product WHERE product_id = 'PROD-007 '",
    )
    run_sql(target_url, "UPDATE customer SET first_name = 'Eve' WHERE customer_id = 'CUST-0001'")
    run_sql(target_url, "DELETE FROM \"transaction\" WHERE transaction_id = 'TXN-007'")
    said = here("copy", "accounts.db", target_url)
    assert said.status == 0, said.err
    assert "customer all: changed by somebody since, 3 rows stand, 0 inserted, 1 updated, 0 removed" in said.err
    assert here("copy", target_url, "back.db").status == 0
    found = differences(tmp_path / "accounts.db", tmp_path / "back.db")
    assert {table: rows for table, rows in found.items() if rows} == {}


def test_a_value_that_does_not_fit_is_told_and_nothing_is_written(tmp_path: Path, here: Here) -> None:
    write_platform(tmp_path / "accounts.db", {"account": [{"balance": 54263342.700000085}, {"account_id": "x"}]})
    said = here("copy", "accounts.db", "copy.db")
    assert (said.status, "SUB_CENT" in said.out, "INVALID_KEY" in said.out) == (1, True, True)
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize(
    "other", ["link.db", "hard.db", "sqlite:///accounts.db", "./accounts.db", "sub/../accounts.db"]
)
def test_a_file_is_not_copied_into_itself(other: str, tmp_path: Path, here: Here) -> None:
    (tmp_path / "sub").mkdir()
    path = write_platform(tmp_path / "accounts.db", {})
    (tmp_path / "link.db").symlink_to("accounts.db")
    os.link(path, tmp_path / "hard.db")
    before = path.read_bytes()
    said = here("copy", "accounts.db", other)
    assert (said.status, "FROM and TO are the same database" in said.err) == (2, True), said.err
    assert path.read_bytes() == before


def test_a_database_of_a_server_is_not_copied_into_itself_by_another_url(
    postgres_url: str, tmp_path: Path, here: Here
) -> None:
    write_platform(tmp_path / "accounts.db", {})
    assert here("copy", "accounts.db", postgres_url).status == 0
    said = here("copy", postgres_url, f"{postgres_url}&application_name=other")
    assert (said.status, "FROM and TO are the same database" in said.err) == (2, True), said.err


def test_a_password_is_not_told(tmp_path: Path, here: Here) -> None:
    write_platform(tmp_path / "accounts.db", {})
    url = f"postgresql://me:{PASSWORD}@127.0.0.1:1/bank"
    for words in (("accounts.db", url), (url, "copy.db")):
        said = here("copy", *words)
        assert (said.status, "no server listens there" in said.err) == (1, True), said.err
        assert PASSWORD not in said.out + said.err + "".join(path.read_text() for path in tmp_path.glob("var/logs/*"))
