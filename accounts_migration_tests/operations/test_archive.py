"""The archive: what it holds reads back by other programs, and nothing half stays."""

import hashlib
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accounts_migration.errors import MigrationError
from accounts_migration.operations.archive import Member, read_archive, write_archive

WHEN = datetime(2026, 11, 28, 22, 0, tzinfo=UTC)
EMPTY = hashlib.sha256(b"").hexdigest()


def members(folder: Path) -> Iterator[Member]:
    log = folder / "migration.log"
    log.write_bytes(b"line\n" * 100_000)
    yield Member("logs/migration.log", log)
    yield Member("checks.json", b"{}")
    yield Member("nothing", b"")


def test_it_holds_every_file_with_its_digest_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    archive = write_archive(folder / "m.tar.zst", members(tmp_path), WHEN)
    digests = {
        "logs/migration.log": hashlib.sha256(b"line\n" * 100_000).hexdigest(),
        "checks.json": hashlib.sha256(b"{}").hexdigest(),
        "nothing": EMPTY,
    }
    whole = (folder / "m.tar.zst").read_bytes()
    assert read_archive(archive.path) == digests
    assert (archive.files, archive.size) == (3, len(whole))
    assert archive.sha256 == hashlib.sha256(whole).hexdigest()
    assert (folder / "m.tar.zst.sha256").read_text() == f"{archive.sha256}  m.tar.zst\n"
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "m.tar.zst": 0o600,
        "m.tar.zst.sha256": 0o600,
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_same_files_give_the_same_archive(tmp_path: Path) -> None:
    first = write_archive(tmp_path / "one.tar.zst", members(tmp_path), WHEN)
    second = write_archive(tmp_path / "two.tar.zst", members(tmp_path), WHEN)
    assert first.sha256 == second.sha256


def test_a_changed_cut_off_or_strange_file_does_not_read_back(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "m.tar.zst", members(tmp_path), WHEN).path
    whole = path.read_bytes()
    for content in (whole[:-20], whole[: len(whole) // 2], b"", b"no archive", bytes(reversed(whole))):
        path.write_bytes(content)
        with pytest.raises(OSError):
            read_archive(path)


def test_a_folder_that_cannot_be_written_or_a_file_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MigrationError) as refused:
        write_archive(tmp_path / "file" / "m.tar.zst", members(tmp_path), WHEN)
    assert refused.value.what == f"Cannot write the archive into {tmp_path / 'file'}"
    assert "ARCHIVE_DIR" in refused.value.remedy
    folder = tmp_path / "archive"
    with pytest.raises(MigrationError, match="No such file or directory"):
        write_archive(folder / "m.tar.zst", [Member("a", b"a"), Member("gone", tmp_path / "gone")], WHEN)
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_is_deleted_after_a_day(tmp_path: Path) -> None:
    young, old = tmp_path / ".partial-young.tar.zst", tmp_path / ".partial-old.tar.zst"
    young.write_bytes(b"half")
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    write_archive(tmp_path / "m.tar.zst", [Member("a", b"a")], WHEN)
    assert (young.exists(), old.exists()) == (True, False)


FULL = """
import datetime, os, pathlib, resource, sys
from accounts_migration.errors import MigrationError
from accounts_migration.operations.archive import Member, write_archive
folder = pathlib.Path(sys.argv[1])
write_archive(folder / "m.tar.zst", [Member("a", b"first")], datetime.datetime(2026, 1, 1))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_archive(folder / "m.tar.zst", [Member("a", os.urandom(1_000_000))], datetime.datetime(2026, 1, 1))
except MigrationError as error:
    print(error.why)
"""


def test_a_full_disk_leaves_the_archive_that_stood(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603  # this interpreter
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "File too large\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.tar.zst", "m.tar.zst.sha256"]
    assert read_archive(tmp_path / "m.tar.zst") == {"a": hashlib.sha256(b"first").hexdigest()}


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(512 * 1024 * 1024)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_archive(tmp_path / "m.tar.zst", [Member("large", large)], WHEN)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # kilobytes; bytes on macOS
    assert grown < 100 * 1024 * (1024 if sys.platform == "darwin" else 1)
    large.unlink()
