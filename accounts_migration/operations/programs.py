"""Programs that the administrator configured: their words, and running them to their end.

Here: without a shell, within a deadline, and what may be told of it. What a program says is not kept: nobody knows what
is in it. Nor are its arguments shown, which may hold a password. Not here: when one runs.
"""

import os
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from accounts_migration.errors import MigrationError, UsageError


def words_of(setting: str, text: str) -> list[str]:
    """Return the words of a command as a shell would part them.

    Raises:
        UsageError: Its quotes do not match, or there is none.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(
            f"Cannot read {setting}",
            why=f"its quotes do not match ({error})",
            remedy="Write the program and its arguments as in a shell; what a shell does with them is not done",
        ) from error
    if not words:
        raise UsageError(f"Cannot read {setting}", why="it names no program", remedy="Name one, or do not set it")
    return words


def run_program(setting: str, text: str, timeout: float) -> str:
    """Run a command to its end and return in a sentence what was done; its children end with it when it takes too long.

    Args:
        setting: The setting that holds it.
        text: The command.
        timeout: Seconds that it may take.

    Raises:
        UsageError: Its words cannot be told apart.
        MigrationError: It cannot be started, fails, or is not done in time.
    """
    words = words_of(setting, text)
    program, what = Path(words[0]).name, f"The command of {setting} failed"
    started = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603  # the administrator's own command, without a shell
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # a group of its own, to be ended as a whole
            start_new_session=True,
        )
    except OSError as error:
        raise MigrationError(
            what, why=f"{program} cannot be started: {error.strerror}", remedy=f"Check the path in {setting}"
        ) from error
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise MigrationError(
            what,
            why=f"{program} did not end within {timeout:g} s and was stopped",
            remedy="Run it by hand to see what it waits for, or set COMMAND_TIMEOUT higher",
        ) from None
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    seconds = time.monotonic() - started
    if status != 0:
        ended = f"ended with status {status}" if status > 0 else f"was ended by {signal.Signals(-status).name}"
        raise MigrationError(
            what,
            why=f"{program} {ended} after {seconds:.1f} s",
            remedy=f"Run the command of {setting} by hand to see what it says, mend it, then finish again",
        )
    return f"{program} ended well after {seconds:.1f} s"
