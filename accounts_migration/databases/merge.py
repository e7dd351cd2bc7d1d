"""A batch brought into a table that already holds rows: keyed, minimal, and with true books.

Here: which rows to remove, update and insert, so that the table holds exactly the incoming rows of the
batch and an unchanged re-load writes none (contract section 6). Not here: the transaction and the batch's
own record (`target_interface`), and a first load, which needs none of this.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa

from accounts_migration.databases.batches import ALL, DATE_COLUMN, PARTITIONED, is_outside, member_keys
from accounts_migration.databases.bookkeeping import loaded_by_batch, lower_loaded
from accounts_migration.databases.books import Books
from accounts_migration.databases.readings import count_by_batch, label_of
from accounts_migration.databases.references import refuse_referred
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_schema import children_of, column_names, key_of, selected
from accounts_migration.errors import MigrationError

_INCOMING = "migration_incoming"
_PRESENT = "migration_present"


@dataclass
class Changes:
    """How many rows a load changed; `removed_elsewhere` counts those of other (entity, batch)."""

    inserted: int = 0
    updated: int = 0
    removed: int = 0
    removed_elsewhere: dict[tuple[str, str], int] = field(default_factory=dict)


def merge(
    session: Session, entity: str, batch: str, schema: pa.Schema, rows: Iterable[pa.RecordBatch]
) -> tuple[int, Changes]:
    """Make the batch's rows in the table equal to the incoming ones.

    Args:
        session: In a transaction, of which this is a part.
        entity: The table.
        batch: The batch that is loaded.
        schema: The Arrow schema of the rows in stored form.
        rows: The incoming rows in stored form, whatever their number.

    Returns:
        The number of incoming rows that now stand in the table, counted there, and what was changed.

    Raises:
        MigrationError: The batch holds rows that this migration did not write, or a key comes twice.
    """
    changes = Changes()
    table, key = quoted(entity), quoted(key_of(entity))
    columns = selected(column_names(entity))
    with (
        _temporary(session, _INCOMING, f"SELECT {columns} FROM {table} WHERE 1 = 0"),  # names of our schema
        _temporary(session, _PRESENT, member_keys(entity, batch, session.books)),
    ):
        session.ingest(_INCOMING, schema, rows, temporary=True)
        session.execute(f"CREATE UNIQUE INDEX migration_incoming_key ON {_INCOMING} ({key})")
        session.execute(f"CREATE UNIQUE INDEX migration_present_key ON {_PRESENT} (target_key)")
        session.execute(f"ANALYZE {_INCOMING}")
        session.execute(f"ANALYZE {_PRESENT}")
        _refuse_foreign_rows_of_batch(session, entity, batch)
        changes.removed = _remove_gone(session, entity, batch, changes)
        if entity == PARTITIONED:
            _remove_from_other_batches(session, entity, changes)
        changes.updated = _update_different(session, entity)
        changes.inserted = _insert_missing(session, entity)
        if entity == PARTITIONED:
            _list_outside(session, entity, batch)
        loaded = session.value(
            f"SELECT count(*) FROM {_INCOMING} AS i WHERE EXISTS (SELECT 1 FROM {table} AS t WHERE t.{key} = i.{key})"
        )
    return int(loaded), changes


@contextmanager
def _temporary(session: Session, name: str, query: str) -> Iterator[None]:
    """Hold the query's rows in a table of this session; a roll back takes it away as well."""
    session.execute(f"CREATE TEMPORARY TABLE {name} AS {query}")
    yield
    session.execute(f"DROP TABLE {name}")


def _refuse_foreign_rows_of_batch(session: Session, entity: str, batch: str) -> None:
    present = session.value(f"SELECT count(*) FROM {_PRESENT}")  # a constant
    recorded = loaded_by_batch(session, entity).get(batch, 0)
    if present > recorded:
        raise foreign_rows(session.target_name, session.books, entity, {batch: (present, recorded)})


def foreign_rows(target_name: str, books: Books, entity: str, counts: dict[str, tuple[int, int]]) -> MigrationError:
    """Return the error that rows stand in the table which this migration did not write.

    Args:
        target_name: The target as it is shown.
        books: Those in which they are not recorded.
        entity: The table.
        counts: By batch, the number of rows found and the number recorded.
    """
    found = "; ".join(
        f"{'' if batch == ALL else f'batch {batch}: '}{present:,} rows stand there, {recorded:,} are recorded"
        for batch, (present, recorded) in sorted(counts.items())
    )
    return MigrationError(
        f"Table {entity} of {target_name} holds rows that this {books.deed} did not write",
        why=found,
        remedy=f"Nothing was written. Move these rows elsewhere, or {books.verb} into another database",
    )


def _remove_gone(session: Session, entity: str, batch: str, changes: Changes) -> int:
    """Remove the batch's rows that are not incoming."""
    key = quoted(key_of(entity))
    gone = (
        f"SELECT target_key FROM {_PRESENT} AS p"
        f" WHERE NOT EXISTS (SELECT 1 FROM {_INCOMING} AS i WHERE i.{key} = p.target_key)"
    )
    with _temporary(session, "migration_gone", gone):
        return sum(_remove(session, entity, "migration_gone", changes, own_batch=batch).values())


