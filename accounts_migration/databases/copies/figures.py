"""What stands in a database, as a backup is held against what it restores: rows and exact totals of every table.

Here: the figures, the migration they are of, and their comparison. Not here: how an engine gathers them (`sqlite`,
`postgres`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from accounts_migration.databases.books import MIGRATION
from accounts_migration.databases.schema_versions.known import VERSION_TABLE
from accounts_migration.databases.target_schema import TABLES, kind_of

MEASURES: dict[str, dict[str, int]] = {
    name: {column.name: kind_of(column).scale for column in table.columns if kind_of(column).scale > 1}
    for name, table in TABLES.items()
} | {VERSION_TABLE: {}}
"""Our table -> column with decimals -> how many units make one; other tables are digested row by row instead."""


@dataclass(frozen=True, slots=True)
class TableFigures:
    """One table: `totals` by column in cents (rates in millionths); `digest` of all rows where it is none of ours."""

    rows: int
    totals: dict[str, int] = field(default_factory=dict)
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Migrated:
    """The migration, or the copy, that a target holds: that of the entity's batch which was loaded last.

    Books of migrations that a copy has brought tell of another database, whose loads are older than the copy.

    Args:
        snapshot_id: Its snapshot.
        policies_digest: Its policies.
        since: When its first batch was loaded, of those that stand: UTC, ISO 8601 without zone.
        deed: `migration` or `copy`, as `books.Books` has it.
    """

    snapshot_id: str
    policies_digest: str
    since: str
    deed: str = MIGRATION.deed

    def is_same(self, other: "Migrated | None") -> bool:
        """Return whether both are of one migration, however often it was begun again."""
        return other is not None and (self.snapshot_id, self.policies_digest) == (
            other.snapshot_id,
            other.policies_digest,
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """All tables of a database.

    Args:
        tables: By name; in PostgreSQL those outside of the target's schema with theirs, as `audit.entry`.
        migrated: The migration or copy that they are of; None before any.
    """

    tables: dict[str, TableFigures] = field(default_factory=dict)
    migrated: Migrated | None = None

    @property
    def others(self) -> Mapping[str, TableFigures]:
        """Return the tables that are none of ours."""
        return {name: one for name, one in self.tables.items() if name not in MEASURES}

    @property
    def here(self) -> "Figures":
        """Return the figures without those of other schemas."""
        return Figures({name: one for name, one in self.tables.items() if "." not in name}, self.migrated)

    def differences(self, found: "Figures", *, rows_alone: bool = False) -> list[str]:
        """Return what differs in `found`, a sentence for each table; empty where it is the same.

        Args:
            found: What stands in the other place.
            rows_alone: Whether `found` tells numbers of rows, of some tables alone.
        """
        if rows_alone:
            told = {name: TableFigures(one.rows) for name, one in self.tables.items() if name in found.tables}
            return list(Figures(told).by_table(found).values())
        return list(self.by_table(found).values())

    def by_table(self, found: "Figures") -> dict[str, str]:
        """Return what differs in `found`: name of the table -> a sentence."""
        names = sorted({*self.tables, *found.tables})
        lines = {name: _difference(name, self.tables.get(name), found.tables.get(name)) for name in names}
        return {name: line for name, line in lines.items() if line is not None}


def _difference(table: str, expected: TableFigures | None, found: TableFigures | None) -> str | None:
    # a line break in it would pass for a line of ours
    name = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in table)
    if expected is None or found is None:
        return f"table {name} is {'missing' if found is None else 'there, and should not be'}"
    if expected.rows != found.rows:
        return f"table {name} has {found.rows:,} rows, not {expected.rows:,}"
    columns = [column for column, total in expected.totals.items() if found.totals.get(column) != total]
    if columns:
        return f"table {name} has other totals of {', '.join(columns)}"
    return f"table {name} has other rows" if expected.digest != found.digest else None
