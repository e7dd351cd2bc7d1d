"""Files as evidence: their fingerprint, and that they have reached the disk.

Here: what snapshot, backup and rollback alike ask of a file. Not here: folders that are written aside
(`accounts_migration.databases.partial_folders`).
"""

import hashlib
import os
from pathlib import Path


def fingerprint(path: Path) -> str:
    """Return the sha256 of a file.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
