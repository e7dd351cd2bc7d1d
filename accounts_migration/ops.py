"""The ops: what a job does that makes no asset.

Here: the rollback as the UI launches it. Not here: its steps (`accounts_migration.operations.rollback`). It is no
asset, so that nobody materializes it along with the others.
"""

import dagster as dg

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.errors import UsageError
from accounts_migration.notices import told_when_done
from accounts_migration.resources import RollbackResource
from accounts_migration.settings import Settings


class RollbackConfig(dg.Config):
    """What is rolled back, and to what.

    Args:
        target: The target's path or URL without its password, to be typed: whoever starts this job must mean it.
        to: A backup's id or folder; empty is the newest one from before the migration or copy that the target holds.
        discard_changes: Whether what was changed since then may be lost; it is written into files first.
    """

    target: str
    to: str = ""
    discard_changes: bool = False


@dg.op(name="roll_back", pool="target")
def roll_back(
    context: dg.OpExecutionContext,
    config: RollbackConfig,
    rollback: dg.ResourceParam[RollbackResource],
    settings: dg.ResourceParam[Settings],
) -> dg.Output[str]:
    """Put a proved backup in the place of the target: stop the service, switch, start it, wait until it is healthy."""
    with failing_clearly():
        if config.target != rollback.location:
            raise UsageError(
                f"Cannot roll back {config.target or 'without a target'}",
                why=f"the target is {rollback.location}",
                remedy="Type the target into the config of the job, as it is named here",
            )
        with told_when_done(settings, "rollback", "ROLLED BACK"):
            done = rollback.run(config.to or None, discard_changes=config.discard_changes, tell=context.log.info)
    return dg.Output(
        done.backup.backup_id,
        metadata={
            "holds again": str(done.backup),
            "replaced target": done.kept or "there was none",
            "journal": dg.MetadataValue.path(str(done.folder)),
            "discarded": dg.MetadataValue.md("\n".join(f"- {line}" for line in done.discarded) or "none"),
            "discarded rows": dg.MetadataValue.md("\n".join(f"- {path}" for path in done.exported) or "none"),
            "remarks": dg.MetadataValue.md("\n".join(f"- {remark}" for remark in done.remarks) or "none"),
            "service": done.service,
            "health": "nobody asks" if done.health is None else f"HTTP {done.health.status}",
            "seconds": done.seconds,
            "seconds out of service": done.out_of_service,
        },
    )
