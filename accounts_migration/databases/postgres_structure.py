"""What a PostgreSQL server says of our tables, and the same of temporary tables.

Here: columns, keys, checks, references and indexes, as the server tells them. Not here: their comparison
(`schema_versions.comparison`). The server words a rule in its own way, from version to version: so it is asked how it
words that of a table made for this.
"""

from collections.abc import Iterable, Iterator

from accounts_migration.databases.postgres_session import CURRENT_SCHEMA
from accounts_migration.databases.schema_versions import comparison
from accounts_migration.databases.session import Session
from accounts_migration.databases.target_schema import TABLES

_TEMPORARY = "pg_my_temp_schema()"
KINDS = {"r": "table", "v": "view", "m": "materialized view", "f": "foreign table", "p": "partitioned table"}
OTHER_KIND = "relation of another kind"
_CONSTRAINTS = {"p": "primary key", "u": "unique constraint", "c": "check", "f": "reference", "x": "exclusion"}


def differences(session: Session, ddl: Iterable[str]) -> list[str]:
    """Return how our tables differ from those that the statements make."""
    # first: once the temporary ones stand, they are what a bare name means
    found = _structure(session, CURRENT_SCHEMA)
    with session.transaction():
        for statement in ddl:
            session.execute(_made_temporary(statement))
        return comparison.differences(found, _structure(session, _TEMPORARY))


def _made_temporary(statement: str) -> str:
    """Return the statement; the table that it creates, if it does, is temporary and goes with the transaction."""
    words = statement.removeprefix("CREATE TABLE")
    return statement if words == statement else f"CREATE TEMPORARY TABLE{words} ON COMMIT DROP"


def _structure(session: Session, schema: str) -> comparison.Structure:
    names = ", ".join(f"'{name}'" for name in TABLES)
    here = f"c.relnamespace = {schema} AND c.relname IN ({names})"
    tables: dict[str, dict[str, str]] = {
        name: {"kind": KINDS.get(kind, OTHER_KIND)}
        for name, kind in session.execute(f"SELECT relname::text, relkind::text FROM pg_class AS c WHERE {here}")
    }
    for asked in (_columns, _constraints, _indexes):
        for table, part, made in asked(session, here):
            tables[table][part] = made
    return tables


def _columns(session: Session, here: str) -> Iterator[tuple[str, str, str]]:
    """Yield table, the word for a part of it, and how the server has it; `here` is the condition on the table `c`."""
    for table, column, made in session.execute(
        "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)"
        " || CASE WHEN o.collname IS NULL OR o.collname = 'default' THEN '' ELSE ' COLLATE ' || o.collname END"
        " || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END"
        " || CASE WHEN a.attgenerated <> '' OR a.attidentity <> '' THEN ' generated' ELSE '' END"
        " || CASE WHEN a.atthasdef THEN ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) ELSE '' END"
        " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
        " LEFT JOIN pg_collation AS o ON o.oid = a.attcollation"
        f" LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE {here}"
        " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    ):
        yield table, f"column {column}", made


def _constraints(session: Session, here: str) -> Iterator[tuple[str, str, str]]:
    """Yield keys, checks and references as `_columns` does columns."""
    kinds = ", ".join(f"'{kind}'" for kind in _CONSTRAINTS)
    for table, name, kind, made in session.execute(
        "SELECT c.relname::text, r.conname::text, r.contype::text, pg_get_constraintdef(r.oid)"
        f" FROM pg_class AS c JOIN pg_constraint AS r ON r.conrelid = c.oid WHERE {here} AND r.contype IN ({kinds})"
        " ORDER BY r.conname"
    ):
        yield table, f"{_CONSTRAINTS[kind]} {name}", made


def _indexes(session: Session, here: str) -> Iterator[tuple[str, str, str]]:
    """Yield the indexes that belong to no constraint as `_columns` does columns."""
    for table, name, made in session.execute(
        "SELECT c.relname::text, n.relname::text, CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END"
        " || substring(pg_get_indexdef(i.indexrelid) FROM ' USING (.*)$')"
        " || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END"
        " FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid JOIN pg_class AS n ON n.oid = i.indexrelid"
        f" WHERE {here} AND NOT EXISTS (SELECT 1 FROM pg_constraint AS r WHERE r.conindid = i.indexrelid"
        " AND r.contype IN ('p', 'u', 'x')) ORDER BY n.relname"
    ):
        yield table, f"index {name}", made
