"""The legacy SQLite database: opened read-only, its structure checked, its rows streamed as found (contract section 2).

Here: everything that talks SQL to the legacy file or to its snapshot. Not here: the snapshot's folder and manifest
(`accounts_migration.databases.snapshot`), and any rule of what a value means (`accounts_migration.entities`).

SQLite types nothing, so a column's values are read in the column's dominant storage class, found from a sample. A row
holding anything else travels whole in the column `irregular`, as JSON. One bad value thus never stops the read of the
table, and the regular rows keep their speed.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import adbc_driver_sqlite.dbapi
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.errors import MigrationError
from accounts_migration.legacy_values import LegacyValue, UndecodableText, source_row_json
from accounts_migration.streams import one_after_the_other

ROWS_PER_READ = 32_768
ROWS_PER_SPAN = 2 * ROWS_PER_READ
LARGEST_EXACT_REAL = 2**53
UNDATED = "undated"
FIRST_YEAR, LAST_YEAR = 1900, 2100
MONTHS = [f"{year}-{month:02}" for year in range(FIRST_YEAR, LAST_YEAR + 1) for month in range(1, 13)]
_KNOWN_MONTHS = frozenset(MONTHS)
_LABELS = pa.array([*MONTHS, UNDATED], pa.string())

_HEADER = b"SQLite format 3\x00"
_ROW_ID_NAMES = ("rowid", "_rowid_", "oid")
_ARROW_TYPE = {"integer": pa.int64(), "real": pa.float64(), "text": pa.string()}
_FIRST_VALUE = {"integer": "0", "real": "0.0", "text": "''"}
# hex() gives the bytes of TEXT as the file holds them, which may be UTF-16
_TEXT_LETTER = "(SELECT CASE encoding WHEN 'UTF-8' THEN 't' WHEN 'UTF-16le' THEN 'l' ELSE 'm' END FROM pragma_encoding)"
_ENCODING_OF_LETTER = {"t": "utf-8", "l": "utf-16-le", "m": "utf-16-be"}


@dataclass(frozen=True, slots=True)
class LegacyTable:
    """A legacy table and the columns of contract section 2; `batch_column` is the date that names a row's batch."""

    name: str
    columns: tuple[str, ...]
    batch_column: str | None = None


@dataclass(frozen=True, slots=True)
class Unmigrated:
    """A table or column that the migration leaves behind; `column` is empty for a whole table."""

    table: str
    column: str
    values: int

    def __str__(self) -> str:
        """Return the sentence that reports it."""
        if self.column:
            return f"not migrated: {self.table}.{self.column}, {self.values:,} non-null values"
        return f"not migrated: table {self.table}, {self.values:,} rows"


def quoted(identifier: str) -> str:
    """Return an SQL identifier in double quotes."""
    return '"' + identifier.replace('"', '""') + '"'


def refuse_unusable_file(path: Path) -> None:
    """Raise MigrationError unless the path is a readable, non-empty SQLite file; never creates anything."""
    what = f"Cannot read the legacy database {path}"
    if not path.exists():
        raise MigrationError(what, why="there is no such file", remedy="Check the path of SOURCE; nothing was created")
    if not path.is_file():
        raise MigrationError(what, why="it is not a file", remedy="Name the SQLite file itself")
    try:
        with path.open("rb") as file:
            header = file.read(len(_HEADER))
    except OSError as error:
        raise MigrationError(what, why=str(error.strerror), remedy="Give this user the right to read it") from error
    if not header:
        raise MigrationError(what, why="the file is empty", remedy="Check that SOURCE names the real database")
    if header != _HEADER:
        raise MigrationError(what, why="it is not a SQLite database", remedy="Name a SQLite 3 file as SOURCE")


