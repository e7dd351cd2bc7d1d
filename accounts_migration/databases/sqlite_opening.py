"""Opening the file of a SQLite target, and making it.

Here: whether the path can be used, the rights of a new file, and the pragmas of a connection. Not here: the target
itself (`sqlite_target`), the SQL of its connections (`sqlite_session`), and its lock file (`sqlite_lock`).

Only ADBC's own SQLite may touch the file within a process: a second SQLite library (Python's `sqlite3`), or
plain `open` and `close`, would drop the locks of the first.

The file is put into WAL mode, so that rows can be read back while the next ones are written; where it cannot be (some
network disks), it keeps a rollback journal. Both are safe against kill -9 and power loss: at worst the last batches are
gone as if never loaded, each with its books; what was written is on the disk when the file is closed.
"""

import os
from pathlib import Path
from urllib.parse import quote

from adbc_driver_manager import dbapi
from adbc_driver_sqlite import dbapi as sqlite_dbapi

from accounts_migration.databases.session import Session
from accounts_migration.databases.sqlite_session import SORTING_KIBIBYTES, SqliteSession
from accounts_migration.errors import MigrationError

_BUSY_MILLISECONDS = 10_000
# twice SQLite's own: rows go in, and indexes are built, a tenth faster; larger pages gain no more
_PAGE_BYTES = 8192


def refuse_unusable_path(path: Path) -> None:
    """Raise MigrationError where no file can be made or written at the path."""
    what = f"Cannot use the target {path}"
    folder = path.resolve().parent
    if path.is_dir():
        raise MigrationError(what, why="it is a folder", remedy="Name a file in it")
    if not folder.is_dir():
        raise MigrationError(what, why=f"there is no folder {folder}", remedy="Create it, or name another path")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MigrationError(
            what,
            why=f"the folder {folder} is not writable",
            remedy="Give this user the right, or name another path",
        )
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise MigrationError(what, why="the file is not writable", remedy="Give this user the right to write to it")


def create_private(path: Path) -> None:
    """Make an empty file that its owner alone can read; SQLite gives its journals the same rights.

    One that another process has made meanwhile is left as it is.

    Raises:
        MigrationError: It cannot be made.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise MigrationError(
            f"Cannot create the target {path}",
            why=str(error.strerror),
            remedy="Check the folder, or name another path",
        ) from error


def open_session(path: Path, name: str) -> Session:
    """Open the file, which must be there.

    Args:
        path: The file, resolved.
        name: How it is shown.

    Raises:
        MigrationError: There is none, or it cannot be opened.
    """
    if not path.exists():
        raise MigrationError(
            f"Cannot use the target {name}",
            why="there is no such file",
            remedy="Check the path of TARGET; migrate into it first",
        )
    # mode=rw: opening alone never creates a file
    session = _connected(f"file:{quote(str(path))}?mode=rw", name)
    try:
        _set_pragmas(session)
    except BaseException:
        session.close()
        raise
    return session


def set_journal(session: Session) -> None:
    """Put the file into WAL mode where that can be; one without a page yet is given ours."""
    session.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    session.execute("PRAGMA journal_mode = WAL")
    _set_durability(session)


def _connected(uri: str, name: str) -> SqliteSession:
    try:
        return SqliteSession(sqlite_dbapi.connect(uri, autocommit=True), name)
    except dbapi.Error:
        pass
    raise MigrationError(
        f"Cannot use the target {name}",
        why="it cannot be opened",
        remedy="Check the path and the rights of this user",
    )


def _set_pragmas(session: Session) -> None:
    session.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    session.execute(f"PRAGMA cache_size = -{SORTING_KIBIBYTES}")
    # macOS: reach the disk itself, not only its cache
    session.execute("PRAGMA fullfsync = ON")
    session.execute("PRAGMA foreign_keys = ON")
    _set_durability(session)


def _set_durability(session: Session) -> None:
    """Wait for the disk where a power loss could damage the file; in WAL mode that is when its log is emptied."""
    if session.value("PRAGMA journal_mode") == "wal":
        session.execute("PRAGMA synchronous = NORMAL")
    else:
        session.execute("PRAGMA journal_mode = TRUNCATE")
        session.execute("PRAGMA synchronous = FULL")
