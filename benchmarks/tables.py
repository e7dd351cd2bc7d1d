"""The target's tables as the other ways need them: the same types, keys, checks, references and indexes.

Here: DDL only, compiled from the target's own tables, so that no way has less to do than another. An index
that the target has beyond contract section 6 is left out: it is the migration's own choice and must not
raise the floor.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable

from accounts_migration.databases.target_schema import ENTITIES, build_tables

_POSTGRES = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
_SQLITE = sqlite.dialect()
_KEY_CHECK_REFERENCE = (sa.PrimaryKeyConstraint, sa.CheckConstraint, sa.ForeignKeyConstraint)


def sqlite_tables() -> list[str]:
    """Return the statements that create the constrained tables in SQLite."""
    tables = build_tables()
    return [_sql(CreateTable(tables[entity]), _SQLITE) for entity in ENTITIES]


def sqlite_indexes() -> list[str]:
    """Return the statements that create the indexes in SQLite."""
    return [_sql(CreateIndex(index), _SQLITE) for index in _indexes()]


def bare_postgres_tables() -> list[str]:
    """Return the statements that create the tables in PostgreSQL with their types and NOT NULL alone."""
    statements = []
    for name, table in _entity_tables().items():
        columns = [sa.Column(column.name, column.type, nullable=column.nullable) for column in table.columns]
        bare = sa.Table(sa.quoted_name(name, True), sa.MetaData(), *columns)
        statements.append(_sql(CreateTable(bare), _POSTGRES))
    return statements


def postgres_constraints() -> list[str]:
    """Return a statement for each table that adds its key, checks and references, then the indexes."""
    statements = []
    for table in _entity_tables().values():
        start = f"ALTER TABLE {_POSTGRES.identifier_preparer.format_table(table)} "
        kept = [constraint for constraint in table.constraints if isinstance(constraint, _KEY_CHECK_REFERENCE)]
        additions = [
            _sql(AddConstraint(constraint, isolate_from_table=False), _POSTGRES).removeprefix(start)
            for constraint in sorted(kept, key=lambda one: _KEY_CHECK_REFERENCE.index(type(one)))
        ]
        statements.append(start + ", ".join(additions))
    return statements + [_sql(CreateIndex(index), _POSTGRES) for index in _indexes()]


def _entity_tables() -> dict[str, sa.Table]:
    tables = build_tables()
    return {entity: tables[entity] for entity in ENTITIES}


def _indexes() -> list[sa.Index]:
    indexes = (index for table in _entity_tables().values() for index in table.indexes)
    return sorted((index for index in indexes if "engine" not in index.info), key=lambda index: str(index.name))


def _sql(element: CreateTable | CreateIndex | AddConstraint, dialect: sa.Dialect) -> str:
    return str(element.compile(dialect=dialect)).strip()
