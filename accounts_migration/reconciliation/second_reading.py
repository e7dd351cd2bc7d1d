"""The target held against the second reading of its source: every column of every row, every record of a defect.

Here: which batches are held against each other, and the comparison. Not here: the reading, which shares nothing with
the cleaning (`accounts_migration.second_reading`), and the comparison of two streams of rows
(`accounts_migration.reconciliation.content`).
"""

import json
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.batches import ALL, DATE_COLUMN, PARTITIONED
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.databases.target_schema import key_of
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.defects import PERSONAL_COLUMNS, masked
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation.content import (
    DIFFERENT,
    EXAMPLES,
    MISSING,
    UNEXPECTED,
    ContentComparison,
    Difference,
    compare_content,
)
from accounts_migration.second_reading.cells import Rules
from accounts_migration.second_reading.reading import Record, SecondReading
from accounts_migration.streams import by_batch, read_ahead

_COLUMNS = Record._fields
_NAMING = ("batch", "source_row_id", "whole", "action", "reason")
_TOLD = ("source_key", "reasons", "column", "old_value", "new_value", "source_row")
_PERSONAL = {"old_value", "new_value"}


@dataclass(frozen=True, slots=True)
class Scope:
    """Which batches are compared: those of the source that are loaded, and all of the target but those `waiting`.

    What waits was loaded from another snapshot, and to be replaced from the present one. `rows` is how many source rows
    the loaded batches have.
    """

    loaded: Sequence[str]
    is_everything: bool
    waiting: Collection[str]
    rows: int


@dataclass(frozen=True)
class Held:
    """What an entity came to.

    Args:
        entity: The entity.
        judged: Source rows that were read and judged.
        rows: The comparison of rows.
        records: How many records of defects were compared, on either side.
        counts: Differences between records, by kind.
        examples: A few of them.
    """

    entity: str
    judged: int
    rows: ContentComparison
    records: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: list[Difference] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Return whether target and second reading tell the same."""
        return self.rows.is_equal and not self.counts

    @property
    def differences(self) -> list[Difference]:
        """Return some of the differences, rows before records."""
        return [*self.rows.examples, *self.examples][:EXAMPLES]

    def count(self, kind: str) -> int:
        """Return the number of differences of a kind, in rows and records."""
        return self.rows.count(kind) + self.counts[kind]


def plain_rules(policies: Policies) -> Rules:
    """Return the policies as plain values: of the codes only those that the bank added."""
    return Rules(
        inactive_parents=policies.inactive_parents,
        invalid_email=policies.invalid_email,
        letter_case=policies.letter_case,
        date_formats=policies.date_formats,
        legacy_encoding=policies.legacy_encoding,
        codes={
            "product_type": policies.product_type,
            "account_status": policies.account_status,
            "transaction_type": policies.transaction_type,
        },
    )


def scope_of(entity: str, snapshot: Snapshot, target: Target, *, of_any_snapshot: bool = False) -> Scope:
    """Return which batches of an entity are compared; `of_any_snapshot` counts every recorded batch as loaded."""
    records = [record for record in target.recorded_batches() if record.entity == entity]
    here = {record.batch for record in records if of_any_snapshot or record.snapshot_id == snapshot.snapshot_id}
    batches = snapshot.tables[ENTITIES[entity].legacy_table].batches
    loaded = [batch for batch in sorted(batches) if batch in here]
    rows = sum(batches[batch] for batch in loaded)
    return Scope(loaded, len(loaded) == len(batches), {record.batch for record in records} - here, rows)


def hold_against(
    entity: str, reading: SecondReading, target: Target, scope: Scope, found: Iterable[pa.RecordBatch] | None = None
) -> Held:
    """Compare the rows and the records of defects that the source gives with those of the target.

    Args:
        entity: The entity; its parents were read before.
        reading: The second reading.
        target: The target.
        scope: What of it is compared.
        found: The rows of the target, where somebody else reads them; None reads them here.
    """
    # a file of its own that SQLite removes: memory stays bounded. The reading runs in a thread beside
    with closing(sqlite3.connect("", check_same_thread=False)) as scratch:
        records = _Records(scratch, scope)
        expected = _in_scope(reading.rows(entity, records.expect), scope)
        if not reading.is_in_order(entity):
            expected = _batch_after_batch(expected)
        rows = compare_content(
            entity,
            read_ahead(expected),
            read_ahead(_found(entity, target, scope)) if found is None else found,
            key_of(entity),
            _batch_of(entity),
        )
        for part in target.defects(entity):
            records.find(part.to_pylist())
        judged = reading.judged[entity]
        held = Held(
            entity,
            judged.total() if scope.is_everything else sum(judged[batch] for batch in scope.loaded),
            rows,
            records.compared,
        )
        for difference in records.differences():
            held.counts[difference.kind] += 1
            if len(held.examples) < EXAMPLES:
                held.examples.append(difference)
    return held


def _in_scope(rows: Iterable[pa.RecordBatch], scope: Scope) -> Iterator[pa.RecordBatch]:
    loaded = pa.array(scope.loaded, pa.string())
    for part in rows:
        yield part if scope.is_everything else part.filter(pc.is_in(part["batch"], loaded))


def _batch_after_batch(rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of each batch together, by way of a file: beside the target's, few of them then wait in memory."""
    pieces: dict[str, list[int]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="accounts-migration-second-reading-") as folder, ExitStack() as stack:
        path = str(Path(folder) / "rows.arrow")
        writer: pa.RecordBatchFileWriter | None = None
        written = 0
        for part in rows:
            writer = writer or stack.enter_context(pa.ipc.new_file(path, part.schema))
            for batch, labelled in by_batch(pa.Table.from_batches([part])):
                labels = pa.repeat(pa.scalar(batch, pa.string()), labelled.num_rows)
                for piece in labelled.append_column("batch", labels).combine_chunks().to_batches():
                    writer.write_batch(piece)
                    pieces[batch].append(written)
                    written += 1
        stack.close()
        if writer is None:
            return
        with pa.OSFile(path) as file:
            reader = pa.ipc.open_file(file)
            for batch in sorted(pieces):
                yield from map(reader.get_batch, pieces[batch])


