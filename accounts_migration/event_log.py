"""Dagster's event log on SQLite, in a form that keeps up with a migration.

Here: the storage that `dagster.yaml` names, and storing events together. Dagster's own processes load this module for
it alone. Not here: the instance that it is part of (`accounts_migration.instance`).
"""

import fcntl
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.polling_event_watcher import SqlPollingEventWatcher
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.consolidated_sqlite_event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.sql import create_engine
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import StaticPool

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
        log_ahead(Path(self.get_db_path()))  # type: ignore[no-untyped-call]  # the stock one is untyped
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


def log_ahead(path: Path) -> None:
    """Make an empty SQLite file in WAL mode: else each statement that makes Dagster's tables waits for the disk often.

    Dagster sets the mode itself, but after its tables stand.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
