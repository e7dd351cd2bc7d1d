"""Work beside its caller: its result or its error reaches who asks, and nobody else waits for it."""

import subprocess
import sys

import pytest

from accounts_migration.beside import begun_beside

ENDS_BEFORE_ITS_WORK = """
import threading
from accounts_migration.beside import begun_beside
begun = threading.Event()
begun_beside(lambda: (begun.set(), threading.Event().wait()))
begun.wait()
"""


def test_who_asks_has_the_result() -> None:
    assert begun_beside(lambda: "done").result() == "done"


def test_who_asks_learns_of_the_error() -> None:
    with pytest.raises(ZeroDivisionError):
        begun_beside(lambda: 1 // 0).result()


def test_a_process_that_ends_does_not_wait_for_what_it_has_begun() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDS_BEFORE_ITS_WORK], timeout=60, check=False)  # noqa: S603  # ours
    assert ended.returncode == 0
