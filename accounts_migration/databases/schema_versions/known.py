"""Which versions of the target's schema there are, and what tells the one that stands in a target.

Here: their names, the stamp, and the refusal of another version. Not here: what a version consists of (`versions`), and
Alembic: every command looks at the stamp, and must not wait for the library. A test holds the names against it.
"""

import shlex
from collections.abc import Collection, Sequence

from accounts_migration.databases.books import MIGRATION
from accounts_migration.databases.session import Session
from accounts_migration.errors import MigrationError

VERSION_TABLE = "alembic_version"
"""Alembic's table of one row: the version."""

VERSIONS = {
    "0001": (
        *("product", "customer", "account", "transaction"),
        *("migration_snapshot", "migration_batch", "migration_batch_row", "migration_defect"),
    ),
    "0002": ("copy_snapshot", "copy_batch", "copy_batch_row", "copy_defect"),
}
"""Version -> the tables that it added, oldest first. What was released is history: it never changes."""

HEAD = next(reversed(VERSIONS))
"""The version that this program writes, and the only one."""

_FIRST = next(iter(VERSIONS))
# as Alembic makes it
_STAMP = f"""CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)
)"""


def version_of(stamps: Sequence[str], tables: Collection[str]) -> str | None:
    """Return the version of a target; None where no migration has been there.

    Before there were versions nothing was stamped: then the newest version counts whose tables all stand. An unknown
    stamp, or several at once, is returned as it stands.

    Args:
        stamps: What Alembic's table holds.
        tables: The names that stand in the target.
    """
    if stamps:
        return ", ".join(sorted(stamps))
    if not set(MIGRATION.tables) & set(tables):
        return None
    return [_FIRST, *(version for version, added in VERSIONS.items() if set(added) <= set(tables))][-1]


def stamp(session: Session, version: str) -> None:
    """Write the version into a target that has none; within the transaction that makes or finds its tables."""
    session.execute(_STAMP)
    session.execute(f"INSERT INTO {VERSION_TABLE} (version_num) VALUES ($1)", (version,))


def other_version(target_name: str, version: str) -> MigrationError:
    """Return the error that a target is at another version than this program's."""
    what = f"Cannot use the target {target_name}"
    if version in VERSIONS:
        return MigrationError(
            what,
            why=f"its tables are at version {version}, and this program writes version {HEAD}",
            remedy=f"Nothing was written. Bring it up: accounts-migration schema upgrade {shlex.quote(target_name)}",
        )
    return MigrationError(
        what,
        why=f"its tables are at version {version}, which this program does not know: its newest is {HEAD}",
        remedy="Nothing was written. Install the newer accounts-migration that made it; or, where another program"
        f" keeps its own {VERSION_TABLE} there, migrate into a schema or database apart",
    )
