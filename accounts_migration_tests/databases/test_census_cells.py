"""Each kind of cell, judged by the census's SQL, comes out as the cleaning's own reader says, whatever stands in it.

Where the two disagree, contract section 4 decides.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts_migration.databases import census_cells as cells
from accounts_migration.databases.census_cells import REASONS, Rules
from accounts_migration.entities import values
from accounts_migration.entities.policies import TRANSACTION_TYPES
from accounts_migration.entities.values import Parsed
from accounts_migration.legacy_values import LegacyValue, UndecodableText

FORMATS = ("%d.%m.%Y", "%Y%m%d", "%d/%m/%y %H:%M")
ENCODINGS = ("utf-8", "cp1252")
CELL = "(+?1 COLLATE BINARY)"

Judge = Callable[[LegacyValue, str], object]


def _reason(parsed: Parsed[Any]) -> str | None:
    return parsed.fault or parsed.repair


def _number(parsed: Parsed[int]) -> object:
    if parsed.value is None:
        return parsed.fault
    return "ZERO" if parsed.value == 0 else "NEGATIVE" if parsed.value < 0 else None


def _key(parsed: Parsed[int] | Parsed[str]) -> object:
    return {"MISSING_KEY": cells.NO_KEY, "INVALID_KEY": cells.BAD_KEY}.get(str(parsed.fault), parsed.value)


def _transaction_key(value: LegacyValue, encoding: str) -> object:
    key = _key(values.transaction_key(value, encoding))
    return int(key) if isinstance(key, str) and key.isascii() and key.isdigit() else key


def _required_name(value: LegacyValue, encoding: str) -> object:
    parsed = values.name(value, encoding)
    return parsed.fault or (None if parsed.value else "MISSING_VALUE")


def _code(value: LegacyValue, encoding: str) -> object:
    parsed = values.code(value, TRANSACTION_TYPES, encoding)
    return parsed.fault or parsed.value


KINDS: dict[str, tuple[str, Judge]] = {
    "entity_key": (cells.entity_key(CELL), lambda value, encoding: _key(values.entity_key(value, encoding))),
    "transaction_key": (cells.transaction_key(CELL), _transaction_key),
    "money": (cells.money(CELL), lambda value, encoding: _number(values.money(value, encoding))),
    "rate": (cells.rate(CELL), lambda value, encoding: _reason(values.rate(value, encoding))),
    "code": (cells.code(CELL, "transaction_type", Rules()), _code),
    "name": (cells.name(CELL, missing=cells.MISSING_VALUE), _required_name),
    "phone": (cells.name(CELL), lambda value, encoding: _reason(values.name(value, encoding))),
    "description": (cells.description(CELL), lambda value, encoding: _reason(values.description(value, encoding))),
    "email": (cells.email(CELL), lambda value, encoding: _reason(values.email(value, encoding))),
    "moment": (
        cells.moment(CELL, missing=cells.MISSING_VALUE),
        lambda value, encoding: _reason(values.date_time(value, FORMATS, encoding)),
    ),
    "day": (
        cells.day(CELL, sentinels=False),
        lambda value, encoding: _reason(values.calendar_date(value, FORMATS, encoding)),
    ),
    "closing day": (
        cells.day(CELL, sentinels=True),
        lambda value, encoding: _reason(values.closing_date(value, FORMATS, encoding)),
    ),
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
_CELLS: st.SearchStrategy[LegacyValue] = st.one_of(
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


@pytest.fixture(scope="module", params=ENCODINGS)
def judging(request: pytest.FixtureRequest) -> Iterator[tuple[sqlite3.Connection, str]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.text_factory = bytes
        cells.register(connection, Rules(legacy_encoding=request.param, date_formats=FORMATS))
        yield connection, request.param


def told(kind: str, outcome: object) -> object:
    """Return an outcome as the readers tell it."""
    if kind.endswith("_key"):
        return outcome.decode() if isinstance(outcome, bytes) else outcome
    assert isinstance(outcome, int)
    if outcome >= cells.FIRST_CODE:
        return cells.VALUES["transaction_type"][outcome - cells.FIRST_CODE]
    return (None, *REASONS, "NEGATIVE", "ZERO")[outcome]


@pytest.mark.parametrize("kind", KINDS)
@given(value=_CELLS)
@settings(max_examples=100, deadline=None)
def test_sql_and_reader_judge_any_cell_alike(
    judging: tuple[sqlite3.Connection, str], kind: str, value: LegacyValue
) -> None:
    connection, encoding = judging
    sql, judge = KINDS[kind]
    given_text = isinstance(value, UndecodableText)
    source = "SELECT CAST(?1 AS TEXT) AS cell" if given_text else "SELECT ?1 AS cell"
    query = f"SELECT {sql.replace('?1', 'cell')} FROM ({source} LIMIT -1 OFFSET 0)"  # noqa: S608  # our own expressions
    [(outcome,)] = connection.execute(query, (value.raw if isinstance(value, UndecodableText) else value,))
    assert told(kind, outcome) == judge(value, encoding)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("entity_key", "0" * 9 + "7"),
        ("transaction_key", "TX-0001"),
        ("money", "-1234.50"),
        ("money", 1234.5),
        ("code", " dr "),
        ("name", "ADA"),
        ("description", "CARD PURCHASE, REF 12"),
        ("email", "ada@example.com"),
        ("moment", "2024-02-29 23:59:59"),
        ("moment", "2024-02-29"),
        ("day", "2024-02-29"),
        ("day", "2024-02-29 00:00:00"),
    ],
)
def test_an_ordinary_cell_needs_no_python(kind: str, cell: LegacyValue) -> None:
    """A million rows stay fast because SQL alone settles what nearly all of them hold."""
    called: list[str] = []
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.text_factory = bytes
        cells.register(connection, Rules())
        functions = connection.execute(
            "SELECT name, narg FROM pragma_function_list WHERE name GLOB '*_of_*'"
        ).fetchall()
        for name, arguments in functions:
            connection.create_function(name.decode(), arguments, lambda *_: called.append("called"), deterministic=True)
        assert len(functions) > len(KINDS)
        connection.execute(f"SELECT {KINDS[kind][0]}", (cell,)).fetchall()
    assert called == []
