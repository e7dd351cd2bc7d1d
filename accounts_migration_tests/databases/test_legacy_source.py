"""The legacy source: what is refused, what is reported, and that every cell comes out as SQLite holds it."""

import contextlib
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts_migration.databases.legacy_source import (
    LegacyTable,
    count_by_batch,
    dominant_classes,
    find_unmigrated,
    open_read_only,
    raw_schema,
    read_keys,
    read_rows,
    read_whole_rows,
    refuse_incomplete_structure,
    row_id_name,
)
from accounts_migration.entities.entity import LegacyChunk
from accounts_migration.errors import MigrationError
from accounts_migration.legacy_values import LegacyValue, UndecodableText
from accounts_migration.resources import LEGACY_TABLES

THINGS = LegacyTable("things", ("key", "value"))
DATED = LegacyTable("dated", ("day",), "day")
BIGGEST = 2**63 - 1


def run(path: Path, *statements: str, rows: Iterable[Sequence[LegacyValue]] = (), table: str = "") -> Path:
    """Execute the statements on a SQLite file, then insert the rows, storage classes kept."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
        for row in rows:
            places = ", ".join("CAST(? AS TEXT)" if isinstance(cell, UndecodableText) else "?" for cell in row)
            cells = [cell.raw if isinstance(cell, UndecodableText) else cell for cell in row]
            connection.execute(f"INSERT INTO {table} VALUES ({places})", cells)  # noqa: S608  # our own names
    return path


def things(path: Path, rows: Iterable[Sequence[LegacyValue]], declared: str = "key, value") -> Path:
    return run(path, f"CREATE TABLE things ({declared})", rows=rows, table="things")


def read(
    path: Path, table: LegacyTable, batches: Sequence[str] | None = None, **classes: str
) -> Iterator[tuple[int, str, tuple[LegacyValue, ...]]]:
    """Yield (row, batch, cells) of a table, each cell in the storage class it came out with."""
    with open_read_only(path) as connection:
        chosen = dominant_classes(connection, table) | classes
        row_id = row_id_name(connection, table)
    for chunk in read_rows(path, table, chosen, row_id, batches):
        legacy = LegacyChunk(chunk, table.columns, row_id is not None)
        numbers, labels = chunk["row"].to_pylist(), chunk["batch"].to_pylist()
        for place in range(chunk.num_rows):
            yield numbers[place], labels[place], tuple(legacy.row(place).values())


def cells(path: Path, table: LegacyTable, **classes: str) -> list[tuple[LegacyValue, ...]]:
    return [row for _, _, row in read(path, table, **classes)]


def exactly(rows: Iterable[Sequence[LegacyValue]]) -> list[list[tuple[str, LegacyValue]]]:
    """Return the rows with the type of every cell beside it: 7, 7.0 and '7' are three values."""
    return [[(type(cell).__name__, cell) for cell in row] for row in rows]


def written(folder: Path, content: bytes) -> Path:
    path = folder / "legacy.db"
    path.write_bytes(content)
    return path


def truncated(folder: Path) -> Path:
    path = things(folder / "legacy.db", [(n, "x" * 100) for n in range(500)])
    return written(folder, path.read_bytes()[:20_000])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: folder / "none.db", "there is no such file"),
        (lambda folder: folder / "no" / "such" / "folder.db", "there is no such file"),
        (lambda folder: folder, "it is not a file"),
        (lambda folder: written(folder, b""), "the file is empty"),
        (lambda folder: written(folder, b"account_number;balance\n1;2.50\n"), "it is not a SQLite database"),
        (lambda folder: written(folder, b"SQLite"), "it is not a SQLite database"),
        (lambda folder: written(folder, b"SQLite format 3\0"), "the file is damaged"),
        (lambda folder: written(folder, b"SQLite format 3\0" + b"\xa5garbage" * 999), "the file is damaged"),
        (truncated, "the file is damaged"),
    ],
    ids=["missing", "no-folder", "folder", "empty", "text", "short", "header-alone", "garbage", "truncated"],
)
def test_an_unusable_file_is_refused_and_nothing_is_created(
    tmp_path: Path, make: Callable[[Path], Path], told: str
) -> None:
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MigrationError) as caught, open_read_only(path):
        pass
    assert caught.value.what == f"Cannot read the legacy database {path}"
    assert told in caught.value.why
    assert caught.value.remedy
    assert sorted(tmp_path.rglob("*")) == before


def test_the_legacy_database_cannot_be_written_to(tmp_path: Path) -> None:
    path = things(tmp_path / "legacy.db", [(1, 2)])
    with pytest.raises(MigrationError, match="readonly"), open_read_only(path) as connection:
        connection.execute("DELETE FROM things")
    assert cells(path, THINGS) == [(1, 2)]


@pytest.mark.parametrize(
    "name", ["a b.db", "a?mode=rwc.db", "a#b.db", "a%41.db", 'it\'s "q".db', "ünï☃.db", "a&b;c.db"]
)
def test_a_path_may_hold_any_character(tmp_path: Path, name: str) -> None:
    path = things(tmp_path / name, [(1, b"\x00"), (2, "two")])
    assert cells(path, THINGS) == [(1, b"\x00"), (2, "two")]
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("table", [table.name for table in LEGACY_TABLES])
def test_a_missing_table_is_named(tmp_path: Path, write_legacy: Any, new_legacy_rows: Any, table: str) -> None:
    path = run(write_legacy(tmp_path / "legacy.db", new_legacy_rows()), f"DROP TABLE {table}")
    with pytest.raises(MigrationError) as caught, open_read_only(path) as connection:
        refuse_incomplete_structure(connection, LEGACY_TABLES)
    assert caught.value.why == f"missing: table {table}"


def test_all_that_is_missing_is_named_at_once(tmp_path: Path, write_legacy: Any, new_legacy_rows: Any) -> None:
    path = run(
        write_legacy(tmp_path / "legacy.db", new_legacy_rows()),
        "DROP TABLE legacy_customers",
        "ALTER TABLE legacy_accounts DROP COLUMN close_date",
        "ALTER TABLE legacy_accounts RENAME COLUMN open_date TO opened",
        "ALTER TABLE legacy_transactions DROP COLUMN trans_date",
    )
    with pytest.raises(MigrationError) as caught, open_read_only(path) as connection:
        refuse_incomplete_structure(connection, LEGACY_TABLES)
    assert caught.value.why == (
        "missing: table legacy_customers, column legacy_accounts.open_date, column legacy_accounts.close_date,"
        " column legacy_transactions.trans_date"
    )


def test_names_in_other_letter_case_are_the_same_names(tmp_path: Path) -> None:
    path = run(tmp_path / "legacy.db", "CREATE TABLE THINGS (Key, VALUE)", rows=[(7, "x")], table="things")
    with open_read_only(path) as connection:
        refuse_incomplete_structure(connection, [THINGS])
        assert find_unmigrated(connection, [THINGS]) == []
        assert row_id_name(connection, THINGS) == "rowid"
        assert count_by_batch(connection, THINGS) == {"all": 1}
    assert cells(path, THINGS) == [(7, "x")]


def test_what_is_not_migrated_is_reported_with_its_counts(
    tmp_path: Path, write_legacy: Any, new_legacy_rows: Any
) -> None:
    accounts = [(n, 1, 1, "A", 0, None, None) for n in range(1500)]
    path = run(
        write_legacy(tmp_path / "legacy.db", new_legacy_rows() | {"legacy_accounts": accounts}),
        "ALTER TABLE legacy_accounts ADD COLUMN branch_code",
        'ALTER TABLE legacy_accounts ADD COLUMN "odd, \'name"',
        "ALTER TABLE legacy_products ADD COLUMN doubled AS (product_code * 2)",
        "UPDATE legacy_accounts SET branch_code = 'B' WHERE account_number < 1204",
        "CREATE TABLE audit AS SELECT account_number FROM legacy_accounts",
        'CREATE TABLE "it\'s a ""list""" (id INTEGER PRIMARY KEY AUTOINCREMENT)',
        "CREATE VIEW open_accounts AS SELECT * FROM legacy_accounts",
    )
    with open_read_only(path) as connection:
        assert list(map(str, find_unmigrated(connection, LEGACY_TABLES))) == [
            "not migrated: table audit, 1,500 rows",
            'not migrated: table it\'s a "list", 0 rows',
            "not migrated: legacy_products.doubled, 3 non-null values",
            "not migrated: legacy_accounts.branch_code, 1,204 non-null values",
            "not migrated: legacy_accounts.odd, 'name, 0 non-null values",
        ]


