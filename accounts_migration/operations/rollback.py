"""Rolling back: a proved backup takes the place of the target, and the service comes up on it (guide, "Rollback").

Here: the order of the steps, and what is true when one fails: the service runs on the old good data, or as it ran
before, and the message says which. Not here: whether one may roll back, and to what (`rollback_decision`), the journal
by which a killed rollback goes on (`rollback_journal`), how an engine puts a copy back
(`accounts_migration.databases.copies`), and the service (`service`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accounts_migration.databases.copies.engine import Engine
from accounts_migration.databases.target import target_location
from accounts_migration.errors import MigrationError
from accounts_migration.operations.backup import Backup, engine_of, refuse_changed, verify_backup
from accounts_migration.operations.changes import Changes
from accounts_migration.operations.rollback_decision import (
    changes_to_discard,
    choose_backup,
    is_history,
    refuse_another_backup,
)
from accounts_migration.operations.rollback_journal import ENDED, PUT_BACK, PUTTING_BACK, STOPPING, Journal
from accounts_migration.operations.service import Health, Service
from accounts_migration.settings import Settings

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
        journal = Journal.unfinished(settings.backups, target_location(url))
        if journal is not None and is_history(journal, engine):
            journal.note(ENDED)
            journal = None
        if journal is None or not journal.did(PUTTING_BACK):
            if journal is not None:
                engine.undo(journal.returned)
            backup = choose_backup(engine, settings.backups, target_location(url), to)
            journal = Journal.begun(settings.backups, backup, engine.way(backup.copy), journal)
        else:
            tell(f"going on with the rollback to {journal.backup.backup_id} that was begun at {journal.begun_at}")
            refuse_another_backup(journal, to)
        rolling = _Rolling(settings, url, engine, service, journal, discard_changes, tell)
        done = rolling.run()
    return replace(done, seconds=round(time.monotonic() - began, 3))


class _Rolling:
    """One rollback at work."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        engine: Engine,
        service: Service,
        journal: Journal,
        discard_changes: bool,
        tell: Tell,
    ) -> None:
        self._settings, self._url = settings, url
        self._engine, self._service, self._journal = engine, service, journal
        self._discard_changes, self._tell = discard_changes, tell
        self._backup = journal.backup
        self._return = journal.returned
        self._remarks: list[str] = []
        self._stopped_at = time.monotonic()

    def run(self) -> RolledBack:
        try:
            if not self._journal.did(PUTTING_BACK):
                self._make_ready()
                self._stop()
            elif not self._journal.did(PUT_BACK):
                # somebody may have started it since the kill
                self._stop_service()
            if not self._journal.did(PUT_BACK):
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
            self._changes_to_discard(None)

    def _stop(self) -> None:
        self._stop_service()
        changes = Changes()
        if self._discard_changes or self._service.stop_command:
            # the service may have written until now
            self._tell("comparing the target with what its last migration or copy wrote, now that nobody writes")
            changes = self._changes_to_discard(self._journal.folder if self._discard_changes else None)
        discarded = [*changes.lines, *changes.unproved]
        self._journal.note(PUTTING_BACK, exported=[str(path) for path in changes.files], discarded=discarded)
        for line in discarded:
            self._tell(f"discarded: {line}")

    def _stop_service(self) -> None:
        self._stopped_at = time.monotonic()
        if self._journal.did(STOPPING) and self._service.health_url and self._service.ask() is None:
            self._tell("the service is stopped already")
            return
        self._journal.note(STOPPING)
        self._tell("stopping the service")
        self._tell(self._service.stop())

    def _put_back(self) -> None:
        self._tell("keeping the target aside and putting the backup in its place")
        kept = self._engine.put_back(self._return)
        self._note_done(PUT_BACK, kept=kept)

    def _note_done(self, step: str, **facts: Any) -> None:
        """Note what cannot be undone any more: a full disk does not keep the service down."""
        try:
            self._journal.note(step, **facts)
        except OSError as error:
            self._remarks.append(f"the journal could not be written: {error.strerror}")

    def _bring_up(self) -> RolledBack:
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
        self._note_done(ENDED)
        return RolledBack(
            backup,
            kept,
            self._journal.folder,
            exported=[Path(path) for path in self._journal.exported],
            discarded=self._journal.discarded,
            remarks=self._remarks,
            service=said,
            health=health,
            out_of_service=round(time.monotonic() - self._stopped_at, 3),
        )

    def _changes_to_discard(self, into: Path | None) -> Changes:
        """Return them, written into files; refuse them where there is no folder to write them into."""
        return changes_to_discard(self._engine, self._url, self._settings, self._backup, self._return.way, into)

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
        if self._journal.did(STOPPING):
            state = f"The target is as it was; {_as_it_was(self._service)}"
        self._journal.forget()
        return MigrationError(what, why=why, remedy=f"{remedy}. {state}")


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
