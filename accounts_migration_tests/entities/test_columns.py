"""Whole columns read exactly as the reference reads each value; letter case and ids for columns."""

import datetime
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts_migration.entities import columns, values
from accounts_migration.entities.columns import LegacyColumn, ParsedColumn
from accounts_migration.entities.values import BLANKS, REASONS, Parsed
from accounts_migration.legacy_values import LegacyValue, UndecodableText

CODES = {"A": "ACTIVE", "C": "CLOSED", "1": "ONE", "STRASSE": "STREET"}
FORMATS = ["%d.%m.%Y", "%d/%m/%Y %H:%M"]
ENCODINGS = ["utf-8", "cp1252"]
ARROW_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string(), type(None): pa.null()}
FILLERS: dict[type, LegacyValue] = {int: 5, float: 0.125, str: " 2024-01-02 x"}

ReadColumn = Callable[[LegacyColumn, str], ParsedColumn]
ReadValue = Callable[[LegacyValue, str], Parsed[Any]]

KINDS: dict[str, tuple[pa.DataType, ReadColumn, ReadValue]] = {
    "entity_key": (pa.int64(), columns.entity_key, values.entity_key),
    "transaction_key": (pa.string(), columns.transaction_key, values.transaction_key),
    "money": (pa.int64(), columns.money, values.money),
    "rate": (pa.int64(), columns.rate, values.rate),
    "code": (
        pa.string(),
        lambda column, encoding: columns.code(column, CODES, encoding),
        lambda value, encoding: values.code(value, CODES, encoding),
    ),
    "date_time": (
        pa.timestamp("us"),
        lambda column, encoding: columns.date_time(column, FORMATS, encoding),
        lambda value, encoding: values.date_time(value, FORMATS, encoding),
    ),
    "calendar_date": (
        pa.date32(),
        lambda column, encoding: columns.calendar_date(column, FORMATS, encoding),
        lambda value, encoding: values.calendar_date(value, FORMATS, encoding),
    ),
    "closing_date": (
        pa.date32(),
        lambda column, encoding: columns.closing_date(column, FORMATS, encoding),
        lambda value, encoding: values.closing_date(value, FORMATS, encoding),
    ),
    "name": (pa.string(), columns.name, values.name),
    "description": (pa.string(), columns.description, values.description),
    "email": (pa.string(), columns.email, values.email),
}


def legacy_column(
    rows: Sequence[LegacyValue], dominant: type, *, filled: bool = False, offset: int = 0
) -> LegacyColumn:
    """Build a column from mixed values: those of the dominant type in the array, the others irregular.

    Args:
        rows: The values.
        dominant: int, float, str or NoneType.
        filled: Whether irregular rows hold some value in the array too, which must not count.
        offset: Rows before the first one in the buffers of the array, which is then a slice.
    """
    irregular = {place: value for place, value in enumerate(rows) if value is not None and type(value) is not dominant}
    filler = FILLERS.get(dominant) if filled else None
    cells = [filler if place in irregular else value for place, value in enumerate(rows)]
    before = [FILLERS.get(dominant)] * offset
    return LegacyColumn(pa.array(before + cells, ARROW_TYPES[dominant]).slice(offset), irregular)


def assert_read_as_the_reference(kind: str, rows: Sequence[LegacyValue], column: LegacyColumn, encoding: str) -> None:
    """Assert that a column gives, row by row, what `values` says of each of its values."""
    arrow_type, read_column, read_value = KINDS[kind]
    expected = [read_value(value, encoding) for value in rows]
    parsed = read_column(column, encoding)
    assert parsed.values.type == arrow_type
    assert parsed.faults.dtype == parsed.repairs.dtype == np.int8
    parsed.values.validate(full=True)
    found = zip(parsed.values.to_pylist(), parsed.faults.tolist(), parsed.repairs.tolist(), strict=True)
    assert [(value, REASONS[fault] or None, REASONS[repair] or None) for value, fault, repair in found] == expected


