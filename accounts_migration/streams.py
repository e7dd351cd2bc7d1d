"""Streams of Arrow record batches.

Here: reading ahead, joining small pieces to ones of a good size, and the memory they take. Not here:
where the rows come from (`databases`, `staging`) or what they mean (`entities`).
"""

import ctypes
import platform
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import pyarrow as pa

ROWS_PER_CHUNK = 65_536

# glibc: parameters of mallopt(3), and a value for each
_M_ARENA_MAX, _ARENAS = -8, 2

Item = TypeVar("Item")
Result = TypeVar("Result")


def use_frugal_memory() -> None:
    """Let the C library give memory back, as Arrow's allocator does: it kept 100 MB more at the peak."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        # else each reading thread keeps an arena of its own
        library.mallopt(_M_ARENA_MAX, _ARENAS)


def give_memory_back() -> None:
    """Return to the system what earlier steps no longer use, before a step that needs much at once."""
    pa.default_memory_pool().release_unused()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


class _HandOver(Generic[Item]):
    """Items on their way from one thread to another, at most `depth` at once; once it is over, they are dropped."""

    def __init__(self, depth: int) -> None:
        self._ready: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(maxsize=depth)
        self._over = threading.Event()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def end(self) -> None:
        """Let nobody wait any more who would put something in."""
        self._over.set()

    def put(self, entry: tuple[Item | None, BaseException | None, bool]) -> None:
        """Hand over an item, an error, or the end."""
        while not self.is_over:
            try:
                self._ready.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return

    def __iter__(self) -> Iterator[Item]:
        while True:
            item, error, finished = self._ready.get()
            if error is not None:
                raise error
            if finished:
                return
            yield item  # type: ignore[misc]  # an entry that is neither error nor end holds an item


class _Ahead(Generic[Item]):
    """A stream that a thread of its own produces, at most `depth` items ahead of its reader, from now on."""

    def __init__(self, items: Iterable[Item], depth: int) -> None:
        self._produced = _HandOver[Item](depth)
        self._thread = threading.Thread(target=self._produce, args=(items,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        return iter(self._produced)

    def close(self) -> None:
        """Let the producer end, wherever it is, and wait for it."""
        self._produced.end()
        self._thread.join()

    def _produce(self, items: Iterable[Item]) -> None:
        try:
            for item in items:
                self._produced.put((item, None, False))
                if self._produced.is_over:
                    return
            self._produced.put((None, None, True))
        except BaseException as error:  # whatever it is, the reader must learn of it
            self._produced.put((None, error, True))


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


def in_common(
    items: Iterable[Item], consumers: Sequence[Callable[[Iterable[Item]], Result]], depth: int = 1
) -> list[Result]:
    """Let each consumer, in a thread of its own, have all the items, which are produced once; return their results.

    The slowest sets the pace. An error of the producer reaches every consumer; the first consumer's error is raised.
    """
    if not consumers:
        return []
    shares = [_HandOver[Item](depth) for _ in consumers]
    with ThreadPoolExecutor(max_workers=len(consumers)) as threads:
        running = [
            threads.submit(_consumed, consumer, share) for consumer, share in zip(consumers, shares, strict=True)
        ]
        try:
            for item in items:
                for share in shares:
                    share.put((item, None, False))
                if all(share.is_over for share in shares):
                    break
        except BaseException as error:  # whatever it is, the consumers must learn of it
            for share in shares:
                share.put((None, error, True))
        for share in shares:
            share.put((None, None, True))
        return [future.result() for future in running]


def _consumed(consumer: Callable[[Iterable[Item]], Result], share: _HandOver[Item]) -> Result:
    """Let the consumer have its share; what it no longer wants is dropped."""
    try:
        return consumer(share)
    finally:
        share.end()


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
