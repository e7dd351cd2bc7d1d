"""Bringing a target's schema to another version, up or down.

Here: what is refused, and running the statements that Alembic writes, all in one transaction: a kill, a lost connection
or a full disk leaves the old version whole. Not here: the statements (`versions`).
"""

import io
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config

from accounts_migration.databases.readings import count_rows
from accounts_migration.databases.schema_versions.known import HEAD, VERSIONS, other_version, stamp
from accounts_migration.databases.target_interface import Target
from accounts_migration.errors import MigrationError, UsageError

_ORDER = list(VERSIONS)


def current(target: Target) -> str:
    """Return the version at which a target is, known or not.

    Raises:
        MigrationError: No migration has been there, or there is no such file.
    """
    version = target.version()
    if version is None:
        # a file that is missing is told as such
        target.server_version()
        raise MigrationError(
            f"There is no schema of accounts-migration in {target.name}",
            why="none of its tables of records stands there",
            remedy="Check the path or URL of TARGET; `accounts-migration migrate` makes the tables of a new target",
        )
    return version


def upgrade(target: Target, wanted: str = HEAD) -> str:
    """Bring a target up to a version; its rows and books stay as they are.

    A target of the time before there were versions is stamped, also where nothing else is to be done.

    Returns:
        The version at which it was.

    Raises:
        UsageError: There is no such version, or it is older than the target's.
        MigrationError: Nothing of ours stands there, it is at a version that this program does not know, another
            process writes to it, a table of others has the name of a new one, or the database fails. Nothing was
            written.
    """
    _refuse_unknown(wanted)
    with _alone(target) as present:
        if _ORDER.index(wanted) < _ORDER.index(present):
            raise UsageError(
                f"Cannot upgrade {target.name} to version {wanted}",
                why=f"it is at version {present}, which is newer",
                remedy=f"To go back: accounts-migration schema downgrade {shlex.quote(target.name)} {wanted}",
            )
        _refuse_standing(target, _added(present, wanted))
        _bring(target, present, wanted)
    return present


def downgrade(target: Target, wanted: str) -> str:
    """Bring a target down to a version; its rows and the books of that version stay as they are.

    Returns:
        The version at which it was.

    Raises:
        UsageError: There is no such version, or it is newer than the target's.
        MigrationError: Records would be lost, or what `upgrade` says. Nothing was written.
    """
    _refuse_unknown(wanted)
    with _alone(target) as present:
        if _ORDER.index(wanted) > _ORDER.index(present):
            raise UsageError(
                f"Cannot downgrade {target.name} to version {wanted}",
                why=f"it is at version {present}, which is older",
                remedy=f"To bring it up: accounts-migration schema upgrade {shlex.quote(target.name)} {wanted}",
            )
        _refuse_losing(target, present, _added(wanted, present))
        _bring(target, present, wanted)
    return present


def statements(engine: str, present: str, wanted: str) -> list[str]:
    """Return the SQL by which Alembic goes from one version to another, in this order, with its own stamp.

    Args:
        engine: Of the target.
        present: The version at which it is; `base` where there is nothing.
        wanted: Another one.
    """
    written = _Written()
    config = Config(output_buffer=written)
    # a percent sign would begin a reference to another option
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["engine"] = engine
    is_up = present not in _ORDER or _ORDER.index(present) < _ORDER.index(wanted)
    go = command.upgrade if is_up else command.downgrade
    go(config, f"{present}:{wanted}", sql=True)
    return written.statements


class _Written(io.StringIO):
    """What Alembic writes its SQL to; each statement comes whole."""

    def __init__(self) -> None:
        super().__init__()
        self.statements: list[str] = []

    def write(self, text: str) -> int:
        statement = text.strip().removesuffix(";")
        if not statement.startswith("--"):
            self.statements.append(statement)
        return len(text)


@contextmanager
def _alone(target: Target) -> Iterator[str]:
    """Hold the target's lock in one transaction; yields the version at which it is."""
    # before the lock: where there is nothing, not even a file is made for it
    current(target)
    with ExitStack() as stack:
        try:
            stack.enter_context(target.lock())
        except MigrationError as error:
            raise MigrationError(
                f"Cannot change the schema of {target.name}", why=error.why, remedy=error.remedy
            ) from error
        stack.enter_context(target.session.transaction())
        present = current(target)
        if present not in VERSIONS:
            raise other_version(target.name, present)
        yield present


def _refuse_unknown(wanted: str) -> None:
    if wanted not in VERSIONS:
        raise UsageError(
            f"There is no version {wanted!r} of the schema",
            why=f"this program knows {', '.join(VERSIONS)}",
            remedy="Name one of these",
        )


def _added(older: str, newer: str) -> list[str]:
    """Return the tables that came after one version, up to another."""
    passed = _ORDER[_ORDER.index(older) + 1 : _ORDER.index(newer) + 1]
    return [table for version in passed for table in VERSIONS[version]]


def _refuse_standing(target: Target, tables: list[str]) -> None:
    standing = [table for table in tables if table in target.standing()]
    if standing:
        raise MigrationError(
            f"Cannot upgrade {target.name}",
            why=f"what the new version makes stands there already: {', '.join(standing)}",
            remedy="Nothing was changed. Rename what is another program's; then run again",
        )


def _refuse_losing(target: Target, present: str, tables: list[str]) -> None:
    counts = {table: count_rows(target.session, table) for table in tables if table in target.standing()}
    held = [f"{rows:,} in {table}" for table, rows in counts.items() if rows]
    if held:
        raise MigrationError(
            f"Cannot downgrade {target.name}",
            why=f"it would lose records that only version {present} can hold: {', '.join(held)}",
            remedy="Nothing was changed. Stay at this version; or take a backup, delete these rows, and run again",
        )


def _bring(target: Target, present: str, wanted: str) -> None:
    if not target.stamps():
        stamp(target.session, present)
    if present != wanted:
        for statement in statements(target.engine, present, wanted):
            target.session.execute(statement)
