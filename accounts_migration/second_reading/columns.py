"""Whole columns of legacy cells read at once, as far as that is certain.

Here: for each kind of cell the forms that nearly all cells have, and the asking of `cells`, once for each different
value, about the rest. Not here: what a cell of an odd form is (`accounts_migration.second_reading.cells`).

A form is listed here only if every cell of it is sound, so a cell that is certain has no finding; the row of any other
cell is read again, exactly.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.snapshot_rows import Cell, Text
from accounts_migration.second_reading.cells import (
    FIRST_YEAR,
    LARGEST_REAL_KEY,
    LAST_YEAR,
    LONGEST_KEY,
    MOST_SIGNS,
    UNDATED,
    Reading,
    month_of,
)

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Read = Callable[[Cell], Reading]

MOMENT = pa.timestamp("us")
_SOUND_CENTS = 10**13
_SECONDS_PER_DAY = 86_400
_PLAIN_NUMBER = r"\A[+-]?[0-9]{1,13}(\.[0-9]{1,2})?\z"
_DIGITS = r"\A[0-9]{1,18}\z"
_NAMED_KEY = r"\A[!-~]*[!-/:-~][!-~]*\z"
_ADDRESS = r"\A[!-?A-~]+@[!-?A-~]+\z"
_PLAIN_TEXT = r"\A[!-~](?:[ -~]*[!-~])?\z"
_WIDTHS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}
_MARKS = " -/.:"
_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


@dataclass(frozen=True, slots=True)
class Column:
    """The values of a column, and which of them are certain; what stands at an uncertain place means nothing."""

    values: pa.Array
    certain: Mask


def entity_keys(cells: pa.Array) -> Column:
    """Read keys that are whole numbers of any class, or TEXT of up to 18 digits."""
    if pa.types.is_string(cells.type):
        plain = pc.match_substring_regex(cells, _DIGITS).fill_null(False)
        return Column(pc.if_else(plain, cells, "0").cast(pa.int64()), _mask(plain))
    numbers = _numbers(cells, -1)
    certain = numbers >= 0
    if numbers.dtype == np.float64:
        certain &= (numbers <= LARGEST_REAL_KEY) & (numbers == np.floor(numbers))
        numbers = np.where(certain, numbers, 0).astype(np.int64)
    return Column(pa.array(numbers), certain)


def transaction_keys(cells: pa.Array) -> Column:
    """Read keys of transactions as their texts: numbers as `entity_keys`, or printable ASCII that is no number."""
    keys = entity_keys(cells)
    texts = keys.values.cast(pa.string())
    if not pa.types.is_string(cells.type):
        return Column(texts, keys.certain)
    named = pc.and_(pc.match_substring_regex(cells, _NAMED_KEY), pc.less_equal(pc.binary_length(cells), LONGEST_KEY))
    named = named.fill_null(False)
    return Column(pc.if_else(named, cells, texts), keys.certain | _mask(named))


def cents(cells: pa.Array) -> Column:
    """Read money: REALs nearest to some cents, INTEGERs, TEXT of digits with at most two decimals."""
    certain = _mask(pc.is_valid(cells))
    if pa.types.is_string(cells.type):
        plain = pc.match_substring_regex(cells, _PLAIN_NUMBER).fill_null(False)
        certain = _mask(plain)
        cells = pc.utf8_ltrim(pc.if_else(plain, cells, "0"), "+").cast(pa.float64())
    numbers = _numbers(cells, 0)
    certain = certain & (numbers < _SOUND_CENTS) & (numbers > -_SOUND_CENTS)
    units = np.rint(np.where(certain, numbers, 0) * 100)
    certain &= units / 100 == numbers
    return Column(pa.array(units.astype(np.int64)), certain)


def addresses(cells: pa.Array) -> Column:
    """Read e-mail addresses of printable ASCII."""
    return _optional(cells, _ADDRESS, pc.ascii_lower)


def texts(cells: pa.Array) -> Column:
    """Read trimmed texts of printable ASCII, which may be missing."""
    return _optional(cells, _PLAIN_TEXT, lambda found: found)


def _optional(cells: pa.Array, form: str, read: Callable[[pa.Array], pa.Array]) -> Column:
    if not pa.types.is_string(cells.type):
        return uncertain(cells)
    certain = pc.or_kleene(pc.is_null(cells), pc.match_substring_regex(cells, form))
    return Column(read(cells), _mask(certain))


def descriptions(cells: pa.Array) -> Column:
    """Read descriptions of up to 200 code points."""
    if not pa.types.is_string(cells.type):
        return uncertain(cells)
    found = cells.fill_null("")
    short = pc.less_equal(pc.utf8_length(found), MOST_SIGNS)
    return Column(found, _mask(pc.and_not(short, pc.match_substring(found, "\0"))))


def uncertain(cells: pa.Array) -> Column:
    """Read nothing: each different cell is asked about."""
    return Column(pa.nulls(len(cells), pa.string()), np.zeros(len(cells), np.bool_))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the parts of a date stand in a text of one length: letter of strptime -> place; place -> what may stand."""

    length: int
    starts: Mapping[str, int]
    marks: Mapping[int, str]


