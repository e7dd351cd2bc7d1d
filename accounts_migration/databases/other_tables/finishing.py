"""What comes after the rows of the other tables: keys, indexes, foreign keys, the next numbers, statistics.

Here: adding what is missing, in one transaction. Not here: the statements (`ddl`), and the rows (`copying`).
"""

from collections.abc import Iterator

from accounts_migration.databases.other_tables import ddl
from accounts_migration.databases.other_tables.forms import LARGEST_INTEGER
from accounts_migration.databases.other_tables.inventory import orphans
from accounts_migration.databases.other_tables.records import kind_of_relation, recorded
from accounts_migration.databases.other_tables.structure import Inventory, Key, OtherTable, Reference
from accounts_migration.databases.postgres_session import CURRENT_SCHEMA
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import literal, quoted
from accounts_migration.databases.target_interface import Target
from accounts_migration.errors import MigrationError

_ROWS_ANALYZED = 1000


def finish(inventory: Inventory, target: Target) -> list[str]:
    """Add the keys, indexes and foreign keys that are missing, set the next numbers, gather statistics.

    Comes after `Target.constrain`, for other tables may refer to those of the Account Processing System.
    A foreign key for which rows without a parent stand is made all the same, and the rows stay: PostgreSQL checks new
    rows only, SQLite those that change.

    Returns:
        What was done, a sentence for each.

    Raises:
        MigrationError: A table has not been copied, a name is taken, or rows break a key. Nothing was added.
    """
    with target.lock(), target.session.transaction():
        session = target.session
        _refuse_missing(inventory, target)
        add = _in_sqlite if target.engine == "sqlite" else _in_postgres
        done = list(add(session, inventory))
        for table in inventory.tables:
            session.execute(f"ANALYZE {quoted(table.name)}")
    return [*done, f"gathered statistics of {len(inventory.tables)} tables"] if inventory.tables else done


def _refuse_missing(inventory: Inventory, target: Target) -> None:
    session = target.session
    missing = [table.name for table in inventory.tables if recorded(session, table.name) is None]
    if missing:
        raise MigrationError(
            f"Cannot finish the copy into {target.name}",
            why=f"not copied yet: {', '.join(missing)}",
            remedy="Nothing was added. Copy these tables, then run again",
        )
    carried = {f"{table.name}_pkey" for table in inventory.tables}
    keyless = set(target.missing_constraints()) - carried
    for table in inventory.tables:
        for parent in (reference.parent for reference in table.references):
            if kind_of_relation(session, target.engine, parent) is None or f"{parent}_pkey" in keyless:
                raise MigrationError(
                    f"Cannot finish the copy into {target.name}",
                    why=f"table {table.name} refers to table {parent}, which does not stand there with its key",
                    remedy="Nothing was added. Load that table and add its constraints first",
                )


def _in_sqlite(session: Session, inventory: Inventory) -> Iterator[str]:
    """Add indexes and next numbers: keys and references stand since the tables were made."""
    for table in inventory.tables:
        for key in table.keys:
            if key.kind == "index" and _is_free(session, "sqlite", table, key):
                session.execute(ddl.create_index(table, key))
                yield f"created index {key.name}"
        if table.identity is not None:
            last = min(table.identity.next - 1, LARGEST_INTEGER)
            session.execute("DELETE FROM sqlite_sequence WHERE name = $1", (table.name,))
            session.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)", (table.name, last))
            yield f"set the next number of {table.name}.{table.identity.column} to {last + 1}"
    for table in inventory.tables:
        for reference in table.references:
            rows = count_orphans(session, table, reference)
            if rows:
                yield f"foreign key {reference.name} of table {table.name}: {rows:,} rows have no parent"
    session.execute(f"PRAGMA analysis_limit = {_ROWS_ANALYZED}")


def _in_postgres(session: Session, inventory: Inventory) -> Iterator[str]:
    for table in inventory.tables:
        present = _constraints(session, table)
        missing = [key for key in table.keys if key.kind != "index" and key.name not in present]
        free = [key for key in missing if _is_free(session, "postgresql", table, key)]
        if free:
            session.execute(ddl.add(table, [ddl.constraint(key) for key in free]))
        yield from (f"added constraint {key.name}" for key in free)
        for key in table.keys:
            if key.kind == "index" and _is_free(session, "postgresql", table, key):
                session.execute(ddl.create_index(table, key))
                yield f"created index {key.name}"
        if table.identity is not None:
            last = min(table.identity.next - 1, LARGEST_INTEGER)
            column = literal(table.identity.column)
            session.execute(
                f"SELECT setval(pg_get_serial_sequence({literal(quoted(table.name))}, {column}),"
                f" {max(last, 1)}, {'true' if last else 'false'})"
            )
            yield f"set the next number of {table.name}.{table.identity.column} to {last + 1}"
    for table in inventory.tables:
        present = _constraints(session, table)
        for reference in table.references:
            if reference.name not in present:
                yield _refer(session, table, reference)


def _refer(session: Session, table: OtherTable, reference: Reference) -> str:
    rows = count_orphans(session, table, reference)
    if rows:
        session.execute(ddl.add(table, [f"{ddl.foreign_key(reference)} NOT VALID"]))
        return (
            f"added foreign key {reference.name} of table {table.name} for new rows only (NOT VALID): "
            f"{rows:,} rows have no parent"
        )
    session.execute(ddl.add(table, [ddl.foreign_key(reference)]))
    return f"added foreign key {reference.name} of table {table.name}"


def count_orphans(session: Session, table: OtherTable, reference: Reference) -> int:
    """Return how many rows of the target have no parent."""
    pairs = list(zip(reference.columns, reference.parent_columns, strict=True))
    return int(session.value(orphans(quoted(table.name), quoted(reference.parent), pairs)))


def _constraints(session: Session, table: OtherTable) -> set[str]:
    rows = session.execute(
        f"SELECT conname::text FROM pg_constraint WHERE conrelid = {literal(quoted(table.name))}::regclass"
    )
    return {name for (name,) in rows}


def _is_free(session: Session, engine: str, table: OtherTable, key: Key) -> bool:
    """Return whether an index is to be made; False where it stands.

    Raises:
        MigrationError: Something else has its name.
    """
    kind = kind_of_relation(session, engine, key.name)
    if kind is None:
        return True
    if engine == "sqlite":
        query = "SELECT tbl_name FROM sqlite_master WHERE type = 'index' AND lower(name) = lower($1)"
    else:
        query = (
            "SELECT t.relname::text FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
            " JOIN pg_class AS t ON t.oid = i.indrelid"
            f" WHERE c.relname = $1 AND c.relnamespace = {CURRENT_SCHEMA}"
        )
    if session.value(query, (key.name,)) == table.name:
        return False
    raise MigrationError(
        f"Cannot make {key.name} on table {table.name}",
        why=f"another {kind} of the target has this name",
        remedy="Nothing was added. Rename what has the name, then run again",
    )
