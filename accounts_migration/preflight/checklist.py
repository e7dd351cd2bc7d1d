"""The checklist: every item judged in its order, those without which nothing is written, and the way back.

Here: the lists, backups and disk space. Not here: judging databases and decisions (`connections`, `decisions`), Dagster
(`accounts_migration.assets.preflight`) and how the list is shown (`accounts_migration.commands.preflight`). Nothing is
written into source and target, but a temporary table where throughput is measured.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TypeVar

from accounts_migration.assessment.tables import size
from accounts_migration.databases.target import Target, open_target
from accounts_migration.entities import ENTITIES
from accounts_migration.errors import MigrationError
from accounts_migration.operations.backup import Backup, refuse_changed
from accounts_migration.preflight import disk, items
from accounts_migration.preflight.connections import bandwidth, provisioned, rights, schema, source_access
from accounts_migration.preflight.decisions import approval, volume, window
from accounts_migration.preflight.items import Item, Verdict
from accounts_migration.preflight.situation import ASSESS, Situation, situation
from accounts_migration.resources import BackupResource, LegacyResource, TargetResource
from accounts_migration.settings import Settings

_Found = TypeVar("_Found")


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


def before_copying(database: Target, *, all_tables: bool) -> list[Item]:
    """Judge the items that a copy does not begin without, before it reads anything; they cost milliseconds."""
    return [
        _judged(items.TARGET, lambda: provisioned(database)),
        _judged(items.RIGHTS, lambda: rights(database, others=all_tables)),
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
            return Item(items.DISK, Verdict.warning, finding, ASSESS, evidence)
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
