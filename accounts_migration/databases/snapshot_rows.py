"""The rows of a snapshot as the second reading needs them: typed columns, and exact cells of the rows that need it.

Here: SQL on the snapshot that shares nothing with the reading for the migration (`legacy_source.rows`), so that a fault
there cannot hide. Not here: what a cell means (`accounts_migration.second_reading`).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import adbc_driver_sqlite.dbapi
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from accounts_migration.databases.legacy_source import (
    LegacyTable,
    dominant_classes,
    open_read_only,
    row_id_name,
    row_id_range,
)
from accounts_migration.databases.legacy_source.opening import read_only_uri
from accounts_migration.databases.sql_text import quoted
from accounts_migration.streams import read_ahead

ROWS_AT_ONCE = 16_384
_ROWS_NAMED = 500
_ROWS_SAMPLED = 200
_MOST_OUT_OF_ORDER = 50
_FIRST_CELL = {"integer": "0", "real": "0.0", "text": "''"}

_LARGEST_EXACT_REAL = 2**53

Places = npt.NDArray[np.intp]


class Text(bytes):
    """TEXT as its bytes in UTF-8, which may be no UTF-8 at all; plain `bytes` are a blob."""


Cell = None | int | float | bytes
"""NULL, INTEGER, REAL, `Text`, or a blob."""


@dataclass(frozen=True, slots=True)
class ExactRow:
    """One source row as SQLite holds it: its place in the table, its rowid if there is one, its cells by column."""

    place: int
    row_id: int | None
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Chunk:
    """Some rows in typed columns (int64, double, string); `odd` are those with a cell of another storage class.

    What stands in an odd row means nothing. `places` are the rowids, or the positions where there is no rowid.
    """

    columns: dict[str, pa.Array]
    odd: npt.NDArray[np.bool_]
    places: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.places)


class Source:
    """One legacy table of a snapshot, read from its first row to its last; use it as a context manager."""

    def __init__(self, path: Path, table: LegacyTable) -> None:
        """Keep what is read; nothing is opened yet."""
        self._path, self._table = path, table
        self._stack = ExitStack()
        self._in_step: Iterator[tuple[Cell, ...]] | None = None
        self._step: list[tuple[Cell, ...]] = []
        self._passed = 0

    def __enter__(self) -> Self:
        """Open the table for its exact cells."""
        self._exact = self._stack.enter_context(open_read_only(self._path, immutable=True))
        self._classes = dominant_classes(self._exact, self._table)
        self.row_id = row_id_name(self._exact, self._table)
        self._exact.text_factory = Text
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._stack.close()

    @property
    def rows(self) -> int:
        """The number of rows of the table."""
        return int(self._exact.execute(f"SELECT count(*) FROM {quoted(self._table.name)}").fetchone()[0])

    def looks_sorted(self, column: str) -> bool:
        """Return whether the text of a column grows from each of some rows to the next, by its month.

        A wrong guess costs speed, nothing else; a table without rowid is taken to be sorted.
        """
        if self.row_id is None:
            return True
        name, row, month = quoted(self._table.name), self.row_id, f"substr({quoted(column)}, 1, 7)"
        low, high = row_id_range(self._exact, self._table, row)
        step = max(1, (high - low) // _ROWS_SAMPLED)
        query = f"SELECT {month} FROM {name} WHERE {row} >= ? AND typeof({quoted(column)}) = 'text' LIMIT 1"
        found = [self._exact.execute(query, (start,)).fetchone() for start in range(low, high + 1, step)]
        months = [month for (month,) in filter(None, found)]
        late = sum(earlier > later for earlier, later in pairwise(months))
        return bool(late * _MOST_OUT_OF_ORDER <= len(months))

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        """Yield all rows; `columns` are those that are needed, which is quicker."""
        # of one column alone SQLite might read an index, in another order: a place would then be another row's
        chosen = self._table.columns if columns is None or self.row_id is None else columns
        self._in_step, self._passed = None, 0
        first = 0
        for raw in read_ahead(self._stream(chosen)):
            row, odd, *cells = raw.columns
            outside = np.asarray(odd) != 0
            sound = {name: _sound(cell, outside) for name, cell in zip(chosen, cells, strict=True)}
            places = np.arange(first, first + len(raw)) if self.row_id is None else np.asarray(row)
            yield Chunk(sound, outside, places)
            first += len(raw)

    def exactly(self, chunk: Chunk, wanted: Places) -> Iterator[ExactRow]:
        """Yield the rows at some positions of a chunk, in their order; chunks are asked about one after the other."""
        if self.row_id is None:
            yield from self._rows_in_step(chunk, wanted)
            return
        names = ", ".join(map(quoted, self._table.columns))
        for start in range(0, len(wanted), _ROWS_NAMED):
            places = chunk.places[wanted[start : start + _ROWS_NAMED]].tolist()
            marks = ", ".join("?" * len(places))
            query = f"SELECT {self.row_id}, {names} FROM {quoted(self._table.name)} WHERE {self.row_id} IN ({marks})"
            found = {row_id: cells for row_id, *cells in self._exact.execute(query, places)}
            for row_id in places:
                yield self._row(row_id, row_id, found[row_id])

    def _rows_in_step(self, chunk: Chunk, wanted: Places) -> Iterator[ExactRow]:
        """Read the table a second time beside the chunks: without a rowid there is no other way to a row."""
        if not len(wanted):
            return
        first = int(chunk.places[0])
        if self._in_step is None:
            names = ", ".join(map(quoted, self._table.columns))
            self._in_step = self._exact.cursor().execute(f"SELECT {names} FROM {quoted(self._table.name)}")
        if first >= self._passed:
            self._step = list(islice(self._in_step, first - self._passed, first - self._passed + len(chunk)))
            self._passed = first + len(chunk)
        for position in wanted.tolist():
            yield self._row(first + position, None, self._step[position])

    def _row(self, place: int, row_id: int | None, cells: Sequence[Cell]) -> ExactRow:
        # a sum with zero has no negative zero: SQLite writes it as 0.0
        known = [cell + 0.0 if isinstance(cell, float) else cell for cell in cells]
        return ExactRow(place, row_id, dict(zip(self._table.columns, known, strict=True)))

    def _stream(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Run the query whose first row fixes the columns' types: the driver takes them from what it sees first."""
        kinds = [self._classes[column] for column in columns]
        values = [_value(quoted(column), kind) for column, kind in zip(columns, kinds, strict=True)]
        is_odd = " OR ".join(_is_odd(quoted(column), kind) for column, kind in zip(columns, kinds, strict=True))
        firsts = ", ".join(_FIRST_CELL[kind] for kind in kinds)
        query = (
            f"SELECT 0, 0, {firsts} UNION ALL"
            f" SELECT {self.row_id or 0}, ifnull({is_odd}, 0), {', '.join(values)} FROM {quoted(self._table.name)}"
        )
        with (
            adbc_driver_sqlite.dbapi.connect(read_only_uri(self._path, immutable=True)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(ROWS_AT_ONCE)})
            cursor.execute(query)
            for number, batch in enumerate(cursor.fetch_record_batch()):
                yield batch if number else batch.slice(1)


def _value(column: str, kind: str) -> str:
    return f"{column} + 0.0" if kind == "real" else f"CAST({column} AS {kind.upper()})"


def _is_odd(column: str, kind: str) -> str:
    # neither an affinity nor a collation that the column declares may change a comparison; classes compare as numbers,
    # text, blobs
    cell = f"(+{column} COLLATE BINARY)"
    if kind == "text":
        return f"{cell} < '' OR {cell} >= x''"
    if kind == "integer":
        return f"{cell} >= '' OR typeof({cell}) = 'real'"
    return f"{cell} >= '' OR {cell} > {_LARGEST_EXACT_REAL} OR {cell} < -{_LARGEST_EXACT_REAL}"


def _sound(cells: pa.Array, odd: npt.NDArray[np.bool_]) -> pa.Array:
    """Return a column without the TEXT that is not UTF-8; its rows are marked odd."""
    if not pa.types.is_string(cells.type):
        return cells
    raw = cells.cast(pa.binary())
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:
        texts = [_decoded(cell) for cell in raw.to_pylist()]
        sound = pa.array(texts, pa.string())
        odd |= np.asarray(raw.is_valid()) & np.asarray(sound.is_null())
        return sound


def _decoded(raw: bytes | None) -> str | None:
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return None
