"""A PostgreSQL database as the target (contract section 6).

Here: connecting, its tables and constraints, its lock. Not here: what both engines do alike (`target_interface`),
PostgreSQL's own SQL and errors (`postgres_session`), and how values are stored (`postgres_rows`).

Tables are created bare and filled by binary COPY; keys, checks, references and indexes come after the load,
which is several times faster than having them stand during it. A table's comment tells that it is ours and
may lack its key. The password, if there is one, comes from the URL, PGPASSWORD or .pgpass, and is in no
message.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress

import pyarrow as pa
import sqlalchemy as sa
from adbc_driver_manager import dbapi
from adbc_driver_postgresql import dbapi as postgres_dbapi
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable

from accounts_migration.databases import (
    postgres_provisioning,
    postgres_rows,
    postgres_structure,
    postgres_upkeep,
    readings,
)
from accounts_migration.databases.batches import DATE_COLUMN, PARTITIONED, month_bounds
from accounts_migration.databases.books import MIGRATION, Books
from accounts_migration.databases.loads import BatchToLoad
from accounts_migration.databases.locks import Release, held_elsewhere
from accounts_migration.databases.postgres_session import CURRENT_SCHEMA, PostgresSession, lock_number
from accounts_migration.databases.postgres_url import display_name, parameter, with_parameter
from accounts_migration.databases.provisioning import Provisioning, Throughput
from accounts_migration.databases.schema_versions.known import HEAD, VERSION_TABLE, stamp
from accounts_migration.databases.session import ConstraintViolated, Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.structure import FoundColumn, FoundTable, refuse_incompatible
from accounts_migration.databases.target_interface import MOST_KEYS_NAMED, Target, constraint_broken
from accounts_migration.databases.target_schema import ENTITIES, TABLES, Kind, build_tables, entity_indexes, key_of
from accounts_migration.databases.upkeep import Work
from accounts_migration.errors import MigrationError

# named parameters, because the others double every percent sign
_DIALECT = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
_OURS = "created by accounts_migration; keys and checks are added after the load"
_SETTINGS = {
    "client_encoding": "UTF8",
    "application_name": "accounts-migration",
    "default_transaction_isolation": "read committed",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # the connection that holds the lock is idle all the time
    "idle_session_timeout": "0",
    "lock_timeout": "60s",
    # storage order, and the same one each time
    "synchronize_seqscans": "off",
}
_SECONDS_TO_CONNECT = 10
# a COPY adds at most 64 pages at once
_PAGES_LEFT_EMPTY = 65
# more are found sooner by reading everything
_MOST_STRAYS = 100

# the first that is found counts
_CONNECT_FAILURES = (
    (r'(database|role) "[^"]*" does not exist', r"there is no such \1"),
    (r"password authentication failed", "the password or the user is wrong"),
    (r"no password supplied", "the server wants a password"),
    (r"root certificate file \S.* does not exist", "there is no file of authorities, as sslrootcert names it"),
    (
        r"could not (read|load|open) .*(certificate|private key)",
        "a file of sslrootcert, sslcert or sslkey is unreadable",
    ),
    (r"private key file .* (has|must)", "others may read the file of sslkey"),
    (r"server certificate for .* does not match host name", "the server's certificate is for another host name"),
    (r"certificate verify failed", "the server's certificate is of no authority that sslrootcert names"),
    (r"valid client certificate|alert (certificate|unknown ca)", "the server wants another certificate of the client"),
    (r"server does not support SSL", "the server offers no encryption"),
    (r"SSL support is not compiled in", "it was built without TLS"),
    (r"(?s)^(?!.*SSL encryption).*no encryption", "the server wants an encrypted connection"),
    (r"pg_hba.conf", "the server does not let this user in from here"),
    (r"Connection refused", "no server listens there"),
    (r"No such file or directory", "no server listens on that socket"),
    (r"invalid URI query parameter", "its URL has a parameter that no connection has"),
    (r"could not translate host name", "the host's name is unknown"),
    (r"timeout expired", "the server does not answer"),
    (r"statement timeout", "the server cut the first question short: this role's statement_timeout is too low"),
    (r"too many", "the server has no free connection"),
    (r"starting up", "the server is starting up"),
    (r"shutting down|closed the connection", "the server is shutting down"),
    (r"in recovery mode|not yet accepting", "the server is recovering from a crash"),
    (r"certificate", "the server's certificate was not accepted"),
    (r"SSL", "an encrypted connection could not be made"),
)


class PostgresTarget(Target):
    """A target in a PostgreSQL database, in the schema that comes first in the search path."""

    engine = "postgresql"
    _dialect = _DIALECT

    def __init__(self, url: str, books: Books = MIGRATION) -> None:
        """Connect.

        Raises:
            MigrationError: The URL cannot be read, the server cannot be reached or refuses; without the
                password.
        """
        super().__init__(display_name(url), books)
        self._url = url
        encoding = self.session.value("SELECT current_setting('server_encoding')")
        if encoding != "UTF8":
            self.close()
            raise MigrationError(
                f"Cannot use the target {self.name}",
                why=f"its encoding is {encoding}, which cannot hold every text",
                remedy="Create a database with ENCODING 'UTF8'",
            )

    def _connect(self) -> Session:
        return open_session(self._url, self._session)

    def prepare(self, *, books_alone: bool = False) -> None:
        """Create the missing tables, without keys and checks yet; see `Target.prepare`."""
        wanted = self._wanted(books_alone=books_alone)
        with self.session.transaction():
            self.refuse_other_version()
            found = _found_tables(self.session, wanted)
            refuse_incompatible(self.name, wanted, found, _judge_type)
            for name, table in wanted.items():
                if name not in found:
                    self._create(table)
            if not books_alone and not self.stamps():
                stamp(self.session, HEAD)

    def standing(self) -> Collection[str]:
        """Ask the server for tables, views and the like of our schema; see `Target.standing`."""
        names = ", ".join(f"'{name}'" for name in (*TABLES, VERSION_TABLE))
        rows = self.session.execute(
            f"SELECT relname::text FROM pg_class WHERE relnamespace = {CURRENT_SCHEMA} AND relname IN ({names})"
        )
        return [name for (name,) in rows]

    def differences(self) -> list[str]:
        """Hold the tables against the same ones made as temporary tables; see `Target.differences`."""
        return postgres_structure.differences(self.session, self._whole_ddl())

    def _incompatible_or_found(self) -> Collection[str]:
        wanted = build_tables()
        found = _found_tables(self.session, wanted)
        refuse_incompatible(self.name, wanted, found, _judge_type)
        return found

    def _create(self, table: sa.Table) -> None:
        if table.name not in ENTITIES:
            self.session.execute(_ddl(CreateTable(table)))
            for index in table.indexes:
                self.session.execute(_ddl(CreateIndex(index)))
            return
        columns = [sa.Column(column.name, column.type, nullable=column.nullable) for column in table.columns]
        bare = sa.Table(sa.quoted_name(table.name, True), sa.MetaData(), *columns)
        self.session.execute(_ddl(CreateTable(bare)))
        self.session.execute(f"COMMENT ON TABLE {quoted(table.name)} IS '{_OURS}'")

    def constrain(self) -> list[str]:
        """Add the constraints of each table in one statement, then the indexes; see `Target.constrain`."""
        tables = build_tables()
        with self.lock():
            try:
                with self.session.transaction():
                    done = [line for entity in ENTITIES for line in self._add_constraints(tables[entity])]
                    done += self._add_indexes()
                    self.session.execute("ANALYZE " + ", ".join(quoted(entity) for entity in ENTITIES))
                    return [*done, "verified all references and gathered statistics"]
            except ConstraintViolated as violation:
                broken = violation
            keys = self._keys_that_break(tables, broken)
        raise constraint_broken(self.name, broken.table, broken.constraint, keys)

    def missing_constraints(self) -> list[str]:
        """Return keys, checks, references and indexes that the entities' tables lack; see `Target`."""
        wanted = build_tables()
        found = [entity for entity in ENTITIES if entity in _found_tables(self.session, wanted)]
        missing = [str(one.name) for entity in found for one in self._missing_of(wanted[entity])]
        return missing + [str(index.name) for index in self._missing_indexes()]

    def _missing_of(self, table: sa.Table) -> list[sa.Constraint]:
        rows = self.session.execute(
            f"SELECT conname, contype::text FROM pg_constraint WHERE conrelid = '{quoted(table.name)}'::regclass"
        )
        present = {name for name, _ in rows}
        has_key = any(kind == "p" for _, kind in rows)
        return [
            constraint
            for constraint in sorted(table.constraints, key=_order)
            if constraint.name not in present and not (isinstance(constraint, sa.PrimaryKeyConstraint) and has_key)
        ]

    def _add_constraints(self, table: sa.Table) -> list[str]:
        missing = self._missing_of(table)
        if not missing:
            return []
        start = f"ALTER TABLE {_DIALECT.identifier_preparer.format_table(table)} "
        additions = [_ddl(AddConstraint(constraint, isolate_from_table=False)) for constraint in missing]
        self.session.execute(start + ", ".join(addition.removeprefix(start) for addition in additions))
        return [f"added constraint {constraint.name}" for constraint in missing]

    def _missing_indexes(self) -> list[sa.Index]:
        rows = self.session.execute("SELECT indexname::text FROM pg_indexes WHERE schemaname = current_schema()")
        present = {row[0] for row in rows}
        return [index for index in entity_indexes("postgresql") if index.name not in present]

    def _add_indexes(self) -> list[str]:
        missing = self._missing_indexes()
        for index in missing:
            self.session.execute(_ddl(CreateIndex(index)))
        return [f"created index {index.name}" for index in missing]

    def _upkeep(self, *, reindex: bool) -> Iterable[Work]:
        return postgres_upkeep.works(self.session, reindex=reindex)

    def provisioning(self) -> Provisioning:
        """Ask the server."""
        return postgres_provisioning.provisioning(self.session)

    def denied(self, *, others: bool = False) -> list[str]:
        """Ask the server for the role's rights."""
        wanted = build_tables()
        found = [entity for entity in ENTITIES if entity in _found_tables(self.session, wanted)]
        indexes = {index.table.name for index in self._missing_indexes() if index.table is not None}
        unconstrained = {entity for entity in found if entity in indexes or self._missing_of(wanted[entity])}
        denied = postgres_provisioning.denied(self.session, unconstrained)
        further = postgres_provisioning.denied_to_carry(self.session) if others else []
        return list(dict.fromkeys([*denied, *further]))

    def throughput(self) -> Throughput:
        """Send into a temporary table."""
        return postgres_provisioning.throughput(self.session)

    def size(self) -> int:
        """Ask the server."""
        return int(self.session.value("SELECT pg_database_size(current_database())"))

    def _keys_that_break(self, tables: dict[str, sa.Table], violation: ConstraintViolated) -> list[str]:
        """Return the keys of some rows that break the constraint; none where it is not one of ours."""
        table = tables.get(violation.table)
        constraints = table.constraints if table is not None else ()
        broken = next((constraint for constraint in constraints if constraint.name == violation.constraint), None)
        if table is None or broken is None:
            return []
        key, name = quoted(key_of(table.name)), quoted(table.name)
        if isinstance(broken, sa.ForeignKeyConstraint):
            parent = broken.referred_table.name
            return readings.orphan_keys(self.session, table.name, broken.column_keys[0], parent, MOST_KEYS_NAMED)
        if isinstance(broken, sa.CheckConstraint):
            query = f"SELECT {key} FROM {name} WHERE NOT ({broken.sqltext})"
        else:
            query = f"SELECT {key} FROM {name} GROUP BY 1 HAVING count(*) > 1"
        return [str(row[0]) for row in self.session.execute(f"{query} ORDER BY 1 LIMIT {MOST_KEYS_NAMED}")]

    def _last_place(self, session: Session, entity: str) -> int | None:
        """Return the number of the table's pages; None for a table that does not move in batches."""
        return _pages(session, entity) if entity == PARTITIONED else None

    def _place_of(self, session: Session, batch: BatchToLoad, before: int, loaded: int) -> tuple[str, int] | None:
        """Return the pages that were filled, with the batch's month, and the number of rows that went elsewhere.

        COPY fills the last page first, and pages that an earlier one had added and left empty; now and then a short
        row goes into a gap of a page far before.
        """
        bounds = month_bounds(batch.batch)
        if bounds is None:
            return None
        first, behind = max(before - _PAGES_LEFT_EMPTY, 0), _pages(session, batch.entity)
        pages = f"t.ctid >= '({first},0)' AND t.ctid < '({behind},0)'"
        dated = f"t.{DATE_COLUMN} >= '{bounds[0]}' AND t.{DATE_COLUMN} < '{bounds[1]}'"
        place = f"{pages} AND {dated}"
        found = session.value(f"SELECT count(*) FROM {quoted(batch.entity)} AS t WHERE {place}")
        strays = loaded - found
        return (place, strays) if 0 <= strays <= _MOST_STRAYS else None

    def _before_scan(self, session: Session) -> None:
        """Read with one process: several would mix their rows."""
        session.execute("SELECT set_config('max_parallel_workers_per_gather', '0', false)")

    def _lock_name(self) -> str:
        return self.name

    def _acquire_lock(self) -> Release:
        """Take the lock on a connection of its own, and give it back by name: the server ends a connection later."""
        lock = lock_number("migration")
        session = open_session(self._url, self.session)
        try:
            taken = session.value(f"SELECT pg_try_advisory_lock({lock})")
        except BaseException:
            session.close()
            raise
        if not taken:
            session.close()
            raise held_elsewhere(self.name)

        def release() -> None:
            # a connection that is lost has lost its locks
            with closing(session), suppress(MigrationError):
                session.value(f"SELECT pg_advisory_unlock({lock})")

        return release

    def _stored_type(self, kind: Kind) -> pa.DataType:
        return postgres_rows.stored_type(kind)

    def _encode(self, column: pa.Array, kind: Kind) -> pa.Array:
        return postgres_rows.encode(column, kind)

    def _select(self, table: str, condition: str) -> str:
        return postgres_rows.select(table, condition)

    def _decode(self, table: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield postgres_rows.decode(table, batch)


def _pages(session: Session, table: str) -> int | None:
    """Return the number of a table's pages; None where the server would scan all of them to find a few."""
    pages = session.value(
        "SELECT CASE WHEN current_setting('server_version_num')::int >= 140000"
        f" THEN pg_relation_size('{quoted(table)}'::regclass) / current_setting('block_size')::int END"
    )
    return None if pages is None else int(pages)


def open_session(url: str, beside: Session | None = None) -> PostgresSession:
    """Open a connection with our settings, to a database that need not be a target.

    Args:
        url: The database.
        beside: An open connection to the same database, if there is one; see `PostgresSession.another`.

    Raises:
        MigrationError: It cannot be made; without the password.
    """
    session = _connected(_with_timeout(url), display_name(url), beside)
    values = " ".join(f"WHEN '{name}' THEN '{value}'" for name, value in _SETTINGS.items())
    names = ", ".join(f"'{name}'" for name in _SETTINGS)
    try:
        # an older server lacks some
        session.execute(
            f"SELECT set_config(name, CASE name {values} END, false) FROM pg_settings WHERE name IN ({names})"
        )
    except BaseException:
        session.close()
        raise
    return session


def why_no_connection(text: str) -> str | None:
    """Return in our own words what libpq says of a connection that was not made; None where it tells nothing."""
    for sign, why in _CONNECT_FAILURES:
        if found := re.search(sign, text):
            return found.expand(why)
    return None


def _with_timeout(url: str) -> str:
    if parameter(url, "connect_timeout") or "PGCONNECT_TIMEOUT" in os.environ:
        return url
    return with_parameter(url, "connect_timeout", _SECONDS_TO_CONNECT)


def _connected(url: str, name: str, beside: Session | None) -> PostgresSession:
    try:
        if isinstance(beside, PostgresSession):
            return beside.another()
        return PostgresSession(postgres_dbapi.connect(url, autocommit=True), name)
    except dbapi.Error as error:
        text = str(error)
    raise MigrationError(
        f"Cannot connect to the database {name}",
        why=why_no_connection(text) or "no connection could be made",
        remedy="Check its host, port, database and user, and the password in PGPASSWORD or .pgpass; "
        "`psql` with the same URL tells more",
    )


def _ddl(element: CreateTable | CreateIndex | AddConstraint) -> str:
    return str(element.compile(dialect=_DIALECT)).strip()


def _order(constraint: sa.Constraint) -> tuple[int, str]:
    """Keys first, references last."""
    kinds = (sa.PrimaryKeyConstraint, sa.CheckConstraint, sa.ForeignKeyConstraint)
    return next(place for place, kind in enumerate(kinds) if isinstance(constraint, kind)), str(constraint.name)


def _found_tables(session: Session, wanted: dict[str, sa.Table]) -> dict[str, FoundTable]:
    names = ", ".join(f"'{name}'" for name in wanted)
    here = f"c.relnamespace = {CURRENT_SCHEMA} AND c.relname IN ({names})"
    columns: dict[str, dict[str, FoundColumn]] = {}
    for table, column, type_name, not_null, filled, generated in session.execute(
        "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
        " a.atthasdef OR a.attidentity <> '', a.attgenerated <> ''"
        f" FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid WHERE {here}"
        " AND a.attnum > 0 AND NOT a.attisdropped"
    ):
        columns.setdefault(table, {})[column] = FoundColumn(type_name, not_null, filled, generated)
    keys = dict(
        session.execute(
            "SELECT c.relname::text, string_agg(a.attname::text, ',' ORDER BY k.place)"
            " FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary"
            " CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)"
            f" JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number WHERE {here} GROUP BY 1"
        )
    )
    relations = session.execute(
        f"SELECT c.relname::text, c.relkind::text, obj_description(c.oid, 'pg_class') FROM pg_class AS c WHERE {here}"
    )
    return {
        name: FoundTable(
            postgres_structure.KINDS.get(kind, postgres_structure.OTHER_KIND),
            columns.get(name, {}),
            tuple(keys[name].split(",")) if name in keys else (),
            key_may_come=comment == _OURS,
        )
        for name, kind, comment in relations
    }


def _judge_type(kind: Kind, found: str) -> str | None:
    if kind in (Kind.MONEY, Kind.RATE):
        wanted = postgres_rows.stored_type(kind)
        match = re.fullmatch(r"numeric\((\d+),(\d+)\)", found)
        fits = match and int(match[1]) >= wanted.precision and int(match[2]) == wanted.scale
        return None if fits else f"numeric({wanted.precision},{wanted.scale})"
    allowed = {
        Kind.DATE: ("date",),
        Kind.MOMENT: ("timestamp without time zone", "timestamp(6) without time zone"),
        Kind.COUNT: ("bigint",),
    }.get(kind, ("text", "character varying"))
    return None if found in allowed else allowed[0]
