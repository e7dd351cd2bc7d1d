"""The reference reading of values, row by row of contract section 4; e-mail and letter case of section 5."""

import datetime
import math
import sqlite3
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts_migration.entities import values
from accounts_migration.entities.values import REASONS, Parsed
from accounts_migration.legacy_values import LegacyValue, UndecodableText

BLOB = b"1"
BROKEN = UndecodableText(b"12\xff")
CODES = {"A": "ACTIVE", "C": "CLOSED", "1": "ONE", "STRASSE": "STREET"}
LARGEST_INTEGER = 2**63 - 1


def at(*parts: int) -> datetime.datetime:
    """Return a date-time."""
    return datetime.datetime(*parts)  # type: ignore[arg-type]


def cases(*rows: tuple[Any, ...]) -> pytest.MarkDecorator:
    """Parametrize with (value, expected value) and (value, expected value or None, reason)."""
    return pytest.mark.parametrize(
        ("value", "expected", "reason"), [(*row, None)[:3] for row in rows], ids=lambda part: ascii(part)[:40]
    )


def test_every_reason_of_the_contract_has_its_number() -> None:
    """The numbers stand in staging: a new reason goes to the end of its group only with a new staging."""
    assert REASONS == (
        "",
        "DUPLICATE_KEY",
        "MISSING_KEY",
        "INVALID_KEY",
        "MISSING_VALUE",
        "INVALID_NUMBER",
        "SUB_CENT",
        "OUT_OF_RANGE",
        "UNKNOWN_CODE",
        "INVALID_DATE",
        "INVALID_TEXT",
        "INVALID_ENCODING",
        "NUL_CHARACTER",
        "INVALID_EMAIL",
        "ZERO_AMOUNT",
        "SIGN_CONFLICT",
        "ORPHAN",
        "PARENT_REJECTED",
        "EXACT_DUPLICATE",
        "INACTIVE",
        "PARENT_EXCLUDED",
        "TRUNCATED",
        "DEFAULTED",
        "SENTINEL_DATE",
        "KEPT_INACTIVE",
    )


def test_blanks_are_what_python_strips_and_two_more() -> None:
    stripped = {character for character in map(chr, range(sys.maxunicode + 1)) if not character.strip()}
    assert set(values.BLANKS) == stripped | {"\u200b", "\ufeff"}


@cases(
    (0, 0),
    (7, 7),
    (LARGEST_INTEGER, LARGEST_INTEGER),
    (-1, None, "INVALID_KEY"),
    (-(2**63), None, "INVALID_KEY"),
    (7.0, 7),
    (0.0, 0),
    (-0.0, 0),
    (2.0**53, 2**53),
    (2.0**53 + 2, None, "INVALID_KEY"),
    (7.5, None, "INVALID_KEY"),
    (-7.0, None, "INVALID_KEY"),
    (math.inf, None, "INVALID_KEY"),
    (-math.inf, None, "INVALID_KEY"),
    (math.nan, None, "INVALID_KEY"),
    ("7", 7),
    ("007", 7),
    ("0", 0),
    ("000", 0),
    (" 7 ", 7),
    ("\u200b\ufeff \t7\n\u3000\u200b", 7),
    ("9223372036854775807", LARGEST_INTEGER),
    ("0" * 5000 + "9223372036854775807", LARGEST_INTEGER),
    ("9223372036854775808", None, "INVALID_KEY"),
    ("9" * 5000, None, "INVALID_KEY"),
    ("-7", None, "INVALID_KEY"),
    ("+7", None, "INVALID_KEY"),
    ("7.0", None, "INVALID_KEY"),
    ("1e3", None, "INVALID_KEY"),
    ("7 7", None, "INVALID_KEY"),
    ("A7", None, "INVALID_KEY"),
    ("\u0667", None, "INVALID_KEY"),
    ("\u00b2", None, "INVALID_KEY"),
    ("7\0", None, "INVALID_KEY"),
    ("\0", None, "INVALID_KEY"),
    (BLOB, None, "INVALID_KEY"),
    (b"", None, "INVALID_KEY"),
    (BROKEN, None, "INVALID_KEY"),
    (None, None, "MISSING_KEY"),
    ("", None, "MISSING_KEY"),
    (" \t\u00a0\u200b", None, "MISSING_KEY"),
)
def test_entity_key(value: LegacyValue, expected: int | None, reason: str | None) -> None:
    assert values.entity_key(value) == (expected, reason, None)


