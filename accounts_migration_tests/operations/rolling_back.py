"""A process that rolls back as it is told, so that it can be killed at each step.

Here: the process and how a test speaks with it. Not here: anything that is asserted.

It imports everything once and forks for each rollback, before any thread is started: a kill costs milliseconds.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from typing import Any

from accounts_migration.errors import MigrationError
from accounts_migration.operations.rollback import rollback
from accounts_migration.settings import Settings


class RollingBack:
    """The process as a test sees it; end it with `close`."""

    def __init__(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter and this file
            [sys.executable, "-W", "ignore", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, settings: Settings, url: str, **task: Any) -> tuple[str, list[str]]:
        """Roll back; return how it ended and what it told.

        Args:
            settings: The settings.
            url: The target.
            task: `to` and `discard_changes` as of `rollback`; `kill_at`, how the sentence begins at which it is killed,
                before the step itself; `largest_file` in bytes.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        said = settings.model_dump_json(), url, task
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        ended, told = json.loads(self._process.stdout.readline())
        return ended, told

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def _roll_back(settings: Settings, url: str, told: Any, task: dict[str, Any]) -> None:
    kill_at, largest = task.pop("kill_at", None), task.pop("largest_file", None)
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    def tell(sentence: str) -> None:
        os.write(told, (sentence + "\n").encode())
        if kill_at and sentence.startswith(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        rollback(settings, url, tell=tell, **task)
    except MigrationError as error:
        os.write(told, b"\0" + str(error).encode())


def _main() -> None:
    for line in sys.stdin:
        settings, url, task = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _roll_back(Settings.model_validate_json(settings), url, writing, task)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told, _, error = pipe.read().decode().partition("\0")
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ended = error or {0: "ended", -signal.SIGKILL: "killed"}.get(status, f"status {status}")
        sys.stdout.write(json.dumps([ended, told.splitlines()]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
