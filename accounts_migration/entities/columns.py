"""The kinds of `accounts_migration.entities.values`, read for a whole chunk of a column at once.

Here: one function per kind, of the same name and meaning as there, and the letter case and the spelling
of ids for columns. Each has a fast road that settles only what is certain; every other value is put to
the reference in `values`, each distinct value once. So a fast road may be shy, but it decides nothing of
its own. Not here: any rule that `values` does not have, and rules about whole rows.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from accounts_migration.entities import values as reference
from accounts_migration.entities.values import BLANKS, REASONS, UTF_8, Parsed
from accounts_migration.legacy_values import LegacyValue

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
ReasonNumbers = NDArray[np.int8]
Characters = NDArray[np.uint8]

_REASON_NUMBER: dict[str | None, int] = {None: 0} | {reason: number for number, reason in enumerate(REASONS)}
_MICROSECOND = pa.timestamp("us")
_EMAIL = r"^[!-?A-~]+@[!-?A-~]+$"
_PLAIN_NAME = r"^([A-Z .-]*|[a-z .-]*)$"
_ISO_LENGTHS = (10, 16, 19, 21, 22, 23, 24, 25, 26)
_MICROSECONDS_PER_DAY = 86_400_000_000
_MONTHS = np.arange(f"{reference.FIRST_YEAR}-01", f"{reference.LAST_YEAR + 1}-02", dtype="datetime64[M]")
_MONTH_STARTS = _MONTHS.astype("datetime64[D]").astype(np.int64)
_MONTH_LENGTHS = np.diff(_MONTH_STARTS)
_POWERS_OF_TEN = 10 ** np.arange(19, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class LegacyColumn:
    """A chunk of one legacy column.

    Attributes:
        values: int64, double, string or null array: the column's dominant storage class, TEXT valid UTF-8
            (U+0000 may occur); null for NULL.
        irregular: Row position to exact value, for rows of another storage class or with TEXT that is not
            UTF-8. In these rows only the mapping counts.
    """

    values: pa.Array
    irregular: Mapping[int, LegacyValue] = field(default_factory=dict)


class ParsedColumn(NamedTuple):
    """What a chunk became.

    `values` are null where missing or faulted; `faults` and `repairs` are int8 places in REASONS.
    """

    values: pa.Array
    faults: ReasonNumbers
    repairs: ReasonNumbers

    def replaced(self, values: pa.Array) -> "ParsedColumn":
        """Return the column with other values (an id for its key), the reasons as they are."""
        return self._replace(values=values)


class _Quick(NamedTuple):
    """What a fast road found: its `values` and `repairs` count only where `certain`."""

    values: pa.Array
    certain: Flags
    repairs: ReasonNumbers | None = None


_Reader = Callable[[LegacyValue], Parsed[Any]]


def entity_key(column: LegacyColumn, encoding: str = UTF_8) -> ParsedColumn:
    """Read keys of products, customers or accounts as int64."""
    return _parse(column, pa.int64(), lambda value: reference.entity_key(value, encoding), _quick_entity_key)


def transaction_key(column: LegacyColumn, encoding: str = UTF_8) -> ParsedColumn:
    """Read keys of transactions as their canonical text, string."""
    return _parse(column, pa.string(), lambda value: reference.transaction_key(value, encoding), _quick_transaction_key)


def money(column: LegacyColumn, encoding: str = UTF_8) -> ParsedColumn:
    """Read money as int64 CENTS."""
    decimals = reference.MONEY_DECIMALS
    largest = 10 ** (reference.MONEY_WHOLE_DIGITS + decimals) - 1
    quick = functools.partial(_quick_decimal, decimals=decimals, smallest=-largest, largest=largest)
    return _parse(column, pa.int64(), lambda value: reference.money(value, encoding), quick)


def rate(column: LegacyColumn, encoding: str = UTF_8) -> ParsedColumn:
    """Read rates as int64 MILLIONTHS OF A PERCENT."""
    quick = functools.partial(
        _quick_decimal, decimals=reference.RATE_DECIMALS, smallest=0, largest=reference.LARGEST_RATE
    )
    return _parse(column, pa.int64(), lambda value: reference.rate(value, encoding), quick)


def whole_number(column: LegacyColumn, encoding: str = UTF_8) -> ParsedColumn:
    """Read counts as int64."""
    largest = 10**reference.COUNT_DIGITS - 1
    quick = functools.partial(_quick_decimal, decimals=0, smallest=-largest, largest=largest)
    return _parse(column, pa.int64(), lambda value: reference.whole_number(value, encoding), quick)


def code(column: LegacyColumn, codes: Mapping[str, str], encoding: str = UTF_8) -> ParsedColumn:
    """Look codes up in their map, string; the keys of `codes` are upper case."""
    return _parse(column, pa.string(), lambda value: reference.code(value, codes, encoding))


def date_time(column: LegacyColumn, formats: Sequence[str] = (), encoding: str = UTF_8) -> ParsedColumn:
    """Read date-times as timestamp('us') without zone."""
    return _parse(column, _MICROSECOND, lambda value: reference.date_time(value, formats, encoding), _quick_date_time)


def calendar_date(column: LegacyColumn, formats: Sequence[str] = (), encoding: str = UTF_8) -> ParsedColumn:
    """Read dates that may be missing as date32."""
    return _parse(
        column, pa.date32(), lambda value: reference.calendar_date(value, formats, encoding), _quick_calendar_date
    )


def closing_date(column: LegacyColumn, formats: Sequence[str] = (), encoding: str = UTF_8) -> ParsedColumn:
    """Read closing dates as date32: as `calendar_date`, and sentinels are no dates."""
    return _parse(
        column, pa.date32(), lambda value: reference.closing_date(value, formats, encoding), _quick_calendar_date
    )


def name(column: LegacyColumn, encoding: str = UTF_8) -> ParsedColumn:
    """Read names and other trimmed texts, string; null where blank."""
    return _parse(column, pa.string(), lambda value: reference.name(value, encoding), _quick_name)


def description(column: LegacyColumn, encoding: str = UTF_8) -> ParsedColumn:
    """Read descriptions, string, '' for NULL."""
    return _parse(column, pa.string(), lambda value: reference.description(value, encoding), _quick_description)


def email(column: LegacyColumn, encoding: str = UTF_8) -> ParsedColumn:
    """Read e-mail addresses, string, lower-cased; null where blank."""
    return _parse(column, pa.string(), lambda value: reference.email(value, encoding), _quick_email)


def text(column: LegacyColumn, encoding: str = UTF_8) -> ParsedColumn:
    """Read texts as they were written, string."""
    return _parse(column, pa.string(), lambda value: reference.text(value, encoding), _quick_text)


def written_email(column: LegacyColumn, encoding: str = UTF_8) -> ParsedColumn:
    """Read e-mail addresses as they were written, string; null where blank."""
    return _parse(column, pa.string(), lambda value: reference.written_email(value, encoding), _quick_written_email)


def identifier(
    column: LegacyColumn, prefix: str, shortest: int, longest: int | None, encoding: str = UTF_8
) -> ParsedColumn:
    """Read ids of the Account Processing System as they were written, string."""
    return _parse(
        column,
        pa.string(),
        lambda value: reference.identifier(value, prefix, shortest, longest, encoding),
        functools.partial(_quick_identifier, prefix=prefix, shortest=shortest, longest=longest),
    )


def title_case_column(texts: pa.StringArray) -> pa.StringArray:
    """Return the texts in the letter case of `values.title_case`, null for null."""
    distinct = texts.dictionary_encode()
    names = distinct.dictionary
    plain = pc.match_substring_regex(names, _PLAIN_NAME)
    cased = [reference.title_case(text) for text in names.filter(pc.invert(plain)).to_pylist()]
    names = pc.replace_with_mask(pc.ascii_title(names), pc.invert(plain), pa.array(cased, pa.string()))
    return names.take(distinct.indices)


def padded_id(prefix: str, keys: pa.Int64Array, width: int) -> pa.StringArray:
    """Return prefix and key, at least `width` digits (`ACCT-00000042`); null for null."""
    numbers = _numbers(keys)
    if len(keys) and numbers.min() >= 0 and numbers.max() < _POWERS_OF_TEN[width]:
        return _ids_of_one_length(prefix, numbers, width, keys)
    return prefixed_id(prefix, pc.ascii_lpad(keys.cast(pa.string()), width, "0"))


def prefixed_id(prefix: str, keys: pa.StringArray) -> pa.StringArray:
    """Return prefix and key text (`TXN-42`); null for null."""
    return pc.binary_join_element_wise(pa.scalar(prefix), keys, "")


def _ids_of_one_length(prefix: str, numbers: Integers, width: int, keys: pa.Int64Array) -> pa.StringArray:
    """Write the characters of all ids into one matrix, several times as quick as joining texts."""
    start = np.frombuffer(prefix.encode(), np.uint8)
    characters = np.empty((len(numbers), len(start) + width), np.uint8)
    characters[:, : len(start)] = start
    rest = numbers.astype(np.uint32) if width < 10 else numbers.astype(np.uint64)
    for place in range(characters.shape[1] - 1, len(start) - 1, -1):
        tens = rest // 10
        characters[:, place] = rest - tens * 10 + ord("0")
        rest = tens
    ends = np.arange(len(numbers) + 1, dtype=np.int32) * characters.shape[1]
    ids = pa.StringArray.from_buffers(len(numbers), pa.py_buffer(ends), pa.py_buffer(characters))
    return ids if keys.null_count == 0 else pc.if_else(keys.is_valid(), ids, pa.scalar(None, pa.string()))


def _parse(
    column: LegacyColumn,
    arrow_type: pa.DataType,
    read: _Reader,
    quick: Callable[[pa.Array], _Quick | None] | None = None,
) -> ParsedColumn:
    """Read a chunk by its fast road, and by the reference where that one is not certain.

    Args:
        column: The chunk.
        arrow_type: The type of the parsed values.
        read: The reference for one value.
        quick: The fast road; it returns None for a storage class that it does not know.
    """
    given = column.values
    places = np.array(sorted(column.irregular), np.int64)
    regular = np.ones(len(given), np.bool_)
    regular[places] = False
    present = _true(given.is_valid()) if given.null_count else np.ones(len(given), np.bool_)
    found = quick(given) if quick is not None and len(given) else None
    if found is None:
        found = _Quick(pa.nulls(len(given), arrow_type), np.zeros(len(given), np.bool_))
    repairs = np.zeros(len(given), np.int8) if found.repairs is None else found.repairs
    parsed = ParsedColumn(found.values, np.zeros(len(given), np.int8), repairs)

    uncertain = np.flatnonzero(regular & present & ~found.certain)
    if len(uncertain):
        chosen = given.take(pa.array(uncertain))
        parsed = _replaced(parsed, uncertain, _read_distinct(chosen, arrow_type, read))
    missing = np.flatnonzero(regular & ~present)
    if len(missing):
        answer = _read_each([None], arrow_type, read)
        parsed = _replaced(parsed, missing, _taken(answer, np.zeros(len(missing), np.int64)))
    if len(places):
        exact = [column.irregular[place] for place in places.tolist()]
        parsed = _replaced(parsed, places, _read_each(exact, arrow_type, read))
    return parsed


def _read_distinct(given: pa.Array, arrow_type: pa.DataType, read: _Reader) -> ParsedColumn:
    distinct = given.dictionary_encode()
    answers = _read_each(distinct.dictionary.to_pylist(), arrow_type, read)
    return _taken(answers, distinct.indices.to_numpy())


def _read_each(given: Sequence[LegacyValue], arrow_type: pa.DataType, read: _Reader) -> ParsedColumn:
    answers = [read(value) for value in given]
    return ParsedColumn(
        pa.array([answer.value for answer in answers], arrow_type),
        np.array([_REASON_NUMBER[answer.fault] for answer in answers], np.int8),
        np.array([_REASON_NUMBER[answer.repair] for answer in answers], np.int8),
    )


def _taken(parsed: ParsedColumn, places: NDArray[np.signedinteger[Any]]) -> ParsedColumn:
    return ParsedColumn(parsed.values.take(pa.array(places)), parsed.faults[places], parsed.repairs[places])


def _replaced(parsed: ParsedColumn, places: Integers, answers: ParsedColumn) -> ParsedColumn:
    """Return the column with the answers at the given places, which ascend."""
    if len(places) == len(parsed.values):
        return answers
    mask = np.zeros(len(parsed.values), np.bool_)
    mask[places] = True
    parsed.faults[places] = answers.faults
    parsed.repairs[places] = answers.repairs
    return parsed.replaced(pc.replace_with_mask(parsed.values, pa.array(mask), answers.values))


def _quick_entity_key(given: pa.Array) -> _Quick | None:
    if pa.types.is_int64(given.type):
        return _Quick(given, _numbers(given) >= 0)
    if pa.types.is_float64(given.type):
        numbers = _numbers(given)
        certain = (numbers >= 0) & (numbers <= reference.LARGEST_REAL_KEY) & (np.floor(numbers) == numbers)
        return _Quick(pa.array(np.where(certain, numbers, 0).astype(np.int64)), certain)
    if pa.types.is_string(given.type):
        texts = _trimmed(given)
        digits = pc.and_(pc.ascii_is_decimal(texts), pc.less_equal(pc.binary_length(texts), 18))
        return _Quick(_where(digits, texts).cast(pa.int64()), _true(digits))
    return None


def _quick_transaction_key(given: pa.Array) -> _Quick | None:
    if pa.types.is_string(given.type):
        texts = _trimmed(given)
        lengths = _lengths(texts)
        numeric = _true(pc.ascii_is_decimal(texts))
        canonical = (lengths <= 18) & ~_true(pc.starts_with(texts, "0"))
        short = (lengths > 0) & (lengths <= reference.LONGEST_TRANSACTION_KEY)
        return _Quick(texts, short & (canonical | ~numeric) & _free_of_nul(texts))
    keys = _quick_entity_key(given)
    return None if keys is None else _Quick(keys.values.cast(pa.string()), keys.certain)


def _quick_decimal(given: pa.Array, *, decimals: int, smallest: int, largest: int) -> _Quick | None:
    """Read numbers as integers of their last decimal, certain from `smallest` to `largest`."""
    if pa.types.is_int64(given.type):
        factor = 10**decimals
        numbers = _numbers(given)
        certain = (numbers >= -(-smallest // factor)) & (numbers <= largest // factor)
        return _Quick(pa.array(np.where(certain, numbers, 0) * factor), certain)
    if pa.types.is_float64(given.type):
        return _quick_real_decimal(_numbers(given), 10.0**decimals, smallest, largest)
    if pa.types.is_string(given.type):
        return _quick_text_decimal(_trimmed(given), decimals, smallest, largest)
    return None


def _quick_real_decimal(numbers: NDArray[np.float64], factor: float, smallest: int, largest: int) -> _Quick:
    """Find the REALs that are the nearest double to a number of at most 15 digits: they read as it."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(numbers * factor)
        within = (scaled >= smallest) & (scaled <= largest)
        certain = within & (scaled / factor == numbers)
    if not certain.all():
        rest = np.flatnonzero(within & ~certain)
        certain[rest] = _rounds_to(numbers[rest] * factor, scaled[rest])
    return _Quick(pa.array(np.where(certain, scaled, 0).astype(np.int64)), certain)


