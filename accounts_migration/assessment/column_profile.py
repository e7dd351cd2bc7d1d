"""What stands in one column, counted chunk by chunk in bounded memory.

Here: storage classes, blanks, lengths, forms and codes of a column. Not here: reading the table (`profile`), and what a
column is meant to hold (`meanings`). No value of a column that may name a person is kept.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.assessment.forms import Form, Forms, form_of
from accounts_migration.assessment.meanings import Kind, readings_of
from accounts_migration.entities import Entity
from accounts_migration.entities.columns import LegacyColumn
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.values import trimmed
from accounts_migration.legacy_values import LegacyValue, UndecodableText, as_text

MOST_FORMS = 10
MOST_CODES = 20
MOST_CODES_KEPT = 1_000
LONGEST_CODE, LONGEST_CODE_KEPT = 10, 100

_UNKNOWN = "UNKNOWN_CODE"
_CLASS_OF_TYPE = {pa.int64(): "integer", pa.float64(): "real", pa.string(): "text"}


@dataclass(frozen=True, slots=True)
class Code:
    """A code as it stands (masked where it is long), its storage class, its rows, and the value it is read as.

    `reading` is the target's value, or the reason why there is none: UNKNOWN_CODE, MISSING_VALUE; of a code that tells
    whether a row is active, `active` or `inactive`.
    """

    code: str
    storage_class: str
    rows: int
    reading: str


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """What stands in a column; every number counts rows, lengths are code points of TEXT.

    `codes` are the most frequent ones, those that no map knows first; `distinct_codes` is None where it is no column of
    codes, and MOST_CODES_KEPT where there are more. `unknown_codes` counts rows.
    """

    column: str
    kind: str
    classes: Mapping[str, int]
    blanks: int
    invalid_utf8: int
    shortest: int | None
    longest: int | None
    forms: tuple[Form, ...]
    rows_of_further_forms: int
    distinct_codes: int | None
    unknown_codes: int
    codes: tuple[Code, ...]


@dataclass
class ColumnCount:
    """What was found in a column so far."""

    kind: Kind
    classes: Counter[str] = field(default_factory=lambda: Counter(null=0, integer=0, real=0, text=0, blob=0))
    blanks: int = 0
    invalid_utf8: int = 0
    shortest: int | None = None
    longest: int | None = None
    forms: Forms = field(default_factory=Forms)
    codes: Counter[tuple[str, LegacyValue]] = field(default_factory=Counter)

    def add(self, column: LegacyColumn, integers: npt.NDArray[np.bool_]) -> None:
        """Add a chunk; `integers` are the rows where a double stands for an INTEGER."""
        values = column.values
        if column.irregular:
            regular = np.ones(len(values), np.bool_)
            regular[list(column.irregular)] = False
            values, integers = values.filter(pa.array(regular)), integers[regular]
        for value in column.irregular.values():
            self._add_value(value)
        self.classes["null"] += values.null_count
        if pa.types.is_float64(values.type):
            self._add_regular(values.filter(pa.array(integers)).cast(pa.int64()))
            values = values.filter(pa.array(~integers))
        self._add_regular(values.drop_null())

    def _add_regular(self, values: pa.Array) -> None:
        if not len(values):
            return
        storage_class = _CLASS_OF_TYPE[values.type]
        self.classes[storage_class] += len(values)
        if storage_class == "text":
            lengths = pc.min_max(pc.utf8_length(values)).as_py()
            self._add_lengths(lengths["min"], lengths["max"])
            self.blanks += _blanks(values)
        if self.kind is Kind.code:
            for counted in pc.value_counts(values).to_pylist():
                self._add_code(storage_class, counted["values"], counted["counts"])
        elif self.kind is not Kind.text:
            self.forms.add_regular(values)

    def _add_value(self, value: LegacyValue) -> None:
        storage_class = storage_class_of(value)
        self.classes[storage_class] += 1
        self.invalid_utf8 += isinstance(value, UndecodableText)
        if isinstance(value, str):
            self._add_lengths(len(value), len(value))
            self.blanks += not trimmed(value)
        if self.kind is Kind.code:
            self._add_code(storage_class, value, 1)
        elif self.kind is not Kind.text:
            self.forms.add_value(value)

    def _add_lengths(self, shortest: int, longest: int) -> None:
        self.shortest = shortest if self.shortest is None else min(self.shortest, shortest)
        self.longest = longest if self.longest is None else max(self.longest, longest)

    def _add_code(self, storage_class: str, code: LegacyValue, rows: int) -> None:
        kept = (storage_class, _cut(code))
        if code is not None and (kept in self.codes or len(self.codes) < MOST_CODES_KEPT):
            self.codes[kept] += rows

    def profile(self, entity: Entity, name: str, policies: Policies) -> ColumnProfile:
        """Return the finished profile of the column."""
        codes = self._known_codes(entity, name, policies)
        is_code = self.kind is Kind.code
        present = sum(self.classes.values()) - self.classes["null"]
        # past the codes that are kept, none was counted: those are too many to be codes
        uncounted = present - self.codes.total() if is_code else 0
        return ColumnProfile(
            column=name,
            kind=self.kind.value,
            classes=dict(self.classes),
            blanks=self.blanks,
            invalid_utf8=self.invalid_utf8,
            shortest=self.shortest,
            longest=self.longest,
            forms=self.forms.most_frequent(MOST_FORMS),
            rows_of_further_forms=self.forms.rows_beyond(MOST_FORMS),
            distinct_codes=len(codes) if is_code else None,
            unknown_codes=sum(code.rows for code in codes if code.reading == _UNKNOWN) + uncounted,
            codes=tuple(codes[:MOST_CODES]),
        )

    def _known_codes(self, entity: Entity, name: str, policies: Policies) -> list[Code]:
        """Return the codes with their readings: those that no map knows first, then by the number of rows."""
        readings = readings_of(entity, name, [code for _, code in self.codes], policies) if self.codes else []
        codes = [
            Code(_shown(code), storage_class, rows, reading)
            for ((storage_class, code), rows), reading in zip(self.codes.items(), readings, strict=True)
        ]
        return sorted(codes, key=lambda code: (code.reading != _UNKNOWN, -code.rows, code.code, code.storage_class))


def storage_class_of(value: LegacyValue) -> str:
    """Return the storage class in which SQLite holds the value."""
    if value is None:
        return "null"
    if isinstance(value, (str, UndecodableText)):
        return "text"
    if isinstance(value, bytes):
        return "blob"
    return "real" if isinstance(value, float) else "integer"


def _blanks(texts: pa.Array) -> int:
    """Return how many texts are blank; only those that begin with anything but a plain character are looked at."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    signs = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    empty = np.diff(offsets) == 0
    first = signs[np.where(empty, 0, offsets[:-1])] if len(signs) else np.zeros(len(texts), np.uint8)
    suspect = ~empty & ((first <= ord(" ")) | (first > ord("~")))
    counted = pc.value_counts(texts.filter(pa.array(suspect))).to_pylist()
    blank: int = sum(one["counts"] for one in counted if not trimmed(one["values"]))
    return int(empty.sum()) + blank


def _cut(code: LegacyValue) -> LegacyValue:
    """Return a code of bounded length: no map knows a longer one."""
    if isinstance(code, UndecodableText):
        return UndecodableText(code.raw[:LONGEST_CODE_KEPT])
    if isinstance(code, str) and len(code) > LONGEST_CODE_KEPT:
        return trimmed(code)[:LONGEST_CODE_KEPT]
    return code[:LONGEST_CODE_KEPT] if isinstance(code, bytes) else code


def _shown(code: LegacyValue) -> str:
    """Return a code as it stands, or masked where it is none by its looks, and may be anything."""
    text = str(as_text(code))
    is_plain = len(text) <= LONGEST_CODE and text.isascii() and text.isprintable() and "@" not in text
    return text if is_plain and not isinstance(code, (bytes, UndecodableText)) else form_of(code)
