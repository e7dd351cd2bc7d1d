"""`post_migration/checklist`: the guide's 13 items after a migration, each a check with its evidence.

Here: what shows that an item is done. Rows, totals and references are counted anew, in both databases; what the other
assets of the group did counts if it was done since the last load; and what no program can see, people acknowledge in a
file. An item that nobody configured says so and does not fail. Not here: doing it
(`accounts_migration.assets.post_migration`).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType

from accounts_migration import logs
from accounts_migration.assets.archive import ARCHIVE, ARCHIVE_CHECK
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.items import ACKNOWLEDGED, DONE, FAILED, NOT_CONFIGURED, Item, check_result, item_since
from accounts_migration.assets.post_migration import (
    API,
    API_CHECK,
    APPLICATION,
    CACHES_CHECK,
    CONFIGURATION_CHECK,
    GROUP,
    OPTIMISED,
    OPTIMISED_CHECK,
    USER_WORKFLOWS,
)
from accounts_migration.databases.files import fingerprint
from accounts_migration.databases.target import Target
from accounts_migration.databases.workflows import WORKFLOWS
from accounts_migration.last_migration import last_load
from accounts_migration.operations.acknowledgements import Acknowledgement, read_acknowledgements
from accounts_migration.operations.archive import read_archive
from accounts_migration.operations.notification import Notice, notify
from accounts_migration.reconciliation.amounts import amount
from accounts_migration.reconciliation.promises import OVERALL, overall
from accounts_migration.reconciliation.report import Reconciliation, reconcile
from accounts_migration.resources import LegacyResource, TargetResource, recorded_policies, recorded_snapshot
from accounts_migration.schedules import DAILY_BACKUP
from accounts_migration.settings import Settings

CHECKLIST = dg.AssetKey([GROUP, "checklist"])

NOTIFY = "notify_stakeholders"

ITEMS = {
    "validate_row_counts": "Validate all row counts: source = loaded + rejected + excluded, for every batch.",
    "verify_data_integrity": "Verify data integrity: the database is whole, every row was read back and compared.",
    "check_referential_integrity": "Check referential integrity: every reference has its row.",
    "validate_balance_totals": "Validate balance totals: source = target + left behind, to the cent.",
    "smoke_test_api": "Run smoke tests on the API: the health URL and SMOKE_TEST_URLS answer.",
    "test_user_workflows": "Test key user workflows: a customer, a statement, a balance, as the service asks for them.",
    "update_application_configuration": "Update the application's configuration: CONFIGURE_APPLICATION.",
    "clear_application_caches": "Clear the application's caches: CLEAR_CACHES.",
    "update_documentation": "Update the documentation: acknowledged by a person.",
    NOTIFY: "Notify stakeholders: NOTIFY_WEBHOOK and NOTIFY_EMAIL; a notice that is not delivered warns.",
    "schedule_backup": f"Schedule the backup: the schedule {DAILY_BACKUP} is on.",
    "monitor_performance": "Monitor performance: statistics are gathered, latencies measured and kept as plots.",
    "archive_migration_logs": "Archive the migration's logs: the archive stands and reads back whole.",
}
"""The guide's list, in its order: name -> what must hold."""

BY_HAND = (
    "update_application_configuration",
    "clear_application_caches",
    "update_documentation",
    NOTIFY,
    "schedule_backup",
)
"""The items that a person may acknowledge."""


_MOST_NAMED = 5
_STATES = (DONE, ACKNOWLEDGED, NOT_CONFIGURED, FAILED)


@dataclass(frozen=True, slots=True)
class _Migration:
    """What the evidence is gathered from; `since` is when the target was loaded last, UTC without zone."""

    instance: dg.DagsterInstance
    settings: Settings
    database: Target
    location: str
    since: datetime
    targets: dict[str, str]

    def item(self, asset: dg.AssetKey, check: str) -> Item:
        """Return what a check of the group found since the last load."""
        key = dg.AssetCheckKey(asset, check)
        return item_since(self.since, key, self.location, self.instance, self.targets)


