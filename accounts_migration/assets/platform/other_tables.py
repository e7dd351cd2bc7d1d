"""`platform/other_tables`: every other table of the database that is copied, carried along and compared.

Here: the asset and its check. Who does not ask for these tables does not select it. Not here: how a table is carried
(`accounts_migration.databases.other_tables`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.platform.backup import COPY_BACKUP, back_up_alone
from accounts_migration.assets.platform.proof import COPY_CONSTRAINTS
from accounts_migration.assets.platform.snapshot import PLATFORM_SNAPSHOT
from accounts_migration.databases.other_tables import (
    Inventory,
    LostParents,
    Origin,
    OtherTable,
    RowDiffers,
    TableCompared,
    TableCopied,
    compare,
    copy_table,
    finish,
    lost_parents,
    refuse_tables_of_others,
    take_inventory,
)
from accounts_migration.databases.platform_snapshot import HANDLED, OURS
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities.defects import masked_key
from accounts_migration.entities.policies import Policies
from accounts_migration.resources import BackupResource, PlatformResource, TargetResource, as_recorded

OTHER_TABLES = dg.AssetKey(["platform", "other_tables"])
EQUAL_CHECK = "equal"

TABLES, NOT_CARRIED = "tables", "not carried"
"""The metadata entries with a row for each table, and for each thing that could not be carried."""

_LINES = 1000


@dg.asset(
    key=OTHER_TABLES,
    group_name="platform",
    kinds={"sql"},
    ins={"snapshot": dg.AssetIn(PLATFORM_SNAPSHOT)},
    deps=[COPY_BACKUP, COPY_CONSTRAINTS],
    pool="target",
    check_specs=[
        dg.AssetCheckSpec(
            EQUAL_CHECK,
            asset=OTHER_TABLES,
            description="Every row read back equals the source's; references and next numbers hold.",
        )
    ],
)
def other_tables(
    context: dg.AssetExecutionContext,
    snapshot: Snapshot,
    policies: dg.ResourceParam[Policies],
    platform: dg.ResourceParam[PlatformResource],
    copy_target: dg.ResourceParam[TargetResource],
    copy_backups: dg.ResourceParam[BackupResource],
) -> Iterator[dg.MaterializeResult[None]]:
    """Tables that are no entity's, with keys, indexes, references, next numbers; what cannot be carried is listed."""
    with failing_clearly(), copy_target.open() as database, database.lock():
        back_up_alone(context, database, copy_backups)
        # of a database without an Account Processing System these are all there are
        alone = not snapshot.tables
        database.prepare(books_alone=alone)
        origin = platform.origin()
        inventory = take_inventory(origin, database.engine, besides=OURS if alone else HANDLED)
        for line in inventory.noted[:_LINES]:
            context.log.info(line)
        refuse_tables_of_others(inventory.tables, database)
        done = _carried(context, inventory, origin, database, snapshot, policies)
    for one in inventory.not_carried:
        context.log.warning(str(one))
    for found in done.compared:
        for fault in [*found.faults, *map(_masked, found.examples)]:
            context.log.error(f"{found.table}: {fault}")
    yield dg.MaterializeResult(metadata=_metadata(inventory, done), check_results=[_equal(done.compared)])


@dataclass(frozen=True, slots=True)
class _Carried:
    """What was done: by table, the steps that came after, and what the comparison found."""

    copied: Mapping[str, TableCopied]
    steps: Sequence[str]
    compared: Sequence[TableCompared]


def _carried(
    context: dg.AssetExecutionContext,
    inventory: Inventory,
    origin: Origin,
    database: Target,
    snapshot: Snapshot,
    policies: Policies,
) -> _Carried:
    """Bring every table, and compare; those that were kept, and that somebody has changed, are brought anew.

    So are those with rows that refer to a rejected one: they are rejected, too.
    """
    record = as_recorded(snapshot)

    def carry(table: OtherTable, *, anew: bool = False, lost: LostParents | None = None) -> TableCopied:
        allowed = policies.most_rejects(table.rows)
        done = copy_table(table, origin, database, record, allowed=allowed, anew=anew, lost=lost)
        context.log.info(f"{done.table}: {done.loaded:,} rows {_ROADS[done.road]}, {done.rejected:,} rejected")
        return done

    def finished() -> tuple[list[str], list[TableCompared], set[str]]:
        lost = lost_parents(inventory, copied, database)
        for table in inventory.tables:
            if table.name in lost:
                context.log.info(f"{table.name}: rows refer to rejected ones, and are rejected with them")
                copied[table.name] = carry(table, anew=True, lost=lost[table.name])
        return finish(inventory, database), compare(inventory, origin, database, lost), set(lost)

    copied = {table.name: carry(table) for table in inventory.tables}
    steps, compared, lacking = finished()
    if altered := _altered(copied, compared):
        context.log.info(f"changed by somebody since: {', '.join(sorted(altered))}")
        # whether rows follow a rejected one is asked of whole tables
        copied |= {table.name: carry(table, anew=True) for table in inventory.tables if table.name in altered | lacking}
        further, compared, _ = finished()
        steps += further
    return _Carried(copied, steps, compared)


def _equal(compared: Sequence[TableCompared]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=EQUAL_CHECK,
        passed=all(table.is_equal for table in compared),
        metadata={
            "tables": len(compared),
            "rows compared": sum(table.compared for table in compared),
            "different": ", ".join(table.table for table in compared if not table.is_equal) or "none",
        },
    )


def _altered(copied: Mapping[str, TableCopied], compared: Iterable[TableCompared]) -> set[str]:
    """Return the tables that were kept, being equal in digest and number, yet hold other rows than were brought."""
    return {one.table for one in compared if one.differences and copied[one.table].road == "keep"}


_ROADS = {"create": "loaded", "replace": "loaded anew", "keep": "stand unchanged"}


def _metadata(inventory: Inventory, done: _Carried) -> dict[str, Any]:
    return {
        TABLES: _table(
            ("table", "rows in source", "rows in target", "compared", "rejected", "differences"),
            [
                (one.table, one.rows_in_source, one.rows_in_target, one.compared, one.rejected, _differences(one))
                for one in done.compared
            ],
        ),
        "rejected": _table(
            ("table", "column", "reason", "rows"),
            [(one.table, *where, rows) for one in done.copied.values() for where, rows in one.defects.items()],
        ),
        NOT_CARRIED: _table(("kind", "name", "why"), [(one.kind, one.name, one.why) for one in inventory.not_carried]),
        "columns": _listed(inventory.choices),
        "steps": _listed(done.steps),
    }


def _masked(row: RowDiffers) -> RowDiffers:
    return replace(row, key=masked_key(row.key))


def _differences(table: TableCompared) -> int:
    return sum(table.differences.values()) + len(table.faults)


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> dg.MetadataValue:
    if not rows:
        return dg.MetadataValue.text("none")
    records = [dg.TableRecord(dict(zip(names, map(_shown, row), strict=True))) for row in rows[:_LINES]]
    return dg.MetadataValue.table(records)


def _shown(cell: object) -> str | int:
    return cell if isinstance(cell, int) else str(cell)


def _listed(lines: Sequence[str]) -> dg.MetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines[:_LINES]) or "none")
