"""Backup and rollback of a SQLite target.

Here: the online backup, and putting a file in the place of another with all that SQLite keeps beside it. Not here: the
program that opens the files (`sqlite_file`), and what is alike for both engines (`accounts_migration.operations`).
"""

import errno
import fcntl
import filecmp
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from accounts_migration.databases.copies import sqlite_file
from accounts_migration.databases.copies.engine import Copy, Dump, Engine, Rehearsal, Return, Way
from accounts_migration.databases.copies.figures import MEASURES, Figures, Migrated, TableFigures
from accounts_migration.databases.files import onto_disk
from accounts_migration.databases.locks import held_once
from accounts_migration.databases.sqlite_lock import acquire_lock, lock_name
from accounts_migration.databases.sqlite_session import exact_sum, read_exact_sum
from accounts_migration.errors import MigrationError

FILE = "target.db"
_SCRATCH = "rehearsal.db"

# a database, and what SQLite keeps beside it
_SUFFIXES = ("", "-journal", "-wal", "-shm")
_FIRST_LOCK_BYTE, _LOCK_BYTES = 0x40000000, 512
_LABEL = "security.selinux"

_SUMS = {
    table: {column: exact_sum(column, scale) for column, scale in columns.items()}
    for table, columns in MEASURES.items()
}
# SQLite's names of failures to write the copy; the target itself is only read
_ABOUT_WRITING = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_FSYNC", "OSError")
_KNOWN_FAILURES = {
    "SQLITE_BUSY": ("another program keeps it locked", "Stop that program, or wait, then run again"),
    "SQLITE_NOTADB": ("it is not a SQLite database", "Name the right file as TARGET"),
    "SQLITE_CORRUPT": ("the file is damaged", "Roll back to a backup: accounts-migration rollback"),
    "SQLITE_CANTOPEN": ("it cannot be opened", "Check the path and the rights of this user"),
    "SQLITE_READONLY": ("it cannot be written to", "Give this user the right to write to the file and its folder"),
}


