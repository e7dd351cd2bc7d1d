"""The archive of a migration: what must be kept of it, in one compressed file (guide, "Archive migration logs").

Here: writing it, with a list of digests inside and its own beside it, and reading it back. Not here: what goes into it
(`accounts_migration.assets.archive`). It is written aside and renamed when it is whole and proved.
"""

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import pyarrow as pa

from accounts_migration.databases.files import PARTIAL, fingerprint, write_whole, written_aside
from accounts_migration.errors import MigrationError

DIGESTS = "SHA256SUMS"
_AT_ONCE = 1024 * 1024
_SECONDS_LEFT_ALONE = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive: its name there, and its content or where that stands."""

    name: str
    content: bytes | Path


@dataclass(frozen=True, slots=True)
class Archive:
    """A whole archive: its files without the list of digests, its bytes, and its sha256."""

    path: Path
    files: int
    size: int
    sha256: str


def write_archive(path: Path, members: Iterable[Member], when: datetime) -> Archive:
    """Write an archive that only its owner can read, and its digest beside it as `sha256sum -c` reads it.

    Args:
        path: Its name, ending with `.tar.zst`; an earlier one of this name stays until the new one is proved.
        members: In the order in which they stand in it; a file that grows meanwhile is taken as long as it was.
        when: The time of its files; UTC.

    Raises:
        MigrationError: It cannot be written, or reads back as something else. None is left behind then.
    """
    with _explaining(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _delete_left(path.parent)
        with written_aside(path) as partial:
            digests = _written(partial, members, when)
            if read_archive(partial) != digests:
                raise OSError("what was written reads back as something else")
            archive = Archive(path, len(digests), partial.stat().st_size, fingerprint(partial))
        write_whole(path.with_name(f"{path.name}.sha256"), f"{archive.sha256}  {path.name}\n")
    return archive


def read_archive(path: Path) -> dict[str, str]:
    """Return name -> sha256 of every file of an archive, as they are read back, having compared them with its list.

    Raises:
        OSError: It cannot be read, or is not what its list says.
    """
    found: dict[str, str] = {}
    listed: dict[str, str] = {}
    try:
        with pa.input_stream(str(path), compression="zstd") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for info in tar:
                file = tar.extractfile(info)
                if file is None:
                    raise OSError(f"{info.name} is no file")
                if info.name == DIGESTS:
                    lines = file.read().decode().splitlines()
                    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
                else:
                    found[info.name] = _digest(file)
    except (tarfile.TarError, pa.ArrowException, EOFError) as error:
        raise OSError(f"it is no whole archive ({type(error).__name__})") from error
    if found != listed:
        raise OSError(f"its files are not what {DIGESTS} says")
    return found


def _delete_left(folder: Path) -> None:
    """Delete what killed processes left a day ago or more; a younger one may still be written."""
    for left in folder.glob(f"{PARTIAL}*"):
        if left.stat().st_mtime < time.time() - _SECONDS_LEFT_ALONE:
            left.unlink(missing_ok=True)


def _written(path: Path, members: Iterable[Member], when: datetime) -> dict[str, str]:
    digests: dict[str, str] = {}
    with pa.output_stream(str(path), compression="zstd") as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
        for member in members:
            digests[member.name] = _add(tar, member, when)
        content = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()
        _add(tar, Member(DIGESTS, content), when)
    return digests


def _add(tar: tarfile.TarFile, member: Member, when: datetime) -> str:
    info = tarfile.TarInfo(member.name)
    info.mode, info.mtime = 0o600, int(when.timestamp())
    with io.BytesIO(member.content) if isinstance(member.content, bytes) else member.content.open("rb") as file:
        info.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        source = _Digested(file)
        tar.addfile(info, source)
    return source.digest.hexdigest()


class _Digested(io.RawIOBase):
    """A file whose digest is taken of what is read of it."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.digest.update(content)
        return content


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while content := file.read(_AT_ONCE):
        digest.update(content)
    return digest.hexdigest()


@contextmanager
def _explaining(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MigrationError(
            f"Cannot write the archive into {folder}",
            why=_reason(error),
            remedy="Free some space, or name a folder that this user may write to in ARCHIVE_DIR; then finish again",
        ) from error


def _reason(error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"{error.filename}: {reason}" if error.filename else reason
