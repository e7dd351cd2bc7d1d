"""Streams of Arrow record batches.

Here: reading ahead, joining small pieces to ones of a good size, and the memory they take. Not here:
where the rows come from (`databases`, `staging`) or what they mean (`entities`).
"""

import ctypes
import platform
import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import pyarrow as pa

ROWS_PER_CHUNK = 65_536

# glibc: parameters of mallopt(3), and a value for each
_M_ARENA_MAX, _ARENAS = -8, 2

Item = TypeVar("Item")


def use_frugal_memory() -> None:
    """Let the C library give memory back, as Arrow's allocator does: it kept 100 MB more at the peak."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        # else each reading thread keeps an arena of its own
        library.mallopt(_M_ARENA_MAX, _ARENAS)


class _Ahead(Generic[Item]):
    """A stream that a thread of its own produces, at most `depth` items ahead of its reader, from now on."""

    def __init__(self, items: Iterable[Item], depth: int) -> None:
        self._ready: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(maxsize=depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._produce, args=(items,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        while True:
            item, error, finished = self._ready.get()
            if error is not None:
                raise error
            if finished:
                return
            yield item  # type: ignore[misc]  # an entry that is neither error nor end holds an item

    def close(self) -> None:
        """Let the producer end, wherever it is, and wait for it."""
        self._stopped.set()
        self._thread.join()

    def _produce(self, items: Iterable[Item]) -> None:
        try:
            for item in items:
                self._hand_over((item, None, False))
                if self._stopped.is_set():
                    return
            self._hand_over((None, None, True))
        except BaseException as error:  # whatever it is, the reader must learn of it
            self._hand_over((None, error, True))

    def _hand_over(self, entry: tuple[Item | None, BaseException | None, bool]) -> None:
        while not self._stopped.is_set():
            try:
                self._ready.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return


def read_ahead(items: Iterable[Item], depth: int = 1) -> Iterator[Item]:
    """Yield the items while a thread already produces the next ones; an error of the producer is raised here."""
    ahead = _Ahead(items, depth)
    try:
        yield from ahead
    finally:
        ahead.close()


def one_after_the_other(streams: Iterable[Iterable[Item]], at_once: int = 2, depth: int = 2) -> Iterator[Item]:
    """Yield the items of the first stream, then of the second and so on, while `at_once` of them are produced."""
    running: deque[_Ahead[Item]] = deque()
    try:
        for stream in streams:
            running.append(_Ahead(stream, depth))
            if len(running) == at_once:
                yield from running[0]
                running.popleft().close()
        while running:
            yield from running[0]
            running.popleft().close()
    finally:
        for ahead in running:
            ahead.close()


def joined(batches: Iterable[pa.RecordBatch], rows: int = ROWS_PER_CHUNK) -> Iterator[pa.RecordBatch]:
    """Yield batches of about `rows` rows, in the same order: every step has a fixed cost for each batch."""
    pending: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        if pending and count + batch.num_rows > rows:
            yield pa.concat_batches(pending)
            pending, count = [], 0
        pending.append(batch)
        count += batch.num_rows
    if pending:
        yield pa.concat_batches(pending)


def by_batch(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield (batch label, its rows without the label) of a table with a column `batch`, keeping the rows' order."""
    if table.num_rows == 0:
        return
    rows = table.drop_columns(["batch"])
    labels = table["batch"].combine_chunks().dictionary_encode()
    codes, names = labels.indices.to_numpy(), labels.dictionary.to_pylist()
    if len(names) == 1:
        yield names[0], rows
        return
    order = codes.argsort(kind="stable")
    in_order = bool((codes[1:] >= codes[:-1]).all())
    sorted_rows = rows if in_order else rows.take(pa.array(order))
    starts = codes[order].searchsorted(range(len(names) + 1))
    for place, name in enumerate(names):
        yield name, sorted_rows.slice(starts[place], starts[place + 1] - starts[place])
