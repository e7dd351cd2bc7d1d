"""Whole databases of a PostgreSQL server: making one like another, switching two by name, dropping one.

Here: statements on databases, given from another database of the same server. Not here: what stands in them
(`accounts_migration.databases.copies.postgres`).
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from accounts_migration.databases.postgres_session import PostgresSession
from accounts_migration.databases.postgres_target import open_session
from accounts_migration.databases.postgres_url import display_name, with_database
from accounts_migration.databases.sql_text import literal, quoted
from accounts_migration.errors import MigrationError

_MAINTENANCE = ("postgres", "template1")
_IN_USE = "SQLSTATE 55006"
_SECONDS_TO_SWITCH = 15
_SECONDS_BETWEEN_TRIES = 0.2
# settings that are lists: their stored text is quoted already
_LISTS = ("search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries")


@contextmanager
def maintenance(url: str, target: str) -> Iterator[PostgresSession | None]:
    """Yield a session in another database of the target's server; None where there is none that lets this role in."""
    session = None
    for name in _MAINTENANCE:
        if name != target and session is None:
            with suppress(MigrationError):
                session = open_session(with_database(url, name))
    try:
        yield session
    finally:
        if session is not None:
            session.close()


def may_create_databases(session: PostgresSession) -> bool:
    """Return whether the role may create databases."""
    return bool(session.value("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"))


def exists(session: PostgresSession, name: str) -> bool:
    """Return whether there is a database of this name."""
    return bool(session.value("SELECT count(*) FROM pg_database WHERE datname = $1", (name,)))


def owns(session: PostgresSession, name: str) -> bool:
    """Return whether the role has the rights of the database's owner."""
    return bool(session.value("SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = $1", (name,)))


def create_like(session: PostgresSession, name: str, model: str) -> None:
    """Create an empty database with the order of letters of another; with the server's where that one is gone."""
    words = ["TEMPLATE template0", "ENCODING 'UTF8'"]
    if exists(session, model):
        about = _about(session, model)
        place = session.value("SELECT spcname::text FROM pg_tablespace WHERE oid = $1::oid", (about["dattablespace"],))
        words += [f"TABLESPACE {quoted(place)}"] if place != "pg_default" else []
        words += [f"LC_COLLATE {literal(about['datcollate'])}", f"LC_CTYPE {literal(about['datctype'])}"]
        locale = literal(str(about.get("datlocale") or about.get("daticulocale")))
        words += {
            "i": [f"LOCALE_PROVIDER icu ICU_LOCALE {locale}"],
            "b": [f"LOCALE_PROVIDER builtin BUILTIN_LOCALE {locale}"],
        }.get(about.get("datlocprovider", "c"), [])
    session.execute(f"CREATE DATABASE {quoted(name)} {' '.join(words)}")


def copy_properties(session: PostgresSession, model: str, name: str) -> list[str]:
    """Give a database the owner, settings, grants and limit of another: what a dump of its content does not hold.

    Returns:
        What could not be given, a sentence each: it does not stop a rollback.
    """
    if not exists(session, model):
        return []
    remarks = []
    for statement in [*_settings(session, model, name), *_grants(session, model, name)]:
        try:
            session.execute(statement)
        except MigrationError as error:
            remarks.append(f"to be done by hand, since this role may not ({error.why}): {statement}")
    return remarks


def switch(session: PostgresSession, name: str, ready: str, kept: str) -> None:
    """Rename a database away and another into its place, at once; whoever is in one of them is disconnected.

    Raises:
        MigrationError: Their sessions cannot be ended, or the role lacks the right. Nothing was renamed.
    """
    statements = [f"ALTER DATABASE {quoted(ready)} RENAME TO {quoted(name)}"]
    if exists(session, name):
        statements.insert(0, f"ALTER DATABASE {quoted(name)} RENAME TO {quoted(kept)}")
    deadline = time.monotonic() + _SECONDS_TO_SWITCH
    while True:
        _disconnect(session, name, ready)
        try:
            session.execute("BEGIN")
            for statement in statements:
                session.execute(statement)
            session.execute("COMMIT")
            return
        except MigrationError as error:
            with suppress(MigrationError):
                session.execute("ROLLBACK")
            if _IN_USE not in error.why:
                raise
            if time.monotonic() > deadline:
                raise MigrationError(
                    f"Cannot rename the database {name}",
                    why="programs connect to it again and again",
                    remedy="Stop them, or name in SERVICE_STOP what stops them; then run again",
                ) from error
            time.sleep(_SECONDS_BETWEEN_TRIES)


def _disconnect(session: PostgresSession, name: str, ready: str) -> None:
    try:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname IN ($1, $2) AND pid <> pg_backend_pid()",
            (name, ready),
        )
    except MigrationError as error:
        raise MigrationError(
            f"Cannot end the sessions in the database {name}",
            why=error.why,
            remedy="End them, or GRANT pg_signal_backend to this role; then run again",
        ) from error


def drop(session: PostgresSession, name: str) -> None:
    """Drop a database, with the sessions in it."""
    session.execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")


def shown(url: str, name: str) -> str:
    """Return how another database of the same server is shown, without any password."""
    return display_name(with_database(url, name))


def _about(session: PostgresSession, name: str) -> dict[str, Any]:
    # the columns differ from version to version
    text = session.value("SELECT to_jsonb(d)::text FROM pg_database AS d WHERE datname = $1", (name,))
    about: dict[str, Any] = json.loads(text)
    return about


def _settings(session: PostgresSession, model: str, name: str) -> Iterator[str]:
    rows = session.execute(
        "SELECT coalesce(r.rolname::text, ''), unnest(s.setconfig) FROM pg_db_role_setting AS s"
        " JOIN pg_database AS d ON d.oid = s.setdatabase LEFT JOIN pg_roles AS r ON r.oid = s.setrole"
        " WHERE d.datname = $1",
        (model,),
    )
    for role, setting in rows:
        key, _, value = setting.partition("=")
        whose = f"ROLE {quoted(role)} IN DATABASE" if role else "DATABASE"
        yield f"ALTER {whose} {quoted(name)} SET {key} TO {value if key in _LISTS else literal(value)}"


def _grants(session: PostgresSession, model: str, name: str) -> Iterator[str]:
    about, database = _about(session, model), quoted(name)
    yield f"ALTER DATABASE {database} CONNECTION LIMIT {int(about['datconnlimit'])}"
    grants = session.execute(
        "SELECT CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END, a.privilege_type,"
        " a.is_grantable FROM pg_database AS d CROSS JOIN LATERAL aclexplode(d.datacl) AS a WHERE d.datname = $1",
        (model,),
    )
    if grants:
        yield f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"
    for grantee, privilege, grantable in grants:
        to = quoted(grantee) if grantee else "PUBLIC"
        yield f"GRANT {privilege} ON DATABASE {database} TO {to}{' WITH GRANT OPTION' if grantable else ''}"
    # last: from then on this role may lack the right to the rest
    owner = session.value("SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1", (model,))
    yield f"ALTER DATABASE {database} OWNER TO {quoted(owner)}"
