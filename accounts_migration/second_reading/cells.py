"""One legacy cell read exactly, whatever SQLite stored in it (contract section 4).

Here: for each kind of cell what it becomes, or the reason why not. Not here: which column is of which kind
(`accounts_migration.second_reading.forms`), and speed (`accounts_migration.second_reading.columns`).
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import NamedTuple

from accounts_migration.databases.snapshot_rows import Cell, Text

BLANKS = "".join(map(chr, [*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200C)])) + (
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
LARGEST_KEY = 2**63 - 1
LARGEST_REAL_KEY = 2**53
LONGEST_KEY = 64
FIRST_YEAR, LAST_YEAR = 1900, 2100
MOST_SIGNS = 200
LARGEST_RATE = 100_000_000
UNDATED = "undated"

_NUMBER = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,6}))?)?)?"
)
_MONTH = re.compile(rb"(?:19[0-9]{2}|20[0-9]{2}|2100)-(?:0[1-9]|1[0-2])")
_WORD = re.compile(r"[^\s.\u2010\u2011-]+|.", re.DOTALL)
_APOSTROPHE = re.compile("(['\u2019])")
_SENTINELS = ("9999-12-31", "0001-01-01", "0000-00-00")
_PAST_ALL_DIGITS = 10**18


Value = None | int | str | date | datetime


class Reading(NamedTuple):
    """What a cell is: its value as the target holds it (cents, millionths of a percent), and what was found wrong.

    The finding is a reason code, empty for a sound cell; a cell with a repairing one has a value, too.
    """

    value: Value
    finding: str = ""


@dataclass(frozen=True)
class Rules:
    """The policies that a reading goes by, as plain values; `codes` are those added to the contract's."""

    inactive_parents: str = "referenced"
    invalid_email: str = "reject"
    letter_case: str = "title"
    date_formats: Sequence[str] = ()
    legacy_encoding: str = "utf-8"
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def told(cell: Cell) -> str | None:
    """Return a cell as a person reads it in a list of defects; a blob and what is not UTF-8 as hex."""
    if isinstance(cell, Text):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            return cell.hex()
    if isinstance(cell, bytes):
        return cell.hex()
    if isinstance(cell, float):
        return _text_of_real(cell)
    return None if cell is None else str(cell)


def as_json(cell: Cell) -> object:
    """Return a cell as the list of defects keeps it within a source row (contract section 6)."""
    if isinstance(cell, Text):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            return {"text": cell.hex()}
    if isinstance(cell, bytes):
        return {"blob": cell.hex()}
    if isinstance(cell, float) and cell in (float("inf"), float("-inf")):
        return {"real": str(cell)}
    return cell


def _text_of_real(real: float) -> str:
    """Return what SQLite's CAST gives: 15 digits, and always a fraction."""
    if real in (float("inf"), float("-inf")):
        return "Inf" if real > 0 else "-Inf"
    number, letter, power = f"{real:.15g}".partition("e")
    return f"{number if '.' in number else number + '.0'}{letter}{power}"


def _decoded(raw: Text, rules: Rules) -> str | None:
    """Return a TEXT cell's text; None where neither UTF-8 nor the bank's code page gives one."""
    for encoding in ("utf-8", rules.legacy_encoding):
        try:
            text = raw.decode(encoding)
            text.encode()
        except UnicodeError:
            continue
        return text
    return None


def month_of(cell: Cell) -> str:
    """Return the batch of a row, which is read off its date as it stands (contract section 3)."""
    found = _MONTH.match(cell) if isinstance(cell, Text) else None
    return found[0].decode() if found else UNDATED


def entity_key(cell: Cell, rules: Rules) -> Reading:
    """Read the key of a product, customer or account as a number."""
    if cell is None:
        return Reading(None, "MISSING_KEY")
    number: int | None = None
    if isinstance(cell, Text):
        text = _decoded(cell, rules)
        digits = "?" if text is None else text.strip(BLANKS)
        if not digits:
            return Reading(None, "MISSING_KEY")
        if re.fullmatch("[0-9]+", digits):
            digits = digits.lstrip("0") or "0"
            number = int(digits) if len(digits) < 20 else None
    elif isinstance(cell, float):
        number = int(cell) if cell.is_integer() and cell <= LARGEST_REAL_KEY else None
    elif isinstance(cell, int):
        number = cell
    is_key = number is not None and 0 <= number <= LARGEST_KEY
    return Reading(number) if is_key else Reading(None, "INVALID_KEY")


