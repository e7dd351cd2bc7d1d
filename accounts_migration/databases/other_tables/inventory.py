"""What a copy of the other tables will do: which tables, as what, and what stays behind.

Here: from the tables as they were found to the tables as they will stand: types that fit the references, names that the
target can have, keys that it can hold. Not here: asking a source (`sqlite_origin`, `postgres_origin`), and writing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from accounts_migration.databases.other_tables import postgres_origin, sqlite_origin
from accounts_migration.databases.other_tables.cells import Cells, cells_of
from accounts_migration.databases.other_tables.forms import Form
from accounts_migration.databases.other_tables.names import Names, column_names, relation_names
from accounts_migration.databases.other_tables.origin import Origin
from accounts_migration.databases.other_tables.structure import (
    Choice,
    Found,
    FoundColumn,
    FoundKey,
    FoundReference,
    FoundTable,
    Identity,
    Inventory,
    Key,
    NotCarried,
    OtherColumn,
    OtherTable,
    Reference,
)
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_schema import ENTITIES, TABLES, key_of
from accounts_migration.errors import MigrationError

# one less than SQLite allows: a row is read with a column beside its own
_MOST_COLUMNS = {"postgresql": 1600, "sqlite": 1999}
# what an entry of PostgreSQL's B-trees holds
_MOST_BYTES_IN_INDEX = 2700
_BYTES_AT_ONCE = 64_000_000
_ROWS_AT_ONCE = 32_768


def take_inventory(origin: Origin, target_engine: str, *, besides: Collection[str]) -> Inventory:
    """Return what copying the other tables of a database will do; nothing is written.

    Every table is scanned, so that each column gets a type that holds all of its values.

    Args:
        origin: The database that is copied.
        target_engine: `sqlite` or `postgresql`.
        besides: Names of the tables that the caller copies by itself, or leaves.

    Raises:
        MigrationError: The database cannot be read, a table has too many columns for the target, or values that are
            different in the source become equal in a column that must be unique.
    """
    with origin.open() as session:
        find = sqlite_origin.find if origin.engine == "sqlite" else postgres_origin.find
        found = find(session, origin, besides)
        making = _Making(session, found, origin.engine, target_engine, besides)
        return making.inventory()


class _Making:
    """An inventory in the making: what was found, and what was decided so far."""

    def __init__(
        self, session: Session, found: Found, source_engine: str, target_engine: str, besides: Collection[str]
    ) -> None:
        self._session = session
        self._found = {table.name: table for table in found.tables}
        self._source_engine, self._engine = source_engine, target_engine
        self._cells: Cells = cells_of(target_engine)
        self._not_carried = list(found.not_carried)
        self._besides = besides
        self._chosen: dict[tuple[str, str], Choice] = {
            (table.name, column.name): column.best for table in found.tables for column in table.columns
        }
        # columns without values that a reference has given a type: another one may only make them text, or two
        # references would change such a column to and fro for ever
        self._given: set[tuple[str, str]] = set()
        self._relations = relation_names(target_engine, besides)
        self._names: dict[str, str] = {}
        self._columns: dict[str, dict[str, str]] = {}

    def inventory(self) -> Inventory:
        tables = sorted(self._found.values(), key=lambda table: table.name)
        for table in tables:
            self._name(table)
        references = {table.name: self._resolved(table) for table in tables}
        self._agree(references)
        made = tuple(self._table(table, references[table.name]) for table in tables)
        lines = [line for table in tables for line in self._sentences(table)]
        choices, noted = (line for line, _ in lines), (line for line, is_noted in lines if is_noted)
        return Inventory(made, tuple(self._not_carried), tuple(choices), tuple(noted))

    # -- names

    def _name(self, table: FoundTable) -> None:
        most = _MOST_COLUMNS[self._engine]
        if len(table.columns) > most:
            raise MigrationError(
                f"Cannot copy table {table.name}",
                why=f"it has {len(table.columns):,} columns, the target holds {most:,}",
                remedy="Nothing was written. Split the table, or leave it out",
            )
        self._names[table.name] = self._renamed("table", table.name, self._relations)
        names = column_names(self._engine)
        self._columns[table.name] = {
            column.name: self._renamed("column", column.name, names, of=table.name) for column in table.columns
        }
        if table.identity is not None and self._engine == "postgresql":
            # the sequence, which the server names by itself
            self._relations.take(f"{self._names[table.name]}_{table.identity.column}_seq")

    def _renamed(self, kind: str, name: str, names: Names, *, of: str = "") -> str:
        """Return the name that the target can have; `of` is the table, where that does not go without saying."""
        chosen = names.take(name)
        if chosen != name:
            shown = f"{of}.{name}" if of else name
            self._leave("name", f"of {kind} {shown}", f"the target cannot have it there; it is {chosen}")
        return chosen

    def _leave(self, kind: str, name: str, why: str) -> None:
        self._not_carried.append(NotCarried(kind, name, why))

    # -- references

    def _resolved(self, table: FoundTable) -> list[FoundReference]:
        """Return the table's foreign keys that can be carried, with the names of parents as these are written."""
        kept = []
        for one in table.references:
            parent = self._parent(one)
            if isinstance(parent, str):
                self._leave("foreign key", _shown(table, one), parent)
            else:
                kept.append(parent)
        return kept

    def _parent(self, one: FoundReference) -> FoundReference | str:
        """Return the reference with the source's own names, or why it cannot be carried."""
        entity = self._same(one.parent, [name for name in ENTITIES if name in self._besides])
        if entity is not None:
            columns = [self._same(name, [key_of(entity)]) for name in one.parent_columns]
            if columns != [key_of(entity)]:
                return f"table {entity} has no such key"
            return FoundReference(one.name, one.columns, entity, (key_of(entity),), one.actions)
        name = self._same(one.parent, self._found)
        if name is None:
            return f"table {one.parent} is not copied"
        parent = self._found[name]
        names = [column.name for column in parent.columns]
        columns = [self._same(column, names) for column in one.parent_columns]
        known = tuple(column for column in columns if column is not None)
        keys = [key for key in parent.keys if key.is_unique and sorted(key.columns) == sorted(known)]
        if not known or len(known) != len(one.columns) or not keys:
            return f"what it refers to is no key of table {name}"
        if not any(self._fits_index(parent, key) for key in keys):
            return f"the values of table {name} that it refers to are too long for an index"
        return FoundReference(one.name, one.columns, name, known, one.actions)

    def _same(self, name: str, names: Collection[str]) -> str | None:
        """Return the name as it is written; SQLite takes upper and lower case for one."""
        if name in names or self._source_engine == "postgresql":
            return name if name in names else None
        return next((one for one in names if one.lower() == name.lower()), None)

    def _agree(self, references: dict[str, list[FoundReference]]) -> None:
        """Give both sides of each reference one type, or drop the reference; a change may ask for another one."""
        changed = True
        while changed:
            changed = False
            for name, ones in references.items():
                table = self._found[name]
                for one in list(ones):
                    pairs = zip(one.columns, one.parent_columns, strict=True)
                    agreed = [self._agreed((name, child), (one.parent, column)) for child, column in pairs]
                    changed = changed or True in agreed
                    if None in agreed:
                        ones.remove(one)
                        self._leave("foreign key", _shown(table, one), "its columns are of different types")

    def _agreed(self, child: tuple[str, str], parent: tuple[str, str]) -> bool | None:
        """Make two columns alike; return whether one changed, None where they cannot be alike."""
        is_ours = self._is_ours(parent[0])
        wanted = Form.TEXT if is_ours else self._chosen[parent].type.form
        held = self._chosen[child].type.form
        if held is wanted:
            return False
        if self._is_free(child) and self._become(child, wanted):
            return True
        if not is_ours and self._is_free(parent) and self._become(parent, held):
            return True
        if Form.TEXT not in (held, wanted):
            return None
        return self._become(parent if held is Form.TEXT else child, Form.TEXT) or None

    def _is_ours(self, name: str) -> bool:
        """Return whether a parent is an entity's table, not one of that name in a database of others."""
        return name in ENTITIES and name not in self._found

    def _become(self, place: tuple[str, str], form: Form) -> bool:
        choice = self._column(place).choices.get(form)
        if choice is None:
            return False
        self._chosen[place] = choice
        self._given.add(place)
        return True

    def _is_free(self, place: tuple[str, str]) -> bool:
        """Return whether the column can have any type still."""
        return self._column(place).empty and place not in self._given

    def _column(self, place: tuple[str, str]) -> FoundColumn:
        return next(column for column in self._found[place[0]].columns if column.name == place[1])

    # -- tables

    def _table(self, table: FoundTable, references: Sequence[FoundReference]) -> OtherTable:
        names = self._columns[table.name]
        keys = tuple(key for one in table.keys if (key := self._key(table, one)) is not None)
        primary = next((key.columns for key in keys if key.kind == "primary"), ())
        own = Names(self._engine, [key.name for key in keys])
        identity = table.identity
        if identity is not None and self._chosen[table.name, identity.column].type.form is not Form.INTEGER:
            self._leave("identity", f"{table.name}.{identity.column}", "a reference makes it text")
            identity = None
        return OtherTable(
            name=self._names[table.name],
            source=table.name,
            relation=table.relation,
            columns=tuple(self._made(table, column, names[column.name] in primary) for column in table.columns),
            keys=keys,
            references=tuple(self._reference(table, one, own) for one in references),
            identity=identity and Identity(names[identity.column], identity.next),
            rows=table.rows,
            rows_at_once=max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // max(1, table.row_bytes))),
        )

    def _made(self, table: FoundTable, column: FoundColumn, in_key: bool) -> OtherColumn:
        choice = self._chosen[table.name, column.name]
        default = None
        if column.default is not None:
            default = self._cells.default(column.default, choice.type)
            if default is None:
                self._leave("default", f"{table.name}.{column.name}", "it does not fit the type of the column")
        return OtherColumn(
            name=self._columns[table.name][column.name],
            source=column.name,
            type=choice.type,
            declared=self._cells.declared(choice.type),
            reading=choice.reading,
            nullable=column.nullable and not in_key,
            default=default,
        )

    def _key(self, table: FoundTable, one: FoundKey) -> Key | None:
        names = self._columns[table.name]
        if not self._fits_index(table, one):
            name = one.name or f"of {', '.join(one.columns)}"
            self._leave(_WORDS[one.kind], f"{name} of table {table.name}", "its values are too long for an index")
            return None
        if one.is_unique:
            self._refuse_collisions(table, one)
        suffix = "pkey" if one.kind == "primary" else "_".join([*one.columns, "key" if one.is_unique else "idx"])
        wanted = one.name or f"{self._names[table.name]}_{suffix}"
        return Key(
            name=self._renamed(_WORDS[one.kind], wanted, self._relations),
            columns=tuple(names[column] for column in one.columns),
            kind=one.kind,
            is_unique=one.is_unique,
            descending=frozenset(names[column] for column in one.descending),
        )

    def _fits_index(self, table: FoundTable, one: FoundKey) -> bool:
        longest = sum(self._column((table.name, column)).longest for column in one.columns)
        return self._engine == "sqlite" or longest <= _MOST_BYTES_IN_INDEX

    def _refuse_collisions(self, table: FoundTable, one: FoundKey) -> None:
        """Refuse a key whose values are different in the source, as 5 and '5', and are one text in the target."""
        choices = {column: self._chosen[table.name, column] for column in one.columns}
        if not any(choice.note for choice in choices.values()):
            return
        values = ", ".join(choice.reading.value for choice in choices.values())
        present = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in one.columns)
        groups = f"SELECT count(*) AS n FROM {table.relation} WHERE {present} GROUP BY {values} HAVING count(*) > 1"
        rows = self._session.value(f"SELECT sum(n) FROM ({groups}) AS g")
        if rows:
            raise MigrationError(
                f"Cannot copy table {table.name}",
                why=f"{rows:,} rows differ in {', '.join(one.columns)} by their storage class alone, and would break "
                "its key in the target",
                remedy="Nothing was written. Give these rows different values, or leave the table out",
            )

    def _reference(self, table: FoundTable, one: FoundReference, own: Names) -> Reference:
        wanted = one.name or "_".join([self._names[table.name], *one.columns, "fkey"])
        is_ours = self._is_ours(one.parent)
        parent_names: Mapping[str, str] = (
            {column.name: column.name for column in TABLES[one.parent].columns}
            if is_ours
            else self._columns[one.parent]
        )
        return Reference(
            name=self._renamed("foreign key", wanted, own, of=table.name),
            columns=tuple(self._columns[table.name][column] for column in one.columns),
            parent=one.parent if is_ours else self._names[one.parent],
            parent_columns=tuple(parent_names[column] for column in one.parent_columns),
            actions=one.actions,
            in_source=self._orphans(table, one),
        )

    def _orphans(self, table: FoundTable, one: FoundReference) -> str:
        """Return the SQL that counts the rows of the source whose parent is missing."""
        own = [self._chosen[table.name, column] for column in one.columns]
        is_ours = self._is_ours(one.parent)
        of_parent = [] if is_ours else [self._chosen[one.parent, column] for column in one.parent_columns]
        if not any(choice.note for choice in (*own, *of_parent)):
            return orphans(table.relation, quoted(one.parent), list(zip(one.columns, one.parent_columns, strict=True)))
        # 5 and '5' are two values in the source, and one text in the target
        keys = [choice.reading.value for choice in of_parent] or list(map(quoted, one.parent_columns))
        present = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in one.columns)
        known = " AND ".join(f"{key} IS NOT NULL" for key in keys)
        return (
            f"SELECT count(*) FROM {table.relation} WHERE {present} AND ({', '.join(c.reading.value for c in own)})"
            f" NOT IN (SELECT {', '.join(keys)} FROM {quoted(one.parent)} WHERE {known})"
        )

    def _sentences(self, table: FoundTable) -> Iterator[tuple[str, bool]]:
        """Yield what each column becomes, and whether there is more to say of it than its type."""
        for column in table.columns:
            choice = self._chosen[table.name, column.name]
            note = f" ({choice.note})" if choice.note else ""
            declared = f" {column.declared}" if column.declared else ""
            numbered = ", numbers given out" if table.identity and table.identity.column == column.name else ""
            line = f"{table.name}.{column.name}{declared} -> {self._cells.declared(choice.type)}{numbered}{note}"
            yield line, bool(choice.note)


_WORDS: Mapping[str, str] = {"primary": "primary key", "unique": "unique constraint", "index": "index"}


def _shown(table: FoundTable, one: FoundReference) -> str:
    return f"{one.name or ', '.join(one.columns)} of table {table.name}"


def orphans(child: str, parent: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Return the SQL that counts the rows whose parent is missing.

    Args:
        child: The relation of the rows, as SQL.
        parent: The table of the parents, quoted.
        pairs: Columns of the child and of the parent.
    """
    # the parent first: its collation is the one that counts
    same = " AND ".join(f"p.{quoted(column)} = c.{quoted(own)}" for own, column in pairs)
    present = " AND ".join(f"c.{quoted(own)} IS NOT NULL" for own, _ in pairs)
    return (
        f"SELECT count(*) FROM {child} AS c WHERE {present} AND NOT EXISTS (SELECT 1 FROM {parent} AS p WHERE {same})"
    )
