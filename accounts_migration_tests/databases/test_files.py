"""Files that are written aside: whole under their name or not at all, their owner's alone, and nothing left beside."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from accounts_migration.databases.files import write_whole, written_aside

_WRITER = """
import sys
from pathlib import Path
from accounts_migration.databases.files import written_aside
with written_aside(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    sys.stdin.readline()
"""


def writer(path: Path) -> "subprocess.Popen[str]":
    """Start a process that has half of the file written and waits."""
    process = subprocess.Popen(  # noqa: S603  # this interpreter
        [sys.executable, "-c", _WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


@pytest.mark.parametrize(("content", "stored"), [("Ada é\n", b"Ada \xc3\xa9\n"), (b"\x00\xff", b"\x00\xff"), ("", b"")])
def test_a_file_is_whole_and_its_owners_alone(content: str | bytes, stored: bytes, tmp_path: Path) -> None:
    write_whole(tmp_path / "file.json", content)
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]
    assert (tmp_path / "file.json").read_bytes() == stored
    assert stat.S_IMODE((tmp_path / "file.json").stat().st_mode) == 0o600


def test_others_may_read_a_file_where_it_is_said(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_whole(tmp_path / "file", "text", mode=0o666)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_file_that_stood_there_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("earlier")
    with written_aside(path) as partial:
        partial.write_text("later")
        assert (path.read_text(), partial.parent) == ("earlier", tmp_path)
    assert [path.read_text()] == [one.read_text() for one in tmp_path.iterdir()] == ["later"]


def test_what_fails_leaves_the_earlier_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("earlier")
    with pytest.raises(ValueError, match="in between"), written_aside(path) as partial:
        partial.write_text("half")
        raise ValueError("in between")
    assert [one.read_text() for one in tmp_path.iterdir()] == ["earlier"]


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "file", "text")


def test_what_a_killed_process_left_is_cleared_away_by_the_next_one_and_what_is_written_is_not(tmp_path: Path) -> None:
    """Also where the name holds what stands for other names elsewhere."""
    path = tmp_path / "file[1]*.json"
    killed = writer(path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert [one.name.startswith(".partial-file[1]*.json-") for one in tmp_path.iterdir()] == [True]
    at_work, other = writer(path), writer(tmp_path / "file1.json")
    assert len(list(tmp_path.iterdir())) == 2
    write_whole(path, "whole")
    assert path.read_text() == "whole"
    for process in (at_work, other):
        process.communicate("\n")
        assert process.returncode == 0
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {path.name: "half", "file1.json": "half"}


_RACER = """
import sys
from pathlib import Path
from accounts_migration.databases.files import write_whole
for _ in range(100):
    write_whole(Path(sys.argv[1]), sys.argv[2] * 10_000)
    assert set(Path(sys.argv[1]).read_text()) in ({"a"}, {"b"})
"""


def test_two_processes_that_write_one_file_each_write_it_whole(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _RACER, str(tmp_path / "file")]
    racers = [subprocess.Popen([*words, letter]) for letter in "ab"]  # noqa: S603  # this interpreter
    assert [racer.wait(60) for racer in racers] == [0, 0]
    [file] = tmp_path.iterdir()
    assert len(file.read_text()) == 10_000


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("earlier")
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from accounts_migration.databases.files import write_whole\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try: write_whole(Path(sys.argv[1]), 'x' * 2000)\n"
        "except OSError as error: print(error.strerror)"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "file")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603  # this interpreter
    assert done.stdout == "File too large\n"
    assert [one.read_text() for one in tmp_path.iterdir()] == ["earlier"]
