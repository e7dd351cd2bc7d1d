"""Which rows of the target belong to a batch (contract section 3).

Here: the SQL that says it, and the same for rows that are about to come. Not here: the labels' origin,
which is the source row (`accounts_migration.databases.legacy_source`).

A batch is a label of the source row; the target has no column for it. Nearly every transaction stands in
the month of its date, so the date is the label, and the table `batch_row` of the books lists the others (all of
`undated`, as a rule).
"""

import re
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.books import Books
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_schema import key_of
from accounts_migration.errors import MigrationError

ALL = "all"
UNDATED = "undated"
PARTITIONED = "transaction"
"""The one entity that moves in months; the others have the one batch `all`."""

DATE_COLUMN = "transaction_date"

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)


def refuse_unknown_label(entity: str, batch: str) -> None:
    """Raise MigrationError unless the label is one of the entity's (contract section 3)."""
    fits = batch == UNDATED or _MONTH.fullmatch(batch) if entity == PARTITIONED else batch == ALL
    if not fits:
        raise MigrationError(
            f"There is no batch {batch!r} of {entity}",
            why="a batch of transactions is a month `YYYY-MM` or `undated`, of other entities `all`",
            remedy="Check the name of the batch",
        )


def month_bounds(batch: str) -> tuple[str, str] | None:
    """Return the first day of the month and of the next one as ISO text; None for `undated` and `all`."""
    match = _MONTH.fullmatch(batch)
    if match is None:
        return None
    year, month = int(match[1]), int(match[2])
    following = f"{year + 1}-01" if month == 12 else f"{year}-{month + 1:02}"
    return f"{batch}-01", f"{following}-01"


def member_conditions(entity: str, batch: str, books: Books) -> list[str]:
    """Return SQL conditions, each of other rows, under one of which a row `t` of the table is of the batch.

    Apart, because a database takes an index or a hash for each, and neither for both under an OR.
    """
    if entity != PARTITIONED:
        return ["1 = 1"]
    key = f"t.{quoted(key_of(entity))}"
    listed = f"SELECT r.target_key FROM {books.batch_row} AS r WHERE r.entity = '{entity}'"  # a constant
    listed_here = f"{key} IN ({listed} AND r.batch = '{batch}')"
    bounds = month_bounds(batch)
    if bounds is None:
        return [listed_here]
    dated = f"t.{DATE_COLUMN} >= '{bounds[0]}' AND t.{DATE_COLUMN} < '{bounds[1]}'"
    return [f"{dated} AND NOT EXISTS ({listed} AND r.target_key = {key})", listed_here]


def member_keys(entity: str, batch: str, books: Books) -> str:
    """Return the query of the keys of the batch's rows in the entity's table, as `target_key`."""
    query = f"SELECT t.{quoted(key_of(entity))} AS target_key FROM {quoted(entity)} AS t WHERE "  # our names
    return " UNION ALL ".join(query + condition for condition in member_conditions(entity, batch, books))


def is_outside(batch: str, alias: str) -> str:
    """Return the SQL condition under which a date does not tell that its row belongs to the batch."""
    bounds = month_bounds(batch)
    if bounds is None:
        return "1 = 1"
    date = f"{alias}.{DATE_COLUMN}"
    return f"NOT ({date} >= '{bounds[0]}' AND {date} < '{bounds[1]}')"


def keys_outside(entity: str, batch: str, rows: pa.RecordBatch) -> pa.Array:
    """Return the keys of those canonical rows whose date does not tell that they belong to the batch."""
    keys = rows.column(key_of(entity))
    if entity != PARTITIONED:
        return keys.slice(0, 0)
    bounds = month_bounds(batch)
    if bounds is None:
        return keys
    first, following = (pa.scalar(datetime.fromisoformat(day), pa.timestamp("us")) for day in bounds)
    dates = rows.column(DATE_COLUMN)
    inside = pc.and_(pc.greater_equal(dates, first), pc.less(dates, following))
    return keys.filter(pc.invert(inside))
