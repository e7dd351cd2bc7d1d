"""One way, run as a process of its own: how long it took and how much memory it had.

Peak memory is the largest resident set of any one process of its tree, as the kernel counted it. A new
process starts with the count of the one that made it, so the process that calls this must stay small.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Measured:
    """A finished process; memory is in megabytes of 10^6 bytes."""

    seconds: float
    megabytes: float
    status: int
    output: str


def measured(
    command: Sequence[str | Path],
    log: Path,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Measured:
    """Run a command and measure it; what it prints goes into the log file.

    Args:
        command: Program and arguments.
        log: The file for its output; replaced.
        folder: Where it runs.
        environment: Its whole environment; None gives ours.
    """
    os.sync()
    with log.open("wb") as file:
        start = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603  # our own programs, no shell
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=folder,
            env=environment,
        )
        try:
            _, ended, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(ended)
    megabytes = usage.ru_maxrss * _BYTES_PER_UNIT / 1e6
    return Measured(seconds, megabytes, process.returncode, log.read_text(errors="replace"))