def transaction_key(cell: Cell, rules: Rules) -> Reading:
    """Read the key of a transaction as its text: a number without leading zeros, or other text."""
    if isinstance(cell, Text):
        key = (_decoded(cell, rules) or "").strip(BLANKS)
        if key and not re.fullmatch("[0-9]+", key):
            return Reading(key) if len(key) <= LONGEST_KEY and "\0" not in key else Reading(None, "INVALID_KEY")
    number, finding = entity_key(cell, rules)
    return Reading(None, finding) if finding else Reading(str(number))


def _number(cell: Cell, rules: Rules, decimals: int, whole: int) -> Reading:
    """Read a number of at most so many decimals, less than 10 to the power of `whole`, as an integer of the last."""
    if isinstance(cell, Text):
        text = _decoded(cell, rules)
        if text is None:
            return Reading(None, "INVALID_NUMBER")
        text = text.strip(BLANKS)
    elif isinstance(cell, float):
        text = f"{cell:.15g}"
    elif isinstance(cell, int):
        text = str(cell)
    else:
        text = "" if cell is None else "a blob"
    if not text:
        return Reading(None, "MISSING_VALUE")
    found = _NUMBER.fullmatch(text)
    if found is None:
        return Reading(None, "INVALID_NUMBER")
    sign, before, after, power = found.groups(default="")
    significant = (before + after).strip("0")
    if not significant:
        return Reading(0)
    exponent = _exponent(power)
    lowest = exponent - len(after) + len(before + after) - len((before + after).rstrip("0"))
    if lowest < -decimals:
        return Reading(None, "SUB_CENT")
    if lowest + len(significant) > whole:
        return Reading(None, "OUT_OF_RANGE")
    units = int(significant) * 10 ** (lowest + decimals)
    return Reading(-units if sign == "-" else units)


def _exponent(power: str) -> int:
    size = power.lstrip("+-").lstrip("0") or "0"
    number = int(size) if len(size) < 18 else _PAST_ALL_DIGITS
    return -number if power.startswith("-") else number


def money(cell: Cell, rules: Rules) -> Reading:
    """Read an amount of money in cents."""
    return _number(cell, rules, decimals=2, whole=13)


def fee(cell: Cell, rules: Rules) -> Reading:
    """Read an amount of money that is never negative, in cents."""
    return _not_below_zero(money(cell, rules))


def rate(cell: Cell, rules: Rules) -> Reading:
    """Read a rate of 0 to 100 percent in millionths of a percent."""
    reading = _not_below_zero(_number(cell, rules, decimals=6, whole=3))
    too_large = isinstance(reading.value, int) and reading.value > LARGEST_RATE
    return Reading(None, "OUT_OF_RANGE") if too_large else reading


def _not_below_zero(reading: Reading) -> Reading:
    is_below = isinstance(reading.value, int) and reading.value < 0
    return Reading(None, "OUT_OF_RANGE") if is_below else reading


def code(cell: Cell, known: Mapping[str, str], rules: Rules) -> Reading:
    """Read a code as its target value."""
    text: str | None = None
    if isinstance(cell, Text):
        text = _decoded(cell, rules)
    elif isinstance(cell, int):
        text = str(cell)
    elif isinstance(cell, float):
        text = str(int(cell)) if cell.is_integer() else None
    elif cell is None:
        text = ""
    if text is not None and not text.strip(BLANKS):
        return Reading(None, "MISSING_VALUE")
    value = None if text is None else known.get(text.strip(BLANKS).upper())
    return Reading(None, "UNKNOWN_CODE") if value is None else Reading(value)


def text(cell: Cell, rules: Rules) -> Reading:
    """Read a trimmed text that may be missing."""
    reading = _text(cell, rules)
    return Reading(reading.value.strip(BLANKS) or None) if isinstance(reading.value, str) else reading


def _text(cell: Cell, rules: Rules) -> Reading:
    if cell is None:
        return Reading(None)
    if isinstance(cell, Text):
        found = _decoded(cell, rules)
        if found is None:
            return Reading(None, "INVALID_ENCODING")
    elif isinstance(cell, bytes):
        return Reading(None, "INVALID_TEXT")
    else:
        found = _text_of_real(cell) if isinstance(cell, float) else str(cell)
    return Reading(None, "NUL_CHARACTER") if "\0" in found else Reading(found)


def name(cell: Cell, rules: Rules) -> Reading:
    """Read a name that must be there, in the letter case of the policy."""
    reading = text(cell, rules)
    if not isinstance(reading.value, str):
        return reading if reading.finding else Reading(None, "MISSING_VALUE")
    return Reading(in_title_case(reading.value)) if rules.letter_case == "title" else reading


