"""Folders and files that the user may not write, or not even read: each is told, and nothing half-written stays.

By real rights, as a user whom they stop: `nobody` where the tests are run by root.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from accounts_migration_tests.commands import (
    Here,
    Said,
    change,
    command,
    verdict,
    with_mode,
    without_rights,
    write_bank,
)

MIGRATE, ASSESS = ("migrate", "legacy.db", "new.db"), ("assess", "legacy.db")
PREFLIGHT = ("preflight", "legacy.db", "new.db")
VERIFY, COPY = ("verify", "legacy.db", "accounts.db"), ("copy", "accounts.db", "new.db")
BACKUP, REPORT, FINISH = ("backup", "accounts.db"), ("report", "accounts.db"), ("finish", "accounts.db")
ROLLBACK, DEFECTS = ("rollback", "accounts.db", "--yes"), ("defects", "accounts.db")


@pytest.fixture(scope="module")
def migrated() -> Iterator[Path]:
    """Return a folder of that user's: a bank migrated into `accounts.db`, and folders to be closed."""
    folder = Path(tempfile.mkdtemp(prefix="accounts-migration-tests-")).resolve()
    try:
        with without_rights(folder):
            write_bank(folder / "legacy.db")
            for name in ("closed", "source", "target"):
                (folder / name).mkdir()
            write_bank(folder / "source" / "legacy.db")
            change(write_bank(folder / "source" / "wal.db"), "PRAGMA journal_mode = WAL")
            assert command(folder, "migrate", "legacy.db", "accounts.db", HOME=str(folder)).returncode == 0
            shutil.copy(folder / "accounts.db", folder / "target")
            (folder / "closed" / "old").write_text("old")
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def folder(migrated: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return that folder, in which the test runs as that user."""
    monkeypatch.chdir(migrated)
    # programs keep what they find out about the machine there
    monkeypatch.setenv("HOME", str(migrated))
    with without_rights(migrated):
        yield migrated


def standing(folder: Path) -> dict[str, bytes]:
    """Return every file but logs, records of runs, and what readers of a database in WAL mode leave beside it."""
    ours = [folder / "var" / "logs", folder / "var" / "dagster"]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not set(ours) & set(path.parents) and not path.name.endswith(("-wal", "-shm"))
    }


def words_of(said: Said) -> str:
    return " ".join(f"{said.out} {said.err}".split())


@dataclass(frozen=True)
class Case:
    """A command that is refused where a file or folder has some rights; `{}` in its message is the folder."""

    words: tuple[str, ...]
    message: str
    closed: str = "closed"
    mode: int = 0o555
    status: int = 1
    settings: dict[str, str] = field(default_factory=dict)


def told(what: str, why: str, remedy: str) -> str:
    return f"{what} why: {why} what to do: {remedy}"


DENIED = "Permission denied"
NO_LOG = told(
    "Cannot write a log into {at}", DENIED, "Name a folder that this user may write to in LOG_DIR or MIGRATION_HOME"
)
NO_SNAPSHOT = (
    "Cannot write the snapshot into closed/x: [Errno 13] Permission denied: 'closed/x'."
    " Free disk space or name another folder in BACKUP_DIR, then run again"
)
NO_BACKUP = (
    "Cannot write a backup of {} into {}: Permission denied."
    " Free disk space, or name a folder that this user may write to in BACKUP_DIR; then run again"
)
NO_INSTANCE = told(
    "Cannot record what is done in the Dagster instance {}/closed/x",
    "{}/closed/x: Permission denied",
    "Free disk space there, give this user the right to write to it, or name another folder in DAGSTER_HOME."
    " What was loaded is whole; run again",
)
NO_REPORT = told(
    "Cannot write a report into closed/x",
    "{}/closed is no folder, or this user may not write there",
    "Name another folder with -o",
)
NO_FILE = told(
    "Cannot write {at}",
    "it is a folder, its folder is missing, or this user may not write there",
    "Name another file with {option}",
)
NO_TARGET_FOLDER = told(
    "Cannot use the target {at}", "the folder {} is not writable", "Give this user the right, or name another path"
)
NO_TARGET_FILE = told(
    "Cannot use the target target/accounts.db", "the file is not writable", "Give this user the right to write to it"
)
NO_WAY = told(
    "Cannot use {at}",
    DENIED,
    "Look at the disk, and at the rights of this user to it and to the folders above it; then run again",
)
NO_SOURCE = "Cannot read the source database {}: Permission denied. Give this user the right to read it"
UNWRITABLE_TARGET = (
    "Cannot read the target target/accounts.db: it cannot be written to."
    " Give this user the right to write to the file and its folder"
)
WAL_SOURCE = (
    "Cannot read the source database source/wal.db: attempt to write a readonly database; a database in WAL mode or"
    " with a hot journal needs a writable folder even to be read. Close its writer cleanly (checkpoint), or give this"
    " user the right to write to its folder"
)


def on_target(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words with the target that stands in a folder of its own."""
    words = {"new.db": "target/accounts.db", "accounts.db": "target/accounts.db"}
    return tuple(words.get(word, word) for word in command)


def under(name: str, *commands: tuple[str, ...], message: str) -> dict[str, Case]:
    """Return a case for each command, with the setting at a folder that cannot be made."""
    return {f"{words[0]}: {name}": Case(words, message, settings={name: "closed/x"}) for words in commands}


def option(name: str, path: str, *commands: tuple[str, ...], message: str) -> dict[str, Case]:
    """Return a case for each command, with the option at what cannot be written: wrong usage."""
    return {f"{words[0]}: {name} {path}": Case((*words, name, path), message, status=2) for words in commands}


def target(closed: str, mode: int, *commands: tuple[str, ...], message: str) -> dict[str, Case]:
    """Return a case for each command on the target, which or whose folder has this mode."""
    return {
        f"{' '.join(words[:2])}: {closed} {mode:o}": Case(on_target(words), message, closed, mode) for words in commands
    }


AT_WORK = (MIGRATE, ASSESS, PREFLIGHT, VERIFY, COPY, BACKUP, REPORT, FINISH)

CASES = {
    **under("MIGRATION_HOME", *AT_WORK, message=NO_LOG.replace("{at}", "closed/x/logs")),
    **under("LOG_DIR", *AT_WORK, ROLLBACK, message=NO_LOG.replace("{at}", "closed/x")),
    **under("DAGSTER_HOME", *AT_WORK, message=NO_INSTANCE),
    **under("BACKUP_DIR", MIGRATE, ASSESS, VERIFY, COPY, message=NO_SNAPSHOT),
    **under("BACKUP_DIR", BACKUP, message=NO_BACKUP.format("accounts.db", "closed/x")),
    **under(
        "STAGING",
        MIGRATE,
        message=told(
            "The migration into new.db is refused, nothing was written",
            "disk_space: {}/closed is not writable for staging",
            "Give this user the right, or name other folders",
        ),
    ),
    **under(
        "STAGING",
        COPY,
        message="/platform/judged/product: Permission denied. Free disk space or set STAGING to another location,"
        " then run again",
    ),
    **option("-o", "closed/x", REPORT, COPY, message=NO_REPORT),
    **option(
        "--json",
        "closed/x",
        *(MIGRATE, ASSESS, PREFLIGHT, VERIFY, COPY, FINISH),
        message=NO_FILE.replace("{at}", "closed/x").replace("{option}", "--json"),
    ),
    **option(
        "--json",
        "closed/old",
        *(ASSESS, PREFLIGHT),
        message=NO_FILE.replace("{at}", "closed/old").replace("{option}", "--json"),
    ),
    **option(
        "--output", "closed/x", DEFECTS, message=NO_FILE.replace("{at}", "closed/x").replace("{option}", "--output")
    ),
    **option(
        "--output", "closed/old", DEFECTS, message=NO_FILE.replace("{at}", "closed/old").replace("{option}", "--output")
    ),
    "migrate: a new target": Case(
        ("migrate", "legacy.db", "closed/new.db"),
        NO_TARGET_FOLDER.replace("{at}", "closed/new.db").replace("{}", "{}/closed"),
    ),
    "copy: a new target": Case(
        ("copy", "accounts.db"),
        NO_TARGET_FOLDER.replace("{at}", "closed/new.db").replace("{}", "{}/closed"),
        settings={"COPY_TO": "closed/new.db"},
    ),
    **target(
        "target",
        0o555,
        *(MIGRATE, VERIFY, REPORT, FINISH, DEFECTS),
        message=NO_TARGET_FOLDER.replace("{at}", "target/accounts.db").replace("{}", "{}/target"),
    ),
    **target("target", 0o555, BACKUP, message=UNWRITABLE_TARGET),
    **target(
        "target",
        0o555,
        ROLLBACK,
        message=told(
            "Cannot roll back target/accounts.db",
            "its lock file cannot be opened: Permission denied",
            "Check the rights of its folder",
        ),
    ),
    **target("target/accounts.db", 0o444, MIGRATE, VERIFY, REPORT, FINISH, DEFECTS, message=NO_TARGET_FILE),
    **target("target", 0, MIGRATE, VERIFY, REPORT, BACKUP, message=NO_WAY.replace("{at}", "target/accounts.db")),
    "migrate: a source that cannot be read": Case(MIGRATE, NO_SOURCE.replace("{}", "legacy.db"), "legacy.db", 0),
    "assess: a source that cannot be read": Case(ASSESS, NO_SOURCE.replace("{}", "legacy.db"), "legacy.db", 0),
    "verify: a source that cannot be read": Case(VERIFY, NO_SOURCE.replace("{}", "legacy.db"), "legacy.db", 0),
    "copy: a source that cannot be read": Case(COPY, NO_SOURCE.replace("{}", "accounts.db"), "accounts.db", 0),
    "migrate: a source in WAL mode": Case(("migrate", "source/wal.db", "new.db"), WAL_SOURCE, "source"),
    "assess: a source in WAL mode": Case(("assess", "source/wal.db"), WAL_SOURCE, "source"),
    "assess: a source whose folder is closed": Case(
        ("assess", "source/legacy.db"), NO_SOURCE.replace("{}", "source/legacy.db"), "source", 0
    ),
    "rollback: the backups' folder": Case(
        ROLLBACK,
        told(
            "Cannot write the journal of the rollback into var/backups",
            DENIED,
            "Free disk space, or give this user the right to write there; nothing was changed",
        ),
        "var/backups",
        settings={"SERVICE_STOP": "touch stopped"},
    ),
    "backup: the backups' folder": Case(BACKUP, NO_BACKUP.format("accounts.db", "var/backups"), "var/backups"),
    "backup --list: the backups' folder": Case(
        ("backup", "--list", "accounts.db"),
        told(
            "Cannot list the backups in var/backups",
            "this user may not read it",
            "Give this user the right, or name another folder in BACKUP_DIR",
        ),
        "var/backups",
        0,
    ),
    "migrate: where the snapshot is remembered": Case(
        MIGRATE,
        "Cannot remember the snapshot in var/snapshots: Permission denied. Free disk space, or name in MIGRATION_HOME a"
        " folder that this user may write to",
        "var/snapshots",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_cannot_be_written_or_read_is_told_and_nothing_else_is_left(case: Case, folder: Path, here: Here) -> None:
    before = standing(folder)
    with with_mode(folder / case.closed, case.mode):
        said = here(*case.words, **case.settings)
    assert (said.status, case.message.replace("{}", str(folder)) in words_of(said)) == (case.status, True), said
    after = standing(folder)
    taken = {name for name in after.keys() - before.keys() if name.startswith("var/")}
    assert {name: content for name, content in after.items() if name not in taken} == before
    assert not [name for name in taken if "partial" in name]


def test_a_source_that_is_read_only_in_a_folder_that_is_is_enough(folder: Path, here: Here) -> None:
    before = standing(folder / "source")
    with with_mode(folder / "source" / "legacy.db", 0o444), with_mode(folder / "source", 0o555):
        said = here("migrate", "source/legacy.db", "own.db")
    assert (said.status, verdict(said.out)) == (0, "MIGRATED"), said
    assert standing(folder / "source") == before


def test_a_preflight_judges_a_target_that_cannot_be_made(folder: Path, here: Here) -> None:
    with with_mode(folder / "closed", 0o555):
        said = here("preflight", "legacy.db", "closed/new.db")
    assert (said.status, verdict(said.out)) == (1, "NOT"), said
    assert "disk_space: Give this user the right, or name another path" in said.lines


def test_a_finish_whose_archive_cannot_be_written_is_told(folder: Path, here: Here) -> None:
    with with_mode(folder / "closed", 0o555):
        said = here(*FINISH, ARCHIVE_DIR="closed/x")
    assert (said.status, verdict(said.out)) == (1, "NOT"), said
    assert (
        f"archive: FAILED, Cannot write the archive into {folder}/closed/x: {folder}/closed/x: Permission denied."
        " Free some space, or name a folder that this user may write to in ARCHIVE_DIR; then finish again"
    ) in words_of(said)
    assert sorted(standing(folder / "closed")) == ["old"]


def test_a_backup_of_postgresql_is_told_of_its_folder_too(postgres_url: str, folder: Path, here: Here) -> None:
    with with_mode(folder / "closed", 0o555):
        said = here("backup", postgres_url, BACKUP_DIR="closed/x")
    assert (said.status, verdict(said.out)) == (1, "FAILED"), said
    assert (
        "into closed/x: Permission denied. Free disk space, or name a folder that this user may write to in BACKUP_DIR;"
        " then run again"
    ) in words_of(said)
    assert sorted(standing(folder / "closed")) == ["old"]


def test_a_copy_whose_report_cannot_be_written_says_so_and_the_same_command_ends_it(folder: Path, here: Here) -> None:
    shutil.rmtree(folder / "var" / "reports", ignore_errors=True)
    (folder / "var" / "reports").mkdir()
    with with_mode(folder / "var" / "reports", 0o555):
        said = here("copy", "accounts.db", "reported.db")
    assert (said.status, verdict(said.out)) == (1, "FAILED"), said
    assert "Cannot write the report into var/reports/" in said.err
    assert ": Permission denied. Name a folder that this user may write to, with -o" in said.err
    assert here("copy", COPY_FROM="accounts.db", COPY_TO="reported.db").status == 0
    [report] = (folder / "var" / "reports").iterdir()
    assert sorted(path.name for path in report.iterdir()) == ["report.html", "report.json", "report.sha256"]
    assert json.loads((report / "report.json").read_text())["source"]["snapshot_id"] == report.name


def test_these_tests_run_as_a_user_whom_rights_stop(folder: Path) -> None:
    assert 0 not in (os.getuid(), os.geteuid())
    with with_mode(folder / "closed", 0o555), pytest.raises(PermissionError):
        (folder / "closed" / "new").touch()