def _rounds_to(exact: NDArray[np.float64], scaled: NDArray[np.float64]) -> Flags:
    """Tell where a number surely becomes `scaled` at 15 significant digits, as sums of floats often do.

    That is where they differ by less than half a unit of the 15th digit, less the error of this computation.
    """
    with np.errstate(divide="ignore"):
        # a hair less, so that a power of ten is never taken for the next one
        leading_digit = np.floor(np.log10(np.abs(exact)) - 1e-12)
    half_unit = 0.49 * 10.0 ** (leading_digit - 14)
    return np.abs(exact - scaled) + 3e-16 * np.abs(scaled) < half_unit


def _quick_text_decimal(texts: pa.Array, decimals: int, smallest: int, largest: int) -> _Quick:
    fraction = rf"(\.[0-9]{{1,{decimals}}})?" if decimals else ""
    plain = pc.match_substring_regex(texts, f"^[+-]?[0-9]{{1,12}}{fraction}$")
    exact = _where(plain, texts).cast(pa.decimal128(12 + decimals + 1, decimals))
    # a decimal128 is two 64-bit words, the lower first; so few digits need only the lower
    words = np.frombuffer(exact.buffers()[1], np.int64)[2 * exact.offset :][: 2 * len(exact)]
    scaled = words[::2]
    certain = _true(plain)
    certain &= (scaled >= smallest) & (scaled <= largest)
    return _Quick(pa.array(np.ascontiguousarray(scaled)), certain)