def in_title_case(name: str) -> str:
    """Return a name of one letter case alone title-cased by word (contract section 5, letter case)."""
    if not (name.isupper() or name.islower()):
        return name
    lower = name.lower()
    if len(lower) != len(name):
        lower = "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in name)
    signs = list(name)
    for word in _WORD.finditer(name):
        place, begins, letters = word.start(), True, 0
        for piece in _APOSTROPHE.split(word[0]):
            if _APOSTROPHE.fullmatch(piece):
                begins = letters == 1
                letters = 0 if begins else letters
            for at, sign in enumerate(piece, place):
                if sign.isalnum():
                    signs[at] = _first(sign) if begins else _further(sign, lower[at])
                    begins, letters = False, letters + 1 if sign.isalpha() else 2
            place += len(piece)
    return "".join(signs)


def _first(letter: str) -> str:
    """Return the letter as a word begins with it; itself where the change could not be undone."""
    raised = letter.title()
    return raised if letter in (raised.lower(), raised.upper()) and len(raised) == 1 else letter


def _further(letter: str, lowered: str) -> str:
    """Return the letter as it stands within a word; itself where another letter has the same lower case."""
    is_another = len(lowered.upper()) == 1 and lowered.upper() != letter
    return letter if is_another else lowered


def email(cell: Cell, rules: Rules) -> Reading:
    """Read an e-mail address; under its policy an invalid one is repaired, by having none."""
    reading = text(cell, rules)
    if not isinstance(reading.value, str):
        return reading
    address = reading.value.lower()
    barred = any(sign.isspace() or unicodedata.category(sign) in ("Cc", "Cf") for sign in address)
    if barred or not re.fullmatch("[^@]+@[^@]+", address):
        return Reading(None, "INVALID_EMAIL")
    return Reading(address)


def description(cell: Cell, rules: Rules) -> Reading:
    """Read a description, which is not trimmed; a missing one is ''."""
    reading = _text(cell, rules)
    if not isinstance(reading.value, str):
        return reading if reading.finding else Reading("")
    return Reading(reading.value[:MOST_SIGNS], "TRUNCATED" if len(reading.value) > MOST_SIGNS else "")


def moment(cell: Cell, rules: Rules) -> Reading:
    """Read a date-time; one that is missing is MISSING_VALUE."""
    told_as = _date_text(cell, rules)
    if told_as == "":
        return Reading(None, "MISSING_VALUE")
    reading = _of_our_time(_readings(told_as, rules))
    return Reading(None, "INVALID_DATE") if reading is None else Reading(reading)


def day(cell: Cell, rules: Rules) -> Reading:
    """Read a date that may be missing."""
    told_as = _date_text(cell, rules)
    if told_as == "":
        return Reading(None)
    reading = _of_our_time(_readings(told_as, rules))
    if reading is None:
        return Reading(None, "INVALID_DATE")
    return Reading(reading.date(), "" if reading.time() == time() else "TRUNCATED")


def closing_day(cell: Cell, rules: Rules) -> Reading:
    """Read a date that may be missing, and that some sentinel may stand for as missing."""
    reading = day(cell, rules)
    if reading.finding != "INVALID_DATE":
        return reading
    told_as = _date_text(cell, rules)
    named = {found.date().isoformat() for found in _readings(told_as, rules)}
    iso = _DATE.fullmatch(told_as)
    if iso is not None:
        named.add("-".join(iso.groups()[:3]))
    return Reading(None, "SENTINEL_DATE") if named.intersection(_SENTINELS) else reading


def _date_text(cell: Cell, rules: Rules) -> str:
    """Return the trimmed text that may be a date, '' for a missing one, and '?' for what can be none."""
    if cell is None:
        return ""
    found = _decoded(cell, rules) if isinstance(cell, Text) else None
    return "?" if found is None or "\0" in found else found.strip(BLANKS)


def _of_our_time(readings: Iterator[datetime]) -> datetime | None:
    return next((reading for reading in readings if FIRST_YEAR <= reading.year <= LAST_YEAR), None)


def _readings(told_as: str, rules: Rules) -> Iterator[datetime]:
    found = _DATE.fullmatch(told_as)
    if found is not None:
        year, month, day_, hour, minute, second, fraction = found.groups(default="0")
        try:
            whole = date(int(year), int(month), int(day_))
        except ValueError:
            pass
        else:
            clock = time(int(hour), int(minute), int(second), int(fraction.ljust(6, "0")))
            yield datetime.combine(whole, clock)
    for one in rules.date_formats:
        try:
            reading = datetime.strptime(told_as, one)
        except ValueError:
            continue
        if reading.tzinfo is None:
            yield reading