def _layout(form: str, blank: str = " ") -> _Layout | None:
    """Return the layout of a strptime format of digits and marks alone, each part in its full width; else None."""
    starts: dict[str, int] = {}
    marks: dict[int, str] = {}
    length = 0
    for letter, mark in re.findall(r"%(.)|([^%])", form, re.DOTALL):
        if letter in _WIDTHS and letter not in starts:
            starts[letter] = length
        elif mark and mark in _MARKS:
            marks[length] = blank if mark == " " else mark
        else:
            return None
        length += _WIDTHS.get(letter, 1)
    return _Layout(length, starts, marks) if {"Y", "m", "d"} <= starts.keys() else None


_ISO = (_layout("%Y-%m-%d"), _layout("%Y-%m-%d %H:%M:%S", blank=" T"))


def _layouts(formats: Sequence[str]) -> list[_Layout]:
    """Return the layouts that a text is read by for certain: ISO 8601, and the first format if no text is both."""
    first = [_layout(form) for form in formats[:1] if not form.startswith("%Y-")]
    return [layout for layout in (*_ISO, *first) if layout is not None]


def moments(cells: pa.Array, formats: Sequence[str] = ()) -> Column:
    """Read `YYYY-MM-DD` and `YYYY-MM-DD HH:MM:SS` of the calendar, years 1900 to 2100, and the first format alike."""
    seconds, certain = _seconds(cells, formats)
    return Column(pa.array(seconds.astype("datetime64[s]").astype("datetime64[us]"), MOMENT), certain)


def days(cells: pa.Array, formats: Sequence[str] = ()) -> Column:
    """Read the same as days, with no time but midnight's, or NULL."""
    seconds, certain = _seconds(cells, formats)
    found = seconds // _SECONDS_PER_DAY
    missing = _mask(pc.is_null(cells))
    dates = pa.array(found.astype(np.int32), pa.int32(), mask=missing).cast(pa.date32())
    return Column(dates, missing | certain & (found * _SECONDS_PER_DAY == seconds))


def _seconds(cells: pa.Array, formats: Sequence[str]) -> tuple[Integers, Mask]:
    """Return the seconds since 1970 of each cell, and which are certain."""
    seconds, certain = np.zeros(len(cells), np.int64), np.zeros(len(cells), np.bool_)
    if not pa.types.is_string(cells.type):
        return seconds, certain
    lengths = np.asarray(pc.binary_length(cells).fill_null(0))
    for layout in _layouts(formats):
        places = np.flatnonzero((lengths == layout.length) & ~certain)
        if len(places):
            seconds[places], certain[places] = _seconds_of(_signs(cells, places, layout.length), layout)
    return seconds, certain


