"""The records of defects that a target keeps, held against those of the second reading (contract section 6).

Here: both sides on disk, and what tells them apart. Not here: the rows themselves
(`accounts_migration.reconciliation.content`), and which batches are compared (`second_reading`).
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby

from accounts_migration.databases.sql_text import quoted
from accounts_migration.entities.defects import PERSONAL_COLUMNS, masked
from accounts_migration.reconciliation.content import DIFFERENT, MISSING, UNEXPECTED, Difference
from accounts_migration.second_reading.reading import Record

_COLUMNS = Record._fields
_NAMING = ("batch", "source_row_id", "whole", "action", "reason")
_TOLD = ("source_key", "reasons", "column", "old_value", "new_value", "source_row")
_PERSONAL = {"old_value", "new_value"}


class Records:
    """The records of defects of both sides, on disk; equal ones cancel out."""

    def __init__(self, scratch: sqlite3.Connection, loaded: Collection[str] | None, waiting: Collection[str]) -> None:
        """Begin with no records.

        Args:
            scratch: An empty database for them.
            loaded: The batches whose records are expected; None for all.
            waiting: The batches whose records in the target are not looked at.
        """
        self._scratch, self._loaded, self._waiting = scratch, loaded, waiting
        scratch.execute(f"CREATE TABLE record ({', '.join(map(quoted, _COLUMNS))}, expected, found)")
        self.compared = 0

    def expect(self, records: Iterable[Record]) -> None:
        """Take records that the target is to keep."""
        wanted = (record for record in records if self._loaded is None or record.batch in self._loaded)
        self._insert([_as_kept(record) for record in wanted], (1, 0))

    def find(self, records: Iterable[dict[str, object]]) -> None:
        """Take records that the target keeps."""
        kept = [[record[name] for name in _COLUMNS] for record in records if record["batch"] not in self._waiting]
        for record in kept:
            record[-1] = _in_one_form(record[-1])
        self._insert(kept, (0, 1))

    def _insert(self, records: Sequence[Sequence[object]], side: tuple[int, int]) -> None:
        marks = ", ".join("?" * (len(_COLUMNS) + 2))
        given = ((*record, *side) for record in records)
        self._scratch.executemany(f"INSERT INTO record VALUES ({marks})", given)  # noqa: S608  # marks alone
        self.compared += len(records)

    def differences(self) -> Iterator[Difference]:
        """Yield what one side tells and the other does not; of one row's records what tells them apart."""
        names = ", ".join(map(quoted, _COLUMNS))
        self._scratch.row_factory = sqlite3.Row
        # a row of a table without rowid has no other name than itself
        rows = self._scratch.execute(
            f"SELECT {names}, iif(source_row_id IS NULL, source_row, NULL) AS whole,"  # noqa: S608  # names of our own
            f" sum(expected) - sum(found) AS surplus FROM record GROUP BY {names} HAVING surplus <> 0"
            f" ORDER BY {', '.join(map(quoted, _NAMING))}, surplus DESC"
        )
        for _, group in groupby(rows, lambda row: [row[name] for name in _NAMING]):
            yield from _told_apart(list(group))


def _told_apart(rows: list[sqlite3.Row]) -> Iterator[Difference]:
    """Yield the differences between the records of one row, action and reason that only one side has."""
    if len(rows) == 2 and rows[0]["surplus"] == -rows[1]["surplus"]:
        expected, found = rows
        for column in _TOLD:
            if expected[column] != found[column]:
                values = [_shown(row, column) for row in rows]
                yield Difference(DIFFERENT, expected["batch"], _name(expected), column, *values)
        return
    for row in rows:
        for _ in range(abs(row["surplus"])):
            yield Difference(MISSING if row["surplus"] > 0 else UNEXPECTED, row["batch"], _name(row))


def _name(record: sqlite3.Row) -> str:
    named = f"row {record['source_row_id']}" if record["source_row_id"] is not None else f"key {record['source_key']}"
    return f"{named} {record['action']} {record['reason']}"


def _shown(record: sqlite3.Row, column: str) -> str | None:
    value = record[column]
    if column == "source_row":
        return masked(value)
    return masked(value) if column in _PERSONAL and record["column"] in PERSONAL_COLUMNS else value


def _as_kept(record: Record) -> Sequence[object]:
    # U+0000, which a target cannot hold, is written as its escape; JSON has escaped it already
    return [value.replace("\0", "\\u0000") if isinstance(value, str) else value for value in record]


def _in_one_form(row: object) -> str | None:
    """Return a source row as the second reading writes it, whatever blanks and escapes it was kept with."""
    try:
        return json.dumps(json.loads(str(row)))
    except ValueError:
        return None if row is None else str(row)
