"""The journal of a rollback: what it has done, so that one that was killed goes on where it was.

Here: the file, what each entry says, and finding the journal of a rollback that did not end. Not here: the steps that
it tells of (`rollback`), and what follows from one that did not end for the next (`rollback_decision`).
"""

import json
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from accounts_migration.databases.copies.engine import Return, Way
from accounts_migration.databases.files import write_whole
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.backup import Backup, find_backup

_FILE = "rollback.json"
_PREFIX = "rollback-"

STOPPING, PUTTING_BACK, PUT_BACK, ENDED = "stopping the service", "putting back", "put back", "ended"
"""The steps: the first two are noted before they begin, the others when they are done."""


class Journal:
    """What a rollback has done, in a file: each step is on the disk before the next one begins."""

    def __init__(self, folder: Path, entries: dict[str, Any], backup: Backup) -> None:
        """Remember what stands in the file, and the backup that is put back; see `begun` and `unfinished`."""
        self.folder, self.backup, self._entries = folder, backup, entries

    @classmethod
    def begun(cls, backups: Path, backup: Backup, way: Way, unfinished: Self | None) -> Self:
        """Begin the journal of a rollback.

        Args:
            backups: BACKUP_DIR.
            backup: What is put back.
            way: How.
            unfinished: The journal of one that was begun before and changed nothing yet, which this one takes the place
                of: it tells whether the service was stopped.

        Raises:
            MigrationError: It cannot be written.
        """
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
            raise _unwritable(backups, error) from error
        if unfinished is not None:
            unfinished.forget()
        return journal

    @classmethod
    def unfinished(cls, backups: Path, target: str) -> Self | None:
        """Return the journal of the rollback of a target that did not end; None where there is none."""
        for path in sorted(backups.glob(f"{_PREFIX}*/{_FILE}"), reverse=True):
            with suppress(OSError, ValueError, KeyError, UsageError):
                entries = json.loads(path.read_text())
                if entries["target"] == target and ENDED not in entries["steps"]:
                    return cls(path.parent, entries, find_backup(backups, target, entries["backup"]))
        return None

    @property
    def returned(self) -> Return:
        """Return what is put back and how, as the engine wants to be told."""
        way: Way = self._entries["way"]
        return Return(self.backup.copy, way, str(self._entries["stamp"]), self.folder)

    @property
    def begun_at(self) -> str:
        """Return when it was begun: UTC, ISO 8601."""
        return str(self._entries["begun_at"])

    @property
    def kept(self) -> str:
        """Return where the replaced target is kept; empty as long as it stands, or where there was none."""
        return str(self._entries["kept"])

    @property
    def exported(self) -> list[str]:
        """Return the files of what was discarded."""
        return list(self._entries["exported"])

    @property
    def discarded(self) -> list[str]:
        """Return what was discarded, a sentence for each table."""
        # a program of an older version noted none
        return list(self._entries.get("discarded", []))

    def did(self, step: str) -> bool:
        """Return whether a step is noted."""
        return step in self._entries["steps"]

    def note(self, step: str, **facts: Any) -> None:
        """Write down a step, and what became known by it: `kept`, `exported` or `discarded`.

        Raises:
            OSError: It cannot be written.
        """
        self._entries["steps"].append(step)
        self._entries |= facts
        self._write()

    def forget(self) -> None:
        """Remove what is left of a rollback that changed nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self) -> None:
        write_whole(self.folder / _FILE, json.dumps(self._entries, indent=2))


def _unwritable(backups: Path, error: OSError) -> MigrationError:
    return MigrationError(
        f"Cannot write the journal of the rollback into {backups}",
        why=error.strerror or str(error),
        remedy="Free disk space, or give this user the right to write there; nothing was changed",
    )


def refuse_unfinished(folder: Path, target: str) -> None:
    """Refuse to write to a target, or to back it up, that a rollback has half put back.

    Args:
        folder: BACKUP_DIR.
        target: The target, as `target_location` gives it.

    Raises:
        MigrationError: A rollback was killed in between.
    """
    journal = Journal.unfinished(folder, target)
    if journal is not None and journal.did(PUTTING_BACK) and not journal.did(PUT_BACK):
        raise MigrationError(
            f"The rollback of {target} is not complete",
            why=f"the one to {journal.backup.backup_id}, begun at {journal.begun_at}, was killed in between",
            remedy="Run `accounts-migration rollback` to its end first",
        )