@cases(
    (0, "0"),
    (7, "7"),
    (LARGEST_INTEGER, str(LARGEST_INTEGER)),
    (-5, None, "INVALID_KEY"),
    (7.0, "7"),
    (2.0**53, "9007199254740992"),
    (2.0**53 + 2, None, "INVALID_KEY"),
    (1.5, None, "INVALID_KEY"),
    (math.nan, None, "INVALID_KEY"),
    ("7", "7"),
    ("007", "7"),
    ("0" * 70 + "7", "7"),
    (" 007\u200b", "7"),
    ("9223372036854775808", None, "INVALID_KEY"),
    ("-5", "-5"),
    ("1.5", "1.5"),
    ("1e3", "1e3"),
    ("+5", "+5"),
    ("\u0667", "\u0667"),
    ("T-0001", "T-0001"),
    (" a b ", "a b"),
    ("aéß", "aéß"),
    ("é" * 64, "é" * 64),
    ("x" * 64 + "  ", "x" * 64),
    ("x" * 65, None, "INVALID_KEY"),
    ("a\0b", None, "INVALID_KEY"),
    ("\0", None, "INVALID_KEY"),
    (BLOB, None, "INVALID_KEY"),
    (BROKEN, None, "INVALID_KEY"),
    (None, None, "MISSING_KEY"),
    ("", None, "MISSING_KEY"),
    ("\ufeff ", None, "MISSING_KEY"),
)
def test_transaction_key(value: LegacyValue, expected: str | None, reason: str | None) -> None:
    assert values.transaction_key(value) == (expected, reason, None)


@cases(
    (0, 0),
    (12, 1200),
    (-12, -1200),
    (10**13 - 1, (10**13 - 1) * 100),
    (10**13, None, "OUT_OF_RANGE"),
    (-(10**13), None, "OUT_OF_RANGE"),
    (-(2**63), None, "OUT_OF_RANGE"),
    (1.5, 150),
    (-0.01, -1),
    (0.0, 0),
    (-0.0, 0),
    (0.1 + 0.2, 30),
    (1.1 * 3, 330),
    (90071992547409.93 / 100, None, "SUB_CENT"),
    (9999999999999.99, 999999999999999),
    (-9999999999999.99, -999999999999999),
    (9999999999999.996, None, "OUT_OF_RANGE"),
    (1234567890123.456, 123456789012346),
    (123456789012.125, None, "SUB_CENT"),
    (1e13, None, "OUT_OF_RANGE"),
    (1e300, None, "OUT_OF_RANGE"),
    (0.005, None, "SUB_CENT"),
    (5e-324, None, "SUB_CENT"),
    (1e-7, None, "SUB_CENT"),
    (math.nan, None, "INVALID_NUMBER"),
    (math.inf, None, "INVALID_NUMBER"),
    (-math.inf, None, "INVALID_NUMBER"),
    ("12", 1200),
    ("+12", 1200),
    ("-12.5", -1250),
    ("0012.50", 1250),
    (" 12.34\u200b", 1234),
    ("1.500", 150),
    ("1.0000000000000000000000000000000", 100),
    ("-0", 0),
    ("-0.00", 0),
    ("1e3", 100000),
    ("1E3", 100000),
    ("1e+3", 100000),
    ("125e-2", 125),
    ("1.25e1", 1250),
    ("0.00001e5", 100),
    ("1e-0002", 1),
    ("100000e-7", 1),
    ("9999999999999.99", 999999999999999),
    ("10000000000000", None, "OUT_OF_RANGE"),
    ("-10000000000000.00", None, "OUT_OF_RANGE"),
    ("10000000000000.001", None, "SUB_CENT"),
    ("1e13", None, "OUT_OF_RANGE"),
    ("1e12", 10**14),
    ("1.001", None, "SUB_CENT"),
    ("1e-3", None, "SUB_CENT"),
    ("0.0" + "0" * 9000 + "1", None, "SUB_CENT"),
    ("1" * 9000, None, "OUT_OF_RANGE"),
    ("1e999999999", None, "OUT_OF_RANGE"),
    ("1e-999999999", None, "SUB_CENT"),
    ("0e999999999", 0),
    ("0.00e-999999999", 0),
    ("1e" + "9" * 6000, None, "OUT_OF_RANGE"),
    ("-1e-" + "9" * 6000, None, "SUB_CENT"),
    ("1e" + "0" * 6000 + "2", 10000),
    (".5", None, "INVALID_NUMBER"),
    ("5.", None, "INVALID_NUMBER"),
    ("1e", None, "INVALID_NUMBER"),
    ("e5", None, "INVALID_NUMBER"),
    ("1e1.5", None, "INVALID_NUMBER"),
    ("--1", None, "INVALID_NUMBER"),
    ("- 1", None, "INVALID_NUMBER"),
    ("1,000.00", None, "INVALID_NUMBER"),
    ("2,5", None, "INVALID_NUMBER"),
    ("1_000", None, "INVALID_NUMBER"),
    ("2.5%", None, "INVALID_NUMBER"),
    ("£5", None, "INVALID_NUMBER"),
    ("0x10", None, "INVALID_NUMBER"),
    ("nan", None, "INVALID_NUMBER"),
    ("Infinity", None, "INVALID_NUMBER"),
    ("twelve", None, "INVALID_NUMBER"),
    ("\u0661\u0662", None, "INVALID_NUMBER"),
    ("\u221212", None, "INVALID_NUMBER"),
    ("12\0", None, "INVALID_NUMBER"),
    ("1\n2", None, "INVALID_NUMBER"),
    (BLOB, None, "INVALID_NUMBER"),
    (b"", None, "INVALID_NUMBER"),
    (BROKEN, None, "INVALID_NUMBER"),
    (None, None, "MISSING_VALUE"),
    ("", None, "MISSING_VALUE"),
    (" \ufeff", None, "MISSING_VALUE"),
)
def test_money(value: LegacyValue, expected: int | None, reason: str | None) -> None:
    assert values.money(value) == (expected, reason, None)


