"""References from tables that are none of ours to the rows of the entities.

Here: which there are, how many rows hold on to rows that are to go, and letting go of those that are made anew later.
Not here: the references among the entities (`target_schema`), and making those of carried tables (`other_tables`).
"""

from accounts_migration.databases.books import COPY
from accounts_migration.databases.postgres_session import CURRENT_SCHEMA
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import literal, quoted
from accounts_migration.databases.sqlite_session import SqliteSession
from accounts_migration.databases.target_schema import ENTITIES, key_of
from accounts_migration.errors import MigrationError

_OURS = ", ".join(map(literal, ENTITIES))


def refuse_referred(session: Session, entity: str, doomed: str) -> None:
    """Raise MigrationError where rows of tables that are none of ours refer to rows that are to go.

    Args:
        session: The target.
        entity: Whose rows they are.
        doomed: The table of their keys, `target_key`.
    """
    held = []
    for table, column in _referring(session, entity):
        rows = session.value(
            f"SELECT count(*) FROM {quoted(table)} WHERE {quoted(column)} IN (SELECT target_key FROM {doomed})"
        )
        if rows:
            held.append(f"{rows:,} rows of table {table} refer to them in {column}")
    if held:
        raise MigrationError(
            f"Cannot take rows of {entity} away from {session.target_name}, which are no longer to stand there",
            why="; ".join(held),
            remedy="Nothing of this batch was written. Tables that a copy brought go along with --all-tables; "
            "take the rows of others away first",
        )


def release(session: Session) -> None:
    """Let rows of the entities go though rows of carried tables refer to them; who carries these makes all good.

    In SQLite the references stay, and are not looked at by this session from now on. Not within a transaction.

    Raises:
        MigrationError: The database fails.
    """
    if isinstance(session, SqliteSession):
        session.execute("PRAGMA foreign_keys = OFF")
        return
    for child, reference in session.execute(
        "SELECT conrelid::regclass::text, conname::text FROM pg_constraint JOIN pg_class AS c ON c.oid = conrelid"
        f" JOIN {COPY.batch} AS b ON b.entity = c.relname JOIN pg_class AS p ON p.oid = confrelid"
        f" WHERE contype = 'f' AND c.relnamespace = {CURRENT_SCHEMA} AND p.relnamespace = {CURRENT_SCHEMA}"
        f" AND p.relname IN ({_OURS}) AND c.relname NOT IN ({_OURS})"
    ):
        session.execute(f"ALTER TABLE {child} DROP CONSTRAINT {quoted(reference)}")


def _referring(session: Session, entity: str) -> list[tuple[str, str]]:
    """Return table and column of each reference that is looked at when rows of the entity go."""
    key = key_of(entity)
    if not isinstance(session, SqliteSession):
        return session.execute(
            "SELECT c.relname::text, a.attname::text FROM pg_constraint JOIN pg_class AS c ON c.oid = conrelid"
            " JOIN pg_attribute AS a ON a.attrelid = conrelid AND a.attnum = conkey[1]"
            " JOIN pg_attribute AS k ON k.attrelid = confrelid AND k.attnum = confkey[1]"
            f" WHERE contype = 'f' AND confrelid = {literal(quoted(entity))}::regclass AND k.attname = {literal(key)}"
            f" AND c.relnamespace = {CURRENT_SCHEMA} AND c.relname NOT IN ({_OURS}) ORDER BY 1, 2"
        )
    if not session.value("PRAGMA foreign_keys"):
        return []
    return session.execute(
        'SELECT m.name, f."from" FROM sqlite_master AS m JOIN pragma_foreign_key_list(m.name) AS f'
        f" WHERE m.type = 'table' AND lower(f.\"table\") = {literal(entity)}"
        f' AND lower(m.name) NOT IN ({_OURS}) AND (f."to" IS NULL OR lower(f."to") = {literal(key)}) ORDER BY 1, 2'
    )
