"""The one consistent copy of the legacy database that everything is read from (contract section 2).

Here: taking it by SQLite's online backup, proving it whole, its manifest, finding it again. The folder of a snapshot is
written once and never changed. Not here: reading its rows (`accounts_migration.databases.legacy_source`).
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from accounts_migration.databases.files import fingerprint, write_whole
from accounts_migration.databases.legacy_source import (
    LegacyTable,
    Unmigrated,
    count_by_batch,
    dominant_classes,
    find_unmigrated,
    has_unique_key,
    key_is_row_id,
    open_read_only,
    refuse_incomplete_structure,
    refuse_unusable_file,
    row_id_name,
)
from accounts_migration.databases.partial_folders import partial_folder, put_in_place
from accounts_migration.errors import MigrationError

SNAPSHOT_FILE = "source_backup.db"
MANIFEST_FILE = "manifest.json"
_PARTIAL = ".partial-source-"

# what `integrity_check` says of values, not of the file's structure: dirty data is for the rules to judge
_DAMAGE_NAMED = 3
_ABOUT_VALUES = ("NULL value in", "CHECK constraint failed in", "TEXT value in", "NUMERIC value in")


_ABOUT_WRITING = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_FSYNC")


@dataclass(frozen=True, slots=True)
class TableManifest:
    """What the snapshot holds of one table: storage class of each column, rows by batch, the rowid's name.

    `unique_key` tells whether the source's own index keeps the values of the first column apart, `key_is_row_id`
    whether that column is the rowid itself.
    """

    row_id: str | None
    classes: dict[str, str]
    batches: dict[str, int]
    unique_key: bool = False
    key_is_row_id: bool = False

    @property
    def rows(self) -> int:
        """Return the number of source rows."""
        return sum(self.batches.values())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot and its manifest; `taken_at` is UTC in whole seconds and the migration's one time (contract 6)."""

    snapshot_id: str
    source: str
    folder: str
    sha256: str
    size: int
    taken_at: str
    seconds: float
    integrity: str
    tables: dict[str, TableManifest]
    unmigrated: list[Unmigrated]

    @property
    def path(self) -> Path:
        """Return the snapshot's database file."""
        return Path(self.folder) / SNAPSHOT_FILE

    @property
    def time(self) -> datetime:
        """Return `taken_at` as a naive UTC date-time, as the target holds it."""
        return datetime.fromisoformat(self.taken_at).replace(tzinfo=None)

    def write(self) -> None:
        """Write the manifest into the snapshot's folder, whole or not at all."""
        write_whole(Path(self.folder) / MANIFEST_FILE, json.dumps(asdict(self), indent=2))


Look = Literal["integrity_check", "quick_check"]

Contents = tuple[dict[str, TableManifest], list[Unmigrated]]
"""What the manifest says of the tables that are read, and what is left behind."""


def _as_found(contents: Contents) -> Contents:
    return contents


