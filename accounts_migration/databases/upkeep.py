"""What is done to a target after its last load, so that the service finds it whole, compact and with statistics.

Here: the plain data of an optimisation, and taking its steps one after the other with their times. Not here: the steps
of an engine (`sqlite_upkeep`, `postgres_upkeep`).
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an optimisation, and how long it took in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Optimised:
    """What an optimisation did: its steps in order, and the bytes of the database before and after it."""

    steps: list[Step]
    bytes_before: int
    bytes_after: int


Work = tuple[str, Callable[[], object]]
"""A step before it is taken: its name and what it does."""


def taken(works: Iterable[Work], size: Callable[[], int]) -> Optimised:
    """Take the steps in order; a failing one ends it, and all before it stay done."""
    before, steps = size(), []
    for name, work in works:
        started = time.monotonic()
        work()
        steps.append(Step(name, round(time.monotonic() - started, 3)))
    return Optimised(steps, before, size())