def _signs(cells: pa.Array, places: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.uint8]:
    """Return the bytes of texts of one length, a row for each."""
    starts = np.frombuffer(cells.buffers()[1], np.int32)[cells.offset : cells.offset + len(cells)][places]
    signs = np.frombuffer(cells.buffers()[2], np.uint8)
    if int(starts[-1]) - int(starts[0]) == (len(starts) - 1) * length:  # one after the other
        return np.asarray(signs[starts[0] : starts[0] + len(starts) * length].reshape(-1, length))
    return np.asarray(signs[starts[:, np.newaxis] + np.arange(length)])


def _seconds_of(signs: npt.NDArray[np.uint8], layout: _Layout) -> tuple[Integers, Mask]:
    by_place = np.ascontiguousarray(signs.T)
    certain = np.ones(len(signs), np.bool_)
    for place, allowed in layout.marks.items():
        certain &= np.isin(by_place[place], [ord(mark) for mark in allowed])
    parts: dict[str, Integers] = {}
    for letter, width in _WIDTHS.items():
        start = layout.starts.get(letter)
        parts[letter] = np.zeros(len(signs), np.int64)
        for column in by_place[start : start + width] if start is not None else ():
            digits = column - np.uint8(ord("0"))
            certain &= digits <= 9
            parts[letter] = parts[letter] * 10 + digits
    years, months, days_ = parts["Y"], parts["m"], parts["d"]
    certain &= (years >= FIRST_YEAR) & (years <= LAST_YEAR) & (months >= 1) & (months <= 12) & (days_ >= 1)
    months = np.where(certain, months, 1)
    is_leap = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
    certain &= days_ <= _DAYS[months - 1] + (is_leap & (months == 2))
    certain &= (parts["H"] < 24) & (parts["M"] < 60) & (parts["S"] < 60)
    firsts = (np.where(certain, years, 1970) * 12 + months - 1 - 1970 * 12).astype("datetime64[M]")
    seconds = (firsts.astype("datetime64[D]").astype(np.int64) + days_ - 1) * _SECONDS_PER_DAY
    return seconds + parts["H"] * 3600 + parts["M"] * 60 + parts["S"], certain


def batches(cells: pa.Array) -> pa.Array:
    """Return the batch of each row: the month that its text begins with (contract section 3)."""
    if not pa.types.is_string(cells.type):
        return pa.repeat(pa.scalar(UNDATED, pa.string()), len(cells))
    # by the bytes, so that no sign is cut in two; a cell without text is undated like any other that begins so
    begins = pc.binary_slice(cells.cast(pa.binary()), 0, 7).fill_null(b"").dictionary_encode()
    labels = pa.array([month_of(Text(text)) for text in begins.dictionary.to_pylist()], pa.string())
    return labels.take(begins.indices)


def settled(cells: pa.Array, column: Column, read: Read, type_: pa.DataType, left_out: Mask) -> Column:
    """Return the column with its uncertain cells asked about, once for each different one.

    Args:
        cells: The legacy cells.
        column: What is certain of them.
        read: Reads one cell.
        type_: The type of the values.
        left_out: Rows that are read exactly in any case.
    """
    open_ = ~(column.certain | left_out)
    if not open_.any():
        return column
    values = column.values if column.values.type == type_ else column.values.cast(type_)
    different = cells.filter(pa.array(open_)).dictionary_encode(null_encoding="encode")
    readings = [read(_cell(cell)) for cell in different.dictionary.to_pylist()]
    sound = np.array([not reading.finding for reading in readings], np.bool_)
    found = pa.array([reading.value if not reading.finding else None for reading in readings], type_)
    indices = different.indices
    certain = column.certain.copy()
    certain[open_] = sound[np.asarray(indices)]
    return Column(pc.replace_with_mask(values, pa.array(open_), found.take(indices)), certain)


def _cell(value: int | float | str | None) -> Cell:
    return Text(value.encode()) if isinstance(value, str) else value


def _numbers(cells: pa.Array, missing: int) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
    return np.asarray(cells.fill_null(missing) if cells.null_count else cells)


def _mask(found: pa.Array) -> Mask:
    return np.asarray(found)
