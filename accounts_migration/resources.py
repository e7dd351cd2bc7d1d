"""Resources: the legacy database, the target and the policies as the assets see them.

Here: what hides where the source and the target are, and whether the target is SQLite or PostgreSQL. Not here: settings
(`accounts_migration.settings`), SQL (`accounts_migration.databases`). They are plain objects, not configurable ones: a
configured value would show in the UI, and a target's address may hold a password.
"""

import contextlib
import copy
import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Self

from accounts_migration.databases.bookkeeping import Snapshot as RecordedSnapshot
from accounts_migration.databases.books import COPY, MIGRATION, Books
from accounts_migration.databases.files import resolved, write_whole
from accounts_migration.databases.legacy_source import LegacyTable
from accounts_migration.databases.other_tables import Origin
from accounts_migration.databases.platform_snapshot import KeptState, take_platform_snapshot
from accounts_migration.databases.snapshot import Snapshot, find_snapshot, read_manifest, take_snapshot
from accounts_migration.databases.target import Target, open_target, target_location, target_path
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.backup import Backup, forget_old_backups, list_backups, take_backup
from accounts_migration.operations.rollback import RolledBack, Tell, rollback
from accounts_migration.operations.rollback_journal import refuse_unfinished
from accounts_migration.settings import Settings


def legacy_table(entity: Entity) -> LegacyTable:
    """Return the legacy table that an entity is read from."""
    return LegacyTable(entity.legacy_table, entity.legacy_columns, entity.batch_column)


LEGACY_TABLES = [legacy_table(entity) for entity in ENTITIES.values()]


class SourceResource(ABC):
    """A source database and its present snapshot: the one taken last, which the next run reads.

    A run has one of its own, which stays the same (`read_by_run`).
    """

    asset = ""
    """The asset that takes the snapshot."""

    def __init__(self, backups: Path, home: Path | None, *, as_of: datetime | None = None) -> None:
        """Remember where its snapshots go.

        Args:
            backups: BACKUP_DIR.
            home: Where the present snapshot is remembered; None where none is to become the present one.
            as_of: The time (UTC) that stands for the snapshot's own; for comparing with what was loaded then.
        """
        self._as_of = as_of
        self._backups = backups
        self._home = home
        self._read: Path | None = None
        self._record: Callable[[Path], None] | None = None

    @property
    def is_verification(self) -> bool:
        """Return whether the source is read to be compared, not to be loaded."""
        return self._as_of is not None

    @property
    @abstractmethod
    def location(self) -> str:
        """Return where the source is, without its password, alike from every folder.

        Raises:
            UsageError: None is set.
        """

    @abstractmethod
    def _taken(self) -> Snapshot:
        """Take a snapshot."""

    def refuse_unnamed(self) -> None:
        """Raise UsageError where no source is set: before a run is launched, not within it."""
        _ = self.location

    def read_by_run(self, folder: Path | None, record: Callable[[Path], None]) -> Self:
        """Return this source as a run reads it: the snapshot in the folder until the run takes one, then that.

        Args:
            folder: The folder of a snapshot; None where there is none yet.
            record: Called with the folder of the snapshot that the run takes.
        """
        read = copy.copy(self)
        read._read, read._record = folder, record
        return read

    def take_snapshot(self) -> Snapshot:
        """Take a snapshot and make it the present one, and the one that the run reads.

        Raises:
            MigrationError: The source cannot be read, or a folder cannot be written.
        """
        snapshot = self._taken()
        folder = Path(snapshot.folder).resolve()
        if self._home is not None:
            self._remember(folder, self._pointer(self._home))
        if self._record is not None and folder != self._read:
            self._read = folder
            self._record(folder)
        return snapshot

    def _pointer(self, home: Path) -> Path:
        name = hashlib.sha256(self.location.encode()).hexdigest()[:16]
        return home / "snapshots" / f"{name}.json"

    def _remember(self, folder: Path, pointer: Path) -> None:
        try:
            pointer.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(pointer, json.dumps({"folder": str(folder)}))
        except OSError as error:
            raise MigrationError(
                f"Cannot remember the snapshot in {pointer.parent}",
                why=str(error.strerror),
                remedy="Free disk space, or name in MIGRATION_HOME a folder that this user may write to",
            ) from error

    def present_folder(self) -> Path:
        """Return the folder of the present snapshot.

        Raises:
            MigrationError: None was taken yet.
        """
        try:
            if self._home is None:
                raise ValueError("none is present")
            return Path(json.loads(self._pointer(self._home).read_text())["folder"])
        except (OSError, ValueError, KeyError) as error:
            raise MigrationError(
                f"There is no snapshot of {self.location}",
                why="none was taken yet",
                remedy=f"Materialize {self.asset} first",
            ) from error

    def snapshot(self) -> Snapshot:
        """Return the snapshot that the run reads; outside of runs the present one.

        Raises:
            MigrationError: None was taken yet, or it does not stand whole any more.
        """
        return self.in_folder(self._read or self.present_folder())

    def in_folder(self, folder: Path) -> Snapshot:
        """Return the snapshot that stands in a folder.

        Raises:
            MigrationError: None stands there whole.
        """
        snapshot = read_manifest(folder)
        return snapshot if self._as_of is None else dataclasses.replace(snapshot, taken_at=self._as_of.isoformat())

    def snapshot_of(self, recorded: RecordedSnapshot) -> Snapshot:
        """Return the snapshot that a target names.

        Raises:
            MigrationError: It is gone from BACKUP_DIR, or was changed.
        """
        return find_snapshot(self._backups, recorded.snapshot_id, recorded.sha256)