@dg.asset(
    key=CHECKLIST,
    group_name=GROUP,
    deps=[OPTIMISED, APPLICATION, API, USER_WORKFLOWS, ARCHIVE],
    check_specs=[dg.AssetCheckSpec(name, asset=CHECKLIST, description=meaning) for name, meaning in ITEMS.items()],
)
def checklist(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    legacy: dg.ResourceParam[LegacyResource],
    target: dg.ResourceParam[TargetResource],
) -> Iterator[dg.MaterializeResult[None]]:
    """The guide's 13 items after a migration, each a check with its evidence; those who are to know are notified."""
    with failing_clearly(), target.open() as database:
        location = target.location or database.name
        acknowledged = read_acknowledgements(settings.acknowledgements, BY_HAND)
        recorded_snapshot(database, "finish")
        migration = _Migration(context.instance, settings, database, location, last_load(database), {})
        items = {**_counted(migration, legacy), **_done(migration)}
    items = {name: _acknowledged(item, acknowledged.get(name), migration.since) for name, item in items.items()}
    items[NOTIFY] = _acknowledged(_notified(settings, location, items), acknowledged.get(NOTIFY), migration.since)
    for name in ITEMS:
        # the terminal shows them as a table
        level = logging.INFO if items[name].passed else logging.ERROR
        logs.note(f"{name}: {items[name].state}, {items[name].evidence}", level)
    yield dg.MaterializeResult(
        metadata={state: sum(item.state == state for item in items.values()) for state in _STATES},
        check_results=[check_result(CHECKLIST, name, items[name], warns=name == NOTIFY) for name in ITEMS],
    )


def _counted(migration: _Migration, legacy: LegacyResource) -> dict[str, Item]:
    """Return the items that are counted in both databases now, after all that was done to the target."""
    database = migration.database
    snapshot = legacy.snapshot_of(recorded_snapshot(database, "count"))
    found = reconcile(snapshot, recorded_policies(database), database)
    orphans = database.referential_integrity()
    broken = ", ".join(f"{count:,} of {name}" for name, count in orphans.items() if count)
    return {
        "validate_row_counts": _rows(found),
        "verify_data_integrity": _integrity(migration, found),
        "check_referential_integrity": Item(FAILED, f"references without their row: {broken}")
        if broken
        else Item(DONE, f"no reference without its row: {', '.join(orphans)}"),
        "validate_balance_totals": _totals(found),
    }


def _rows(found: Reconciliation) -> Item:
    broken = [f"{line.entity} {line.batch}" for line in found.batches if not line.holds]
    if broken or found.missing or not found.batches:
        named = [*(f"{one} is not accounted for" for one in broken), *(f"{one} is not loaded" for one in found.missing)]
        return Item(FAILED, "; ".join(named[:_MOST_NAMED]) or "nothing is loaded")
    told = (
        f"{one.entity} {one.source:,} = {one.loaded:,} + {one.rejected:,} + {one.excluded:,}" for one in found.entities
    )
    return Item(DONE, f"source = loaded + rejected + excluded: {'; '.join(told)}")


def _integrity(migration: _Migration, found: Reconciliation) -> Item:
    item = migration.item(OPTIMISED, OPTIMISED_CHECK)
    if not item.passed:
        return item
    rows = sum(line.loaded for line in found.entities)
    return Item(DONE, f"all {rows:,} rows were read back when they were loaded, and compared; {item.evidence}")


def _totals(found: Reconciliation) -> Item:
    wrong = [str(one) for one in found.totals if one.unexplained]
    if wrong:
        return Item(FAILED, f"unexplained: {'; '.join(wrong[:_MOST_NAMED])}")
    told = (
        f"{one.entity} {one.measure} {amount(one.source)} = {amount(one.target)} + {amount(one.left_behind)}"
        for one in overall(found.totals)
        if one.group == OVERALL
    )
    return Item(DONE, f"source = target + left behind, {len(found.totals)} totals: {'; '.join(told)}")


