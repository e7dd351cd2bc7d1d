"""Streams of rows: read ahead in order, joined without loss, parted by batch; errors and endings reach both sides."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts_migration.streams import by_batch, in_common, joined, one_after_the_other, read_ahead


def rows(first: int, end: int) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(range(first, end), pa.int64())})


class Producer(Iterable[int]):
    """Numbers, with a record of how many were taken and whether the production has ended."""

    def __init__(self, count: int, fails_with: Exception | None = None) -> None:
        self.count = count
        self.fails_with = fails_with
        self.produced = 0
        self.ended = False

    def __iter__(self) -> Iterator[int]:
        """Produce the numbers, then fail if that is wanted."""
        try:
            for number in range(self.count):
                self.produced += 1
                yield number
            if self.fails_with:
                raise self.fails_with
        finally:
            self.ended = True


@pytest.mark.parametrize("count", [0, 1, 100])
def test_reading_ahead_keeps_the_items_and_their_order(count: int) -> None:
    assert list(read_ahead(Producer(count))) == list(range(count))


def test_an_item_may_be_none() -> None:
    assert list(read_ahead([None, 1, None])) == [None, 1, None]


def test_an_error_of_the_producer_is_raised_after_the_items_before_it() -> None:
    seen = []
    with pytest.raises(OSError, match="the disk went away"):
        for item in read_ahead(Producer(3, OSError("the disk went away"))):
            seen.append(item)
    assert seen == [0, 1, 2]


def test_only_a_few_items_are_produced_ahead() -> None:
    producer = Producer(1000)
    items = read_ahead(producer, depth=2)
    assert next(items) == 0
    time.sleep(0.05)
    assert producer.produced <= 4
    items.close()  # type: ignore[attr-defined]  # a generator


def test_a_reader_that_stops_ends_the_producer() -> None:
    producer, threads = Producer(1000), threading.active_count()
    items = read_ahead(producer)
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]  # a generator
    assert threading.active_count() == threads
    assert producer.ended


def test_streams_are_read_one_after_the_other() -> None:
    producers = [Producer(count) for count in (3, 0, 1, 50)]
    assert list(one_after_the_other(producers)) == [0, 1, 2, 0, *range(50)]
    assert all(producer.ended for producer in producers)


def test_an_error_of_a_later_stream_is_raised_in_its_turn() -> None:
    seen = []
    with pytest.raises(OSError, match="second"):
        for item in one_after_the_other([Producer(40), Producer(2, OSError("second")), Producer(5)]):
            seen.append(item)
    assert seen == [*range(40), 0, 1]


def test_a_reader_that_stops_ends_all_streams() -> None:
    threads = threading.active_count()
    items = one_after_the_other([Producer(1000), Producer(1000), Producer(1000)])
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]  # a generator
    assert threading.active_count() == threads


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 9), max_size=12), limit=st.integers(1, 12))
def test_joining_keeps_every_row_and_its_place(sizes: list[int], limit: int) -> None:
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    parts = [rows(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    found = list(joined(parts, limit))
    assert [n for part in found for n in part["n"].to_pylist()] == list(range(sum(sizes)))
    assert all(part.num_rows <= max(limit, *sizes) for part in found)
    assert all(one.num_rows + two.num_rows > limit for one, two in pairwise(found) if two.num_rows)


def test_small_batches_are_joined_up_to_the_size() -> None:
    parts = [rows(0, 2), rows(2, 4), rows(4, 6), rows(6, 16), rows(16, 17)]
    assert [part.num_rows for part in joined(parts, 4)] == [4, 2, 10, 1]


def test_nothing_joined_is_nothing() -> None:
    assert list(joined([])) == []


def labelled(labels: list[str], chunks: int = 1) -> pa.Table:
    table = pa.table({"batch": pa.array(labels, pa.string()), "n": pa.array(range(len(labels)), pa.int64())})
    width = max(1, len(labels) // chunks)
    return pa.concat_tables([table.slice(start, width) for start in range(0, len(labels), width)] or [table])


@settings(max_examples=80, deadline=None)
@given(labels=st.lists(st.sampled_from(["2024-01", "2024-02", "undated"]), max_size=30), chunks=st.integers(1, 4))
def test_every_row_goes_to_its_batch_in_its_order(labels: list[str], chunks: int) -> None:
    parts = list(by_batch(labelled(labels, chunks)))
    assert len({batch for batch, _ in parts}) == len(parts)
    assert all(part.column_names == ["n"] for _, part in parts)
    assert {batch: part["n"].to_pylist() for batch, part in parts} == {
        batch: [n for n, label in enumerate(labels) if label == batch] for batch in set(labels)
    }


# one stream for several readers


def test_every_reader_has_all_items_and_they_are_produced_once() -> None:
    producer = Producer(50)
    assert in_common(producer, [list, sum, lambda items: max(items)]) == [list(range(50)), 1225, 49]
    assert (producer.produced, producer.ended) == (50, True)


def test_without_a_reader_nothing_is_produced() -> None:
    producer = Producer(50)
    assert in_common(producer, []) == []
    assert producer.produced == 0


def test_readers_of_different_speed_stay_a_few_items_apart() -> None:
    ahead: list[int] = []
    counts = [0, 0]

    def reader(place: int, pause: float) -> Callable[[Iterable[int]], None]:
        def read(items: Iterable[int]) -> None:
            for _ in items:
                counts[place] += 1
                ahead.append(abs(counts[0] - counts[1]))
                time.sleep(pause)

        return read

    in_common(Producer(30), [reader(0, 0), reader(1, 0.002)])
    assert counts == [30, 30]
    assert max(ahead) <= 4


def test_a_reader_that_fails_or_stops_does_not_hold_the_others_up() -> None:
    def fail(items: Iterable[int]) -> None:
        for item in items:
            if item == 3:
                raise ValueError("three")

    seen: list[int] = []
    with pytest.raises(ValueError, match="three"):
        in_common(Producer(50), [seen.extend, fail])
    assert seen == list(range(50))
    assert in_common(Producer(50), [lambda items: next(iter(items)), sum]) == [0, 1225]


def test_when_all_readers_have_stopped_nothing_more_is_produced() -> None:
    producer = Producer(1_000_000)
    assert in_common(producer, [lambda items: next(iter(items))] * 2) == [0, 0]
    assert producer.produced < 1_000_000


def test_an_error_of_the_producer_reaches_the_caller_through_every_reader() -> None:
    told: list[str] = []

    def read(items: Iterable[int]) -> None:
        try:
            for _ in items:
                pass
        except OSError as error:
            told.append(str(error))
            raise

    with pytest.raises(OSError, match="the disk"):
        in_common(Producer(5, OSError("the disk")), [read, read])
    assert told == ["the disk", "the disk"]
