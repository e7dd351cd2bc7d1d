"""Files as evidence: their fingerprint, that they are whole under their name, and that they have reached the disk.

Here: what snapshot, backup, reports and rollback alike ask of a file or its place. Not here: folders written aside
(`accounts_migration.databases.partial_folders`).
"""

import fcntl
import glob
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from accounts_migration.errors import UsageError

PARTIAL = ".partial-"
"""How the name of a file begins that is being written aside, or was left so by a killed process."""


def fingerprint(path: Path) -> str:
    """Return the sha256 of a file.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolved(path: Path) -> Path:
    """Return the absolute path of the file itself, whatever links lead to it; it need not be there.

    Raises:
        UsageError: The links lead nowhere but back to themselves.
    """
    found = Path(os.path.realpath(path))
    # in a folder that is closed to this user nothing can be told: whoever opens the file learns why not
    with suppress(PermissionError):
        if found.is_symlink():
            raise UsageError(f"Cannot use {path}", why="its links lead in a circle", remedy="Name the file itself")
    return found


def nearest_standing(path: Path) -> Path:
    """Return the path, or the nearest one above it that stands: what a folder that is still to be made depends on."""
    path = path.resolve()
    return next(one for one in (path, *path.parents) if one.exists())


def onto_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk itself.

    Raises:
        OSError: The disk failed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: str | bytes, *, mode: int = 0o600) -> None:
    """Write a file whole or not at all; see `written_aside`. Text is written as UTF-8."""
    with written_aside(path, mode=mode) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def written_aside(path: Path, *, mode: int = 0o600) -> Iterator[Path]:
    """Yield an empty file beside the path, which gets this name at the end of the block, when it is on the disk.

    A file that stood there stays until then. What was not finished is deleted: at once or, after a kill, by the next
    one that writes this path.

    Args:
        path: The file's name.
        mode: Its rights, from which the process's umask is taken away.

    Raises:
        OSError: It cannot be written.
    """
    _delete_left(path)
    partial, descriptor = _locked(path, mode)
    try:
        yield partial
        os.fsync(descriptor)
        partial.replace(path)
        onto_disk(path.parent)
    finally:
        partial.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path, mode: int) -> tuple[Path, int]:
    while True:
        partial = path.with_name(f"{PARTIAL}{path.name}-{secrets.token_hex(4)}")
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if partial.exists():
            return partial, descriptor
        # another process took it for a dead one's before it was locked
        os.close(descriptor)


def _delete_left(path: Path) -> None:
    """Delete what can be locked of this path: its process is gone."""
    for left in path.parent.glob(f"{PARTIAL}{glob.escape(path.name)}-????????"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
