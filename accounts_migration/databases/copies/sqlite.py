"""Backup and rollback of a SQLite target.

Here: the online backup, and putting a file in the place of another with all that SQLite keeps beside it. Not here: the
program that opens the files (`sqlite_file`), and what is alike for both engines (`accounts_migration.operations`).
"""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from accounts_migration.databases.copies import sqlite_file
from accounts_migration.databases.copies.engine import Dump, Engine, Rehearsal
from accounts_migration.databases.copies.figures import MEASURES, Figures, TableFigures
from accounts_migration.databases.sqlite_session import exact_sum, read_exact_sum
from accounts_migration.errors import MigrationError

FILE = "target.db"
_SCRATCH = "rehearsal.db"

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
        if self.path.stat().st_size == 0 and not _log_of(self.path).exists():
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


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _figures(answer: dict[str, Any]) -> Figures:
    tables = {
        name: TableFigures(
            one["rows"], {column: read_exact_sum(total) for column, total in one["sums"].items()}, one["digest"]
        )
        for name, one in answer["tables"].items()
    }
    return Figures(tables, tuple(answer["latest"]) if answer["latest"] else None)
