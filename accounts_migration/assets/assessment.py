"""`assessment/…`: what a migration would do, found out before it; nothing is written into source or target.

Here: the assets, their checks and what the UI shows of them. Not here: how anything is found out
(`accounts_migration.assessment`). All of them read the snapshot, the one consistent state that a migration reads, too
(contract section 2): the plan names its sha256, and a migration of the unchanged source uses that very copy.
"""

from collections.abc import Iterable, Iterator

import dagster as dg

from accounts_migration.assessment.dry_run import DryRun
from accounts_migration.assessment.dry_run import dry_run as clean_everything
from accounts_migration.assessment.plan import Plan
from accounts_migration.assessment.planning import make_plan
from accounts_migration.assessment.profile import Profile, profile_source
from accounts_migration.assessment.tables import (
    Listing,
    dry_run_tables,
    duration,
    plan_tables,
    profile_tables,
    volume_tables,
)
from accounts_migration.assessment.volumes import Volumes, count_volumes
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.snapshot import SNAPSHOT
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation.amounts import amount
from accounts_migration.settings import Settings

ASSESSMENT = "assessment"
VOLUMES, PROFILE, DRY_RUN, PLAN = (
    dg.AssetKey([ASSESSMENT, name]) for name in ("volumes", "profile", "dry_run", "plan")
)
ACCEPTED_CHECK, ACCOUNTING_CHECK = "rejects_within_policy", "accounting_law"
SPACE_CHECK = "disk_space"

_SNAPSHOT = dg.AssetIn(SNAPSHOT)


@dg.asset(
    key=VOLUMES, group_name=ASSESSMENT, kinds={"sql"}, ins={"snapshot": _SNAPSHOT}, io_manager_key="assessment_io"
)
def volumes(
    context: dg.AssetExecutionContext, snapshot: Snapshot, policies: dg.ResourceParam[Policies]
) -> dg.Output[Volumes]:
    """The guide's volumes: accounts, active accounts, total balance, transactions, first and last date."""
    with failing_clearly():
        found = count_volumes(snapshot, policies)
    context.log.info(
        f"volumes: {found.accounts:,} accounts, {found.active_accounts:,} active,"
        f" balance {amount(found.total_balance)}, {found.transactions:,} transactions"
    )
    if not found.accounts:
        context.log.warning("there are no accounts: is this the right source?")
    counts = {"accounts": found.accounts, "transactions": found.transactions}
    return dg.Output(found, metadata={**counts, **_metadata(volume_tables(found))})


@dg.asset(
    key=PROFILE, group_name=ASSESSMENT, kinds={"arrow"}, ins={"snapshot": _SNAPSHOT}, io_manager_key="assessment_io"
)
def profile(
    context: dg.AssetExecutionContext, snapshot: Snapshot, policies: dg.ResourceParam[Policies]
) -> dg.Output[Profile]:
    """What stands in every column: storage classes, blanks, forms, codes, lengths, shared and orphan keys."""
    with failing_clearly():
        found = profile_source(snapshot, policies)
    unknown = sum(column.unknown_codes for table in found.tables for column in table.columns)
    columns = sum(len(table.columns) for table in found.tables)
    context.log.info(f"profile: {columns} columns, {unknown:,} rows hold a code that no map knows")
    return dg.Output(found, metadata=_metadata(profile_tables(found)))


@dg.asset(
    key=DRY_RUN,
    group_name=ASSESSMENT,
    kinds={"pandas", "pandera"},
    ins={"snapshot": _SNAPSHOT},
    io_manager_key="assessment_io",
    check_specs=[
        dg.AssetCheckSpec(
            ACCOUNTING_CHECK, asset=DRY_RUN, description="source rows = loaded + rejected + excluded, for every batch."
        ),
        dg.AssetCheckSpec(
            ACCEPTED_CHECK,
            asset=DRY_RUN,
            description="A migration would be accepted: the rejects of each entity are within max_reject_rate.",
        ),
    ],
)
def dry_run(
    context: dg.AssetExecutionContext, snapshot: Snapshot, policies: dg.ResourceParam[Policies]
) -> Iterator[dg.Output[DryRun] | dg.AssetCheckResult]:
    """What a migration would load, reject, exclude and repair, and the money at stake; not a row is staged."""
    with failing_clearly():
        found = clean_everything(snapshot, policies)
    for one in found.entities:
        context.log.info(
            f"dry run: {one.entity}: {one.source:,} rows, {one.loaded:,} loaded, {one.rejected:,} rejected,"
            f" {one.excluded:,} excluded, {one.repaired:,} repaired"
        )
    counts = {
        "rows to be loaded": sum(one.loaded for one in found.entities),
        "rows to be rejected": sum(one.rejected for one in found.entities),
        "rows to be excluded": sum(one.excluded for one in found.entities),
    }
    yield dg.Output(found, metadata={**counts, **_metadata(dry_run_tables(found))})
    unexplained = {one.entity: one.source - one.loaded - one.rejected - one.excluded for one in found.entities}
    holds = not any(unexplained.values()) and all(law.holds for law in found.batches)
    yield dg.AssetCheckResult(check_name=ACCOUNTING_CHECK, passed=holds, metadata={**unexplained})
    yield dg.AssetCheckResult(
        check_name=ACCEPTED_CHECK,
        passed=all(one.is_accepted for one in found.entities),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            **{f"rejected {one.entity}": one.rejected for one in found.entities},
            "max_reject_rate": float(policies.max_reject_rate),
        },
    )


@dg.asset(
    key=PLAN,
    group_name=ASSESSMENT,
    kinds={"sql"},
    ins={"snapshot": _SNAPSHOT, "volumes": dg.AssetIn(VOLUMES), "dry_run": dg.AssetIn(DRY_RUN)},
    io_manager_key="assessment_io",
    check_specs=[
        dg.AssetCheckSpec(
            SPACE_CHECK, asset=PLAN, description="The disk space that the plan needs is free, where it can be seen."
        )
    ],
)
def plan(
    context: dg.AssetExecutionContext,
    snapshot: Snapshot,
    volumes: Volumes,
    dry_run: DryRun,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.Output[Plan] | dg.AssetCheckResult]:
    """The plan that a person approves by its digest: approach, batches, downtime measured here, disk space."""
    with failing_clearly():
        made = make_plan(snapshot, volumes, dry_run, settings)
    context.log.info(f"plan {made.digest}: {made.recommendation.tier}, {duration(made.estimated_seconds)}")
    yield dg.Output(
        made,
        metadata={
            "digest": made.digest,
            "estimated seconds": made.estimated_seconds,
            **{f"bytes for {need.purpose}": need.needed for need in made.disk},
            **_metadata(plan_tables(made)),
        },
    )
    yield dg.AssetCheckResult(
        check_name=SPACE_CHECK,
        passed=not made.lacking,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"lacking": dg.MetadataValue.md("\n".join(f"- {one}" for one in made.lacking) or "nothing")},
    )


ASSESSMENTS = [volumes, profile, dry_run, plan]


def _metadata(listings: Iterable[Listing]) -> dict[str, dg.MetadataValue]:
    return {one.title: dg.MetadataValue.md(_markdown(one)) for one in listings}


def _markdown(listing: Listing) -> str:
    heads = [name.removeprefix("#") for name in listing.columns]
    rules = ["---:" if name.startswith("#") else "---" for name in listing.columns]
    lines = [heads, rules, *([cell.replace("|", "\\|") for cell in line] for line in listing.lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
