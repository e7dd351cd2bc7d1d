"""The administrator's commands: run without a shell, to their end or to their deadline."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.programs import run_program, words_of
from accounts_migration_tests.commands import PASSWORD


def test_a_command_is_parted_into_words_and_no_shell_reads_it(tmp_path: Path) -> None:
    assert words_of("CLEAR_CACHES", "redis-cli -n 1 'FLUSH DB' $HOME;ls") == [
        "redis-cli",
        "-n",
        "1",
        "FLUSH DB",
        "$HOME;ls",
    ]
    said = run_program("CLEAR_CACHES", f"touch '{tmp_path}/a b' {tmp_path}/$HOME", 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["$HOME", "a b"]
    assert said.startswith("touch ended well after 0.")


@pytest.mark.parametrize(("text", "why"), [("echo 'x", "its quotes do not match"), ("  ", "it names no program")])
def test_a_command_without_words_is_wrong_usage(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"Cannot read CLEAR_CACHES: {why}"):
        run_program("CLEAR_CACHES", text, 10)


def test_a_failing_command_names_its_status_and_neither_its_arguments_nor_what_it_said(
    capfd: pytest.CaptureFixture[str],
) -> None:
    command = f"sh -c 'echo {PASSWORD}; echo {PASSWORD} >&2; exit 3'"
    with pytest.raises(MigrationError) as failed:
        run_program("CLEAR_CACHES", command, 10)
    assert failed.value.what == "The command of CLEAR_CACHES failed"
    assert failed.value.why.startswith("sh ended with status 3 after 0.")
    assert PASSWORD not in str(failed.value) + "".join(capfd.readouterr())


def test_a_command_that_is_not_there_or_ends_by_a_signal_says_so(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="missing cannot be started: No such file or directory"):
        run_program("CLEAR_CACHES", str(tmp_path / "missing"), 10)
    with pytest.raises(MigrationError, match="sh was ended by SIGTERM after"):
        run_program("CLEAR_CACHES", "sh -c 'kill -TERM $$'", 10)


def test_a_hanging_command_is_stopped_with_its_children(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    started = time.monotonic()
    with pytest.raises(MigrationError) as failed:
        run_program("CLEAR_CACHES", f"sh -c \"sh -c 'echo child; exec sleep 600' > {tmp_path}/pipe & wait\"", 1)
    assert failed.value.why == "sh did not end within 1 s and was stopped"
    assert time.monotonic() - started < 10
    # a pipe ends when the last who could write to it is gone
    assert os.read(reading, 100) == b"child\n"
    ended = False
    for _ in range(100):
        with suppress(BlockingIOError):
            ended = os.read(reading, 100) == b""
        if ended:
            break
        time.sleep(0.05)
    os.close(reading)
    assert ended
