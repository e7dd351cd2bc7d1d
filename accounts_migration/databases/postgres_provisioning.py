"""What a PostgreSQL server is asked before a migration; nothing is written but a temporary table.

Here: version, encoding, connections, rights of the role, throughput. Not here: what follows from the answers
(`accounts_migration.preflight`), and the tables' structure (`postgres_target`).
"""

import statistics
import time
from collections.abc import Collection

import pyarrow as pa

from accounts_migration.databases.books import COPY
from accounts_migration.databases.postgres_session import CURRENT_SCHEMA
from accounts_migration.databases.provisioning import (
    BYTES_SENT,
    ROUND_TRIPS,
    Provisioning,
    Throughput,
    incompressible,
)
from accounts_migration.databases.schema_versions.known import VERSION_TABLE
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import literal
from accounts_migration.databases.target_schema import ENTITIES, TABLES, parents_of

OLDEST_VERSION = 120000
"""As server_version_num; older ones know no generated columns, which the look at the tables asks for."""

CONNECTIONS_USED = 6
"""By a migration at once, at most: the command and its lock, a load, and what reads back and counts beside it."""

_ROWS_SENT = 16
_PROBE = "migration_preflight"
_RIGHTS, _TO_REFER = ("SELECT", "INSERT", "UPDATE", "DELETE"), "REFERENCES"
_TO_LOOK = ("SELECT",)


def provisioning(session: Session) -> Provisioning:
    """Return what the server tells of itself: version, encoding, connections, and whether it can be written at all."""
    [(number, version, encoding, read_only, standby, free)] = session.execute(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
        " current_setting('server_encoding'), current_setting('transaction_read_only') = 'on', pg_is_in_recovery(),"
        f" ({_FREE_CONNECTIONS})"
    )
    wanting = []
    if number < OLDEST_VERSION:
        wanting.append(f"its version is {version}, it must be {OLDEST_VERSION // 10000} or newer")
    if encoding != "UTF8":
        wanting.append(f"its encoding is {encoding}, which cannot hold every text")
    if standby:
        wanting.append("it is a standby, which cannot be written")
    elif read_only:
        wanting.append("it is read-only for this role")
    if free < CONNECTIONS_USED:
        wanting.append(f"{free} connections are free for this role, and a migration uses {CONNECTIONS_USED}")
    facts = {"version": f"PostgreSQL {version}", "encoding": encoding, "free connections": free}
    return Provisioning(facts, tuple(wanting))


# what is left of the smallest limit: the server's, less what it keeps for others, the database's, the role's (the last
# two do not hold for a superuser); and those that are ours already
_FREE_CONNECTIONS = (
    "SELECT (SELECT count(*) FROM pg_stat_activity AS a"
    "  WHERE a.usesysid = r.oid AND a.application_name = current_setting('application_name'))::int + least("
    " current_setting('max_connections')::int - (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL)"
    "  - CASE WHEN r.rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int"
    "   + coalesce(current_setting('reserved_connections', true), '0')::int END,"
    " CASE WHEN NOT r.rolsuper AND d.datconnlimit >= 0 THEN d.datconnlimit"
    "  - (SELECT count(*) FROM pg_stat_activity AS a WHERE a.datid = d.oid) END,"
    " CASE WHEN NOT r.rolsuper AND r.rolconnlimit >= 0 THEN r.rolconnlimit"
    "  - (SELECT count(*) FROM pg_stat_activity AS a WHERE a.usesysid = r.oid) END"
    ")::int FROM pg_roles AS r, pg_database AS d WHERE r.rolname = current_user AND d.datname = current_database()"
)