def test_a_generated_column_is_read_as_any_other(tmp_path: Path) -> None:
    path = run(tmp_path / "legacy.db", "CREATE TABLE things (key, value AS (key || '!'))")
    run(path, "INSERT INTO things VALUES (1), (NULL)")
    with open_read_only(path) as connection:
        refuse_incomplete_structure(connection, [THINGS])
    assert cells(path, THINGS) == [(1, "1!"), (None, None)]


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


def test_the_number_of_a_row_is_its_rowid(tmp_path: Path) -> None:
    numbered = [(-BIGGEST - 1, "z"), (-5, "a"), (9, "b"), (BIGGEST, "c")]
    path = things(tmp_path / "legacy.db", [])
    run(path, rows=numbered, table="things (rowid, key)")
    assert [(number, row[0]) for number, _, row in read(path, THINGS)] == numbered


def test_a_column_named_rowid_is_no_rowid(tmp_path: Path) -> None:
    table = LegacyTable("things", ("rowid", "oid"))
    path = things(tmp_path / "legacy.db", [("x", "same"), ("y", "same")], 'RowId, "oid"')
    with open_read_only(path) as connection:
        assert row_id_name(connection, table) == "_rowid_"
    assert [(number, row) for number, _, row in read(path, table)] == [(1, ("x", "same")), (2, ("y", "same"))]
    hidden = LegacyTable("things", ("rowid", "oid", "_rowid_"))
    run(path, "ALTER TABLE things ADD COLUMN _rowid_")
    with open_read_only(path) as connection:
        assert row_id_name(connection, hidden) is None
    assert [(number, row) for number, _, row in read(path, hidden)] == [
        (1, ("x", "same", None)),
        (2, ("y", "same", None)),
    ]


