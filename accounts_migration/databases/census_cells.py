"""What one legacy cell is by contract section 4, in SQL of its own, and in Python where SQL cannot decide.

Here: for each kind of value the SQL expression of its outcome (a small number), and the functions that this SQL calls
for the cells its fast forms do not settle. Not here: which column is of which kind, and the counting
(`accounts_migration.databases.legacy_census`). Nothing of `accounts_migration.entities` is used, on purpose: this is
the second account of the rules, against which the first is held.
"""

import re
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

REASONS = (
    "MISSING_KEY", "INVALID_KEY", "MISSING_VALUE", "INVALID_NUMBER", "SUB_CENT", "OUT_OF_RANGE", "UNKNOWN_CODE",
    "INVALID_DATE", "INVALID_TEXT", "INVALID_ENCODING", "NUL_CHARACTER", "INVALID_EMAIL", "ZERO_AMOUNT",
    "SIGN_CONFLICT", "ORPHAN", "PARENT_REJECTED", "PARENT_EXCLUDED", "TRUNCATED", "DEFAULTED", "SENTINEL_DATE",
)  # fmt: skip
"""What a cell may be found to be; its outcome is its place here plus one, and 0 is a sound cell."""

(
    MISSING_KEY, INVALID_KEY, MISSING_VALUE, INVALID_NUMBER, SUB_CENT, OUT_OF_RANGE, UNKNOWN_CODE, INVALID_DATE,
    INVALID_TEXT, INVALID_ENCODING, NUL_CHARACTER, INVALID_EMAIL, ZERO_AMOUNT, SIGN_CONFLICT, ORPHAN, PARENT_REJECTED,
    PARENT_EXCLUDED, TRUNCATED, DEFAULTED, SENTINEL_DATE, NEGATIVE, ZERO,
) = range(1, len(REASONS) + 3)  # fmt: skip
"""The outcomes; NEGATIVE and ZERO are sound amounts, which some columns forbid."""

NO_KEY, BAD_KEY = -2, -1
"""What stands for a key that is missing and for one that is malformed; keys themselves are 0 or more, or text."""

FIRST_CODE = 100
"""What stands for a code is the place of its target value plus this; anything below is an outcome."""

_BLANKS = "".join(map(chr, [*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200C)])) + (
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_NUMBER = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,6}))?)?)?"
)
_SENTINELS = ("9999-12-31", "0001-01-01", "0000-00-00")
_LARGEST_KEY = 9_223_372_036_854_775_807
_PAST_ALL_DIGITS = 10**18


@dataclass(frozen=True)
class Rules:
    """The policies that a verdict goes by, as plain values; `codes` are those added to the contract's."""

    inactive_parents: str = "referenced"
    invalid_email: str = "reject"
    date_formats: Sequence[str] = ()
    legacy_encoding: str = "utf-8"
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


VALUES: Mapping[str, tuple[str, ...]] = {
    "product_type": ("CHECKING", "CURRENT"),
    "account_status": ("ACTIVE", "CLOSED"),
    "transaction_type": ("CREDIT", "DEBIT", "FEE", "INTEREST"),
    "product_active": ("active",),
    "customer_active": ("active",),
}
"""Kind of code -> its target values (contract section 5)."""

_CODES: Mapping[str, Mapping[str, str]] = {
    "product_type": {"CHK": "CHECKING", "CUR": "CURRENT"},
    "account_status": {"A": "ACTIVE", "C": "CLOSED"},
    "transaction_type": {"CR": "CREDIT", "DR": "DEBIT", "FE": "FEE", "IN": "INTEREST"},
    "product_active": {"1": "active", "Y": "active", "T": "active", "TRUE": "active"},
    "customer_active": {"ACTIVE": "active"},
}


def _code_outcomes(kind: str, rules: Rules) -> dict[str, int]:
    added = {code: value for code, value in rules.codes.get(kind, {}).items() if code not in _CODES[kind]}
    return {code: FIRST_CODE + VALUES[kind].index(value) for code, value in {**added, **_CODES[kind]}.items()}


