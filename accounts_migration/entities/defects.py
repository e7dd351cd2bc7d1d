"""The record of every row that was not loaded as it stood (contract sections 1 and 6).

Here: the defect table's columns and how personal data in it is masked. Not here: which rule finds a defect.
"""

import json
import string
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass

import pyarrow as pa

from accounts_migration.legacy_values import LegacyValue

REJECTED, EXCLUDED, REPAIRED = "rejected", "excluded", "repaired"

PERSONAL_COLUMNS = frozenset({"first_name", "last_name", "email_address", "phone_number", "description"})
"""Legacy columns whose values name or reach a person; a description is free text and may do so, too."""

PERSONAL_TARGET_COLUMNS = frozenset({"first_name", "last_name", "email", "phone", "reference"})
"""The same of the target's columns, which a copy reads as its source."""

_PERSONAL = PERSONAL_COLUMNS | PERSONAL_TARGET_COLUMNS

_SHAPE = frozenset(" " + string.punctuation)

DEFECT_SCHEMA = pa.schema(
    [
        pa.field("entity", pa.string()),
        pa.field("batch", pa.string()),
        pa.field("source_key", pa.string()),
        pa.field("source_row_id", pa.int64()),
        pa.field("action", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("reasons", pa.string()),
        pa.field("column", pa.string()),
        pa.field("old_value", pa.string()),
        pa.field("new_value", pa.string()),
        pa.field("source_row", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Defect:
    """One line of the defect table; `reasons` are comma separated, `column` is the legacy column of the first."""

    entity: str
    batch: str
    source_key: str | None
    source_row_id: int | None
    action: str
    reason: str
    reasons: str
    column: str | None
    old_value: str | None
    new_value: str | None
    source_row: str


def defect_table(defects: list[Defect]) -> pa.Table:
    """Return the defects as a table of DEFECT_SCHEMA."""
    columns = list(zip(*map(astuple, defects), strict=True)) or [()] * len(DEFECT_SCHEMA)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, DEFECT_SCHEMA, strict=True)]
    return pa.table(arrays, schema=DEFECT_SCHEMA)


def masked(value: str | None) -> str | None:
    """Return the value with all but its shape hidden: digits 9, ASCII punctuation and blanks as they are, the rest x.

    Marks and symbols are hidden, too: vowel signs spell most of a name in many scripts. The length stays as a hint.
    """
    if value is None:
        return None
    return "".join("9" if sign.isdigit() else sign if sign in _SHAPE else "x" for sign in value)


def without_personal_data(defect: Mapping[str, LegacyValue]) -> dict[str, LegacyValue]:
    """Return a defect row (columns of DEFECT_SCHEMA) with personal values masked."""
    return _masked(defect, _PERSONAL.__contains__)


def without_values(defect: Mapping[str, LegacyValue]) -> dict[str, LegacyValue]:
    """Return a defect row of a table that nobody here knows: any value, and any key but a number, may be personal."""
    return _masked(defect, lambda _: True) | {"source_key": masked_key(defect["source_key"])}  # type: ignore[arg-type]  # a key is text


def masked_key(key: str | None) -> str | None:
    """Return a key of a table that nobody here knows: a number as it is, anything else masked."""
    return key if key is not None and key.isascii() and key.isdigit() else masked(key)


def _masked(defect: Mapping[str, LegacyValue], is_personal: Callable[[str], bool]) -> dict[str, LegacyValue]:
    shown = dict(defect)
    if is_personal(str(shown["column"])):
        for name in ("old_value", "new_value"):
            shown[name] = masked(shown[name])  # type: ignore[arg-type]  # both columns are text
    row = json.loads(str(shown["source_row"]))
    hidden = {name: _hidden(value) if is_personal(name) else value for name, value in row.items()}
    shown["source_row"] = json.dumps(hidden, ensure_ascii=False)
    return shown


def _hidden(value: object) -> object:
    return masked(value) if isinstance(value, str) else None if value is None else "masked"
