"""`accounts-migration copy --all-tables` where other tables refer to rows of the four entities that are rejected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accounts_migration_tests.commands import Here, change
from accounts_migration_tests.platform_rows import ODD, write_platform

RunSql = Callable[..., list[tuple[Any, ...]]]

CARDS = """
CREATE TABLE card (pan text PRIMARY KEY, account text REFERENCES account (account_id) ON DELETE CASCADE);
CREATE TABLE purchase (id integer PRIMARY KEY, card text REFERENCES card);
CREATE TABLE note (words text);
INSERT INTO note VALUES ('noted');
INSERT INTO card SELECT '4711 ' || account_id, account_id FROM account;
INSERT INTO card VALUES ('4712', NULL), ('4713', 'nobody');
INSERT INTO purchase SELECT row_number() OVER (ORDER BY pan), pan FROM card;
"""
SPOIL = "UPDATE account SET balance = 0.001 WHERE account_id = 'ACCT-00000001'"
COUNTS = "SELECT (SELECT count(*) FROM card), (SELECT count(*) FROM purchase)"
FREE = "SELECT account FROM card WHERE account = 'ACCT-00000001'"


def test_what_refers_to_a_row_that_goes_goes_with_it_or_keeps_it(
    target_url: str, tmp_path: Path, here: Here, run_sql: RunSql
) -> None:
    source = write_platform(tmp_path / "accounts.db", ODD)
    change(source, CARDS)
    assert here("copy", source, target_url, "--all-tables").status == 0
    assert run_sql(target_url, COUNTS) == [(5, 5)]
    # the account that stands there by now is to be taken away
    change(source, SPOIL)
    said = here("copy", source, target_url, "--policy", "max_reject_rate=0.9")
    assert said.status == 1
    assert "which are no longer to stand there: 1 rows of table card refer to them in account." in said.err
    assert "Tables that a copy brought go along with --all-tables" in said.err
    assert run_sql(target_url, FREE) == [("ACCT-00000001",)]
    run_sql(target_url, "UPDATE note SET words = 'changed by somebody'")
    said = here("copy", source, target_url, "--all-tables", "--policy", "max_reject_rate=0.9")
    assert said.status == 0, said.err
    assert run_sql(target_url, "SELECT words FROM note") == [("noted",)]
    assert (run_sql(target_url, COUNTS), run_sql(target_url, FREE)) == ([(4, 4)], [])
