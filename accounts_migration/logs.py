"""What a migration says while it runs: short lines on the terminal, and a log file of each run in LOG_DIR.

Here: the Dagster logger of all jobs, where its lines go, and the id of the run that each line, each Dagster run and
each summary bears. Not here: what is said. Dagster's own events stay in its instance; they would bury the lines that a
person waits for. Only how a Dagster run began and ended is told in the file as well.
"""

import logging
import secrets
import socket
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg

from accounts_migration.errors import MigrationError
from accounts_migration.jobs import RUN_TAG

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


def _meta(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "dagster_meta", None) or {}


def _event(record: logging.LogRecord) -> dg.DagsterEvent | None:
    return getattr(record, "dagster_event", None) or _meta(record).get("dagster_event")


def _is_spoken(record: logging.LogRecord) -> bool:
    """Return whether an asset or a command says it: no event of Dagster, no line about steps that must wait."""
    said = str(_meta(record).get("orig_message", ""))
    return record.levelno >= logging.INFO and _event(record) is None and not said.startswith(_OF_STEPS_NOT_RUN)


def _for_terminal(record: logging.LogRecord) -> bool:
    return _is_spoken(record) and not hasattr(record, _IN_FILE_ALONE)


def _for_file(record: logging.LogRecord) -> bool:
    event = _event(record)
    return _is_spoken(record) or (event is not None and event.event_type in _OF_WHOLE_RUNS)


class _Short(logging.Formatter):
    """Takes from Dagster's long line the part that was said, in one line; never a traceback, which may quote a row."""

    converter = staticmethod(time.gmtime)

    def __init__(self, form: str, run: str | None = None, *, is_given: bool = False) -> None:
        """Put the run's id on each line: the one given, or else the one that the run of a line was given."""
        super().__init__(form, datefmt="%Y-%m-%d %H:%M:%S")
        self.run = run
        self._is_given = is_given

    def format(self, record: logging.LogRecord) -> str:
        meta = _meta(record)
        said = meta.get("orig_message", record.getMessage())
        if _event(record) is not None:
            said = f"{said} Dagster run {meta.get('run_id')}"
        if not self._is_given:
            self.run = meta.get("job_tags", {}).get(RUN_TAG) or meta.get("run_id") or self.run
        spoken = {"msg": " ".join(said.split("\n")), "args": (), "exc_info": None, "exc_text": None, "run": self.run}
        if record.levelno < logging.INFO:
            # Dagster's word for how a run went well
            spoken["levelname"] = "INFO"
        return super().format(logging.makeLogRecord({**record.__dict__, **spoken}))


class _RunLog(logging.FileHandler):
    """The log file of a command, or of a run that the UI launched."""

    def __init__(self, path: Path, run_id: str | None, dagster_run: str | None) -> None:
        super().__init__(path, encoding="utf-8")
        self.run_id = run_id
        self.dagster_run = dagster_run
        self.short = _Short(
            "%(asctime)sZ - %(run)s - %(levelname)s - %(message)s", run_id or dagster_run, is_given=run_id is not None
        )
        self._is_broken = False
        self.setFormatter(self.short)
        self.addFilter(_for_file)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say once that the log cannot be written, and go on: a migration does not fail with its log."""
        if not self._is_broken:
            self._is_broken = True
            sys.stderr.write(f"The log {self.baseFilename} cannot be written: {sys.exception()}. The run goes on\n")

    def close(self) -> None:
        """Close the file; what a full disk did not take was told."""
        with suppress(OSError):
            super().close()


def migration_logger(folder: Path) -> dg.LoggerDefinition:
    """Return the logger that all jobs write to; a run that no command launched opens a log of its own in LOG_DIR.

    Raises:
        MigrationError: When such a run starts and no file can be written there.
    """

    def logger_of(context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.getLogger(NAME)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        log = _present()
        if log is None or (log.run_id is None and log.dagster_run != context.run_id):
            end_log()
            path = _new_file(folder, datetime.now(UTC))
            logger.addHandler(_RunLog(path, None, context.run_id))
            _add_terminal(logger, "%(asctime)s %(levelname)s %(message)s")
        return logger

    return dg.LoggerDefinition(logger_of, description="Short lines on the terminal and in LOG_DIR.")


@contextmanager
def log_of(folder: Path, run: str) -> Iterator[None]:
    """Keep the log of a run that launches others, which bear its id as those of a command do.

    Args:
        folder: LOG_DIR.
        run: The Dagster run's id. Where a command launched it, it has the command's log.

    Raises:
        MigrationError: No file can be written there.
    """
    if run_id() is not None:
        yield
        return
    start_log(folder, quiet=False, run=run)
    try:
        yield
    finally:
        end_log()


def start_log(folder: Path, *, quiet: bool, run: str | None = None) -> Path:
    """Give this command a run id, and send what is said to a new file in LOG_DIR and, unless quiet, to the terminal.

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
    logger.addHandler(_RunLog(path, run or f"{now:%Y%m%d_%H%M%S}-{secrets.token_hex(3)}", None))
    if not quiet:
        _add_terminal(logger, "  %(message)s")
    note(f"accounts-migration {version('accounts-migration')} on {socket.gethostname()}")
    return path


def end_log() -> None:
    """Close the present log; what is said afterwards goes nowhere."""
    logger = logging.getLogger(NAME)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def run_id() -> str | None:
    """Return the id of the present command's run; None where Dagster launched what runs here."""
    log = _present()
    return None if log is None else log.run_id


def id_on_lines() -> str | None:
    """Return the id that the present log has on its lines, whoever launched what runs here; None without a log."""
    log = _present()
    return None if log is None else log.short.run


def say(text: str, level: int = logging.INFO) -> None:
    """Write a line into the present log and onto the terminal."""
    if _present() is not None:
        logging.getLogger(NAME).log(level, "%s", text)


def note(text: str, level: int = logging.INFO) -> None:
    """Write a line into the present log alone: what the terminal shows in a form of its own."""
    if _present() is not None:
        logging.getLogger(NAME).log(level, "%s", text, extra={_IN_FILE_ALONE: True})


def work_on(target: str | None) -> str:
    """Return the words by which a log tells which target its command works on, at the end of a line."""
    return f"target {target}"


def logs_of(folder: Path, target: str, run_ids: Collection[str]) -> Iterator[Path]:
    """Yield the logs in the folder, by name, of one of the runs or of a command on the target; links are no logs."""
    for path in sorted(folder.glob("migration_*.log")):
        if path.is_file() and not path.is_symlink():
            with path.open(encoding="utf-8", errors="replace") as file:
                head = [file.readline(_LONGEST_LINE_READ).rstrip("\n") for _ in range(_LINES_OF_HEAD)]
            run = head[0].partition(" - ")[2].partition(" - ")[0]
            if run in run_ids or any(line.endswith(f", {work_on(target)}") for line in head):
                yield path


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


def _add_terminal(logger: logging.Logger, form: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Short(form))
    handler.addFilter(_for_terminal)
    logger.addHandler(handler)