def _quick_name(given: pa.Array) -> _Quick | None:
    texts = _texts(given)
    if texts is None:
        return None
    texts = _trimmed(texts)
    blank = _lengths(texts) == 0
    if blank.any():
        texts = _where(pa.array(~blank), texts)
    return _Quick(texts, _free_of_nul(texts))


def _quick_description(given: pa.Array) -> _Quick | None:
    texts = _texts(given)
    if texts is None:
        return None
    # no text has more code points than bytes
    return _Quick(texts, (_lengths(texts) <= reference.LONGEST_REFERENCE) & _free_of_nul(texts))


def _quick_text(given: pa.Array) -> _Quick | None:
    texts = _texts(given)
    return None if texts is None else _Quick(texts, _free_of_nul(texts))


def _quick_written_email(given: pa.Array) -> _Quick | None:
    if not pa.types.is_string(given.type):
        return None
    return _Quick(given, _true(pc.match_substring_regex(given, _EMAIL)))


def _quick_identifier(given: pa.Array, prefix: str, shortest: int, longest: int | None) -> _Quick | None:
    if not pa.types.is_string(given.type):
        return None
    # in ASCII, of which an id is as a rule, bytes are code points
    lengths = _lengths(given)
    certain = _true(pc.starts_with(given, prefix)) & (lengths >= shortest)
    if longest is not None:
        certain &= lengths <= longest
    return _Quick(given, certain & _true(pc.string_is_ascii(given)) & _free_of_nul(given))


