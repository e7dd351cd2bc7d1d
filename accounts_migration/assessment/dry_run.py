"""A dry run of the cleaning: what a migration of this snapshot would load, reject, exclude and repair.

Here: the counts and the money at stake. Not here: any rule (`accounts_migration.entities`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EntityOutcome:
    """What would become of an entity's source rows: `source` = `loaded` + `rejected` + `excluded` (contract section 1).

    `repaired` counts records, as the migration's own account does. `money_at_stake` in cents, without sign, over rows
    rejected or excluded whose amount can be read; `unreadable` counts the others. `is_accepted`: the rejects are within
    the policy max_reject_rate.
    """

    entity: str
    source: int
    loaded: int
    rejected: int
    excluded: int
    repaired: int
    money_at_stake: int
    unreadable: int
    is_accepted: bool
