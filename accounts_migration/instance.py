"""The Dagster instance of a migration: its folder, its `dagster.yaml`, and an event log on SQLite that keeps up.

Here: how the instance is made and found. Not here: what runs on it. An instance that somebody else configured
(DAGSTER_HOME with a `dagster.yaml`) is used as it is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sql import create_engine
from dagster._serdes import ConfigurableClassData

_CONFIGURATION = """\
# Written by accounts-migration. One writer at a time in the target; a killed run gives its place back.
telemetry:
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


class KeptOpenEventLogStorage(SqliteEventLogStorage):
    """Dagster's event log on SQLite with its connections kept open.

    The stock one opens and closes a database for every event, which costs 10 to 20 ms each: with a materialization and
    three checks for each of 60 batches that was 7 s of a 9 s migration.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the storage below `base_dir`."""
        self._engines: dict[str, sqlalchemy.Engine] = {}
        self._tables_seen: set[str] = set()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "KeptOpenEventLogStorage":
        """Build the storage from `dagster.yaml`."""
        return cls(inst_data=inst_data, **config_value)

    def has_table(self, table_name: str) -> bool:
        """Return whether the table stands; asked with every event, and a table does not go away."""
        if table_name not in self._tables_seen and super().has_table(table_name):
            self._tables_seen.add(table_name)
        return table_name in self._tables_seen

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sqlalchemy.Connection]:
        with self._db_lock:
            engine = self._engines.get(shard)
            if engine is None:
                engine = self._engines[shard] = self._open(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _open(self, shard: str) -> sqlalchemy.Engine:
        engine = create_engine(
            self.conn_string_for_shard(shard), connect_args={"timeout": 60, "check_same_thread": False}
        )

        @sqlalchemy.event.listens_for(engine, "connect")
        def _without_waiting_for_each_event(connection: Any, _: Any) -> None:
            # in WAL mode a crash of the process loses nothing; the migration's own books are in the target
            connection.execute("PRAGMA synchronous = NORMAL")

        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        return engine

    def dispose(self) -> None:
        """Close every connection."""
        for engine in self._engines.values():
            engine.dispose()
        super().dispose()


def prepare_instance(folder: Path, *, is_ours: bool) -> Path:
    """Make the instance's folder usable and name it to Dagster; return it.

    Args:
        folder: DAGSTER_HOME, or the folder below MIGRATION_HOME.
        is_ours: Whether we chose the folder; only then a missing `dagster.yaml` is written.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    configuration = folder / "dagster.yaml"
    if is_ours and not configuration.exists():
        partial = configuration.with_suffix(f".{os.getpid()}")
        partial.write_text(_CONFIGURATION.format(event_log=folder / "event_log"))
        partial.replace(configuration)
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder


@contextmanager
def open_instance(folder: Path, *, is_ours: bool) -> Iterator[dg.DagsterInstance]:
    """Open the instance on which all runs are recorded."""
    prepare_instance(folder, is_ours=is_ours)
    with dg.DagsterInstance.get() as instance:
        yield instance