class LegacyResource(SourceResource):
    """The legacy database."""

    asset = "legacy/snapshot"

    def __init__(self, source: Path | None, backups: Path, home: Path | None, *, as_of: datetime | None = None) -> None:
        """Remember the legacy file; see `SourceResource`."""
        super().__init__(backups, home, as_of=as_of)
        self._source = source

    @property
    def source(self) -> Path:
        """Return the path of the legacy file.

        Raises:
            UsageError: None is set.
        """
        if self._source is None:
            raise UsageError(
                "No legacy database is named",
                why="SOURCE_DB is not set",
                remedy="Set SOURCE_DB, or name SOURCE",
            )
        return self._source

    @property
    def location(self) -> str:
        """Return the absolute path."""
        return str(resolved(self.source))

    def _taken(self) -> Snapshot:
        return take_snapshot(self.source, self._backups, LEGACY_TABLES)


class PlatformResource(SourceResource):
    """The Account Processing System that is copied to another database."""

    asset = "platform/snapshot"

    def __init__(self, url: str | None, backups: Path, home: Path) -> None:
        """Remember the address; nothing is opened yet. The present snapshot is remembered apart from legacy ones."""
        super().__init__(backups, home / "copies")
        self._url = url
        self._state = KeptState()

    @property
    def is_named(self) -> bool:
        """Return whether a database to copy is set."""
        return bool(self._url)

    @property
    def url(self) -> str:
        """Return the address as it was given; it may hold a password.

        Raises:
            UsageError: None is set.
        """
        if not self._url:
            raise UsageError(
                "No database to copy is named", why="COPY_FROM is not set", remedy="Set COPY_FROM, or name FROM"
            )
        return self._url

    @property
    def location(self) -> str:
        """Return the absolute path, or the URL without its password."""
        return target_location(self.url)

    def origin(self) -> Origin:
        """Return where further tables are read: in PostgreSQL in the state of the snapshot that this process took.

        Raises:
            MigrationError: No snapshot was taken yet.
        """
        if target_path(self.url) is not None:
            return Origin(self.snapshot().path)
        return Origin(self.url, self._state.exported)

    def _taken(self) -> Snapshot:
        self.close()
        snapshot, state = take_platform_snapshot(self.url, self._backups)
        # one for all runs of this process: further tables are read by a later run than the one that took the snapshot
        self._state.take_over(state)
        return snapshot

    def close(self) -> None:
        """Let go of the state that was kept for further tables."""
        self._state.close()