def _remove_from_other_batches(session: Session, entity: str, changes: Changes) -> None:
    """Remove rows whose key is incoming, but which belong to another batch so far."""
    key = quoted(key_of(entity))
    moved = (
        f"SELECT t.{key} AS target_key FROM {_INCOMING} AS i JOIN {quoted(entity)} AS t ON t.{key} = i.{key}"
        f" WHERE NOT EXISTS (SELECT 1 FROM {_PRESENT} AS p WHERE p.target_key = i.{key})"
    )
    with _temporary(session, "migration_moved", moved):
        _remove(session, entity, "migration_moved", changes, own_batch=None)


def _remove(session: Session, entity: str, doomed: str, changes: Changes, *, own_batch: str | None) -> dict[str, int]:
    """Remove the rows whose keys the table `doomed` holds, their children first, and correct the books.

    Returns the removed rows by batch. Whatever is not of the batch that is being loaded must be ours by the
    books, or nothing at all is removed.
    """
    if session.value(f"SELECT count(*) FROM {doomed}") == 0:  # a constant
        return {}
    if own_batch is None:
        _refuse_foreign_rows_of_any_batch(session, entity)
    for child, column in children_of(entity):
        children = (
            f"SELECT {quoted(key_of(child))} AS target_key FROM {quoted(child)}"
            f" WHERE {quoted(column)} IN (SELECT target_key FROM {doomed})"
        )
        with _temporary(session, f"migration_gone_{child}", children):
            _remove(session, child, f"migration_gone_{child}", changes, own_batch=None)
    batches = _batches_of(session, entity, doomed)
    lower_loaded(session, entity, batches)
    for batch, rows in batches.items():
        if batch != own_batch:
            place = (entity, batch)
            changes.removed_elsewhere[place] = changes.removed_elsewhere.get(place, 0) + rows
    refuse_referred(session, entity, doomed)
    keys = f"(SELECT target_key FROM {doomed})"  # a constant
    session.execute(f"DELETE FROM {session.books.batch_row} WHERE entity = '{entity}' AND target_key IN {keys}")
    session.execute(f"DELETE FROM {quoted(entity)} WHERE {quoted(key_of(entity))} IN {keys}")  # our names
    return batches


def _refuse_foreign_rows_of_any_batch(session: Session, entity: str) -> None:
    recorded = loaded_by_batch(session, entity)
    too_many = {
        batch: (rows, recorded.get(batch, 0))
        for batch, rows in count_by_batch(session, entity).items()
        if rows > recorded.get(batch, 0)
    }
    if too_many:
        raise foreign_rows(session.target_name, session.books, entity, too_many)


def _batches_of(session: Session, entity: str, doomed: str) -> dict[str, int]:
    if entity != PARTITIONED:
        return {ALL: session.value(f"SELECT count(*) FROM {doomed}")}  # a constant
    key = quoted(key_of(entity))
    counts: dict[str, int] = {}
    for listed, month, rows in session.execute(
        f"SELECT r.batch, {session.month(f't.{DATE_COLUMN}')}, count(*)"
        f" FROM {doomed} AS d JOIN {quoted(entity)} AS t ON t.{key} = d.target_key"
        f" LEFT JOIN {session.books.batch_row} AS r ON r.entity = '{entity}' AND r.target_key = d.target_key"
        " GROUP BY 1, 2"
    ):
        batch = listed or label_of(session, month)
        counts[batch] = counts.get(batch, 0) + rows
    return counts


def _update_different(session: Session, entity: str) -> int:
    key = quoted(key_of(entity))
    names = [quoted(name) for name in column_names(entity) if name != key_of(entity)]
    values = ", ".join(f"{name} = i.{name}" for name in names)
    different = " OR ".join(f"t.{name} IS DISTINCT FROM i.{name}" for name in names)
    return session.changed(
        f"UPDATE {quoted(entity)} AS t SET {values} FROM {_INCOMING} AS i WHERE t.{key} = i.{key} AND ({different})"
    )


def _insert_missing(session: Session, entity: str) -> int:
    key = quoted(key_of(entity))
    columns = selected(column_names(entity))
    return session.changed(
        f"INSERT INTO {quoted(entity)} ({columns}) SELECT {columns} FROM {_INCOMING} AS i"
        f" WHERE NOT EXISTS (SELECT 1 FROM {quoted(entity)} AS t WHERE t.{key} = i.{key})"
    )


def _list_outside(session: Session, entity: str, batch: str) -> None:
    """Bring the list of rows outside their month up to date for the batch, touching only what changed."""
    key = quoted(key_of(entity))
    outside = f"SELECT i.{key} FROM {_INCOMING} AS i WHERE {is_outside(batch, 'i')}"
    session.execute(
        f"DELETE FROM {session.books.batch_row} WHERE entity = '{entity}' AND batch = '{batch}'"  # checked label
        f" AND target_key NOT IN ({outside})"
    )
    session.execute(
        f"INSERT INTO {session.books.batch_row} (entity, target_key, batch)"  # checked label
        f" SELECT '{entity}', o.target_key, '{batch}'"
        f" FROM (SELECT i.{key} AS target_key FROM {_INCOMING} AS i WHERE {is_outside(batch, 'i')}) AS o"
        f" WHERE NOT EXISTS (SELECT 1 FROM {session.books.batch_row} AS r"
        f" WHERE r.entity = '{entity}' AND r.target_key = o.target_key)"
    )
