"""Each kind of cell, read by the second reading, comes out as the cleaning's own reader says, whatever stands in it.

Where the two disagree, contract section 4 decides. And a column read fast is what its cells are, read one by one.
"""

from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts_migration.databases.snapshot_rows import Cell, Text
from accounts_migration.entities import values
from accounts_migration.entities.policies import TRANSACTION_TYPES
from accounts_migration.entities.values import Parsed
from accounts_migration.legacy_values import LegacyValue, UndecodableText
from accounts_migration.second_reading import cells, columns
from accounts_migration.second_reading.cells import Reading, Rules
from accounts_migration.second_reading.columns import Column, settled
from accounts_migration.second_reading.forms import CODES

FORMATS = ("%d.%m.%Y", "%Y%m%d", "%d/%m/%y %H:%M")

Read = Callable[..., Reading]
Judge = Callable[..., Parsed[Any]]


def _name(value: LegacyValue, encoding: str) -> Parsed[str]:
    parsed = values.name(value, encoding)
    if parsed.value is None:
        return parsed if parsed.fault else Parsed(None, "MISSING_VALUE")
    return Parsed(values.title_case(parsed.value))


def _fee(value: LegacyValue, encoding: str) -> Parsed[int]:
    parsed = values.money(value, encoding)
    return Parsed(None, "OUT_OF_RANGE") if parsed.value is not None and parsed.value < 0 else parsed


KINDS: dict[str, tuple[Read, Judge]] = {
    "entity_key": (cells.entity_key, values.entity_key),
    "transaction_key": (cells.transaction_key, values.transaction_key),
    "money": (cells.money, values.money),
    "fee": (cells.fee, _fee),
    "rate": (cells.rate, values.rate),
    "code": (
        partial(cells.code, known=CODES["transaction_type"]),
        lambda value, encoding: values.code(value, TRANSACTION_TYPES, encoding),
    ),
    "name": (cells.name, _name),
    "text": (cells.text, values.name),
    "description": (cells.description, values.description),
    "email": (cells.email, values.email),
    "moment": (cells.moment, lambda value, encoding: values.date_time(value, FORMATS, encoding)),
    "day": (cells.day, lambda value, encoding: values.calendar_date(value, FORMATS, encoding)),
    "closing_day": (cells.closing_day, lambda value, encoding: values.closing_date(value, FORMATS, encoding)),
}

_BLANKS = st.text(st.sampled_from(" \t\n\x1f\x85\xa0\u1680\u200a\u200b\u2028\u3000\ufeff\0"), max_size=2)
_NUMBERS = st.from_regex(r"[+-]?[0-9]{0,16}(\.[0-9]{0,8})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
_MOMENTS = st.one_of(
    st.from_regex(
        r"(18|19|20|21)[0-9]{2}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{0,7})?)?)?",
        fullmatch=True,
    ),
    st.datetimes().map(str),
    st.dates().map(str),
    st.dates().map(lambda day: f"{day:%d.%m.%Y}"),
    st.sampled_from(["9999-12-31", "0001-01-01 00:00", "0000-00-00", "0000-00-00T25:00", "31.12.9999", "99991231"]),
)
_TEXTS = st.one_of(
    _NUMBERS,
    _MOMENTS,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.text(st.sampled_from("0123456789.-+eE@ab \0\u0661\u0131\u017f\u200b"), max_size=6),
    st.sampled_from(["cr", "DR", "f\u00e9", "\u0131n", "IN\0", "CREDIT", "a@b", "9" * 19, str(2**63 - 1), str(2**63)]),
    st.integers(195, 205).map(lambda length: "\u00e9" * length),
    st.integers(60, 70).map(lambda length: "k" * length),
)
_PADDED = st.tuples(_BLANKS, _TEXTS, _BLANKS).map("".join)
CELLS: st.SearchStrategy[LegacyValue] = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([10**13 - 1, 10**13, -(10**13), 100, 101, 0, 2**53, 2**53 + 1]),
    st.floats(allow_nan=False),
    st.floats(-1e14, 1e14).map(lambda number: round(number, 2)),
    st.sampled_from([0.1 + 0.2, 1.005, 9999999999999.99, 1e13, -0.0, 5e-324, 1e-7, 2.0**53, 2.0**53 + 2]),
    _PADDED,
    _PADDED.map(str.encode),
    st.tuples(_TEXTS.map(str.encode), st.sampled_from([b"\xff", b"\x80", b"\xe9", b"\xed\xa0\x80"]))
    .map(b"".join)
    .map(UndecodableText),
)