class TargetResource:
    """The target database; whether it is SQLite or PostgreSQL shows in its URL alone."""

    def __init__(self, url: str | None, books: Books = MIGRATION) -> None:
        """Remember the address, and in which books loads are recorded; nothing is opened yet."""
        self._url = url
        self._books = books

    @property
    def url(self) -> str:
        """Return the address as it was given; it may hold a password.

        Raises:
            UsageError: None is set.
        """
        if not self._url:
            setting, word = ("COPY_TO", "TO") if self._books is COPY else ("TARGET_DB", "TARGET")
            raise UsageError("No target is named", why=f"{setting} is not set", remedy=f"Set {setting}, or name {word}")
        return self._url

    @contextlib.contextmanager
    def open(self) -> Iterator[Target]:
        """Open the target.

        Raises:
            MigrationError: None is set, it cannot be reached, or it is at another version of the schema.
        """
        with open_target(self.url, self._books) as target:
            target.refuse_other_version()
            yield target

    @property
    def location(self) -> str | None:
        """Return where the target is, without its password, alike from every folder; None where none is set."""
        return target_location(self._url) if self._url else None


class BackupResource:
    """The backups of the target in BACKUP_DIR."""

    def __init__(self, target: TargetResource, folder: Path, pg_dump: Path | None, retention_days: int) -> None:
        """Remember where the target is and where its backups go.

        Args:
            target: The target.
            folder: BACKUP_DIR.
            pg_dump: PG_DUMP.
            retention_days: BACKUP_RETENTION_DAYS.
        """
        self._target = target
        self._folder = folder
        self._pg_dump = pg_dump
        self.retention_days = retention_days

    def take(self) -> Backup:
        """Take and prove a backup; see `operations.backup.take_backup`. Refused while a rollback is not complete."""
        refuse_unfinished(self._folder, target_location(self._target.url))
        return take_backup(self._target.url, self._folder, pg_dump=self._pg_dump)

    def take_first(self) -> Backup | None:
        """Take a backup where there is none of this target yet; None where there is one. Refused like `take`."""
        refuse_unfinished(self._folder, target_location(self._target.url))
        return None if self.all() else self.take()

    def all(self) -> list[Backup]:
        """Return the backups of the target, newest first."""
        return list_backups(self._folder, target_location(self._target.url))

    def forget_old(self, now: datetime) -> list[Backup]:
        """Delete the backups that are too old and return them; see `operations.backup.forget_old_backups`."""
        return forget_old_backups(self._folder, target_location(self._target.url), self.retention_days, now)


class RollbackResource:
    """The way back: everything that a rollback of the target needs to know."""

    def __init__(self, target: TargetResource, settings: Settings) -> None:
        """Remember where the target is, and the settings of its backups and of the service."""
        self._target = target
        self._settings = settings

    @property
    def location(self) -> str:
        """Return where the target is, without its password."""
        return target_location(self._target.url)

    def run(self, to: str | None, *, discard_changes: bool, tell: Tell) -> RolledBack:
        """Roll the target back; see `operations.rollback.rollback`."""
        return rollback(self._settings, self._target.url, to=to, discard_changes=discard_changes, tell=tell)


def recorded_snapshot(database: Target, purpose: str) -> RecordedSnapshot:
    """Return the snapshot that the target was loaded from last.

    Args:
        database: The target.
        purpose: What it is wanted for, a verb.

    Raises:
        MigrationError: Nothing was migrated, or copied, into it, or `Target.examine` refuses it.
    """
    recorded = database.latest_snapshot() if database.has_books() else None
    if recorded is None:
        raise nothing_recorded(database, purpose)
    database.examine()
    return recorded


def as_recorded(snapshot: Snapshot) -> RecordedSnapshot:
    """Return what a target's books say of a snapshot."""
    return RecordedSnapshot(snapshot.snapshot_id, snapshot.source, snapshot.sha256, snapshot.time)


def recorded_policies(database: Target) -> Policies:
    """Return the policies under which the target was loaded last; something was migrated, or copied, into it."""
    latest = max(database.recorded_batches(), key=lambda record: record.loaded_at)
    return Policies.model_validate_json(latest.policies)


def nothing_recorded(database: Target, purpose: str) -> MigrationError:
    """Return the error that nothing was migrated, or copied, into a target; `purpose` is as for `recorded_snapshot`."""
    return MigrationError(
        f"Cannot {purpose} {database.name}",
        why=f"no {database.books.deed} has been recorded in it",
        remedy=f"{database.books.verb.capitalize()} into it first, or name the right target",
    )
