"""A connection to a SQLite target, and the SQL that SQLite alone speaks.

Here: dates, amounts and counts as SQLite's expressions, and its driver's errors in words. Not here: opening the file
(`sqlite_opening`), and what is done with it (`sqlite_target`).
"""

import re
from collections.abc import Sequence

import adbc_driver_sqlite
from adbc_driver_manager import dbapi

from accounts_migration.databases.session import ConstraintViolated, Parameter, Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_schema import TABLES
from accounts_migration.errors import MigrationError

ROWS_PER_READ = 32_768
SORTING_KIBIBYTES, _WRITING_KIBIBYTES = 2_000, 32_000
"""The pages kept. SQLite sorts in pieces of this size: those that fit the processor's cache are a third quicker. A scan
needs no more either, while rows that are written go wherever their keys belong."""
_SPLIT = 1_000_000
"""Sums are made of two halves, which 64 bits hold."""

_BROKEN = re.compile(r"(UNIQUE|NOT NULL|CHECK|FOREIGN KEY) constraint failed(?:: (\w+)(?:\.(\w+))?)?")
_NAMES_OF_CHECKS = {str(c.name) for table in TABLES.values() for c in table.constraints}


class SqliteSession(Session):
    """A connection of ADBC's SQLite driver; `rows_per_read` are fewer where rows are large."""

    rows_per_read: int = ROWS_PER_READ

    def changed(self, sql: str, parameters: Sequence[Parameter] = ()) -> int:
        """Run the statement and ask SQLite for its count."""
        self.execute(sql, parameters)
        return int(self.value("SELECT changes()"))

    def inserted_so_far(self, table: str) -> int:
        """Return SQLite's count of all changes of this connection."""
        return int(self.value("SELECT total_changes()"))

    def prepare_stream(self, cursor: dbapi.Cursor) -> None:
        """Ask for large record batches."""
        cursor.adbc_statement.set_options(
            **{adbc_driver_sqlite.StatementOptions.BATCH_ROWS.value: str(self.rows_per_read)}
        )

    def begin(self) -> None:
        """Take the write lock at once: beside a second writer, a reader could not become one."""
        self.execute("ROLLBACK")
        self.execute("BEGIN IMMEDIATE")
        self.execute(f"PRAGMA cache_size = -{_WRITING_KIBIBYTES}")

    def month(self, column: str) -> str:
        """Return the month of the ISO text."""
        return f"substr({column}, 1, 7)"

    def read_month(self, value: object) -> str | None:
        """Return the text."""
        return None if value is None else str(value)

    def moment(self, text: str) -> str:
        """Return the text itself: that is how SQLite holds it."""
        return text

    def units(self, column: str, scale: int) -> str:
        """Round to an integer."""
        return _units(column, scale)

    def references(self, table: str, column: str) -> str:
        """Group: many rows share a parent, and the index on the reference holds all that is read."""
        return f"SELECT {quoted(column)} AS parent, count(*) AS children FROM {quoted(table)} GROUP BY 1"

    def unindexed(self, table: str) -> str:
        """Forbid the index: to sort all rows costs half as much as to fetch each from its page."""
        return f"{quoted(table)} AS t NOT INDEXED"

    def size(self) -> int:
        """Count the pages."""
        return int(self.value("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"))

    def table_size(self, table: str) -> int:
        """Count the pages of the whole file."""
        return self.size()

    def version(self) -> str:
        """Ask the library that reads the file."""
        return str(self.value("SELECT sqlite_version()"))

    def sums(self, column: str, scale: int) -> str:
        """Sum integers, high and low digits apart: their sum alone could overflow 64 bits."""
        return exact_sum(column, scale)

    def read_sum(self, value: object) -> int:
        """Put the two parts together."""
        return read_exact_sum(value)

    def explanation(self, error: dbapi.Error) -> MigrationError:
        """Tell the constraint, or SQLite's own words where these name no value."""
        text = str(error)
        broken = _BROKEN.search(text)
        if broken:
            return _violation(self.what, broken)
        for sign, why, remedy in _KNOWN_FAILURES:
            if sign in text:
                return MigrationError(self.what, why=why, remedy=remedy)
        missing = re.search(r"no such (table|column): ([\w.]+)", text)
        if missing:
            return MigrationError(
                self.what,
                why=f"there is no {missing[1]} {missing[2]}",
                remedy="Check the path of TARGET; migrate into it first",
            )
        return MigrationError(
            self.what,
            why=f"SQLite failed ({type(error).__name__})",
            remedy="Check the file with `PRAGMA integrity_check`, then run again",
        )


def _units(column: str, scale: int) -> str:
    # arithmetic instead of round(): a function call for each cell would take half of the scan's time
    return f"CAST({column} * {scale} + iif({column} < 0, -0.5, 0.5) AS INTEGER)"


def exact_sum(column: str, scale: int) -> str:
    """Return the SQL of a decimal column's exact sum in units of 1/scale, for any SQLite connection."""
    units = _units(column, scale)
    return f"sum({units} / {_SPLIT}) || ' ' || sum({units} % {_SPLIT})"


def read_exact_sum(value: object) -> int:
    """Return the sum that `exact_sum` selected; 0 over no rows."""
    if value is None:
        return 0
    high, low = str(value).split()
    return int(high) * _SPLIT + int(low)


_KNOWN_FAILURES = (
    ("database is locked", "another program is writing to it", "Stop that program, or wait, then run again"),
    ("disk is full", "the disk is full", "Nothing was written. Free some space, then run again"),
    (
        "is not a database",
        "it is not a SQLite database",
        "Name a SQLite file as TARGET, or one that does not exist",
    ),
    ("malformed", "the file is damaged", "Restore it from a backup, or migrate into a new file"),
    (
        "readonly database",
        "it is not writable",
        "Give this user the right to write to the file and its folder",
    ),
    (
        "disk I/O error",
        "reading or writing the disk failed",
        "Check the disk and the system's log, then run again",
    ),
    ("failed to open", "it cannot be opened", "Check the path and the rights of this user"),
    ("unable to open", "it cannot be opened", "Check the path and the rights of this user"),
)


def _violation(what: str, broken: "re.Match[str]") -> ConstraintViolated:
    kind, name, column = broken.groups()
    if kind == "CHECK":
        constraint = name if name in _NAMES_OF_CHECKS else "a CHECK constraint"
        table = next((entity for entity in TABLES if constraint.startswith(f"{entity}_")), "")
        return ConstraintViolated(what, table=table, constraint=constraint)
    if kind == "FOREIGN KEY":
        return ConstraintViolated(what, table="", constraint="of a reference")
    return ConstraintViolated(what, table=name or "", constraint=f"{kind} of {column}")
