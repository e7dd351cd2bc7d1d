"""A folder that is written aside and gets its name when it is whole.

Here: making it, and clearing away those that killed processes left. Not here: what is written into it
(`accounts_migration.databases.snapshot`, `accounts_migration.operations.backup`).
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_IN_USE = "in-use"


@contextmanager
def partial_folder(folder: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder, its owner's alone, whose name begins with the prefix.

    What was not put in its place by the end of the block is deleted: at once or, after a kill, by the next one.

    Raises:
        OSError: It cannot be made.
    """
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _delete_left(folder, prefix)
    partial, mark = _marked(folder, prefix)
    try:
        with mark:
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put_in_place(partial: Path, final: Path) -> None:
    """Give the folder its name, under which nothing may stand yet."""
    partial.rename(final)
    (final / _IN_USE).unlink()


def _marked(folder: Path, prefix: str) -> tuple[Path, IO[str]]:
    while True:
        partial = folder / f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"
        partial.mkdir(mode=0o700)
        mark = (partial / _IN_USE).open("x")
        fcntl.flock(mark, fcntl.LOCK_EX)
        if (partial / _IN_USE).exists():
            return partial, mark
        # another process took it for a dead one's before it was locked
        mark.close()


def _delete_left(folder: Path, prefix: str) -> None:
    """Delete the folders whose mark can be locked: their process is gone."""
    for mark in folder.glob(f"{prefix}*/{_IN_USE}"):
        with suppress(OSError), mark.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(mark.parent, ignore_errors=True)