def _quick_email(given: pa.Array) -> _Quick | None:
    if not pa.types.is_string(given.type):
        return None
    texts = _trimmed(given)
    return _Quick(pc.ascii_lower(texts), _true(pc.match_substring_regex(texts, _EMAIL)))


def _quick_date_time(given: pa.Array) -> _Quick | None:
    if not pa.types.is_string(given.type):
        return None
    days, microseconds, certain = _iso(_trimmed(given))
    return _Quick(pa.array(days * _MICROSECONDS_PER_DAY + microseconds).cast(_MICROSECOND), certain)


def _quick_calendar_date(given: pa.Array) -> _Quick | None:
    if not pa.types.is_string(given.type):
        return None
    days, microseconds, certain = _iso(_trimmed(given))
    repairs = np.where(certain & (microseconds != 0), _REASON_NUMBER["TRUNCATED"], 0).astype(np.int8)
    return _Quick(pa.array(days.astype(np.int32)).cast(pa.date32()), certain, repairs)


def _iso(texts: pa.StringArray) -> tuple[Integers, Integers, Flags]:
    """Read ISO 8601 texts as days since 1970, microseconds of the day, and whether they surely are that."""
    offsets, characters = _offsets(texts), _characters(texts)
    lengths = np.diff(offsets)
    days, microseconds = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    certain = np.zeros(len(texts), np.bool_)
    for length in _ISO_LENGTHS:
        rows = np.flatnonzero(lengths == length)
        if len(rows) == len(texts):
            return _iso_of_length(characters[offsets[0] : offsets[-1]].reshape(-1, length))
        if len(rows):
            chosen = characters[offsets[rows][:, np.newaxis] + np.arange(length)]
            days[rows], microseconds[rows], certain[rows] = _iso_of_length(chosen)
    return days, microseconds, certain


