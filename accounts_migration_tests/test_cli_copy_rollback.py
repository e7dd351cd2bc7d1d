"""`accounts-migration rollback` of a database that copies have written: back to what stood before the last copy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import open_target
from accounts_migration_tests.commands import Here, Said, change, verdict

RunSql = Callable[..., list[tuple[Any, ...]]]

BALANCES = "SELECT account_id, CAST(balance AS integer) FROM account ORDER BY 1"
OTHERS = "SELECT words FROM note UNION ALL SELECT words FROM memo ORDER BY 1"
FIRST = [("ACCT-00000001", 5), ("ACCT-00000002", 1), ("ACCT-00000003", 1)]
SECOND = [("ACCT-00000001", 6), *FIRST[1:]]


def roll_back(here: Here, target: str, *words: str) -> Said:
    return here("rollback", target, "--yes", *words, SERVICE_STOP="", SERVICE_START="", SERVICE_HEALTH_URL="")


@pytest.fixture
def source(tmp_path: Path, bank: Any) -> Path:
    """Return a migrated database that is in use: not all that it holds is what was migrated."""
    path = tmp_path / "accounts.db"
    with open_target(str(path)) as target:
        target.prepare()
        bank.load_parents(target)
    change(
        path,
        "UPDATE account SET balance = 5 WHERE account_id = 'ACCT-00000001'",
        "CREATE TABLE note (words text); INSERT INTO note VALUES ('noted')",
        "CREATE TABLE memo (words text); INSERT INTO memo VALUES ('first')",
    )
    return path


def test_a_copy_is_undone_and_what_somebody_wrote_since_is_not_lost(
    source: Path, target_url: str, tmp_path: Path, here: Here, run_sql: RunSql
) -> None:
    # the first copy overwrites nothing: there is no backup
    assert here("copy", source, target_url, "--all-tables").status == 0
    said = roll_back(here, target_url)
    assert (said.status, "from before the copy that it holds" in said.err) == (1, True), said.err
    assert "A first copy overwrites nothing, and takes none" in said.err

    # nobody has written since the second one, which brought one table anew, and one for the first time
    change(
        source,
        "UPDATE account SET balance = 6 WHERE account_id = 'ACCT-00000001'",
        "UPDATE memo SET words = 'other'",
        "CREATE TABLE fresh (n integer); INSERT INTO fresh VALUES (2), (1)",
    )
    assert here("copy", source, target_url, "--all-tables").status == 0
    assert run_sql(target_url, BALANCES) == SECOND
    [backup] = [path.name for path in (tmp_path / "var" / "backups").glob("target-*")]
    listed = here("backup", "--list", target_url).out
    assert ("written by" in listed, "copy of" in listed, "migration of" in listed) == (True, True, False)
    said = roll_back(here, target_url)
    assert (said.status, verdict(said.out), "discarded" in said.out) == (0, "ROLLED", False), said.err
    assert (run_sql(target_url, BALANCES), backup in said.out) == (FIRST, True)
    assert run_sql(target_url, OTHERS) == [("first",), ("noted",)]

    # somebody has, of one table as many rows as came
    assert here("copy", source, target_url, "--all-tables").status == 0
    run_sql(target_url, "UPDATE memo SET words = 'changed'")
    run_sql(target_url, "UPDATE account SET balance = 7 WHERE account_id = 'ACCT-00000002'")
    run_sql(target_url, "INSERT INTO note VALUES ('mine')")
    said = roll_back(here, target_url, "--to", backup)
    assert (said.status, f"Somebody has changed {target_name(target_url)} since the copy" in said.err) == (1, True)
    for line in (
        "table note has 2 rows, not 1 (none of the migration's tables)",
        "table account: 1 rows changed",
        "table memo has other rows (none of the migration's tables); a copy brought it with as many rows, and they are"
        " others now, or stand in another order",
    ):
        assert line in said.err
    assert "table fresh" not in said.err
    said = roll_back(here, target_url, "--to", backup, "--discard-changes")
    assert (said.status, run_sql(target_url, BALANCES)) == (0, FIRST), said.err
    assert run_sql(target_url, OTHERS) == [("first",), ("noted",)]
    files = {
        path.name: path.read_text().replace('"', "") for path in (tmp_path / "var" / "backups").glob("rollback-*/*.csv")
    }
    [changed] = files.pop("account-changed.csv").splitlines()[1:]
    assert changed.startswith("ACCT-00000002,CUST-0001,PROD-001,ACTIVE,7.00,2020-01-02,,")
    assert files == {"other-1-memo.csv": "words\nchanged\n", "other-2-note.csv": "words\nnoted\nmine\n"}


def target_name(url: str) -> str:
    """Return the target as messages show it."""
    with open_target(url) as target:
        return target.name