def _padded(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    blanks = st.text(BLANKS, max_size=2)
    return st.builds(lambda before, text, after: before + text + after, blanks, texts, blanks)


def _blemished(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Put one character, often a harmful one, somewhere into a text or in place of another."""
    harm = st.one_of(st.sampled_from("\0 -+.0159eT:@é\u0661\u200b\n"), st.characters(exclude_categories=["Cs"]))

    def blemish(text: str, character: str, place: int, removed: int) -> str:
        place %= len(text) + 1
        return text[:place] + character + text[place + removed :]

    return st.builds(blemish, texts, harm, st.integers(0, 30), st.integers(0, 1))


def _each_way(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(texts, _padded(texts), _blemished(texts))


DATES = st.one_of(
    st.dates(datetime.date(1899, 12, 1), datetime.date(2101, 1, 31)).map(str),
    st.sampled_from(["2024-02-29", "2023-02-29", "1900-02-29", *sorted(values.SENTINEL_DATES)]),
)
TIMES = st.one_of(
    st.sampled_from(["", "T00:00", " 00:00:00", " 23:59:59", " 24:00", "T12:60", " 12:00:60"]),
    st.from_regex(r"[T ][0-2][0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,7})?)?", fullmatch=True),
)
OTHER_DATES = st.dates().flatmap(lambda date: st.sampled_from(FORMATS).map(date.strftime))
NUMBERS = st.one_of(
    st.from_regex(r"[+-]?[0-9]{1,14}(\.[0-9]{1,8})?(e[+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"[+-]?[0-9]{1,3}(\.[0-9]{1,2}0{0,2})?", fullmatch=True),
)
KEYS = st.one_of(
    st.integers(0, 2**63 + 5).map(str),
    st.from_regex(r"0{0,3}[0-9]{1,20}", fullmatch=True),
    st.from_regex(r"T-[0-9A-Z ]{1,65}", fullmatch=True),
)
EMAILS = st.from_regex(r"[A-Za-zÖ.]{1,5}@[a-z]{1,5}\.[A-Z]{2}", fullmatch=True)
TEXTS = st.one_of(
    st.builds(str.__add__, DATES, TIMES).flatmap(lambda text: _each_way(st.just(text))),
    OTHER_DATES,
    _each_way(NUMBERS),
    _each_way(KEYS),
    _each_way(EMAILS),
    _each_way(st.sampled_from([*CODES, "straße", "a", "nan", "x" * 200, "é" * 100, "é" * 201])),
    st.text(BLANKS, max_size=2),
    st.text(max_size=8),
)
INTEGERS = st.one_of(
    st.integers(-3, 120),
    st.integers(-(10**13) - 2, 10**13 + 2),
    st.sampled_from([10**13, -(10**13), 10**13 - 1, 2**63 - 1, -(2**63)]),
    st.integers(-(2**63), 2**63 - 1),
)
REALS = st.one_of(
    INTEGERS.map(float),
    st.integers(-(10**15), 10**15).map(lambda cents: cents / 100),
    st.integers(-(10**15), 10**15).map(lambda cents: math.nextafter(cents / 100, math.inf)),
    st.integers(-5, 10**8 + 5).map(lambda millionths: millionths / 10**6),
    st.lists(st.integers(-(10**6), 10**6), max_size=20).map(lambda steps: sum(step / 100 for step in steps)),
    st.sampled_from([-0.0, math.nan, math.inf, -math.inf, 2.0**53, 2.0**53 + 2, 5e-324]),
    st.floats(),
)
UNDECODABLE = TEXTS.map(
    lambda text: UndecodableText(text.encode("cp1252", "replace") + b"\xa0\xff"[: 1 + len(text) % 2])
)
VALUES: st.SearchStrategy[LegacyValue] = st.one_of(
    st.none(),
    INTEGERS,
    REALS,
    TEXTS,
    st.binary(max_size=4),
    UNDECODABLE.filter(lambda text: not _is_utf_8(text.raw)),
)


def _is_utf_8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


@st.composite
def mixed_rows(draw: st.DrawFn) -> tuple[list[LegacyValue], type]:
    """Draw values, mostly of one storage class, and that class."""
    classes = [(int, INTEGERS), (float, REALS), (str, TEXTS), (str, TEXTS), (type(None), st.none())]
    dominant, common = draw(st.sampled_from(classes))
    rows: st.SearchStrategy[LegacyValue] = st.one_of(common, common, common, st.none(), VALUES)
    return draw(st.lists(rows, min_size=8, max_size=20)), dominant


@pytest.mark.parametrize("kind", KINDS)
@given(mixed=mixed_rows(), encoding=st.sampled_from(ENCODINGS), filled=st.booleans(), offset=st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_a_column_is_read_as_the_reference_reads_each_value(
    kind: str, mixed: tuple[list[LegacyValue], type], encoding: str, filled: bool, offset: int
) -> None:
    rows, dominant = mixed
    column = legacy_column(rows, dominant, filled=filled, offset=offset)
    assert_read_as_the_reference(kind, rows, column, encoding)


ROWS: list[LegacyValue] = [
    None,
    7,
    1.5,
    "7",
    "",
    b"x",
    UndecodableText(b"\xff"),
    "a\0b",
    "2024-01-02 03:04",
    "é@b",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dominant", ARROW_TYPES)
@pytest.mark.parametrize("rows", [[], [None], [None, None], ROWS, ROWS[::-1]], ids=len)
def test_every_storage_class_in_every_column(kind: str, dominant: type, rows: list[LegacyValue]) -> None:
    for filled in (False, True):
        assert_read_as_the_reference(kind, rows, legacy_column(rows, dominant, filled=filled), "utf-8")


EDGES: dict[type, list[LegacyValue]] = {
    int: [
        *range(-3, 4),
        99,
        100,
        101,
        10**13 - 1,
        10**13,
        1 - 10**13,
        -(10**13),
        2**53 + 1,
        2**63 - 1,
        -(2**63),
    ],
    float: [
        *[
            -0.0,
            -0.5,
            -1.0,
            0.0,
            1.0,
            1.5,
            100.0,
            100.000001,
            -0.000001,
            0.005,
            0.0000001,
            0.1 + 0.2,
            1e15,
            1e300,
        ],
        *[2.0**53, 2.0**53 + 2, 9999999999999.99, -9999999999999.99, 9999999999999.996, 1e13, -1e13, 5e-324],
        *[math.nan, math.inf, -math.inf],
    ],
    str: [
        *[
            "",
            " ",
            "\0",
            "a",
            "A ",
            "c",
            "straße",
            "7",
            "007",
            "0",
            "00",
            "-7",
            "+7",
            "7.0",
            "7\0",
            "7 7",
            "\u0667",
        ],
        *["9" * 18, "9" * 19, "0" * 19, "1" * 20, "9223372036854775807", "9223372036854775808"],
        *["x" * 64, "x" * 65, f" {'x' * 64} ", "é" * 64, "é" * 65, "T-1", "T\0"],
        *[
            "1.",
            ".5",
            "1.5",
            "1.50",
            "1.500",
            "1.005",
            "-0",
            "-0.01",
            "1e2",
            "1e-3",
            "1.123456",
            "1.1234567",
            "nan",
        ],
        *[
            "999999999999.99",
            "9999999999999.99",
            "10000000000000",
            "-10000000000000",
            "100.000001",
            "101",
            "1,5",
        ],
        *["a@b", "A@B", "a@b@c", "@@", "a@@b", "@b", "a@", "a b@c", "é@B", "a\x7f@b", " a@b\u200b", "a@b\0"],
        *["x" * 200, "x" * 201, "é" * 100, "é" * 101, "é" * 200, "é" * 201, "x" * 250 + "\0"],
        *[
            "2024-02-29",
            "2023-02-29",
            "2024-01-02 23:59",
            "2024-01-02 24:00",
            "2024-01-02 12:60",
            "2024-01-02T00:00",
        ],
        *["2024-01-02 12:00:60", "2024-01-02 12:60:00", "2024-01-02 24:00:00", "2024-01-02 00:00:00.0"],
        *["2024-01-02 00:00:00.000001", "2024-01-02 12:00:00.1234567", "02.01.2024", "02/01/2024 03:04"],
        *["9999-12-31", "0001-01-01 00:00", "0000-00-00 12:00:00", "31.12.9999", "1899-12-31", "2101-01-01"],
    ],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dominant", EDGES)
def test_edges_of_every_kind(kind: str, dominant: type) -> None:
    rows = EDGES[dominant]
    assert_read_as_the_reference(kind, rows, legacy_column(rows, dominant, offset=1), "utf-8")
    for value in rows:
        assert_read_as_the_reference(kind, [value], legacy_column([value], dominant), "utf-8")


def test_a_column_keeps_the_reasons_beside_the_values() -> None:
    parsed = columns.money(LegacyColumn(pa.array([1.5, None, 0.005, 2.25]), {1: "x"}))
    assert parsed.values.to_pylist() == [150, None, None, 225]
    assert [REASONS[fault] for fault in parsed.faults] == ["", "INVALID_NUMBER", "SUB_CENT", ""]
    assert parsed.repairs.tolist() == [0, 0, 0, 0]
    ids = parsed.replaced(pa.array(["a", None, None, "b"]))
    assert ids.values.to_pylist() == ["a", None, None, "b"]
    assert ids.faults is parsed.faults


def test_reals_around_whole_cents_are_money_as_the_reference_says() -> None:
    generator = np.random.default_rng(7)
    digits = generator.integers(1, 16, 20_000)
    cents = np.rint(generator.random(20_000) * 10.0**digits)
    powers = 10.0 ** np.arange(2, 16)
    cents = np.concatenate([cents, powers, powers - 1, powers + 1])
    reals = cents / 100 * (1 + generator.integers(-40, 41, len(cents)) * 2.0**-53)
    for given_reals in (
        reals,
        -reals,
        np.cumsum(np.rint(generator.normal(0, 9999, 5_000))) / 100,
        reals / 1e7,
    ):
        rows = given_reals.tolist()
        for kind in ("money", "rate"):
            assert_read_as_the_reference(kind, rows, LegacyColumn(pa.array(given_reals)), "utf-8")


def test_every_day_of_the_calendar() -> None:
    days = pa.array(np.arange("1899-12-01", "2101-02-01", dtype="datetime64[D]"))
    parsed = columns.calendar_date(LegacyColumn(days.cast(pa.string())))
    years = pc.year(days).to_numpy()
    accepted = (years >= 1900) & (years <= 2100)
    assert parsed.values.equals(pc.if_else(pa.array(accepted), days, pa.scalar(None, pa.date32())))
    assert (parsed.faults == np.where(accepted, 0, REASONS.index("INVALID_DATE"))).all()


def test_every_month_with_more_days_than_it_has() -> None:
    texts = [
        f"{year}-{month:02d}-{day:02d}"
        for year in (1900, 2000, 2023, 2024, 2100)
        for month in range(14)
        for day in range(33)
    ]
    assert_read_as_the_reference("calendar_date", texts, LegacyColumn(pa.array(texts)), "utf-8")


def _with_each_character(text: str) -> Iterator[str]:
    for place in range(len(text)):
        for character in [*map(chr, range(128)), "\u0661", "\u2003"]:
            yield text[:place] + character + text[place + 1 :]


@pytest.mark.parametrize("length", range(9, 28))
def test_any_other_character_at_any_place_of_a_date_time(length: int) -> None:
    texts = list(_with_each_character("2024-02-29T23:59:59.1234567"[:length]))
    for kind in ("date_time", "calendar_date"):
        assert_read_as_the_reference(kind, texts, LegacyColumn(pa.array(texts)), "utf-8")
        dates = LegacyColumn(pa.array(["2024-01-02 03:04:05", *texts, None]).slice(1))
        assert_read_as_the_reference(kind, [*texts, None], dates, "utf-8")


def test_every_character_at_the_ends_of_a_text() -> None:
    texts = [f"{chr(code)}x{chr(code)}" for code in range(0x3100) if not 0xD800 <= code < 0xE000]
    for kind in ("name", "transaction_key", "description"):
        assert_read_as_the_reference(kind, texts, LegacyColumn(pa.array(texts)), "utf-8")


NAMES = [
    "JOHN SMITH",
    "anne-marie",
    "O'NEIL",
    "d.o'neil",
    "ST. JOHN",
    "McDonald",
    "2ND",
    "WOMEN'S ACCOUNT",
    "",
    "-",
]
NAMES += ["straße", "İSTANBUL", "ǆa", "ΟΔΥΣΣΕΥΣ", "a\0B", "a\0b", "A\tB", "a.b-c d", "ann", "ANN"]


@given(
    names=st.lists(st.one_of(st.none(), st.sampled_from(NAMES), st.text("aB .-'1é\n", max_size=6), st.text())),
    offset=st.integers(0, 2),
)
@settings(deadline=None)
def test_title_case_of_a_column(names: list[str | None], offset: int) -> None:
    texts = pa.array([*["xX"] * offset, *names], pa.string()).slice(offset)
    expected = [None if name is None else values.title_case(name) for name in names]
    assert columns.title_case_column(texts).to_pylist() == expected


@given(
    keys=st.lists(st.one_of(st.none(), st.integers(0, 1200), st.integers(0, 2**63 - 1))),
    width=st.integers(1, 18),
    offset=st.integers(0, 2),
)
@settings(deadline=None)
def test_padded_ids(keys: list[int | None], width: int, offset: int) -> None:
    numbers = pa.array([*[3] * offset, *keys], pa.int64()).slice(offset)
    expected = [None if key is None else f"ID-{key:0{width}d}" for key in keys]
    assert columns.padded_id("ID-", numbers, width).to_pylist() == expected


@pytest.mark.parametrize(
    ("width", "key"),
    [(3, 7), (3, 999), (8, 42), (8, 99_999_999), (9, 4_294_967), (10, 9_999_999_999), (18, 10**17)],
)
def test_padded_ids_of_one_length(width: int, key: int) -> None:
    ids = columns.padded_id("ACCT-", pa.array([key, None, 0]), width)
    assert ids.to_pylist() == [f"ACCT-{key:0{width}d}", None, f"ACCT-{'0' * width}"]
    ids.validate(full=True)


def test_prefixed_ids() -> None:
    assert columns.prefixed_id("TXN-", pa.array(["7", None, "T 1"])).to_pylist() == ["TXN-7", None, "TXN-T 1"]