@contextmanager
def open_read_only(path: Path, *, immutable: bool = False, copy_of: Path | None = None) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file for reading alone, text as bytes; `immutable` is for our own snapshot, which nobody writes.

    Args:
        path: The file.
        immutable: Whether nobody writes it.
        copy_of: The legacy database that a refusal names, where the file is a copy that will not stay.

    Raises:
        MigrationError: The file is missing, empty, locked, damaged or no SQLite database.
    """
    refuse_unusable_file(path)
    what = f"Cannot read the legacy database {copy_of or path}"
    try:
        with closing(sqlite3.connect(_uri(path, immutable), uri=True, timeout=5)) as connection:
            connection.text_factory = bytes
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield connection
    except sqlite3.OperationalError as error:
        raise _explained(what, error) from error
    except sqlite3.DatabaseError as error:
        raise MigrationError(
            what,
            why=f"the file is damaged ({error})",
            remedy="Restore it from a backup, or recover it with `sqlite3 FILE .recover` into a new file",
        ) from error


def _uri(path: Path, immutable: bool) -> str:
    return f"file:{quote(str(path.resolve()))}?mode=ro" + ("&immutable=1" if immutable else "")


def _explained(what: str, error: sqlite3.OperationalError) -> MigrationError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return MigrationError(what, why="another program holds a lock on it", remedy="Stop its writer, then run again")
    if "unable to open" in text or "readonly" in text:
        return MigrationError(
            what,
            why=f"{text}; a database in WAL mode or with a hot journal needs a writable folder even to be read",
            remedy="Close its writer cleanly (checkpoint), or give this user the right to write to its folder",
        )
    return MigrationError(what, why=text, remedy="Check the file with `PRAGMA integrity_check`")


def refuse_incomplete_structure(connection: sqlite3.Connection, tables: Sequence[LegacyTable]) -> None:
    """Raise MigrationError naming every missing table and column (contract section 2)."""
    missing = []
    for table in tables:
        present = _columns(connection, table.name)
        if not present:
            missing.append(f"table {table.name}")
        lowered = {column.lower() for column in present}
        missing += [f"column {table.name}.{column}" for column in table.columns if present and column not in lowered]
    if missing:
        raise MigrationError(
            "The legacy database is not complete",
            why=f"missing: {', '.join(missing)}",
            remedy="Name the right SOURCE, or add what is missing (as a view, if the data has another name)",
        )


def find_unmigrated(connection: sqlite3.Connection, tables: Sequence[LegacyTable]) -> list[Unmigrated]:
    """Return the additional tables and columns, with how much they hold (contract section 2)."""
    known = {table.name: table for table in tables}
    found = []
    for (raw_name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"):
        name = raw_name.decode("utf-8", "replace")
        if name.lower().startswith("sqlite_"):
            continue
        table = known.get(name.lower())
        if table is None:
            found.append(Unmigrated(name, "", _count(connection, f"SELECT count(*) FROM {quoted(name)}")))
    for table in tables:
        for column in _columns(connection, table.name):
            if column.lower() not in table.columns:
                count = f"SELECT count({quoted(column)}) FROM {quoted(table.name)}"
                found.append(Unmigrated(table.name, column, _count(connection, count)))
    return found


def _count(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    rows = connection.execute(f"PRAGMA table_xinfo({quoted(table)})").fetchall()
    return [row[1].decode("utf-8", "replace") for row in rows]


def row_id_name(connection: sqlite3.Connection, table: LegacyTable) -> str | None:
    """Return the name by which the table's rowid is reached; None for a view and a table WITHOUT ROWID."""
    kind = connection.execute("SELECT type FROM sqlite_master WHERE lower(name) = ?", (table.name.lower(),)).fetchone()
    if kind is None or kind[0] != b"table":
        return None
    taken = {column.lower() for column in _columns(connection, table.name)}
    for name in _ROW_ID_NAMES:
        if name not in taken:
            try:
                connection.execute(f"SELECT {name} FROM {quoted(table.name)} LIMIT 0")
            except sqlite3.OperationalError:
                return None
            return name
    return None


