"""The Dagster instance of a migration: its folder, and its `dagster.yaml`.

Here: how the instance is made and found. Not here: its event log (`accounts_migration.event_log`), and what runs on it.
An instance that somebody else configured (DAGSTER_HOME with a `dagster.yaml`) is used as it is; a folder of theirs that
holds nothing yet gets our configuration.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path

import dagster as dg
import sqlalchemy
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager

from accounts_migration.databases.files import PARTIAL, write_whole
from accounts_migration.dead_runs import end_dead_runs
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.event_log import KeptOpenEventLogStorage, log_ahead
from accounts_migration.settings import Settings

__all__ = ["KeptOpenEventLogStorage", "open_instance", "open_instance_of", "prepare_instance"]
"""The event log among them: a `dagster.yaml` that an earlier version of this program wrote names it here."""

_CONFIGURATION = """\
# Written by accounts-migration. One writer at a time in the target; a killed run gives its place back.
telemetry:
  enabled: false
nux:
  enabled: false
event_log_storage:
  module: accounts_migration.event_log
  class: KeptOpenEventLogStorage
  config:
    base_dir: {event_log}
concurrency:
  pools:
    granularity: run
    default_limit: 1
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 30
"""

_EVENTS_AT_ONCE = 500
_LOCK = "opening.lock"
# where Dagster keeps runs and schedules below an instance's folder
_DATABASES = ("history/runs.db", "schedules/schedules.db")


def prepare_instance(folder: Path, *, is_ours: bool) -> Path:
    """Make the instance's folder usable and name it to Dagster; return it.

    Args:
        folder: DAGSTER_HOME, or the folder below MIGRATION_HOME.
        is_ours: Whether we chose the folder. A missing `dagster.yaml` is written there, and into an empty folder.

    Raises:
        UsageError: Dagster finds no database below a path that is spelled so.
        MigrationError: This user may not write there, or the disk is full.
    """
    folder = folder.resolve()
    if is_ours:
        _require_findable(folder)
    try:
        _furnish(folder, is_ours=is_ours)
    except OSError as error:
        raise _unrecorded(folder, f"{error.filename}: {error.strerror}") from error
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(_EVENTS_AT_ONCE))
    return folder


def _require_findable(folder: Path) -> None:
    """Refuse a folder that Dagster would look for elsewhere: it puts paths into URLs of SQLAlchemy as they stand."""
    try:
        found = sqlalchemy.make_url(f"sqlite:///{folder}").database == str(folder) and bool(str(folder).encode())
    except (sqlalchemy.exc.ArgumentError, UnicodeEncodeError):
        found = False
    if not found:
        raise UsageError(
            f"Cannot keep the Dagster instance in {folder}",
            why="Dagster finds no database below a path with a question mark, bytes that are not UTF-8,"
            " or a percent sign before two hex digits",
            remedy="Name another folder in MIGRATION_HOME, or for the instance alone in DAGSTER_HOME",
        )


def _furnish(folder: Path, *, is_ours: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    configuration = folder / "dagster.yaml"
    if not configuration.exists() and (is_ours or _is_empty(folder)):
        with _alone(folder):
            # whoever else may enter a folder of theirs may read it
            write_whole(configuration, _CONFIGURATION.format(event_log=_as_yaml(folder / "event_log")), mode=0o666)
            for name in _DATABASES:
                log_ahead(folder / name)


def _as_yaml(path: Path) -> str:
    """Return a path as a scalar in quotes: JSON is YAML, and a path may hold ` #` or `: `."""
    return json.dumps(str(path), ensure_ascii=False)


@contextmanager
def open_instance(folder: Path, *, is_ours: bool) -> Iterator[dg.DagsterInstance]:
    """Open the instance on which all runs are recorded.

    Raises:
        UsageError: See `prepare_instance`.
        MigrationError: It cannot be opened, or can record no more, as on a full disk.
    """
    folder = prepare_instance(folder, is_ours=is_ours)
    try:
        with _opened_alone(folder) if is_ours or (folder / _LOCK).exists() else dg.DagsterInstance.get() as instance:
            runs = folder / _DATABASES[0]
            # a `dagster.yaml` that somebody put into our folder may keep the runs elsewhere
            with _kept_open(runs) if is_ours and runs.exists() else nullcontext():
                end_dead_runs(instance)
                yield instance
    except sqlalchemy.exc.DBAPIError as error:
        raise _unrecorded(folder, str(error.orig)) from error


def open_instance_of(settings: Settings) -> AbstractContextManager[dg.DagsterInstance]:
    """Open the instance that the settings name: ours where DAGSTER_HOME is not set; see `open_instance`."""
    return open_instance(settings.instance_folder, is_ours=settings.dagster_home is None)


def _unrecorded(folder: Path, why: str) -> MigrationError:
    return MigrationError(
        f"Cannot record what is done in the Dagster instance {folder}",
        why=why,
        remedy="Free disk space there, give this user the right to write to it, or name another folder in DAGSTER_HOME."
        " What was loaded is whole; run again",
    )


def _opened_alone(folder: Path) -> dg.DagsterInstance:
    """Open the instance; of two processes that are the first, one waits until the other has made its databases."""
    with _alone(folder):
        instance = dg.DagsterInstance.get()
    if isinstance(instance.compute_log_manager, LocalComputeLogManager):
        # What a step prints is on this process's own terminal, and what it says in the event log. The stock capture
        # starts four processes for each run, only to copy what is printed; processes that Dagster starts keep it.
        instance._compute_log_manager = NoOpComputeLogManager()
    return instance


@contextmanager
def _kept_open(path: Path) -> Iterator[None]:
    """Keep a connection to a SQLite file for the block.

    Dagster opens and closes the file for each of its questions. The last one to close a file in WAL mode moves the
    whole log into it, waits for the disk twice, and deletes the log: with this connection nobody is the last.
    """
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        yield


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time make what the folder lacks."""
    with (folder / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_empty(folder: Path) -> bool:
    """Return whether the folder holds nothing but what another process of ours is just making there."""
    return all(path.name == _LOCK or path.name.startswith(PARTIAL) for path in folder.iterdir())