def _done(migration: _Migration) -> dict[str, Item]:
    """Return the items that somebody does, or that the other assets of the group did."""
    workflows = _together([migration.item(USER_WORKFLOWS, name) for name in WORKFLOWS])
    api = migration.item(API, API_CHECK)
    return {
        "smoke_test_api": api,
        "test_user_workflows": workflows,
        "update_application_configuration": migration.item(APPLICATION, CONFIGURATION_CHECK),
        "clear_application_caches": migration.item(APPLICATION, CACHES_CHECK),
        "update_documentation": Item(
            NOT_CONFIGURED, "nobody acknowledged it in acknowledgements.toml, or where ACKNOWLEDGEMENTS says"
        ),
        "schedule_backup": _schedule(migration.instance),
        "monitor_performance": _performance(migration, workflows, api),
        "archive_migration_logs": _archive(migration),
    }


def _together(items: Sequence[Item]) -> Item:
    """Return several items as one: the failures alone where something failed."""
    failed = [item.evidence for item in items if not item.passed]
    return Item(FAILED if failed else DONE, "; ".join(failed or [item.evidence for item in items]))


def _schedule(instance: dg.DagsterInstance) -> Item:
    states = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    if any(one.instigator_name == DAILY_BACKUP and one.status == InstigatorStatus.RUNNING for one in states):
        return Item(DONE, f"the schedule {DAILY_BACKUP} is on")
    return Item(NOT_CONFIGURED, f"the schedule {DAILY_BACKUP} is off; turn it on in the UI")


def _performance(migration: _Migration, workflows: Item, api: Item) -> Item:
    """Statistics for the planner, and latencies measured since the load, of the database at least."""
    optimised = migration.item(OPTIMISED, OPTIMISED_CHECK)
    if not optimised.passed:
        return optimised
    asked = {name: migration.item(USER_WORKFLOWS, name).figures.get("milliseconds") for name in WORKFLOWS}
    measured = {name: value for name, value in asked.items() if isinstance(value, float | int)}
    if len(measured) < len(WORKFLOWS):
        return workflows
    slowest = max(measured, key=lambda name: measured[name])
    urls = sum(name.endswith("(milliseconds)") for name in api.figures)
    return Item(
        DONE,
        f"statistics gathered; latencies of {len(measured)} workflows and {urls} URLs kept as plots;"
        f" the slowest workflow is {slowest}, {measured[slowest]} ms",
        {f"{name} (milliseconds)": value for name, value in measured.items()},
    )


def _archive(migration: _Migration) -> Item:
    item = migration.item(ARCHIVE, ARCHIVE_CHECK)
    if not item.passed:
        return item
    path = Path(str(item.figures.get("archive", "")))
    try:
        if fingerprint(path) != item.figures.get("sha256"):
            return Item(FAILED, f"{path} was changed since it was written")
        files = len(read_archive(path))
    except OSError as error:
        return Item(FAILED, f"{path} does not read back: {error.strerror or error}")
    return Item(DONE, f"{item.evidence}; {files} digests compared", item.figures)


def _notified(settings: Settings, location: str, items: Mapping[str, Item]) -> Item:
    """Tell those who are to know how all other items stand."""
    failed = [f"{name}: {item.evidence}" for name, item in items.items() if not item.passed]
    notice = Notice("finish", location, "NOT FINISHED" if failed else "FINISHED", not failed, failed)
    deliveries = notify(settings, notice)
    if not deliveries:
        return Item(NOT_CONFIGURED, "neither NOTIFY_WEBHOOK nor NOTIFY_EMAIL is set")
    lost = any(delivery.problem for delivery in deliveries)
    return Item(FAILED if lost else DONE, "; ".join(map(str, deliveries)))


def _acknowledged(item: Item, said: Acknowledgement | None, since: datetime) -> Item:
    """Return what a person says of an item that no program did; what one did, or failed to do, stands."""
    if item.state != NOT_CONFIGURED or said is None:
        return item
    if said.on < since.date():
        return Item(FAILED, f"{said}; but the target was loaded on {since.date().isoformat()}: acknowledge it again")
    # somewhere it is tomorrow already
    if said.on > datetime.now(UTC).date() + timedelta(days=1):
        return Item(FAILED, f"{said}; but that day has not come: acknowledge what was done")
    return Item(ACKNOWLEDGED, str(said))