def read_manifest(folder: Path) -> Snapshot:
    """Return the snapshot that stands in a folder.

    Raises:
        MigrationError: There is no complete snapshot in it.
    """
    what = f"Cannot read the snapshot in {folder}"
    remedy = "Take a new one: materialize legacy/snapshot"
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_text())
        manifest["folder"] = str(folder)
        manifest["tables"] = {name: TableManifest(**table) for name, table in manifest["tables"].items()}
        manifest["unmigrated"] = [Unmigrated(**item) for item in manifest["unmigrated"]]
        snapshot = Snapshot(**manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MigrationError(what, why=f"no complete manifest ({type(error).__name__})", remedy=remedy) from error
    if not snapshot.path.is_file() or snapshot.path.stat().st_size != snapshot.size:
        raise MigrationError(what, why="its database file is missing or has another size", remedy=remedy)
    return snapshot


def find_snapshots(backup_dir: Path) -> Iterator[Snapshot]:
    """Yield the complete snapshots below the backup folder, newest first."""
    for manifest in sorted(backup_dir.glob(f"*/{MANIFEST_FILE}"), reverse=True):
        if manifest.parent.name.startswith(_PARTIAL):
            continue  # another process is writing it, and gives it its name at last
        try:
            yield read_manifest(manifest.parent)
        except MigrationError:
            continue  # a folder whose writing was cut off is no snapshot


def find_snapshot(backup_dir: Path, snapshot_id: str, sha256: str) -> Snapshot:
    """Return the snapshot of an id, whose file is still what it was.

    Args:
        backup_dir: The backup folder.
        snapshot_id: The snapshot's id.
        sha256: Its fingerprint, as the target recorded it.

    Raises:
        MigrationError: It is gone, or was changed.
    """
    what = f"Cannot read the snapshot {snapshot_id}"
    snapshot = next((one for one in find_snapshots(backup_dir) if one.snapshot_id == snapshot_id), None)
    if snapshot is None:
        raise MigrationError(
            what,
            why=f"it does not stand whole in {backup_dir}",
            remedy="Bring its folder back from your backup, or name in BACKUP_DIR the folder that holds it",
        )
    if fingerprint(snapshot.path) != sha256:
        raise MigrationError(
            what,
            why=f"{snapshot.path} was changed since: its sha256 is another than the target recorded",
            remedy="Bring the file back from your backup",
        )
    return snapshot


def take_snapshot(
    source: Path,
    backup_dir: Path,
    tables: Sequence[LegacyTable],
    amend: Callable[[Contents], Contents] = _as_found,
    look: Look = "integrity_check",
) -> Snapshot:
    """Copy a source database in one consistent state and prove the copy whole.

    An unchanged source gives the snapshot taken before: same id and same time, so that loading twice is loading once.

    Args:
        source: The SQLite file.
        backup_dir: Where the snapshot's folder goes.
        tables: The tables that are read from it.
        amend: Changes what the manifest says of the tables.
        look: By which pragma the copy is proved whole; see `refuse_damaged`.

    Raises:
        MigrationError: The source cannot be read, lacks a table or column, or is damaged; the folder cannot be written.
    """
    refuse_unusable_file(source)
    return write_snapshot(source.resolve(), backup_dir, tables, lambda path: _copy(source, path, tables), amend, look)


def write_snapshot(
    source: Path | str,
    backup_dir: Path,
    tables: Sequence[LegacyTable],
    fill: Callable[[Path], None],
    amend: Callable[[Contents], Contents] = _as_found,
    look: Look = "integrity_check",
) -> Snapshot:
    """Have the copy of a source written into a new folder, prove it whole, and describe it.

    Args:
        source: What the copy is named after: a path, or a URL without its password.
        backup_dir: Where the folder goes.
        tables: The tables that are read from it.
        fill: Writes the copy to a path, where nothing stands yet.
        amend: Changes what the manifest says of the tables.
        look: By which pragma the copy is proved whole; see `refuse_damaged`.

    Raises:
        MigrationError: The copy is damaged; the folder cannot be written.
    """
    started = datetime.now(UTC)
    with _new_folder(backup_dir) as folder:
        path = folder / SNAPSHOT_FILE
        fill(path)
        with ThreadPoolExecutor(max_workers=1) as beside:
            contents = beside.submit(_contents, path, source, tables)
            integrity = _check(path, source, look)
            sha256 = fingerprint(path)
            manifests, unmigrated = amend(contents.result())
        for earlier in find_snapshots(backup_dir):
            if earlier.sha256 == sha256 and earlier.source == str(source):
                return earlier
        # with microseconds: two sources may be copied in one second, and the newest has the last name
        snapshot_id = f"{started:%Y%m%dT%H%M%S.%fZ}-{sha256[:8]}"
        final = backup_dir / snapshot_id
        snapshot = Snapshot(
            snapshot_id=snapshot_id,
            source=str(source),
            folder=str(folder),
            sha256=sha256,
            size=path.stat().st_size,
            taken_at=started.replace(microsecond=0).isoformat(),
            seconds=round((datetime.now(UTC) - started).total_seconds(), 3),
            integrity=integrity,
            tables=manifests,
            unmigrated=unmigrated,
        )
        snapshot.write()
        put_in_place(folder, final)
    return read_manifest(final)


@contextmanager
def _new_folder(backup_dir: Path) -> Iterator[Path]:
    try:
        with partial_folder(backup_dir, _PARTIAL) as folder:
            yield folder
    except (OSError, sqlite3.OperationalError) as error:
        raise MigrationError(
            f"Cannot write the snapshot into {backup_dir}",
            why=str(error),
            remedy="Free disk space or name another folder in BACKUP_DIR, then run again",
        ) from error


def _copy(source: Path, path: Path, tables: Sequence[LegacyTable]) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with open_read_only(source) as origin:
        # a read transaction of our own: the copy is one state, and a locked source fails here instead of waiting for
        # ever
        origin.execute("BEGIN")
        refuse_incomplete_structure(origin, tables)
        with closing(sqlite3.connect(path)) as copy:
            copy.execute("PRAGMA synchronous = OFF")
            try:
                origin.backup(copy)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname in _ABOUT_WRITING:
                    raise OSError(str(error)) from error  # of the backup folder, not of the source
                raise
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _check(path: Path, source: Path | str, look: Look) -> str:
    """Return the verdict of the pragma.

    Raises:
        MigrationError: The structure of the file is damaged.
    """
    with open_read_only(path, immutable=True, copy_of=source) as connection:
        remarks = refuse_damaged(connection, source, look)
    return f"structure ok; {remarks:,} remarks on values" if remarks else "ok"


def refuse_damaged(connection: sqlite3.Connection, source: Path | str, look: Look) -> int:
    """Return the number of SQLite's remarks on values, which are for the rules to judge.

    Args:
        connection: The legacy database or its copy.
        source: The source database that a refusal names.
        look: The pragma; the quick one does not hold indexes against their tables.

    Raises:
        MigrationError: The structure of the file is damaged.
    """
    damage: list[str] = []
    remarks = 0
    # all lines: many remarks on values must not hide the damage that is told after them
    for (line,) in connection.execute(f"PRAGMA {look}({2**31 - 1})"):
        text = line.decode("utf-8", "replace")
        remarks += text != "ok"
        if text != "ok" and not text.startswith(_ABOUT_VALUES) and len(damage) < _DAMAGE_NAMED:
            damage.append(text)
    if damage:
        raise MigrationError(
            f"The source database {source} is damaged",
            why=f"{look} found: {'; '.join(damage)}",
            remedy="Restore it from a backup, or recover it with `sqlite3 FILE .recover` into a new file",
        )
    return remarks


def _contents(path: Path, source: Path | str, tables: Sequence[LegacyTable]) -> Contents:
    with open_read_only(path, immutable=True, copy_of=source) as connection:
        manifests = {table.name: _describe(connection, table) for table in tables}
        return manifests, find_unmigrated(connection, tables)


def _describe(connection: sqlite3.Connection, table: LegacyTable) -> TableManifest:
    return TableManifest(
        row_id=row_id_name(connection, table),
        classes=dominant_classes(connection, table),
        batches=count_by_batch(connection, table),
        unique_key=has_unique_key(connection, table),
        key_is_row_id=key_is_row_id(connection, table),
    )
