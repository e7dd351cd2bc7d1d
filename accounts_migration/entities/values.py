"""What one legacy value means: the reference reading of every kind of value (contract sections 4 and 5).

Here: one small function per kind, on ONE legacy value of any storage class. They never raise: each
returns `Parsed`, the value, or the reason code why there is none, or the reason code of a repair. Also
here: the list of all reason codes. Not here: speed (`accounts_migration.entities.columns` reads whole
columns and asks here wherever it is not certain), and rules about whole rows or several of them (the
module of each entity).
"""

import datetime
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar, get_args

from accounts_migration.legacy_values import LegacyValue, UndecodableText, real_as_text

Reason = Literal[
    # rejecting
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
    # excluding
    "EXACT_DUPLICATE",
    "INACTIVE",
    "PARENT_EXCLUDED",
    # repairing (INVALID_EMAIL too, under its policy)
    "TRUNCATED",
    "DEFAULTED",
    "SENTINEL_DATE",
    "KEPT_INACTIVE",
]

REASONS: tuple[str, ...] = ("", *get_args(Reason))
"""Every reason code of the contract; its place is its int8 number in `ParsedColumn`, and 0 is 'no reason'."""

UTF_8 = "utf-8"
BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000\u200b\ufeff"
)
"""What trimming strips: all that `str.strip()` does, and U+200B and U+FEFF."""

LARGEST_KEY = 2**63 - 1
LARGEST_REAL_KEY = 2**53
LONGEST_TRANSACTION_KEY = 64
COUNT_DIGITS = 18
LONGEST_REFERENCE = 200
FIRST_YEAR, LAST_YEAR = 1900, 2100
SENTINEL_DATES = frozenset({"9999-12-31", "0001-01-01", "0000-00-00"})

MONEY_DECIMALS, MONEY_WHOLE_DIGITS = 2, 13
RATE_DECIMALS, RATE_WHOLE_DIGITS = 6, 3
LARGEST_RATE = 100 * 10**RATE_DECIMALS

_NUMBER = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?")
_ISO = re.compile(
    r"(?P<date>([0-9]{4})-([0-9]{2})-([0-9]{2}))"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?)?"
)
_BOUNDLESS_EXPONENT = 10**18
_WORD_BREAKS = frozenset("-\u2010\u2011.")
_APOSTROPHES = frozenset("'\u2019")

Value = TypeVar("Value")


class Parsed(NamedTuple, Generic[Value]):
    """What a legacy value became.

    `fault` is the reason code that rejects it (`value` is then None), `repair` the reason code under which a
    changed value is loaded and recorded. None without a fault is a value that may be missing and is.
    """

    value: Value | None
    fault: Reason | None = None
    repair: Reason | None = None


def decoded(value: LegacyValue, encoding: str) -> LegacyValue:
    """Return TEXT that is not UTF-8 decoded by the legacy code page; else the value as given."""
    if not isinstance(value, UndecodableText):
        return value
    try:
        text = value.raw.decode(encoding)
        text.encode(UTF_8)  # some code pages yield lone surrogates, which no target can hold
    except UnicodeError:
        return value
    return text


def trimmed(text: str) -> str:
    """Return the text without the blanks of the contract at both ends, in whatever mixture."""
    return text.strip(BLANKS)


def entity_key(value: LegacyValue, encoding: str = UTF_8) -> Parsed[int]:
    """Read the key of a product, customer or account: 0 to 2^63 - 1.

    Faults: MISSING_KEY, INVALID_KEY.
    """
    value = decoded(value, encoding)
    if isinstance(value, str):
        text = trimmed(value)
        if not text:
            return Parsed(None, "MISSING_KEY")
        number = _digits_as_key(text) if _is_digits(text) else None
    elif value is None:
        return Parsed(None, "MISSING_KEY")
    else:
        number = _number_as_key(value)
    return Parsed(None, "INVALID_KEY") if number is None else Parsed(number)


def transaction_key(value: LegacyValue, encoding: str = UTF_8) -> Parsed[str]:
    """Read the key of a transaction as its text: a number without leading zeros, or other text as it stands.

    Faults: MISSING_KEY, INVALID_KEY (also for more than 64 code points, and for U+0000).
    """
    value = decoded(value, encoding)
    if isinstance(value, str):
        text = trimmed(value)
        if text and not _is_digits(text):
            usable = len(text) <= LONGEST_TRANSACTION_KEY and "\0" not in text
            return Parsed(text) if usable else Parsed(None, "INVALID_KEY")
    key = entity_key(value)
    return Parsed(None, key.fault) if key.value is None else Parsed(str(key.value))


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _digits_as_key(text: str) -> int | None:
    significant = text.lstrip("0") or "0"
    if len(significant) > len(str(LARGEST_KEY)):
        return None  # before int(), which refuses very long texts
    number = int(significant)
    return number if number <= LARGEST_KEY else None


