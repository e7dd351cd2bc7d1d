"""The law: source rows = loaded + rejected + excluded, for every entity and batch (contract section 1).

Here: the account of a batch and its verdict, from counts of the two databases. Not here: counting
(`accounts_migration.databases`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchLaw:
    """The account of one batch: rows counted in the snapshot and in the target."""

    entity: str
    batch: str
    source: int
    loaded: int
    rejected: int
    excluded: int
    repaired: int = 0

    @property
    def unexplained(self) -> int:
        """Return the rows that nothing accounts for; 0 where the law holds."""
        return self.source - self.loaded - self.rejected - self.excluded

    def __str__(self) -> str:
        """Return the law as a sentence with its figures."""
        return (
            f"{self.entity}: source {self.source:,} = loaded {self.loaded:,} + rejected {self.rejected:,}"
            f" + excluded {self.excluded:,}; unexplained {self.unexplained:,}"
        )

    @property
    def holds(self) -> bool:
        """Return whether every row is accounted for."""
        return self.unexplained == 0


def laws(
    entity: str,
    source: Mapping[str, int],
    loaded: Mapping[str, int],
    defects: Mapping[tuple[str, str, str], int],
    batches: Iterable[str],
) -> list[BatchLaw]:
    """Return the account of each batch.

    Args:
        entity: The entity.
        source: Source rows by batch, counted in the snapshot.
        loaded: Rows of the target by batch, counted in the target.
        defects: (entity, batch, action) -> records, counted in the target.
        batches: The batches to account for.
    """

    def recorded(batch: str, action: str) -> int:
        return defects.get((entity, batch, action), 0)

    return [
        BatchLaw(
            entity=entity,
            batch=batch,
            source=source.get(batch, 0),
            loaded=loaded.get(batch, 0),
            rejected=recorded(batch, "rejected"),
            excluded=recorded(batch, "excluded"),
            repaired=recorded(batch, "repaired"),
        )
        for batch in batches
    ]


def total(entity: str, lines: Iterable[BatchLaw]) -> BatchLaw:
    """Return the account of an entity over its batches."""
    rows = [(line.source, line.loaded, line.rejected, line.excluded, line.repaired) for line in lines]
    sums = [sum(column) for column in zip(*rows, strict=True)] or [0] * 5
    return BatchLaw(entity, "all", *sums)
