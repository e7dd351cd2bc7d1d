"""The rows that refer to a rejected row, however long the way: in self references and in cycles, too.

Here: which parents are lost to which table, found by SQL among the rows that stand in the target, in temporary tables.
Not here: setting the children apart (`rows.Sieve`), and writing their tables anew (`copying`).

From the children of rejected rows on it goes generation by generation, each found by an index from the one before: a
chain may be as long as its table.
"""

from collections import Counter
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
    found: dict[str, dict[tuple[str, ...], pa.Table]] = {}
    with target.session.transaction():
        for link in links:
            link.begin(target, copied)
            # PostgreSQL would take it for a table of a few rows
            target.session.execute(f"ANALYZE {link.rejected}")
        _spread(target.session, [_Step(above, link) for link in links for above in links if above.table is link.parent])
        for link in links:
            keys = link.end(target)
            if keys.num_rows:
                of_table = found.setdefault(link.table.name, {})
                columns = link.reference.columns
                # several references may stand in the same columns
                of_table[columns] = pa.concat_tables([keys, *([of_table[columns]] if columns in of_table else [])])
    return dict(found)


@dataclass(frozen=True, eq=False)
class _Link:
    """A foreign key, and the temporary tables of its lost parents, whose columns are called `key_0` and so on.

    `parent` is None where it refers to one of the four entities.
    """

    number: int
    table: OtherTable
    reference: Reference
    parent: OtherTable | None

    @property
    def rejected(self) -> str:
        """The parents that are rejected by themselves. None of them stands in the target."""
        return f"copy_rejected_{self.number}"

    @property
    def following(self) -> str:
        """The parents that stand in the target and follow a rejected one, each with its generation."""
        return f"copy_following_{self.number}"

    @property
    def followed(self) -> str:
        return f"copy_followed_{self.number}"

    @property
    def keys(self) -> list[str]:
        return [f"key_{place}" for place in range(len(self.reference.columns))]

    def begin(self, target: Target, copied: Mapping[str, TableCopied]) -> None:
        """Make the tables, with the parents that are rejected by themselves."""
        session, columns = target.session, [] if self.parent is None else self.parent.columns
        types = {column.name: column for column in columns}
        wanted = [types[name] for name in self.reference.parent_columns] if types else []
        declared = [column.declared for column in wanted] or ["text"]
        made = ", ".join(f"{name} {type_}" for name, type_ in zip(self.keys, declared, strict=True))
        session.execute(f"CREATE TEMPORARY TABLE {self.rejected} ({made})")
        session.execute(f"CREATE TEMPORARY TABLE {self.following} ({made}, generation integer)")
        session.execute(f"CREATE INDEX {self.following}_keys ON {self.following} ({', '.join(self.keys)})")
        session.execute(f"CREATE INDEX {self.following}_generation ON {self.following} (generation)")
        if self.parent is None:
            rejected = f"SELECT source_key FROM {target.books.defect} WHERE entity = $1 AND action = 'rejected'"
            session.execute(f"INSERT INTO {self.rejected} {rejected}", (self.reference.parent,))
            return
        keys = copied[self.parent.name].rejected_keys
        if keys.num_rows:
            cells = cells_of(target.engine)
            stored = pa.schema(
                [(name, cells.stored_type(type_.type)) for name, type_ in zip(self.keys, wanted, strict=True)]
            )
            parts = (
                pa.RecordBatch.from_arrays(
                    [cells.encode(part[column.name], column.type) for column in wanted], schema=stored
                )
                for part in keys.to_batches()
            )
            session.ingest(self.rejected, stored, parts, temporary=True)

    def child_of(self, lost: str) -> str:
        """Return the condition that a row `c` of the table refers to a row of one of the two tables."""
        return f"({selected(self.reference.columns, 'c')}) IN (SELECT {', '.join(self.keys)} FROM {lost})"

    def end(self, target: Target) -> pa.Table:
        """Return what stands in the columns of the rows that have lost this parent; take the tables away."""
        session = target.session
        columns = tuple(column for column in self.table.columns if column.name in self.reference.columns)
        lost = [
            name for name in (self.rejected, self.following) if session.value(f"SELECT EXISTS (SELECT 1 FROM {name})")
        ]
        rows: list[pa.RecordBatch] = []
        if lost:
            session.execute(f"ANALYZE {self.following}")
            children = (
                f"SELECT DISTINCT {selected([column.name for column in columns])} FROM {quoted(self.table.name)} AS c"
                f" WHERE {self.child_of(name)}"
                for name in lost
            )
            session.execute(f"CREATE TEMPORARY TABLE {self.followed} AS {' UNION '.join(children)}")
            keys = replace(self.table, name=self.followed, columns=columns)
            rows = [part.drop_columns(ODD) for part in read_target(session, target.engine, keys)]
            session.execute(f"DROP TABLE {self.followed}")
        session.execute(f"DROP TABLE {self.rejected}")
        session.execute(f"DROP TABLE {self.following}")
        return pa.Table.from_batches(rows, pa.schema([self.table.schema.field(column.name) for column in columns]))


