"""What is asked of an engine about the cells of any table.

Here: the questions, and which module answers them for which engine. Not here: the answers (`sqlite_cells`,
`postgres_cells`).
"""

from typing import Protocol, cast

import pyarrow as pa

from accounts_migration.databases.other_tables import postgres_cells, sqlite_cells
from accounts_migration.databases.other_tables.defaults import Default
from accounts_migration.databases.other_tables.forms import ColumnType, Reading


class Cells(Protocol):
    """A module that knows one engine's cells."""

    def reading(self, column: str, kind: ColumnType) -> Reading:
        """Return how a cell of this type is read from the column, given as quoted SQL."""

    def declared(self, kind: ColumnType) -> str:
        """Return the column type that the engine's schema is to declare."""

    def stored_type(self, kind: ColumnType) -> pa.DataType:
        """Return the Arrow type in which a column is written."""

    def encode(self, cells: pa.Array, kind: ColumnType) -> pa.Array:
        """Return cells as they are written."""

    def default(self, wanted: Default, kind: ColumnType) -> str | None:
        """Return the SQL of a default; None where the column cannot have it."""


def cells_of(engine: str) -> Cells:
    """Return the module of an engine."""
    return cast(Cells, sqlite_cells if engine == "sqlite" else postgres_cells)
