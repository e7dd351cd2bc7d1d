"""What the items of the checklist are judged by: settings, snapshot, plan and time, as they are now.

Here: gathering it. Not here: the judging (`checklist`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from accounts_migration.assessment.plan import Plan, recorded_plan
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import ENTITIES
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.settings import Settings

ASSESS = "Run accounts-migration assess SOURCE TARGET"
"""What to do where there is no plan."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the items are judged by.

    Attributes:
        settings: Source, target, policies, window, approval.
        snapshot: The snapshot to be migrated.
        recorded: The plan made last, for whatever content of the source; None before the first.
        now: With its offset from UTC.
        share: Of the source's rows, how much is to be moved, 0 to 1.
        unreadable: Why the plan that was made cannot be read; empty where it can.
    """

    settings: Settings
    snapshot: Snapshot
    recorded: Plan | None
    now: datetime
    share: float = 1.0
    unreadable: str = ""

    @property
    def plan(self) -> Plan | None:
        """Return the plan, if it is one for the source and the policies as they are now."""
        present = self.recorded and self.recorded.is_present(self.snapshot.sha256, self.settings.policies.digest)
        return self.recorded if present else None

    @property
    def lacks_plan(self) -> str:
        """Return why there is no plan, in words."""
        if self.unreadable:
            return self.unreadable
        if self.recorded is None:
            return "no plan was made for this source and target"
        changed = "source" if self.recorded.source_sha256 != self.snapshot.sha256 else "policies"
        return f"the {changed} changed since the plan was made"


def situation(settings: Settings, snapshot: Snapshot, share: float = 1.0) -> Situation:
    """Return the situation as it is now; a plan that cannot be read is none.

    Raises:
        UsageError: No source is set, or the target's URL cannot be read.
    """
    plan, unreadable = None, ""
    try:
        plan = recorded_plan(settings)
    except UsageError:
        raise
    except MigrationError as error:
        unreadable = f"{error.what}: {error.why}"
    return Situation(settings, snapshot, plan, datetime.now(UTC), share, unreadable)


def share_of(snapshot: Snapshot, entities: Iterable[str], batches: Iterable[str]) -> float:
    """Return how much of the source's rows some entities are, those in batches with these batches alone; 0 to 1."""
    rows = {name: snapshot.tables[entity.legacy_table] for name, entity in ENTITIES.items()}
    chosen = list(batches)
    moved = sum(
        sum(rows[name].batches.get(batch, 0) for batch in chosen) if ENTITIES[name].batch_column else rows[name].rows
        for name in entities
    )
    everything = sum(table.rows for table in rows.values())
    return moved / everything if everything else 1.0