@cases(
    (0, 0),
    (100, 100_000_000),
    (101, None, "OUT_OF_RANGE"),
    (-1, None, "OUT_OF_RANGE"),
    (2.5, 2_500_000),
    (0.025, 25_000),
    (0.1 + 0.2, 300_000),
    (0.000001, 1),
    (-0.0, 0),
    (100.0, 100_000_000),
    (100.000001, None, "OUT_OF_RANGE"),
    (-0.000001, None, "OUT_OF_RANGE"),
    (1e300, None, "OUT_OF_RANGE"),
    (0.0000001, None, "SUB_CENT"),
    (math.inf, None, "INVALID_NUMBER"),
    ("1.123456", 1_123_456),
    ("1.12345600", 1_123_456),
    ("1.1234567", None, "SUB_CENT"),
    ("25e-3", 25_000),
    ("-0", 0),
    ("-0.5", None, "OUT_OF_RANGE"),
    ("1000", None, "OUT_OF_RANGE"),
    ("1e999999999", None, "OUT_OF_RANGE"),
    ("2.5%", None, "INVALID_NUMBER"),
    ("2.5\0", None, "INVALID_NUMBER"),
    (BLOB, None, "INVALID_NUMBER"),
    (BROKEN, None, "INVALID_NUMBER"),
    (None, None, "MISSING_VALUE"),
    ("\t", None, "MISSING_VALUE"),
)
def test_rate(value: LegacyValue, expected: int | None, reason: str | None) -> None:
    assert values.rate(value) == (expected, reason, None)


def test_a_huge_exponent_costs_neither_time_nor_memory() -> None:
    started = time.monotonic()
    for text in ("1e999999999", "1e-999999999", "1e" + "9" * 100_000, "9" * 100_000 + "e-99999"):
        assert values.money(text).fault in ("OUT_OF_RANGE", "SUB_CENT")
    assert time.monotonic() - started < 1


