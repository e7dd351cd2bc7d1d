"""The content of a target's table against the staged rows: which rows are laid side by side.

Here: choosing both streams. Not here: the comparison (`accounts_migration.reconciliation.content`).
"""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.target import Target
from accounts_migration.entities import Entity
from accounts_migration.reconciliation.content import ContentComparison, compare_content
from accounts_migration.staging import WHOLE, Staged
from accounts_migration.streams import joined, read_ahead


def compare_entity(entity: Entity, staged: Staged, target: Target, *, everything: bool) -> ContentComparison:
    """Compare the staged rows of some batches with the rows of the target.

    Args:
        entity: The entity.
        staged: Its cleaned rows; `batches` names those compared.
        target: The target.
        everything: Whether the batches are all there are, so that the whole table is read at once.
    """
    expected = read_ahead(joined(staged.scan("rows")))
    key = entity.target_columns[0]
    found = read_ahead(_found(entity, staged, target, everything))
    return compare_content(entity.name, expected, found, key, _batches(entity))


def _found(entity: Entity, staged: Staged, target: Target, everything: bool) -> Iterator[pa.RecordBatch]:
    if everything or entity.batch_column is None:
        yield from target.scan(entity.name)
        return
    for batch in staged.batches:
        yield from target.scan(entity.name, batch)


def _batches(entity: Entity) -> Callable[[pa.Table], pa.ChunkedArray]:
    if entity.batch_column is None:
        return lambda rows: pa.chunked_array([pa.repeat(pa.scalar(WHOLE), rows.num_rows)])
    return lambda rows: pc.strftime(rows["transaction_date"], format="%Y-%m")
