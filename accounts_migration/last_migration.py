"""Whether the last migration of a target ended with every blocking check passed: what comes after asks this first.

Here: the question. A target that passes holds everything of the snapshot that it was loaded from, under one set of
policies, with every check of its loads passed since; and no later migration, nor a verification, was stopped by a
check. Not here: what a phase must have passed (`accounts_migration.phases`); together the four are a whole migration,
however it was run.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

import dagster as dg

from accounts_migration.databases.target import Target
from accounts_migration.errors import MigrationError
from accounts_migration.evaluations import evaluations
from accounts_migration.phases import PHASES, progress, unpassed
from accounts_migration.resources import LegacyResource, recorded_policies, recorded_snapshot

_MOST_NAMED = 5


def refuse_unproved(
    database: Target,
    legacy: LegacyResource,
    location: str,
    instance: dg.DagsterInstance,
    checked: Iterable[dg.AssetsDefinition],
) -> None:
    """Raise MigrationError unless the last migration of the target ended with every blocking check passed.

    Args:
        database: The target.
        legacy: Where the snapshot is that the target was loaded from.
        location: Where the target is, as `TargetResource.location` tells.
        instance: Where the runs are recorded.
        checked: The assets whose checks count.
    """
    snapshot = legacy.snapshot_of(recorded_snapshot(database, "finish"))
    at = progress(snapshot, recorded_policies(database), None, database, location, instance)
    since = last_load(database)
    lacking = [one for phase in PHASES for one in unpassed(phase, at)]
    lacking += _failed_since(since, location, instance, checked)
    if lacking:
        named = list(dict.fromkeys(lacking))
        more = f"; and {len(named) - _MOST_NAMED:,} more" if len(named) > _MOST_NAMED else ""
        raise MigrationError(
            f"Cannot finish the migration of {database.name}",
            why=f"it did not end with every check passed: {'; '.join(named[:_MOST_NAMED])}{more}",
            remedy="Run `accounts-migration migrate` without --batches until it ends with MIGRATED;"
            " what is unchanged is kept",
        )


def last_load(database: Target) -> datetime:
    """Return when the last batch was loaded, UTC without zone; something was migrated into the target."""
    return max(record.loaded_at for record in database.recorded_batches())


def _failed_since(
    since: datetime, location: str, instance: dg.DagsterInstance, checked: Iterable[dg.AssetsDefinition]
) -> Iterator[str]:
    """Yield the checks whose latest verdict, after the last load, is a failure: of a migration that was refused."""
    targets: dict[str, str] = {}
    for spec in (spec for asset in checked for spec in asset.check_specs):
        seen: set[str | None] = set()
        for one in evaluations(instance, spec.key, location, targets):
            if one.at < since:
                break
            is_failure = not one.evaluation.passed and one.evaluation.severity != dg.AssetCheckSeverity.WARN
            if is_failure and one.batch not in seen:
                yield f"{spec.name} of {spec.asset_key.to_user_string()}{f' {one.batch}' if one.batch else ''} failed"
            seen.add(one.batch)