@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 3), st.integers(-25, 25))
def test_money_is_exact_however_the_text_is_written(cents: int, zeros: int, exponent: int) -> None:
    number = Decimal(cents).scaleb(-2 - exponent)
    assert values.money(f"{number:f}e{exponent}") == (cents, None, None)
    assert values.money(f" {Decimal(cents).scaleb(-2):f}{'0' * zeros}\n") == (cents, None, None)
    assert values.money(cents / 100) == (cents, None, None)


@given(st.floats(-1e14, 1e14))
def test_a_real_is_read_at_fifteen_digits(real: float) -> None:
    number = Decimal(f"{real:.15g}")
    if number != round(number, 2):
        assert values.money(real).fault == "SUB_CENT"
    elif abs(number) >= 10**13:
        assert values.money(real).fault == "OUT_OF_RANGE"
    else:
        assert values.money(real).value == number * 100


@cases(
    ("A", "ACTIVE"),
    ("a", "ACTIVE"),
    (" c\u00a0", "CLOSED"),
    ("straße", "STREET"),
    (1, "ONE"),
    (1.0, "ONE"),
    ("1", "ONE"),
    ("1.0", None, "UNKNOWN_CODE"),
    (1.5, None, "UNKNOWN_CODE"),
    (2, None, "UNKNOWN_CODE"),
    (math.inf, None, "UNKNOWN_CODE"),
    (math.nan, None, "UNKNOWN_CODE"),
    (1e300, None, "UNKNOWN_CODE"),
    ("X", None, "UNKNOWN_CODE"),
    ("AC", None, "UNKNOWN_CODE"),
    ("ACTIVE", None, "UNKNOWN_CODE"),
    ("A\0", None, "UNKNOWN_CODE"),
    (b"A", None, "UNKNOWN_CODE"),
    (UndecodableText(b"A\xff"), None, "UNKNOWN_CODE"),
    (None, None, "MISSING_VALUE"),
    ("", None, "MISSING_VALUE"),
    ("\u200b ", None, "MISSING_VALUE"),
)
def test_code(value: LegacyValue, expected: str | None, reason: str | None) -> None:
    assert values.code(value, CODES) == (expected, reason, None)


ISO_DATE_TIMES: list[tuple[str, datetime.datetime]] = [
    ("2024-02-29", at(2024, 2, 29)),
    ("2000-02-29", at(2000, 2, 29)),
    (" 2024-01-02\u200b", at(2024, 1, 2)),
    ("1900-01-01", at(1900, 1, 1)),
    ("2100-12-31 23:59:59.999999", at(2100, 12, 31, 23, 59, 59, 999999)),
    ("2024-01-02 03:04", at(2024, 1, 2, 3, 4)),
    ("2024-01-02T03:04", at(2024, 1, 2, 3, 4)),
    ("2024-01-02 03:04:05", at(2024, 1, 2, 3, 4, 5)),
    ("2024-01-02T03:04:05.6", at(2024, 1, 2, 3, 4, 5, 600000)),
    ("2024-01-02T03:04:05.67", at(2024, 1, 2, 3, 4, 5, 670000)),
    ("2024-01-02T03:04:05.000001", at(2024, 1, 2, 3, 4, 5, 1)),
    ("2024-01-02 00:00:00", at(2024, 1, 2)),
]
NO_DATES: list[LegacyValue] = [
    "2024-02-30",
    "2023-02-29",
    "1900-02-29",
    "2024-13-01",
    "2024-00-01",
    "2024-01-00",
    "1899-12-31",
    "2101-01-01",
    "24-01-02",
    "2024-1-2",
    "2024/01/02",
    "20240102",
    "02.01.2024",
    "2024-01-02 24:00:00",
    "2024-01-02 23:60",
    "2024-01-02 23:59:60",
    "2024-01-02 3:04",
    "2024-01-02 03",
    "2024-01-02  03:04",
    "2024-01-02\t03:04",
    "2024-01-02\u00a003:04",
    "2024-01-02t03:04",
    "2024-01-02TT03:04",
    "2024-01-02T03:04:05.",
    "2024-01-02T03:04:05,5",
    "2024-01-02T03:04:05.1234567",
    "2024-01-02T03:04:05Z",
    "2024-01-02T03:04:05+00:00",
    "2024-01-02T03:04.5",
    "2024-W01-1",
    "2024-01-02 x",
    "\u0662\u0660\u0662\u0664-01-02",
    "2024-01-02\0",
    "today",
    20240102,
    1704164645,
    2460311.5,
    math.nan,
    b"2024-01-02",
    UndecodableText(b"2024-01-02\xff"),
]
SENTINELS = ["9999-12-31", "0001-01-01", "0000-00-00"]
BLANK_VALUES = [None, "", "  ", "\u200b\ufeff\n"]


