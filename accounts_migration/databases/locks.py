"""Locks that one process takes once, however often its parts ask for them.

Here: counting the holders within this process, and the refusal where another one has it. Not here: the lock itself,
which each target takes in its own way (`flock` beside a SQLite file, an advisory lock in PostgreSQL) and which the
system frees when the process dies.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from accounts_migration.errors import MigrationError

Release = Callable[[], None]


@dataclass
class _Held:
    holders: int
    release: Release


_guard = threading.Lock()
_held: dict[tuple[int, str], _Held] = {}


def held_elsewhere(target_name: str) -> MigrationError:
    """Return the error that another process holds the lock of a target."""
    return MigrationError(
        f"Cannot write into {target_name}",
        why=f"another migration or copy is writing to {target_name}",
        remedy="Wait for it to end, or stop it",
    )


@contextmanager
def held_once(name: str, acquire: Callable[[], Release]) -> Iterator[None]:
    """Hold the named lock: taken by the first holder in this process, released by the last.

    Args:
        name: Names what is locked; equal names are one lock.
        acquire: Takes the lock and returns what releases it; raises where another process has it.
    """
    # a forked child has the dictionary of its parent, but not its lock
    place = (os.getpid(), name)
    with _guard:
        entry = _held.get(place)
        if entry is None:
            entry = _held[place] = _Held(0, acquire())
        entry.holders += 1
    try:
        yield
    finally:
        with _guard:
            entry.holders -= 1
            if entry.holders == 0:
                del _held[place]
                entry.release()
