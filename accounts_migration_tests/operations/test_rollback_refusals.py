"""What stops a rollback: before the service, or with the service started again."""

import fcntl
import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from accounts_migration.databases.postgres_session import lock_number
from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.backup import list_backups, take_backup
from accounts_migration.operations.rollback import rollback
from accounts_migration_tests.commands import content
from accounts_migration_tests.operations.night import (
    CHANGES,
    Night,
    of_a_file,
)


def test_writes_since_the_migration_stop_a_rollback_before_the_service(night: Night) -> None:
    night.run_sql(night.url, *CHANGES, "CREATE TABLE note (words text)")
    changed = content(night.url)
    told = night.refused()
    assert told.what.startswith("Somebody has changed ")
    others, *ours = told.why.split("; ")
    assert others == "table note is there, and should not be (none of the migration's tables)"
    assert ours == ["table account: 1 rows changed", "table transaction: 1 rows added, 1 rows removed"]
    assert told.remedy.endswith("The target is as it was; the service was not touched")
    assert (content(night.url), night.api.commands, night.journals, night.left) == (changed, [], [], [])


@of_a_file
def test_where_the_migrations_own_rows_are_known_no_longer_it_is_not_guessed(night: Night, tmp_path: Path) -> None:
    without = night.under(staging=str(tmp_path / "elsewhere"), migration_home=tmp_path / "elsewhere")
    told = without.refused()
    assert told.what.startswith("Nobody can say whether ")
    assert "table account: its number of rows and totals are those that were loaded, but its rows cannot be" in told.why
    night.run_sql(night.url, *CHANGES)
    told = without.refused()
    assert "table transaction: rows or totals of 2024-03, 2025-01 are others" in told.why
    done = without.roll_back(discard_changes=True)
    exported = {path.name: len(path.read_text().splitlines()) - 1 for path in done.exported}
    assert exported == {"account-present.csv": 3, "transaction-present.csv": 2}


@of_a_file
def test_a_backup_that_was_changed_is_found_out_before_anything_is_stopped(night: Night) -> None:
    assert night.loaded.path is not None
    content_before = content(night.url)
    night.loaded.path.write_bytes(night.loaded.path.read_bytes()[:-1] + b"!")
    told = night.refused(to=night.loaded.backup_id, discard_changes=True)
    assert "its sha256 is not the one of the manifest" in told.why
    assert told.remedy.endswith("The target is as it was; the service was not touched")
    assert (content(night.url), night.api.commands, night.journals) == (content_before, [], [])


def test_a_backup_that_restores_to_something_else_is_found_out_before_anything_is_stopped(night: Night) -> None:
    manifest = night.loaded.folder / "backup.json"
    entries = json.loads(manifest.read_text())
    entries["figures"]["tables"]["transaction"]["totals"]["amount"] += 1
    manifest.write_text(json.dumps(entries))
    told = night.refused(to=night.loaded.backup_id, discard_changes=True)
    assert told.why == "restored, it is not what was backed up: table transaction has other totals of amount"
    assert (night.api.commands, night.left, night.journals) == ([], [], [])


@of_a_file
def test_a_name_that_is_no_backup_of_this_target_is_wrong_usage(night: Night, tmp_path: Path) -> None:
    other = take_backup(str(tmp_path / "other.db"), night.settings.backups)
    for name in ("target-nothing", other.backup_id, str(tmp_path)):
        with pytest.raises(UsageError, match="There is no backup"):
            night.roll_back(to=name)
    for backup in list_backups(night.settings.backups):
        shutil.rmtree(backup.folder)
    told = night.refused()
    assert told.what.startswith("There is no backup to roll ")
    assert night.api.commands == []


@of_a_file
def test_a_service_that_cannot_be_stopped_goes_on_as_it_was(night: Night) -> None:
    before = content(night.url)
    told = night.under(service_stop="false").refused()
    assert (told.what, told.why) == ("Cannot stop the service", "false ended with status 1")
    assert told.remedy.endswith("The target is as it was; the service runs as it did")
    assert (content(night.url), night.api.runs, night.left, night.journals) == (before, True, [], [])


@of_a_file
def test_writes_between_the_comparison_and_the_stop_are_not_lost(night: Night, tmp_path: Path) -> None:
    """The service writes until it is stopped: so it is compared again, and the service started as it was."""
    program = tmp_path / "stop.py"
    program.write_text(
        "import subprocess, sys\nfrom accounts_migration.databases.target import open_target\n"
        f"with open_target({night.url!r}) as target:\n    target.session.execute({CHANGES[0]!r})\n"
        f"sys.exit(subprocess.call({shlex.split(night.settings.service_stop or '')!r}))\n"
    )
    told = night.under(service_stop=f"{sys.executable} {program}").refused()
    assert told.why == "table account: 1 rows changed"
    assert "The target is as it was; the service was started (" in told.remedy
    assert (night.api.commands, night.api.runs, night.left, night.journals) == (["stop", "start"], True, [], [])
    assert night.run_sql(night.url, "SELECT count(*) FROM account WHERE balance = 7") == [(1,)]


@of_a_file
@pytest.mark.parametrize(
    ("raised", "what", "why"),
    [
        (KeyboardInterrupt, "The rollback was stopped", "somebody asked for it, as Ctrl-C does"),
        (RuntimeError, "Cannot roll back ", "a fault of this program, RuntimeError"),
        (OSError(28, "No space left on device"), "Cannot roll back ", "No space left on device"),
    ],
    ids=["Ctrl-C", "fault", "disk"],
)
def test_whatever_stops_it_the_service_does_not_stay_stopped(
    night: Night, raised: BaseException, what: str, why: str
) -> None:
    def stopped(sentence: str) -> None:
        if sentence.startswith("keeping the target aside"):
            raise raised

    before = content(night.url)
    with pytest.raises(MigrationError) as told:
        rollback(night.settings, night.url, tell=stopped)
    assert (told.value.what.startswith(what), told.value.why) == (True, why)
    assert "The target is as it was; the service was started (" in told.value.remedy
    assert (content(night.url), night.api.commands, night.api.runs) == (before, ["stop", "start"], True)
    assert (night.left, night.journals) == ([], [])


def test_two_at_once_are_refused(night: Night) -> None:
    """A migration holds the target, or a rollback does: the other one is refused at once."""
    with _held(night) as is_held:
        told = night.refused()
    assert (is_held, told.what.startswith("Cannot roll back "), night.api.commands) == (True, True, [])
    assert told.remedy.startswith("Wait for it to end, or stop it")
    held = []

    def try_to_migrate(sentence: str) -> None:
        if sentence.startswith("keeping the target aside"):
            with _held(night) as is_held:
                held.append(is_held)

    rollback(night.settings, night.url, tell=try_to_migrate)
    assert (held, night.api.commands) == ([False], ["stop", "start"])


@contextmanager
def _held(night: Night) -> Iterator[bool]:
    """Take the lock of a migration as another process would; yields whether it was free."""
    if night.is_sqlite:
        with Path(f"{night.url}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        return
    with open_target(night.url) as other:
        yield bool(other.session.value(f"SELECT pg_try_advisory_lock({lock_number('migration')})"))
