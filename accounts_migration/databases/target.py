"""Opening a target database, whatever engine it is.

Here: which engine a URL means. Not here: what a target can do (`target_interface`).
"""

from pathlib import Path

from accounts_migration.databases.bookkeeping import RecordedBatch, Snapshot
from accounts_migration.databases.books import MIGRATION, Books
from accounts_migration.databases.loads import BatchLoaded, BatchToLoad
from accounts_migration.databases.postgres_target import PostgresTarget, display_name
from accounts_migration.databases.sqlite_target import SqliteTarget
from accounts_migration.databases.target_interface import Target
from accounts_migration.errors import UsageError

__all__ = [
    "BatchLoaded",
    "BatchToLoad",
    "RecordedBatch",
    "Snapshot",
    "Target",
    "open_target",
    "target_location",
    "target_path",
]


def open_target(url: str, books: Books = MIGRATION) -> Target:
    """Open a target database; nothing is created before `Target.prepare`.

    Args:
        url: A path, `sqlite:///path` (four slashes for an absolute path), or
            `postgresql://USER@HOST:PORT/DATABASE` (the password from PGPASSWORD or .pgpass).
        books: Those in which loads are recorded.

    Raises:
        UsageError: The path or URL is wrong.
        MigrationError: The server cannot be reached or refuses; without the password.
    """
    path = target_path(url)
    return PostgresTarget(url, books) if path is None else SqliteTarget(path, books)


def target_path(url: str) -> Path | None:
    """Return the path of a SQLite target; None for one in PostgreSQL.

    Raises:
        UsageError: The path or URL is wrong.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _path(url)
    if scheme == "sqlite" and rest.startswith("/"):
        return _path(rest[1:])
    if scheme in ("postgresql", "postgres"):
        return None
    raise UsageError(
        "Cannot open the target",
        why=f"a URL that begins with {scheme}:// is none of a target",
        remedy="Give a path, sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE",
    )


def target_location(url: str) -> str:
    """Return where a target is, without its password, alike from every folder: an absolute path or the URL.

    Raises:
        UsageError: The path or URL is wrong.
    """
    path = target_path(url)
    return display_name(url) if path is None else str(path.resolve())


def _path(text: str) -> Path:
    if not text or text == ":memory:":
        raise UsageError(
            "Cannot open the target",
            why="it names no file",
            remedy="Give the path of a SQLite file to migrate into",
        )
    return Path(text).expanduser()
