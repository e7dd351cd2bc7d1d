"""The legacy tables: what must stand there, what is left behind, how a table's rows and columns are reached.

Here: questions to SQLite's own catalogue, and the storage classes of a sample. Not here: the rows (`rows`).
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from accounts_migration.databases.sql_text import quoted
from accounts_migration.errors import MigrationError

_ROW_ID_NAMES = ("rowid", "_rowid_", "oid")
# a sample: the first rows, and some at as many places of the table
_FIRST_ROWS, _PLACES = 500, 200


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
        return f"not migrated: {self.what}"

    @property
    def what(self) -> str:
        """Return what it is, and how much it holds."""
        if self.column:
            return f"{self.table}.{self.column}, {self.values:,} non-null values"
        return f"table {self.table}, {self.values:,} rows"


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
        raise incomplete(missing)


def incomplete(missing: Sequence[str]) -> MigrationError:
    """Return the error that tables and columns are missing in a source."""
    return MigrationError(
        "The source database is not complete",
        why=f"missing: {', '.join(missing)}",
        remedy="Name the right database, or add what is missing (as a view, if the data has another name)",
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


def has_unique_key(connection: sqlite3.Connection, table: LegacyTable) -> bool:
    """Return whether an index keeps the values of the first column apart."""
    for _, name, unique, _, partial in connection.execute(f"PRAGMA index_list({quoted(table.name)})"):
        if unique and not partial:
            indexed = connection.execute(f"PRAGMA index_info({quoted(name.decode('utf-8', 'replace'))})").fetchall()
            columns = [column for _, _, column in indexed]
            if len(columns) == 1 and columns[0] and columns[0].decode("utf-8", "replace").lower() == table.columns[0]:
                return True
    return False


def key_is_row_id(connection: sqlite3.Connection, table: LegacyTable) -> bool:
    """Return whether the first column is the rowid under its own name (INTEGER PRIMARY KEY).

    It then holds nothing but integers, each once; that they are in order is part of the integrity check.
    """
    if row_id_name(connection, table) is None:
        return False
    columns = connection.execute(f"PRAGMA table_xinfo({quoted(table.name)})").fetchall()
    keys = [column[1].decode("utf-8", "replace").lower() for column in columns if column[5]]
    # any other primary key has an index of its own
    origins = [index[3] for index in connection.execute(f"PRAGMA index_list({quoted(table.name)})")]
    return keys == [table.columns[0]] and b"pk" not in origins


def row_id_range(connection: sqlite3.Connection, table: LegacyTable, row_id: str) -> tuple[int, int]:
    """Return the lowest and the highest rowid of a table; 0 and 0 where it has no rows."""
    name = quoted(table.name)
    # each by a query of its own, which goes to one end of the tree: both in one would read all rows
    ends = f"SELECT (SELECT min({row_id}) FROM {name}), (SELECT max({row_id}) FROM {name})"
    low, high = connection.execute(ends).fetchone()
    return low or 0, high or 0


def dominant_classes(connection: sqlite3.Connection, table: LegacyTable) -> dict[str, str]:
    """Return the storage class (`integer`, `real`, `text`) in which each column is read, judged by a sample.

    A wrong guess costs speed, never a value: what is of another class travels in the column `irregular`.
    """
    name = quoted(table.name)
    row_id = row_id_name(connection, table)
    types = ", ".join(f"typeof({quoted(column)})" for column in table.columns)
    rows = connection.execute(f"SELECT {types} FROM {name} LIMIT {_FIRST_ROWS}").fetchall()
    if row_id:
        low, high = row_id_range(connection, table, row_id)
        step = max(1, (high - low) // _PLACES)
        query = f"SELECT {types} FROM {name} WHERE {row_id} >= ? LIMIT 2"
        for start in range(low, high + 1, step):
            rows += connection.execute(query, (start,)).fetchall()
    return {column: _dominant([row[place] for row in rows]) for place, column in enumerate(table.columns)}


def _dominant(classes: Sequence[bytes]) -> str:
    counts = {name: classes.count(name.encode()) for name in ("integer", "real", "text")}
    if counts["real"] and counts["real"] + counts["integer"] >= counts["text"]:
        # whole amounts stand as INTEGER in a DECIMAL column: both are read as REAL
        return "real"
    return max(counts, key=lambda name: counts[name]) if any(counts.values()) else "text"
