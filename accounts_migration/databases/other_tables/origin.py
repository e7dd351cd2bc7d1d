"""The database that tables are copied from, opened for reading alone.

Here: both engines' connections, each within one view of the data. Not here: what is asked (`sqlite_origin`,
`postgres_origin`).
"""

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa
from adbc_driver_manager import dbapi
from adbc_driver_sqlite import dbapi as sqlite_dbapi

from accounts_migration.databases.legacy_source.opening import read_only_uri, refuse_unusable_file
from accounts_migration.databases.postgres_target import open_session
from accounts_migration.databases.postgres_url import display_name
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import literal
from accounts_migration.databases.sqlite_session import SqliteSession
from accounts_migration.errors import MigrationError

if TYPE_CHECKING:
    import psycopg

_SETTINGS = {
    # values are written as text in one way, whatever the server's settings
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # storage order, by one process
    "max_parallel_workers_per_gather": "0",
    # rather an error than rows that are hidden
    "row_security": "off",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where tables are copied from.

    Args:
        place: The path of a SQLite file that nobody writes (a snapshot), or the URL of a PostgreSQL database.
        snapshot: An exported snapshot of PostgreSQL, whose exporting transaction is still open. Without one, what is
            read at one time may not be what is read at another.
    """

    place: Path | str
    snapshot: str | None = None

    @property
    def engine(self) -> Literal["sqlite", "postgresql"]:
        """Which engine it is."""
        return "sqlite" if isinstance(self.place, Path) else "postgresql"

    @property
    def name(self) -> str:
        """How it is shown: without any password."""
        return str(self.place) if isinstance(self.place, Path) else display_name(self.place)

    @contextmanager
    def open(self) -> Iterator[Session]:
        """Open it; in PostgreSQL, within one transaction that only reads.

        Raises:
            MigrationError: It is no database, cannot be reached, or its snapshot is gone; without the password.
        """
        with closing(self._connected()) as session:
            session.what = f"Cannot read {self.name}"
            if self.engine == "postgresql":
                for name, value in _SETTINGS.items():
                    session.execute("SELECT set_config($1, $2, false)", (name, value))
                session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                if self.snapshot is not None:
                    session.execute(f"SET TRANSACTION SNAPSHOT {literal(self.snapshot)}")
            yield session

    def _connected(self) -> Session:
        if not isinstance(self.place, Path):
            return open_session(self.place)
        try:
            refuse_unusable_file(self.place)
        except MigrationError as error:
            raise self._unreadable(error.why) from None
        try:
            return SqliteSession(
                sqlite_dbapi.connect(read_only_uri(self.place, immutable=True), autocommit=True), self.name
            )
        except dbapi.Error:
            pass
        raise self._unreadable("it cannot be opened")

    @contextmanager
    def reflected(self, snapshot: str | None) -> Iterator[sa.Inspector]:
        """Open it for SQLAlchemy's reflection; in PostgreSQL, with the view of the data that `snapshot` names.

        Raises:
            MigrationError: Its schema cannot be read; without the password.
        """
        engine = sa.create_engine(self._dialect, creator=self._connection, poolclass=sa.NullPool, **self._options)
        try:
            with engine.connect() as connection, warnings.catch_warnings():
                # INT(11), a type that SQLAlchemy does not know: what a column becomes is judged by its values
                warnings.simplefilter("ignore", sa.exc.SAWarning)
                if snapshot is not None:
                    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
                yield sa.inspect(connection)
            return
        except sa.exc.SQLAlchemyError as error:  # what the driver raises, too, connecting included
            reason = type(error).__name__
        finally:
            engine.dispose()
        raise self._unreadable(f"its schema cannot be reflected ({reason})")

    @property
    def _dialect(self) -> str:
        return "sqlite://" if self.engine == "sqlite" else "postgresql+psycopg://"

    @property
    def _options(self) -> dict[str, bool]:
        return {} if self.engine == "sqlite" else {"use_native_hstore": False}

    def _connection(self) -> "sqlite3.Connection | psycopg.Connection":
        if isinstance(self.place, Path):
            return sqlite3.connect(read_only_uri(self.place, immutable=True), uri=True)
        # every command would wait for it to be loaded
        import psycopg

        return psycopg.connect(self.place)

    def _unreadable(self, why: str) -> MigrationError:
        return MigrationError(
            f"Cannot read {self.name}", why=why, remedy="Check the database with its own tools, then run again"
        )
