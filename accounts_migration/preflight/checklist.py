"""Judging the items of the checklist.

Here: one function for each item, from what is found now. Not here: Dagster (`accounts_migration.assets.preflight`) and
how the list is shown (`accounts_migration.commands.preflight`). Nothing is written into source and target, but a
temporary table where throughput is measured.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from accounts_migration.assessment.plan import Plan, recorded_plan
from accounts_migration.assessment.tables import duration, size
from accounts_migration.databases.legacy_source import open_read_only, refuse_incomplete_structure
from accounts_migration.databases.snapshot import Snapshot, refuse_damaged
from accounts_migration.databases.target import Target, open_target
from accounts_migration.entities import ENTITIES
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.backup import Backup, refuse_changed
from accounts_migration.preflight import disk, items
from accounts_migration.preflight.approval import example, read_approval
from accounts_migration.preflight.items import Item, Verdict
from accounts_migration.preflight.window import parse_window
from accounts_migration.resources import LEGACY_TABLES, BackupResource, LegacyResource, TargetResource
from accounts_migration.settings import Settings

_Found = TypeVar("_Found")

_ASSESS = "Run accounts-migration assess SOURCE TARGET"


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


def whole_checklist(
    settings: Settings, legacy: LegacyResource, target: TargetResource, backups: BackupResource
) -> Iterator[Item]:
    """Judge every item, in the order of the list; one that cannot be judged has failed."""
    at = _once(lambda: situation(settings, legacy.snapshot()))
    latest = _once(lambda: next(iter(backups.all()), None))
    with ExitStack() as stack:
        database = _once(lambda: stack.enter_context(open_target(target.url)))
        judges: dict[str, Callable[[], Item]] = {
            items.SOURCE: lambda: source_access(legacy),
            items.TARGET: lambda: provisioned(database()),
            items.RIGHTS: lambda: rights(database()),
            items.SCHEMA: lambda: schema(database()),
            items.VOLUME: lambda: volume(at()),
            items.BANDWIDTH: lambda: bandwidth(database(), at),
            items.WINDOW: lambda: window(at()),
            items.APPROVAL: lambda: approval(at()),
            items.ROLLBACK: lambda: rollback(latest()),
            items.BACKUP: lambda: backup(latest(), database()),
            items.DISK: lambda: space(at(), database()),
        }
        for name, judge in judges.items():
            yield _judged(name, judge)


def before_writing(at: Situation, database: Target) -> list[Item]:
    """Judge the items that a migration does not begin without; they cost milliseconds."""
    return [
        _judged(items.TARGET, lambda: provisioned(database)),
        _judged(items.RIGHTS, lambda: rights(database)),
        _judged(items.WINDOW, lambda: window(at)),
        _judged(items.APPROVAL, lambda: approval(at)),
        _judged(items.DISK, lambda: space(at, database)),
    ]


def refuse_failed(what: str, judged: Sequence[Item]) -> None:
    """Raise MigrationError, naming every item that failed.

    Args:
        what: What is refused, as the beginning of a sentence.
        judged: The items.
    """
    failed = [item for item in judged if item.blocks]
    if failed:
        raise MigrationError(
            what,
            why="; ".join(f"{item.name}: {item.finding}" for item in failed),
            remedy=" ".join(dict.fromkeys(f"{item.remedy}." for item in failed if item.remedy)).rstrip("."),
        )


def source_access(legacy: LegacyResource) -> Item:
    """Open the live source, look for damage and for every table and column, and name its snapshot.

    Raises:
        MigrationError: It cannot be used.
    """
    with open_read_only(legacy.source) as connection:
        refuse_incomplete_structure(connection, LEGACY_TABLES)
        refuse_damaged(connection, legacy.source, "quick_check")
    snapshot = legacy.snapshot()
    rows = {f"rows of {name}": table.rows for name, table in snapshot.tables.items()}
    return Item(
        items.SOURCE,
        Verdict.passed,
        f"{legacy.source} is whole; snapshot {snapshot.snapshot_id}, {sum(rows.values()):,} rows",
        evidence={
            "snapshot": snapshot.snapshot_id,
            "sha256": snapshot.sha256,
            "integrity_check of the snapshot": snapshot.integrity,
            **rows,
            "tables and columns not migrated": len(snapshot.unmigrated),
        },
    )


def provisioned(database: Target) -> Item:
    """Ask the server what it is, and whether another migration is at work there.

    Raises:
        MigrationError: One is.
    """
    with database.lock():
        found = database.provisioning()
    if found.wanting:
        return Item(
            items.TARGET,
            Verdict.failed,
            f"{database.name}: {'; '.join(found.wanting)}",
            "Name another database, or let its administrator change this",
            found.facts,
        )
    facts = ", ".join(f"{name} {value}" for name, value in found.facts.items())
    return Item(items.TARGET, Verdict.passed, f"{database.name}: {facts}", evidence=found.facts)


def rights(database: Target) -> Item:
    """Ask what this user may not do."""
    denied = database.denied()
    if denied:
        return Item(
            items.RIGHTS,
            Verdict.failed,
            "; ".join(denied),
            "Grant these rights, or migrate as the owner of the database",
            {"rights that are lacking": len(denied)},
        )
    return Item(items.RIGHTS, Verdict.passed, f"this user may do in {database.name} all that a migration does")


def schema(database: Target) -> Item:
    """Look for tables that cannot take our rows, and for rows that are not ours.

    Raises:
        MigrationError: There are some.
    """
    if not database.examine():
        return Item(items.SCHEMA, Verdict.passed, "it is empty", evidence={"rows": 0})
    rows = {f"rows of {entity}": database.count(entity) for entity in ENTITIES}
    return Item(
        items.SCHEMA, Verdict.passed, f"it is ours: {sum(rows.values()):,} rows of an earlier migration", evidence=rows
    )


def volume(at: Situation) -> Item:
    """Look for the plan."""
    plan = at.plan
    if plan is None:
        return Item(items.VOLUME, Verdict.failed, at.lacks_plan, _ASSESS)
    tier = plan.recommendation
    return Item(
        items.VOLUME,
        Verdict.passed,
        f"{plan.volumes.accounts:,} accounts, {plan.volumes.transactions:,} transactions; "
        f"{duration(plan.estimated_seconds)} estimated",
        evidence={
            "plan": plan.digest,
            "measured at": plan.measured_at,
            "recommended approach": tier.approach,
            "estimated seconds": round(plan.estimated_seconds, 1),
        },
    )


def bandwidth(database: Target, at: Callable[[], Situation]) -> Item:
    """Measure the throughput, and hold it against the plan and the window."""
    found = database.throughput()
    rate = found.bytes_per_second
    evidence: dict[str, str | int | float] = {
        "round trip in ms": round(found.round_trip * 1000, 3),
        "MB/s": round(rate / 1e6, 1),
        "bytes sent": found.sent,
    }
    finding = f"round trip {found.round_trip * 1000:,.2f} ms, {rate / 1e6:,.1f} MB/s"
    plan = None
    with suppress(MigrationError):
        plan = at().plan
    if plan is None:
        return Item(items.BANDWIDTH, Verdict.passed, finding, evidence=evidence)
    sending = plan.bytes_needed("target") / rate
    evidence["seconds to send everything"] = round(sending, 1)
    if sending > plan.estimated_seconds:
        return Item(
            items.BANDWIDTH,
            Verdict.warning,
            f"{finding}: to send everything takes {duration(sending)}, longer than the plan's estimate",
            "Look for what slows the line, or assess again for another estimate",
            evidence,
        )
    return Item(items.BANDWIDTH, Verdict.passed, f"{finding}: everything in {duration(sending)}", evidence=evidence)


def window(at: Situation) -> Item:
    """Hold the time, and the plan's estimate for what is to be moved, against the window."""
    if at.settings.migration_window is None:
        return Item(items.WINDOW, Verdict.not_configured, "MIGRATION_WINDOW is not set", "Set it, if you have one")
    opening = parse_window(at.settings.migration_window)
    local = at.now.astimezone()
    evidence: dict[str, str | int | float] = {
        "window": str(opening),
        "now": local.isoformat(timespec="seconds"),
        "times without an offset": f"local time of this machine, {local:%Z} (UTC{local:%z})",
    }
    remedy = "Wait for the window, or set another in MIGRATION_WINDOW"
    if at.now < opening.opens:
        wait = duration((opening.opens - at.now).total_seconds())
        return Item(items.WINDOW, Verdict.failed, f"{opening} opens in {wait}", remedy, evidence)
    if at.now >= opening.closes:
        since = duration((at.now - opening.closes).total_seconds())
        return Item(items.WINDOW, Verdict.failed, f"{opening} closed {since} ago", remedy, evidence)
    left = (opening.closes - at.now).total_seconds()
    evidence["seconds left"] = round(left)
    if at.plan is None:
        finding = f"{opening} is open for another {duration(left)}; how long the migration takes is not known: "
        return Item(items.WINDOW, Verdict.warning, finding + at.lacks_plan, _ASSESS, evidence)
    needed = at.plan.estimated_seconds * at.share
    evidence["estimated seconds"] = round(needed, 1)
    if timedelta(seconds=needed) > opening.closes - at.now:
        finding = f"{opening} closes in {duration(left)}, and the migration takes about {duration(needed)}"
        return Item(items.WINDOW, Verdict.failed, finding, "Wait for a longer window, or migrate in phases", evidence)
    finding = f"{opening} is open for another {duration(left)}, the migration takes about {duration(needed)}"
    return Item(items.WINDOW, Verdict.passed, finding, evidence=evidence)


