"""Whether the tables that stand in a target can take our rows.

Here: the comparison of contract section 6 (compatible, else an error), alike for both engines. Not here:
how an engine is asked for its tables (`sqlite_structure`, `postgres_target`), and the wanted tables
(`target_schema`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from accounts_migration.databases.target_schema import Kind, kind_of
from accounts_migration.errors import MigrationError

TypeJudge = Callable[[Kind, str], str | None]
"""Given a kind and the type that stands there, returns what the type must be; None where it will do."""


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """A column as it stands; `filled_by_database`: by default or identity; `generated`: not to be written."""

    type: str
    not_null: bool
    filled_by_database: bool
    generated: bool


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table, view or other object as it stands; `kind` is `table` for what rows can be written to.

    `key_may_come` is true for a table of ours whose primary key is added after the load.
    """

    kind: str
    columns: Mapping[str, FoundColumn]
    key: tuple[str, ...]
    key_may_come: bool = False


def refuse_incompatible(
    target_name: str, wanted: Mapping[str, sa.Table], found: Mapping[str, FoundTable], judge: TypeJudge
) -> None:
    """Raise MigrationError naming every difference of the tables that stand; a missing one is none."""
    differences = [
        difference for name, table in found.items() for difference in _differences(wanted[name], table, judge)
    ]
    if differences:
        raise MigrationError(
            f"The tables of {target_name} cannot take the migrated rows",
            why="; ".join(differences),
            remedy="Nothing was written. Change or rename these tables, or migrate into another database",
        )


def _differences(wanted: sa.Table, found: FoundTable, judge: TypeJudge) -> list[str]:
    name = wanted.name
    if found.kind != "table":
        return [f"{name} is a {found.kind}, not a table"]
    differences = [
        difference
        for column in wanted.columns
        for difference in _column_differences(f"{name}.{column.name}", column, found.columns.get(column.name), judge)
    ]
    key = tuple(column.name for column in wanted.primary_key.columns)
    if found.key != key and not (found.key == () and found.key_may_come):
        is_key = ", ".join(found.key) or "nothing"
        differences.append(f"the primary key of {name} is {is_key}, it must be {', '.join(key) or 'nothing'}")
    for column_name, column in found.columns.items():
        wants_value = column.not_null and not column.filled_by_database and not column.generated
        if column_name not in wanted.columns and wants_value:
            differences.append(f"{name}.{column_name} is not ours, is NOT NULL and has no default")
    return differences


def _column_differences(
    name: str, wanted: "sa.Column[object]", found: FoundColumn | None, judge: TypeJudge
) -> list[str]:
    if found is None:
        return [f"{name} is missing"]
    differences = []
    if found.generated:
        differences.append(f"{name} is a generated column")
    must_be = judge(kind_of(wanted), found.type)
    if must_be is not None:
        differences.append(f"{name} is {found.type or 'of no type'}, it must be {must_be}")
    if found.not_null and wanted.nullable:
        differences.append(f"{name} is NOT NULL, it must allow NULL")
    return differences
