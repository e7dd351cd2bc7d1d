"""What an entity is made of: its legacy chunk, what its parser returns, and the circumstances of a verdict.

Here: the shapes that the four entity files fill in and `accounts_migration.entities.cleaning` works on. Not here:
rules.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.entities import keys
from accounts_migration.entities.columns import LegacyColumn, ParsedColumn
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.schemas import FAULT_SUFFIX
from accounts_migration.legacy_values import LegacyValue, read_source_row

Mask = npt.NDArray[np.bool_]


class LegacyChunk:
    """Some legacy rows as the raw asset holds them: `row`, `batch`, the legacy columns, `integers`, `irregular`."""

    def __init__(self, rows: pa.RecordBatch, legacy_columns: tuple[str, ...], has_row_id: bool) -> None:
        """Wrap a batch of raw rows."""
        self.rows = rows
        self.legacy_columns = legacy_columns
        self.has_row_id = has_row_id

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.rows.num_rows)

    @cached_property
    def _irregular(self) -> dict[int, dict[str, LegacyValue]]:
        places = pc.indices_nonzero(pc.is_valid(self.rows["irregular"])).to_pylist()
        return {place: read_source_row(self.rows["irregular"][place].as_py()) for place in places}

    def column(self, name: str, *, as_written: bool = False) -> LegacyColumn:
        """Return one legacy column.

        Args:
            name: The legacy column.
            as_written: Whether 5 and 5.0 differ (they do as text and code, not as money).
        """
        values = self.rows[name]
        irregular = {place: row[name] for place, row in self._irregular.items()}
        if as_written and pa.types.is_float64(values.type):
            position = self.legacy_columns.index(name)
            integers = np.asarray(self.rows["integers"]) >> position & 1
            for place in map(int, np.flatnonzero(integers)):
                if place not in irregular:  # where the whole row is irregular, nothing stands in the column
                    irregular[place] = int(values[place].as_py())
        return LegacyColumn(values, irregular)

    def row(self, place: int) -> dict[str, LegacyValue]:
        """Return one whole legacy row with its storage classes."""
        if place in self._irregular:
            return self._irregular[place]
        integers = self.rows["integers"][place].as_py()
        return {
            name: _exact(self.rows[name][place].as_py(), integers >> position & 1)
            for position, name in enumerate(self.legacy_columns)
        }


def _exact(value: LegacyValue, was_integer: int) -> LegacyValue:
    return int(value) if was_integer and isinstance(value, float) else value


@dataclass(frozen=True, slots=True)
class ParsedField:
    """One target column, parsed: `legacy` names the column it came from."""

    target: str
    legacy: str
    column: ParsedColumn


@dataclass(frozen=True)
class ParsedChunk:
    """What an entity makes of a chunk, before any row is judged.

    Args:
        fields: The target's columns that have a legacy column, in the target's order; the key first.
        constants: Target columns that hold one value for all rows.
        parents: Parent entity -> the keys referred to (int64).
        keys: The entity's own keys as int64, for those that are parents.
        inactive: Rows that are not active, with the legacy column that says so.
        checked: Further columns that only a rule looks at; they do not reach the target.
    """

    fields: list[ParsedField]
    constants: dict[str, pa.Scalar] = field(default_factory=dict)
    parents: dict[str, pa.Array] = field(default_factory=dict)
    keys: pa.Array | None = None
    inactive: tuple[str, Mask] | None = None
    checked: list[ParsedField] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a verdict needs besides the row itself.

    Args:
        policies: The policies in force.
        snapshot_time: The snapshot's time, UTC.
        duplicates: Table of `keys.DUPLICATE_SCHEMA`.
        parents: Parent entity -> what became of its keys.
        referenced: The entity's keys that some legacy account refers to; for product and customer.
    """

    policies: Policies
    snapshot_time: datetime
    duplicates: pa.Table
    parents: Mapping[str, keys.KeyFates] = field(default_factory=dict)
    referenced: keys.KeyFates | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity: where its rows come from, what a correct row is, and which entities it refers to.

    Args:
        name: The target table.
        legacy_table: The table of contract section 2.
        legacy_columns: Its columns.
        schema: The Pandera schema of a cleaned row; its checks are named by reason codes.
        parse: Parses a chunk into the target's columns.
        parse_keys: Parses the key column alone (column, legacy encoding).
        parents: Parent entity -> the legacy column that refers to it.
        batch_column: The date that names a row's batch, if the entity moves in batches.
        origin: Whether its rows come from the legacy database, or from the platform's own tables.
    """

    name: str
    plural: str
    legacy_table: str
    legacy_columns: tuple[str, ...]
    schema: pandera.DataFrameSchema
    parse: Callable[[LegacyChunk, Circumstances], ParsedChunk]
    parse_keys: Callable[[LegacyColumn, str], ParsedColumn]
    parents: Mapping[str, str] = field(default_factory=dict)
    batch_column: str | None = None
    origin: Literal["legacy", "platform"] = "legacy"

    @property
    def key_column(self) -> str:
        """Return the legacy key column."""
        return self.legacy_columns[0]

    @property
    def target_columns(self) -> list[str]:
        """Return the target's columns in order."""
        return [name for name in self.schema.columns if not name.endswith(FAULT_SUFFIX) and self._in_target(name)]

    def _in_target(self, name: str) -> bool:
        return bool(self.schema.columns[name].required)

    @property
    def row_schema(self) -> pa.Schema:
        """Return the Arrow schema of a cleaned row, `batch` first."""
        columns = self.schema.columns
        fields = [pa.field(name, columns[name].dtype.type.pyarrow_dtype) for name in self.target_columns]
        return pa.schema([pa.field("batch", pa.string()), *fields])