def as_cell(value: LegacyValue) -> Cell:
    """Return a value as the second reading gets it: without a negative zero."""
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, str):
        return Text(value.encode())
    return Text(value.raw) if isinstance(value, UndecodableText) else value


@pytest.mark.parametrize("kind", KINDS)
@given(value=CELLS, encoding=st.sampled_from(["utf-8", "cp1252"]))
@settings(max_examples=150, deadline=None)
def test_both_readers_make_the_same_of_any_cell(kind: str, value: LegacyValue, encoding: str) -> None:
    read, judge = KINDS[kind]
    reading = read(as_cell(value), rules=Rules(legacy_encoding=encoding, date_formats=FORMATS))
    parsed = judge(value, encoding)
    assert reading == (parsed.value, parsed.fault or parsed.repair or "")


NAMES = ["ß-ß", "İSTANBUL", "o\u2019neil d'ARCY", "O'NEIL", "WOMEN'S ACCOUNT", "'TIS", "2ND", "A'B'C", "ﬁ",
         "ΣΥΣ", "ǆ ǅ", "(ADA) B.C-D", "\u212a", "mCdonald", "J.R.R. TOLKIEN", "ŉA", "a1'b"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_both_title_cases_are_one(name: str) -> None:
    assert cells.in_title_case(name) == values.title_case(name)


@given(name=st.text(st.characters(categories=["L", "N", "P", "Zs", "Mn"]), max_size=12))
@settings(max_examples=500, deadline=None)
def test_both_title_cases_are_one_for_any_name(name: str) -> None:
    for cased in (name, name.upper(), name.lower()):
        assert cells.in_title_case(cased) == values.title_case(cased)


def test_what_a_name_becomes() -> None:
    told = [cells.in_title_case(name) for name in ("O'NEIL", "women's account", "MARY-ANN ST. JOHN", "McDonald", "2ND")]
    assert told == ["O'Neil", "Women's Account", "Mary-Ann St. John", "McDonald", "2nd"]


FAST: dict[str, tuple[Callable[[pa.Array], Column], Read, pa.DataType]] = {
    "entity_key": (columns.entity_keys, cells.entity_key, pa.int64()),
    "transaction_key": (columns.transaction_keys, cells.transaction_key, pa.string()),
    "money": (columns.cents, cells.money, pa.int64()),
    "email": (columns.addresses, cells.email, pa.string()),
    "text": (columns.texts, cells.text, pa.string()),
    "name": (columns.uncertain, cells.name, pa.string()),
    "description": (columns.descriptions, cells.description, pa.string()),
    "moment": (partial(columns.moments, formats=FORMATS), cells.moment, columns.MOMENT),
    "closing_day": (partial(columns.days, formats=FORMATS), cells.closing_day, pa.date32()),
}

_OF_CLASS: dict[pa.DataType, st.SearchStrategy[list[Any]]] = {
    pa.int64(): st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200), max_size=8),
    pa.float64(): st.lists(
        st.none() | (st.floats(allow_nan=False) | st.floats(-1e14, 1e14)).map(lambda real: round(real, 2) + 0.0),
        max_size=8,
    ),
    pa.string(): st.lists(st.none() | _PADDED, max_size=8),
}


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize("storage_class", _OF_CLASS, ids=str)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_column_read_fast_is_what_its_cells_are(kind: str, storage_class: pa.DataType, data: st.DataObject) -> None:
    """What is certain is sound, and equal to the cell alone; of the rest, what is not sound stays open."""
    fast, read, type_ = FAST[kind]
    told = data.draw(_OF_CLASS[storage_class])
    rules = Rules(date_formats=FORMATS)
    given_cells = pa.array([None, *told], storage_class).slice(1)
    column = fast(given_cells)
    readings = [read(as_cell(cell), rules=rules) for cell in told]
    certain = [value for value, sure in zip(column.values.to_pylist(), column.certain, strict=True) if sure]
    assert certain == [reading.value for reading, sure in zip(readings, column.certain, strict=True) if sure]
    nothing = np.zeros(len(told), np.bool_)
    whole = settled(given_cells, column, partial(read, rules=rules), type_, nothing)
    assert [value if sure else None for value, sure in zip(whole.values.to_pylist(), whole.certain, strict=True)] == [
        None if reading.finding else reading.value for reading in readings
    ]
    assert whole.certain.tolist() == [not reading.finding for reading in readings]


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("entity_key", 12, 12),
        ("entity_key", "0000000007", 7),
        ("transaction_key", "TX-0001", "TX-0001"),
        ("money", -1234.5, -123450),
        ("money", "-1234.5", -123450),
        ("money", "+1234.50", 123450),
        ("description", "café, ref 12", "café, ref 12"),
        ("email", "Ada@Example.com", "ada@example.com"),
        ("text", "+44 20 7946 0018", "+44 20 7946 0018"),
        ("moment", "2024-02-29 23:59:59", datetime(2024, 2, 29, 23, 59, 59)),
        ("moment", "1900-01-01T00:00:01", datetime(1900, 1, 1, 0, 0, 1)),
        ("moment", "29.02.2024", datetime(2024, 2, 29)),
        ("closing_day", "2100-12-31", date(2100, 12, 31)),
        ("closing_day", "2024-02-29 00:00:00", date(2024, 2, 29)),
    ],
)
def test_an_ordinary_cell_is_certain(kind: str, cell: Any, value: object) -> None:
    """A million rows stay fast because no ordinary cell is asked about alone."""
    column = FAST[kind][0](pa.array([cell]))
    assert (column.values.to_pylist(), column.certain.tolist()) == ([value], [True])


