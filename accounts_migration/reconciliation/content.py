"""Content: every row of the target read back and compared, column by column, with the cleaned row (contract section 7).

Here: the comparison of two streams of rows. Not here: where the streams come from, and counts and totals.

Both sides come in about the same order, since a target returns rows as they were loaded. So windows of the two are laid
side by side; what finds no partner is carried along and, if there is much of it, parted by key onto disk. The result
does not depend on the order, and memory is bounded whatever the differences.
"""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.batches import ALL, DATE_COLUMN, PARTITIONED
from accounts_migration.databases.inexact_cells import INEXACT
from accounts_migration.databases.target_schema import ENTITIES, TABLES, Kind, key_of, kind_of
from accounts_migration.entities.defects import PERSONAL_TARGET_COLUMNS, masked
from accounts_migration.entities.totals import Totals, added, control_totals
from accounts_migration.streams import by_batch

MISSING, UNEXPECTED, DIFFERENT = "MISSING_IN_TARGET", "UNEXPECTED_IN_TARGET", "DIFFERENT"

EXAMPLES = 20
_DECIMALS_OF_KIND = {Kind.MONEY: 2, Kind.RATE: 6}
_DECIMALS = {
    column.name: _DECIMALS_OF_KIND[kind_of(column)]
    for name in ENTITIES
    for column in TABLES[name].columns
    if kind_of(column) in _DECIMALS_OF_KIND
}
ROWS_PER_WINDOW = 32_768
ROWS_CARRIED = 4 * ROWS_PER_WINDOW
BUCKETS = 32


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference; personal values are masked, `column` is empty where the whole row differs."""

    kind: str
    batch: str
    key: str
    column: str = ""
    expected: str | None = None
    found: str | None = None


@dataclass
class ContentComparison:
    """What the comparison found.

    Args:
        compared: Rows of the target that have their cleaned row.
        compared_by_batch: The same by batch.
        counts: Differences by kind and batch; rows, or cells where DIFFERENT.
        examples: A few of the differences.
        found_totals: Batch -> control totals of the rows that the target gave back, in cents.
        apart: Called with a kind and whole rows: those of the target where DIFFERENT or UNEXPECTED, else the cleaned
            ones. None where the rows themselves are not wanted.
    """

    compared: int = 0
    compared_by_batch: Counter[str] = field(default_factory=Counter)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[Difference] = field(default_factory=list)
    found_totals: dict[str, Totals] = field(default_factory=dict)
    apart: Callable[[str, pa.Table], None] | None = None

    @property
    def is_equal(self) -> bool:
        """Return whether no difference was found."""
        return not self.counts

    def count(self, kind: str) -> int:
        """Return the number of differences of a kind."""
        return sum(number for (found, _), number in self.counts.items() if found == kind)

    def rows_in_target(self, batch: str) -> int:
        """Return how many rows of the batch the target gave back."""
        return self.compared_by_batch[batch] + self.counts[UNEXPECTED, batch]

    def differences_of(self, batch: str) -> int:
        """Return the number of differences in a batch."""
        return sum(number for (_, found), number in self.counts.items() if found == batch)

    def take(self, other: "ContentComparison") -> None:
        """Add what another comparison, of other batches, has found."""
        self.compared += other.compared
        self.compared_by_batch.update(other.compared_by_batch)
        self.counts.update(other.counts)
        self.examples += other.examples[: EXAMPLES - len(self.examples)]
        for batch, totals in other.found_totals.items():
            self.found_totals[batch] = added([self.found_totals.get(batch, {}), totals])

    def forget(self, kind: str, batch: str) -> None:
        """Take back the differences of a kind in a batch: they are looked for elsewhere."""
        del self.counts[kind, batch]
        self.examples = [one for one in self.examples if (one.kind, one.batch) != (kind, batch)]

    def add(self, kind: str, batches: pa.ChunkedArray, keys: pa.ChunkedArray) -> None:
        """Record rows that stand on one side only."""
        for row in batches.value_counts().to_pylist():
            self.counts[kind, row["values"]] += row["counts"]
        room = EXAMPLES - len(self.examples)
        for batch, key in zip(batches[:room].to_pylist(), keys[:room].to_pylist(), strict=True):
            self.examples.append(Difference(kind, batch, str(key)))


def compare_content(
    entity: str,
    expected: Iterable[pa.RecordBatch],
    found: Iterable[pa.RecordBatch],
    apart: Callable[[str, pa.Table], None] | None = None,
) -> ContentComparison:
    """Compare the cleaned rows with the rows of the target.

    Args:
        entity: The entity: its key pairs the rows, and groups of it their control totals.
        expected: Cleaned rows, with a column `batch`.
        found: Rows of the target with the same columns but `batch`; a column `inexact` may say (as text) that a
            stored value is no exact amount.
        apart: Takes the rows that differ; see `ContentComparison`.
    """
    comparison, key = ContentComparison(apart=apart), key_of(entity)
    with ExitStack() as stack:
        spill = _Spill(stack)
        left: pa.Table | None = None
        right: pa.Table | None = None
        for window, other in zip_longest(_windows(expected), _windows(found)):
            left, right = _compare_window(entity, comparison, _with(left, window), _with(right, other), key)
            if max(_rows(left), _rows(right)) > ROWS_CARRIED:
                spill.add(left, right, key)
                left = right = None
        for rest, other in spill.buckets(left, right, key):
            missing, unexpected = _compare_window(entity, comparison, rest, other, key)
            if missing is not None and missing.num_rows:
                comparison.add(MISSING, missing["batch"], missing[key])
                _set_apart(comparison, MISSING, missing.drop_columns(["batch"]))
            if unexpected is not None and unexpected.num_rows:
                comparison.add(UNEXPECTED, _batches_of(entity, unexpected), unexpected[key])
                _set_apart(comparison, UNEXPECTED, unexpected)
    return comparison


def _batches_of(entity: str, rows: pa.Table) -> pa.ChunkedArray:
    """Return the batch to which each row of the target would belong, as its date tells."""
    if entity == PARTITIONED:
        return pc.strftime(rows[DATE_COLUMN], format="%Y-%m")
    return pa.chunked_array([pa.repeat(pa.scalar(ALL), rows.num_rows)])


def _rows(table: pa.Table | None) -> int:
    return table.num_rows if table is not None else 0


def _with(carried: pa.Table | None, window: pa.Table | None) -> pa.Table | None:
    tables = [table for table in (carried, window) if _rows(table)]
    return pa.concat_tables(tables) if tables else None


def _windows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Cut a stream into windows of exactly ROWS_PER_WINDOW rows, so that both sides stay abreast."""
    pending: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + batch.num_rows >= ROWS_PER_WINDOW:
            room = ROWS_PER_WINDOW - count
            yield pa.Table.from_batches([*pending, batch.slice(0, room)])
            pending, count, batch = [], 0, batch.slice(room)
        if batch.num_rows:
            pending.append(batch)
            count += batch.num_rows
    if pending:
        yield pa.Table.from_batches(pending)


