"""What a migration says while it runs: short lines on the terminal, and a log file of each command in LOG_DIR.

Here: the Dagster logger of all jobs and where its lines go. Not here: what is said. Dagster's own events stay in its
instance; they would bury the lines that a person waits for.
"""

import logging
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import dagster as dg

from accounts_migration.errors import MigrationError

NAME = "accounts_migration"

# logged by Dagster as a step's own words, an ERROR for each asset behind a check that blocks
_OF_STEPS_NOT_RUN = "Dependencies for step "


class _OnlySpoken(logging.Filter):
    """Lets through what an asset says; holds back Dagster's events, and its lines about steps that must wait."""

    def filter(self, record: logging.LogRecord) -> bool:
        meta = getattr(record, "dagster_meta", {})
        event = getattr(record, "dagster_event", None) or meta.get("dagster_event")
        return event is None and not str(meta.get("orig_message", "")).startswith(_OF_STEPS_NOT_RUN)


class _Short(logging.Formatter):
    """Takes from Dagster's long line the part that was said."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", None) or {}
        spoken = logging.makeLogRecord(
            {**record.__dict__, "msg": meta.get("orig_message", record.getMessage()), "args": ()}
        )
        return super().format(spoken)


def _migration_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """Return the logger that all jobs write to."""
    logger = logging.getLogger(NAME)
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        _add(logger, logging.StreamHandler(sys.stderr), "%(asctime)s %(levelname)s %(message)s")
    return logger


migration_logger = dg.LoggerDefinition(_migration_logger, description="Short lines on the terminal and in LOG_DIR.")


def start_log(folder: Path, *, quiet: bool) -> Path:
    """Send what is said to a new file in LOG_DIR and, unless quiet, to the terminal; return the file.

    Raises:
        MigrationError: No file can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = _new_file(folder)
    except OSError as error:
        raise MigrationError(
            f"Cannot write a log into {folder}",
            why=str(error.strerror),
            remedy="Name a folder that this user may write to in LOG_DIR or MIGRATION_HOME",
        ) from error
    logger = logging.getLogger(NAME)
    logger.propagate = False
    logger.handlers.clear()
    _add(logger, logging.FileHandler(path), "%(asctime)sZ - %(levelname)s - %(message)s")
    if not quiet:
        _add(logger, logging.StreamHandler(sys.stderr), "  %(message)s")
    return path


def _new_file(folder: Path) -> Path:
    """Create a file named by the second; commands that start in the same one get `-2`, `-3` and so on behind it."""
    name = f"migration_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    for number in count(1):
        path = folder / f"{name}{'' if number == 1 else f'-{number}'}.log"
        with suppress(FileExistsError):
            path.touch(mode=0o600, exist_ok=False)
            break
    return path


def _add(logger: logging.Logger, handler: logging.Handler, form: str) -> None:
    handler.setFormatter(_Short(form, datefmt="%Y-%m-%d %H:%M:%S"))
    handler.addFilter(_OnlySpoken())
    logger.addHandler(handler)
