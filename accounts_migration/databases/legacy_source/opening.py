"""The legacy file opened for reading alone, or refused with what stands in the way.

Here: the connection and its refusals. Not here: what the file holds (`structure`).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from accounts_migration.errors import MigrationError

_HEADER = b"SQLite format 3\x00"


def refuse_unusable_file(path: Path) -> None:
    """Raise MigrationError unless the path is a readable, non-empty SQLite file; never creates anything."""
    what = f"Cannot read the source database {path}"
    try:
        if not path.exists():
            raise MigrationError(what, why="there is no such file", remedy="Check its path; nothing was created")
        if not path.is_file():
            raise MigrationError(what, why="it is not a file", remedy="Name the SQLite file itself")
        with path.open("rb") as file:
            header = file.read(len(_HEADER))
    except OSError as error:
        # also of a folder above it that this user may not enter
        raise MigrationError(what, why=str(error.strerror), remedy="Give this user the right to read it") from error
    if not header:
        raise MigrationError(what, why="the file is empty", remedy="Name the real database")
    if header != _HEADER:
        raise MigrationError(what, why="it is not a SQLite database", remedy="Name a SQLite 3 file")


@contextmanager
def open_read_only(
    path: Path, *, immutable: bool = False, copy_of: Path | str | None = None
) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file for reading alone, text as bytes; `immutable` is for our own snapshot, which nobody writes.

    Args:
        path: The file.
        immutable: Whether nobody writes it.
        copy_of: The source database that a refusal names, where the file is a copy that will not stay.

    Raises:
        MigrationError: The file is missing, empty, locked, damaged or no SQLite database.
    """
    refuse_unusable_file(path)
    what = f"Cannot read the source database {copy_of or path}"
    try:
        with closing(sqlite3.connect(read_only_uri(path, immutable=immutable), uri=True, timeout=5)) as connection:
            connection.text_factory = bytes
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield connection
    except sqlite3.OperationalError as error:
        raise _explained(what, error) from error
    except sqlite3.DatabaseError as error:
        raise MigrationError(
            what,
            why=f"the file is damaged ({error})",
            remedy="Restore it from a backup, or recover it with `sqlite3 FILE .recover` into a new file",
        ) from error


def read_only_uri(path: Path, *, immutable: bool) -> str:
    """Return the URI under which SQLite opens the file for reading alone; see `open_read_only`."""
    return f"file:{quote(str(path.resolve()))}?mode=ro" + ("&immutable=1" if immutable else "")


def _explained(what: str, error: sqlite3.OperationalError) -> MigrationError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return MigrationError(what, why="another program holds a lock on it", remedy="Stop its writer, then run again")
    if "unable to open" in text or "readonly" in text:
        return MigrationError(
            what,
            why=f"{text}; a database in WAL mode or with a hot journal needs a writable folder even to be read",
            remedy="Close its writer cleanly (checkpoint), or give this user the right to write to its folder",
        )
    if "disk is full" in text:
        # nothing is written into the file itself
        return MigrationError(
            what,
            why="the disk where SQLite keeps its temporary files is full",
            remedy="Free some space there, or name another folder in SQLITE_TMPDIR, then run again",
        )
    if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
        # the file is whole, and what we ask of tables alone does not fail
        return MigrationError(
            what,
            why=f"something that it defines fails, as a view or a generated column: {text}",
            remedy="Mend its definition, then run again",
        )
    return MigrationError(what, why=text, remedy="Check the file with `PRAGMA integrity_check`")
