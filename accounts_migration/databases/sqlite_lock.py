"""The lock file of a SQLite target: one process at a time writes into it, or puts a backup in its place.

Here: the file beside the target, whose lock ends with the process that holds it. Not here: that a process may take it
again (`locks`), and SQLite's own locks, which hold for one transaction alone.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from accounts_migration.databases.locks import Release, held_elsewhere
from accounts_migration.errors import MigrationError


def lock_name(path: Path) -> str:
    """Return what names the lock of a file, whose path is resolved."""
    return f"sqlite:{path}"


def acquire_lock(path: Path, name: str) -> Release:
    """Take the lock of a target file, which need not exist or be a database; see `Target.lock`.

    Args:
        path: The file, resolved.
        name: How it is shown.

    Raises:
        MigrationError: Another process holds the lock.
    """
    beside = path.with_name(f"{path.name}.lock")
    descriptor = _locked(beside, name)
    while not _is_file_of(descriptor, beside):
        # whoever held it found no target to keep it beside, and removed it between our opening and our locking
        os.close(descriptor)
        descriptor = _locked(beside, name)
    _give_to_owner(descriptor, path if path.exists() else path.parent)
    return lambda: _release_lock(descriptor, beside, path)


def _give_to_owner(descriptor: int, model: Path) -> None:
    """Give root's lock file to the owner of the target, who could not open it the next time."""
    owner = model.stat()
    if os.geteuid() == 0 and os.fstat(descriptor).st_uid != owner.st_uid:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _release_lock(descriptor: int, beside: Path, path: Path) -> None:
    """Let go; of a migration that was refused before it made the target, no lock file stays either."""
    if not path.exists():
        with suppress(OSError):
            beside.unlink()
    os.close(descriptor)


def _locked(beside: Path, name: str) -> int:
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MigrationError(
            f"Cannot write into {name}",
            why=f"its lock file cannot be opened: {error.strerror}",
            remedy="Check the rights of its folder",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise held_elsewhere(name) from None
    return descriptor


def _is_file_of(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
