"""`accounts-migration schema`: which version a target's tables are at, changing it, and holding them against it.

Here: what is run and shown. Not here: what a version is and how it is changed (`databases.schema_versions`). Alembic is
imported here alone, so that no other command waits for it.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from accounts_migration import console, logs
from accounts_migration.databases.schema_versions import changing
from accounts_migration.databases.schema_versions.known import HEAD, VERSIONS, other_version
from accounts_migration.databases.target import Target, open_target
from accounts_migration.resources import TargetResource
from accounts_migration.settings import Settings


def upgrade(settings: Settings, revision: str, log: Path) -> None:
    """Bring the target up to a version, or to the newest, `head`; see `changing.upgrade`."""
    _change(settings, log, "UPGRADED", HEAD if revision == "head" else revision, changing.upgrade)


def downgrade(settings: Settings, revision: str, log: Path) -> None:
    """Bring the target down to a version; see `changing.downgrade`."""
    _change(settings, log, "DOWNGRADED", revision, changing.downgrade)


def _change(settings: Settings, log: Path, verb: str, wanted: str, change: Callable[[Target, str], str]) -> None:
    began = time.monotonic()
    with open_target(TargetResource(settings.target_db).url) as target:
        before = change(target, wanted)
        console.show_value("target", target.name)
    console.show_value("log", log)
    if before == wanted:
        logs.note(f"at version {wanted} already")
        console.OUT.print(f"[bold green]AT VERSION {wanted}[/] already: nothing was to be done")
        return
    logs.note(f"{verb.lower()} from version {before} to {wanted}")
    seconds = time.monotonic() - began
    console.OUT.print(f"[bold green]{verb}[/] from version {before} to {wanted} in {seconds:.1f} s", highlight=False)


def current(settings: Settings) -> None:
    """Print the version at which the target is.

    Raises:
        MigrationError: No migration has been there.
    """
    with open_target(TargetResource(settings.target_db).url) as target:
        version = changing.current(target)
    console.show_line(console.plain(f"{version} ({_place(version)})"))


def _place(version: str) -> str:
    if version == HEAD:
        return "head"
    return f"older than {HEAD}, the head" if version in VERSIONS else f"unknown; the head is {HEAD}"


def check(settings: Settings, log: Path) -> bool:
    """Print what differs between the target's tables and this program's version of them; return whether nothing does.

    Raises:
        MigrationError: No migration has been there, it is at another version, or a migration is at work on it.
    """
    with open_target(TargetResource(settings.target_db).url) as target:
        version = changing.current(target)
        if version != HEAD:
            raise other_version(target.name, version)
        with target.lock():
            found = target.differences()
        console.show_value("target", target.name)
    for line in found:
        logs.note(line, logging.ERROR)
        console.ERROR.print(console.plain(line), highlight=False, soft_wrap=True)
    console.show_value("log", log)
    if found:
        console.OUT.print(f"[bold red]DIFFERENT[/] from version {HEAD}: {len(found):,} differences", highlight=False)
    else:
        console.OUT.print(f"[bold green]CHECKED[/]: the tables are those of version {HEAD}", highlight=False)
    return not found
