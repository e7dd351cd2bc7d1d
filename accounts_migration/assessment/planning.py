"""Making the plan of what was found out.

Here: that the findings belong together, and the plan made of them. Not here: the plan itself (`plan`) and its figures
(`volumes`, `dry_run`, `tiers`, `estimate`).
"""

from datetime import UTC, datetime

from accounts_migration.assessment.dry_run import DryRun
from accounts_migration.assessment.estimate import disk_of, rehearse, stages_of
from accounts_migration.assessment.plan import Plan
from accounts_migration.assessment.tiers import recommendation
from accounts_migration.assessment.volumes import Volumes
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import target_location
from accounts_migration.errors import MigrationError
from accounts_migration.settings import Settings


def make_plan(snapshot: Snapshot, volumes: Volumes, dry: DryRun, settings: Settings) -> Plan:
    """Return the plan for a snapshot and the settings' target; a load on trial measures the target.

    Raises:
        MigrationError: The findings are of another snapshot or other policies, or the target cannot be used.
    """
    for name, finding in (("volumes", volumes), ("dry_run", dry)):
        if (finding.source_sha256, finding.policies_digest) != (snapshot.sha256, settings.policies.digest):
            raise MigrationError(
                "Cannot make a plan",
                why=f"assessment/{name} is of another snapshot, or of other policies",
                remedy=f"Materialize assessment/{name} again, or run the whole job assess",
            )
    trial = rehearse(snapshot, settings)
    return Plan(
        source=snapshot.source,
        source_sha256=snapshot.sha256,
        target=target_location(settings.target_db) if settings.target_db else "",
        policies_digest=settings.policies.digest,
        volumes=volumes,
        outcomes=dry.entities,
        recommendation=recommendation(volumes.accounts, volumes.transactions),
        batches={law.batch: law.source for law in dry.batches},
        stages=stages_of(snapshot, dry, trial),
        disk=disk_of(snapshot, dry, trial, settings),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
