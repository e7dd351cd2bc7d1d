"""The rows that refer to a rejected row, however long the way: in self references and in cycles, too.

Here: which parents are lost to which table, found by SQL among the rows that stand in the target, in temporary tables.
Not here: setting the children apart (`rows.Sieve`), and writing their tables anew (`copying`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from accounts_migration.databases.other_tables.cells import cells_of
from accounts_migration.databases.other_tables.copying import TableCopied
from accounts_migration.databases.other_tables.rows import ODD, LostParents, read_target
from accounts_migration.databases.other_tables.structure import Inventory, OtherTable, Reference
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_interface import Target
from accounts_migration.databases.target_schema import selected


def lost_parents(inventory: Inventory, copied: Mapping[str, TableCopied], target: Target) -> dict[str, LostParents]:
    """Return the parents that are rejected, or refer to a rejected row themselves, and that rows refer to.

    Args:
        inventory: The tables.
        copied: Table -> what came of it, all of its rows being in the target but those that it cannot hold.
        target: The target, whose books know what of the four entities was rejected.

    Returns:
        Table -> its lost parents, as its rows name them; a table that has lost none is left out.

    Raises:
        MigrationError: The database fails.
    """
    tables = {table.name: table for table in inventory.tables}
    references = [(table, reference) for table in inventory.tables for reference in table.references]
    links = [_Link(number, *one, tables.get(one[1].parent)) for number, one in enumerate(references)]
    found: dict[str, LostParents] = {}
    with target.session.transaction():
        for link in links:
            link.begin(target, copied)
            # SQLite makes none by itself for a subquery
            columns = selected(link.reference.columns)
            target.session.execute(f"CREATE INDEX {link.lost}_key ON {link.lost} ({columns})")
        while _count(target.session, links) and _spread(target.session, links):
            pass
        for link in links:
            keys = link.end(target)
            if keys.num_rows:
                found[link.table.name] = {**found.get(link.table.name, {}), link.reference.columns: keys}
    return found


@dataclass(frozen=True, slots=True)
class _Link:
    """A foreign key, and the temporary table of its lost parents, whose columns are called as the children's.

    `parent` is None where it refers to one of the four entities.
    """

    number: int
    table: OtherTable
    reference: Reference
    parent: OtherTable | None

    @property
    def lost(self) -> str:
        return f"copy_lost_{self.number}"

    @property
    def followed(self) -> str:
        return f"copy_followed_{self.number}"

    def begin(self, target: Target, copied: Mapping[str, TableCopied]) -> None:
        """Make the table, with the parents that are rejected by themselves."""
        session, columns = target.session, self.reference.columns
        if self.parent is None:
            rejected = f"SELECT source_key FROM {target.books.defect} WHERE entity = $1 AND action = 'rejected'"
            session.execute(f"CREATE TEMPORARY TABLE {self.lost} ({quoted(columns[0])} text)")
            session.execute(f"INSERT INTO {self.lost} {rejected}", (self.reference.parent,))
            return
        types = {column.name: column for column in self.parent.columns}
        wanted = [types[name] for name in self.reference.parent_columns]
        made = (f"{quoted(name)} {column.declared}" for name, column in zip(columns, wanted, strict=True))
        session.execute(f"CREATE TEMPORARY TABLE {self.lost} ({', '.join(made)})")
        keys = copied[self.parent.name].rejected_keys
        if keys.num_rows:
            cells = cells_of(target.engine)
            stored = pa.schema(
                [(name, cells.stored_type(type_.type)) for name, type_ in zip(columns, wanted, strict=True)]
            )
            parts = (
                pa.RecordBatch.from_arrays(
                    [cells.encode(part[column.name], column.type) for column in wanted], schema=stored
                )
                for part in keys.to_batches()
            )
            session.ingest(self.lost, stored, parts, temporary=True)

    def child_of_lost(self) -> str:
        """Return the condition that a row `c` of the table has lost this parent."""
        return f"EXISTS (SELECT 1 FROM {self.lost} AS l WHERE {_same('l', 'c', self.reference.columns)})"

    def end(self, target: Target) -> pa.Table:
        """Return what stands in the columns of the rows that have lost this parent; take the tables away."""
        session = target.session
        if not _count(session, [self]):
            session.execute(f"DROP TABLE {self.lost}")
            return pa.table({})
        session.execute(
            f"CREATE TEMPORARY TABLE {self.followed} AS SELECT DISTINCT {selected(self.reference.columns)}"
            f" FROM {quoted(self.table.name)} AS c WHERE {self.child_of_lost()}"
        )
        columns = tuple(column for column in self.table.columns if column.name in self.reference.columns)
        keys = replace(self.table, name=self.followed, columns=columns)
        rows = [part.drop_columns(ODD) for part in read_target(session, target.engine, keys)]
        session.execute(f"DROP TABLE {self.followed}")
        session.execute(f"DROP TABLE {self.lost}")
        return pa.Table.from_batches(rows, keys.schema)


def _spread(session: Session, links: Sequence[_Link]) -> bool:
    """Add to the lost parents the children of those known by now; return whether there were any."""
    before = _count(session, links)
    for link in links:
        above = [one for one in links if one.table is link.parent]
        if not above:
            continue
        parents = link.reference.parent_columns
        known = _same("k", "c", link.reference.columns, parents)
        session.execute(
            f"INSERT INTO {link.lost} SELECT {selected(parents, 'c')} FROM {quoted(link.reference.parent)} AS c"
            f" WHERE ({' OR '.join(one.child_of_lost() for one in above)})"
            f" AND {' AND '.join(f'c.{quoted(name)} IS NOT NULL' for name in parents)}"
            f" AND NOT EXISTS (SELECT 1 FROM {link.lost} AS k WHERE {known})"
        )
    return _count(session, links) > before


def _count(session: Session, links: Sequence[_Link]) -> int:
    return sum(int(session.value(f"SELECT count(*) FROM {link.lost}")) for link in links)


def _same(one: str, other: str, columns: Sequence[str], others: Sequence[str] | None = None) -> str:
    pairs = zip(columns, others or columns, strict=True)
    return " AND ".join(f"{one}.{quoted(left)} = {other}.{quoted(right)}" for left, right in pairs)
