"""Judging both databases: that source and target can be reached, are what they must be, and how fast the line is.

Here: one function for each item, from what is found now. Not here: the order of the list (`checklist`).
"""

from collections.abc import Callable
from contextlib import suppress

from accounts_migration.assessment.tables import duration
from accounts_migration.databases.legacy_source import open_read_only, refuse_incomplete_structure
from accounts_migration.databases.snapshot import refuse_damaged
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES
from accounts_migration.errors import MigrationError
from accounts_migration.preflight import items
from accounts_migration.preflight.items import Item, Verdict
from accounts_migration.preflight.situation import Situation
from accounts_migration.resources import LEGACY_TABLES, LegacyResource


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


def rights(database: Target, *, others: bool = False) -> Item:
    """Ask what this user may not do; `others` is whether a copy is to bring other tables, too."""
    denied = database.denied(others=others)
    if denied:
        return Item(
            items.RIGHTS,
            Verdict.failed,
            "; ".join(denied),
            f"Grant these rights, or {database.books.verb} as the owner of the database",
            {"rights that are lacking": len(denied)},
        )
    return Item(
        items.RIGHTS, Verdict.passed, f"this user may do in {database.name} all that a {database.books.deed} does"
    )


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
