"""Ctrl-C while a database works: told as what it is, and nothing half-done stays."""

import os
import signal
import threading
from typing import Any

import pytest

from accounts_migration.databases.target import Target, open_target
from accounts_migration.errors import MigrationError

SLOW = {
    "sqlite": "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 9000000) SELECT sum(x) FROM n",
    "postgresql": "SELECT pg_sleep(20)",
}
WORDS = {"sqlite": "^$", "postgresql": "the statement was cancelled. Nothing was written. Run again"}


def test_ctrl_c_during_a_statement_is_told_and_the_transaction_is_rolled_back(target: Target) -> None:
    # PostgreSQL says only that somebody cancelled the statement
    told = KeyboardInterrupt if target.engine == "sqlite" else MigrationError
    interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(told, match=WORDS[target.engine]), target.session.transaction():
        target.session.execute("DELETE FROM migration_batch")
        target.session.execute("CREATE TABLE half_done (x integer)")
        interrupt.start()
        target.session.execute(SLOW[target.engine])
    interrupt.join()
    assert target.recorded_batches() == []
    target.session.execute("CREATE TABLE half_done (x integer)")


def test_a_connection_that_is_lost_while_rows_come_is_told_as_any_other(postgres_url: str, run_sql: Any) -> None:
    with open_target(postgres_url) as target:
        backend = target.session.value("SELECT pg_backend_pid()")
        rows = target.session.stream("SELECT repeat('x', 1000) FROM generate_series(1, 400000)")
        assert next(rows).num_rows > 0
        run_sql(postgres_url, f"SELECT pg_terminate_backend({backend})")
        with pytest.raises(MigrationError, match="the connection was lost"):
            list(rows)