@pytest.mark.parametrize(("text", "expected"), ISO_DATE_TIMES)
def test_iso_date_times(text: str, expected: datetime.datetime) -> None:
    assert values.date_time(text) == (expected, None, None)
    repair = None if expected.time() == datetime.time() else "TRUNCATED"
    assert values.calendar_date(text) == (expected.date(), None, repair)
    assert values.closing_date(text) == (expected.date(), None, repair)


@pytest.mark.parametrize("value", NO_DATES, ids=ascii)
def test_everything_else_is_no_date(value: LegacyValue) -> None:
    for read in (values.date_time, values.calendar_date, values.closing_date):
        assert read(value, ["%H:%M"]) == (None, "INVALID_DATE", None)


@pytest.mark.parametrize("value", BLANK_VALUES, ids=ascii)
def test_blank_dates_are_missing(value: LegacyValue) -> None:
    assert values.date_time(value) == (None, "MISSING_VALUE", None)
    assert values.calendar_date(value) == (None, None, None)
    assert values.closing_date(value) == (None, None, None)


@pytest.mark.parametrize("sentinel", SENTINELS)
def test_a_sentinel_is_no_date_but_on_a_closing_date(sentinel: str) -> None:
    for text in (sentinel, f" {sentinel} ", f"{sentinel} 00:00", f"{sentinel}T23:59:59.999"):
        assert values.closing_date(text) == (None, None, "SENTINEL_DATE")
        assert values.calendar_date(text) == (None, "INVALID_DATE", None)
        assert values.date_time(text) == (None, "INVALID_DATE", None)
    for text in (f"{sentinel} 24:00", f"{sentinel}Z", f"{sentinel} 1:00", f"{sentinel}\0"):
        assert values.closing_date(text) == (None, "INVALID_DATE", None)


def test_a_far_date_that_is_no_sentinel_is_invalid() -> None:
    assert values.closing_date("9999-12-30").fault == "INVALID_DATE"
    assert values.closing_date("0000-00-01").fault == "INVALID_DATE"


@pytest.mark.parametrize(
    ("value", "formats", "expected"),
    [
        ("02.01.2024", ["%d.%m.%Y"], at(2024, 1, 2)),
        (" 02.01.2024 ", ["%d.%m.%Y"], at(2024, 1, 2)),
        ("02/01/2024 03:04:05", ["%d.%m.%Y", "%d/%m/%Y %H:%M:%S"], at(2024, 1, 2, 3, 4, 5)),
        ("03/04/2024", ["%d/%m/%Y", "%m/%d/%Y"], at(2024, 4, 3)),
        ("03/04/2024", ["%m/%d/%Y", "%d/%m/%Y"], at(2024, 3, 4)),
        ("12/31/2024", ["%d/%m/%Y", "%m/%d/%Y"], at(2024, 12, 31)),
        ("2024-03-04", ["%Y-%d-%m"], at(2024, 3, 4)),
        ("2024-31-12", ["%Y-%d-%m"], at(2024, 12, 31)),
        ("2024-01-02T03:04:05Z", ["%Y-%m-%dT%H:%M:%SZ"], at(2024, 1, 2, 3, 4, 5)),
        ("01.01.1899", ["%d.%m.%Y"], None),
        ("01.01.2101", ["%d.%m.%Y"], None),
        ("30.02.2024", ["%d.%m.%Y"], None),
        ("2024-01-02T03:04:05+00:00", ["%Y-%m-%dT%H:%M:%S%z"], None),
        ("2024-01-02 UTC", ["%Y-%m-%d %Z"], None),
        ("02.01.2024\0", ["%d.%m.%Y"], None),
        (20240102, ["%Y%m%d"], None),
        (20240102.0, ["%Y%m%d"], None),
        ("20240102", ["%Y%m%d"], at(2024, 1, 2)),
        ("31.12.9999", ["%d.%m.%Y"], None),
    ],
)
def test_further_formats_in_their_order(
    value: LegacyValue, formats: list[str], expected: datetime.datetime | None
) -> None:
    fault = "INVALID_DATE" if expected is None else None
    assert values.date_time(value, formats) == (expected, fault, None)