def _iso_of_length(characters: Characters) -> tuple[Integers, Integers, Flags]:
    """Read texts of one length, a row of `characters` each; what is no digit becomes a number above 9."""
    length = characters.shape[1]
    column = np.ascontiguousarray(characters.T)
    digit = column - np.uint8(ord("0"))
    digit_places = [place for place in range(length) if place not in (4, 7, 10, 13, 16, 19)]
    certain = digit[digit_places].max(axis=0) <= 9
    certain &= (column[4] == ord("-")) & (column[7] == ord("-"))
    month, day = _pair(digit, 5), _pair(digit, 8)
    year = _pair(digit, 0).astype(np.int64) * 100 + _pair(digit, 2)
    certain &= (month >= 1) & (month <= 12) & (year >= reference.FIRST_YEAR) & (year <= reference.LAST_YEAR)
    slot = np.where(certain, (year - reference.FIRST_YEAR) * 12 + month - 1, 0)
    certain &= (day >= 1) & (day <= _MONTH_LENGTHS[slot])
    days = _MONTH_STARTS[slot] + day - 1
    if length == 10:
        return days, np.zeros(len(days), np.int64), certain
    microseconds, of_day = _time_of_length(column, digit)
    return days, microseconds, certain & of_day


def _time_of_length(column: Characters, digit: Characters) -> tuple[Integers, Flags]:
    """Read the times of day from `[T ]HH:MM[:SS[.f…]]` behind a date; rows are the places of the text."""
    length = len(column)
    hour, minute = _pair(digit, 11), _pair(digit, 14)
    certain = ((column[10] == ord("T")) | (column[10] == ord(" "))) & (column[13] == ord(":"))
    certain &= (hour <= 23) & (minute <= 59)
    seconds = hour.astype(np.int64) * 3600 + minute.astype(np.int64) * 60
    if length > 16:
        second = _pair(digit, 17)
        certain &= (column[16] == ord(":")) & (second <= 59)
        seconds += second
    microseconds = seconds * 1_000_000
    if length > 19:
        certain &= column[19] == ord(".")
        for place in range(20, length):
            microseconds += digit[place] * _POWERS_OF_TEN[25 - place]
    return microseconds, certain


