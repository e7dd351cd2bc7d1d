"""One table of any kind, copied with its record in one transaction.

Here: making or replacing the table, its rows, its defects, its record. Not here: what comes after all tables have their
rows (`finishing`).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.content_digest import ContentDigest
from accounts_migration.databases.bookkeeping import (
    RecordedBatch,
    Snapshot,
    record_batch,
    record_snapshot,
    refuse_unaccounted,
    replace_defects,
)
from accounts_migration.databases.other_tables import ddl
from accounts_migration.databases.other_tables.cells import cells_of
from accounts_migration.databases.other_tables.origin import Origin
from accounts_migration.databases.other_tables.records import (
    Record,
    count_rows,
    kind_of_relation,
    recorded,
    refuse_tables_of_others,
)
from accounts_migration.databases.other_tables.rows import BATCH, PARENT_REJECTED, LostParents, Sieve, read_source
from accounts_migration.databases.other_tables.structure import OtherTable
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import literal, quoted
from accounts_migration.databases.target_interface import Target
from accounts_migration.errors import MigrationError
from accounts_migration.streams import read_ahead

Totals = dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class TableCopied:
    """What was done with a table.

    Args:
        table: Its name in the target.
        road: Whether it was made, replaced, or kept because nothing has changed.
        source_rows: The rows of the source: `loaded` and `rejected`.
        loaded: The rows that stand in the target, counted there.
        rejected: The rows that the target cannot hold, kept as defects.
        defects: (column, reason) -> rows.
        rejected_keys: The unique columns of the rejected rows, for those that refer to them.
    """

    table: str
    road: Literal["create", "replace", "keep"]
    source_rows: int
    loaded: int
    rejected: int
    defects: dict[tuple[str, str], int]
    rejected_keys: pa.Table


def copy_table(
    table: OtherTable,
    origin: Origin,
    target: Target,
    snapshot: Snapshot,
    *,
    allowed: int = 0,
    anew: bool = False,
    lost: LostParents | None = None,
) -> TableCopied:
    """Bring a table into the target, with its record in one transaction; keep it where nothing has changed.

    Args:
        table: The table, of an inventory of the origin for the target's engine.
        origin: Where its rows are.
        target: The target, whose books are those of copies and stand.
        snapshot: What the rows are of, as the books tell it.
        allowed: How many rows may be rejected.
        anew: Whether it is written also where the source has not changed, since somebody has changed the target.
        lost: The rejected parents, if any, whose children are rejected with them; see `following.lost_parents`.

    Raises:
        MigrationError: Something of others stands in the way, too many rows cannot be held (by column and reason), or
            a database fails. Nothing of this table was written.
    """
    with target.lock(), origin.open() as source:
        refuse_tables_of_others([table], target)
        before = recorded(target.session, table.name)
        stands = kind_of_relation(target.session, target.engine, table.name) is not None
        if not anew and before is not None and stands and _is_unchanged(before, table, source, target):
            return _keep(before, table, target, snapshot)
        with _references_unchecked(target), Sieve(table, target.engine, allowed, lost) as sieve:
            with target.session.transaction():
                if stands:
                    _drop(table, target)
                loaded = _load(table, source, target, sieve, snapshot)
            road: Literal["create", "replace"] = "replace" if stands else "create"
            reasons = dict(sieve.reasons)
            return TableCopied(table.name, road, sieve.seen, loaded, sieve.rejected, reasons, sieve.rejected_keys)


def _is_unchanged(before: Record, table: OtherTable, source: Session, target: Target) -> bool:
    # of rejected rows the books do not tell which keys went with them, nor whether their parents are mended
    if before.rejected or before.structure_digest != _digest(table.description):
        return False
    if count_rows(target.session, table.name) != before.loaded:
        return False
    content = Content()
    for rows in read_source(source, table):
        content.add(rows)
    return content.hexdigest() == before.content_digest


def _keep(before: Record, table: OtherTable, target: Target, snapshot: Snapshot) -> TableCopied:
    """Let the record speak of this snapshot; nothing else is written."""
    with target.session.transaction():
        record_snapshot(target.session, snapshot)
        target.session.execute(
            f"UPDATE {target.books.batch} SET snapshot_id = $1 WHERE entity = $2", (snapshot.snapshot_id, table.name)
        )
    return TableCopied(table.name, "keep", before.loaded, before.loaded, 0, {}, pa.table({}))


@contextmanager
def _references_unchecked(target: Target) -> Iterator[None]:
    """Let parents come after their children: `finish` looks for orphans."""
    if target.engine != "sqlite":
        yield
        return
    target.session.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        target.session.execute("PRAGMA foreign_keys = ON")


def _drop(table: OtherTable, target: Target) -> None:
    """Drop a table of ours; references to it, which `finish` has made, go first and are made again."""
    session, name = target.session, quoted(table.name)
    if target.engine == "postgresql":
        for child, reference in session.execute(
            "SELECT conrelid::regclass::text, conname::text FROM pg_constraint WHERE contype = 'f'"
            f" AND confrelid = {literal(name)}::regclass AND conrelid <> confrelid"
        ):
            session.execute(f"ALTER TABLE {child} DROP CONSTRAINT {quoted(reference)}")
    session.execute(f"DROP TABLE {name}")


def _load(table: OtherTable, source: Session, target: Target, sieve: Sieve, snapshot: Snapshot) -> int:
    session, cells, content = target.session, cells_of(target.engine), Content()
    session.execute(ddl.create_table(target.engine, table))
    stored = pa.schema([pa.field(column.name, cells.stored_type(column.type)) for column in table.columns])

    def parts() -> Iterator[pa.RecordBatch]:
        for rows in content.added(sieve.passed(read_ahead(read_source(source, table)))):
            if not sieve.holds_too_many:
                columns = zip(rows.columns, table.columns, strict=True)
                encoded = [cells.encode(values, column.type) for values, column in columns]
                yield pa.RecordBatch.from_arrays(encoded, schema=stored)

    session.ingest(table.name, stored, parts())
    _refuse_rejects(table, sieve)
    loaded = count_rows(session, table.name)
    defects = replace_defects(session, table.name, BATCH, sieve.records())
    record_snapshot(session, snapshot)
    record = RecordedBatch(
        entity=table.name,
        batch=BATCH,
        snapshot_id=snapshot.snapshot_id,
        source_rows=sieve.seen,
        loaded=loaded,
        rejected=sieve.rejected,
        excluded=0,
        repaired=0,
        control_totals=json.dumps({name: str(total) for name, total in content.totals.items()}),
        content_digest=content.hexdigest(),
        policies=table.description,
        policies_digest=_digest(table.description),
        loaded_at=datetime.now(UTC).replace(tzinfo=None),
    )
    refuse_unaccounted(record, defects)
    record_batch(session, record)
    return loaded


_UNWRITTEN = "Nothing of this table was written"


def _refuse_rejects(table: OtherTable, sieve: Sieve) -> None:
    if not sieve.holds_too_many:
        return
    reasons = "; ".join(f"{column}: {rows:,} {reason}" for (column, reason), rows in sorted(sieve.reasons.items()))
    follow = any(reason == PARENT_REJECTED for _, reason in sieve.reasons)
    raise MigrationError(
        f"Cannot copy table {table.source}",
        why=f"{sieve.rejected:,} of {sieve.seen:,} rows hold values that the target cannot"
        + (f", or refer to rejected rows: {reasons}" if follow else f": {reasons}"),
        remedy=("Its rows stand there without these parents, and the copy is not complete" if follow else _UNWRITTEN)
        + ". Mend these values in the source, or allow a share of rejected rows",
    )


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


class Content:
    """The digest of rows as they pass, and the exact totals of their numbers."""

    def __init__(self) -> None:
        """Begin with no rows."""
        self._digest = ContentDigest()
        self.totals: Totals = {}

    def added(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield rows, and add them."""
        for rows in batches:
            self.add(rows)
            yield rows

    def add(self, rows: pa.RecordBatch) -> None:
        """Add rows; all calls give the same columns."""
        table = pa.table(rows.columns, rows.schema)
        for name, total in totals(rows).items():
            self.totals[name] = self.totals.get(name, Decimal(0)) + total
        # a number of the digest cannot tell that it stands for NULL
        for name in rows.schema.names:
            table = table.append_column(f"{name} is null", pc.is_null(table[name]))
        self._digest.add(table)

    def hexdigest(self) -> str:
        """Return the digest of all rows so far, which tells their order, too."""
        return self._digest.hexdigest()


def totals(rows: pa.RecordBatch) -> Totals:
    """Return the exact sum of each column of integers or decimals."""
    sums: Totals = {}
    for name, cells in zip(rows.schema.names, rows.columns, strict=True):
        if pa.types.is_integer(cells.type) or pa.types.is_decimal(cells.type):
            wide = cells.cast(pa.decimal256(76, getattr(cells.type, "scale", 0)))
            sums[name] = pc.sum(wide).as_py() or Decimal(0)
    return sums
