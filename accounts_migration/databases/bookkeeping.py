"""What the target records about itself: snapshots, batches, defects (contract section 6).

Here: reading and writing the tables of the session's `books`. Not here: the rows they speak of
(`merge`, `target_interface`), and when a transaction begins and ends: every writer here is called within
one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.session import Parameter, Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_schema import TABLES, Kind, canonical_schema, column_names, kind_of, selected
from accounts_migration.errors import MigrationError


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The source that rows came from; `taken_at` is UTC, whole seconds, without zone."""

    snapshot_id: str
    source: str
    sha256: str
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class RecordedBatch:
    """A row of the table of batches: what was loaded, from which snapshot, under which policies.

    `source_rows = loaded + rejected + excluded`, unless rows were removed with their parents since: then
    the batch wants loading again. `repaired` counts rows, `loaded_at` is UTC without zone.
    """

    entity: str
    batch: str
    snapshot_id: str
    source_rows: int
    loaded: int
    rejected: int
    excluded: int
    repaired: int
    control_totals: str
    content_digest: str
    policies: str
    policies_digest: str
    loaded_at: datetime


def as_text(moment: datetime) -> str:
    """Return a date-time as contract section 6 writes it: a fraction only where there is one."""
    return moment.replace(tzinfo=None).isoformat(sep=" ")


def _upsert(session: Session, table: str, values: Mapping[str, Parameter]) -> None:
    """Insert the row, or bring the row of the same key up to date."""
    columns = list(TABLES[table].columns)
    places = [
        session.moment(f"${number}") if kind_of(column) is Kind.MOMENT else f"${number}"
        for number, column in enumerate(columns, start=1)
    ]
    keys = [column.name for column in columns if column.primary_key]
    others = [column.name for column in columns if not column.primary_key]
    updates = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
    session.execute(
        f"INSERT INTO {quoted(table)} ({selected(column_names(table))}) VALUES ({', '.join(places)})"
        f" ON CONFLICT ({selected(keys)}) DO UPDATE SET {updates}",
        [values[column.name] for column in columns],
    )


def record_snapshot(session: Session, snapshot: Snapshot) -> None:
    """Write the snapshot's row."""
    _upsert(
        session,
        session.books.snapshot,
        {
            "snapshot_id": snapshot.snapshot_id,
            "source": snapshot.source,
            "sha256": snapshot.sha256,
            "taken_at": as_text(snapshot.taken_at),
        },
    )


def record_batch(session: Session, recorded: RecordedBatch) -> None:
    """Write the batch's row in place of an earlier one."""
    values = {field.name: getattr(recorded, field.name) for field in fields(recorded)}
    _upsert(session, session.books.batch, values | {"loaded_at": as_text(recorded.loaded_at)})


def lower_loaded(session: Session, entity: str, removed: Mapping[str, int]) -> None:
    """Take rows off their batches' counts: removed with their parents, or moved to another batch."""
    for batch, rows in sorted(removed.items()):
        session.execute(
            f"UPDATE {session.books.batch} SET loaded = loaded - $1 WHERE entity = $2 AND batch = $3",
            (rows, entity, batch),
        )


def loaded_by_batch(session: Session, entity: str) -> dict[str, int]:
    """Return the recorded number of loaded rows of each batch."""
    return dict(session.execute(f"SELECT batch, loaded FROM {session.books.batch} WHERE entity = $1", (entity,)))


def is_fresh(session: Session, entity: str, batch: str, snapshot_id: str, policies_digest: str) -> bool:
    """Return whether the batch was never loaded, and all others come from the same snapshot and policies.

    Then no row of the table can be in the way, and the batch may simply be inserted.
    """
    in_the_way = session.value(
        f"SELECT count(*) FROM {session.books.batch} WHERE entity = $1"
        " AND (batch = $2 OR snapshot_id <> $3 OR policies_digest <> $4)",
        (entity, batch, snapshot_id, policies_digest),
    )
    return bool(in_the_way == 0)


def replace_defects(session: Session, entity: str, batch: str, defects: Iterable[pa.RecordBatch]) -> dict[str, int]:
    """Write the batch's defects in place of the earlier ones.

    Args:
        session: In a transaction.
        entity: The entity of all of them.
        batch: The batch of all of them.
        defects: Columns of the table of defects, string except source_row_id int64.

    Returns:
        The number of records by action as the database counts them, and `rows repaired`: repaired rows,
        each of which may have several records.
    """
    table = session.books.defect
    session.execute(f"DELETE FROM {table} WHERE entity = $1 AND batch = $2", (entity, batch))
    schema = canonical_schema(table)
    storable = (_storable(part, schema) for part in defects if part.num_rows)
    first = next(storable, None)
    if first is not None:
        session.ingest(table, schema, chain([first], storable))
    rows = session.execute(
        f"SELECT action, count(*), count(DISTINCT source_key) FROM {table}"
        " WHERE entity = $1 AND batch = $2 GROUP BY action",
        (entity, batch),
    )
    counts = {action: records for action, records, _ in rows}
    return counts | {"rows repaired": next((keys for action, _, keys in rows if action == "repaired"), 0)}


def _storable(defects: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Write U+0000, which PostgreSQL cannot hold, as its escape: these texts are for a person to read."""
    columns = [
        pc.replace_substring(column, "\x00", "\\u0000") if pa.types.is_string(column.type) else column
        for column in (defects.column(name) for name in schema.names)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def list_rows(session: Session, entity: str, batch: str, keys: pa.ChunkedArray) -> None:
    """List rows whose date does not tell their batch."""
    schema = canonical_schema(session.books.batch_row)

    def parts() -> Iterator[pa.RecordBatch]:
        for chunk in keys.chunks:
            columns = {"entity": _repeated(entity, len(chunk)), "target_key": chunk}
            yield pa.record_batch(columns | {"batch": _repeated(batch, len(chunk))}, schema=schema)

    if len(keys):
        session.ingest(session.books.batch_row, schema, parts())


def _repeated(text: str, times: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), times)


def refuse_unaccounted(recorded: RecordedBatch, defects: Mapping[str, int]) -> None:
    """Raise MigrationError where a batch breaks the law of contract section 1, or lacks defect records."""
    accounted = recorded.loaded + recorded.rejected + recorded.excluded
    found = {action: defects.get(action, 0) for action in ("rejected", "excluded")}
    if recorded.source_rows == accounted and found == {
        "rejected": recorded.rejected,
        "excluded": recorded.excluded,
    }:
        return
    raise MigrationError(
        f"Batch {recorded.batch} of {recorded.entity} was not loaded",
        why=f"not every row is accounted for: source {recorded.source_rows:,}, loaded {recorded.loaded:,}, "
        f"rejected {recorded.rejected:,}, excluded {recorded.excluded:,}; recorded as defects: "
        f"rejected {found['rejected']:,}, excluded {found['excluded']:,}",
        remedy="Nothing was written. Clean the batch again from the snapshot, then load it",
    )
