"""The content of a target's table against the staged rows: which rows are laid side by side.

Here: choosing both streams, and when they are read. Not here: the comparison
(`accounts_migration.reconciliation.content`).
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import pyarrow as pa

from accounts_migration.databases.target import BatchLoaded, Target
from accounts_migration.entities import Entity
from accounts_migration.reconciliation.content import MISSING, ContentComparison, compare_content
from accounts_migration.staging import Staged
from accounts_migration.streams import ROWS_PER_CHUNK, joined, read_ahead


def compare_entity(entity: Entity, staged: Staged, target: Target, *, everything: bool) -> ContentComparison:
    """Compare the staged rows of some batches with the rows of the target.

    Args:
        entity: The entity.
        staged: Its cleaned rows; `batches` names those compared.
        target: The target.
        everything: Whether the batches are all there are, so that the whole table is read at once.
    """
    return _compare(entity, staged, _found(entity, staged, target, everything))


def compare_rows(
    entity: Entity,
    expected: Iterable[pa.RecordBatch],
    target: Target,
    apart: Callable[[str, pa.Table], None] | None = None,
) -> ContentComparison:
    """Compare all rows of a table of the target with cleaned rows from anywhere.

    Args:
        entity: The entity.
        expected: The cleaned rows, with a column `batch`.
        target: The target.
        apart: Takes the rows that differ; see `ContentComparison`.
    """
    return compare_content(entity.name, read_ahead(joined(expected)), read_ahead(target.scan(entity.name)), apart)


def compare_found(entity: Entity, staged: Staged, found: Iterable[pa.RecordBatch]) -> ContentComparison:
    """Compare the staged rows with the rows of the target that somebody else reads, ahead of this."""
    return compare_content(entity.name, read_ahead(joined(staged.scan("rows"))), found)


class ReadBack:
    """Compares the batches of one load with their staged rows.

    A batch is read back at once, beside the load of the next one, where the target can find its rows; the others, and
    the few rows that went astray, when all are loaded. Use it as a context manager, which ends what still runs.
    """

    def __init__(self, entity: Entity, staged: Staged, target: Target) -> None:
        """Prepare to compare batches of `staged` with rows of the target."""
        self._entity, self._staged, self._target = entity, staged, target
        self._beside = ThreadPoolExecutor(max_workers=1)
        self._running: list[Future[ContentComparison]] = []
        self._later: list[str] = []
        self._strays: list[pa.Table] = []

    def __enter__(self) -> Self:
        """Return the comparison itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what runs and forget what does not run yet."""
        self._beside.shutdown(cancel_futures=True)

    def add(self, loaded: BatchLoaded) -> None:
        """Take a batch that was just loaded."""
        if loaded.place is None:
            self._later.append(loaded.batch)
            return
        found = self._target.scan_place(loaded.entity, loaded.place)
        self._running.append(self._beside.submit(self._compare_place, loaded, found))

    def _compare_place(self, loaded: BatchLoaded, found: Iterable[pa.RecordBatch]) -> ContentComparison:
        """Compare a batch with what stands at its place; the rows that must be elsewhere are kept for the end."""
        missing: list[pa.Table] = []

        def apart(kind: str, rows: pa.Table) -> None:
            if kind == MISSING and rows.num_rows <= loaded.strays:
                missing.append(rows.add_column(0, "batch", pa.repeat(pa.scalar(loaded.batch), rows.num_rows)))

        comparison = _compare(self._entity, self._staged.of([loaded.batch]), found, apart)
        if not loaded.strays:
            return comparison
        if sum(rows.num_rows for rows in missing) == loaded.strays == comparison.count(MISSING):
            self._strays += missing
            comparison.forget(MISSING, loaded.batch)
            return comparison
        # somebody has moved rows since
        self._later.append(loaded.batch)
        return ContentComparison()

    def result(self, *, everything: bool) -> ContentComparison:
        """Return what was found in all batches; `everything` as in `compare_entity`."""
        comparison = ContentComparison()
        for found in self._running:
            comparison.take(found.result())
        if self._later and everything:
            # one scan of the table is cheaper than one for each batch that waits
            return compare_entity(self._entity, self._staged, self._target, everything=True)
        if self._strays:
            strays = pa.concat_tables(self._strays)
            keys = strays[self._entity.target_columns[0]].to_pylist()
            found_astray = self._target.scan_keys(self._entity.name, keys)
            comparison.take(compare_content(self._entity.name, strays.to_batches(), found_astray))
        if self._later:
            rest = self._staged.of(self._later)
            comparison.take(compare_entity(self._entity, rest, self._target, everything=False))
        return comparison


def _compare(
    entity: Entity,
    staged: Staged,
    found: Iterable[pa.RecordBatch],
    apart: Callable[[str, pa.Table], None] | None = None,
) -> ContentComparison:
    expected = joined(staged.scan("rows"))
    if sum(staged.manifest(batch)["cleaned"] for batch in staged.batches) > ROWS_PER_CHUNK:
        # of one chunk there is nothing to read ahead: to wake a thread costs more
        expected, found = read_ahead(expected), read_ahead(found)
    return compare_content(entity.name, expected, found, apart)


def _found(entity: Entity, staged: Staged, target: Target, everything: bool) -> Iterator[pa.RecordBatch]:
    if everything or entity.batch_column is None:
        yield from target.scan(entity.name)
        return
    for batch in staged.batches:
        yield from target.scan(entity.name, batch)
