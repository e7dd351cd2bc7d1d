"""The legacy SQLite database: opened read-only, its structure checked, its rows streamed as found (contract section 2).

Here: the way in to everything that talks SQL to the legacy file or to its snapshot: opening it (`opening`), what it
holds (`structure`), its batches (`batches`), its rows (`rows`) and what SQLite stored in a cell (`cells`). Not here:
the folder and manifest of a snapshot (`accounts_migration.databases.snapshot`), and any rule of what a value means
(`accounts_migration.entities`).
"""

from accounts_migration.databases.legacy_source.batches import batch_expression, count_by_batch, in_batches
from accounts_migration.databases.legacy_source.opening import open_read_only, refuse_unusable_file
from accounts_migration.databases.legacy_source.rows import raw_schema, read_keys, read_rows, read_whole_rows
from accounts_migration.databases.legacy_source.structure import (
    LegacyTable,
    Unmigrated,
    dominant_classes,
    find_unmigrated,
    has_unique_key,
    incomplete,
    key_is_row_id,
    refuse_incomplete_structure,
    row_id_name,
    row_id_range,
)

__all__ = [
    "LegacyTable",
    "Unmigrated",
    "batch_expression",
    "count_by_batch",
    "dominant_classes",
    "find_unmigrated",
    "has_unique_key",
    "in_batches",
    "incomplete",
    "key_is_row_id",
    "open_read_only",
    "raw_schema",
    "read_keys",
    "read_rows",
    "read_whole_rows",
    "refuse_incomplete_structure",
    "refuse_unusable_file",
    "row_id_name",
    "row_id_range",
]
