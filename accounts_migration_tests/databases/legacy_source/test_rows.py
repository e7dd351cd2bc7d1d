"""The rows of the legacy source: every cell comes out as SQLite holds it, and every reading numbers rows alike."""

import contextlib
import sqlite3
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts_migration.databases.legacy_source import (
    LegacyTable,
    count_by_batch,
    dominant_classes,
    open_read_only,
    raw_schema,
    read_keys,
    read_rows,
    read_whole_rows,
    row_id_name,
)
from accounts_migration.entities.entity import LegacyChunk
from accounts_migration.legacy_values import LegacyValue, UndecodableText
from accounts_migration_tests.databases.legacy_source.storage_classes import CELLS
from accounts_migration_tests.databases.legacy_source.tables import THINGS, cells, exactly, read, run, things

NOTED = LegacyTable("things", ("key", "value", "note"))
SAME_KEYS: list[tuple[str, int, None]] = [(f"k{9 - n // 2}", n, None) for n in range(10)]
KINDS_OF_TABLE = {
    "table": ["CREATE TABLE things (key, value, note)"],
    "without-rowid": ["CREATE TABLE things (key, value PRIMARY KEY, note) WITHOUT ROWID"],
    "view": ["CREATE TABLE old (key, value, note)", "CREATE VIEW things AS SELECT * FROM old"],
}


@pytest.mark.parametrize("kind", KINDS_OF_TABLE)
@pytest.mark.parametrize("indexed", [False, True])
def test_every_reading_gives_a_row_the_same_number(tmp_path: Path, kind: str, indexed: bool) -> None:
    stored = "old" if kind == "view" else "things"
    path = run(tmp_path / "legacy.db", *KINDS_OF_TABLE[kind], rows=SAME_KEYS, table=stored)
    if indexed:
        run(path, f"CREATE INDEX by_key ON {stored} (key)")
    with open_read_only(path) as connection:
        row_id = row_id_name(connection, NOTED)
        classes = dominant_classes(connection, NOTED)
    assert row_id == ("rowid" if kind == "table" else None)
    assert [(number, row) for number, _, row in read(path, NOTED)] == list(enumerate(SAME_KEYS, start=1))
    for column, place in (("key", 0), ("value", 1)):
        keys = pa.Table.from_batches(read_keys(path, NOTED, column, classes, row_id))
        found = list(zip(keys["row"].to_pylist(), keys[column].to_pylist(), strict=True))
        assert sorted(found) == [(number, row[place]) for number, row in enumerate(SAME_KEYS, start=1)]
    assert list(read_whole_rows(path, NOTED, row_id, [2, 9])) == [(2, "t6B39,i1,n"), (9, "t6B35,i8,n")]


@pytest.mark.parametrize("kind", ["table", "view"])
def test_keys_of_every_class_are_read(tmp_path: Path, kind: str) -> None:
    path = things(tmp_path / "legacy.db", [("a", 1.5), ("b", 2), ("c", "3"), ("d", b"4"), ("e", None)])
    if kind == "view":
        run(path, "ALTER TABLE things RENAME TO old", "CREATE VIEW things AS SELECT * FROM old")
    with open_read_only(path) as connection:
        classes = dominant_classes(connection, THINGS)
        row_id = row_id_name(connection, THINGS)
    [keys] = read_keys(path, THINGS, "value", classes, row_id)
    column = LegacyChunk(keys, ("value",), True).column("value", as_written=True)
    assert exactly([[column.irregular.get(place, column.values[place].as_py()) for place in range(5)]]) == exactly(
        [(1.5, 2, "3", b"4", None)]
    )


