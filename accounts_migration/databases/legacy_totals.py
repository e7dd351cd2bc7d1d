"""Control totals of the source by SQL on the snapshot, without any cleaned frame (contract section 7).

Here: sums of the money that stands in a legacy table in a readable form, by the table's own codes. Not here: what a
code means, and the totals of the target. An error in cleaning cannot hide itself, because nothing of it is used.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accounts_migration.databases.legacy_source import LegacyTable, batch_expression, in_batches, open_read_only
from accounts_migration.databases.sql_text import quoted
from accounts_migration.legacy_values import LegacyValue, UndecodableText

_SPLIT = 1_000_000
_LARGEST = 10**13


@dataclass(frozen=True, slots=True)
class SourceTotal:
    """Rows of one group of legacy codes: `sums` in cents over readable amounts, `readable` how many those are.

    `batch` is None where the totals were not asked for by batch.
    """

    codes: tuple[LegacyValue, ...]
    rows: int
    readable: dict[str, int]
    sums: dict[str, int]
    batch: str | None = None


def source_totals(
    path: Path,
    table: LegacyTable,
    groups: Sequence[str],
    measures: Sequence[str],
    read_cents: Callable[[LegacyValue], int | None],
    unsigned: Sequence[str] = (),
    batches: Sequence[str] | None = None,
    by_batch: bool = False,
) -> Iterator[SourceTotal]:
    """Yield the totals of each combination of codes.

    Args:
        path: The snapshot.
        table: The legacy table.
        groups: The columns that hold codes or keys.
        measures: The columns that hold money.
        read_cents: Reads an amount that stands in any other than the plainest form, as `+5` or 0.1 + 0.2.
        unsigned: Those of the measures that are added without their sign.
        batches: Only the rows of these batches; None adds all.
        by_batch: Whether each batch has totals of its own.
    """
    selected = [f"{_plain(group)} AS group_{place}" for place, group in enumerate(groups)]
    sums = []
    for place, measure in enumerate(measures):
        cents = _cents(_plain(measure))
        selected.append(f"{f'abs({cents})' if measure in unsigned else cents} AS cents_{place}")
        sums += [f"count(cents_{place})", f"sum(cents_{place} / {_SPLIT})", f"sum(cents_{place} % {_SPLIT})"]
    keys = [f"group_{place}" for place in range(len(groups))]
    selected.append(f"{batch_expression(table) if by_batch else 'NULL'} AS batch")
    shown = ["batch", *keys, *(f"typeof({key})" for key in keys), "count(*)", *sums]
    condition = "" if batches is None else f" WHERE {in_batches(table, batches)}"
    # the limit keeps SQLite from computing each amount three times, once for each sum
    query = (
        f"SELECT {', '.join(shown)} FROM"
        f" (SELECT {', '.join(selected)} FROM {quoted(table.name)}{condition} LIMIT -1 OFFSET 0)"
        f" GROUP BY {', '.join([*keys, 'batch'] if by_batch else keys)}"
    )
    with open_read_only(path, immutable=True) as connection:
        # hex() gives the bytes of TEXT as the file holds them, which may be UTF-16
        encoding = connection.execute("PRAGMA encoding").fetchone()[0].decode()
        connection.create_function(
            "cents_of_text", 1, lambda digits: read_cents(_legacy_value(bytes.fromhex(digits), b"text", encoding))
        )
        connection.create_function("cents_of_real", 1, read_cents)
        for batch, *row in connection.execute(query):
            total = _source_total(row, len(groups), measures)
            yield replace(total, batch=batch.decode()) if by_batch else total


def _source_total(row: Sequence[object], groups: int, measures: Sequence[str]) -> SourceTotal:
    cells, kinds, rest = row[:groups], row[groups : 2 * groups], list(row[2 * groups :])
    rows, *sums = [int(str(number or 0)) for number in rest]
    parts = dict(zip(measures, zip(sums[::3], sums[1::3], sums[2::3], strict=True), strict=True))
    return SourceTotal(
        codes=tuple(_legacy_value(cell, kind) for cell, kind in zip(cells, kinds, strict=True)),
        rows=rows,
        readable={measure: count for measure, (count, _, _) in parts.items()},
        sums={measure: high * _SPLIT + low for measure, (_, high, low) in parts.items()},
    )


def _plain(column: str) -> str:
    # a collation that the column declares need not be known here, and must not merge codes
    return f"({quoted(column)} COLLATE BINARY)"


def _cents(column: str) -> str:
    """Return the SQL for a cell's cents; NULL unless it is a number of at most two decimals below 10^13.

    TEXT in the plainest form is a number through and through (the comparison converts it only then); any other TEXT,
    as one with a sign or with more digits than a REAL holds, is read by `cents_of_text`. A REAL that is not the very
    one nearest to some cents is read by `cents_of_real`: its 15 digits are not to be had by adding a half.
    """
    text = f"CAST({column} AS NUMERIC)"
    return (
        f"CASE typeof({column})"
        f" WHEN 'real' THEN {_cents_of_number(column, f'cents_of_real({column})')}"
        f" WHEN 'integer' THEN {_cents_of_number(column, 'NULL')}"
        f" WHEN 'text' THEN CASE WHEN length({column}) <= 15 AND {column} NOT GLOB '*[^.0-9]*'"
        f" AND {column} GLOB '[0-9]*' AND {column} GLOB '*[0-9]' AND {text} = {column}"
        f" THEN {_cents_of_number(text, 'NULL')} ELSE cents_of_text(hex({column})) END END"
    )


def _cents_of_number(number: str, otherwise: str) -> str:
    rounded = f"CAST({number} * 100 + iif({number} < 0, -0.5, 0.5) AS INTEGER)"
    return (
        f"CASE WHEN {number} < {_LARGEST} AND {number} > -{_LARGEST} THEN"
        f" CASE WHEN {rounded} / 100.0 = {number} THEN {rounded} ELSE {otherwise} END END"
    )


def _legacy_value(cell: object, kind: object, encoding: str = "utf-8") -> LegacyValue:
    if isinstance(cell, bytes) and kind == b"text":
        try:
            return cell.decode(encoding)
        except UnicodeDecodeError:
            return UndecodableText(cell)
    return cell  # type: ignore[return-value]  # sqlite3 returns None, int, float and bytes
