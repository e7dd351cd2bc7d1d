"""Opening a target database, whatever engine it is.

Here: which engine a URL means. Not here: what a target can do (`target_interface`).
"""

import re
from contextlib import closing
from pathlib import Path

from accounts_migration.databases.bookkeeping import RecordedBatch, Snapshot
from accounts_migration.databases.books import MIGRATION, Books
from accounts_migration.databases.files import resolved
from accounts_migration.databases.loads import BatchLoaded, BatchToLoad
from accounts_migration.databases.postgres_target import PostgresTarget, open_session
from accounts_migration.databases.postgres_url import location
from accounts_migration.databases.sqlite_target import SqliteTarget
from accounts_migration.databases.target_interface import Target
from accounts_migration.errors import UsageError

__all__ = [
    "ENGINES",
    "BatchLoaded",
    "BatchToLoad",
    "RecordedBatch",
    "Snapshot",
    "Target",
    "is_same_database",
    "open_target",
    "target_location",
    "target_path",
]

_CONNECTION_STRING = re.compile(r"\s*(host|hostaddr|port|dbname|user|password|service)\s*=")


ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
"""`Target.engine` -> its name."""


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
    return location(url) if path is None else str(resolved(path))


def is_same_database(one: str, other: str) -> bool:
    """Return whether two URLs name one database, by whatever link, host or socket; connects to servers to know.

    Raises:
        UsageError: A path or URL is wrong.
        MigrationError: A server cannot be reached or refuses; without the password.
    """
    if target_location(one) == target_location(other):
        return True
    paths = [path for url in (one, other) if (path := target_path(url)) is not None]
    if not paths:
        return _identity(one) == _identity(other)
    return len(paths) == 2 and all(path.exists() for path in paths) and paths[0].samefile(paths[1])


def _identity(url: str) -> str:
    """Return what only one schema of one database of one running server has."""
    with closing(open_session(url)) as session:
        return str(
            session.value(
                "SELECT concat_ws(' ', pg_postmaster_start_time(), oid, current_schema())"
                " FROM pg_database WHERE datname = current_database()"
            )
        )


def _path(text: str) -> Path:
    if not text or text == ":memory:":
        raise UsageError(
            "Cannot open the target",
            why="it names no file",
            remedy="Give the path of a SQLite file to migrate into",
        )
    if _CONNECTION_STRING.match(text):
        # it may hold the password, so it is not shown
        raise UsageError(
            "Cannot open the target",
            why="libpq's way of writing host=... dbname=... is not understood here",
            remedy="Give postgresql://USER@HOST:PORT/DATABASE; a file of such a name is ./NAME",
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(
            "Cannot open the target",
            why=f"nobody here has a home of the name {Path(text).parts[0]}",
            remedy="Give the whole path; a folder of such a name is ./~NAME",
        ) from error