CLASSES = st.sampled_from(["integer", "real", "text"])


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=20), key=CLASSES, value=CLASSES)
def test_every_cell_comes_back_exactly_however_the_columns_are_read(
    rows: list[tuple[LegacyValue, LegacyValue]], key: str, value: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = things(Path(folder) / "legacy.db", rows)
        assert exactly(cells(path, THINGS)) == exactly(rows)
        assert exactly(cells(path, THINGS, key=key, value=value)) == exactly(rows)


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_the_encoding_of_the_file_does_not_show(tmp_path: Path, encoding: str) -> None:
    rows: list[tuple[LegacyValue, LegacyValue]] = [
        ("7", "zé☃\U0001f600"),
        (7, "a\0b"),
        (b"\0\x01", ""),
        (None, "x"),
        (1.5, ""),
    ]
    path = run(
        tmp_path / "legacy.db",
        f"PRAGMA encoding = '{encoding}'",
        "CREATE TABLE things (key, value)",
        rows=rows,
        table="things",
    )
    for classes in ({"key": "text", "value": "text"}, {"key": "integer", "value": "real"}):
        assert exactly(cells(path, THINGS, **classes)) == exactly(rows)


@pytest.mark.parametrize(
    ("declared", "stored"),
    [
        ("TEXT", ["7", "7.0", "007", "1e2", "2024-03-01", " 8 "]),
        ("INTEGER", [7, 7, 7, 100, "2024-03-01", 8]),
        ("NUMERIC", [7, 7, 7, 100, "2024-03-01", 8]),
        ("DATE", [7, 7, 7, 100, "2024-03-01", 8]),
        ("REAL", [7.0, 7.0, 7.0, 100.0, "2024-03-01", 8.0]),
        ("BLOB", [7, 7.0, "007", "1e2", "2024-03-01", " 8 "]),
    ],
)
def test_a_cell_is_read_as_sqlite_stored_it_under_the_declared_type(
    tmp_path: Path, declared: str, stored: list[LegacyValue]
) -> None:
    given_values: list[LegacyValue] = [7, 7.0, "007", "1e2", "2024-03-01", " 8 "]
    path = things(tmp_path / "legacy.db", [(value, None) for value in given_values], f"key {declared}, value")
    assert exactly(cells(path, THINGS)) == exactly((value, None) for value in stored)


def test_a_class_that_changes_after_the_first_batch_of_rows_stops_nothing(tmp_path: Path) -> None:
    last: list[tuple[LegacyValue, LegacyValue]] = [
        ("late", b"blob"),
        (1.5, UndecodableText(b"caf\xe9")),
        (None, 7),
        (2**53 + 1, "text"),  # regular
    ]
    path = things(tmp_path / "legacy.db", [])
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO things VALUES (?, ?)", ((n, f"v{n}") for n in range(70_000)))
    run(path, rows=last, table="things")
    classes = {"key": "integer", "value": "text"}
    chunks = list(read_rows(path, THINGS, classes, "rowid"))
    rows = pa.Table.from_batches(chunks)
    assert len(chunks) > 1
    assert rows["row"].to_pylist() == list(range(1, 70_005))
    assert rows["key"].to_pylist()[:70_000] == list(range(70_000))
    assert rows["value"].to_pylist()[:70_000] == [f"v{n}" for n in range(70_000)]
    assert rows["irregular"].null_count == 70_001
    legacy = LegacyChunk(rows.slice(70_000).combine_chunks().to_batches()[0], THINGS.columns, True)
    assert exactly(tuple(legacy.row(place).values()) for place in range(4)) == exactly(last)


@pytest.mark.parametrize("rows", [[], [(None, None)] * 3], ids=["empty", "nulls"])
def test_a_table_without_values_is_read(tmp_path: Path, rows: list[tuple[None, None]]) -> None:
    path = things(tmp_path / "legacy.db", rows)
    assert cells(path, THINGS) == rows
    with open_read_only(path) as connection:
        assert count_by_batch(connection, THINGS) == {"all": len(rows)}
        classes = dominant_classes(connection, THINGS)
    assert {chunk.schema for chunk in read_rows(path, THINGS, classes, "rowid")} <= {raw_schema(THINGS, classes)}


def test_rows_that_are_equal_in_value_but_not_in_class_are_told_apart(tmp_path: Path) -> None:
    rows: list[tuple[LegacyValue, LegacyValue]] = [
        (7, None), ("7", None), (7.0, None), (b"7", None), (7, ""), (7, b""), (7, 0), ("7,n", None), ("7", "n"),
        (0.1 + 0.2, None), (0.3, None), (UndecodableText(b"\xff"), None), (b"\xff", None),
    ]  # fmt: skip
    path = things(tmp_path / "legacy.db", rows)
    whole = list(read_whole_rows(path, THINGS, "rowid", range(1, len(rows) + 1)))
    assert [number for number, _ in whole] == list(range(1, len(rows) + 1))
    assert len({encoded for _, encoded in whole}) == len(rows)


def test_only_the_named_rows_are_read_whole(tmp_path: Path) -> None:
    path = things(tmp_path / "legacy.db", [(n, "x") for n in range(1, 2001)])
    wanted = list(range(1, 2001, 3))
    assert list(read_whole_rows(path, THINGS, "rowid", [*wanted, 99_999])) == [(n, f"i{n},t78") for n in wanted]