def dominant_classes(connection: sqlite3.Connection, table: LegacyTable) -> dict[str, str]:
    """Return the storage class (`integer`, `real`, `text`) in which each column is read, judged by a sample.

    A wrong guess costs speed, never a value: what is of another class travels in the column `irregular`.
    """
    name = quoted(table.name)
    row_id = row_id_name(connection, table)
    types = ", ".join(f"typeof({quoted(column)})" for column in table.columns)
    rows = connection.execute(f"SELECT {types} FROM {name} LIMIT 500").fetchall()
    if row_id:
        low, high = connection.execute(f"SELECT min({row_id}), max({row_id}) FROM {name}").fetchone()
        step = max(1, ((high or 0) - (low or 0)) // 200)
        query = f"SELECT {types} FROM {name} WHERE {row_id} >= ? LIMIT 2"
        for start in range(low or 0, (high or 0) + 1, step):
            rows += connection.execute(query, (start,)).fetchall()
    return {column: _dominant([row[place] for row in rows]) for place, column in enumerate(table.columns)}


def _dominant(classes: Sequence[bytes]) -> str:
    counts = {name: classes.count(name.encode()) for name in ("integer", "real", "text")}
    if counts["real"] and counts["real"] + counts["integer"] >= counts["text"]:
        # whole amounts stand as INTEGER in a DECIMAL column: both are read as REAL
        return "real"
    return max(counts, key=lambda name: counts[name]) if any(counts.values()) else "text"


def batch_expression(table: LegacyTable) -> str:
    """Return the SQL that labels a row with its batch (contract section 3); total: every row has a label."""
    if table.batch_column is None:
        return "'all'"
    # the plus takes the column's affinity away: else a numeric one would compare the text as a number
    column = "+" + quoted(table.batch_column)
    begins = f"({column} GLOB '[12][0-9][0-9][0-9]-0[1-9]*' OR {column} GLOB '[12][0-9][0-9][0-9]-1[0-2]*')"
    # a collation that the column declares need not be known here
    within = f"{column} >= '{FIRST_YEAR}' COLLATE BINARY AND {column} < '{LAST_YEAR + 1}' COLLATE BINARY"
    return f"CASE WHEN {begins} AND {within} THEN substr({column}, 1, 7) ELSE '{UNDATED}' END"


def in_batches(table: LegacyTable, batches: Sequence[str]) -> str:
    """Return the SQL condition that a row belongs to one of the batches."""
    return f"{batch_expression(table)} IN ({_literals(batches)})"


def _literals(texts: Sequence[str]) -> str:
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def count_by_batch(connection: sqlite3.Connection, table: LegacyTable) -> dict[str, int]:
    """Return the number of source rows of each batch, counted by SQL; `{'all': n}` for a table without batches."""
    name = quoted(table.name)
    if table.batch_column is None:
        return {"all": _count(connection, f"SELECT count(*) FROM {name}")}
    column = "+" + quoted(table.batch_column)
    # by their beginning, which is quicker than by their label; only a blob can begin like a month and have none
    beginning = f"iif({column} >= x'' COLLATE BINARY, NULL, substr({column}, 1, 7))"
    counts: Counter[str] = Counter()
    for begins, rows in connection.execute(f"SELECT {beginning} AS begins, count(*) FROM {name} GROUP BY begins"):
        text = begins.decode("utf-8", "replace") if isinstance(begins, bytes) else ""
        counts[text if text in _KNOWN_MONTHS else UNDATED] += rows
    return dict(sorted(counts.items()))


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
        query = f"SELECT min({row_id}), max({row_id}), count(*) FROM {quoted(table.name)}"
        lowest, highest, rows = connection.execute(query).fetchone()
    if not rows:
        lowest = highest = 0
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
    encoding = _encoded(table.columns)
    source = f"SELECT {_row(row_id)} AS row_number, {encoding} AS encoded FROM {quoted(table.name)}"
    if row_id is not None and len(wanted) < 100_000:
        for start in range(0, len(wanted), 500):
            chosen = ", ".join(str(row) for row in wanted[start : start + 500].to_pylist())
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
        adbc_driver_sqlite.dbapi.connect(_uri(path, immutable=True)) as connection,
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
        f"CASE WHEN {irregular} THEN {_encoded(table.columns)} END",
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


def _encoded(columns: Sequence[str]) -> str:
    """Return the SQL that writes a row exactly: a letter for the storage class, then the value, parted by commas."""
    return " || ',' || ".join(
        f"CASE typeof({name}) WHEN 'null' THEN 'n' WHEN 'integer' THEN 'i' || {name}"
        f" WHEN 'real' THEN 'r' || printf('%!.17g', {name}) WHEN 'text' THEN {_TEXT_LETTER} || hex({name})"
        f" ELSE 'b' || hex({name}) END"
        for name in map(quoted, columns)
    )


def _from_encoded(cell: str) -> LegacyValue:
    kind, body = cell[0], cell[1:]
    if kind == "n":
        return None
    if kind == "i":
        return int(body)
    if kind == "r":
        return float(body)
    raw = bytes.fromhex(body)
    if kind == "b":
        return raw
    try:
        return raw.decode(_ENCODING_OF_LETTER[kind])
    except UnicodeDecodeError:
        return UndecodableText(raw)


def _decoded(raw: pa.RecordBatch, table: LegacyTable, classes: dict[str, str]) -> pa.RecordBatch:
    """Turn the encoded irregular rows to JSON, and rows with TEXT that is not UTF-8 into irregular ones."""
    row, *cells, integers, encoded = raw.columns
    irregular: dict[int, dict[str, LegacyValue]] = {}
    for place in pc.indices_nonzero(pc.is_valid(encoded)).to_pylist():
        values = map(_from_encoded, encoded[place].as_py().split(","))
        irregular[place] = dict(zip(table.columns, values, strict=True))
    for place in _undecodable_rows(cells):
        if place not in irregular:
            irregular[place] = _exact_row([*cells, integers], table.columns, place)
    batch = _batch_column(table, raw.num_rows, cells, irregular)
    texts = pa.nulls(raw.num_rows, pa.string())
    if irregular:
        places = sorted(irregular)
        mask = pc.is_in(pa.array(range(raw.num_rows), pa.int64()), pa.array(places, pa.int64()))
        cells = [pc.if_else(mask, pa.scalar(None, cell.type), _sound(cell)) for cell in cells]
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


def months_of(texts: pa.Array) -> npt.NDArray[np.int32]:
    """Return for each text (string or binary, may be null) the place in MONTHS with which it begins, else their end."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    places = np.full(len(texts), len(MONTHS), np.int32)
    long_enough = np.flatnonzero((np.diff(offsets) >= 7) & np.asarray(texts.is_valid()))
    if not len(long_enough):
        return places
    signs = np.frombuffer(texts.buffers()[2], np.uint8)[offsets[long_enough][:, np.newaxis] + np.arange(7)]
    digits = signs - np.uint8(ord("0"))
    years = digits[:, :4].astype(np.int32) @ np.array([1000, 100, 10, 1], np.int32)
    months = digits[:, 5:7].astype(np.int32) @ np.array([10, 1], np.int32)
    valid = (digits[:, [0, 1, 2, 3, 5, 6]] <= 9).all(axis=1) & (signs[:, 4] == ord("-"))
    valid &= (years >= FIRST_YEAR) & (years <= LAST_YEAR) & (months >= 1) & (months <= 12)
    places[long_enough] = np.where(valid, (years - FIRST_YEAR) * 12 + months - 1, len(MONTHS))
    return places


def _is_sound(column: pa.Array) -> bool:
    try:
        column.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _undecodable_rows(columns: Sequence[pa.Array]) -> list[int]:
    found = set()
    for column in columns:
        if pa.types.is_string(column.type) and not _is_sound(column):
            found |= {place for place, raw in enumerate(column.cast(pa.binary()).to_pylist()) if not _decodes(raw)}
    return sorted(found)


def _decodes(raw: bytes | None) -> bool:
    try:
        return raw is None or raw.decode() is not None
    except UnicodeDecodeError:
        return False


def _sound(column: pa.Array) -> pa.Array:
    """Return the column with NULL where its bytes are not UTF-8, so that no later step can stumble over them."""
    if not pa.types.is_string(column.type) or _is_sound(column):
        return column
    raws = column.cast(pa.binary()).to_pylist()
    return pa.array([raw.decode() if raw is not None and _decodes(raw) else None for raw in raws], pa.string())


def _exact_row(columns: Sequence[pa.Array], names: Sequence[str], place: int) -> dict[str, LegacyValue]:
    """Return one row of the typed columns (the last one being `integers`) with its storage classes restored."""
    integers = columns[-1][place].as_py()
    return {
        name: exact_value(column[place], integers, position)
        for position, (name, column) in enumerate(zip(names, columns[:-1], strict=True))
    }


def exact_value(cell: pa.Scalar, integers: int, position: int) -> LegacyValue:
    """Return a cell of `read_rows` in the storage class it had in the source."""
    if pa.types.is_string(cell.type):
        raw = cell.cast(pa.binary()).as_py()
        if raw is None:
            return None
        return raw.decode() if _decodes(raw) else UndecodableText(raw)
    value: LegacyValue = cell.as_py()
    if isinstance(value, float) and integers >> position & 1:
        return int(value)
    return value
