"""The Dagster instance of a migration: its folder, its `dagster.yaml`, and an event log on SQLite that keeps up.

Here: how the instance is made and found. Not here: what runs on it. An instance that somebody else configured
(DAGSTER_HOME with a `dagster.yaml`) is used as it is; a folder of theirs that holds nothing yet gets our configuration.
"""

import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import sqlalchemy
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.polling_event_watcher import SqlPollingEventWatcher
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.consolidated_sqlite_event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.sql import create_engine
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import StaticPool

from accounts_migration.databases.files import PARTIAL, write_whole
from accounts_migration.dead_runs import end_dead_runs
from accounts_migration.errors import MigrationError, UsageError

if TYPE_CHECKING:
    # Dagster's own processes load this module for its event log alone
    from accounts_migration.settings import Settings

_CONFIGURATION = """\
# Written by accounts-migration. One writer at a time in the target; a killed run gives its place back.
telemetry:
  enabled: false
nux:
  enabled: false
event_log_storage:
  module: accounts_migration.instance
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

_VERDICT_OF = ("run_id", "asset_key", "check_name", "partition")

_Callback = Callable[[dg.EventLogEntry, str], None]
_Row = Mapping[str, Any]
_Numbered = tuple[int, dg.EventLogEntry, _Row]


class KeptOpenEventLogStorage(ConsolidatedSqliteEventLogStorage):
    """Dagster's event log in one SQLite file with its connection kept open.

    The stock one opens and closes a database for every event, writes most events twice (into a file for the run and
    into an index of all), and makes a new file of a dozen tables for each run: with a materialization and three checks
    for each of 60 batches that was 7 s of a 9 s migration. Events that come together are stored in one transaction.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the storage below `base_dir`; of two processes that are the first, one waits for the other."""
        # one thread may hold it twice: for events stored together, and for each of them
        self._lock = threading.RLock()
        self._engine: sqlalchemy.Engine | None = None
        self._together: sqlalchemy.Connection | None = None
        self._event_watcher: SqlPollingEventWatcher | None = None
        self._waiting: list[dg.EventLogEntry] | None = None
        self._tables_seen: set[str] = set()
        self._columns_seen: set[str] = set()
        self._partitions_seen: set[tuple[str, str]] = set()
        Path(base_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
        with (Path(base_dir) / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            super().__init__(base_dir, inst_data)

    def _init_db(self) -> None:
        _log_ahead(Path(self.get_db_path()))  # type: ignore[no-untyped-call]  # the stock one is untyped
        super()._init_db()  # type: ignore[no-untyped-call]  # the stock one is untyped

    @contextmanager
    def _connect(self) -> Iterator[sqlalchemy.Connection]:
        with self._lock:
            if self._together is not None:
                yield self._together
                return
            with self._opened().connect() as connection, connection.begin():
                yield connection

    def _opened(self) -> sqlalchemy.Engine:
        if self._engine is None:
            self._engine = create_engine(
                self._conn_string, connect_args={"timeout": 60, "check_same_thread": False}, poolclass=StaticPool
            )

            @sqlalchemy.event.listens_for(self._engine, "connect")
            def _without_waiting_for_each_event(connection: Any, _: Any) -> None:
                # in WAL mode a crash of the process loses nothing; the migration's own books are in the target
                connection.execute("PRAGMA synchronous = NORMAL")

        return self._engine

    def has_table(self, table_name: str) -> bool:
        """Return whether the table stands; asked with every event, and a table does not go away."""
        if table_name not in self._tables_seen and super().has_table(table_name):
            self._tables_seen.add(table_name)
        return table_name in self._tables_seen

    def _has_asset_key_col_on_connection(self, conn: sqlalchemy.Connection, column_name: str) -> bool:
        """Return whether the table of assets has the column; asked with every event, and a column does not go away."""
        if column_name not in self._columns_seen and super()._has_asset_key_col_on_connection(conn, column_name):
            self._columns_seen.add(column_name)
        return column_name in self._columns_seen

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store an event, or keep it for the end of the block whose events are stored together."""
        if self._waiting is None:
            super().store_event(event)
        else:
            self._waiting.append(event)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Store the events of the block in one transaction at its end; whatever the block does, they are kept."""
        with self._lock:
            if self._waiting is not None:
                yield
                return
            self._waiting = []
            try:
                yield
            finally:
                events, self._waiting = self._waiting, None
                if events:
                    self._store_all(events)

    def _store_all(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events as `store_event` would one by one, in few statements."""
        rows = [self._event_to_row(event) for event in events]
        with self._opened().connect() as connection, connection.begin():
            self._together = connection
            try:
                # the first takes the write lock; from then on the numbers follow one another
                first = connection.execute(SqlEventLogStorageTable.insert().values(rows[0])).lastrowid
                if rows[1:]:
                    connection.execute(SqlEventLogStorageTable.insert(), rows[1:])
                numbered = list(zip(range(first, first + len(rows)), events, rows, strict=True))
                self._store_asset_events(connection, numbered)
                self._store_check_events(connection, numbered)
            finally:
                self._together = None

    def _store_asset_events(self, connection: sqlalchemy.Connection, numbered: Sequence[_Numbered]) -> None:
        """Store the tags of asset events, and as an asset's latest event the last one of each kind alone."""
        found = [
            (number, event)
            for number, event, _ in numbered
            if event.dagster_event_type in ASSET_EVENTS and event.get_dagster_event().asset_key
        ]
        if found:
            self._store_asset_event_tags(connection, [event for _, event in found], [number for number, _ in found])
        latest = {(event.get_dagster_event().asset_key, event.dagster_event_type): (event, n) for n, event in found}
        for event, number in latest.values():
            self._store_asset_event(connection, event, number)

    def _store_check_events(self, connection: sqlalchemy.Connection, numbered: Sequence[_Numbered]) -> None:
        """Store the events of checks; verdicts on batches, which are many, in one statement unless planned before."""
        found = [one for one in numbered if one[1].dagster_event_type in ASSET_CHECK_EVENTS]
        columns = (AssetCheckExecutionsTable.c[name] for name in _VERDICT_OF)
        of_these_runs = AssetCheckExecutionsTable.c.run_id.in_({event.run_id for _, event, _ in found})
        standing = set(map(tuple, connection.execute(sqlalchemy.select(*columns).where(of_these_runs))))
        verdicts, others = [], []
        for number, event, row in found:
            verdict = event.get_dagster_event().event_specific_data
            if isinstance(verdict, dg.AssetCheckEvaluation) and verdict.partition and event.run_id:
                values = _verdict_row(number, event, row, verdict)
                place = tuple(values[name] for name in _VERDICT_OF)
                if place not in standing:
                    standing.add(place)
                    verdicts.append(values)
                    continue
            others.append((event, number))
        if verdicts:
            connection.execute(AssetCheckExecutionsTable.insert(), verdicts)
        for event, number in others:
            self.store_asset_check_event(event, number)

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Return whether a partition is registered; asked with every batch's metadata, and none is ever deleted."""
        place = (partitions_def_name, partition_key)
        if place not in self._partitions_seen and super().has_dynamic_partition(*place):
            self._partitions_seen.add(place)
        return place in self._partitions_seen

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Return the registered partitions in their order; asked with every batch's metadata, so without a detour."""
        query = "SELECT partition FROM dynamic_partitions WHERE partitions_def_name = ? ORDER BY id"
        with self._connect() as connection:
            return [partition for (partition,) in connection.exec_driver_sql(query, (partitions_def_name,))]

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Delete a partition, should somebody ask for it after all."""
        self._partitions_seen.discard((partitions_def_name, partition_key))
        super().delete_dynamic_partition(partitions_def_name, partition_key)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events that Dagster hands over at once."""
        with self.together():
            super().store_event_batch(events)

    def watch(self, run_id: str, cursor: str | None, callback: _Callback) -> None:
        """Poll for new events: the file itself changes late, since they wait in its log."""
        if self._event_watcher is None:
            self._event_watcher = SqlPollingEventWatcher(self)
        self._event_watcher.watch_run(run_id, cursor, callback)

    def end_watch(self, run_id: str, handler: _Callback) -> None:
        """End what `watch` began."""
        if self._event_watcher is not None:
            self._event_watcher.unwatch_run(run_id, handler)

    def dispose(self) -> None:
        """Close the connection."""
        if self._event_watcher is not None:
            self._event_watcher.close()
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        super().dispose()  # type: ignore[no-untyped-call]  # the stock one is untyped