def _number_as_key(value: int | float | bytes | UndecodableText) -> int | None:
    if isinstance(value, float):
        return int(value) if value.is_integer() and 0 <= value <= LARGEST_REAL_KEY else None
    return value if isinstance(value, int) and 0 <= value <= LARGEST_KEY else None


def money(value: LegacyValue, encoding: str = UTF_8) -> Parsed[int]:
    """Read an amount of money as integer CENTS, exactly; a REAL at 15 significant digits.

    Faults: MISSING_VALUE, INVALID_NUMBER, SUB_CENT (more than 2 decimals), OUT_OF_RANGE (10^13 or more).
    """
    return _decimal(decoded(value, encoding), MONEY_DECIMALS, MONEY_WHOLE_DIGITS)


def rate(value: LegacyValue, encoding: str = UTF_8) -> Parsed[int]:
    """Read a rate in percent as integer MILLIONTHS OF A PERCENT, exactly.

    Faults: those of `money`; SUB_CENT beyond 6 decimals, OUT_OF_RANGE outside 0 to 100 percent.
    """
    parsed = _decimal(decoded(value, encoding), RATE_DECIMALS, RATE_WHOLE_DIGITS)
    if parsed.value is not None and not 0 <= parsed.value <= LARGEST_RATE:
        return Parsed(None, "OUT_OF_RANGE")
    return parsed


def whole_number(value: LegacyValue, encoding: str = UTF_8) -> Parsed[int]:
    """Read a count, exactly.

    Faults: those of `money`; SUB_CENT where it has decimals, OUT_OF_RANGE from 10^18 on.
    """
    return _decimal(decoded(value, encoding), 0, COUNT_DIGITS)


def _decimal(value: LegacyValue, decimals: int, whole_digits: int) -> Parsed[int]:
    """Read a number as an integer of its last decimal; SUB_CENT is told before OUT_OF_RANGE."""
    if isinstance(value, float):
        text = f"{value:.15g}"
    elif isinstance(value, int | str):
        text = trimmed(str(value))
    elif value is None:
        return Parsed(None, "MISSING_VALUE")
    else:
        return Parsed(None, "INVALID_NUMBER")
    if not text:
        return Parsed(None, "MISSING_VALUE")
    match = _NUMBER.fullmatch(text)
    if match is None:
        return Parsed(None, "INVALID_NUMBER")
    digits, exponent = _digits_and_exponent(match)
    if not digits:
        return Parsed(0)
    if exponent < -decimals:
        return Parsed(None, "SUB_CENT")
    if len(digits) + exponent > whole_digits:
        return Parsed(None, "OUT_OF_RANGE")
    scaled = int(digits) * 10 ** (exponent + decimals)
    return Parsed(-scaled if match[1] == "-" else scaled)


def _digits_and_exponent(match: re.Match[str]) -> tuple[str, int]:
    """Return a number as digits without zeros at either end ('' is zero) and its power of ten."""
    _, whole, decimals, exponent_sign, exponent_digits = match.groups(default="")
    significant = exponent_digits.lstrip("0") or "0"
    exponent = int(significant) if len(significant) <= 18 else _BOUNDLESS_EXPONENT
    if exponent_sign == "-":
        exponent = -exponent
    digits = whole + decimals
    without_zeros = digits.rstrip("0")
    exponent += len(digits) - len(without_zeros) - len(decimals)
    return without_zeros.lstrip("0"), exponent


def code(value: LegacyValue, codes: Mapping[str, str], encoding: str = UTF_8) -> Parsed[str]:
    """Look up a code, trimmed and upper-cased, in its map; the keys of `codes` are upper case.

    Faults: MISSING_VALUE, UNKNOWN_CODE.
    """
    value = decoded(value, encoding)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | str):
        text = trimmed(str(value))
        if not text:
            return Parsed(None, "MISSING_VALUE")
        meaning = codes.get(text.upper()) if "\0" not in text else None
        return Parsed(None, "UNKNOWN_CODE") if meaning is None else Parsed(meaning)
    return Parsed(None, "MISSING_VALUE" if value is None else "UNKNOWN_CODE")


