"""The rows of any table on their way, in the Arrow types of `forms`, read in storage order.

Here: reading them from a source and back from a target, and setting apart those that no target column can hold. Not
here: writing and comparing them.
"""

import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.legacy_source.cells import sound, undecodable_rows
from accounts_migration.databases.other_tables.cells import cells_of
from accounts_migration.databases.other_tables.forms import Form, Reading
from accounts_migration.databases.other_tables.sqlite_cells import FIRST_CELL
from accounts_migration.databases.other_tables.structure import OtherTable, in_parts
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.sqlite_session import SqliteSession
from accounts_migration.databases.target_schema import canonical_schema
from accounts_migration.errors import MigrationError
from accounts_migration.legacy_values import LegacyValue, UndecodableText, as_text, source_row_json

_TERMS_AT_ONCE = 100
BATCH = "all"
ODD = "odd"
"""The last column of `read_target`: how many cells of a row are no value that a copy writes."""

NUL, ENCODING, PARENT_REJECTED = "NUL_CHARACTER", "INVALID_ENCODING", "PARENT_REJECTED"
"""The reasons of contract sections 4 and 5 for which a row is rejected."""

LostParents = Mapping[tuple[str, ...], pa.Table]
"""Columns of a foreign key of a table -> what stands there in the rows whose parent is rejected."""


def read_source(session: Session, table: OtherTable) -> Iterator[pa.RecordBatch]:
    """Yield all rows of the source, in `OtherTable.schema`.

    Raises:
        MigrationError: A value is not of the type that the inventory found for its column: it was written since.
    """
    readings = [column.reading for column in table.columns]
    for rows in _read(session, table, table.relation, readings):
        if pc.any(pc.not_equal(rows[ODD], 0)).as_py():
            raise MigrationError(
                f"Cannot copy table {table.source}",
                why="it holds values that the inventory did not find",
                remedy="Nothing of this table was written. Copy from a snapshot that nobody writes",
            )
        yield rows.drop_columns(ODD)


def read_target(session: Session, engine: str, table: OtherTable) -> Generator[pa.RecordBatch]:
    """Yield all rows of the target, in `OtherTable.schema` and the column ODD (int64)."""
    cells = cells_of(engine)
    readings = [cells.reading(quoted(column.name), column.type) for column in table.columns]
    for rows in _read(session, table, quoted(table.name), readings):
        broken = undecodable_rows(rows.columns)
        yield _marked(rows, broken) if broken else rows


@contextmanager
def in_storage_order(session: Session) -> Iterator[None]:
    """Let PostgreSQL read by one process: several would mix their rows."""
    if isinstance(session, SqliteSession):
        yield
        return
    session.execute("SELECT set_config('max_parallel_workers_per_gather', '0', false)")
    try:
        yield
    finally:
        session.execute("RESET max_parallel_workers_per_gather")


def _marked(rows: pa.RecordBatch, broken: Sequence[int]) -> pa.RecordBatch:
    """Mark the rows with TEXT that is not UTF-8 as odd, so that no later step stumbles over it."""
    odd = pc.add(rows[ODD], pa.array([int(place in broken) for place in range(rows.num_rows)], pa.int64()))
    return pa.RecordBatch.from_arrays([*map(sound, rows.columns[:-1]), odd], schema=rows.schema)


def _read(session: Session, table: OtherTable, relation: str, readings: Sequence[Reading]) -> Iterator[pa.RecordBatch]:
    schema = table.schema.append(pa.field(ODD, pa.int64()))
    odds = [reading.odd for reading in readings if reading.odd != "0"]
    # an expression may be nested a thousand times in SQLite, and each plus nests one
    odd = " + ".join(f"({' + '.join(some)})" for some in in_parts(odds, _TERMS_AT_ONCE)) or "0"
    values = ", ".join([*(reading.value for reading in readings), f"CAST({odd} AS bigint)"])
    if not isinstance(session, SqliteSession):
        for batch in session.stream(f"SELECT {values} FROM {relation}"):
            yield _typed(batch, schema)
        return
    session.rows_per_read = table.rows_at_once
    firsts = ", ".join(FIRST_CELL[kind] for kind in [*(column.type.read_type for column in table.columns), pa.int64()])
    # by no index: in it, the rows stand in another order
    query = f"SELECT {firsts} UNION ALL SELECT {values} FROM {relation} NOT INDEXED"
    for number, batch in enumerate(session.stream(query)):
        yield _typed(batch if number else batch.slice(1), schema)


