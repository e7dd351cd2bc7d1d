"""What a migration says while it runs: short lines on the terminal, and a log file of each run in LOG_DIR.

Here: where the lines go, which words of a Dagster run are among them, and the id of the run that each line, each
Dagster run and each summary bears. Not here: what is said. Dagster's own events stay in its instance; they would bury
the lines that a person waits for. Only how a Dagster run began and ended is told in the file as well.
"""

import logging
import secrets
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path

import dagster as dg

from accounts_migration.errors import MigrationError

NAME = "accounts_migration"

# logged by Dagster as a step's own words, an ERROR for each asset behind a check that blocks
_OF_STEPS_NOT_RUN = "Dependencies for step "

_OF_WHOLE_RUNS = {
    dg.DagsterEventType.RUN_START,
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
}
_IN_FILE_ALONE = "in_file_alone"

_LINES_OF_HEAD, _LONGEST_LINE_READ = 3, 10_000


class _Short(logging.Formatter):
    """Puts what was said into one line; never a traceback, which may quote a row."""

    converter = staticmethod(time.gmtime)

    def __init__(self, form: str) -> None:
        super().__init__(form, datefmt="%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        spoken = {
            "msg": " ".join(record.getMessage().split("\n")),
            "args": (),
            "exc_info": None,
            "exc_text": None,
            # Dagster's word for how a run went well is DEBUG
            "levelname": logging.getLevelName(max(record.levelno, logging.INFO)),
        }
        return super().format(logging.makeLogRecord({**record.__dict__, **spoken}))


class _RunLog(logging.FileHandler):
    """The log file of a command, or of a run that Dagster launched."""

    def __init__(self, path: Path, run_id: str) -> None:
        super().__init__(path, encoding="utf-8")
        self.run_id = run_id
        self._is_broken = False
        self.setFormatter(_Short(f"%(asctime)sZ - {run_id.replace('%', '%%')} - %(levelname)s - %(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:
        """Say once that the log cannot be written, and go on: a migration does not fail with its log."""
        if not self._is_broken:
            self._is_broken = True
            sys.stderr.write(f"The log {self.baseFilename} cannot be written: {sys.exception()}. The run goes on\n")

    def close(self) -> None:
        """Close the file; what a full disk did not take was told."""
        with suppress(OSError):
            super().close()


def hear(instance: dg.DagsterInstance, run: str, tell: Callable[[str, int], None]) -> None:
    """Tell what a Dagster run of this process says from now on, and note how it begins and ends.

    Args:
        instance: Where the run is recorded.
        run: The Dagster run's id.
        tell: What takes each line that an asset says, with its level: `say`, or `note`.
    """

    def heard(entry: dg.EventLogEntry) -> None:
        level = int(entry.level)
        if entry.dagster_event is not None:
            if entry.dagster_event.event_type in _OF_WHOLE_RUNS:
                note(f"{entry.user_message} Dagster run {run}", level)
        elif level >= logging.INFO and not entry.user_message.startswith(_OF_STEPS_NOT_RUN):
            tell(entry.user_message, level)

    instance.add_event_listener(run, heard)


def start_log(folder: Path, *, quiet: bool, run: str | None = None) -> Path:
    """Begin the log of a command or of a Dagster run: a new file in LOG_DIR and, unless quiet, lines on the terminal.

    Args:
        folder: LOG_DIR.
        quiet: Whether the terminal is left alone.
        run: The run id; a new one where None.

    Returns:
        The file, `migration_YYYYMMDD_HHMMSS.log` (UTC), its owner's alone.

    Raises:
        MigrationError: No file can be written there.
    """
    now = datetime.now(UTC)
    path = _new_file(folder, now)
    logger = logging.getLogger(NAME)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    end_log()
    # the second is for a person to find it by; two commands of one second, on one machine or two, have two ids
    logger.addHandler(_RunLog(path, run or f"{now:%Y%m%d_%H%M%S}-{secrets.token_hex(3)}"))
    if not quiet:
        terminal = logging.StreamHandler(sys.stderr)
        terminal.setFormatter(_Short("  %(message)s"))
        terminal.addFilter(lambda record: not hasattr(record, _IN_FILE_ALONE))
        logger.addHandler(terminal)
    note(f"accounts-migration {version('accounts-migration')} on {socket.gethostname()}")
    return path


def end_log() -> None:
    """Close the present log; what is said afterwards goes nowhere."""
    logger = logging.getLogger(NAME)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def run_id() -> str | None:
    """Return the id that the present log has on its lines; None without a log."""
    log = _present()
    return None if log is None else log.run_id


def say(text: str, level: int = logging.INFO) -> None:
    """Write a line into the present log and onto the terminal."""
    if _present() is not None:
        logging.getLogger(NAME).log(level, "%s", text)


def note(text: str, level: int = logging.INFO) -> None:
    """Write a line into the present log alone: what the terminal shows in a form of its own."""
    if _present() is not None:
        logging.getLogger(NAME).log(level, "%s", text, extra={_IN_FILE_ALONE: True})


def note_work(what: str, source: Path | str | None, target: str | None) -> None:
    """Write into the present log what a command or a Dagster run is about to do; `logs_of` finds the log by it.

    Args:
        what: The command, or the job.
        source: The legacy database.
        target: Where the target is, without its password.
    """
    note(f"{what}: source {source}{_work_on(target)}")


def logs_of(folder: Path, target: str, run_ids: Collection[str]) -> Iterator[Path]:
    """Yield the logs in the folder, by name, of one of the runs or of work on the target; links are no logs."""
    for path in sorted(folder.glob("migration_*.log")):
        if path.is_file() and not path.is_symlink():
            with path.open(encoding="utf-8", errors="replace") as file:
                head = [file.readline(_LONGEST_LINE_READ).rstrip("\n") for _ in range(_LINES_OF_HEAD)]
            run = head[0].partition(" - ")[2].partition(" - ")[0]
            if run in run_ids or any(line.endswith(_work_on(target)) for line in head):
                yield path


def _work_on(target: str | None) -> str:
    return f", target {target}"


def _present() -> _RunLog | None:
    return next((one for one in logging.getLogger(NAME).handlers if isinstance(one, _RunLog)), None)


def _new_file(folder: Path, now: datetime) -> Path:
    """Create a file named by the second; runs that start in the same one get `-2`, `-3` and so on behind it."""
    name = f"migration_{now:%Y%m%d_%H%M%S}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in count(1):
            path = folder / f"{name}{'' if number == 1 else f'-{number}'}.log"
            with suppress(FileExistsError):
                path.touch(mode=0o600, exist_ok=False)
                break
    except OSError as error:
        raise MigrationError(
            f"Cannot write a log into {folder}",
            why=str(error.strerror),
            remedy="Name a folder that this user may write to in LOG_DIR or MIGRATION_HOME",
        ) from error
    return path