class _Step:
    """The way from one foreign key of a table, `above`, to one that refers to that table, `below`."""

    def __init__(self, above: _Link, below: _Link) -> None:
        self.above, self.below = above, below
        self._rows = f"copy_step_{above.number}_{below.number}"
        self._is_made = False

    def begin(self, session: Session) -> int:
        """Add the children of rejected rows, which are the first generation; return how many there are."""
        parents = self.below.reference.parent_columns
        return session.changed(
            f"INSERT INTO {self.below.following} SELECT DISTINCT {selected(parents, 'c')}, 1"
            f" FROM {quoted(self.above.table.name)} AS c WHERE {self.above.child_of(self.above.rejected)}"
            f" AND {self._is_new('c', parents)}"
        )

    def follow(self, session: Session, generation: int) -> int:
        """Add the children of a generation to the next one; return how many there are."""
        if not self._is_made:
            self._make(session)
        children = _children(self.below)
        return session.changed(
            f"INSERT INTO {self.below.following} SELECT DISTINCT {selected(children, 's')}, {generation + 1}"
            f" FROM {self.above.following} AS l CROSS JOIN {self._rows} AS s WHERE l.generation = {generation}"
            f" AND {_same('l', 's', self.above.keys)} AND {self._is_new('s', children)}"
        )

    def end(self, session: Session) -> None:
        """Take the table away."""
        session.execute(f"DROP TABLE IF EXISTS {self._rows}")

    def _make(self, session: Session) -> None:
        """Put what is needed of the table's rows where an index finds it; of those alone whose parent stands."""
        above, below = self.above.reference, self.below.reference
        names = [*zip(above.columns, self.above.keys, strict=True)]
        names += zip(below.parent_columns, _children(self.below), strict=True)
        session.execute(
            f"CREATE TEMPORARY TABLE {self._rows} AS SELECT"
            f" {', '.join(f'c.{quoted(column)} AS {name}' for column, name in names)}"
            f" FROM {quoted(self.above.table.name)} AS c WHERE ({selected(above.columns, 'c')})"
            f" IN (SELECT {selected(above.parent_columns)} FROM {quoted(above.parent)})"
        )
        session.execute(f"CREATE INDEX {self._rows}_keys ON {self._rows} ({', '.join(self.above.keys)})")
        session.execute(f"ANALYZE {self._rows}")
        self._is_made = True

    def _is_new(self, rows: str, columns: Sequence[str]) -> str:
        known = _same("k", rows, self.below.keys, columns)
        return (
            " AND ".join(f"{rows}.{quoted(name)} IS NOT NULL" for name in columns)
            + f" AND NOT EXISTS (SELECT 1 FROM {self.below.following} AS k WHERE {known})"
        )


def _spread(session: Session, steps: Sequence[_Step]) -> None:
    """Add to the lost parents the children of those known by now, generation by generation."""
    generation, grown = 1, Counter({step: step.begin(session) for step in steps})
    while grown.total():
        parents = {step.below for step, rows in grown.items() if rows}
        grown = Counter({step: step.follow(session, generation) for step in steps if step.above in parents})
        generation += 1
    for step in steps:
        step.end(session)


def _children(below: _Link) -> list[str]:
    return [f"child_{place}" for place in range(len(below.keys))]


def _same(one: str, other: str, columns: Sequence[str], others: Sequence[str] | None = None) -> str:
    pairs = zip(columns, others or columns, strict=True)
    return " AND ".join(f"{one}.{quoted(left)} = {other}.{quoted(right)}" for left, right in pairs)
