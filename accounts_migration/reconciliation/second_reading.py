"""The target held against the second reading of its source: every column of every row, every record of a defect.

Here: which batches are held against each other. Not here: the reading, which shares nothing with the cleaning
(`accounts_migration.second_reading`), and the comparison of rows (`accounts_migration.reconciliation.content`) and of
records (`accounts_migration.reconciliation.records`).
"""

import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation.content import EXAMPLES, ContentComparison, Difference, compare_content
from accounts_migration.reconciliation.records import Records
from accounts_migration.second_reading.cells import Rules
from accounts_migration.second_reading.reading import SecondReading
from accounts_migration.streams import by_batch, read_ahead


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
        records = Records(scratch, None if scope.is_everything else frozenset(scope.loaded), scope.waiting)
        expected = _in_scope(reading.rows(entity, records.expect), scope)
        if not reading.is_in_order(entity):
            expected = _batch_after_batch(expected)
        rows = compare_content(
            entity,
            read_ahead(expected),
            read_ahead(_found(entity, target, scope)) if found is None else found,
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