def approval(at: Situation) -> Item:
    """Hold the file of the approval against the present plan."""
    path = at.settings.migration_approval_file
    if path is None:
        finding = "MIGRATION_APPROVAL_FILE is not set"
        return Item(items.APPROVAL, Verdict.not_configured, finding, "Set it, if an approval is wanted")

    def failed(finding: str, remedy: str) -> Item:
        return Item(items.APPROVAL, Verdict.failed, finding, remedy)

    if at.plan is None:
        return failed(f"nothing can be approved: {at.lacks_plan}", f"{_ASSESS}, and have the new plan approved")
    wanted = "Have it written as " + ", ".join(example(at.plan.digest).splitlines())
    try:
        found = read_approval(path)
    except ValueError as error:
        return failed(f"the approval {path} cannot be read: {error}", wanted)
    if found.plan_digest != at.plan.digest:
        return failed(f"{path} approves another plan, {found.plan_digest[:12]}…, not {at.plan.digest[:12]}…", wanted)
    if found.approved_at > at.now:
        return failed(f"{path} was approved in the future, at {found.approved_at.isoformat()}", wanted)
    when = found.approved_at.isoformat(timespec="minutes")
    evidence = {"plan": found.plan_digest, "approved by": found.approved_by, "approved at": when}
    return Item(items.APPROVAL, Verdict.passed, f"by {found.approved_by}, {when}", evidence=evidence)


