"""The service that uses the target: stopping it, starting it, and knowing that it is healthy again.

Here: the two commands and the health URL, each with a deadline (guide, "Rollback Procedures"). Not here: when a service
is stopped (`accounts_migration.operations.rollback`), and requests that test what it answers.
"""

import http.client
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.http_requests import is_http
from accounts_migration.operations.programs import words_of
from accounts_migration.settings import Settings

_UNIT = "accounts-api"
DEFAULT_STOP, DEFAULT_START = f"systemctl stop {_UNIT}", f"systemctl start {_UNIT}"
DEFAULT_HEALTH_URL = "http://127.0.0.1:6600/api/health"

_NOT_CONFIGURED = "there is no service here: SERVICE_STOP and SERVICE_START are not set, and {}"
_EMPTY = "there is no command to {} a service: its setting is empty"
_SYSTEMD = Path("/run/systemd/system")
_SECONDS_BETWEEN_QUESTIONS = 0.1
_SERVER_ERROR = 500
_SECONDS_FOR_AN_ANSWER = 5.0
# a proxy of the environment is not asked: the service is on this machine
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Health:
    """An answer of the health URL: `status` is its HTTP status, `seconds` how long was waited until it was healthy."""

    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Service:
    """How the service is stopped, started and asked for its health.

    Args:
        stop_command: Its words; empty where there is no service here.
        start_command: The same for starting.
        health_url: Where it tells that it is healthy; empty where nobody asks.
        timeout: Seconds that each of stopping, starting and becoming healthy may take.
        absence: Why there is no service here: nobody configured one, and systemd knows none. Empty where there is one.
    """

    stop_command: tuple[str, ...]
    start_command: tuple[str, ...]
    health_url: str
    timeout: float
    absence: str = ""

    @classmethod
    def of(cls, settings: Settings) -> "Service":
        """Return the service that the settings describe.

        Raises:
            UsageError: A command cannot be split into words, or the URL is none of HTTP.
        """
        absence = ""
        if settings.service_stop is None and settings.service_start is None:
            absence = _absence()
        stop = _words("SERVICE_STOP", DEFAULT_STOP if settings.service_stop is None else settings.service_stop)
        start = _words("SERVICE_START", DEFAULT_START if settings.service_start is None else settings.service_start)
        # where nobody spoke of a service and none can be here, nothing is to be asked either
        usual_url = "" if absence else DEFAULT_HEALTH_URL
        url = usual_url if settings.service_health_url is None else settings.service_health_url
        _refuse_other_urls(url)
        return cls(() if absence else stop, () if absence else start, url, settings.service_timeout, absence)

    def stop(self) -> str:
        """Stop the service, wait until it answers no more, and return what was done in a sentence.

        Raises:
            MigrationError: The command cannot be started, fails, or is not done in time; or the service still answers.
        """
        absent = self._run("stop", self.stop_command)
        if absent is None and self.health_url:
            self._wait_until_silent()
        return absent or f"the service was stopped ({_program(self.stop_command)})"

    def start(self) -> str:
        """Start the service and return what was done in a sentence; it may not be healthy yet.

        Raises:
            MigrationError: The command cannot be started, fails, or is not done in time.
        """
        absent = self._run("start", self.start_command)
        return absent or f"the service was started ({_program(self.start_command)})"

    def ask(self) -> int | None:
        """Return the HTTP status of the health URL now; None where nothing answers."""
        try:
            with _OPENER.open(self.health_url, timeout=min(self.timeout, _SECONDS_FOR_AN_ANSWER)) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except (OSError, ValueError, http.client.HTTPException):
            # refused, too slow, or an answer that is no HTTP
            return None

    def wait_until_healthy(self) -> Health | None:
        """Ask until the service is healthy; None where no health URL is set. An HTTP error is not healthy.

        Raises:
            MigrationError: It did not become healthy in time; names the last answer.
        """
        if not self.health_url:
            return None
        started = time.monotonic()
        while True:
            status = self.ask()
            seconds = time.monotonic() - started
            if status is not None and 200 <= status < 300:
                return Health(status, round(seconds, 3))
            if seconds >= self.timeout:
                break
            time.sleep(_SECONDS_BETWEEN_QUESTIONS)
        answer = "nothing answers" if status is None else f"its last answer was HTTP {status}"
        raise MigrationError(
            "The service is not healthy",
            why=f"{answer} at {shown_url(self.health_url)}, {self.timeout:g} s after the first question",
            remedy="Look into the service's log, and start it; set SERVICE_TIMEOUT higher if it needs longer",
        )

    def _wait_until_silent(self) -> None:
        """Wait until it answers no more; a server error is the answer of a proxy before a service that is gone."""
        deadline = time.monotonic() + self.timeout
        while (self.ask() or _SERVER_ERROR) < _SERVER_ERROR:
            if time.monotonic() >= deadline:
                raise MigrationError(
                    "The service was not stopped",
                    why=f"it still answers at {shown_url(self.health_url)} after {_program(self.stop_command)}",
                    remedy="Check SERVICE_STOP and SERVICE_HEALTH_URL; stop the service by hand to go on",
                )
            time.sleep(_SECONDS_BETWEEN_QUESTIONS)

    def _run(self, verb: str, command: tuple[str, ...]) -> str | None:
        """Run the command; return why there was none to run, None where it was run."""
        if not command:
            return self.absence or _EMPTY.format(verb)
        what, setting = f"Cannot {verb} the service", f"SERVICE_{verb.upper()}"
        program = _program(command)
        try:
            # what it says is not kept: neither that nor its arguments may come into a log, they may hold a password;
            # and a service that it leaves running would keep a pipe open for ever
            done = subprocess.run(  # noqa: S603  # the administrator's own command, without a shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=self.timeout,
                check=False,
            )
        except OSError as error:
            raise MigrationError(what, why=f"{program}: {error.strerror}", remedy=f"Check {setting}") from error
        except subprocess.TimeoutExpired:
            raise MigrationError(
                what,
                why=f"{program} did not end within {self.timeout:g} s",
                remedy=f"Check {setting}: it must return; or set SERVICE_TIMEOUT higher",
            ) from None
        if done.returncode == 0:
            return None
        raise MigrationError(
            what,
            why=f"{program} ended with status {done.returncode}",
            remedy=f"Check {setting}, run it by hand to see what it says, then run again",
        )


def _program(command: tuple[str, ...]) -> str:
    """Return the program of a command as it may be shown: without its arguments."""
    return Path(command[0]).name


def shown_url(url: str) -> str:
    """Return the URL without user, password and query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _absence() -> str:
    """Return why the usual service cannot be here; empty where systemd knows it."""
    if shutil.which("systemctl") is None or not _SYSTEMD.is_dir():
        return _NOT_CONFIGURED.format("systemd does not run on this machine")
    asked = subprocess.run(["systemctl", "cat", _UNIT], capture_output=True, check=False)  # noqa: S603, S607
    return "" if asked.returncode == 0 else _NOT_CONFIGURED.format(f"systemd knows no {_UNIT}")


def _words(setting: str, text: str) -> tuple[str, ...]:
    return tuple(words_of(setting, text)) if text.strip() else ()


def _refuse_other_urls(url: str) -> None:
    if url and not is_http(url):
        raise UsageError(
            "Cannot read SERVICE_HEALTH_URL",
            why="it is no URL of HTTP",
            remedy=f"Write it as {DEFAULT_HEALTH_URL}; empty where nobody is to ask",
        )
