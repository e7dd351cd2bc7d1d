"""A folder written aside: whole or not there, and what a killed process left is cleared away by the next one."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from accounts_migration.databases.partial_folders import partial_folder, put_in_place

_KILLED = """
import os, signal, sys
from pathlib import Path
from accounts_migration.databases.partial_folders import partial_folder
with partial_folder(Path(sys.argv[1]), ".partial-test-") as partial:
    (partial / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    with partial_folder(tmp_path / "new", ".partial-test-") as partial:
        assert stat.S_IMODE(partial.stat().st_mode) == 0o700
        (partial / "file").write_text("whole")
        put_in_place(partial, tmp_path / "new" / "final")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["final"]
    assert [path.name for path in (tmp_path / "new" / "final").iterdir()] == ["file"]


def test_nothing_stays_of_a_folder_that_was_not_finished(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in between"), partial_folder(tmp_path, ".partial-test-") as partial:
        (partial / "half").write_text("half")
        raise ValueError("in between")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)  # noqa: S603
    assert [path.name.startswith(".partial-test-") for path in tmp_path.iterdir()] == [True]
    with partial_folder(tmp_path, ".partial-other-"), partial_folder(tmp_path, ".partial-test-"):
        assert sorted(path.name.startswith(".partial-test-") for path in tmp_path.iterdir()) == [False, True]
    assert list(tmp_path.iterdir()) == []