class SqliteEngine(Engine):
    """A SQLite file as a thing to be copied and put back."""

    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        """Remember the path; nothing is opened yet."""
        self.path = path.resolve()
        self.name = str(path)

    def dump(self, folder: Path) -> Dump:
        """Copy the file by SQLite's online backup, beside whoever writes to it; see `Engine.dump`."""
        version = f"SQLite {sqlite3.sqlite_version}"
        if not self.path.exists():
            return Dump("nothing", None, Figures(), version)
        if self.path.stat().st_size == 0 and not _with(self.path, "-wal").exists():
            return Dump("empty", None, Figures(), version)
        copy = folder / FILE
        answer = self._ask(action="copy", source=str(self.path), copy=str(copy), sums=_SUMS)
        if not answer["objects"]:
            copy.unlink()
            return Dump("empty", None, Figures(), version)
        return Dump("data", copy, _figures(answer), version)

    def rehearse(self, file: Path, folder: Path) -> Rehearsal:
        """Copy the dump, check its structure, count it; see `Engine.rehearse`."""
        scratch = folder / _SCRATCH
        try:
            copy_file(file, scratch)
            return Rehearsal(self.counted(scratch))
        finally:
            scratch.unlink(missing_ok=True)

    def counted(self, file: Path) -> Figures:
        """Return what stands in a file that nobody writes, having proved it whole.

        Raises:
            MigrationError: It is damaged.
        """
        damage = self._ask(action="check", source=str(file))["damage"]
        if damage:
            raise MigrationError(
                f"The copy of {self.name} is not whole",
                why=f"integrity_check found: {'; '.join(damage)}",
                remedy="Check the target itself with `PRAGMA integrity_check`, and the disk",
            )
        return _figures(self._ask(action="count", source=str(file), sums=_SUMS, immutable=True))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Take the lock that lies beside the file; see `Engine.lock`."""
        with ExitStack() as stack:
            try:
                stack.enter_context(held_once(lock_name(self.path), lambda: acquire_lock(self.path, self.name)))
            except MigrationError as error:
                raise MigrationError(f"Cannot roll back {self.name}", why=error.why, remedy=error.remedy) from error
            yield

    def present(self) -> Figures | None:
        """Count what stands in the file; see `Engine.present`."""
        if not self.path.exists():
            return None
        return _figures(self._ask(action="count", source=str(self.path), sums=_SUMS, immutable=False))

    def export(self, table: str, file: Path) -> None:
        """Have the program write it; numbers stand without quotes, texts within them; see `Engine.export`."""
        self._ask(action="export", source=str(self.path), table=table, file=str(file))

    def way(self, copy: Copy) -> Way:
        """Switch by name, always; see `Engine.way`."""
        return "switch"

    def make_ready(self, what: Return) -> list[str]:
        """Copy the file beside the target, for the target's owner, and prove it; see `Engine.make_ready`."""
        beside = self._beside(what)
        beside.unlink(missing_ok=True)
        if what.copy.state == "nothing":
            return []
        if what.copy.file is None:
            os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        else:
            copy_file(what.copy.file, beside)
            differences = what.copy.figures.differences(self.counted(beside))
            if not filecmp.cmp(what.copy.file, beside, shallow=False):
                differences.insert(0, "its bytes differ")
            if differences:
                raise MigrationError(
                    f"Cannot restore {what.copy.file}",
                    why=f"restored, it is not what was backed up: {'; '.join(differences[:3])}",
                    remedy="Look at the disk; name another backup with --to",
                )
        self._give_to_owner(beside)
        return []

    def put_back(self, what: Return) -> str:
        """Rename the file and its sidecars away, then the copy into their place; see `Engine.put_back`."""
        beside, kept = self._beside(what), self._kept(what)
        if what.copy.state != "nothing" and not beside.exists():
            return str(kept) if kept.exists() else ""
        aside = self._aside(kept)
        with self._alone():
            # the file before its log: a log without its file is harmless, a file without its log has lost rows
            for suffix in _SUFFIXES:
                place = _with(self.path, suffix)
                if place.exists():
                    place.rename(_with(aside, suffix))
            if what.copy.state != "nothing":
                beside.rename(self.path)
        onto_disk(self.path.parent)
        return str(kept) if kept.exists() else ""

    def undo(self, what: Return) -> None:
        """Rename the file and its sidecars back, its log first; see `Engine.undo`."""
        beside, kept = self._beside(what), self._kept(what)
        if what.copy.state != "nothing" and not beside.exists() and kept.exists():
            # the last rename was done, and something failed behind it
            self.path.rename(beside)
        if kept.exists() and self.path.exists():
            raise MigrationError(
                f"Cannot undo the rollback of {self.name}",
                why=f"somebody has made a new {self.path} since the old one was kept as {kept}",
                remedy="Run the rollback to its end: the new file is kept, too",
            )
        if kept.exists():
            for suffix in reversed(_SUFFIXES):
                if _with(kept, suffix).exists():
                    _with(kept, suffix).rename(_with(self.path, suffix))
        beside.unlink(missing_ok=True)
        onto_disk(self.path.parent)

    def _beside(self, what: Return) -> Path:
        return _with(self.path, f".restoring-{what.stamp}")

    def _kept(self, what: Return) -> Path:
        return _with(self.path, f".replaced-{what.stamp}")

    def _aside(self, kept: Path) -> Path:
        """Return the name for the file and all beside it; another where a file came between a kill and going on."""
        names = [kept, *(_with(kept, f"-{number}") for number in range(2, 100))]
        free = next(place for place, name in enumerate(names) if not name.exists())
        # what lies beside a file that has gone aside already follows it
        return names[free] if self.path.exists() or not free else names[free - 1]

    def _give_to_owner(self, file: Path) -> None:
        """Give a new file the owner and the rights of the target; of its folder where there is no target."""
        model = self.path if self.path.exists() else self.path.parent
        wanted, found = model.stat(), file.stat()
        if (wanted.st_uid, wanted.st_gid) != (found.st_uid, found.st_gid):
            try:
                os.chown(file, wanted.st_uid, wanted.st_gid)
            except PermissionError as error:
                if model != self.path:
                    # nobody knows whose it was: the owner of its folder is a guess, and this user another
                    return
                raise MigrationError(
                    f"Cannot restore {self.name}",
                    why=f"this user cannot give the file to the owner of {model}",
                    remedy="Run the rollback as that user, or as root",
                ) from error
        if model == self.path:
            file.chmod(stat.S_IMODE(wanted.st_mode))
        if hasattr(os, "getxattr"):
            with suppress(OSError):
                os.setxattr(file, _LABEL, os.getxattr(model, _LABEL))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep every other connection off the file; nothing is written to it.

        Raises:
            MigrationError: One is open: what it would write after the switch would go into the replaced file.
        """
        if not self.path.exists():
            yield
            return
        with self.path.open("rb+") as file:
            try:
                # the bytes on which SQLite's connections hold their locks
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_BYTES, _FIRST_LOCK_BYTE)
            except OSError as error:
                raise MigrationError(
                    f"Cannot replace {self.name}",
                    why="another program has it open",
                    remedy="End that program (`fuser` names it), or name in SERVICE_STOP what ends it; then run again",
                ) from error
            yield

    def _ask(self, **task: Any) -> dict[str, Any]:
        """Have the program do a task, and return its answer."""
        done = subprocess.run(  # noqa: S603  # this interpreter and a file of ours
            [sys.executable, "-I", "-S", str(sqlite_file.__file__)],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"error": "", "text": "it died"}
        if "error" not in answer:
            return answer
        if answer["error"] in _ABOUT_WRITING:
            raise OSError(errno.EIO, answer["text"])
        known = (told for sign, told in _KNOWN_FAILURES.items() if answer["error"].startswith(sign))
        why, remedy = next(known, (f"SQLite failed: {answer['text']}", "Check the file with `PRAGMA integrity_check`"))
        raise MigrationError(f"Cannot read the target {self.name}", why=why, remedy=remedy)


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")


def copy_file(original: Path, copy: Path) -> None:
    """Copy a file for its owner alone, and onto the disk itself.

    Raises:
        OSError: It cannot be read or written, or the copy exists.
    """
    with (
        original.open("rb") as source,
        os.fdopen(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as to,
    ):
        shutil.copyfileobj(source, to, 1024 * 1024)
        to.flush()
        os.fsync(to.fileno())


def _figures(answer: dict[str, Any]) -> Figures:
    tables = {
        name: TableFigures(
            one["rows"], {column: read_exact_sum(total) for column, total in one["sums"].items()}, one["digest"]
        )
        for name, one in answer["tables"].items()
    }
    return Figures(tables, Migrated(*answer["latest"]) if answer["latest"] else None)
