"""A lock that one process takes once, however many of its parts hold it."""

import os
import threading
from collections.abc import Callable
from itertools import count

import pytest

from accounts_migration.databases.locks import Release, held_once

Take = Callable[[], Release]
_NAMES = count(1)


class Book:
    """A lock that writes down when it was taken and released."""

    def __init__(self) -> None:
        self.name = f"lock {next(_NAMES)}"
        self.lines: list[str] = []

    def take(self) -> Release:
        self.lines.append("taken")
        return lambda: self.lines.append("released")


@pytest.fixture
def book() -> Book:
    return Book()


def test_it_is_taken_by_the_first_holder_and_released_by_the_last(book: Book) -> None:
    with held_once(book.name, book.take):
        with held_once(book.name, book.take), held_once(book.name, book.take):
            assert book.lines == ["taken"]
        assert book.lines == ["taken"]
    assert book.lines == ["taken", "released"]


def test_it_can_be_taken_again(book: Book) -> None:
    for _ in range(2):
        with held_once(book.name, book.take):
            pass
    assert book.lines == ["taken", "released"] * 2


def test_it_is_released_where_the_block_raises(book: Book) -> None:
    with pytest.raises(ZeroDivisionError), held_once(book.name, book.take):
        raise ZeroDivisionError
    assert book.lines == ["taken", "released"]


def test_another_name_is_another_lock(book: Book) -> None:
    other = Book()
    with held_once(book.name, book.take), held_once(other.name, other.take):
        assert (book.lines, other.lines) == (["taken"], ["taken"])


def test_a_lock_that_another_process_has_is_not_held(book: Book) -> None:
    def refused() -> Release:
        raise BlockingIOError

    with pytest.raises(BlockingIOError), held_once(book.name, refused):
        pass
    with held_once(book.name, book.take):
        assert book.lines == ["taken"]
    assert book.lines == ["taken", "released"]


def test_the_last_holder_may_be_another_one_than_the_first(book: Book) -> None:
    first, second = held_once(book.name, book.take), held_once(book.name, book.take)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert book.lines == ["taken"]
    second.__exit__(None, None, None)
    assert book.lines == ["taken", "released"]


def test_threads_share_it_and_take_it_once(book: Book) -> None:
    inside = threading.Barrier(8)

    def hold() -> None:
        with held_once(book.name, book.take):
            inside.wait(10)

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (inside.broken, book.lines) == (False, ["taken", "released"])


def test_a_forked_child_has_not_the_lock_of_its_parent(book: Book) -> None:
    with held_once(book.name, book.take):
        child = os.fork()
        if child == 0:
            with held_once(book.name, book.take):
                os._exit(len(book.lines))
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 2, "the child took it for itself"
    assert book.lines == ["taken", "released"]