def _found(entity: str, target: Target, scope: Scope) -> Iterator[pa.RecordBatch]:
    if not scope.waiting:
        yield from target.scan(entity)
        return
    for batch in target.counts_by_batch(entity):
        if batch not in scope.waiting:
            yield from target.scan(entity, batch)


def _batch_of(entity: str) -> Callable[[pa.Table], pa.ChunkedArray]:
    if entity != PARTITIONED:
        return lambda rows: pa.chunked_array([pa.repeat(pa.scalar(ALL), rows.num_rows)])
    return lambda rows: pc.strftime(rows[DATE_COLUMN], format="%Y-%m")


class _Records:
    """The records of defects of both sides, on disk; equal ones cancel out."""

    def __init__(self, scratch: sqlite3.Connection, scope: Scope) -> None:
        self._scratch, self._scope = scratch, scope
        self._loaded = None if scope.is_everything else frozenset(scope.loaded)
        scratch.execute(f"CREATE TABLE record ({', '.join(map(_quoted, _COLUMNS))}, expected, found)")
        self.compared = 0

    def expect(self, records: Iterable[Record]) -> None:
        """Take records that the target is to keep."""
        loaded = self._loaded
        self._insert([_as_kept(record) for record in records if loaded is None or record.batch in loaded], (1, 0))

    def find(self, records: Iterable[dict[str, object]]) -> None:
        """Take records that the target keeps."""
        kept = [[record[name] for name in _COLUMNS] for record in records if record["batch"] not in self._scope.waiting]
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
        names = ", ".join(map(_quoted, _COLUMNS))
        self._scratch.row_factory = sqlite3.Row
        # a row of a table without rowid has no other name than itself
        rows = self._scratch.execute(
            f"SELECT {names}, iif(source_row_id IS NULL, source_row, NULL) AS whole,"  # noqa: S608  # names of our own
            f" sum(expected) - sum(found) AS surplus FROM record GROUP BY {names} HAVING surplus <> 0"
            f" ORDER BY {', '.join(map(_quoted, _NAMING))}, surplus DESC"
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


def _quoted(name: str) -> str:
    return f'"{name}"'
