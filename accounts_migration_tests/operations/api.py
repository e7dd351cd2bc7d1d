"""A service as a machine has one: a process with an HTTP health URL, started and stopped by commands.

Here: the process and the commands that the settings name. Not here: anything that is asserted.

`python api.py start FOLDER` leaves a server running and returns when it listens; `stop` ends it. The server answers
/api/health with the status that stands in FOLDER/status, 200 where there is none.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_PROGRAM = [sys.executable, "-I", "-S", __file__]


class Api:
    """The service as a test sees it: its settings, and whether it runs."""

    def __init__(self, folder: Path) -> None:
        """Prepare a folder for it and choose a free port; nothing runs yet."""
        folder.mkdir(exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = folder
        (folder / "port").write_text(str(self.port))

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings by their field's names."""
        return {
            "service_stop": shlex.join([*_PROGRAM, "stop", str(self.folder)]),
            "service_start": shlex.join([*_PROGRAM, "start", str(self.folder)]),
            "service_health_url": f"http://127.0.0.1:{self.port}/api/health",
            "service_timeout": 10.0,
        }

    @property
    def commands(self) -> list[str]:
        """Return the verbs of the commands that were run since the test began, in order."""
        log = self.folder / "commands"
        return log.read_text().split() if log.exists() else []

    @property
    def runs(self) -> bool:
        """Return whether the process is there."""
        return (self.folder / "pid").exists()

    def start(self) -> None:
        """Start it, as the machine did before the test."""
        _start(self.folder)

    def answers(self, status: int) -> None:
        """Let the health URL answer with this status from now on."""
        (self.folder / "status").write_text(str(status))

    def end(self) -> None:
        """Make sure that nothing is left running."""
        _stop(self.folder)


def _start(folder: Path) -> None:
    if not (folder / "pid").exists():
        subprocess.Popen([*_PROGRAM, "serve", str(folder)], start_new_session=True)  # noqa: S603  # this file
    deadline = time.monotonic() + 10
    while not (folder / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def _stop(folder: Path) -> None:
    mark = folder / "pid"
    if mark.exists():
        os.kill(int(mark.read_text()), signal.SIGTERM)
    while mark.exists():
        time.sleep(0.01)


def _serve(folder: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = folder / "status"
            self.send_response(int(status.read_text()) if status.exists() else 200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    def end(*_: object) -> None:
        server.server_close()
        (folder / "pid").unlink()
        os._exit(0)

    server = ThreadingHTTPServer(("127.0.0.1", int((folder / "port").read_text())), Handler)
    signal.signal(signal.SIGTERM, end)
    partial = folder / ".pid"
    partial.write_text(str(os.getpid()))
    partial.replace(folder / "pid")
    server.serve_forever(0.05)


if __name__ == "__main__":
    verb, place = sys.argv[1], Path(sys.argv[2])
    if verb != "serve":
        with (place / "commands").open("a") as commands:
            commands.write(f"{verb}\n")
    {"serve": _serve, "start": _start, "stop": _stop}[verb](place)
