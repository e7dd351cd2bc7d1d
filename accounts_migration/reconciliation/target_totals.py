"""Counts and control totals of the target by SQL, in the groups that the cleaned rows' totals have.

Here: the form in which both sides are compared. Not here: the SQL (`accounts_migration.databases.readings`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from accounts_migration.databases.target import Target
from accounts_migration.entities.totals import GROUPS, Totals, added


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """What stands in a table of the target: rows by batch, and group -> {rows, cents by measure} by batch."""

    rows: dict[str, int]
    totals: dict[str, Totals]

    def of(self, batches: Iterable[str]) -> Totals:
        """Return the totals over some batches."""
        return added(self.totals.get(batch, {}) for batch in batches)


def counts_and_totals(target: Target, entity: str) -> BatchFigures:
    """Count and add in the target; the table is read once for both."""
    if entity not in GROUPS:
        return BatchFigures(target.counts_by_batch(entity), {})
    by_batch: dict[str, Totals] = {}
    if entity == "transaction":
        for (batch, *group), values in target.control_totals(entity, by_batch=True).items():
            by_batch.setdefault(batch, {})["/".join(group)] = dict(values)
    else:
        by_batch["all"] = {"/".join(group): dict(values) for group, values in target.control_totals(entity).items()}
    rows = {batch: sum(values["rows"] for values in totals.values()) for batch, totals in by_batch.items()}
    return BatchFigures(rows, by_batch)