def test_a_sentinel_may_be_written_in_a_further_format() -> None:
    assert values.closing_date("31.12.9999", ["%d.%m.%Y"]) == (None, None, "SENTINEL_DATE")
    assert values.calendar_date("31.12.9999", ["%d.%m.%Y"]) == (None, "INVALID_DATE", None)


@cases(
    ("Ann", "Ann"),
    ("  Ann Lee\t", "Ann Lee"),
    ("\u200b \ufeff\u3000Ann\u00a0\u200b", "Ann"),
    ("a\u200bb", "a\u200bb"),
    ("a\tb", "a\tb"),
    ("Zoë \U0001f600", "Zoë \U0001f600"),
    ("x" * 5000, "x" * 5000),
    (5551234, "5551234"),
    (-5, "-5"),
    (5.0, "5.0"),
    (-0.0, "0.0"),
    (0.1 + 0.2, "0.3"),
    (1e15, "1.0e+15"),
    (math.inf, "Inf"),
    (None, None),
    ("", None),
    ("\u200b\ufeff \u2003", None),
    (b"Ann", None, "INVALID_TEXT"),
    (b"", None, "INVALID_TEXT"),
    (UndecodableText(b"Zo\xeb"), None, "INVALID_ENCODING"),
    ("An\0n", None, "NUL_CHARACTER"),
    (" \0 ", None, "NUL_CHARACTER"),
)
def test_name(value: LegacyValue, expected: str | None, reason: str | None) -> None:
    assert values.name(value) == (expected, reason, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Rent May", Parsed("Rent May")),
        ("  Rent \u200b", Parsed("  Rent \u200b")),
        ("", Parsed("")),
        (" ", Parsed(" ")),
        (None, Parsed("")),
        (42, Parsed("42")),
        (1.5, Parsed("1.5")),
        ("é" * 200, Parsed("é" * 200)),
        ("é" * 201, Parsed("é" * 200, repair="TRUNCATED")),
        ("\U0001f600" * 199 + "ab", Parsed("\U0001f600" * 199 + "a", repair="TRUNCATED")),
        (b"Rent", Parsed(None, "INVALID_TEXT")),
        (UndecodableText(b"Caf\xe9"), Parsed(None, "INVALID_ENCODING")),
        ("a\0b", Parsed(None, "NUL_CHARACTER")),
        ("x" * 300 + "\0", Parsed(None, "NUL_CHARACTER")),
    ],
    ids=lambda part: ascii(part)[:30],
)
def test_description(value: LegacyValue, expected: Parsed[str]) -> None:
    assert values.description(value) == expected


@given(st.one_of(st.just(-0.0), st.integers(-(10**11), 10**11).map(lambda eighths: eighths / 8)))
def test_the_text_of_a_real_is_the_one_of_sqlite(real: float) -> None:
    # eighths have few digits: SQLite's versions differ in how many they print
    connection = sqlite3.connect(":memory:")
    (expected,) = connection.execute("SELECT CAST(? AS TEXT)", (real,)).fetchone()
    connection.close()
    assert values.name(real).value == expected


