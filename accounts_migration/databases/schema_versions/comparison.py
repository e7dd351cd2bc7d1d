"""What differs between the tables that stand in a target and those that its version wants.

Here: the comparison, alike for both engines. Not here: how an engine is asked for its tables (`sqlite_structure`,
`postgres_structure`); whether tables can take rows at all, which is less (`databases.structure`).
"""

from collections.abc import Mapping

from accounts_migration.databases.target_schema import TABLES

Structure = Mapping[str, Mapping[str, str]]
"""Table -> what it has, as `column status` or `index account_customer_id` -> how it is made, in the engine's words."""


def differences(found: Structure, wanted: Structure) -> list[str]:
    """Return what is missing, is made otherwise or is too much in `found`, a few words for each, table by table."""
    lines = []
    for table in TABLES:
        if table in found:
            lines += _differences_of(table, found[table], wanted[table])
        else:
            lines.append(f"table {table} is missing")
    return lines


def _differences_of(table: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    missing = [f"{table}: {part} is missing, it must be {made}" for part, made in wanted.items() if part not in found]
    other = [
        f"{table}: {part} is {found[part]}, it must be {made}"
        for part, made in wanted.items()
        if found.get(part, made) != made
    ]
    beside = [f"{table}: {part} is not of this version: {made}" for part, made in found.items() if part not in wanted]
    return [*missing, *other, *beside]
