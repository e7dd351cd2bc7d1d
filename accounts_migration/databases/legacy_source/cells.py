"""The cells of a row exactly as SQLite stores them, whatever their storage class.

Here: the SQL that writes a row exactly and what its text means; texts that are not UTF-8; cells of a typed column in
the class they had. Not here: which rows need it (`rows`).
"""

from collections.abc import Sequence

import pyarrow as pa

from accounts_migration.databases.sql_text import quoted
from accounts_migration.legacy_values import LegacyValue, UndecodableText

# hex() gives the bytes of TEXT as the file holds them, which may be UTF-16
_TEXT_LETTER = "(SELECT CASE encoding WHEN 'UTF-8' THEN 't' WHEN 'UTF-16le' THEN 'l' ELSE 'm' END FROM pragma_encoding)"
_ENCODING_OF_LETTER = {"t": "utf-8", "l": "utf-16-le", "m": "utf-16-be"}


def encoded_row(columns: Sequence[str]) -> str:
    """Return the SQL that writes a row exactly: a letter for the storage class, then the value, parted by commas."""
    return " || ',' || ".join(
        f"CASE typeof({name}) WHEN 'null' THEN 'n' WHEN 'integer' THEN 'i' || {name}"
        f" WHEN 'real' THEN 'r' || printf('%!.17g', {name}) WHEN 'text' THEN {_TEXT_LETTER} || hex({name})"
        f" ELSE 'b' || hex({name}) END"
        for name in map(quoted, columns)
    )


def from_encoded(cell: str) -> LegacyValue:
    """Return the value of one cell of an encoded row."""
    kind, body = cell[0], cell[1:]
    if kind == "n":
        return None
    if kind == "i":
        return int(body)
    if kind == "r":
        return float(body)
    raw = bytes.fromhex(body)
    if kind == "b":
        return raw
    try:
        return raw.decode(_ENCODING_OF_LETTER[kind])
    except UnicodeDecodeError:
        return UndecodableText(raw)


def exact_row(columns: Sequence[pa.Array], names: Sequence[str], place: int) -> dict[str, LegacyValue]:
    """Return one row of the typed columns (the last one being `integers`) with its storage classes restored."""
    integers = columns[-1][place].as_py()
    return {
        name: _exact_value(column[place], integers, position)
        for position, (name, column) in enumerate(zip(names, columns[:-1], strict=True))
    }


def _exact_value(cell: pa.Scalar, integers: int, position: int) -> LegacyValue:
    """Return a cell of `read_rows` in the storage class it had in the source."""
    if pa.types.is_string(cell.type):
        raw = cell.cast(pa.binary()).as_py()
        if raw is None:
            return None
        return raw.decode() if _decodes(raw) else UndecodableText(raw)
    value: LegacyValue = cell.as_py()
    if isinstance(value, float) and integers >> position & 1:
        return int(value)
    return value


def undecodable_rows(columns: Sequence[pa.Array]) -> list[int]:
    """Return the places of the rows that hold TEXT which is not UTF-8."""
    found = set()
    for column in columns:
        if pa.types.is_string(column.type) and not _is_sound(column):
            found |= {place for place, raw in enumerate(column.cast(pa.binary()).to_pylist()) if not _decodes(raw)}
    return sorted(found)


def sound(column: pa.Array) -> pa.Array:
    """Return the column with NULL where its bytes are not UTF-8, so that no later step can stumble over them."""
    if not pa.types.is_string(column.type) or _is_sound(column):
        return column
    raws = column.cast(pa.binary()).to_pylist()
    return pa.array([raw.decode() if raw is not None and _decodes(raw) else None for raw in raws], pa.string())


def _is_sound(column: pa.Array) -> bool:
    try:
        column.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _decodes(raw: bytes | None) -> bool:
    try:
        return raw is None or raw.decode() is not None
    except UnicodeDecodeError:
        return False