# -- the outcome of a cell, in SQL; `cell` is the SQL of the cell, without affinity and with binary collation

_WITHOUT_NUL = "instr({cell}, char(0)) = 0"
_ASCII = "{cell} NOT GLOB '*[^\x01-\x7f]*' AND " + _WITHOUT_NUL


def entity_key(cell: str) -> str:
    """Return the SQL of a key: the number itself, NO_KEY or BAD_KEY."""
    return _key(cell, f"WHEN {_is_short_number(cell)} THEN CAST({cell} AS INTEGER)", "entity_key_of_text")


def transaction_key(cell: str) -> str:
    """Return the SQL of a transaction's key in its one form: a number, a text, NO_KEY or BAD_KEY."""
    plain = (
        f"WHEN {_is_short_number(cell)} THEN CAST({cell} AS INTEGER)"
        f" WHEN length({cell}) BETWEEN 1 AND 64 AND {cell} NOT GLOB '*[^!-~]*' AND {cell} GLOB '*[^0-9]*'"
        f" AND {_WITHOUT_NUL.format(cell=cell)} THEN {cell}"
    )
    return _key(cell, plain, "transaction_key_of_text")


def _is_short_number(cell: str) -> str:
    digits = f"length({cell}) BETWEEN 1 AND 18 AND {cell} NOT GLOB '*[^0-9]*'"
    return f"{digits} AND {_WITHOUT_NUL.format(cell=cell)}"


def _key(cell: str, texts: str, otherwise: str) -> str:
    whole = f"{cell} >= 0 AND {cell} <= 9007199254740992 AND CAST({cell} AS INTEGER) = {cell}"
    return (
        f"CASE typeof({cell}) WHEN 'integer' THEN max({cell}, {BAD_KEY}) WHEN 'null' THEN {NO_KEY}"
        f" WHEN 'text' THEN CASE {texts} ELSE {otherwise}(CAST({cell} AS BLOB)) END"
        f" WHEN 'real' THEN iif({whole}, CAST({cell} AS INTEGER), {BAD_KEY}) ELSE {BAD_KEY} END"
    )


def key_outcome(key: str) -> str:
    """Return the SQL of the outcome of a key that `entity_key` or `transaction_key` gave."""
    return f"CASE {key} WHEN {NO_KEY} THEN {MISSING_KEY} WHEN {BAD_KEY} THEN {INVALID_KEY} ELSE 0 END"


def money(cell: str) -> str:
    """Return the SQL of the outcome of an amount of money: 0, NEGATIVE and ZERO are sound."""
    number = f"CAST({cell} AS NUMERIC)"
    # the comparison converts the text only where it is a number through and through
    plain = (
        f"length({cell}) <= 15 AND {cell} GLOB '[-0-9]*[0-9]' AND {cell} NOT GLOB '*[^-.0-9]*'"
        f" AND {cell} NOT GLOB '?*-*' AND {cell} NOT GLOB '-.*' AND {number} = {cell} AND {_has_cents(number)}"
    )
    single = f"length({cell}) = 1 AND {cell} GLOB '[1-9]' AND {_WITHOUT_NUL.format(cell=cell)}"
    return (
        f"CASE typeof({cell})"
        f" WHEN 'real' THEN CASE WHEN {_has_cents(cell)} THEN {_sign(cell)} ELSE money_of_real({cell}) END"
        f" WHEN 'integer' THEN iif({cell} < 10000000000000 AND {cell} > -10000000000000, {_sign(cell)}, {OUT_OF_RANGE})"
        f" WHEN 'text' THEN CASE WHEN {single} THEN 0 WHEN {plain} THEN {_sign(number)}"
        f" ELSE money_of_text(CAST({cell} AS BLOB)) END"
        f" WHEN 'null' THEN {MISSING_VALUE} ELSE {INVALID_NUMBER} END"
    )


def _has_cents(number: str) -> str:
    rounded = f"CAST({number} * 100 + iif({number} < 0, -0.5, 0.5) AS INTEGER)"
    return f"{number} < 1e13 AND {number} > -1e13 AND {rounded} / 100.0 = {number}"


