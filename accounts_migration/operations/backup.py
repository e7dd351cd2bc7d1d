"""Backups of the target: taken before the first write of a migration, proved by restoring them, found again.

Here: the folder of a backup and its manifest, which backup undoes a migration, and how long backups are kept (guide,
"Rollback Procedures" and "Post-Migration Tasks"). A backup is written aside and renamed when it is whole and proved;
its folder is never changed afterwards. Not here: how an engine copies itself (`accounts_migration.databases.copies`),
and putting a backup back (`accounts_migration.operations.rollback`).
"""

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from accounts_migration.databases.copies.engine import Copy, Engine, State
from accounts_migration.databases.copies.figures import Figures, Migrated, TableFigures
from accounts_migration.databases.copies.postgres import PostgresEngine
from accounts_migration.databases.copies.sqlite import SqliteEngine
from accounts_migration.databases.files import fingerprint, onto_disk, write_whole
from accounts_migration.databases.partial_folders import partial_folder, put_in_place
from accounts_migration.databases.target import target_location, target_path
from accounts_migration.errors import MigrationError, UsageError

MANIFEST = "backup.json"
_PREFIX, _PARTIAL = "target-", ".partial-target-"


@dataclass(frozen=True, slots=True)
class Backup:
    """A whole backup, as its manifest tells it.

    Args:
        folder: Where it stands; its name is the backup's id.
        taken_at: UTC, ISO 8601 with microseconds, so that it is before or after a load, never beside it.
        engine: `sqlite` or `postgresql`.
        target: Where the target is, without its password: an absolute path or the URL.
        state: What stood in the target: `nothing` (no file), `empty` (a database without a table) or `data`. Only
            `data` has a file; rolling back to the others gives an empty target again.
        file: The name of the file in the folder; empty where there is none.
        sha256: Of the file; empty where there is none.
        size: Of the file in bytes.
        figures: Rows and exact totals of every table, of the very state that the file holds.
        version: The engine's own version.
        restored: Whether it was proved by restoring it; False where it could only be read through.
        remark: Why it could not be restored.
        seconds: How long it took, with its proof.
    """

    folder: Path
    taken_at: str
    engine: Literal["sqlite", "postgresql"]
    target: str
    state: State
    file: str
    sha256: str
    size: int
    figures: Figures
    version: str
    restored: bool
    remark: str
    seconds: float

    @property
    def backup_id(self) -> str:
        """Return the name by which `--to` knows it."""
        return self.folder.name

    @property
    def taken(self) -> str:
        """Return `taken_at` as a person reads it, to the second."""
        return f"{self.taken_at[:19].replace('T', ' ')} UTC"

    @property
    def path(self) -> Path | None:
        """Return the file; None where nothing stood in the target."""
        return self.folder / self.file if self.file else None

    @property
    def copy(self) -> Copy:
        """Return what an engine puts back."""
        return Copy(self.state, self.path, self.figures)

    @property
    def rows(self) -> int:
        """Return the number of rows of all tables."""
        return sum(table.rows for table in self.figures.tables.values())

    def __str__(self) -> str:
        """Return what it holds, in a few words."""
        if self.state == "nothing":
            return "nothing stood there"
        if self.state == "empty":
            return "the target was empty"
        return f"{len(self.figures.tables)} tables, {self.rows:,} rows, {self.size:,} bytes"


def engine_of(url: str, pg_dump: Path | None = None) -> Engine:
    """Return the side of backup and rollback that fits the target; nothing is opened.

    Raises:
        UsageError: The path or URL is wrong.
    """
    path = target_path(url)
    return PostgresEngine(url, pg_dump) if path is None else SqliteEngine(path)