@cases(
    ("ann@example.com", "ann@example.com"),
    (" Ann.Lee@Example.COM\u200b", "ann.lee@example.com"),
    ("JÖRG@EXAMPLE.COM", "jörg@example.com"),
    ("a@b", "a@b"),
    (None, None),
    ("", None),
    (" \u200b", None),
    ("ann", None, "INVALID_EMAIL"),
    ("@", None, "INVALID_EMAIL"),
    ("@example.com", None, "INVALID_EMAIL"),
    ("ann@", None, "INVALID_EMAIL"),
    ("a@b@c", None, "INVALID_EMAIL"),
    ("a@@b", None, "INVALID_EMAIL"),
    ("a b@c", None, "INVALID_EMAIL"),
    ("a\u00a0b@c", None, "INVALID_EMAIL"),
    ("a@b\u2003c", None, "INVALID_EMAIL"),
    ("a\x01b@c", None, "INVALID_EMAIL"),
    ("a\x7fb@c", None, "INVALID_EMAIL"),
    ("a\u200bb@c", None, "INVALID_EMAIL"),
    ("a\u202eb@c", None, "INVALID_EMAIL"),
    ("a\u00adb@c", None, "INVALID_EMAIL"),
    (5, None, "INVALID_EMAIL"),
    (5.5, None, "INVALID_EMAIL"),
    ("a\0@b", None, "NUL_CHARACTER"),
    ("\0", None, "NUL_CHARACTER"),
    ("no at\0", None, "NUL_CHARACTER"),
    (b"a@b", None, "INVALID_TEXT"),
    (UndecodableText(b"\xe9@b"), None, "INVALID_ENCODING"),
)
def test_email(value: LegacyValue, expected: str | None, reason: str | None) -> None:
    assert values.email(value) == (expected, reason, None)


def _code(value: LegacyValue, encoding: str) -> Parsed[str]:
    return values.code(value, {"Ä": "LAST"}, encoding)


def _date_time(value: LegacyValue, encoding: str) -> Parsed[datetime.datetime]:
    return values.date_time(value, (), encoding)


def _closing_date(value: LegacyValue, encoding: str) -> Parsed[datetime.date]:
    return values.closing_date(value, (), encoding)


@pytest.mark.parametrize(
    ("read", "raw", "expected", "fault"),
    [
        (values.entity_key, b"\xa07\xa0", 7, "INVALID_KEY"),
        (values.transaction_key, b"T\xe9", "Té", "INVALID_KEY"),
        (values.money, b"\xa01.5", 150, "INVALID_NUMBER"),
        (values.rate, b"\xa01.5", 1_500_000, "INVALID_NUMBER"),
        (_code, b"\xe4", "LAST", "UNKNOWN_CODE"),
        (_date_time, b"2024-01-02\xa0", at(2024, 1, 2), "INVALID_DATE"),
        (_closing_date, b"2024-01-02\xa0", datetime.date(2024, 1, 2), "INVALID_DATE"),
        (values.name, b"Zo\xeb", "Zoë", "INVALID_ENCODING"),
        (values.description, b"Caf\xe9 ", "Café ", "INVALID_ENCODING"),
        (values.email, b"Zo\xcb@b", "zoë@b", "INVALID_ENCODING"),
    ],
)
def test_a_legacy_code_page_decodes_every_kind(
    read: Callable[[LegacyValue, str], Parsed[Any]], raw: bytes, expected: object, fault: str
) -> None:
    assert read(UndecodableText(raw), "cp1252") == (expected, None, None)
    assert read(UndecodableText(raw), "utf-8") == (None, fault, None)
    # 0x81 is no character of cp1252
    assert read(UndecodableText(raw + b"\x81"), "cp1252") == (None, fault, None)
    # a code page whose result no database could hold has not decoded it
    assert read(UndecodableText(b"\xd8\x00"), "utf-16-be") == (None, fault, None)


def test_text_decoded_to_blanks_is_missing() -> None:
    assert values.entity_key(UndecodableText(b"\xa0"), "cp1252").fault == "MISSING_KEY"
    assert values.money(UndecodableText(b"\xa0"), "cp1252").fault == "MISSING_VALUE"
    assert values.name(UndecodableText(b"\xa0"), "cp1252") == (None, None, None)


def test_a_code_page_leaves_utf_8_text_and_blobs_alone() -> None:
    assert values.name("Zoë", "cp1252").value == "Zoë"
    assert values.name(b"Zo\xeb", "cp1252").fault == "INVALID_TEXT"


