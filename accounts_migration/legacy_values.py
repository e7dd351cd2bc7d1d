"""One value of the legacy database, whatever SQLite stored in it, and its JSON form.

Here: the Python type of each SQLite storage class, and the JSON object that keeps a source row whole (contract
section 6: a blob as `{"blob": hex}`, TEXT that is not UTF-8 as `{"text": hex}`). Not here: what a value means
(`accounts_migration.entities.values`) and how it is read (`accounts_migration.databases.legacy_source`).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UndecodableText:
    """TEXT whose bytes are not valid UTF-8."""

    raw: bytes


LegacyValue = None | int | float | str | bytes | UndecodableText
"""NULL, INTEGER, REAL, TEXT, BLOB (bytes), or TEXT that is not UTF-8."""


def real_as_text(value: float) -> str:
    """Return the text SQLite's CAST gives a REAL: 15 significant digits, always with a fraction (contract section 4).

    Written here, because newer SQLite versions print 17 digits.
    """
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    digits = f"{value:.15g}"
    mantissa, letter, exponent = digits.partition("e")
    if "." not in mantissa:
        mantissa += ".0"
    return f"{mantissa}{letter}{exponent}"


def as_text(value: LegacyValue) -> str | None:
    """Return the value as a person would read it in a defect list: the text itself, a blob or broken TEXT as hex."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return real_as_text(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, UndecodableText):
        return value.raw.hex()
    return str(value)


def source_row_json(row: Mapping[str, LegacyValue]) -> str:
    """Return the whole legacy row as a JSON object from which `read_source_row` restores every value exactly."""
    return json.dumps({column: _to_json(value) for column, value in row.items()}, ensure_ascii=False)


def read_source_row(text: str) -> dict[str, LegacyValue]:
    """Return the legacy row that `source_row_json` wrote."""
    return {column: _from_json(value) for column, value in json.loads(text).items()}


def _to_json(value: LegacyValue) -> object:
    if isinstance(value, bytes):
        return {"blob": value.hex()}
    if isinstance(value, UndecodableText):
        return {"text": value.raw.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"real": str(value)}
    return value


def _from_json(value: object) -> LegacyValue:
    if not isinstance(value, dict):
        return value  # type: ignore[return-value]  # JSON scalars are legacy values already
    if "blob" in value:
        return bytes.fromhex(value["blob"])
    if "text" in value:
        return UndecodableText(bytes.fromhex(value["text"]))
    return float(value["real"])
