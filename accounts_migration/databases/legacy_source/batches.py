"""The batch of a source row (contract section 3), which is read off the text of its date as it stands.

Here: the label in SQL, the same over texts that were read, the rows of each batch counted. Not here: which rows of the
target belong to a batch (`accounts_migration.databases.batches`).
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from accounts_migration.databases.legacy_source.structure import LegacyTable
from accounts_migration.databases.sql_text import literal, quoted

UNDATED = "undated"
FIRST_YEAR, LAST_YEAR = 1900, 2100
MONTHS = [f"{year}-{month:02}" for year in range(FIRST_YEAR, LAST_YEAR + 1) for month in range(1, 13)]
_KNOWN_MONTHS = frozenset(MONTHS)


def batch_expression(table: LegacyTable) -> str:
    """Return the SQL that labels a row with its batch (contract section 3); total: every row has a label."""
    if table.batch_column is None:
        return "'all'"
    # the plus takes the column's affinity away: else a numeric one would compare the text as a number
    column = "+" + quoted(table.batch_column)
    begins = f"({column} GLOB '[12][0-9][0-9][0-9]-0[1-9]*' OR {column} GLOB '[12][0-9][0-9][0-9]-1[0-2]*')"
    # a collation that the column declares need not be known here
    within = f"{column} >= '{FIRST_YEAR}' COLLATE BINARY AND {column} < '{LAST_YEAR + 1}' COLLATE BINARY"
    return f"CASE WHEN {begins} AND {within} THEN substr({column}, 1, 7) ELSE '{UNDATED}' END"


def in_batches(table: LegacyTable, batches: Sequence[str]) -> str:
    """Return the SQL condition that a row belongs to one of the batches."""
    return f"{batch_expression(table)} IN ({', '.join(map(literal, batches))})"


def count_by_batch(connection: sqlite3.Connection, table: LegacyTable) -> dict[str, int]:
    """Return the number of source rows of each batch, counted by SQL; `{'all': n}` for a table without batches."""
    name = quoted(table.name)
    if table.batch_column is None:
        return {"all": int(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0])}
    column = "+" + quoted(table.batch_column)
    # by their beginning, which is quicker than by their label; only a blob can begin like a month and have none
    beginning = f"iif({column} >= x'' COLLATE BINARY, NULL, substr({column}, 1, 7))"
    counts: Counter[str] = Counter()
    for begins, rows in connection.execute(f"SELECT {beginning} AS begins, count(*) FROM {name} GROUP BY begins"):
        text = begins.decode("utf-8", "replace") if isinstance(begins, bytes) else ""
        counts[text if text in _KNOWN_MONTHS else UNDATED] += rows
    return dict(sorted(counts.items()))


def months_of(texts: pa.Array) -> npt.NDArray[np.int32]:
    """Return for each text (string or binary, may be null) the place in MONTHS with which it begins, else their end."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    places = np.full(len(texts), len(MONTHS), np.int32)
    long_enough = np.flatnonzero((np.diff(offsets) >= 7) & np.asarray(texts.is_valid()))
    if not len(long_enough):
        return places
    signs = np.frombuffer(texts.buffers()[2], np.uint8)[offsets[long_enough][:, np.newaxis] + np.arange(7)]
    digits = signs - np.uint8(ord("0"))
    years = digits[:, :4].astype(np.int32) @ np.array([1000, 100, 10, 1], np.int32)
    months = digits[:, 5:7].astype(np.int32) @ np.array([10, 1], np.int32)
    valid = (digits[:, [0, 1, 2, 3, 5, 6]] <= 9).all(axis=1) & (signs[:, 4] == ord("-"))
    valid &= (years >= FIRST_YEAR) & (years <= LAST_YEAR) & (months >= 1) & (months <= 12)
    places[long_enough] = np.where(valid, (years - FIRST_YEAR) * 12 + months - 1, len(MONTHS))
    return places
