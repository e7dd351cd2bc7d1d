"""The batch of a source row: every value of contract section 3, in tables, views and under any declared type."""

import contextlib
import re
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts_migration.databases.legacy_source import LegacyTable, count_by_batch, open_read_only
from accounts_migration.legacy_values import LegacyValue, UndecodableText
from accounts_migration_tests.databases.legacy_source.storage_classes import CELLS
from accounts_migration_tests.databases.legacy_source.tables import exactly, read, run

DATED = LegacyTable("dated", ("day",), "day")
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


DATES: st.SearchStrategy[LegacyValue] = st.one_of(
    CELLS,
    st.from_regex(r"\A(18|19|20|21)[0-9]{2}[-/][01][0-9](-[0-3][0-9])?.?\Z"),
    st.from_regex(rb"\A[12][09][0-9]{2}-[01][0-9].?\Z").map(lambda raw: UndecodableText(raw + b"\xfe")),
    st.from_regex(rb"\A[12][09][0-9]{2}-[01][0-9].?\Z"),
)
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
