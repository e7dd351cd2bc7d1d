"""What an engine does in its own way, and the connection to a target database.

Here: the connection, and everything that SQLite and PostgreSQL each do for themselves (`sqlite_target`,
`postgres_target`). Not here: what both do alike (`target_reading`, `target_interface`).
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from types import TracebackType
from typing import Literal, Self

import pyarrow as pa
import sqlalchemy as sa

from accounts_migration.databases.books import Books
from accounts_migration.databases.loads import BatchToLoad
from accounts_migration.databases.locks import Release
from accounts_migration.databases.provisioning import Provisioning, Throughput
from accounts_migration.databases.session import Session
from accounts_migration.databases.target_schema import Kind, build_tables
from accounts_migration.databases.upkeep import Work


class TargetEngine(ABC):
    """A database as its engine sees it; see `target_interface.Target`."""

    engine: Literal["sqlite", "postgresql"]
    _dialect: sa.Dialect
    name: str
    """How the target is shown: its URL or path without any password."""

    def __init__(self, name: str, books: Books) -> None:
        """Keep the name, and which books loads are recorded in; connections are opened when needed."""
        self.name = name
        self.books = books
        self._session: Session | None = None
        self._place_session: Session | None = None
        self._locks_held = 0
        self._references_released = False
        self._without_foreign_rows: set[str] = set()

    def __enter__(self) -> Self:
        """Return the target itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the target."""
        self.close()

    def close(self) -> None:
        """Close the connection; nothing that was not committed stays."""
        for session in (self._session, self._place_session):
            if session is not None:
                session.close()
        self._session = self._place_session = None

    def _wanted(self, *, books_alone: bool) -> dict[str, sa.Table]:
        """Return the tables that `prepare` is to find or make."""
        tables = build_tables()
        return {name: tables[name] for name in (self.books.tables if books_alone else tables)}

    @property
    def session(self) -> Session:
        """The connection for everything but scans."""
        if self._session is None:
            self._session = self._opened()
        return self._session

    def _opened(self) -> Session:
        session = self._connect()
        session.books = self.books
        return session

    @abstractmethod
    def prepare(self, *, books_alone: bool = False) -> None:
        """Create the missing tables in one transaction, after finding those that stand compatible; stamp the version.

        Idempotent; of two processes at once, one waits for the other.

        Args:
            books_alone: Whether only the tables of the books are to stand, for a database that is to hold no entity;
                such a one has no version.

        Raises:
            MigrationError: The target is at another version, a table is not compatible (every difference is named), or
                is a view. Nothing was written.
        """

    @abstractmethod
    def standing(self) -> Collection[str]:
        """Return which of our names stand in the target, the version's table among them, whatever has the name."""

    @abstractmethod
    def differences(self) -> list[str]:
        """Return how the tables differ from this program's version of them, a few words for each; writes nothing.

        Columns, types, NOT NULL, keys, checks, references and indexes are compared, also those that come after a load.
        """

    @abstractmethod
    def _incompatible_or_found(self) -> Collection[str]:
        """Return which of our tables stand, having refused those that are not compatible."""

    @abstractmethod
    def constrain(self) -> list[str]:
        """Add the missing keys, checks, references and indexes, verify all references, gather statistics.

        Returns:
            What was done, a sentence for each.

        Raises:
            MigrationError: A row breaks a constraint; names table, constraint and some keys. Nothing was added.
        """

    @abstractmethod
    def _upkeep(self, *, reindex: bool) -> Iterable[Work]:
        """Return the steps of `optimise`."""

    @abstractmethod
    def size(self) -> int:
        """Return the bytes that the database takes."""

    @abstractmethod
    def missing_constraints(self) -> list[str]:
        """Return the names of what `constrain` would add to the tables that stand: keys, checks, indexes and so on."""

    @abstractmethod
    def provisioning(self) -> Provisioning:
        """Return what the database tells of itself, and what of it stands in a migration's way; writes nothing."""

    @abstractmethod
    def denied(self, *, others: bool = False) -> list[str]:
        """Return what this user may not do though a migration does it, a few words for each; writes nothing.

        Args:
            others: Whether a copy is to bring other tables, too, which it makes and replaces.

        Raises:
            MigrationError: A table is not compatible.
        """

    @abstractmethod
    def throughput(self) -> Throughput:
        """Measure how fast the target takes bytes, by a temporary table, or a scratch file beside a file.

        Raises:
            MigrationError: Nothing can be sent there.
        """

    @abstractmethod
    def _connect(self) -> Session:
        """Open a connection."""

    @abstractmethod
    def _lock_name(self) -> str:
        """Return what names the lock: equal for all URLs of the same database."""

    @abstractmethod
    def _acquire_lock(self) -> Release:
        """Take the migration's lock, or raise MigrationError at once; it must end with this process."""

    @abstractmethod
    def _stored_type(self, kind: Kind) -> pa.DataType:
        """Return the Arrow type in which this engine takes a column of the kind."""

    @abstractmethod
    def _encode(self, column: pa.Array, kind: Kind) -> pa.Array:
        """Return a canonical column in its stored type."""

    @abstractmethod
    def _select(self, table: str, condition: str) -> str:
        """Return the query whose rows `_decode` reads."""

    @abstractmethod
    def _decode(self, table: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Return the rows of `_select` in canonical types, with the column `inexact`."""

    def _before_load(self, session: Session) -> None:  # noqa: B027  # PostgreSQL needs nothing
        """Set what cannot be set within the transaction."""

    @property
    def reads_beside_writing(self) -> bool:
        """Whether rows can be read on another connection while this one writes, without either failing."""
        return True

    def _last_place(self, session: Session, entity: str) -> int | None:
        """Return the place behind which the next rows of the table will stand, if the engine can tell."""
        return None

    def _place_of(self, session: Session, batch: BatchToLoad, before: int, loaded: int) -> tuple[str, int] | None:
        """Return the SQL condition under which a row `t` was inserted behind the place, and how many were elsewhere.

        None where nobody can tell, or too many were.
        """
        return None

    def _before_scan(self, session: Session) -> None:  # noqa: B027  # an engine may need nothing
        """Set what makes a scan read in storage order."""
