"""`accounts-migration backup` and `rollback`, as a person starts them at night."""

import json
import os
import sys
from pathlib import Path

import pytest

from accounts_migration_tests.commands import Here, Said, change, content, verdict, write_bank

NO_SERVICE = {"SERVICE_STOP": "", "SERVICE_START": "", "SERVICE_HEALTH_URL": ""}


def listed(said: Said) -> list[str]:
    """Return the names of the backups that a list shows, newest first."""
    return [line.split()[0] for line in said.lines if line.startswith("target-")]


def test_a_night_with_a_migration_that_is_taken_back(tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db")
    missing = here("backup", "accounts.db")
    assert (missing.status, "there is no such file" in missing.err) == (1, True)
    # two ranges of months are two runs of the load, and one backup
    migrated = here("migrate", "legacy.db", "accounts.db", "--batches", "2024-01,2024-03", "--json", "summary.json")
    assert (migrated.status, verdict(migrated.out)) == (0, "MIGRATED")
    [before] = [path.name for path in (tmp_path / "var" / "backups").glob("target-*")]
    assert json.loads((tmp_path / "summary.json").read_text())["backup"].endswith(before)
    assert f"backup var/backups/{before}" in migrated.lines
    # and one account, of everything
    account = "transaction: source 3 = loaded 3 + rejected 0 + excluded 0; unexplained 0"
    assert migrated.err.count(account) == migrated.err.count("transaction: source") == 1, migrated.err

    backed_up = here("backup", "accounts.db")
    assert (backed_up.status, verdict(backed_up.out)) == (0, "BACKED")
    assert "proved by restoring it" in backed_up.lines
    names = listed(here("backup", "--list", "accounts.db"))
    assert (len(names), names[1]) == (2, before)

    loaded = content(str(tmp_path / "accounts.db"))
    change(tmp_path / "accounts.db", "UPDATE account SET balance = 1 WHERE account_id = 'ACCT-00000010'")
    change(tmp_path / "accounts.db", "CREATE TABLE note (words text); INSERT INTO note VALUES ('mine')")
    refused = here("rollback", "accounts.db", **NO_SERVICE)
    assert (refused.status, "table account: 1 rows changed" in refused.err) == (1, True)
    assert "The target is as it was; the service was not touched" in refused.err

    back = here("rollback", "accounts.db", "--to", names[0], "--discard-changes", **NO_SERVICE)
    [exported] = (tmp_path / "var" / "backups").glob("rollback-*/other-1-note.csv")
    discarded = (
        "discarded table note is there, and should not be (none of the migration's tables): exported whole, 1 rows in"
        " other-1-note.csv"
    )
    assert (discarded in back.lines, exported.read_text()) == (True, '"words"\n"mine"\n')
    assert f"exported {exported.relative_to(tmp_path)}" in back.lines
    assert (back.status, verdict(back.out), content(str(tmp_path / "accounts.db"))) == (0, "ROLLED", loaded)
    assert "service there is no command to start a service: its setting is empty" in back.lines
    back = here("rollback", "accounts.db", "--yes", **NO_SERVICE)
    assert (back.status, "holds nothing stood there" in back.lines, (tmp_path / "accounts.db").exists()) == (
        0,
        True,
        False,
    )
    logs = sorted((tmp_path / "var" / "logs").glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
    log = logs[-1].read_text()
    assert "keeping the target aside and putting the backup in its place" in log
    assert any(discarded.replace("discarded ", "discarded: ") in path.read_text() for path in logs)


@pytest.mark.parametrize(("answer", "status"), [("no", 2), ("", 2), ("yes", 1)])
def test_at_a_terminal_it_asks_before_it_begins(
    answer: str, status: int, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyboard, terminal = os.openpty()
    os.write(keyboard, f"{answer}\n".encode())
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        said = here("rollback", "accounts.db")
    os.close(keyboard)
    told = "There is no backup to roll" if status == 1 else "you did not type yes"
    assert (said.status, told in said.err) == (status, True)
    before = "what it was before its last migration or copy"
    assert f"This stops the service and puts {tmp_path / 'accounts.db'} back to {before}." in said.out


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("rollback",), 2, "No target is named"),
        (("backup",), 2, "No target is named"),
        (("rollback", "accounts.db"), 1, "There is no backup to roll accounts.db back to"),
        (("rollback", "accounts.db", "--to", "target-x"), 2, "There is no backup target-x of"),
        (("rollback", "oracle://accounts"), 2, "is none of a target"),
    ],
)
def test_what_cannot_be_rolled_back_is_told(words: tuple[str, ...], status: int, told: str, here: Here) -> None:
    said = here(*words)
    assert (said.status, told in said.err) == (status, True), said.err


def test_a_setting_of_the_service_that_cannot_be_read_is_wrong_usage(here: Here) -> None:
    said = here("rollback", "accounts.db", SERVICE_STOP="stop 'it")
    assert (said.status, "Cannot read SERVICE_STOP" in said.err) == (2, True)