def date_time(value: LegacyValue, formats: Sequence[str] = (), encoding: str = UTF_8) -> Parsed[datetime.datetime]:
    """Read a date-time without zone, years 1900 to 2100: ISO 8601, then each strptime format in order.

    The first reading that gives an acceptable date-time counts. A format whose reading has a zone gives none.
    Faults: MISSING_VALUE, INVALID_DATE.
    """
    text = _date_text(decoded(value, encoding))
    if text == "":
        return Parsed(None, "MISSING_VALUE")
    moment = _moment(text, formats) if text else None
    return Parsed(None, "INVALID_DATE") if moment is None else Parsed(moment)


def calendar_date(
    value: LegacyValue, formats: Sequence[str] = (), encoding: str = UTF_8, *, sentinels: bool = False
) -> Parsed[datetime.date]:
    """Read a date that may be missing (blank is None); a time of day is dropped (TRUNCATED unless midnight).

    With `sentinels` (a closing date) a sentinel date, with or without a time of day, is None (SENTINEL_DATE).
    Fault: INVALID_DATE.
    """
    text = _date_text(decoded(value, encoding))
    if text == "":
        return Parsed(None)
    moment = _moment(text, formats) if text else None
    if moment is not None:
        midnight = moment.time() == datetime.time()
        return Parsed(moment.date(), repair=None if midnight else "TRUNCATED")
    if sentinels and text and _is_sentinel(text, formats):
        return Parsed(None, repair="SENTINEL_DATE")
    return Parsed(None, "INVALID_DATE")


def closing_date(value: LegacyValue, formats: Sequence[str] = (), encoding: str = UTF_8) -> Parsed[datetime.date]:
    """Read a closing date: `calendar_date` with sentinels."""
    return calendar_date(value, formats, encoding, sentinels=True)


def _date_text(value: LegacyValue) -> str | None:
    """Return the trimmed text that may be a date; '' where it is missing, None where it can be no date."""
    if value is None:
        return ""
    if isinstance(value, str) and "\0" not in value:
        return trimmed(value)
    return None


def _moment(text: str, formats: Sequence[str]) -> datetime.datetime | None:
    readings = _readings(text, formats)
    return next((reading for reading in readings if FIRST_YEAR <= reading.year <= LAST_YEAR), None)


def _readings(text: str, formats: Sequence[str]) -> Iterator[datetime.datetime]:
    """Yield what the text says as ISO 8601 and by each format, of any year, without zone."""
    match = _ISO.fullmatch(text)
    if match is not None:
        reading = _iso_reading(match)
        if reading is not None:
            yield reading
    for date_format in formats:
        reading = _format_reading(text, date_format)
        if reading is not None:
            yield reading


def _iso_reading(match: re.Match[str]) -> datetime.datetime | None:
    try:
        date = datetime.date(int(match[2]), int(match[3]), int(match[4]))
        return datetime.datetime.combine(date, _iso_time(match))
    except ValueError:
        return None


def _iso_time(match: re.Match[str]) -> datetime.time:
    """Return the time of day, midnight where there is none; raises ValueError where no clock has it."""
    hour, minute, second = (int(match[group] or 0) for group in (5, 6, 7))
    return datetime.time(hour, minute, second, int((match[8] or "").ljust(6, "0")))


def _format_reading(text: str, date_format: str) -> datetime.datetime | None:
    if "%Z" in date_format.replace("%%", ""):
        return None  # strptime would read the zone's name and forget it
    try:
        reading = datetime.datetime.strptime(text, date_format)
    except ValueError:
        return None
    return reading if reading.tzinfo is None else None


def _is_sentinel(text: str, formats: Sequence[str]) -> bool:
    match = _ISO.fullmatch(text)
    if match is not None and match["date"] in SENTINEL_DATES:
        try:
            _iso_time(match)  # 0000-00-00 is no date, but its time of day must be one
        except ValueError:
            return False
        return True
    return any(reading.date().isoformat() in SENTINEL_DATES for reading in _readings(text, formats))


def name(value: LegacyValue, encoding: str = UTF_8) -> Parsed[str]:
    """Read a name or another trimmed text (phone); missing or blank is None, numbers are their text.

    Faults: INVALID_TEXT (blob), INVALID_ENCODING, NUL_CHARACTER.
    """
    written = text(value, encoding)
    return written if written.value is None else Parsed(trimmed(written.value) or None)


