"""A deadline for work that waits for somebody else's machine.

Here: giving up. A socket's own timeout begins anew with each byte, so a server that sends one byte now and then would
hold a command for ever. Not here: the work.
"""

from collections.abc import Callable
from typing import TypeVar

from accounts_migration.beside import begun_beside

_Result = TypeVar("_Result")


def within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """Return what the work returns, or raise what it raises, within so many seconds.

    Raises:
        TimeoutError: It is not done by then. It is left behind, and ends with this process at the latest.
    """
    return begun_beside(work).result(seconds)