def _compare_window(
    entity: str,
    comparison: ContentComparison,
    expected: pa.Table | None,
    found: pa.Table | None,
    key: str,
) -> tuple[pa.Table | None, pa.Table | None]:
    """Compare the rows that have a partner and return the rows that have none."""
    if expected is None or found is None:
        return expected, found
    wanted, present = expected[key].combine_chunks(), found[key].combine_chunks()
    if wanted.equals(present):
        _compare_rows(entity, comparison, expected, found, key)
        return None, None
    places = pc.index_in(wanted, value_set=present)
    partner = np.asarray(pc.is_valid(places))
    taken = np.zeros(found.num_rows, np.bool_)
    chosen = np.asarray(places.drop_null())
    taken[chosen] = True
    if np.count_nonzero(taken) < len(chosen):
        # a row of the target is the partner of one row alone; another of the same key has none yet
        chosen, firsts = np.unique(chosen, return_index=True)
        matched = np.flatnonzero(partner)[firsts]
        partner = np.zeros(expected.num_rows, np.bool_)
        partner[matched] = True
        chosen = chosen[np.argsort(matched)]
    _compare_rows(entity, comparison, expected.filter(pa.array(partner)), found.take(pa.array(chosen)), key)
    return expected.filter(pa.array(~partner)), found.filter(pa.array(~taken))


def _compare_rows(entity: str, comparison: ContentComparison, expected: pa.Table, found: pa.Table, key: str) -> None:
    comparison.compared += expected.num_rows
    for batch, rows in by_batch(found.append_column("batch", expected["batch"])):
        comparison.compared_by_batch[batch] += rows.num_rows
        so_far = comparison.found_totals.get(batch, {})
        comparison.found_totals[batch] = added([so_far, control_totals(entity, rows)])
    changed = np.zeros(found.num_rows, np.bool_)
    for column in expected.column_names:
        if column not in ("batch", key) and not expected[column].equals(found[column]):
            unequal = _unequal(expected[column], found[column])
            changed |= unequal
            _record(comparison, expected, found, key, column, unequal)
    if INEXACT in found.column_names and found[INEXACT].null_count < found.num_rows:
        changed |= np.asarray(pc.is_valid(found[INEXACT]))
        _record_inexact(comparison, expected, found, key)
    if changed.any():
        _set_apart(comparison, DIFFERENT, found.filter(pa.array(changed)))