def _sign(number: str) -> str:
    return f"CASE WHEN {number} > 0 THEN 0 WHEN {number} < 0 THEN {NEGATIVE} ELSE {ZERO} END"


def rate(cell: str) -> str:
    """Return the SQL of the outcome of a rate in percent."""
    return (
        f"CASE typeof({cell}) WHEN 'integer' THEN iif({cell} BETWEEN 0 AND 100, 0, {OUT_OF_RANGE})"
        f" WHEN 'real' THEN rate_of_real({cell}) WHEN 'text' THEN rate_of_text(CAST({cell} AS BLOB))"
        f" WHEN 'null' THEN {MISSING_VALUE} ELSE {INVALID_NUMBER} END"
    )


def code(cell: str, kind: str, rules: Rules) -> str:
    """Return the SQL of a code: FIRST_CODE plus its target value's place in VALUES, or the outcome."""
    # SQLite raises ASCII letters alone, so what is found here is found by Python, too
    known = " ".join(
        f"WHEN '{code}' THEN {outcome}"
        for code, outcome in _code_outcomes(kind, rules).items()
        if code.isascii() and code.isalnum()
    )
    return (
        f"CASE {cell} {known} ELSE CASE WHEN {cell} >= x'' THEN {UNKNOWN_CODE} ELSE CASE upper(trim({cell})) {known}"
        f" ELSE CASE typeof({cell}) WHEN 'null' THEN {MISSING_VALUE} WHEN 'real' THEN {kind}_of_real({cell})"
        f" ELSE {kind}_of_text(CAST(CAST({cell} AS TEXT) AS BLOB)) END END END END"
    )


def name(cell: str, missing: int = 0) -> str:
    """Return the SQL of the outcome of a trimmed text; `missing` is the outcome of a blank one."""
    plain = f"{cell} < x'' AND {_ASCII.format(cell=cell)} AND {cell} GLOB '*[!-~]*'"
    return (
        f"CASE WHEN {plain} THEN 0 ELSE CASE typeof({cell}) WHEN 'null' THEN {missing}"
        f" WHEN 'blob' THEN {INVALID_TEXT} ELSE name_of_text(CAST({cell} AS BLOB), {missing}) END END"
    )


def description(cell: str) -> str:
    """Return the SQL of the outcome of a description, which is not trimmed."""
    return (
        f"CASE WHEN {cell} < x'' AND length({cell}) <= 200 AND {_ASCII.format(cell=cell)} THEN 0"
        f" ELSE CASE typeof({cell}) WHEN 'null' THEN 0 WHEN 'blob' THEN {INVALID_TEXT}"
        f" ELSE description_of_text(CAST({cell} AS BLOB)) END END"
    )


def email(cell: str) -> str:
    """Return the SQL of the outcome of an e-mail address."""
    plain = (
        f"{cell} NOT GLOB '*[^!-~]*' AND {cell} GLOB '?*@?*' AND {cell} NOT GLOB '*@*@*'"
        f" AND {_WITHOUT_NUL.format(cell=cell)}"
    )
    return (
        f"CASE typeof({cell}) WHEN 'null' THEN 0 WHEN 'blob' THEN {INVALID_TEXT}"
        f" WHEN 'text' THEN CASE WHEN {plain} THEN 0 ELSE email_of_text(CAST({cell} AS BLOB)) END"
        f" ELSE {INVALID_EMAIL} END"
    )


def moment(cell: str, missing: int) -> str:
    """Return the SQL of the outcome of a date-time; `missing` is the outcome of a blank one."""
    plain = f"{_is_of_our_time(cell)} AND ({_is_as_told('datetime', cell)} OR {_is_as_told('date', cell)})"
    return (
        f"CASE WHEN {plain} THEN 0 ELSE CASE typeof({cell}) WHEN 'null' THEN {missing}"
        f" WHEN 'text' THEN moment_of_text(CAST({cell} AS BLOB), {missing}) ELSE {INVALID_DATE} END END"
    )


