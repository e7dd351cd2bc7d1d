"""Odd databases, carried from SQLite to PostgreSQL and back: every cell is what it was, by storage class and value."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from accounts_migration_tests.databases.other_tables.carrying import carry, cells, origin_of, write_sqlite
from accounts_migration_tests.databases.other_tables.odd_databases import ODD_DATABASES


@pytest.mark.parametrize("name", ODD_DATABASES)
def test_every_cell_comes_back(name: str, tmp_path: Path, new_target: Callable[[str, Path], str]) -> None:
    odd = ODD_DATABASES[name]
    origin = write_sqlite(tmp_path / "odd.db", odd.script)
    there, back = new_target("postgresql", tmp_path), str(tmp_path / "back.db")

    out = carry(origin, there)
    home = carry(origin_of(there), back)

    assert (out.faults, home.faults) == ({}, {})
    returned = {table.source: table for table in home.inventory.tables}
    assert len(returned) == len(out.inventory.tables)
    for table in out.inventory.tables:
        names = {column.source: f"{table.source}.{column.source}" for column in table.columns}
        inner = {column.name: f"{table.source}.{column.source}" for column in table.columns}
        last = {column.name: inner[column.source] for column in returned[table.name].columns}
        expected = Counter(
            tuple((column, odd.returned(column, cell)) for column, cell in row)
            for row in cells(tmp_path / "odd.db", table.source, names).elements()
        )
        assert cells(Path(back), returned[table.name].name, last) == expected
        assert expected.total() == next(one.loaded for one in out.copied if one.table == table.name)


@pytest.mark.parametrize("name", ["keys", "storage classes"])
def test_a_second_copy_finds_nothing_to_do(name: str, tmp_path: Path, target_url: str) -> None:
    origin = write_sqlite(tmp_path / "odd.db", ODD_DATABASES[name].script)

    first = carry(origin, target_url)
    second = carry(origin, target_url)

    assert set(first.roads) == {"create"}
    assert set(second.roads) == {"keep"}
    assert second.faults == {}
    assert [line for line in second.done if line.startswith(("added", "created"))] == []


def test_names_that_hold_anything_come_back(tmp_path: Path, postgres_url: str) -> None:
    names = {
        name: f'"{name.replace(chr(34), chr(34) * 2)}"' for name in ("a\nb", "x, y", ") REFERENCES", "%s", 'a"b', "--")
    }
    script = "".join(
        f"CREATE TABLE {quoted} ({quoted} INTEGER PRIMARY KEY); INSERT INTO {quoted} VALUES (1);"  # noqa: S608  # our own names
        for quoted in names.values()
    )
    columns = ", ".join(f"{quoted} INT REFERENCES {quoted} ON DELETE CASCADE" for quoted in names.values())
    ones = ", ".join("1" * len(names))
    script += f"CREATE TABLE child ({columns}); INSERT INTO child VALUES ({ones})"  # noqa: S608  # our own names
    there = carry(write_sqlite(tmp_path / "origin.db", script), postgres_url)
    back = carry(origin_of(postgres_url), str(tmp_path / "back.db"))
    for done in (there, back):
        assert (done.faults, done.inventory.not_carried) == ({}, ())
        child = next(table for table in done.inventory.tables if table.name == "child")
        found = [(one.columns, one.parent, one.parent_columns, one.actions) for one in child.references]
        assert sorted(found) == sorted(((name,), name, (name,), "ON DELETE CASCADE") for name in names)
