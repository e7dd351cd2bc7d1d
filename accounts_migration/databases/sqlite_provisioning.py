"""What a SQLite target is asked before a migration; nothing of it is written.

Here: version, write lock, throughput of the disk. Not here: what follows from the answers
(`accounts_migration.preflight`), the rights of file and folder (`sqlite_opening`), and the tables' structure
(`sqlite_structure`).
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import IO

from accounts_migration.databases.provisioning import (
    BYTES_SENT,
    ROUND_TRIPS,
    Provisioning,
    Throughput,
    incompressible,
)
from accounts_migration.databases.session import Session
from accounts_migration.errors import MigrationError

_PAGE = 4096
_BUSY_MILLISECONDS = 1000


def provisioning(session: Session) -> Provisioning:
    """Return what the library tells that writes the file."""
    version, mode = session.version(), str(session.value("PRAGMA journal_mode"))
    return Provisioning({"version": f"SQLite {version}", "journal": mode})


def denied(session: Session) -> list[str]:
    """Take the write lock of the file and give it back; return why that cannot be.

    Args:
        session: A connection of its own: it does not wait long for the lock from then on.
    """
    session.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    try:
        with session.transaction():
            return []
    except MigrationError as error:
        return [error.why]


def throughput(folder: Path, name: str) -> Throughput:
    """Write a scratch file into the folder of the target, shown as `name`, and onto the disk.

    Raises:
        MigrationError: It cannot be written.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as scratch:
            trips = [_written(scratch, _PAGE) for _ in range(ROUND_TRIPS)]
            seconds = _written(scratch, BYTES_SENT)
    except OSError as error:
        raise MigrationError(
            f"Cannot write beside the target {name}",
            why=str(error.strerror),
            remedy="Free disk space there, or check the rights of its folder",
        ) from error
    return Throughput(statistics.median(trips), BYTES_SENT, seconds)


def _written(scratch: IO[bytes], size: int) -> float:
    """Write some bytes onto the disk and return the seconds that it took."""
    payload = incompressible(size)
    started = time.perf_counter()
    scratch.write(payload)
    scratch.flush()
    os.fsync(scratch.fileno())
    return time.perf_counter() - started