def description(value: LegacyValue, encoding: str = UTF_8) -> Parsed[str]:
    """Read a transaction's description, untrimmed; NULL is '', only 200 code points stay (TRUNCATED).

    Faults: those of `name`.
    """
    written = text(value, encoding)
    if written.value is None:
        return written if written.fault else Parsed("")
    if len(written.value) > LONGEST_REFERENCE:
        return Parsed(written.value[:LONGEST_REFERENCE], repair="TRUNCATED")
    return written


def email(value: LegacyValue, encoding: str = UTF_8) -> Parsed[str]:
    """Read an e-mail address, lower-cased (contract section 5); missing or blank is None.

    Faults: INVALID_EMAIL, and those of `name`.
    """
    written = name(value, encoding)
    return written if written.value is None else _address(written.value.lower())


def written_email(value: LegacyValue, encoding: str = UTF_8) -> Parsed[str]:
    """Read an e-mail address as it was written, neither trimmed nor lower-cased; missing or blank is None.

    Faults: INVALID_EMAIL, and those of `text`.
    """
    written = text(value, encoding)
    if written.value is None or not trimmed(written.value):
        return written._replace(value=None)
    return _address(written.value)


def _address(address: str) -> Parsed[str]:
    before, _, after = address.partition("@")
    if not before or not after or "@" in after or any(map(_is_barred_from_email, address)):
        return Parsed(None, "INVALID_EMAIL")
    return Parsed(address)


def identifier(
    value: LegacyValue, prefix: str, shortest: int, longest: int | None, encoding: str = UTF_8
) -> Parsed[str]:
    """Read an id of the Account Processing System as it was written: TEXT of a prefix and at least some characters.

    Faults: MISSING_KEY, INVALID_KEY (another prefix or length, which counts code points, or U+0000).
    """
    value = decoded(value, encoding)
    if value is None or (isinstance(value, str) and not trimmed(value)):
        return Parsed(None, "MISSING_KEY")
    if not isinstance(value, str) or not value.startswith(prefix) or "\0" in value:
        return Parsed(None, "INVALID_KEY")
    fits = shortest <= len(value) and (longest is None or len(value) <= longest)
    return Parsed(value) if fits else Parsed(None, "INVALID_KEY")


def _is_barred_from_email(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def text(value: LegacyValue, encoding: str = UTF_8) -> Parsed[str]:
    """Read a text as it was written; NULL is None, numbers are their text.

    Faults: INVALID_TEXT (blob), INVALID_ENCODING, NUL_CHARACTER.
    """
    value = decoded(value, encoding)
    if value is None:
        return Parsed(None)
    if isinstance(value, bytes):
        return Parsed(None, "INVALID_TEXT")
    if isinstance(value, UndecodableText):
        return Parsed(None, "INVALID_ENCODING")
    # SQLite writes the negative zero as 0.0, and so does a sum with zero
    written = real_as_text(value + 0.0) if isinstance(value, float) else str(value)
    return Parsed(None, "NUL_CHARACTER") if "\0" in written else Parsed(written)


def title_case(text: str) -> str:
    """Return a text whose letters are all upper or all lower case title-cased by word (contract section 5).

    A blank, a hyphen, a full stop, and an apostrophe after a single letter begin a word. A digit at the
    beginning of a word stands for its first letter (`2nd`), brackets and quotation marks do not. A
    mixed-case text is kept, and so is a letter whose change of case could not be undone (`ß` at the
    beginning of a word, `İ` within one).
    """
    if text.isupper():
        # of the whole text at once where possible: a sigma's lower case depends on its place in the word
        lowered = text.lower()
        lower = list(lowered) if len(lowered) == len(text) else [letter.lower() for letter in text]
    elif text.islower():
        lower = list(text)
    else:
        return text
    cased = []
    begins = True
    letters = 0
    for place, character in enumerate(text):
        if character in _APOSTROPHES:
            begins = letters == 1
            letters = 0 if begins else letters
        elif character in _WORD_BREAKS or character.isspace():
            begins, letters = True, 0
        elif character.isalnum():
            cased.append(_raised(character) if begins else _lowered(character, lower[place]))
            begins = False
            letters = letters + 1 if character.isalpha() else 2  # a digit is no one-letter prefix
            continue
        cased.append(character)
    return "".join(cased)


def _raised(letter: str) -> str:
    raised = letter.title()
    return raised if len(raised) == 1 and letter in (raised.lower(), raised.upper()) else letter


def _lowered(letter: str, lowered: str) -> str:
    """Return the lower case, or the letter itself where another has the same one (`K` and Kelvin's sign)."""
    raised = lowered.upper()
    return lowered if len(lowered) == 1 and (raised == letter or len(raised) != 1) else letter
