"""The rows of a legacy table, streamed from the snapshot as found.

Here: the typed read, the read of keys alone, and of some rows whole. Not here: how a cell is kept exactly (`cells`).

SQLite types nothing, so a column's values are read in the column's dominant storage class, found from a sample. A row
holding anything else travels whole in the column `irregular`, as JSON. One bad value thus never stops the read of the
table, and the regular rows keep their speed.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import adbc_driver_sqlite.dbapi
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.legacy_source.batches import MONTHS, UNDATED, in_batches, months_of
from accounts_migration.databases.legacy_source.cells import (
    encoded_row,
    exact_row,
    from_encoded,
    sound,
    undecodable_rows,
)
from accounts_migration.databases.legacy_source.opening import open_read_only, read_only_uri
from accounts_migration.databases.legacy_source.structure import LegacyTable, row_id_range
from accounts_migration.databases.sql_text import quoted
from accounts_migration.legacy_values import LegacyValue, UndecodableText, source_row_json
from accounts_migration.streams import one_after_the_other

ROWS_PER_READ = 32_768
ROWS_PER_SPAN = 2 * ROWS_PER_READ
LARGEST_EXACT_REAL = 2**53
# more are found sooner by reading everything
_MOST_ROWS_NAMED, _ROWS_NAMED_AT_ONCE = 100_000, 500
_LABELS = pa.array([*MONTHS, UNDATED], pa.string())
_ARROW_TYPE = {"integer": pa.int64(), "real": pa.float64(), "text": pa.string()}
_FIRST_VALUE = {"integer": "0", "real": "0.0", "text": "''"}


def raw_schema(table: LegacyTable, classes: dict[str, str]) -> pa.Schema:
    """Return the Arrow schema of `read_rows`.

    Columns: `row` int64 (the rowid, or the position where there is none), `batch` string, each legacy column as int64,
    double or string by its class, `integers` int64 (bit i set: the i-th column of a double type held an INTEGER),
    `irregular` string (the whole row as JSON where a value does not fit its column's type).
    """
    fields = [pa.field("row", pa.int64()), pa.field("batch", pa.string())]
    fields += [pa.field(column, _ARROW_TYPE[classes[column]]) for column in table.columns]
    return pa.schema([*fields, pa.field("integers", pa.int64()), pa.field("irregular", pa.string())])


def read_rows(
    path: Path,
    table: LegacyTable,
    classes: dict[str, str],
    row_id: str | None,
    batches: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Stream the rows of a snapshot as found, in storage order; see `raw_schema` for the columns.

    Args:
        path: The snapshot, which nobody writes any more.
        table: The table to read.
        classes: The storage class of each column, from `dominant_classes`.
        row_id: The name of the rowid, from `row_id_name`.
        batches: Only the rows of these batches; None reads all.
    """
    if row_id is None:
        yield from _read(path, table, classes, _select(table, classes, None, batches))
        return
    yield from one_after_the_other(
        _read(path, table, classes, _select(table, classes, row_id, batches, span))
        for span in _spans(path, table, row_id)
    )


def _read(path: Path, table: LegacyTable, classes: dict[str, str], query: str) -> Iterator[pa.RecordBatch]:
    for raw in _stream(path, query):
        yield _decoded(raw, table, classes)


def _spans(path: Path, table: LegacyTable, row_id: str) -> Iterator[tuple[int, int]]:
    """Yield ranges of rowids, at least one, that together hold all rows, so that several can be read at once."""
    with open_read_only(path, immutable=True) as connection:
        lowest, highest = row_id_range(connection, table, row_id)
        rows = connection.execute(f"SELECT count(*) FROM {quoted(table.name)}").fetchone()[0]
    # a rowid may be anything of 64 bits, so the width goes by the number of rows
    width = max(1, (highest - lowest) // max(1, rows // ROWS_PER_SPAN) + 1)
    for first in range(lowest, highest + 1, width):
        yield first, min(first + width - 1, highest)


def read_keys(
    path: Path, table: LegacyTable, column: str, classes: dict[str, str], row_id: str | None
) -> Iterator[pa.RecordBatch]:
    """Stream `row`, one column and `irregular` of every row: what judging duplicates and references needs."""
    if row_id is not None:
        yield from read_rows(path, LegacyTable(table.name, (column,)), classes, row_id)
        return
    # a position counts the rows of the same query alone: of one column, SQLite would read an index in its own order
    place = table.columns.index(column)
    for rows in read_rows(path, table, classes, None):
        chosen = rows.select(["row", "batch", column, "integers", "irregular"])
        integers = pc.bit_wise_and(pc.shift_right(chosen["integers"], place), 1)
        yield chosen.set_column(3, "integers", integers)


def read_whole_rows(
    path: Path, table: LegacyTable, row_id: str | None, rows: Sequence[int]
) -> Iterator[tuple[int, str]]:
    """Yield (row, exact encoding of all its columns, storage classes included) for the named rows."""
    wanted = pa.array(sorted(rows), pa.int64())
    encoding = encoded_row(table.columns)
    source = f"SELECT {_row(row_id)} AS row_number, {encoding} AS encoded FROM {quoted(table.name)}"
    if row_id is not None and len(wanted) < _MOST_ROWS_NAMED:
        for start in range(0, len(wanted), _ROWS_NAMED_AT_ONCE):
            chosen = ", ".join(str(row) for row in wanted[start : start + _ROWS_NAMED_AT_ONCE].to_pylist())
            for raw in _stream(path, f"SELECT 0, '' UNION ALL {source} WHERE {row_id} IN ({chosen})"):
                yield from zip(raw.column(0).to_pylist(), raw.column(1).to_pylist(), strict=True)
        return
    for raw in _stream(path, f"SELECT 0, '' UNION ALL {source}"):
        chosen_rows = raw.filter(pc.is_in(raw.column(0), wanted))
        yield from zip(chosen_rows.column(0).to_pylist(), chosen_rows.column(1).to_pylist(), strict=True)


def _stream(path: Path, query: str) -> Iterator[pa.RecordBatch]:
    """Run a query whose first row merely fixes the column types, and drop that row.

    The driver takes a column's type from the first rows it sees and stops at a later one of another type.
    """
    with (
        adbc_driver_sqlite.dbapi.connect(read_only_uri(path, immutable=True)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(ROWS_PER_READ)})
        cursor.execute(query)
        first = True
        for batch in cursor.fetch_record_batch():
            yield batch.slice(1) if first else batch
            first = False


def _row(row_id: str | None) -> str:
    return row_id or "row_number() OVER ()"


def _select(
    table: LegacyTable,
    classes: dict[str, str],
    row_id: str | None,
    batches: Sequence[str] | None,
    span: tuple[int, int] | None = None,
) -> str:
    columns = [quoted(column) for column in table.columns]
    kinds = [classes[column] for column in table.columns]
    values = [_value(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    irregular = " OR ".join(_is_irregular(column, kind) for column, kind in zip(columns, kinds, strict=True))
    integers = [
        f"((typeof({column}) = 'integer') << {place})"
        for place, (column, kind) in enumerate(zip(columns, kinds, strict=True))
        if kind == "real"
    ]
    selected = [
        _row(row_id),
        *values,
        " + ".join(integers) or "0",
        f"CASE WHEN {irregular} THEN {encoded_row(table.columns)} END",
    ]
    types = ["0", *(_FIRST_VALUE[kind] for kind in kinds), "0", "''"]
    conditions = [] if batches is None else [in_batches(table, batches)]
    if row_id is None and conditions:  # the position must be counted before the rows are filtered
        named = [f"{value} AS value_{place}" for place, value in enumerate(selected)]
        names = ", ".join(f"value_{place}" for place in range(len(selected)))
        inner = f"SELECT {', '.join(named)}, {conditions[0]} AS wanted FROM {quoted(table.name)}"
        query, conditions = f"SELECT {names} FROM ({inner})", ["wanted"]
    else:
        query = f"SELECT {', '.join(selected)} FROM {quoted(table.name)}"
    if span is not None:
        conditions.append(f"{row_id} BETWEEN {span[0]} AND {span[1]}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {', '.join(types)} UNION ALL {query}{where}"


def _value(column: str, kind: str) -> str:
    """Return the SQL of a cell in the type of its column; in an irregular row it may be anything, and is not used."""
    if kind == "real":
        return f"{column} + 0.0"
    return f"CAST({column} AS {'TEXT' if kind == 'text' else 'INTEGER'})"


def _is_irregular(column: str, kind: str) -> str:
    """Return the SQL condition that a cell is neither NULL nor of its column's class, or no exact REAL.

    Values compare by their class first: numbers, then text, then blobs. That is several times quicker than `typeof`,
    which alone parts INTEGER from REAL. The plus takes the column's affinity away, so that nothing is converted.
    """
    if kind == "text":
        return f"NOT ({_is_at_least_text(column)}) OR {_is_blob(column)}"
    if kind == "integer":
        return f"{_is_at_least_text(column)} OR typeof({column}) = 'real'"
    largest = LARGEST_EXACT_REAL
    plain = f"+{column} COLLATE BINARY"
    too_large = f"({plain} > {largest} OR {plain} < -{largest}) AND typeof({column}) = 'integer'"
    return f"{_is_at_least_text(column)} OR {too_large}"


def _is_at_least_text(column: str) -> str:
    # a collation that the column declares need not be known here
    return f"+{column} >= '' COLLATE BINARY"


def _is_blob(column: str) -> str:
    return f"+{column} >= x'' COLLATE BINARY"


def _decoded(raw: pa.RecordBatch, table: LegacyTable, classes: dict[str, str]) -> pa.RecordBatch:
    """Turn the encoded irregular rows to JSON, and rows with TEXT that is not UTF-8 into irregular ones."""
    row, *cells, integers, encoded = raw.columns
    irregular: dict[int, dict[str, LegacyValue]] = {}
    for place in pc.indices_nonzero(pc.is_valid(encoded)).to_pylist():
        values = map(from_encoded, encoded[place].as_py().split(","))
        irregular[place] = dict(zip(table.columns, values, strict=True))
    for place in undecodable_rows(cells):
        if place not in irregular:
            irregular[place] = exact_row([*cells, integers], table.columns, place)
    batch = _batch_column(table, raw.num_rows, cells, irregular)
    texts = pa.nulls(raw.num_rows, pa.string())
    if irregular:
        places = sorted(irregular)
        mask = pc.is_in(pa.array(range(raw.num_rows), pa.int64()), pa.array(places, pa.int64()))
        cells = [pc.if_else(mask, pa.scalar(None, cell.type), sound(cell)) for cell in cells]
        whole = [source_row_json(irregular[place]) for place in places]
        texts = pc.replace_with_mask(texts, mask, pa.array(whole, pa.string()))
    return pa.RecordBatch.from_arrays([row, batch, *cells, integers, texts], schema=raw_schema(table, classes))


def _batch_column(
    table: LegacyTable, rows: int, cells: Sequence[pa.Array], irregular: dict[int, dict[str, LegacyValue]]
) -> pa.Array:
    """Return the label of each row, as `batch_expression` gives it."""
    if table.batch_column is None:
        return pa.repeat(pa.scalar("all", pa.string()), rows)
    if table.batch_column not in table.columns:
        return pa.nulls(rows, pa.string())
    dates = cells[table.columns.index(table.batch_column)]
    places = months_of(dates) if pa.types.is_string(dates.type) else np.full(rows, len(MONTHS), np.int32)
    for place, row in irregular.items():
        value = row[table.batch_column]
        raw = value.raw if isinstance(value, UndecodableText) else value.encode() if isinstance(value, str) else b""
        places[place] = months_of(pa.array([raw], pa.binary()))[0]
    return pa.DictionaryArray.from_arrays(pa.array(places), _LABELS).cast(pa.string())
