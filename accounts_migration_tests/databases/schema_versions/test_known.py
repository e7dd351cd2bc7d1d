"""What is known of the versions without Alembic, held against Alembic itself."""

import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory

from accounts_migration.databases import schema_versions
from accounts_migration.databases.books import COPY, MIGRATION
from accounts_migration.databases.schema_versions.changing import statements
from accounts_migration.databases.schema_versions.known import HEAD, VERSION_TABLE, VERSIONS, version_of
from accounts_migration.databases.target import open_target
from accounts_migration.databases.target_schema import ENTITIES, TABLES


def test_the_versions_are_those_of_alembic_and_the_head_is_its_only_one() -> None:
    script = ScriptDirectory(str(Path(str(schema_versions.__file__)).parent))
    assert [one.revision for one in script.walk_revisions()] == list(reversed(VERSIONS))
    assert script.get_heads() == [HEAD]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_each_version_adds_the_tables_that_are_told_of_it(engine: str) -> None:
    versions = ["base", *VERSIONS]
    for before, version in pairwise(versions):
        made = [re.match(r'CREATE TABLE "?(\w+)"?', sql) for sql in statements(engine, before, version)]
        names = tuple(match[1] for match in made if match and match[1] != VERSION_TABLE)
        assert names == VERSIONS[version]


def test_all_versions_together_make_the_tables_of_this_program() -> None:
    assert tuple(table for added in VERSIONS.values() for table in added) == tuple(TABLES)


def test_the_stamp_is_the_one_that_alembic_makes(
    target_url: str, run_sql: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """One line of text, its length, not null, and the key under Alembic's own name."""
    with open_target(target_url) as target:
        target.prepare()
        if target.engine == "sqlite":
            query = "SELECT sql FROM sqlite_master WHERE name = 'alembic_version'"
            theirs = statements("sqlite", "base", "0001")[0]
        else:
            query = (
                "SELECT format_type(atttypid, atttypmod), attnotnull, conname::text, pg_get_constraintdef(k.oid)"
                " FROM pg_attribute AS a JOIN pg_constraint AS k ON k.conrelid = a.attrelid AND k.contype = 'p'"
                " WHERE a.attrelid = 'alembic_version'::regclass AND a.attnum > 0"
            )
            theirs = "('character varying(32)', True, 'alembic_version_pkc', 'PRIMARY KEY (version_num)')"
        [found] = target.session.execute(query)
        ours = found[0] if target.engine == "sqlite" else str(found)
        assert " ".join(ours.split()) == " ".join(theirs.split())
        assert target.stamps() == [HEAD]


@pytest.mark.parametrize(
    ("stamps", "tables", "version"),
    [
        ([], (), None),
        ([], ENTITIES, None),
        ([], (*ENTITIES, *MIGRATION.tables), "0001"),
        ([], MIGRATION.tables[:1], "0001"),
        ([], (*ENTITIES, *MIGRATION.tables, "copy_batch"), "0001"),
        ([], tuple(TABLES), "0002"),
        ([], COPY.tables, None),
        (["0001"], tuple(TABLES), "0001"),
        (["0009"], (), "0009"),
        (["0002", "0001"], tuple(TABLES), "0001, 0002"),
    ],
)
def test_the_stamp_tells_the_version_and_without_one_the_tables_do(
    stamps: list[str], tables: tuple[str, ...], version: str | None
) -> None:
    assert version_of(stamps, tables) == version


def test_who_opens_a_target_does_not_wait_for_alembic() -> None:
    program = "import sys, accounts_migration.databases.target; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603  # this interpreter
