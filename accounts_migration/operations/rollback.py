"""Rolling back: a proved backup takes the place of the target, and the service comes up on it (guide, "Rollback").

Here: the order of the steps, the journal by which a killed rollback goes on, and what is true when one fails: the
service runs on the old good data, or as it ran before, and the message says which. Not here: how an engine puts a copy
back (`accounts_migration.databases.copies`), the service (`service`), and what somebody changed since (`changes`).
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accounts_migration.databases.books import COPY, MIGRATION
from accounts_migration.databases.copies.engine import Copy, Engine, Return, Way
from accounts_migration.databases.copies.figures import Figures
from accounts_migration.databases.files import write_whole
from accounts_migration.databases.target import target_location
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.backup import (
    Backup,
    backup_before,
    count_closed,
    engine_of,
    find_backup,
    list_backups,
    refuse_changed,
    verify_backup,
)
from accounts_migration.operations.changes import Changes, brought_by_copies, find_changes, find_changes_of_others
from accounts_migration.operations.service import Health, Service
from accounts_migration.settings import Settings

JOURNAL = "rollback.json"
_PREFIX = "rollback-"
_STOPPING, _PUTTING_BACK, _PUT_BACK, _ENDED = "stopping the service", "putting back", "put back", "ended"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback came to.

    Args:
        backup: What the target holds again.
        kept: Where the replaced target is kept; empty where there was none.
        folder: Where its journal and the exported changes are.
        exported: Files of the rows that were discarded.
        discarded: What was discarded, a sentence for each table.
        remarks: What its reader should know besides.
        service: What was done with the service.
        health: Its answer; None where nobody asks.
        seconds: From the first step of this command to the last.
        out_of_service: Seconds from before the service was stopped until it was healthy again.
    """

    backup: Backup
    kept: str
    folder: Path
    exported: list[Path] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    service: str = ""
    health: Health | None = None
    seconds: float = 0.0
    out_of_service: float = 0.0


def rollback(
    settings: Settings, url: str, *, to: str | None = None, discard_changes: bool = False, tell: Tell
) -> RolledBack:
    """Put a backup back in the place of the target. Begun again after a kill, it goes on.

    Args:
        settings: Where backups and staging are, and the service.
        url: The target.
        to: The backup's id or folder; None is the newest one from before the migration or copy that the target holds.
        discard_changes: Whether what was changed since then may be lost; it is written into files first.
        tell: Called before each step with a sentence.

    Raises:
        UsageError: There is no such backup, or a setting cannot be used.
        MigrationError: It is refused or failed; the message says what the target and the service are now.
    """
    began = time.monotonic()
    engine, service = engine_of(url, settings.pg_dump), Service.of(settings)
    with engine.lock():
        journal = _Journal.unfinished(settings.backups, target_location(url))
        if journal is not None and _is_history(journal, engine):
            journal.note(_ENDED)
            journal = None
        if journal is None or not journal.did(_PUTTING_BACK):
            if journal is not None:
                engine.undo(journal.returned)
            backup = _chosen(engine, settings.backups, target_location(url), to)
            journal = _Journal.begun(settings.backups, backup, engine.way(_copy_of(backup)), journal)
        else:
            tell(f"going on with the rollback to {journal.backup.backup_id} that was begun at {journal.begun_at}")
            _refuse_another(journal, to)
        rolling = _Rolling(settings, url, engine, service, journal, discard_changes, tell)
        done = rolling.run()
    return RolledBack(**{**done, "seconds": round(time.monotonic() - began, 3)})


def refuse_unfinished(folder: Path, target: str) -> None:
    """Refuse to write to a target, or to back it up, that a rollback has half put back.

    Args:
        folder: BACKUP_DIR.
        target: The target, as `target_location` gives it.

    Raises:
        MigrationError: A rollback was killed in between.
    """
    journal = _Journal.unfinished(folder, target)
    if journal is not None and journal.did(_PUTTING_BACK) and not journal.did(_PUT_BACK):
        raise MigrationError(
            f"The rollback of {target} is not complete",
            why=f"the one to {journal.backup.backup_id}, begun at {journal.begun_at}, was killed in between",
            remedy="Run `accounts-migration rollback` to its end first",
        )