def _verdict_row(number: int, event: dg.EventLogEntry, row: _Row, verdict: dg.AssetCheckEvaluation) -> dict[str, Any]:
    """Return the row of a verdict that no run planned, as Dagster writes it."""
    status = AssetCheckExecutionRecordStatus.SUCCEEDED if verdict.passed else AssetCheckExecutionRecordStatus.FAILED
    target = verdict.target_materialization_data
    return {
        "asset_key": verdict.asset_key.to_string(),
        "check_name": verdict.check_name,
        "partition": verdict.partition,
        "run_id": event.run_id,
        "execution_status": status.value,
        "evaluation_event": row["event"],
        "evaluation_event_timestamp": row["timestamp"],
        "evaluation_event_storage_id": number,
        "materialization_event_storage_id": target.storage_id if target else None,
    }


@contextmanager
def stored_together(instance: dg.DagsterInstance) -> Iterator[None]:
    """Store the events of the block at once, where the instance's event log can."""
    storage = instance.event_log_storage
    with storage.together() if isinstance(storage, KeptOpenEventLogStorage) else nullcontext():
        yield


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
                _log_ahead(folder / name)


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


def open_instance_of(settings: "Settings") -> AbstractContextManager[dg.DagsterInstance]:
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


def _log_ahead(path: Path) -> None:
    """Make an empty SQLite file in WAL mode: else each statement that makes Dagster's tables waits for the disk often.

    Dagster sets the mode itself, but after its tables stand.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _is_empty(folder: Path) -> bool:
    """Return whether the folder holds nothing but what another process of ours is just making there."""
    return all(path.name == _LOCK or path.name.startswith(PARTIAL) for path in folder.iterdir())
