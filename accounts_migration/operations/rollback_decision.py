"""Whether a target may be rolled back, and to which backup.

Here: choosing the backup, what a rollback that did not end means for the next one, and what was changed since, which a
rollback loses. Not here: how changes are found (`changes`), and the steps of a rollback (`rollback`).
"""

import os
from pathlib import Path

from accounts_migration.databases.books import COPY, MIGRATION
from accounts_migration.databases.copies.engine import Engine, Way
from accounts_migration.databases.copies.figures import Figures
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.backup import Backup, backup_before, count_closed, find_backup, list_backups
from accounts_migration.operations.changes import Changes, brought_by_copies, find_changes, find_changes_of_others
from accounts_migration.operations.rollback_journal import PUT_BACK, Journal
from accounts_migration.settings import Settings


def choose_backup(engine: Engine, folder: Path, target: str, to: str | None) -> Backup:
    """Return the backup that a rollback puts back.

    Args:
        engine: The target.
        folder: BACKUP_DIR.
        target: The target, as `target_location` gives it.
        to: The backup's id or folder; None is the newest one from before the migration or copy that the target holds.

    Raises:
        UsageError: There is no backup of that name.
        MigrationError: None is named, and there is none, the target cannot be read, or it holds nothing to undo while
            the newest backup would bring a migration or a copy back.
    """
    if to is not None:
        return find_backup(folder, target, to)
    try:
        present = engine.present() or Figures()
    except MigrationError as error:
        raise MigrationError(
            f"Cannot tell which backup undoes the migration of {engine.name}",
            why=f"the target cannot be read: {error.why}",
            remedy="Name one with --to; `accounts-migration backup --list` shows them",
        ) from error
    backups = list_backups(folder, target)
    backup = backup_before(backups, present.migrated)
    if backup is None:
        deed = present.migrated.deed if present.migrated else MIGRATION.deed
        first = ". A first copy overwrites nothing, and takes none" if deed == COPY.deed else ""
        raise MigrationError(
            f"There is no backup to roll {engine.name} back to",
            why=f"none in {folder} is of {target} and from before the {deed} that it holds{_others(folder, target)}",
            remedy=f"Name in BACKUP_DIR the folder that the {deed} wrote to, or one of "
            f"`accounts-migration backup --list` with --to{first}",
        )
    if present.migrated is None and backup.figures.migrated is not None:
        raise _nothing_to_undo(engine.name, backup, backup.figures.migrated.deed)
    return backup


def _nothing_to_undo(name: str, newest: Backup, deed: str) -> MigrationError:
    """Return the refusal of a rollback that was given twice: it would put what was taken back in service again."""
    return MigrationError(
        f"There is nothing to roll back in {name}",
        why=f"it holds neither a migration nor a copy, as after a rollback; the newest backup, {newest.backup_id} of"
        f" {newest.taken}, would bring a {deed} back: {newest}",
        remedy=f"Where the target was lost and is to come back as it was then, give --to {newest.backup_id}; what was"
        " written after that is not in it",
    )


def _others(folder: Path, target: str) -> str:
    """Return of which other targets there are backups, since a URL may be spelled in two ways; and what is not ours."""
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        return "; it is another user's, and closed to this one"
    others = sorted({backup.target for backup in list_backups(folder)} - {target})
    closed = count_closed(folder)
    return (f"; there are backups of {', '.join(others[:3])}" if others else "") + (
        f"; {closed} backups there are another user's, and closed to this one" if closed else ""
    )


def refuse_another_backup(journal: Journal, to: str | None) -> None:
    """Raise UsageError where another backup is named than that of the rollback that goes on."""
    if to is not None and Path(to).name != journal.backup.backup_id:
        raise UsageError(
            f"Cannot roll back to {to}",
            why=f"the rollback to {journal.backup.backup_id} that was begun at {journal.begun_at} is not complete",
            remedy="Run it to its end first: give no --to",
        )


def is_history(journal: Journal, engine: Engine) -> bool:
    """Return whether somebody migrated anew over what a rollback had put back, whose service did not come up."""
    if not journal.did(PUT_BACK):
        return False
    try:
        present = engine.present()
    except MigrationError:
        return False
    return (present.migrated if present else None) != journal.backup.figures.migrated


def changes_to_discard(
    engine: Engine, url: str, settings: Settings, backup: Backup, way: Way, into: Path | None
) -> Changes:
    """Return what was changed since the target's last migration or copy: a rollback loses it.

    A target that cannot be read is changed by definition.

    Args:
        engine: The target.
        url: The target.
        settings: Where staging is.
        backup: What is put back.
        way: How.
        into: A folder for files of what was changed; None where nothing may be lost.

    Raises:
        MigrationError: Something was changed, or may have been, and nothing may be lost.
        OSError: A file cannot be written.
    """
    try:
        present = engine.present()
    except MigrationError as error:
        present, changes = None, _unreadable(error)
    else:
        changes = Changes() if present is None else _found(engine, url, settings, backup, way, present, into)
    if changes and into is None:
        raise _changed(engine.name, present, changes)
    return changes


def _found(
    engine: Engine, url: str, settings: Settings, backup: Backup, way: Way, present: Figures, into: Path | None
) -> Changes:
    backed_up = backup.figures
    if way == "in place":
        # what stands in other schemas stays
        backed_up, present = backed_up.here, present.here
    try:
        brought = brought_by_copies(url, present)
    except MigrationError as error:
        return _unreadable(error)
    # they were just read for their figures: an export that fails is no damage, and stops the rollback
    others = find_changes_of_others(engine, url, brought, backed_up, present, into)
    try:
        return others + find_changes(url, settings, present, into)
    except MigrationError as error:
        return others + _unreadable(error)


def _unreadable(error: MigrationError) -> Changes:
    return Changes(unproved=[f"the target cannot be read ({error.why}); it is kept aside as it is"])


def _changed(name: str, present: Figures | None, changes: Changes) -> MigrationError:
    deed = present.migrated.deed if present and present.migrated else MIGRATION.deed
    if changes.lines:
        what = f"Somebody has changed {name} since the {deed}"
    else:
        what = f"Nobody can say whether {name} was changed since the {deed}"
    return MigrationError(
        what,
        why="; ".join([*changes.lines, *changes.unproved]),
        remedy="A rollback would lose this. Give --discard-changes to roll back all the same: added, changed and"
        " removed rows, and other tables whole, are written into files first, and the replaced target is kept",
    )