def _set_apart(comparison: ContentComparison, kind: str, rows: pa.Table) -> None:
    if comparison.apart is not None:
        comparison.apart(kind, rows)


def _unequal(expected: pa.ChunkedArray, found: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    differs = pc.fill_null(pc.not_equal(expected, found), False)
    return np.asarray(pc.or_(differs, pc.xor(pc.is_null(expected), pc.is_null(found))))


def _record(
    comparison: ContentComparison,
    expected: pa.Table,
    found: pa.Table,
    key: str,
    column: str,
    unequal: npt.NDArray[np.bool_],
) -> None:
    for place in map(int, np.flatnonzero(unequal)):
        batch = expected["batch"][place].as_py()
        comparison.counts[DIFFERENT, batch] += 1
        if len(comparison.examples) < EXAMPLES:
            values = [_shown(table[column][place].as_py(), column) for table in (expected, found)]
            comparison.examples.append(Difference(DIFFERENT, batch, str(expected[key][place].as_py()), column, *values))


def _record_inexact(comparison: ContentComparison, expected: pa.Table, found: pa.Table, key: str) -> None:
    for place in pc.indices_nonzero(pc.is_valid(found[INEXACT])).to_pylist():
        batch = expected["batch"][place].as_py()
        comparison.counts[DIFFERENT, batch] += 1
        if len(comparison.examples) < EXAMPLES:
            comparison.examples.append(
                Difference(
                    DIFFERENT,
                    batch,
                    str(expected[key][place].as_py()),
                    INEXACT,
                    None,
                    found[INEXACT][place].as_py(),
                )
            )


def _shown(value: object, column: str) -> str | None:
    if isinstance(value, int) and column in _DECIMALS:
        # a person knows amounts and rates, not cents and millionths
        return str(Decimal(value).scaleb(-_DECIMALS[column]))
    text = None if value is None else str(value)
    return masked(text) if column in PERSONAL_TARGET_COLUMNS else text


class _Spill:
    """Rows without a partner, parted by key into files on disk."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._writers: dict[tuple[str, int], pa.RecordBatchFileWriter] = {}
        self._folder: Path | None = None

    def add(self, expected: pa.Table | None, found: pa.Table | None, key: str) -> None:
        if self._folder is None:
            self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="reconciliation-")))
        for side, table in (("expected", expected), ("found", found)):
            if table is not None and table.num_rows:
                buckets = _bucket_of(table[key])
                for bucket in map(int, np.unique(buckets)):
                    rows = table.filter(pa.array(buckets == bucket))
                    self._writer(self._folder, side, bucket, rows.schema).write_table(rows)

    def _writer(self, folder: Path, side: str, bucket: int, schema: pa.Schema) -> pa.RecordBatchFileWriter:
        place = (side, bucket)
        if place not in self._writers:
            file = str(folder / f"{side}-{bucket}.arrow")
            self._writers[place] = self._stack.enter_context(pa.ipc.new_file(file, schema))
        return self._writers[place]

    def buckets(
        self, expected: pa.Table | None, found: pa.Table | None, key: str
    ) -> Iterator[tuple[pa.Table | None, pa.Table | None]]:
        """Yield what is left of both sides, bucket by bucket."""
        if self._folder is None:
            yield expected, found
            return
        self.add(expected, found, key)
        for writer in self._writers.values():
            writer.close()
        for bucket in range(BUCKETS):
            yield self._read("expected", bucket), self._read("found", bucket)

    def _read(self, side: str, bucket: int) -> pa.Table | None:
        if (side, bucket) not in self._writers or self._folder is None:
            return None
        with pa.OSFile(str(self._folder / f"{side}-{bucket}.arrow")) as file:
            return pa.ipc.open_file(file).read_all()


def _bucket_of(keys: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return the bucket of each key.

    Every row that comes here has lost its place, so speed matters less than spread.
    """
    texts = keys.to_pylist()
    return np.fromiter(
        (hashlib.blake2b(str(key).encode(), digest_size=1).digest()[0] % BUCKETS for key in texts), np.int64
    )
