"""Whether a table still stands as a copy has brought it, asked of the target and its books alone.

Here: the rows of one table held against the digest that was recorded with them. Not here: the comparison with a source
(`comparing`).
"""

import json
from contextlib import closing

from accounts_migration.databases.other_tables.copying import Content
from accounts_migration.databases.other_tables.forms import ColumnType, Form, Reading
from accounts_migration.databases.other_tables.records import column_names, count_rows
from accounts_migration.databases.other_tables.rows import ODD, in_storage_order, read_target
from accounts_migration.databases.other_tables.structure import OtherColumn, OtherTable
from accounts_migration.databases.target_interface import Target

_ROWS_AT_ONCE = 256
"""Little enough for rows of any width: how wide they are was known when they were brought."""


def stands_as_brought(name: str, target: Target) -> bool:
    """Return whether a table has the columns and the rows that the last copy brought, in the order of then.

    Rows that come in another order are not told from others: where it is False, nobody may have changed anything.

    Args:
        name: The table.
        target: The target, whose books are those of copies and stand.

    Raises:
        MigrationError: The database fails, or the table's columns are of other types by now.
    """
    session = target.session
    query = f"SELECT loaded, content_digest, policies FROM {target.books.batch} WHERE entity = $1"
    records = session.execute(query, (name,))
    if not records:
        return False
    [(loaded, digest, description)] = records
    table = _described(name, description)
    if column_names(session, target.engine, name) != set(table.schema.names):
        return False
    if not loaded:
        # of no rows there is no digest
        return count_rows(session, name) == 0
    content = Content()
    with in_storage_order(session), closing(read_target(session, target.engine, table)) as parts:
        for part in parts:
            if any(part[ODD].to_pylist()):
                return False
            content.add(part.drop_columns([ODD]))
    return content.hexdigest() == str(digest)


def _described(name: str, description: str) -> OtherTable:
    """Return what is needed to read a table back, of `OtherTable.description`."""
    columns = tuple(
        OtherColumn(
            name=column["name"],
            source=column["source"],
            type=ColumnType(**{**column["type"], "form": Form(column["type"]["form"])}),
            declared=column["declared"],
            reading=Reading(**column["reading"]),
            nullable=column["nullable"],
            default=column["default"],
        )
        for column in json.loads(description)["columns"]
    )
    return OtherTable(name, name, "", columns, (), (), None, rows=0, rows_at_once=_ROWS_AT_ONCE)
