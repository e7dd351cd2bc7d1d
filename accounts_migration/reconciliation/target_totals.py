"""Control totals of the target by SQL, in the groups that the cleaned rows' totals have.

Here: the form in which totals are compared. Not here: the SQL (`accounts_migration.databases.readings`).
"""

from accounts_migration.databases.target import Target
from accounts_migration.entities.totals import GROUPS, Totals


def target_totals(target: Target, entity: str) -> Totals:
    """Return group -> {rows, cents by measure} over the whole table; an entity without money has none."""
    if entity not in GROUPS:
        return {}
    return {"/".join(group): dict(values) for group, values in target.control_totals(entity).items()}


def target_totals_by_batch(target: Target, entity: str, batches: list[str]) -> dict[str, Totals]:
    """Return the totals of each batch."""
    if entity not in GROUPS:
        return {batch: {} for batch in batches}
    if entity != "transaction":
        return {batch: target_totals(target, entity) for batch in batches}
    found: dict[str, Totals] = {batch: {} for batch in batches}
    for (batch, *group), values in target.control_totals(entity, by_batch=True).items():
        if batch in found:
            found[batch]["/".join(group)] = dict(values)
    return found