def rollback(latest: Backup | None) -> Item:
    """Look whether the backup was restored to a scratch place and compared."""
    if latest is None:
        return Item(items.ROLLBACK, Verdict.failed, "there is no backup to go back to", _TAKE_BACKUP)
    evidence: dict[str, str | int | float] = {
        "backup": latest.backup_id,
        "tables restored and compared": len(latest.figures.tables),
        "rows": latest.rows,
        "seconds": latest.seconds,
    }
    if latest.path is None:
        finding = f"{latest}: going back gives an empty target"
        return Item(items.ROLLBACK, Verdict.passed, finding, evidence=evidence)
    if not latest.restored:
        finding = f"the backup could only be read through, not restored: {latest.remark}"
        return Item(items.ROLLBACK, Verdict.warning, finding, "Give this user what is lacking", evidence)
    finding = f"{latest.rows:,} rows of {len(latest.figures.tables)} tables were restored and compared"
    return Item(items.ROLLBACK, Verdict.passed, finding, evidence=evidence)


_TAKE_BACKUP = "Take one: accounts-migration backup TARGET"


def backup(latest: Backup | None, database: Target) -> Item:
    """Look whether the newest backup is still what was written, and of the target as it is now.

    Raises:
        MigrationError: Its file was changed.
    """
    if latest is None:
        return Item(items.BACKUP, Verdict.failed, "there is no backup of the target", _TAKE_BACKUP)
    refuse_changed(latest)
    evidence: dict[str, str | int | float] = {
        "backup": latest.backup_id,
        "taken at": latest.taken_at,
        "sha256": latest.sha256 or "no file",
        "bytes": latest.size,
        "rows": latest.rows,
    }
    held = {name: table.rows for name, table in latest.figures.tables.items() if name in ENTITIES}
    stands = {entity: database.count(entity) for entity in ENTITIES} if database.examine() else {}
    different = [name for name in ENTITIES if held.get(name, 0) != stands.get(name, 0)]
    if different:
        finding = f"the target changed since the backup {latest.backup_id}: {', '.join(different)}"
        return Item(items.BACKUP, Verdict.failed, finding, _TAKE_BACKUP, evidence)
    return Item(items.BACKUP, Verdict.passed, f"{latest.backup_id}: {latest}", evidence=evidence)


def space(at: Situation, database: Target) -> Item:
    """Hold what is still needed against what is free, on each file system.

    Without a plan the need is estimated, and too little space no more than a warning: the estimate is generous, and a
    full disk leaves nothing half-loaded.
    """
    needs = disk.needs(at.settings, at.snapshot, at.plan, database.size())
    evidence: dict[str, str | int | float] = {
        f"bytes for {need.purpose}" + ("" if need.folder else ", not to be seen from here"): need.needed
        for need in needs
    }
    evidence["measured by"] = "the plan" if at.plan else f"the size of the snapshot: {at.lacks_plan}"
    if wrong := [*disk.unwritable(needs)]:
        remedy = "Give this user the right, or name other folders"
        return Item(items.DISK, Verdict.failed, "; ".join(wrong), remedy, evidence)
    if wrong := [*disk.lacking(needs)]:
        if at.plan is None:
            finding = f"estimated without a plan, {'; '.join(wrong)}"
            return Item(items.DISK, Verdict.warning, finding, _ASSESS, evidence)
        return Item(items.DISK, Verdict.failed, "; ".join(wrong), "Free space, or name other folders", evidence)
    words = ", ".join(f"{need.purpose} {size(need.needed)}" for need in needs)
    elsewhere = [need.purpose for need in needs if need.folder is None]
    hidden = f"; free space for {', '.join(elsewhere)} cannot be seen from here" if elsewhere else ""
    return Item(items.DISK, Verdict.passed, f"needed: {words}{hidden}", evidence=evidence)


def _judged(name: str, judge: Callable[[], Item]) -> Item:
    try:
        return judge()
    except MigrationError as error:
        return Item.refused(name, error)


def _once(work: Callable[[], _Found]) -> Callable[[], _Found]:
    """Do the work now, and return what gives its result, or raises its refusal, as often as it is asked."""
    try:
        found = work()
    except MigrationError as error:
        refusal = error
    else:
        return lambda: found

    def refuse() -> _Found:
        raise refusal

    return refuse