# every value of the contract's section 3, and the batch it names
BATCH_OF: list[tuple[LegacyValue, str]] = [
    ("2024-03-01", "2024-03"),
    ("2024-03-01 10:11:12", "2024-03"),
    ("2024-03", "2024-03"),
    ("2024-03-99", "2024-03"),
    ("2024-03x", "2024-03"),
    ("2024-03\0", "2024-03"),
    ("2024-03-01\0 10:00", "2024-03"),
    ("2024-01-01", "2024-01"),
    ("2024-12-31", "2024-12"),
    ("2024-10-01", "2024-10"),
    ("1900-01-01", "1900-01"),
    ("2100-12-31", "2100-12"),
    (UndecodableText(b"2024-03-01\xff"), "2024-03"),
    (UndecodableText(b"2024-03\xc3"), "2024-03"),
    ("2024-00-01", "undated"),
    ("2024-13-01", "undated"),
    ("2024-19-01", "undated"),
    ("1899-12-31", "undated"),
    ("2101-01-01", "undated"),
    ("2999-01-01", "undated"),
    ("0000-00-00", "undated"),
    ("9999-12-31", "undated"),
    ("2024-3-01", "undated"),
    ("2024-0", "undated"),
    ("2024-03"[:6], "undated"),
    ("202403", "undated"),
    ("2024/03/01", "undated"),
    ("01.03.2024", "undated"),
    (" 2024-03-01", "undated"),
    ("\ufeff2024-03-01", "undated"),
    ("2024\0-03-01", "undated"),
    ("\0" + "2024-03-01", "undated"),
    ("\u0662\u0660\u0662\u0664-\u0660\u0663-\u0660\u0661", "undated"),
    ("2024-0\u0663", "undated"),
    (UndecodableText(b"2024-0\xc0\xb3"), "undated"),
    (UndecodableText(b"\xff2024-03-01"), "undated"),
    ("", "undated"),
    ("undated", "undated"),
    (b"2024-03-01", "undated"),
    (b"", "undated"),
    (None, "undated"),
    (202403, "undated"),
    (20240301, "undated"),
    (2024.03, "undated"),
    (1709251200, "undated"),
    (float("inf"), "undated"),
]


def dated(path: Path, values: Iterable[LegacyValue], declared: str = "") -> Path:
    return run(path, f"CREATE TABLE dated (day {declared})", rows=[(value,) for value in values], table="dated")


def test_the_batch_is_read_off_the_text_as_it_stands(tmp_path: Path) -> None:
    path = dated(tmp_path / "legacy.db", [value for value, _ in BATCH_OF])
    assert [(row[0], batch) for _, batch, row in read(path, DATED)] == BATCH_OF


