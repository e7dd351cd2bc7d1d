"""Cells of the target that are not what this migration writes: shown as found, never rounded or guessed.

Here: how a row that is read back carries them. Not here: how they are found (`sqlite_rows`, `postgres_rows`).
"""

import json

import pyarrow as pa

INEXACT = "inexact"
"""The last column of every row read back: null, or a JSON object of column names to what is stored there."""

Notes = dict[int, dict[str, str | None]]
"""For the place of a row in its record batch, what stands in the columns that could not be read exactly."""


def notes_column(notes: Notes, rows: int) -> pa.Array:
    """Return the column `inexact` (string) of a record batch of so many rows."""
    if not notes:
        return pa.nulls(rows, pa.string())
    cells = [json.dumps(notes[place], ensure_ascii=False) if place in notes else None for place in range(rows)]
    return pa.array(cells, pa.string())
