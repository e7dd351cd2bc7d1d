"""The upkeep of a PostgreSQL target after its last load (guide, "Performance Optimization").

Here: its steps: a look at constraints and indexes, REINDEX where it is wanted, VACUUM ANALYZE. Not here: when they are
taken (`target_interface`). A fresh load leaves nothing for REINDEX to mend, so it is not taken by itself.
"""

from collections.abc import Iterable

from accounts_migration.databases.postgres_session import CURRENT_SCHEMA
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_schema import TABLES
from accounts_migration.databases.upkeep import Work
from accounts_migration.errors import MigrationError

_WITH_CONCURRENT_REINDEX, _WITH_RIGHT_TO_MAINTAIN = 120_000, 170_000


def works(session: Session, *, reindex: bool) -> Iterable[Work]:
    """Return the steps; with `reindex`, indexes are built anew beside their use."""
    yield "constraints and indexes", lambda: _refuse_invalid(session)
    yield "rights", lambda: _refuse_strange_owners(session)
    if reindex:
        yield "REINDEX", lambda: _reindex(session)
    yield "VACUUM ANALYZE", lambda: session.execute(f"VACUUM (ANALYZE) {', '.join(map(quoted, TABLES))}")


def _here(relation: str) -> str:
    names = ", ".join(f"'{name}'" for name in TABLES)
    return f"{relation}.relnamespace = {CURRENT_SCHEMA} AND {relation}.relname IN ({names})"


def _refuse_invalid(session: Session) -> None:
    """Raise MigrationError where the server does not hold a constraint or an index of ours for valid."""
    rows = session.execute(
        f"SELECT c.conname::text FROM pg_constraint AS c JOIN pg_class AS t ON t.oid = c.conrelid"
        f" WHERE {_here('t')} AND NOT c.convalidated UNION ALL"
        " SELECT i.indexrelid::regclass::text FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid"
        f" WHERE {_here('t')} AND NOT (i.indisvalid AND i.indisready AND i.indislive) ORDER BY 1"
    )
    if rows:
        raise MigrationError(
            f"The target {session.target_name} is not sound",
            why=f"the server does not hold these for valid: {', '.join(name for (name,) in rows)}",
            remedy="Drop them and run the migration again, which adds and verifies what is missing",
        )


def _refuse_strange_owners(session: Session) -> None:
    """Raise MigrationError where VACUUM would leave out a table with no more than a warning."""
    may = "pg_has_role(t.relowner, 'USAGE')"
    if _version(session) >= _WITH_RIGHT_TO_MAINTAIN:
        may += " OR has_table_privilege(t.oid, 'MAINTAIN')"
    rows = session.execute(f"SELECT t.relname::text FROM pg_class AS t WHERE {_here('t')} AND NOT ({may}) ORDER BY 1")
    if rows:
        raise MigrationError(
            f"Cannot vacuum {session.target_name}",
            why=f"this role does not own {', '.join(name for (name,) in rows)}",
            remedy="Run as their owner, or as a superuser",
        )


def _reindex(session: Session) -> None:
    beside_use = "CONCURRENTLY " if _version(session) >= _WITH_CONCURRENT_REINDEX else ""
    for table in TABLES:
        session.execute(f"REINDEX TABLE {beside_use}{quoted(table)}")


def _version(session: Session) -> int:
    return int(session.value("SELECT current_setting('server_version_num')"))
