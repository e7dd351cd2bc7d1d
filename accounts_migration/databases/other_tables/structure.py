"""What is known of the tables that a copy carries: as they were found, and as they will stand in the target.

Here: plain data. Not here: how a source is asked (`sqlite_origin`, `postgres_origin`), and what is made of the answer
(`inventory`).
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import pyarrow as pa

from accounts_migration.databases.other_tables.defaults import Default
from accounts_migration.databases.other_tables.forms import ColumnType, Form, Reading

Item = TypeVar("Item")
KeyKind = Literal["primary", "unique", "index"]


@dataclass(frozen=True, slots=True)
class NotCarried:
    """Something of the source that has no place in the target: its kind (`view`), its name, and why."""

    kind: str
    name: str
    why: str

    def __str__(self) -> str:
        """Return the sentence that reports it."""
        return f"not carried: {self.kind} {self.name}: {self.why}"


@dataclass(frozen=True, slots=True)
class Choice:
    """What a column becomes, and how its cells are read from the source.

    Args:
        type: What the cells are.
        reading: How they are read.
        note: What the reader of the inventory must know; empty where everything arrives as it is.
    """

    type: ColumnType
    reading: Reading
    note: str = ""


@dataclass(frozen=True)
class FoundColumn:
    """A column of the source.

    Args:
        name: Its name.
        declared: Its type as the source declares it.
        nullable: Whether it may hold NULL.
        default: Its default; None where there is none that can be carried.
        choices: What it may become: by the form, the first being the one that fits best.
        empty: Whether no row has a value there.
        longest: The bytes of its longest value, at most; 0 for what is not text or bytes.
    """

    name: str
    declared: str
    nullable: bool
    default: Default | None
    choices: Mapping[Form, Choice]
    empty: bool
    longest: int = 0

    @property
    def best(self) -> Choice:
        """What it becomes unless a reference asks for something else."""
        return next(iter(self.choices.values()))


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A primary key, a unique constraint or an index of the source; `descending` are columns in that order."""

    name: str | None
    columns: tuple[str, ...]
    kind: KeyKind
    is_unique: bool = True
    descending: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FoundReference:
    """A foreign key of the source; `actions` is the SQL of what happens to a child, as `ON DELETE CASCADE`."""

    name: str | None
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    actions: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """A column whose numbers the database gives out, and the next of them."""

    column: str
    next: int


@dataclass(frozen=True)
class FoundTable:
    """A table of the source; `relation` is the SQL it is read from, `row_bytes` a row's size, at most."""

    name: str
    relation: str
    columns: Sequence[FoundColumn]
    keys: Sequence[FoundKey]
    references: Sequence[FoundReference]
    identity: Identity | None
    rows: int
    row_bytes: int = 0


@dataclass(frozen=True)
class Found:
    """All that was found in a source."""

    tables: Sequence[FoundTable]
    not_carried: Sequence[NotCarried]


@dataclass(frozen=True, slots=True)
class OtherColumn:
    """A column as it will stand: `name` in the target, `source` in the source; `default` is the target's SQL."""

    name: str
    source: str
    type: ColumnType
    declared: str
    reading: Reading
    nullable: bool
    default: str | None


@dataclass(frozen=True, slots=True)
class Key:
    """A primary key, a unique constraint or an index as it will stand; names are the target's."""

    name: str
    columns: tuple[str, ...]
    kind: KeyKind
    is_unique: bool
    descending: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key as it will stand; names are the target's.

    `in_source` is the SQL that counts in the source the rows without their parent.
    """

    name: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    actions: str
    in_source: str


@dataclass(frozen=True)
class OtherTable:
    """A table that is to be copied: `name` in the target, `source` in the source.

    Args:
        name: Its name in the target.
        source: Its name in the source.
        relation: The SQL that it is read from there.
        columns: Its columns.
        keys: Its primary key, unique constraints and indexes.
        references: Its foreign keys.
        identity: The column whose numbers the database gives out.
        rows: How many rows the source has.
        rows_at_once: How many of them are read at once, so that memory stays bounded.
    """

    name: str
    source: str
    relation: str
    columns: tuple[OtherColumn, ...]
    keys: tuple[Key, ...]
    references: tuple[Reference, ...]
    identity: Identity | None
    rows: int
    rows_at_once: int

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of the primary key; empty where there is none."""
        return next((key.columns for key in self.keys if key.kind == "primary"), ())

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema in which the rows travel."""
        return pa.schema([pa.field(column.name, column.type.arrow_type) for column in self.columns])

    @property
    def description(self) -> str:
        """All that decides what will stand in the target beside the rows, as JSON."""
        parts = dataclasses.asdict(dataclasses.replace(self, rows=0, rows_at_once=0, identity=None))
        return json.dumps(parts | {"identity": self.identity and self.identity.column}, default=_plain, sort_keys=True)


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else value.value if isinstance(value, Form) else str(value)


@dataclass(frozen=True)
class Inventory:
    """What a copy of the other tables will do.

    Args:
        tables: The tables, by name.
        not_carried: What stays behind.
        choices: Each column's type and why, a sentence for each.
        noted: Those of them that say what is otherwise than in the source, as numbers that become text.
    """

    tables: tuple[OtherTable, ...] = ()
    not_carried: tuple[NotCarried, ...] = ()
    choices: tuple[str, ...] = field(default=())
    noted: tuple[str, ...] = field(default=())


def in_parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield the items in parts of a size, the last one perhaps smaller: a query has a limited number of columns."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