def take_backup(url: str, folder: Path, *, pg_dump: Path | None = None) -> Backup:
    """Copy the target in one consistent state into a new folder, prove the copy by restoring it, and return it.

    A target that does not exist or holds no table gives a backup that says so, in a few milliseconds. Whoever writes to
    the target meanwhile is not disturbed.

    Args:
        url: The target.
        folder: BACKUP_DIR.
        pg_dump: The setting PG_DUMP.

    Raises:
        UsageError: The URL, or PG_DUMP, cannot be used.
        MigrationError: The target cannot be read, the folder cannot be written, there is no pg_dump of the server's
            version, or what was restored is not what was copied. No backup is left behind then.
    """
    engine, location = engine_of(url, pg_dump), target_location(url)
    began, started = time.monotonic(), datetime.now(UTC)
    with _writing(folder, engine.name), partial_folder(folder, _PARTIAL) as partial:
        _delete_dying(folder)
        dump = engine.dump(partial)
        rehearsal = engine.rehearse(dump.file, partial) if dump.file else None
        if rehearsal is not None:
            _refuse_different(engine.name, dump.figures, rehearsal.figures, rows_alone=not rehearsal.restored)
        backup = Backup(
            folder=folder / f"{_PREFIX}{started:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}",
            taken_at=started.isoformat(timespec="microseconds"),
            engine=engine.kind,
            target=location,
            state=dump.state,
            file=dump.file.name if dump.file else "",
            sha256=fingerprint(dump.file) if dump.file else "",
            size=dump.file.stat().st_size if dump.file else 0,
            figures=dump.figures,
            version=dump.version,
            restored=rehearsal is None or rehearsal.restored,
            remark=rehearsal.remark if rehearsal else "",
            seconds=round(time.monotonic() - began, 3),
        )
        if dump.file:
            onto_disk(dump.file)
        write_whole(partial / MANIFEST, json.dumps({**asdict(backup), "folder": backup.backup_id}, indent=2))
        put_in_place(partial, backup.folder)
        onto_disk(folder)
    return backup


def verify_backup(backup: Backup, url: str, *, pg_dump: Path | None = None) -> Backup:
    """Prove a backup anew: its file is what was written, and restoring it gives what was counted.

    Args:
        backup: The backup.
        url: The target that it is of; a PostgreSQL server has the scratch database.
        pg_dump: The setting PG_DUMP.

    Returns:
        The backup; `restored` and `remark` tell how it was proved this time, `seconds` how long that took.

    Raises:
        MigrationError: The file is missing or was changed, cannot be restored, or gives other rows or totals.
    """
    began = time.monotonic()
    refuse_changed(backup)
    if backup.path is None:
        return replace(backup, seconds=round(time.monotonic() - began, 3))
    engine = engine_of(url, pg_dump)
    with _writing(backup.folder.parent, engine.name), partial_folder(backup.folder.parent, _PARTIAL) as partial:
        rehearsal = engine.rehearse(backup.path, partial)
    _refuse_different(engine.name, backup.figures, rehearsal.figures, rows_alone=not rehearsal.restored)
    seconds = round(time.monotonic() - began, 3)
    return replace(backup, restored=rehearsal.restored, remark=rehearsal.remark, seconds=seconds)


def refuse_changed(backup: Backup) -> None:
    """Raise MigrationError where the file of a backup is not the one that was written."""
    if backup.path is None:
        return
    try:
        changed = fingerprint(backup.path) != backup.sha256
        why = f"{backup.path} was changed since: its sha256 is not the one of the manifest"
    except OSError as error:
        changed, why = True, f"{backup.path}: {error.strerror}"
    if changed:
        raise MigrationError(
            f"Cannot use the backup {backup.backup_id}",
            why=why,
            remedy="Bring its folder back from your own copies, or name another backup with --to",
        )


def list_backups(folder: Path, target: str | None = None) -> list[Backup]:
    """Return the whole backups in BACKUP_DIR, newest first; a folder that is none is passed over.

    Args:
        folder: BACKUP_DIR.
        target: Only those of this target, as `target_location` gives it; None returns all.
    """
    manifests = sorted(folder.glob(f"{_PREFIX}*/{MANIFEST}"), reverse=True)
    found = (_read(path.parent) for path in manifests)
    return [backup for backup in found if backup is not None and target in (None, backup.target)]