def day(cell: str, *, sentinels: bool) -> str:
    """Return the SQL of the outcome of a date that may be missing; sound ones may be TRUNCATED or a SENTINEL_DATE."""
    midnight = f"{_is_as_told('datetime', cell)} AND {cell} GLOB '* 00:00:00'"
    return (
        f"CASE WHEN {_is_of_our_time(cell)} AND ({_is_as_told('date', cell)} OR {midnight}) THEN 0"
        f" ELSE CASE typeof({cell}) WHEN 'null' THEN 0"
        f" WHEN 'text' THEN day_of_text(CAST({cell} AS BLOB), {int(sentinels)}) ELSE {INVALID_DATE} END END"
    )


def _is_as_told(function: str, cell: str) -> str:
    # adding nothing carries the 30th of February into March: only a date of the calendar stays what it is
    return f"{function}({cell}, '+0 days') = {cell}"


def _is_of_our_time(cell: str) -> str:
    return f"{cell} >= '1900' AND {cell} < '2101'"


# -- what SQL cannot decide


def register(connection: sqlite3.Connection, rules: Rules) -> None:
    """Give a connection the functions that the SQL of this module calls."""
    # a cell's bytes are those of the file, which may be UTF-16
    encoding = connection.execute("PRAGMA encoding").fetchone()[0].decode().lower().replace("utf-16le", "utf-16-le")
    encoding = encoding.replace("utf-16be", "utf-16-be")

    def read(raw: bytes) -> str | None:
        return _decoded(raw, encoding, rules.legacy_encoding)

    def on_text(judge: Callable[..., int | str]) -> Callable[..., int | str]:
        return lambda raw, *more: judge(read(raw), *more)

    formats = rules.date_formats
    of_texts: dict[str, tuple[int, Callable[..., int | str]]] = {
        "entity_key_of_text": (1, _entity_key),
        "transaction_key_of_text": (1, _transaction_key),
        "money_of_text": (1, lambda text: _number(text, 2, 13)),
        "rate_of_text": (1, _rate),
        "name_of_text": (2, _name),
        "description_of_text": (1, _description),
        "email_of_text": (1, _email),
        "moment_of_text": (2, lambda text, missing: _moment(text, formats, missing)),
        "day_of_text": (2, lambda text, sentinels: _day(text, formats, bool(sentinels))),
    }
    for function, (arguments, judge) in of_texts.items():
        connection.create_function(function, arguments, on_text(judge), deterministic=True)
    connection.create_function("money_of_real", 1, lambda real: _number(f"{real:.15g}", 2, 13), deterministic=True)
    connection.create_function("rate_of_real", 1, lambda real: _rate(f"{real:.15g}"), deterministic=True)
    for kind in _CODES:
        known = _code_outcomes(kind, rules)
        connection.create_function(f"{kind}_of_text", 1, on_text(_code_in(known)), deterministic=True)
        connection.create_function(f"{kind}_of_real", 1, _real_code_in(known), deterministic=True)


def _decoded(raw: bytes, encoding: str, legacy: str) -> str | None:
    """Return a TEXT cell's text; None where neither UTF-8 nor the bank's code page gives one."""
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        pass
    try:
        text = raw.decode(legacy)
        text.encode("utf-8")
    except UnicodeError:
        return None
    return text


def _entity_key(text: str | None) -> int:
    digits = "x" if text is None else text.strip(_BLANKS)
    if not digits:
        return NO_KEY
    if not re.fullmatch("[0-9]+", digits):
        return BAD_KEY
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) < 20 and int(digits) <= _LARGEST_KEY else BAD_KEY


def _transaction_key(text: str | None) -> int | str:
    key = "" if text is None else text.strip(_BLANKS)
    if not key or re.fullmatch("[0-9]+", key):
        return _entity_key(text)
    return BAD_KEY if len(key) > 64 or "\0" in key else key


