"""The batches of contract section 3 as Dagster partitions.

Here: the one partitions definition that `legacy/transactions`, `cleaned/transactions` and `target/transaction` share.
Not here: the words by which a person names batches (`accounts_migration.batches`).

Keys are registered by the snapshot, in order, and never deleted: a batch that a later snapshot lacks is simply empty.
Docs: dynamic partitions in Dagster's concept pages on partitioning.
"""

from collections.abc import Iterable

import dagster as dg
import sqlalchemy

BATCHES = dg.DynamicPartitionsDefinition(name="batches")

EMPTY = "undated"
"""The batch that stands even where the legacy table has no rows: a run needs one."""


def register_batches(instance: dg.DagsterInstance, batches: Iterable[str]) -> list[str]:
    """Add the batches that the instance does not know yet, months in order and `undated` last; return the new ones."""
    known = set(instance.get_dynamic_partitions("batches"))
    new = sorted({*batches, EMPTY} - known)
    if new:
        try:
            instance.add_dynamic_partitions("batches", new)
        except sqlalchemy.exc.IntegrityError:
            # another process, which took a snapshot at the same time, was faster; since none is ever deleted, this ends
            return register_batches(instance, new)
    return new
