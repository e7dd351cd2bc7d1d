"""What somebody has changed in the target since the migration, or the copy, ended: a rollback would lose it.

Here: finding it, and writing it into files. The rows that it wrote stand in staging; each batch that the target
recorded names by its digest which staged rows they are. A table that is none of ours is held against the backup, and
exported whole. Not here: the comparison of rows (`accounts_migration.reconciliation.content`), and what follows from a
change (`rollback_decision`).
"""

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pyarrow as pa
from pyarrow import csv
from upath import UPath

from accounts_migration.assets.links import cleaned_key
from accounts_migration.databases.bookkeeping import RecordedBatch
from accounts_migration.databases.books import COPY, FAMILIES, MIGRATION
from accounts_migration.databases.copies.engine import Engine
from accounts_migration.databases.copies.figures import Figures
from accounts_migration.databases.other_tables import stands_as_brought
from accounts_migration.databases.postgres_rows import encode, stored_type
from accounts_migration.databases.target import Target, open_target
from accounts_migration.databases.target_schema import TABLES, kind_of
from accounts_migration.entities import ENTITIES, PLATFORM_ENTITIES, Entity
from accounts_migration.errors import MigrationError
from accounts_migration.reconciliation.content import DIFFERENT, MISSING, UNEXPECTED
from accounts_migration.reconciliation.target_content import compare_rows
from accounts_migration.reconciliation.target_totals import counts_and_totals
from accounts_migration.settings import Settings
from accounts_migration.staging import Staged

_PRESENT = "present"
_NAMES = {UNEXPECTED: "added", DIFFERENT: "changed", MISSING: "removed", _PRESENT: "present"}
_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_MOST_LETTERS = 60
_MOST_NAMED = 3
_CSV = csv.WriteOptions(include_header=False, quoting_style="all_valid")


@dataclass
class Changes:
    """What was found.

    Args:
        lines: What is changed for certain, a sentence for each table.
        unproved: What may be changed: of the rows that the migration wrote, only number and totals are known any more.
        files: What was written of it.
    """

    lines: list[str] = field(default_factory=list)
    unproved: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def __add__(self, other: "Changes") -> "Changes":
        """Return both."""
        return Changes(self.lines + other.lines, self.unproved + other.unproved, self.files + other.files)

    def __bool__(self) -> bool:
        """Return whether something is, or may be, changed."""
        return bool(self.lines or self.unproved)


def find_changes_of_others(
    engine: Engine, url: str, brought: Mapping[str, int], backed_up: Figures, present: Figures, into: Path | None
) -> Changes:
    """Compare the tables that are none of ours with the backup.

    One that a copy brought since is another by right: it is no change while it stands as it was brought. Where its rows
    come in another order than then, nobody can say whether somebody has changed them.

    Args:
        engine: The target.
        url: The same.
        brought: Table -> rows, of those that copies brought; see `brought_by_copies`.
        backed_up: What stands in the backup.
        present: What stands in the target now.
        into: A folder for a file of each table that was changed or is new, whole; None writes none.

    Raises:
        MigrationError: A table cannot be read.
        OSError: A file cannot be written.
    """
    changes = Changes()
    differences = Figures(dict(backed_up.others)).by_table(Figures(dict(present.others)))
    as_many = {
        name for name in differences if name in present.tables and present.tables[name].rows == brought.get(name)
    }
    unchanged = _standing_as_brought(as_many, url)
    changed = {name: difference for name, difference in differences.items() if name not in unchanged}
    for number, (table, difference) in enumerate(changed.items(), 1):
        line = f"{difference} (none of the migration's tables)"
        if table not in present.tables:
            rows = backed_up.tables[table].rows
            line += f": it was dropped since the backup, which holds it with {rows:,} rows"
        elif into is not None:
            path = into / _file_name(number, table)
            engine.export(table, path)
            changes.files.append(path)
            line += f": exported whole, {present.tables[table].rows:,} rows in {path.name}"
        if table in as_many:
            line += "; a copy brought it with as many rows, and they are others now, or stand in another order"
        (changes.unproved if table in as_many else changes.lines).append(line)
    return changes


def _standing_as_brought(tables: Collection[str], url: str) -> set[str]:
    if not tables:
        return set()
    found = set()
    with open_target(url, COPY) as target:
        for table in sorted(tables):
            # its columns may be of other types by now
            with suppress(MigrationError):
                if stands_as_brought(table, target):
                    found.add(table)
    return found


def brought_by_copies(url: str, present: Figures) -> dict[str, int]:
    """Return the other tables that copies have brought into the target, and with how many rows.

    Raises:
        MigrationError: The target cannot be read.
    """
    if COPY.batch not in present.tables:
        return {}
    with open_target(url, COPY) as target:
        return {record.entity: record.loaded for record in target.recorded_batches() if record.entity not in TABLES}


def _file_name(number: int, table: str) -> str:
    """Return a name that every file system takes; its number tells apart what looks alike then."""
    return f"other-{number}-{_NOT_IN_FILE_NAMES.sub('_', table)[:_MOST_LETTERS]}.csv"


