"""A deadline for work that waits for somebody else's machine.

Here: giving up. A socket's own timeout begins anew with each byte, so a server that sends one byte now and then would
hold a command for ever. Not here: the work.
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

_Result = TypeVar("_Result")


def within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """Return what the work returns, or raise what it raises, within so many seconds.

    Raises:
        TimeoutError: It is not done by then. It is left behind, and ends with this process at the latest.
    """
    done: SimpleQueue[tuple[list[_Result], BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            done.put(([work()], None))
        except BaseException as error:
            done.put(([], error))

    threading.Thread(target=run, daemon=True).start()
    try:
        results, raised = done.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if raised is not None:
        raise raised
    return results[0]
