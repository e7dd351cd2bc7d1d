"""`platform/other_tables`: every other table of the database that is copied, carried along and compared.

Here: the asset and its check. Who does not ask for these tables does not select it. Not here: how a table is carried
(`accounts_migration.databases.other_tables`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.platform.backup import COPY_BACKUP
from accounts_migration.assets.platform.proof import COPY_CONSTRAINTS
from accounts_migration.assets.platform.snapshot import PLATFORM_SNAPSHOT
from accounts_migration.databases.bookkeeping import Snapshot as SnapshotRecord
from accounts_migration.databases.other_tables import (
    Inventory,
    RowDiffers,
    TableCompared,
    TableCopied,
    compare,
    copy_table,
    finish,
    refuse_tables_of_others,
    take_inventory,
)
from accounts_migration.databases.platform_snapshot import HANDLED, OURS
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities.defects import masked_key
from accounts_migration.entities.policies import Policies
from accounts_migration.resources import PlatformResource, TargetResource

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
) -> Iterator[dg.MaterializeResult[None]]:
    """Tables that are no entity's, with keys, indexes, references, next numbers; what cannot be carried is listed."""
    with failing_clearly(), copy_target.open() as database, database.lock():
        # of a database without an Account Processing System these are all there are
        alone = not snapshot.tables
        database.prepare(books_alone=alone)
        origin = platform.origin()
        inventory = take_inventory(origin, database.engine, besides=OURS if alone else HANDLED)
        refuse_tables_of_others(inventory.tables, database)
        record = SnapshotRecord(snapshot.snapshot_id, snapshot.source, snapshot.sha256, snapshot.time)
        copied = []
        for table in inventory.tables:
            done = copy_table(table, origin, database, record, max_reject_rate=float(policies.max_reject_rate))
            context.log.info(f"{done.table}: {done.loaded:,} rows {_ROADS[done.road]}, {done.rejected:,} rejected")
            copied.append(done)
        steps = finish(inventory, database)
        compared = compare(inventory, origin, database)
    for one in inventory.not_carried:
        context.log.warning(str(one))
    for found in compared:
        for fault in [*found.faults, *map(_masked, found.examples)]:
            context.log.error(f"{found.table}: {fault}")
    check = dg.AssetCheckResult(
        check_name=EQUAL_CHECK,
        passed=all(table.is_equal for table in compared),
        metadata={
            "tables": len(compared),
            "rows compared": sum(table.compared for table in compared),
            "different": ", ".join(table.table for table in compared if not table.is_equal) or "none",
        },
    )
    yield dg.MaterializeResult(metadata=_metadata(inventory, copied, compared, steps), check_results=[check])


_ROADS = {"create": "loaded", "replace": "loaded anew", "keep": "stand unchanged"}


def _metadata(
    inventory: Inventory, copied: Sequence[TableCopied], compared: Sequence[TableCompared], steps: Sequence[str]
) -> dict[str, Any]:
    return {
        TABLES: _table(
            ("table", "rows in source", "rows in target", "compared", "rejected", "differences"),
            [
                (one.table, one.rows_in_source, one.rows_in_target, one.compared, one.rejected, _differences(one))
                for one in compared
            ],
        ),
        "rejected": _table(
            ("table", "column", "reason", "rows"),
            [(one.table, *where, rows) for one in copied for where, rows in one.defects.items()],
        ),
        NOT_CARRIED: _table(("kind", "name", "why"), [(one.kind, one.name, one.why) for one in inventory.not_carried]),
        "columns": _listed(inventory.choices),
        "steps": _listed(steps),
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
