"""Which rows of the snapshot share a key (contract section 5), read from it in bounded memory.

Here: the way from the snapshot to the verdict. Not here: the verdict itself (`accounts_migration.entities.keys`).
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from accounts_migration.databases.legacy_source import read_keys, read_whole_rows
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import Entity
from accounts_migration.entities.columns import LegacyColumn, ParsedColumn
from accounts_migration.entities.entity import LegacyChunk
from accounts_migration.entities.keys import DUPLICATE_SCHEMA, KeyChunk, judge_duplicates, rows_sharing_a_key
from accounts_migration.entities.policies import Policies
from accounts_migration.resources import legacy_table


def duplicates_of(entity: Entity, snapshot: Snapshot, policies: Policies) -> pa.Table:
    """Return the rows of an entity that share a key and the verdict on each, as `keys.DUPLICATE_SCHEMA`."""
    table, manifest = legacy_table(entity), snapshot.tables[entity.legacy_table]
    if manifest.key_is_row_id:
        # integers that differ are keys that differ, and SQLite keeps them apart itself
        return DUPLICATE_SCHEMA.empty_table()
    column = entity.key_column

    def scan() -> Iterator[KeyChunk]:
        for rows in read_keys(snapshot.path, table, column, manifest.classes, manifest.row_id):
            chunk = LegacyChunk(rows, (column,), manifest.row_id is not None)
            yield KeyChunk(np.asarray(rows["row"]), chunk.column(column))

    def parse(keys: LegacyColumn) -> ParsedColumn:
        return entity.parse_keys(keys, policies.legacy_encoding)

    suspects = rows_sharing_a_key(scan, manifest.rows, parse)
    if not suspects:
        return DUPLICATE_SCHEMA.empty_table()
    whole = read_whole_rows(snapshot.path, table, manifest.row_id, sorted(suspects))
    return judge_duplicates((row, suspects[row], encoded) for row, encoded in whole)
