"""The content digest: independent of chunks, and another one for any other cell."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts_migration.content_digest import ContentDigest

SCHEMA = pa.schema([("key", pa.string()), ("cents", pa.int64()), ("day", pa.date32()), ("time", pa.timestamp("us"))])
TIME = datetime(2024, 3, 5, 10, 11, 12, 13)
ROWS: list[tuple[Any, ...]] = [
    ("A", 1, date(2024, 3, 5), TIME),
    ("", 0, None, datetime(1970, 1, 1)),
    (None, None, date(1970, 1, 1), None),
    ("éé", -1, date(1900, 1, 1), TIME),
]


def table(rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def digest(*parts: pa.Table) -> str:
    content = ContentDigest()
    for part in parts:
        content.add(part)
    return content.hexdigest()


def test_equal_rows_have_equal_digests() -> None:
    assert digest(table(ROWS)) == digest(table(list(ROWS)))
    assert len(digest(table(ROWS))) == 64


@pytest.mark.parametrize("size", [1, 2, 3])
def test_it_does_not_depend_on_chunks(size: int) -> None:
    whole = table(ROWS)
    slices = [whole.slice(start, size) for start in range(0, len(ROWS), size)]
    copies = [table(ROWS[start : start + size]) for start in range(0, len(ROWS), size)]
    assert digest(*slices) == digest(*copies) == digest(pa.concat_tables(copies)) == digest(whole)
    assert digest(whole.slice(0, 0), *slices, whole.slice(4)) == digest(whole)


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        (0, 0, "B"), (0, 0, ""), (0, 0, None), (0, 0, "A\0"), (1, 0, None), (2, 0, ""), (3, 0, "e\u0301e\u0301"),
        (0, 1, 2), (0, 1, None), (1, 1, None), (2, 1, 0), (3, 1, 1),
        (0, 2, date(2024, 3, 6)), (1, 2, date(1970, 1, 1)), (2, 2, None),
        (0, 3, TIME.replace(microsecond=14)), (1, 3, None), (2, 3, datetime(1970, 1, 1)),
    ],
)  # fmt: skip
def test_any_other_cell_gives_another_digest(row: int, column: int, value: object) -> None:
    changed = [list(cells) for cells in ROWS]
    changed[row][column] = value
    assert digest(table([tuple(cells) for cells in changed])) != digest(table(ROWS))


def test_it_tells_order_number_and_borders_of_rows() -> None:
    def of_texts(*texts: str) -> str:
        return digest(table([(text, 1, None, None) for text in texts]))

    borders = [("ab", "c"), ("a", "bc"), ("c", "ab"), ("abc",), ("", "abc")]
    assert len({of_texts(*texts) for texts in borders}) == len(borders)
    assert digest(table(ROWS)) != digest(table(ROWS[::-1]))
    assert digest(table(ROWS)) != digest(table([*ROWS, ROWS[-1]]))


def test_values_of_two_columns_are_not_taken_for_each_other() -> None:
    one = pa.table({"first_name": ["Ada"], "last_name": ["Byron"], "a": [1], "b": [2]})
    other = pa.table({"first_name": ["Byron"], "last_name": ["Ada"], "a": [2], "b": [1]})
    assert digest(one) != digest(other)


def test_what_stands_in_memory_under_a_null_does_not_matter() -> None:
    bare = pa.array([None, "b"])
    _, borders, characters = pa.array(["xyz", "b"]).buffers()
    filled = pa.StringArray.from_buffers(2, borders, characters, bare.buffers()[0])
    assert filled.to_pylist() == bare.to_pylist()
    assert digest(pa.table({"text": filled})) == digest(pa.table({"text": bare}))


@given(
    st.lists(st.tuples(st.none() | st.text(max_size=3), st.none() | st.integers(-(10**15), 10**15)), max_size=6),
    st.lists(st.tuples(st.none() | st.text(max_size=3), st.none() | st.integers(-(10**15), 10**15)), max_size=6),
)
def test_rows_are_equal_where_their_digests_are(
    one: list[tuple[str | None, int | None]], other: list[tuple[str | None, int | None]]
) -> None:
    parts = [table([(*row, None, None) for row in rows]) for rows in (one, other)]
    assert (digest(parts[0]) == digest(parts[1])) == (one == other)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (pa.float64(), 1.5, 1.25),
        (pa.float64(), 0.0, None),
        (pa.binary(), b"", None),
        (pa.binary(), b"\xff", b"\xfe"),
        (pa.decimal128(38, 2), Decimal("1.50"), Decimal("1.51")),
        (pa.decimal128(38, 2), Decimal("0.00"), None),
    ],
)
def test_cells_of_any_table_count_too(kind: pa.DataType, one: object, other: object) -> None:
    first, same, second = (pa.table({"x": pa.array([value], kind)}) for value in (one, one, other))
    assert digest(first) == digest(same) != digest(second)