def _typed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the cells in the types in which they travel."""
    columns = [
        cells if cells.type == field.type else cells.cast(field.type)
        for cells, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


class Sieve:
    """Sets apart the rows that the target cannot hold; use it as a context manager, which forgets them.

    They wait on disk: there may be many.

    Args:
        table: Whose rows they are.
        engine: The target's.
        allowed: How many may be set apart and kept; of further ones only the reasons are counted.
        lost: The parents that are rejected: rows that refer to one are set apart, too.
    """

    def __init__(self, table: OtherTable, engine: str, allowed: int, lost: LostParents | None = None) -> None:
        """Begin with no rows."""
        self._table, self._engine, self._allowed = table, engine, allowed
        self._lost = [_Lost(columns, keys) for columns, keys in (lost or {}).items()]
        self._texts = [column.name for column in table.columns if column.type.form is Form.TEXT]
        self._schema = canonical_schema("copy_defect")
        self._folder = tempfile.TemporaryDirectory(prefix="copy-")
        self._file = Path(self._folder.name, "rejected.arrow")
        self._writer: pa.RecordBatchStreamWriter | None = None
        self.seen = 0
        self.rejected = 0
        self.reasons: Counter[tuple[str, str]] = Counter()
        """(column, reason) -> rows."""
        keyed = {name for key in table.keys if key.is_unique for name in key.columns}
        self._keys = pa.schema([field for field in table.schema if field.name in keyed])
        self._rejected_keys: list[pa.RecordBatch] = []

    def __enter__(self) -> Self:
        """Return the sieve."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget the rows."""
        self._close()
        self._folder.cleanup()

    @property
    def holds_too_many(self) -> bool:
        """Whether more rows were set apart than are allowed."""
        return self.rejected > self._allowed

    @property
    def rejected_keys(self) -> pa.Table:
        """The unique columns of the rows that were set apart; NULL where the target cannot hold a value."""
        return pa.Table.from_batches(self._rejected_keys, self._keys)

    def passed(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows that the target can hold."""
        for batch in batches:
            faults = self._faults(batch)
            kept = batch
            if faults:
                self._set_apart(batch, faults)
                kept = batch.filter(pa.array([place not in faults for place in range(batch.num_rows)]))
            self.seen += batch.num_rows
            yield kept

    def _faults(self, batch: pa.RecordBatch) -> dict[int, list[tuple[str, str]]]:
        """Return the place of each row that cannot be held -> (column, reason)."""
        faults: dict[int, list[tuple[str, str]]] = {}
        for name in self._texts:
            cells = batch[name]
            for place in undecodable_rows([cells]):
                faults.setdefault(place, []).append((name, ENCODING))
            if self._engine == "postgresql":
                for place in pc.indices_nonzero(pc.match_substring(cells.cast(pa.binary()), b"\x00")).to_pylist():
                    faults.setdefault(place, []).append((name, NUL))
        for lost in self._lost:
            for place in lost.places(batch):
                faults.setdefault(place, []).append((lost.columns[0], PARENT_REJECTED))
        return faults

    def _set_apart(self, batch: pa.RecordBatch, faults: dict[int, list[tuple[str, str]]]) -> None:
        self.rejected += len(faults)
        for found in faults.values():
            self.reasons.update(found)
        if self.holds_too_many:
            return
        rejected = batch.select(self._keys.names).take(pa.array(sorted(faults)))
        keys = [self._held(cells) for cells in rejected.columns]
        self._rejected_keys.append(pa.RecordBatch.from_arrays(keys, schema=self._keys))
        records = [self._record(batch, place, found) for place, found in sorted(faults.items())]
        columns = [
            pa.array(cells, field.type) for cells, field in zip(zip(*records, strict=True), self._schema, strict=True)
        ]
        if self._writer is None:
            self._writer = pa.ipc.new_stream(str(self._file), self._schema)
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def _held(self, cells: pa.Array) -> pa.Array:
        cells = sound(cells)
        if self._engine == "postgresql" and pa.types.is_string(cells.type):
            return pc.if_else(pc.match_substring(cells, "\x00"), pa.scalar(None, cells.type), cells)
        return cells

    def _record(self, batch: pa.RecordBatch, place: int, found: list[tuple[str, str]]) -> tuple[LegacyValue, ...]:
        row = {column.source: _cell(batch[column.name][place]) for column in self._table.columns}
        names = {column.name: column.source for column in self._table.columns}
        key = [as_text(row[names[column]]) or "" for column in self._table.primary_key]
        identity = self._table.identity
        row_id = None if identity is None else row[names[identity.column]]
        column, reason = found[0]
        reasons = ",".join(dict.fromkeys(reason for _, reason in found))
        return (
            *(self._table.name, BATCH, ",".join(key) or f"row {self.seen + place + 1}", row_id, "rejected"),
            *(reason, reasons, names[column], None, None, source_row_json(row)),
        )

    def records(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows that were set apart, as records of defects."""
        if self._close():
            with pa.OSFile(str(self._file)) as file:
                yield from pa.ipc.open_stream(file)

    def _close(self) -> bool:
        """Complete the file; return whether there is one."""
        if self._writer is not None:
            self._writer.close()
        return self._writer is not None


class _Lost:
    """The rejected parents of one foreign key."""

    def __init__(self, columns: tuple[str, ...], keys: pa.Table) -> None:
        self.columns = columns
        self._firsts = keys[columns[0]].combine_chunks()
        # one column tells by itself
        self._keys = set(_tuples([keys[name] for name in columns])) if len(columns) > 1 else None

    def places(self, batch: pa.RecordBatch) -> list[int]:
        """Return the places of the rows that refer to one of them."""
        cells = [sound(batch[name]) for name in self.columns]
        found = pc.indices_nonzero(pc.is_in(cells[0], value_set=self._firsts))
        if self._keys is None:
            return list(found.to_pylist())
        rows = zip(found.to_pylist(), _tuples([column.take(found) for column in cells]), strict=True)
        return [place for place, row in rows if row in self._keys]


def _tuples(columns: Sequence[pa.Array | pa.ChunkedArray]) -> Iterator[tuple[object, ...]]:
    return zip(*(column.to_pylist() for column in columns), strict=True)


def _cell(cell: pa.Scalar) -> LegacyValue:
    if not pa.types.is_string(cell.type):
        value = cell.as_py()
        return str(value) if pa.types.is_decimal(cell.type) and value is not None else value
    raw = cell.cast(pa.binary()).as_py()
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return UndecodableText(raw)