def _pair(digit: Characters, place: int) -> Characters:
    """Return the two-digit numbers at a place; they overflow only where a digit is none."""
    number: Characters = digit[place] * np.uint8(10) + digit[place + 1]
    return number


def _texts(given: pa.Array) -> pa.StringArray | None:
    """Return what SQLite would give as text, None for REALs, whose spelling is left to the reference."""
    if pa.types.is_string(given.type):
        return given
    return given.cast(pa.string()) if pa.types.is_int64(given.type) else None


def _trimmed(texts: pa.StringArray) -> pa.StringArray:
    return pc.utf8_trim(texts, BLANKS)


def _where(condition: pa.Array, given: pa.Array) -> pa.Array:
    """Return the values where the condition is true, else null."""
    return pc.if_else(condition, given, pa.scalar(None, given.type))


def _true(condition: pa.BooleanArray) -> Flags:
    """Return a writable copy of the flags, false for null."""
    flags: Flags = condition.fill_null(False).to_numpy(zero_copy_only=False)
    return flags


def _numbers(given: pa.Array) -> NDArray[Any]:
    """Return the numbers, 0 for null."""
    numbers: NDArray[Any] = (given.fill_null(0) if given.null_count else given).to_numpy()
    return numbers


def _offsets(texts: pa.StringArray) -> NDArray[np.int32]:
    """Return where each text of a non-empty array begins in `_characters`, and where the last one ends."""
    return np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]


def _characters(texts: pa.StringArray) -> Characters:
    buffer = texts.buffers()[2]
    return np.frombuffer(b"" if buffer is None else buffer, np.uint8)


def _lengths(texts: pa.StringArray) -> NDArray[np.int32]:
    """Return the lengths in bytes, of no meaning for null."""
    return np.diff(_offsets(texts))


def _free_of_nul(texts: pa.StringArray) -> Flags:
    offsets = _offsets(texts)
    used = _characters(texts)[offsets[0] : offsets[-1]]
    if not len(used) or used.min() > 0:
        return np.ones(len(texts), np.bool_)
    return ~_true(pc.match_substring(texts, "\0"))