def find_changes(url: str, settings: Settings, present: Figures, into: Path | None) -> Changes:
    """Compare the tables of ours with what the migration wrote, or the copy where that is what the target holds.

    Args:
        url: The target.
        settings: Where staging is.
        present: What stands in the target now.
        into: A folder for files of the rows that were added, changed and removed; None writes none.

    Raises:
        MigrationError: The target cannot be read.
        OSError: A file cannot be written.
    """
    changes = Changes()
    books = FAMILIES[present.migrated.deed] if present.migrated else MIGRATION
    with open_target(url, books) as target:
        recorded = target.recorded_batches() if books.batch in present.tables else []
        for entity in (PLATFORM_ENTITIES if books is COPY else ENTITIES).values():
            records = [record for record in recorded if record.entity == entity.name]
            if entity.name in present.tables:
                _compare(changes, entity, records, target, settings, into)
            elif any(record.loaded for record in records):
                changes.lines.append(f"table {entity.name} is gone")
    return changes


def _compare(
    changes: Changes,
    entity: Entity,
    records: list[RecordedBatch],
    target: Target,
    settings: Settings,
    into: Path | None,
) -> None:
    staged = [_staged(entity, record, settings) for record in records]
    if all(staged):
        with ExitStack() as stack:
            writer = _RowWriter(entity, into, stack)
            compare_rows(entity, _rows(filter(None, staged)), target, writer.take)
        changes.files += writer.files
        if writer.rows:
            found = ", ".join(f"{rows:,} rows {name}" for name, rows in sorted(writer.rows.items()))
            changes.lines.append(f"table {entity.name}: {found}")
    elif wrong := _totals_that_differ(entity, records, target):
        changes.lines.append(f"table {entity.name}: rows or totals of {', '.join(wrong[:_MOST_NAMED])} are others")
        if into is not None:
            changes.files += _exported(entity, wrong, target, into)
    else:
        changes.unproved.append(
            f"table {entity.name}: its number of rows and totals are those that were loaded, but its rows cannot be"
            " compared: staging holds the loaded ones no longer"
            + ("" if entity.origin == "platform" else ", and `accounts-migration verify` stages them again")
        )


def _exported(entity: Entity, batches: Iterable[str], target: Target, into: Path) -> list[Path]:
    """Write the rows of some batches as they are now, and return the files."""
    with ExitStack() as stack:
        writer = _RowWriter(entity, into, stack)
        for batch in batches:
            for rows in target.scan(entity.name, batch):
                writer.take(_PRESENT, pa.Table.from_batches([rows]))
    return writer.files


def _staged(entity: Entity, record: RecordedBatch, settings: Settings) -> Staged | None:
    """Return the rows that were loaded as the batch; None where they are known no longer."""
    if record.source_rows != record.loaded + record.rejected + record.excluded:
        return None
    # verify cleans the source again, under the policies and the time that the target recorded
    again = str((settings.migration_home / "verification" / "staging").resolve())
    for location in (settings.staging_location, again):
        folder = UPath(location).joinpath(record.snapshot_id, *cleaned_key(entity).path)
        staged = Staged(folder, (record.batch,))
        try:
            if staged.manifest(record.batch).get("content_digest") == record.content_digest:
                return staged
        except MigrationError:
            continue
    return None


def _rows(staged: Iterable[Staged]) -> Iterator[pa.RecordBatch]:
    for one in staged:
        yield from one.scan("rows")


def _totals_that_differ(entity: Entity, records: list[RecordedBatch], target: Target) -> list[str]:
    """Return the batches whose number of rows or control totals in the target are not those that were recorded."""
    figures = counts_and_totals(target, entity.name)
    expected = {record.batch: record for record in records}
    wrong = [batch for batch, rows in figures.rows.items() if batch not in expected and rows]
    for batch, record in expected.items():
        totals = json.loads(record.control_totals)
        same = totals == figures.totals.get(batch, {}) if figures.totals or totals else True
        if figures.rows.get(batch, 0) != record.loaded or not same:
            wrong.append(batch)
    return sorted(wrong)


class _RowWriter:
    """Counts rows by what happened to them, and writes them as `entity-added.csv` and so on, for their owner alone.

    A value that is NULL stands without quotes, as PostgreSQL's COPY reads it.
    """

    def __init__(self, entity: Entity, into: Path | None, stack: ExitStack) -> None:
        self.rows: dict[str, int] = {}
        self.files: list[Path] = []
        self._entity, self._into, self._stack = entity, into, stack
        self._open: dict[str, IO[bytes]] = {}

    def take(self, kind: str, rows: pa.Table) -> None:
        name = _NAMES[kind]
        self.rows[name] = self.rows.get(name, 0) + rows.num_rows
        if self._into is not None:
            csv.write_csv(self._as_stored(rows), self._file(self._into, name), _CSV)

    def _file(self, folder: Path, name: str) -> IO[bytes]:
        if name not in self._open:
            path = folder / f"{self._entity.name}-{name}.csv"
            descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            file = self._stack.enter_context(os.fdopen(descriptor, "wb"))
            file.write((",".join(self._entity.target_columns) + "\n").encode())
            self.files.append(path)
            self._open[name] = file
        return self._open[name]

    def _as_stored(self, rows: pa.Table) -> pa.Table:
        kinds = {name: kind_of(TABLES[self._entity.name].columns[name]) for name in self._entity.target_columns}
        columns = {
            name: pa.chunked_array([encode(chunk, kind) for chunk in rows[name].chunks], stored_type(kind))
            for name, kind in kinds.items()
        }
        return pa.table(columns)