@pytest.mark.parametrize(
    "form",
    [
        "%d/%m/%Y %H:%M:%S",
        "%Y%m%d",
        "%m-%d-%Y",
        "%Y.%d.%m",
        "%Y-%d-%m",
        "%d %b %Y",
        "%d%%%m/%Y",
        "%d/%m/%y",
        "%H:%M %d/%m/%Y",
    ],
)
@given(moment=st.datetimes(datetime(1899, 1, 1), datetime(2101, 12, 31)), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_format_is_read_fast_as_strptime_reads_it(form: str, moment: datetime, data: st.DataObject) -> None:
    told = f"{moment:{form}}"
    place = data.draw(st.integers(0, len(told) - 1))
    texts = [
        told,
        told[:place] + data.draw(st.sampled_from("0139 -/:\u0661")) + told[place + 1 :],
        f"{moment:%Y-%m-%d}",
    ]
    rules = Rules(date_formats=(form, "%d.%m.%Y"))
    column = columns.moments(pa.array(texts), rules.date_formats)
    for text, value, sure in zip(texts, column.values.to_pylist(), column.certain, strict=True):
        assert not sure or Reading(value) == cells.moment(as_cell(text), rules)


@given(dates=st.lists(st.none() | _PADDED | _MOMENTS, max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_batch_is_read_off_the_date_as_it_stands(dates: list[str | None]) -> None:
    given_cells = pa.array(dates, pa.string())
    expected = [cells.month_of(as_cell(cell)) for cell in dates]
    assert columns.batches(given_cells).to_pylist() == expected
