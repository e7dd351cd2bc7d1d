"""The profile of the source: what stands in every column and table, whatever SQLite stored there.

Here: reading each table once, duplicate and orphan keys, and what is not migrated. Not here: counting within a column
(`column_profile`), and what becomes of a row (`dry_run`).
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from accounts_migration.assessment.column_profile import ColumnCount, ColumnProfile
from accounts_migration.assessment.meanings import Kind, kinds_of
from accounts_migration.databases.legacy_source import read_rows
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.duplicates import duplicates_of
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.entity import LegacyChunk
from accounts_migration.entities.keys import LOADED, UNKNOWN, KeyFates
from accounts_migration.entities.policies import Policies
from accounts_migration.resources import legacy_table
from accounts_migration.streams import joined, read_ahead


@dataclass(frozen=True, slots=True)
class Orphans:
    """Rows whose key refers to a parent that the source does not hold, and how many such keys there are."""

    column: str
    parent: str
    rows: int
    keys: int


@dataclass(frozen=True, slots=True)
class TableProfile:
    """What stands in a table.

    `rows_of_duplicate_keys` share a key and differ, `exact_duplicates` are further copies of one row.
    """

    table: str
    rows: int
    columns: tuple[ColumnProfile, ...]
    rows_of_duplicate_keys: int
    exact_duplicates: int
    orphans: tuple[Orphans, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile of a snapshot under the policies; `not_migrated` names additional tables and columns."""

    source_sha256: str
    policies_digest: str
    tables: tuple[TableProfile, ...]
    not_migrated: tuple[str, ...]


def profile_source(snapshot: Snapshot, policies: Policies) -> Profile:
    """Profile every column of the migrated tables.

    Raises:
        MigrationError: The snapshot cannot be read.
    """
    keys: dict[str, KeyFates] = {}
    return Profile(
        source_sha256=snapshot.sha256,
        policies_digest=policies.digest,
        tables=tuple(_profile(entity, snapshot, policies, keys) for entity in ENTITIES.values()),
        not_migrated=tuple(map(str, snapshot.unmigrated)),
    )


def _profile(entity: Entity, snapshot: Snapshot, policies: Policies, keys: dict[str, KeyFates]) -> TableProfile:
    """Return the profile of a table, and leave its keys for the tables that refer to it."""
    manifest = snapshot.tables[entity.legacy_table]
    columns = {column: ColumnCount(kind) for column, kind in kinds_of(entity, policies).items()}
    orphans = {parent: _Orphans(keys[parent]) for parent in entity.parents}
    own: list[npt.NDArray[np.int64]] = []
    rows = read_rows(snapshot.path, legacy_table(entity), manifest.classes, manifest.row_id)
    for batch in read_ahead(joined(rows)):
        chunk = LegacyChunk(batch, entity.legacy_columns, manifest.row_id is not None)
        for place, (name, column) in enumerate(columns.items()):
            integers = np.asarray(batch["integers"]) >> place & 1 != 0
            column.add(chunk.column(name, as_written=column.kind is Kind.code), integers)
        for parent, one in orphans.items():
            one.add(_keys(ENTITIES[parent], chunk, entity.parents[parent], policies))
        if _is_parent(entity):
            own.append(np.asarray(_keys(entity, chunk, entity.key_column, policies).drop_null()))
    everything = np.unique(np.concatenate([np.empty(0, np.int64), *own]))
    keys[entity.name] = KeyFates(everything, np.full(len(everything), LOADED, np.int8))
    shared = Counter(duplicates_of(entity, snapshot, policies)["reason"].to_pylist())
    return TableProfile(
        table=entity.legacy_table,
        rows=manifest.rows,
        columns=tuple(column.profile(entity, name, policies) for name, column in columns.items()),
        rows_of_duplicate_keys=shared["DUPLICATE_KEY"],
        exact_duplicates=shared["EXACT_DUPLICATE"],
        orphans=tuple(one.found(entity.parents[parent], parent) for parent, one in orphans.items()),
    )


def _is_parent(entity: Entity) -> bool:
    return any(entity.name in other.parents for other in ENTITIES.values())


def _keys(entity: Entity, chunk: LegacyChunk, column: str, policies: Policies) -> pa.Array:
    """Return the keys of the entity that stand in a column, int64; NULL where none can be read."""
    return entity.parse_keys(chunk.column(column), policies.legacy_encoding).values


@dataclass
class _Orphans:
    """The references to a parent that were found to lead nowhere so far."""

    parent: KeyFates
    rows: int = 0
    keys: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, references: pa.Array) -> None:
        nowhere = np.asarray(references.is_valid()) & (self.parent.of(references) == UNKNOWN)
        if nowhere.any():
            self.rows += int(nowhere.sum())
            self.keys = np.union1d(self.keys, np.asarray(references.filter(pa.array(nowhere))))

    def found(self, column: str, parent: str) -> Orphans:
        return Orphans(column, parent, self.rows, len(self.keys))