def _is_history(journal: "_Journal", engine: Engine) -> bool:
    """Return whether somebody migrated anew over what a rollback had put back, whose service did not come up."""
    if not journal.did(_PUT_BACK):
        return False
    try:
        present = engine.present()
    except MigrationError:
        return False
    return (present.migrated if present else None) != journal.backup.figures.migrated


class _Rolling:
    """One rollback at work."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        engine: Engine,
        service: Service,
        journal: "_Journal",
        discard_changes: bool,
        tell: Tell,
    ) -> None:
        self._settings, self._url = settings, url
        self._engine, self._service, self._journal = engine, service, journal
        self._discard_changes, self._tell = discard_changes, tell
        self._backup = journal.backup
        self._return = journal.returned
        self._remarks: list[str] = []
        self._deed = MIGRATION.deed
        self._stopped_at = time.monotonic()

    def run(self) -> dict[str, Any]:
        try:
            if not self._journal.did(_PUTTING_BACK):
                self._make_ready()
                self._stop()
            elif not self._journal.did(_PUT_BACK):
                # somebody may have started it since the kill
                self._stop_service()
            if not self._journal.did(_PUT_BACK):
                self._put_back()
        except BaseException as error:  # whatever it is, the service must not stay stopped
            raise self._given_up(error) from error
        return self._bring_up()

    def _make_ready(self) -> None:
        """Prove the backup and refuse what would be lost: nothing is stopped or changed by then."""
        backup = self._backup
        self._tell(f"verifying the backup {backup.backup_id} of {backup.taken}: {backup}")
        refuse_changed(backup)
        if self._return.way == "in place":
            # nothing is restored beside the target, so it is restored to a scratch place
            verify_backup(backup, self._url, pg_dump=self._settings.pg_dump)
        self._remarks += self._engine.make_ready(self._return)
        if not self._discard_changes:
            self._tell("comparing the target with what its last migration or copy wrote")
            self._refuse_changes(self._changes(None))

    def _stop(self) -> None:
        self._stop_service()
        changes = Changes()
        if self._discard_changes or self._service.stop_command:
            # the service may have written until now
            self._tell("comparing the target with what its last migration or copy wrote, now that nobody writes")
            changes = self._changes(self._journal.folder if self._discard_changes else None)
        if not self._discard_changes:
            self._refuse_changes(changes)
        discarded = [*changes.lines, *changes.unproved]
        self._journal.note(_PUTTING_BACK, exported=[str(path) for path in changes.files], discarded=discarded)
        for line in discarded:
            self._tell(f"discarded: {line}")

    def _stop_service(self) -> None:
        self._stopped_at = time.monotonic()
        if self._journal.did(_STOPPING) and self._service.health_url and self._service.ask() is None:
            self._tell("the service is stopped already")
            return
        self._journal.note(_STOPPING)
        self._tell("stopping the service")
        self._tell(self._service.stop())

    def _put_back(self) -> None:
        self._tell("keeping the target aside and putting the backup in its place")
        kept = self._engine.put_back(self._return)
        self._note_done(_PUT_BACK, kept=kept)

    def _note_done(self, step: str, **facts: Any) -> None:
        """Note what cannot be undone any more: a full disk does not keep the service down."""
        try:
            self._journal.note(step, **facts)
        except OSError as error:
            self._remarks.append(f"the journal could not be written: {error.strerror}")

    def _bring_up(self) -> dict[str, Any]:
        backup, kept = self._backup, self._journal.kept
        stands = f"The target is rolled back to {backup.backup_id}, whole" + (f"; kept: {kept}" if kept else "")
        try:
            self._tell("starting the service")
            said = self._service.start()
            self._tell(said)
            if self._service.health_url:
                self._tell("waiting until the service is healthy")
            health = self._service.wait_until_healthy()
        except MigrationError as error:
            raise MigrationError(
                error.what, why=error.why, remedy=f"{stands}. {error.remedy}; or run the same command again"
            ) from error
        self._note_done(_ENDED)
        return {
            "backup": backup,
            "kept": kept,
            "folder": self._journal.folder,
            "exported": [Path(path) for path in self._journal.exported],
            "discarded": self._journal.discarded,
            "remarks": self._remarks,
            "service": said,
            "health": health,
            "out_of_service": round(time.monotonic() - self._stopped_at, 3),
        }

    def _changes(self, into: Path | None) -> Changes:
        """Return what was changed since then; a target that cannot be read is changed by definition."""
        try:
            present = self._engine.present()
            brought = brought_by_copies(self._url, present) if present else {}
        except MigrationError as error:
            return _unreadable(error)
        if present is None:
            return Changes()
        self._deed = present.migrated.deed if present.migrated else MIGRATION.deed
        backed_up = self._backup.figures
        if self._return.way == "in place":
            # what stands in other schemas stays
            backed_up, present = backed_up.here, present.here
        # they were just read for their figures: an export that fails is no damage, and stops the rollback
        others = find_changes_of_others(self._engine, brought, backed_up, present, into)
        try:
            return others + find_changes(self._url, self._settings, present, into)
        except MigrationError as error:
            return others + _unreadable(error)

    def _refuse_changes(self, changes: Changes) -> None:
        if not changes:
            return
        if changes.lines:
            what = f"Somebody has changed {self._engine.name} since the {self._deed}"
        else:
            what = f"Nobody can say whether {self._engine.name} was changed since the {self._deed}"
        raise MigrationError(
            what,
            why="; ".join([*changes.lines, *changes.unproved]),
            remedy="A rollback would lose this. Give --discard-changes to roll back all the same: added, changed and"
            " removed rows, and other tables whole, are written into files first, and the replaced target is kept",
        )

    def _given_up(self, error: BaseException) -> MigrationError:
        """Make the target what it was, start the service if it was stopped, and return the error that says so."""
        if isinstance(error, MigrationError):
            what, why, remedy = error.what, error.why, error.remedy
        elif isinstance(error, OSError):
            what, why = f"Cannot roll back {self._engine.name}", error.strerror or str(error)
            remedy = "Look at the disk and the rights of this user, then run again"
        elif isinstance(error, Exception):
            what, why = f"Cannot roll back {self._engine.name}", f"a fault of this program, {type(error).__name__}"
            remedy = "Please report it"
        else:
            what, why, remedy = "The rollback was stopped", "somebody asked for it, as Ctrl-C does", "Run it again"
        try:
            self._engine.undo(self._return)
        except (MigrationError, OSError) as fault:
            return MigrationError(
                what,
                why=f"{why}; and the target could not be made what it was: {fault}",
                remedy="The replaced target and the backup are both kept. Stop the service, mend this, then run the"
                " same command again: it goes on where it was",
            )
        state = "The target is as it was; the service was not touched"
        if self._journal.did(_STOPPING):
            state = f"The target is as it was; {_as_it_was(self._service)}"
        self._journal.forget()
        return MigrationError(what, why=why, remedy=f"{remedy}. {state}")


def _unreadable(error: MigrationError) -> Changes:
    return Changes(unproved=[f"the target cannot be read ({error.why}); it is kept aside as it is"])


def _as_it_was(service: Service) -> str:
    """Let the service run as it did before, and return what was done in a sentence."""
    if service.health_url and service.ask() is not None:
        return "the service runs as it did"
    try:
        said = service.start()
        service.wait_until_healthy()
    except MigrationError as error:
        return f"but start the service by hand: {error.what}, {error.why}"
    return said


def _chosen(engine: Engine, folder: Path, target: str, to: str | None) -> Backup:
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
    return backup


def _others(folder: Path, target: str) -> str:
    """Return of which other targets there are backups, since a URL may be spelled in two ways; and what is not ours."""
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        return "; it is another user's, and closed to this one"
    others = sorted({backup.target for backup in list_backups(folder)} - {target})
    closed = count_closed(folder)
    return (f"; there are backups of {', '.join(others[:3])}" if others else "") + (
        f"; {closed} backups there are another user's, and closed to this one" if closed else ""
    )


def _copy_of(backup: Backup) -> Copy:
    return Copy(backup.state, backup.path, backup.figures)


def _refuse_another(journal: "_Journal", to: str | None) -> None:
    if to is not None and Path(to).name != journal.backup.backup_id:
        raise UsageError(
            f"Cannot roll back to {to}",
            why=f"the rollback to {journal.backup.backup_id} that was begun at {journal.begun_at} is not complete",
            remedy="Run it to its end first: give no --to",
        )


class _Journal:
    """What a rollback has done, in a file: each step is on the disk before the next one begins."""

    def __init__(self, folder: Path, entries: dict[str, Any], backup: Backup) -> None:
        self.folder, self.backup, self._entries = folder, backup, entries

    @classmethod
    def begun(cls, backups: Path, backup: Backup, way: Way, unfinished: "_Journal | None") -> "_Journal":
        """Begin one; of an unfinished one that changed nothing yet it is known whether the service was stopped."""
        now = datetime.now(UTC)
        stamp = f"{now:%Y%m%dT%H%M%S%f}"
        folder = backups / f"{_PREFIX}{stamp}"
        steps = list(unfinished._entries["steps"]) if unfinished is not None else []
        entries = {
            "target": backup.target,
            "backup": backup.backup_id,
            "way": way,
            "stamp": stamp,
            "begun_at": now.replace(microsecond=0).isoformat(),
            "steps": steps,
            "kept": "",
            "exported": [],
            "discarded": [],
        }
        try:
            folder.mkdir(mode=0o700)
            journal = cls(folder, entries, backup)
            journal._write()
        except OSError as error:
            raise MigrationError(
                f"Cannot write the journal of the rollback into {backups}",
                why=error.strerror or str(error),
                remedy="Free disk space, or give this user the right to write there; nothing was changed",
            ) from error
        if unfinished is not None:
            unfinished.forget()
        return journal

    @classmethod
    def unfinished(cls, backups: Path, target: str) -> "_Journal | None":
        """Return the journal of the rollback of a target that did not end; None where there is none."""
        for path in sorted(backups.glob(f"{_PREFIX}*/{JOURNAL}"), reverse=True):
            with suppress(OSError, ValueError, KeyError, UsageError):
                entries = json.loads(path.read_text())
                if entries["target"] == target and _ENDED not in entries["steps"]:
                    return cls(path.parent, entries, find_backup(backups, target, entries["backup"]))
        return None

    @property
    def way(self) -> Way:
        way: Way = self._entries["way"]
        return way

    @property
    def returned(self) -> Return:
        return Return(_copy_of(self.backup), self.way, str(self._entries["stamp"]), self.folder)

    @property
    def begun_at(self) -> str:
        return str(self._entries["begun_at"])

    @property
    def kept(self) -> str:
        return str(self._entries["kept"])

    @property
    def exported(self) -> list[str]:
        return list(self._entries["exported"])

    @property
    def discarded(self) -> list[str]:
        # a program of an older version noted none
        return list(self._entries.get("discarded", []))

    def did(self, step: str) -> bool:
        return step in self._entries["steps"]

    def note(self, step: str, **facts: Any) -> None:
        self._entries["steps"].append(step)
        self._entries |= facts
        self._write()

    def forget(self) -> None:
        """Remove what is left of a rollback that changed nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self) -> None:
        write_whole(self.folder / JOURNAL, json.dumps(self._entries, indent=2))
