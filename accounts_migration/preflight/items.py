"""The items of the guide's checklist ("Pre-Migration Checklist"), and what one comes to.

Here: their names, and the form of a verdict. Not here: how they are judged (`checklist`,
`connections`, `decisions`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from accounts_migration.errors import MigrationError

SOURCE = "source_database_access"
TARGET = "target_database_provisioned"
RIGHTS = "target_rights"
SCHEMA = "target_schema"
VOLUME = "data_volume_assessed"
BANDWIDTH = "network_bandwidth"
WINDOW = "migration_window"
APPROVAL = "stakeholder_approval"
ROLLBACK = "rollback_plan"
BACKUP = "backup_strategy"
DISK = "disk_space"

DESCRIPTIONS = {
    SOURCE: "The legacy database can be read, is whole and has every table and column; its snapshot is taken.",
    TARGET: "The target can be reached and written; on PostgreSQL its version, encoding and free connections will do.",
    RIGHTS: "This user may do all that a migration does in the target.",
    SCHEMA: "The target is empty or ours: its tables can take our rows and hold none that we did not write.",
    VOLUME: "The volume was assessed, and a plan made, for the source and the policies as they are now; its "
    "rejects are within max_reject_rate.",
    BANDWIDTH: "Throughput to the target, measured: round trip and bytes a second, by a temporary table.",
    WINDOW: "Now is within MIGRATION_WINDOW, and the plan's estimate ends within it.",
    APPROVAL: "MIGRATION_APPROVAL_FILE approves the present plan, and says who did and when.",
    ROLLBACK: "The way back was rehearsed: the backup restored to a scratch place gave the rows and totals copied.",
    BACKUP: "A backup of the target as it is now stands in BACKUP_DIR, unchanged.",
    DISK: "There is space for backup, staging and target.",
}
"""The items in the order of the guide's list; disk space comes on top."""


class Verdict(StrEnum):
    """What an item comes to; only a failed one blocks."""

    passed = "passed"
    failed = "FAILED"
    warning = "warning"
    not_configured = "not configured"


@dataclass(frozen=True, slots=True)
class Item:
    """An item as judged.

    Attributes:
        name: One of DESCRIPTIONS.
        verdict: What it comes to.
        finding: What was found, in a sentence for a person; no personal data, no password.
        remedy: What to do where it failed.
        evidence: Name -> what was measured or found.
    """

    name: str
    verdict: Verdict
    finding: str
    remedy: str = ""
    evidence: Mapping[str, str | int | float] = field(default_factory=dict)

    @property
    def blocks(self) -> bool:
        """Return whether no migration may begin."""
        return self.verdict is Verdict.failed

    @classmethod
    def refused(cls, name: str, error: MigrationError) -> Self:
        """Return the item as failed by a refusal."""
        return cls(name, Verdict.failed, f"{error.what}: {error.why}", error.remedy)