def denied(session: Session, unconstrained: Collection[str]) -> list[str]:
    """Return the rights that the role lacks, a few words for each; empty where it may do all that a migration does.

    Args:
        session: The target.
        unconstrained: The tables that stand and lack a key, check, reference or index: only their owner can add it.
    """
    [(role, schema, may_use, may_create, may_make_temporary)] = session.execute(
        "SELECT current_user::text, current_schema()::text, has_schema_privilege(current_schema(), 'USAGE'),"
        " has_schema_privilege(current_schema(), 'CREATE'), has_database_privilege(current_database(), 'TEMPORARY')"
    )
    if schema is None:
        return ["no schema is selected: the one that search_path names does not exist, or may not be used"]
    wanted_tables = (*TABLES, VERSION_TABLE)
    names = ", ".join(f"'{name}'" for name in wanted_tables)
    lacking = ", ".join(f"NOT has_table_privilege(c.oid, '{right}')" for right in (*_RIGHTS, _TO_REFER))
    tables = {
        name: (owned, {right for right, is_lacking in zip((*_RIGHTS, _TO_REFER), rights, strict=True) if is_lacking})
        for name, owned, *rights in session.execute(
            f"SELECT c.relname::text, pg_has_role(c.relowner, 'USAGE'), {lacking} FROM pg_class AS c"
            f" WHERE c.relnamespace = {CURRENT_SCHEMA} AND c.relname IN ({names}) ORDER BY 1"
        )
    }
    referred = {parent for child in unconstrained for _, parent in parents_of(child)}
    found = []
    if not may_use:
        found.append(f"{role} lacks USAGE on the schema {schema}")
    # an index wants it, too
    if not may_create and (len(tables) < len(wanted_tables) or unconstrained):
        found.append(f"{role} lacks CREATE on the schema {schema}")
    if not may_make_temporary:
        found.append(f"{role} lacks TEMPORARY on the database")
    for name, (owned, missing) in tables.items():
        wanted = _TO_LOOK if name == VERSION_TABLE else (*_RIGHTS, _TO_REFER) if name in referred else _RIGHTS
        if rights := [right for right in wanted if right in missing]:
            found.append(f"{role} lacks {', '.join(rights)} on the table {name}")
        if name in unconstrained and not owned:
            found.append(f"{role} does not own the table {name}, whose keys and indexes are still to be added")
    return found


def denied_to_carry(session: Session) -> list[str]:
    """Return the rights that the role lacks to make other tables, and to replace those that copies have brought."""
    [(role, schema, may_create, has_books)] = session.execute(
        "SELECT current_user::text, current_schema()::text, has_schema_privilege(current_schema(), 'CREATE'),"
        f" EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = {CURRENT_SCHEMA} AND relname = '{COPY.batch}'"
        " AND has_table_privilege(oid, 'SELECT'))"
    )
    found = [] if may_create or schema is None else [f"{role} lacks CREATE on the schema {schema}"]
    if has_books:
        foreign = session.execute(
            f"SELECT c.relname::text FROM pg_class AS c JOIN {COPY.batch} AS b ON b.entity = c.relname"
            f" WHERE c.relnamespace = {CURRENT_SCHEMA} AND NOT pg_has_role(c.relowner, 'USAGE')"
            f" AND c.relname NOT IN ({', '.join(map(literal, ENTITIES))}) ORDER BY 1"
        )
        found += [f"{role} does not own the table {name}, which an earlier copy brought" for (name,) in foreign]
    return found


def throughput(session: Session) -> Throughput:
    """Send some bytes into a temporary table, and ask for nothing a few times."""
    trips = []
    for _ in range(ROUND_TRIPS):
        started = time.perf_counter()
        session.execute("SELECT 1")
        trips.append(time.perf_counter() - started)
    payload = pa.record_batch({"payload": pa.array([incompressible(BYTES_SENT // _ROWS_SENT)] * _ROWS_SENT)})
    with session.transaction():
        session.execute(f"CREATE TEMPORARY TABLE {_PROBE} (payload bytea) ON COMMIT DROP")
        started = time.perf_counter()
        session.ingest(_PROBE, payload.schema, [payload], temporary=True)
        seconds = time.perf_counter() - started
    return Throughput(statistics.median(trips), BYTES_SENT, seconds)