TITLE_CASES = {
    "SMITH": "Smith",
    "smith": "Smith",
    "s": "S",
    "ANN MARIE SMITH": "Ann Marie Smith",
    "ann\u00a0marie\u3000smith": "Ann\u00a0Marie\u3000Smith",
    "MARY-JANE": "Mary-Jane",
    "mary\u2010jane": "Mary\u2010Jane",
    "J.R.R. TOLKIEN": "J.R.R. Tolkien",
    "O'NEIL": "O'Neil",
    "o'neil": "O'Neil",
    "O\u2019NEIL": "O\u2019Neil",
    "D'ARCY-O'NEIL": "D'Arcy-O'Neil",
    "WOMEN'S ACCOUNT": "Women's Account",
    "women\u2019s account": "Women\u2019s Account",
    "MCDONALD'S": "Mcdonald's",
    "'T HOOFT": "'t Hooft",
    "É'TOILE": "É'Toile",
    "5'A": "5'a",
    "2ND ACCOUNT": "2nd Account",
    '(SAVINGS) "PLUS"': '(Savings) "Plus"',
    "R&D": "R&d",
    "ÉLODIE": "Élodie",
    "ÉLODIE".replace("É", "E\u0301"): "E\u0301lodie",
    "straße": "Straße",
    "GROẞ": "Groß",
    "ßa": "ßa",
    "ﬁona": "ﬁona",
    "ŉa": "ŉa",
    "\u0131ki": "\u0131ki",
    "ǆ": "ǅ",
    "ǄUNGLA": "ǅungla",
    "AǄA": "Aǆa",
    "İSTANBUL": "İstanbul",
    "DİYAR": "Dİyar",
    "ΟΔΥΣΣΕΥΣ ΣΟΦΟΣ": "Οδυσσευς Σοφος",
    "A\u212a": "A\u212a",
    "McDonald": "McDonald",
    "de la Cruz": "de la Cruz",
    "USA Saver": "USA Saver",
    "GROßMANN": "GROßMANN",
    "Smith": "Smith",
    "iPhone": "iPhone",
    "123": "123",
    "": "",
    "李": "李",
}


@pytest.mark.parametrize(("text", "expected"), TITLE_CASES.items(), ids=ascii)
def test_title_case(text: str, expected: str) -> None:
    assert values.title_case(text) == expected


@given(st.text(max_size=12).flatmap(lambda text: st.sampled_from([text, text.upper(), text.lower()])))
@settings(max_examples=1000)
def test_title_case_loses_nothing(text: str) -> None:
    cased = values.title_case(text)
    assert len(cased) == len(text)
    assert cased.casefold() == text.casefold()
    if not text.isupper() and not text.islower():
        assert cased == text


def test_no_letter_of_unicode_is_lost_in_a_word() -> None:
    letters = list(map(chr, range(0x1F200)))  # none has a case beyond
    for word in ("A{}", "{}A", "a{}", "{}a"):
        texts = [text for text in map(word.format, letters) if text.isupper() or text.islower()]
        cased = list(map(values.title_case, texts))
        assert len(set(cased)) == len(texts)
        assert [text.casefold() for text in cased] == [text.casefold() for text in texts]


ANY_VALUE: st.SearchStrategy[LegacyValue] = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(),
    st.binary(),
    st.binary().map(lambda raw: UndecodableText(raw + b"\xff")),
)


@given(ANY_VALUE, st.sampled_from(["utf-8", "cp1252", "shift_jis", "utf-16", "utf-7", "latin-1"]))
def test_every_value_gets_an_answer_and_a_fault_has_no_value(value: LegacyValue, encoding: str) -> None:
    parsed: list[Parsed[Any]] = [
        values.entity_key(value, encoding),
        values.transaction_key(value, encoding),
        values.money(value, encoding),
        values.rate(value, encoding),
        values.code(value, CODES, encoding),
        values.date_time(value, ["%d.%m.%Y"], encoding),
        values.closing_date(value, ["%d.%m.%Y"], encoding),
        values.name(value, encoding),
        values.description(value, encoding),
        values.email(value, encoding),
    ]
    for answer in parsed:
        assert answer.fault is None or (answer.fault in REASONS and answer.value is None)
        assert answer.repair is None or (answer.repair in REASONS and answer.fault is None)
