"""Work that a thread does beside its caller, and for which nobody waits but who asks for its result.

Here: beginning it. Not here: streams (`accounts_migration.streams`), and the work. It may only read: a process that
ends does not wait for it, as it would for the threads of a ThreadPoolExecutor, and cuts it off wherever it is.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def begun_beside(work: Callable[[], Result]) -> "Future[Result]":
    """Begin the work, and return what its result, or whatever it raises, is asked of."""
    future: Future[Result] = Future()

    def do() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whatever it is, who waits must learn of it
            future.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    return future