def _number(text: str | None, decimals: int, whole: int) -> int:
    """Judge a number of at most so many decimals, and less than 10 to the power of `whole`."""
    if text is None:
        return INVALID_NUMBER
    text = text.strip(_BLANKS)
    if not text:
        return MISSING_VALUE
    found = _NUMBER.fullmatch(text)
    if found is None:
        return INVALID_NUMBER
    sign, before, after, power = found.groups(default="")
    digits = before + after
    if not digits.strip("0"):
        return ZERO
    exponent = _exponent(power)
    lowest = exponent - len(after) + len(digits) - len(digits.rstrip("0"))
    highest = exponent + len(before) - (len(digits) - len(digits.lstrip("0")))
    if lowest < -decimals:
        return SUB_CENT
    if highest > whole:
        return OUT_OF_RANGE
    return NEGATIVE if sign == "-" else 0


def _exponent(power: str) -> int:
    size = power.lstrip("+-").lstrip("0") or "0"
    number = int(size) if len(size) < 18 else _PAST_ALL_DIGITS
    return -number if power.startswith("-") else number


def _rate(text: str | None) -> int:
    outcome = _number(text, 6, 3)
    if outcome == NEGATIVE:
        return OUT_OF_RANGE
    if outcome == 0 and text is not None and float(text.strip(_BLANKS)) > 100:
        return OUT_OF_RANGE  # at most 9 digits: exact enough
    return 0 if outcome == ZERO else outcome


def _code_in(known: Mapping[str, int]) -> Callable[[str | None], int]:
    def judge(text: str | None) -> int:
        code = "?\0" if text is None else text.strip(_BLANKS)
        if not code:
            return MISSING_VALUE
        return UNKNOWN_CODE if "\0" in code else known.get(code.upper(), UNKNOWN_CODE)

    return judge


def _real_code_in(known: Mapping[str, int]) -> Callable[[float], int]:
    return lambda real: known.get(str(int(real)), UNKNOWN_CODE) if real.is_integer() else UNKNOWN_CODE


def _name(text: str | None, missing: int) -> int:
    if text is None:
        return INVALID_ENCODING
    if "\0" in text:
        return NUL_CHARACTER
    return 0 if text.strip(_BLANKS) else missing


def _description(text: str | None) -> int:
    if text is None or "\0" in text:
        return _name(text, 0)
    return TRUNCATED if len(text) > 200 else 0


def _email(text: str | None) -> int:
    if text is None or "\0" in text:
        return _name(text, 0)
    address = text.strip(_BLANKS)
    if not address:
        return 0
    if any(sign.isspace() or unicodedata.category(sign) in ("Cc", "Cf") for sign in address):
        return INVALID_EMAIL
    return 0 if re.fullmatch("[^@]+@[^@]+", address) else INVALID_EMAIL


def _moment(text: str | None, formats: Sequence[str], missing: int) -> int:
    stripped = "?" if text is None or "\0" in text else text.strip(_BLANKS)
    if not stripped:
        return missing
    return 0 if any(1900 <= reading.year <= 2100 for reading in _readings(stripped, formats)) else INVALID_DATE


def _day(text: str | None, formats: Sequence[str], sentinels: bool) -> int:
    stripped = "?" if text is None or "\0" in text else text.strip(_BLANKS)
    if not stripped:
        return 0
    readings = list(_readings(stripped, formats))
    for reading in readings:
        if 1900 <= reading.year <= 2100:
            return 0 if reading == datetime.combine(reading, datetime.min.time()) else TRUNCATED
    told = {reading.date().isoformat() for reading in readings}
    iso = _DATE.fullmatch(stripped)
    if iso is not None:
        told.add("-".join(iso.groups()[:3]))
    return SENTINEL_DATE if sentinels and told.intersection(_SENTINELS) else INVALID_DATE


def _readings(text: str, formats: Sequence[str]) -> Iterator[datetime]:
    found = _DATE.fullmatch(text)
    if found is not None:
        year, month, day_, hour, minute, second, fraction = found.groups(default="0")
        try:
            whole = date(int(year), int(month), int(day_))
        except ValueError:
            pass
        else:
            clock = (int(hour), int(minute), int(second), int(fraction.ljust(6, "0")))
            yield datetime(whole.year, whole.month, whole.day, *clock)
    for one in formats:
        try:
            reading = datetime.strptime(text, one)
        except ValueError:
            continue
        if reading.tzinfo is None:
            yield reading
