"""A connection to a PostgreSQL target, and the SQL that PostgreSQL alone speaks.

Here: dates, amounts and counts as PostgreSQL's expressions, and its SQLSTATEs in words. Not here: connecting, and what
is done with it (`postgres_target`).
"""

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from adbc_driver_manager import dbapi
from adbc_driver_postgresql import StatementOptions

from accounts_migration.databases.session import ConstraintViolated, Parameter, Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.errors import MigrationError

CURRENT_SCHEMA = "quote_ident(current_schema())::regnamespace"
"""The schema in which a bare name means a table, as the catalogue has it; unquoted, its name would be folded."""

_BYTES_PER_READ = 4_000_000


class PostgresSession(Session):
    """A connection of ADBC's PostgreSQL driver."""

    def another(self) -> "PostgresSession":
        """Open another connection to the same database, in a small part of the time that the first one took.

        The driver asks each database that it is given for all its types; a connection beside another one shares them.

        Raises:
            dbapi.Error: It cannot be made.
        """
        connection = self._connection.adbc_clone()
        try:
            connection.adbc_connection.set_autocommit(True)
        except BaseException:
            connection.close()
            raise
        return PostgresSession(connection, self.target_name)

    def changed(self, sql: str, parameters: Sequence[Parameter] = ()) -> int:
        """Let the statement return its rows and count them."""
        query = f"WITH changed AS ({sql} RETURNING 1) SELECT count(*) FROM changed"  # our own SQL
        return int(self.value(query, parameters))

    def inserted_so_far(self, table: str) -> int:
        """Return the server's own count of the rows inserted by this session's transaction."""
        name = quoted(table)
        return int(
            self.value(
                f"SELECT CASE current_setting('track_counts') WHEN 'on'"
                f" THEN pg_stat_get_xact_tuples_inserted('{name}'::regclass)"
                f" ELSE (SELECT count(*) FROM {name}) END"
            )
        )

    def prepare_stream(self, cursor: dbapi.Cursor) -> None:
        """Ask for record batches of moderate size: several of them are on their way at once."""
        hint = {StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BYTES_PER_READ)}
        cursor.adbc_statement.set_options(**hint)

    def begin(self) -> None:
        """Wait for the transaction of a killed migration: the server may still be at work on it."""
        self.execute(f"SELECT pg_advisory_xact_lock({lock_number('writing')})")

    def month(self, column: str) -> str:
        """Truncate: to write each date as text would take twice as long."""
        return f"date_trunc('month', {column})"

    def read_month(self, value: object) -> str | None:
        """Write the first moment of the month as `YYYY-MM`."""
        return f"{value:%Y-%m}" if isinstance(value, datetime) else None

    def moment(self, text: str) -> str:
        """Cast by way of text, or the driver would have to send a timestamp."""
        return f"CAST(CAST({text} AS text) AS timestamp)"

    def units(self, column: str, scale: int) -> str:
        """Multiply the numeric, which is exact."""
        return f"CAST({column} * {scale} AS bigint)"

    def references(self, table: str, column: str) -> str:
        """Take each row: one join in parallel is twice as quick as to group them before."""
        return f"SELECT {quoted(column)} AS parent, 1 AS children FROM {quoted(table)}"

    def unindexed(self, table: str) -> str:
        """Leave it to the planner."""
        return f"{quoted(table)} AS t"

    def size(self) -> int:
        """Ask the server."""
        return int(self.value("SELECT pg_database_size(current_database())"))

    def table_size(self, table: str) -> int:
        """Ask the server."""
        return int(self.value(f"SELECT pg_total_relation_size('{quoted(table)}'::regclass)"))

    def version(self) -> str:
        """Ask the server."""
        return str(self.value("SELECT current_setting('server_version')"))

    def sums(self, column: str, scale: int) -> str:
        """Sum the numeric itself."""
        return f"(sum({column}) * {scale})::text"

    def read_sum(self, value: object) -> int:
        """Read the numeric's text, whose decimals are zeros."""
        return int(Decimal(str(value))) if value is not None else 0

    def explanation(self, error: dbapi.Error) -> MigrationError:
        """Tell what the SQLSTATE says, and names of table and constraint; never the server's sentence."""
        state = str(getattr(error, "sqlstate", None) or "")
        named = {_text(name): _text(value) for name, value in getattr(error, "details", None) or []}
        table = named.get("PG_DIAG_TABLE_NAME", "")
        if state.startswith("23"):
            column = named.get("PG_DIAG_COLUMN_NAME", "")
            constraint = named.get("PG_DIAG_CONSTRAINT_NAME", "") or f"NOT NULL of {column}"
            return ConstraintViolated(self.what, table=table, constraint=constraint)
        for states, why, remedy in _KNOWN_STATES:
            if state.startswith(states):
                return MigrationError(self.what, why=why, remedy=remedy)
        if not state and _LOST.search(str(error)):
            return MigrationError(self.what, why="the connection was lost", remedy=_RUN_AGAIN)
        return MigrationError(
            self.what,
            why=f"PostgreSQL failed with SQLSTATE {state or 'unknown'}",
            remedy="Look this code up in the server's log, then run again",
        )


_RUN_AGAIN = "Nothing half-loaded stays. Check the server and the network, then run again"
_LOST = re.compile("closed the connection|no connection|connection to server|could not (send|receive)|SSL|EOF")
_KNOWN_STATES = (
    (("08", "57P"), "the connection was lost, or the server was stopped", _RUN_AGAIN),
    (("53100",), "the server's disk is full", "Nothing was written. Free some space there, then run again"),
    (("53",), "the server is out of memory or connections", "Wait, or raise its limits, then run again"),
    (
        ("22",),
        "a value does not fit its column",
        "Nothing was written. Compare the tables with the contract, and report it",
    ),
    (("25006",), "it is read-only (a standby, or set so)", "Name the primary server, or let this role write"),
    (
        ("42501",),
        "this role lacks a right",
        "Grant it SELECT on what is read, with no policy that hides rows; CREATE on the schema and all rights on the"
        " tables where it writes. Then run again",
    ),
    (("42P01", "42703"), "a table or column is missing", "Check the URL of TARGET; migrate into it first"),
    (("3F000",), "no schema is selected", "Create the schema that search_path names"),
    (("55P03",), "another session holds a lock on the tables", "End that session, then run again"),
    (("40",), "it collided with another session", "Nothing was written. Run again"),
    (("57014",), "the statement was cancelled", "Nothing was written. Run again"),
)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def require_schema(session: Session) -> None:
    """Refuse a session in which a bare name means no table: the catalogue would tell of an empty database.

    Raises:
        MigrationError: `search_path` names no schema that stands and that this role may use.
    """
    if session.value("SELECT current_schema()::text") is None:
        raise MigrationError(
            session.what,
            why="no schema is selected: the one that search_path names does not exist, or this role may not use it",
            remedy="Grant it USAGE on the schema and SELECT on its tables, or name the right schema in search_path",
        )


def lock_number(purpose: str) -> str:
    """Return the SQL of the advisory lock's number: one for each purpose and schema, or none, which others refuse."""
    return f"hashtextextended(concat('accounts-migration {purpose} ', current_schema()), 0)"