def count_closed(folder: Path) -> int:
    """Return how many backups in BACKUP_DIR this user may not read: another user took them."""
    return sum(not os.access(path, os.R_OK | os.X_OK) for path in folder.glob(f"{_PREFIX}*"))


def backup_before(backups: list[Backup], migrated: Migrated | None) -> Backup | None:
    """Return the newest backup from before a migration, however often it was begun again since.

    Args:
        backups: Those of the target, newest first.
        migrated: The migration that the target holds; None before any.

    Returns:
        The newest backup that was taken before its first batch was loaded and holds no batch of it; None where there is
        none. Before any migration it is the newest of all.
    """
    if migrated is None:
        return next(iter(backups), None)
    since = datetime.fromisoformat(migrated.since).replace(tzinfo=UTC)
    older = (one for one in backups if datetime.fromisoformat(one.taken_at) <= since)
    return next((one for one in older if not migrated.is_same(one.figures.migrated)), None)


def find_backup(folder: Path, target: str, name: str) -> Backup:
    """Return the backup of a target by its id, or by the path of its folder.

    Raises:
        UsageError: There is no whole backup of that name, or it is one of another target.
    """
    place = Path(name) if "/" in name else folder / name
    backup = _read(place.resolve()) if (place / MANIFEST).is_file() else None
    if backup is None or backup.target != target:
        raise UsageError(
            f"There is no backup {name} of {target}",
            why="it is no whole backup" if backup is None else f"it is a backup of {backup.target}",
            remedy="Name one of those that `accounts-migration backup --list` shows",
        )
    return backup


def forget_old_backups(folder: Path, target: str, days: int, now: datetime) -> list[Backup]:
    """Delete the backups of a target that are older than some days, and return them.

    Kept in any case: the newest one, the newest one that holds rows, the one that undoes what that holds (see
    `backup_before`), backups of other targets, and whatever is no whole backup of ours.

    Raises:
        MigrationError: One cannot be deleted.
    """
    backups = list_backups(folder, target)
    if not backups:
        return []
    good = next((one for one in backups if one.state == "data"), backups[0])
    kept = [backups[0], good, backup_before(backups, good.figures.migrated)]
    limit = now - timedelta(days=days)
    old = [one for one in backups if datetime.fromisoformat(one.taken_at) < limit and one not in kept]
    with _writing(folder, target):
        for backup in old:
            # renamed first: half a backup must not look whole
            dying = folder / f"{_PARTIAL}{backup.backup_id}"
            backup.folder.rename(dying)
            shutil.rmtree(dying)
    return old


def _read(folder: Path) -> Backup | None:
    """Return the backup in a folder; None where there is no whole one."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        figures = manifest["figures"]
        tables = {name: TableFigures(**one) for name, one in figures["tables"].items()}
        migrated = Migrated(**figures["migrated"]) if figures["migrated"] else None
        backup = Backup(**{**manifest, "folder": folder, "figures": Figures(tables, migrated)})
        if backup.path is not None and backup.path.stat().st_size != backup.size:
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return backup


def _refuse_different(name: str, expected: Figures, found: Figures, *, rows_alone: bool) -> None:
    differences = expected.differences(found, rows_alone=rows_alone)
    if differences:
        raise MigrationError(
            f"The backup of {name} is not good",
            why=f"restored, it is not what was copied: {'; '.join(differences[:3])}",
            remedy="Take it again; if it happens again, look at the disk",
        )


@contextmanager
def _writing(folder: Path, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise MigrationError(
            f"Cannot write a backup of {name} into {folder}",
            why=error.strerror or str(error),
            remedy="Free disk space, then run again"
            if full
            else "Free disk space, or name a folder that this user may write to in BACKUP_DIR; then run again",
        ) from error


def _delete_dying(folder: Path) -> None:
    """Delete what a process left that was killed while it deleted an old backup."""
    for dying in folder.glob(f"{_PARTIAL}{_PREFIX}*"):
        shutil.rmtree(dying, ignore_errors=True)
