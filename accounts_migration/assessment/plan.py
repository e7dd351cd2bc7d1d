"""The plan of a migration: what a person approves, how long it should take and which disk space it needs.

Here: the plan, its digest, and the plan that was made last. Not here: how its figures are found (`volumes`, `dry_run`,
`tiers`, `estimate`), and who approved it (preflight).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from accounts_migration.assessment.dry_run import EntityOutcome
from accounts_migration.assessment.records import findings_folder, read_finding
from accounts_migration.assessment.tiers import Recommendation
from accounts_migration.assessment.volumes import Volumes
from accounts_migration.settings import Settings

PLAN = "plan"


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the migration, the seconds it should take, and what that was measured by."""

    name: str
    seconds: float
    basis: str


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """Bytes that a purpose (`backup`, `staging`, `target`) needs in a folder, and that are free there.

    `free` is None where it cannot be seen from here, as on a database server. `filesystem` is alike for folders that
    share their free space.
    """

    purpose: str
    folder: str
    needed: int
    free: int | None
    filesystem: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan for a source, a target and the policies in force.

    Attributes:
        source: The legacy file.
        source_sha256: The fingerprint of its snapshot: any change of the source makes another plan.
        target: Where to, without password; empty where none was named.
        policies_digest: The policies in force.
        volumes: What the source holds.
        outcomes: What would become of its rows, by entity.
        recommendation: What the guide says of such volumes.
        batches: Batch of transactions -> its source rows.
        stages: Where the time goes.
        disk: Where the space goes.
        measured_at: When time and space were measured, UTC.
    """

    source: str
    source_sha256: str
    target: str
    policies_digest: str
    volumes: Volumes
    outcomes: tuple[EntityOutcome, ...]
    recommendation: Recommendation
    batches: Mapping[str, int]
    stages: tuple[Stage, ...]
    disk: tuple[DiskNeed, ...]
    measured_at: str

    @property
    def digest(self) -> str:
        """Return the sha256 of what a person approves: the same source, target and policies always give the same.

        What was measured (time, space) is not in it.
        """
        measured = ("stages", "disk", "measured_at")
        approved = {name: value for name, value in asdict(self).items() if name not in measured}
        return hashlib.sha256(json.dumps(approved, sort_keys=True).encode()).hexdigest()

    @property
    def estimated_seconds(self) -> float:
        """Return the downtime that the migration should take, from its first to its last second."""
        return sum(stage.seconds for stage in self.stages)

    def bytes_needed(self, purpose: str) -> int:
        """Return the disk space for a purpose: `backup`, `staging` or `target`."""
        return sum(need.needed for need in self.disk if need.purpose == purpose)

    @property
    def lacking(self) -> list[str]:
        """Return a sentence for each filesystem that has less free space than is needed there."""
        found = []
        for filesystem in dict.fromkeys(need.filesystem for need in self.disk if need.free is not None):
            needs = [need for need in self.disk if need.filesystem == filesystem and need.free is not None]
            needed, free = sum(need.needed for need in needs), min(need.free or 0 for need in needs)
            if needed > free:
                purposes = ", ".join(f"{need.purpose} in {need.folder}" for need in needs)
                found.append(f"{needed:,} bytes are needed for {purposes}, and {free:,} are free")
        return found

    def is_present(self, source_sha256: str, policies_digest: str) -> bool:
        """Return whether it speaks of this content of the source and these policies."""
        return (self.source_sha256, self.policies_digest) == (source_sha256, policies_digest)


def recorded_plan(settings: Settings) -> Plan | None:
    """Return the plan made last for the settings' source and target; None before the first.

    Raises:
        UsageError: No source is set, or the target's URL cannot be read.
        MigrationError: What was recorded cannot be read.
    """
    return read_finding(findings_folder(settings), PLAN, Plan)
