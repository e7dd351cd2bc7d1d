"""Targets as older programs left them, and all that stands in a target.

Here: what the tests of versions share. Not here: anything that is asserted.
"""

from pathlib import Path
from typing import Any

from accounts_migration.databases.schema_versions.changing import statements
from accounts_migration.databases.schema_versions.known import VERSION_TABLE
from accounts_migration.databases.target import Target, open_target


def make(url: str, version: str, *, stamped: bool = True) -> str:
    """Make the tables of a version in an empty target, as Alembic does; return the URL."""
    if "://" not in url:
        Path(url).touch()
    with open_target(url) as target:
        for statement in statements(target.engine, "base", version):
            target.session.execute(statement)
        if not stamped:
            target.session.execute(f"DROP TABLE {VERSION_TABLE}")
    return url


def fill(target: Target, bank: Any) -> None:
    """Load parents, two months of transactions, one row outside its month, and a defect."""
    bank.load_parents(target)
    bank.load(target, "transaction", bank.transaction(1, 2), "2024-03")
    defect = bank.defect("transaction", "undated", "9")
    bank.load(target, "transaction", bank.transaction(3), "undated", source_rows=2, rejected=1, defects=[defect])


def holds(target: Target) -> dict[str, list[str]]:
    """Return every row of every table, but for the version's, as the engine itself writes it."""
    if target.engine == "sqlite":
        tables = target.session.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
    else:
        tables = target.session.execute(
            "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        )
    return {
        name: sorted(map(repr, target.session.execute(_whole_rows(target, name))))
        for (name,) in tables
        if name not in (VERSION_TABLE, "sqlite_stat1")
    }


def _whole_rows(target: Target, table: str) -> str:
    if target.engine == "postgresql":
        return f'SELECT t::text FROM "{table}" AS t'  # noqa: S608  # our own names
    names = [name for (name,) in target.session.execute(f"SELECT name FROM pragma_table_info('{table}')")]  # noqa: S608
    return f'SELECT {", ".join(f"""typeof("{one}"), quote("{one}")""" for one in names)} FROM "{table}"'  # noqa: S608
