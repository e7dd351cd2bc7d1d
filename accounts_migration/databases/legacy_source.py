"""The legacy SQLite database: opened read-only, its structure checked, its rows streamed as found (contract section 2).

Here: everything that talks SQL to the legacy file or to its snapshot. Not here: the snapshot's folder and manifest
(`accounts_migration.databases.snapshot`), and any rule of what a value means (`accounts_migration.entities`).

SQLite types nothing, so a column's values are read in the column's dominant storage class, found from a sample. A row
holding anything else travels whole in the column `irregular`, as JSON. One bad value thus never stops the read of the
table, and the regular rows keep their speed.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import adbc_driver_sqlite.dbapi
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.errors import MigrationError
from accounts_migration.legacy_values import LegacyValue, UndecodableText, source_row_json

ROWS_PER_READ = 65_536
LARGEST_EXACT_REAL = 2**53
UNDATED = "undated"

_HEADER = b"SQLite format 3\x00"
_ROW_ID_NAMES = ("rowid", "_rowid_", "oid")
_ARROW_TYPE = {"integer": pa.int64(), "real": pa.float64(), "text": pa.string()}
_FIRST_VALUE = {"integer": "0", "real": "0.0", "text": "''"}


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
def open_read_only(path: Path, *, immutable: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file for reading alone, text as bytes; `immutable` is for our own snapshot, which nobody writes.

    Raises:
        MigrationError: The file is missing, empty, locked, damaged or no SQLite database.
    """
    refuse_unusable_file(path)
    what = f"Cannot read the legacy database {path}"
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
    return (
        f"CASE WHEN ({column} GLOB '[12][0-9][0-9][0-9]-0[1-9]*' OR {column} GLOB '[12][0-9][0-9][0-9]-1[0-2]*')"
        f" AND {column} >= '1900' AND {column} < '2101' THEN substr({column}, 1, 7) ELSE '{UNDATED}' END"
    )


def in_batches(table: LegacyTable, batches: Sequence[str]) -> str:
    """Return the SQL condition that a row belongs to one of the batches."""
    return f"{batch_expression(table)} IN ({_literals(batches)})"


def _literals(texts: Sequence[str]) -> str:
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def count_by_batch(connection: sqlite3.Connection, table: LegacyTable) -> dict[str, int]:
    """Return the number of source rows of each batch, counted by SQL; `{'all': n}` for a table without batches."""
    query = (
        f"SELECT {batch_expression(table)} AS batch, count(*) FROM {quoted(table.name)} GROUP BY batch ORDER BY batch"
    )
    counts = {batch.decode(): count for batch, count in connection.execute(query)}
    return counts if table.batch_column else {"all": counts.get("all", 0)}


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
    for raw in _stream(path, _select(table, classes, row_id, batches)):
        yield _decoded(raw, table, classes)


def read_keys(
    path: Path, table: LegacyTable, column: str, storage_class: str, row_id: str | None
) -> Iterator[pa.RecordBatch]:
    """Stream `row`, one column and `irregular` of every row: what judging duplicates and references needs."""
    narrow = LegacyTable(table.name, (column,))
    return read_rows(path, narrow, {column: storage_class}, row_id)


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


def _select(table: LegacyTable, classes: dict[str, str], row_id: str | None, batches: Sequence[str] | None) -> str:
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
        f"{_row(row_id)} AS source_row",
        f"{batch_expression(table)} AS source_batch",
        *values,
        " + ".join(integers) or "0",
        f"CASE WHEN {irregular} THEN {_encoded(table.columns)} END",
    ]
    types = ["0", "''", *(_FIRST_VALUE[kind] for kind in kinds), "0", "''"]
    query = f"SELECT {', '.join(selected)} FROM {quoted(table.name)}"
    if batches is not None:
        if row_id is None:  # the position must be counted before the rows are filtered
            query = f"SELECT * FROM ({query}) WHERE source_batch IN ({_literals(batches)})"
        else:
            query = f"{query} WHERE {in_batches(table, batches)}"
    return f"SELECT {', '.join(types)} UNION ALL {query}"


def _value(column: str, kind: str) -> str:
    if kind != "real":
        return f"iif(typeof({column}) = '{kind}', {column}, NULL)"
    whole = f"(typeof({column}) = 'integer' AND {_exact_as_real(column)})"
    return f"iif(typeof({column}) = 'real' OR {whole}, {column} + 0.0, NULL)"


def _is_irregular(column: str, kind: str) -> str:
    if kind != "real":
        return f"typeof({column}) NOT IN ('{kind}', 'null')"
    return (
        f"(typeof({column}) NOT IN ('real', 'null')"
        f" AND NOT (typeof({column}) = 'integer' AND {_exact_as_real(column)}))"
    )


def _exact_as_real(column: str) -> str:
    return f"{column} BETWEEN -{LARGEST_EXACT_REAL} AND {LARGEST_EXACT_REAL}"


def _encoded(columns: Sequence[str]) -> str:
    """Return the SQL that writes a row exactly: a letter for the storage class, then the value, parted by commas."""
    return " || ',' || ".join(
        f"CASE typeof({name}) WHEN 'null' THEN 'n' WHEN 'integer' THEN 'i' || {name}"
        f" WHEN 'real' THEN 'r' || printf('%!.17g', {name}) WHEN 'text' THEN 't' || hex({name})"
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
        return raw.decode()
    except UnicodeDecodeError:
        return UndecodableText(raw)


def _decoded(raw: pa.RecordBatch, table: LegacyTable, classes: dict[str, str]) -> pa.RecordBatch:
    """Turn the encoded irregular rows to JSON, and rows with TEXT that is not UTF-8 into irregular ones."""
    columns = raw.columns
    encoded = columns[-1]
    irregular: dict[int, str] = {}
    for place in pc.indices_nonzero(pc.is_valid(encoded)).to_pylist():
        cells = map(_from_encoded, encoded[place].as_py().split(","))
        irregular[place] = source_row_json(dict(zip(table.columns, cells, strict=True)))
    for place in _undecodable_rows(columns[2:-2]):
        if place not in irregular:
            irregular[place] = source_row_json(_exact_row(columns[2:-1], table.columns, place))
    if irregular:
        places = pa.array(sorted(irregular), pa.int64())
        mask = pc.is_in(pa.array(range(raw.num_rows), pa.int64()), places)
        columns[2:-2] = [pc.if_else(mask, pa.scalar(None, column.type), _sound(column)) for column in columns[2:-2]]
        texts = [irregular[place] for place in sorted(irregular)]
        columns[-1] = pc.replace_with_mask(pa.nulls(raw.num_rows, pa.string()), mask, pa.array(texts, pa.string()))
    else:
        columns[-1] = pa.nulls(raw.num_rows, pa.string())
    return pa.RecordBatch.from_arrays(columns, schema=raw_schema(table, classes))


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
