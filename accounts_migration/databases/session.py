"""One connection to the target database: SQL, bulk rows and transactions, with every failure made readable.

Here: what both engines share of talking to a driver. Not here: any SQL (the engines' own modules and `merge`,
`bookkeeping`, `readings`), and any rule of what is written.

Driver messages quote the offending row, so they never leave this module: neither their text nor the
exception itself, not even as the context of the one that is raised. An engine's session says what may be
told.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeVar

import pyarrow as pa
from adbc_driver_manager import AdbcStatusCode, dbapi

from accounts_migration.databases.books import MIGRATION, Books
from accounts_migration.errors import MigrationError

Parameter = str | int | None
_Result = TypeVar("_Result")


class ConstraintViolated(MigrationError):
    """A row breaks a constraint of the target; `table` and `constraint` are names, empty where unknown."""

    def __init__(self, what: str, *, table: str, constraint: str) -> None:
        """Name the table and the constraint, never the row: it may hold personal data."""
        super().__init__(
            what,
            why=f"a row breaks the constraint {constraint or 'of a key or reference'}"
            + (f" of table {table}" if table else ""),
            remedy="Nothing of this batch was written. Load parents before their children; if it happens "
            "again, compare the table's constraints with the contract and report it",
        )
        self.table = table
        self.constraint = constraint


class Session(ABC):
    """An ADBC connection in autocommit mode; `transaction` opens a transaction.

    Placeholders are `$1`, `$2` and so on in both engines; they must first appear in this order.
    """

    what: str
    books: Books = MIGRATION
    """The books that loads through this session are recorded in."""

    def __init__(self, connection: dbapi.Connection, target_name: str) -> None:
        """Take over an open connection; `target_name` is shown in messages and holds no password."""
        self.target_name = target_name
        self.what = f"Cannot use the target {target_name}"
        self._connection = connection

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        with suppress(dbapi.Error, RuntimeError):
            self._connection.close()

    def execute(self, sql: str, parameters: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""

        def run() -> list[tuple[Any, ...]]:
            with closing(self._connection.cursor()) as cursor:
                cursor.execute(sql, list(parameters) or None)
                return list(cursor.fetchall())

        return self.explaining(run)

    def value(self, sql: str, parameters: Sequence[Parameter] = ()) -> Any:
        """Return the first column of the first row; None where there is no row."""
        rows = self.execute(sql, parameters)
        return rows[0][0] if rows else None

    @abstractmethod
    def changed(self, sql: str, parameters: Sequence[Parameter] = ()) -> int:
        """Run an INSERT, UPDATE or DELETE and return the number of rows that the database changed."""

    @abstractmethod
    def inserted_so_far(self, table: str) -> int:
        """Return a count, kept by the database, that grows by one with each row this session inserts."""

    def ingest(
        self, table: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, temporary: bool = False
    ) -> None:
        """Append rows, in stored form, within the current transaction; streams, so memory stays bounded.

        An exception raised by `batches` comes out as it is.
        """
        raised: list[BaseException] = []

        def guarded() -> Iterator[pa.RecordBatch]:
            try:
                yield from batches
            except GeneratorExit:
                # the driver has failed and reads no further: that is what is to be told
                raise
            except BaseException as error:
                # the driver would make an unreadable text of it
                raised.append(error)
                raise

        def run() -> None:
            reader = pa.RecordBatchReader.from_batches(schema, guarded())
            with closing(self._connection.cursor()) as cursor:
                cursor.adbc_ingest(table, reader, mode="append", temporary=temporary)

        try:
            self.explaining(run)
        except MigrationError:
            if not raised:
                raise
        if raised:
            raise raised[0]

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Run a query and yield its rows; the connection is busy until the end."""
        with closing(self._connection.cursor()) as cursor:
            self.prepare_stream(cursor)
            reader = self.explaining(lambda: (cursor.execute(sql), cursor.fetch_record_batch())[1])
            batches = iter(reader)
            while True:
                batch = self.explaining(lambda: _next(batches))
                if batch is None:
                    return
                yield batch

    def prepare_stream(self, cursor: dbapi.Cursor) -> None:  # noqa: B027  # most engines need nothing
        """Set the driver's options for a large result."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block did, or roll all of it back when the block raises."""
        connection = self._connection.adbc_connection
        self.explaining(lambda: connection.set_autocommit(False))
        try:
            self.begin()
            yield
            self.explaining(connection.commit)
        except BaseException:
            # a lost connection cannot be rolled back, and need not be
            with suppress(dbapi.Error):
                connection.rollback()
            raise
        finally:
            with suppress(dbapi.Error):
                connection.set_autocommit(True)

    @abstractmethod
    def begin(self) -> None:
        """Do what a writing transaction needs beyond BEGIN, which the driver has already sent."""

    @abstractmethod
    def explanation(self, error: dbapi.Error) -> MigrationError:
        """Return what may be told of a driver's error: no values, no passwords, and a remedy."""

    def explaining(self, work: Callable[[], _Result]) -> _Result:
        """Return the work's result; a driver's error becomes a MigrationError that does not carry it.

        The driver takes Ctrl-C while it works, cancels what it can, and tells of it as the cause of an error.
        """
        try:
            return work()
        except dbapi.Error as error:
            stopped = isinstance(error.__cause__, KeyboardInterrupt)
            explanation = KeyboardInterrupt() if stopped else self.explanation(error)
        raise explanation

    @abstractmethod
    def month(self, column: str) -> str:
        """Return the SQL that groups a date-time column into months; `read_month` reads the result."""

    @abstractmethod
    def read_month(self, value: object) -> str | None:
        """Return the `YYYY-MM` of what `month` selected; None for NULL."""

    @abstractmethod
    def moment(self, text: str) -> str:
        """Return the SQL for a date-time given as the SQL of a text `YYYY-MM-DD HH:MM:SS[.ffffff]`."""

    @abstractmethod
    def units(self, column: str, scale: int) -> str:
        """Return the SQL of a decimal cell as a whole number of 1/scale; its division cuts decimals off."""

    @abstractmethod
    def references(self, table: str, column: str) -> str:
        """Return the query of what a column refers to, `parent`, and how many rows, `children`, one of its rows counts.

        Grouped or not, as the engine is quicker to find those without their row.
        """

    @abstractmethod
    def unindexed(self, table: str) -> str:
        """Return the SQL of a table `t` that is read in storage order, where the engine would go by an index and jump.

        An engine that knows what its indexes cost needs no telling.
        """

    @abstractmethod
    def size(self) -> int:
        """Return the bytes that the database fills."""

    @abstractmethod
    def table_size(self, table: str) -> int:
        """Return the bytes that a table fills with its indexes, also within the transaction that made it.

        SQLite tells of the whole file.
        """

    @abstractmethod
    def version(self) -> str:
        """Return the version of the database's own software."""

    @abstractmethod
    def sums(self, column: str, scale: int) -> str:
        """Return the SQL of a decimal column's exact sum in units of 1/scale; `read_sum` reads the result."""

    @abstractmethod
    def read_sum(self, value: object) -> int:
        """Return the sum that `sums` selected as an integer; 0 over no rows."""


def _next(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    """Return the next rows, or None; once rows come, Arrow tells of the driver's errors as of its own."""
    try:
        return next(batches, None)
    except (OSError, pa.ArrowException) as error:
        raise dbapi.OperationalError(str(error), status_code=AdbcStatusCode.IO) from error.__cause__