@pytest.mark.parametrize(
    "declared", ["TEXT", "DATE", "NUMERIC", "INTEGER", "REAL", "BLOB", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM"]
)
def test_the_declared_type_does_not_change_the_rule(tmp_path: Path, declared: str) -> None:
    path = dated(tmp_path / "legacy.db", [value for value, _ in BATCH_OF], declared)
    found = [(row[0], batch) for _, batch, row in read(path, DATED)]
    assert [batch for _, batch in found] == [batch for _, batch in BATCH_OF]
    with open_read_only(path) as connection:
        assert count_by_batch(connection, DATED) == {
            batch: sum(batch == other for _, other in BATCH_OF) for batch in sorted({batch for _, batch in BATCH_OF})
        }


def test_a_view_and_a_table_without_rowid_have_batches_too(tmp_path: Path) -> None:
    path = dated(tmp_path / "legacy.db", [])
    run(path, "ALTER TABLE dated RENAME TO old", "CREATE VIEW dated AS SELECT day FROM old")
    run(path, "INSERT INTO old VALUES ('2024-03-01'), ('x'), ('2024-02-01'), ('2024-03-02')")
    assert list(read(path, DATED, ["2024-03", "undated"])) == [
        (1, "2024-03", ("2024-03-01",)),
        (2, "undated", ("x",)),
        (4, "2024-03", ("2024-03-02",)),
    ]


# a strategy for a cell of every storage class, and one for what looks like a date
TEXTS_NOT_UTF_8 = st.binary(min_size=1, max_size=8).map(lambda raw: UndecodableText(raw + b"\xff"))
CELLS: st.SearchStrategy[LegacyValue] = st.one_of(
    st.none(),
    st.integers(-(2**63), BIGGEST),
    st.sampled_from([0, -(2**53), 2**53, 2**53 + 1, -(2**53) - 1, BIGGEST, -(2**63)]),
    st.floats(allow_nan=False),
    st.integers(-(10**15), 10**15).map(float),
    st.sampled_from([0.1 + 0.2, 1e300, 5e-324, 2.0**53, 2.0**63, float("inf"), -float("inf")]),
    st.text(max_size=8),
    st.sampled_from(["", "\0", "a\0b", "7", "7.0", "n", "i7,r8", "'", '"', "\ud7ff", "\U0010ffff", " x "]),
    st.binary(max_size=8),
    TEXTS_NOT_UTF_8,
)
DATES: st.SearchStrategy[LegacyValue] = st.one_of(
    CELLS,
    st.from_regex(r"\A(18|19|20|21)[0-9]{2}[-/][01][0-9](-[0-3][0-9])?.?\Z"),
    st.from_regex(rb"\A[12][09][0-9]{2}-[01][0-9].?\Z").map(lambda raw: UndecodableText(raw + b"\xfe")),
    st.from_regex(rb"\A[12][09][0-9]{2}-[01][0-9].?\Z"),
)
CLASSES = st.sampled_from(["integer", "real", "text"])
_MONTH = re.compile(rb"(19[0-9]{2}|20[0-9]{2}|2100)-(0[1-9]|1[0-2])")


def batch_of(value: LegacyValue) -> str:
    """Say contract section 3 once more, in Python."""
    raw = value.encode() if isinstance(value, str) else value.raw if isinstance(value, UndecodableText) else b""
    month = _MONTH.match(raw)
    return month[0].decode() if month else "undated"


@settings(max_examples=40, deadline=None)
@given(values=st.lists(DATES, max_size=30), declared=st.sampled_from(["", "TEXT", "DATE", "INTEGER", "BLOB"]))
def test_every_row_is_in_exactly_one_batch(values: list[LegacyValue], declared: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = dated(Path(folder) / "legacy.db", values, declared)
        whole = list(read(path, DATED))
        with open_read_only(path) as connection:
            counts = count_by_batch(connection, DATED)
        assert [batch for _, batch, _ in whole] == [batch_of(row[0]) for _, _, row in whole]
        assert sum(counts.values()) == len(values) == len(whole)
        for batch in {*counts, "undated", "2024-03"}:
            assert exactly_numbered(read(path, DATED, [batch])) == exactly_numbered(
                row for row in whole if row[1] == batch
            )
        assert exactly_numbered(read(path, DATED, sorted(counts))) == exactly_numbered(whole)


def exactly_numbered(rows: Iterable[tuple[int, str, tuple[LegacyValue, ...]]]) -> list[object]:
    return [(number, batch, exactly([row])) for number, batch, row in rows]


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


def test_a_collation_of_the_legacy_application_need_not_be_known(tmp_path: Path) -> None:
    path = tmp_path / "legacy.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.create_collation("of_the_bank", lambda one, two: (one > two) - (one < two))
        connection.execute("CREATE TABLE dated (day TEXT COLLATE of_the_bank)")
        connection.execute("INSERT INTO dated VALUES ('2024-03-01'), (7), (x'00'), (NULL)")
    rows = [(1, "2024-03", ("2024-03-01",)), (2, "undated", ("7",)), (3, "undated", (b"\0",)), (4, "undated", (None,))]
    assert list(read(path, DATED)) == rows
    assert list(read(path, DATED, ["2024-03"])) == rows[:1]
    with open_read_only(path) as connection:
        assert count_by_batch(connection, DATED) == {"2024-03": 1, "undated": 3}
