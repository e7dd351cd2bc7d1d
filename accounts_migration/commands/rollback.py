"""`accounts-migration rollback`: a proved backup in the place of the target, and the service up on it.

Here: asking, and what is shown. Not here: the steps (`accounts_migration.operations.rollback`). It runs without
Dagster: what must work in the worst night depends on as little as can be.
"""

import logging
import sys
from pathlib import Path

from accounts_migration import console
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.logs import NAME, note
from accounts_migration.notices import told_when_done
from accounts_migration.operations.rollback import RolledBack, rollback
from accounts_migration.resources import TargetResource
from accounts_migration.settings import Settings


def run(settings: Settings, log: Path, *, to: str | None, discard_changes: bool, yes: bool) -> None:
    """Roll the target back, and print what came of it.

    Raises:
        UsageError: The person at the terminal does not want it, or names no backup of the target.
        MigrationError: It was refused or failed; the message says what the target and the service are now.
    """
    target = TargetResource(settings.target_db)
    if not yes and sys.stdin.isatty():
        _ask(target.location or target.url, to)
    try:
        with told_when_done(settings, "rollback", "ROLLED BACK"):
            tell = logging.getLogger(NAME).info
            done = rollback(settings, target.url, to=to, discard_changes=discard_changes, tell=tell)
    except MigrationError as error:
        note(str(error), logging.ERROR)
        raise
    for name, value in _lines(done, log):
        console.show_value(name, value)
    console.show_verdict("ROLLED BACK", True, done.seconds)


def _ask(location: str, to: str | None) -> None:
    before = "what it was before its last migration or copy" if to is None else f"the backup {to}"
    console.OUT.print(console.plain(f"This stops the service and puts {location} back to {before}."), soft_wrap=True)
    if input("Type yes to go on: ").strip().lower() != "yes":
        raise UsageError("Nothing was rolled back", why="you did not type yes", remedy="Run it again, or give --yes")


def _lines(done: RolledBack, log: Path) -> list[tuple[str, str]]:
    health = "nobody asks" if done.health is None else f"HTTP {done.health.status} after {done.health.seconds:.1f} s"
    return [
        ("backup", f"{done.backup.backup_id} of {done.backup.taken}"),
        ("holds", str(done.backup)),
        ("replaced", done.kept or "there was no target"),
        *(("discarded", line) for line in done.discarded),
        *(("exported", str(path)) for path in done.exported),
        *(("remark", remark) for remark in done.remarks),
        ("service", done.service),
        ("health", health),
        ("journal", str(done.folder)),
        ("log", str(log)),
    ]
