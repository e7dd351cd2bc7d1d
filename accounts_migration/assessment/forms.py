"""The forms of the values in a column: `9999-99-99`, `xx-99`, INTEGER; without any value itself.

Here: the form of one value and of a whole chunk, counted in bounded memory. Not here: which columns have forms
(`profile`). A form shows what `defects.masked` shows: digits as 9, punctuation and blanks, the rest as x.
"""

import string
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.entities.defects import masked
from accounts_migration.legacy_values import LegacyValue, UndecodableText, real_as_text

INTEGER, WHOLE_REAL, CENTS_REAL, FINE_REAL = (
    "INTEGER",
    "REAL, whole",
    "REAL, up to 2 decimals",
    "REAL, more than 2 decimals",
)
NOT_FINITE, BLOB, INVALID_UTF8 = "REAL, not finite", "BLOB", "TEXT, invalid UTF-8"

NAMED_FORMS = frozenset({INTEGER, WHOLE_REAL, CENTS_REAL, FINE_REAL, NOT_FINITE, BLOB, INVALID_UTF8})
"""The forms of what is no text; every other form shows a text, whose letters are all x."""

LONGEST_FORM = 40
MOST_FORMS_KEPT = 10_000
_FURTHER = "…"

_SHAPE = np.full(256, ord("x"), np.uint8)
for _sign in " " + string.punctuation:
    _SHAPE[ord(_sign)] = ord(_sign)
_SHAPE[ord("0") : ord("9") + 1] = ord("9")


@dataclass(frozen=True, slots=True)
class Form:
    """A form and the number of rows that have it."""

    form: str
    rows: int


class Forms:
    """The forms of a column, counted chunk by chunk; past `MOST_FORMS_KEPT` new forms are counted together."""

    def __init__(self) -> None:
        """Begin with no rows."""
        self._counts: Counter[str] = Counter()
        self._further = 0

    def add(self, form: str, rows: int) -> None:
        """Count rows of a form."""
        if form in self._counts or len(self._counts) < MOST_FORMS_KEPT:
            self._counts[form] += rows
        else:
            self._further += rows

    def add_regular(self, values: pa.Array) -> None:
        """Count a chunk of one storage class: int64, double or string; NULL has no form."""
        present = values.drop_null()
        if pa.types.is_int64(values.type):
            self.add(INTEGER, len(present))
        elif pa.types.is_float64(values.type):
            self._add_reals(present.to_numpy())
        elif pa.types.is_string(values.type):
            self._add_texts(present)

    def add_value(self, value: LegacyValue) -> None:
        """Count one value of any storage class."""
        if value is not None:
            self.add(form_of(value), 1)

    def most_frequent(self, number: int) -> tuple[Form, ...]:
        """Return the most frequent forms, those of equally many rows in order of their text."""
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Form(form, rows) for form, rows in ranked[:number] if rows)

    def rows_beyond(self, number: int) -> int:
        """Return the number of rows whose form is not among the most frequent ones."""
        return self._counts.total() + self._further - sum(form.rows for form in self.most_frequent(number))

    def _add_reals(self, numbers: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        finite = np.isfinite(numbers)
        whole = finite & (np.trunc(numbers) == numbers)
        with np.errstate(over="ignore"):
            cents = finite & ~whole & (np.rint(numbers * 100) / 100 == numbers)
        self.add(WHOLE_REAL, int(whole.sum()))
        self.add(CENTS_REAL, int(cents.sum()))
        for number in numbers[~whole & ~cents].tolist():
            self.add(form_of(number), 1)

    def _add_texts(self, texts: pa.Array) -> None:
        offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
        signs = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
        plain = np.ones(len(texts), np.bool_)
        beyond_ascii = np.flatnonzero(signs >= 128)
        if len(beyond_ascii):
            plain[np.searchsorted(offsets - offsets[0], beyond_ascii, side="right") - 1] = False
        plain &= np.diff(offsets) <= LONGEST_FORM
        shapes = pa.StringArray.from_buffers(
            len(texts), pa.py_buffer((offsets - offsets[0]).tobytes()), pa.py_buffer(_SHAPE[signs].tobytes())
        )
        self._add_counted(shapes.filter(pa.array(plain)))
        for text in texts.filter(pa.array(~plain)).to_pylist():
            self.add(form_of(text), 1)

    def _add_counted(self, shapes: pa.Array) -> None:
        for counted in pc.value_counts(shapes).to_pylist():
            self.add(counted["values"], counted["counts"])


def form_of(value: LegacyValue) -> str:
    """Return the form of one value that is not NULL."""
    if isinstance(value, str):
        return str(masked(value[:LONGEST_FORM])) + (_FURTHER if len(value) > LONGEST_FORM else "")
    if isinstance(value, UndecodableText):
        return INVALID_UTF8
    if isinstance(value, bytes):
        return BLOB
    return _form_of_real(value) if isinstance(value, float) else INTEGER


def _form_of_real(number: float) -> str:
    if not np.isfinite(number):
        return NOT_FINITE
    if number.is_integer():
        return WHOLE_REAL
    mantissa, _, exponent = real_as_text(number).partition("e")
    decimals = len(mantissa.partition(".")[2].rstrip("0")) - int(exponent or 0)
    return CENTS_REAL if decimals <= 2 else FINE_REAL
