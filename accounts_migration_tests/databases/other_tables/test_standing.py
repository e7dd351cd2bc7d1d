"""A table that stands as a copy brought it is told from one that somebody has changed since."""

from pathlib import Path
from typing import Any

from accounts_migration.databases.books import COPY
from accounts_migration.databases.other_tables import stands_as_brought
from accounts_migration.databases.target import open_target
from accounts_migration_tests.databases.other_tables.carrying import carry, write_sqlite

SCRIPT = """
CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n NUMERIC(9,2), f BOOLEAN, r REAL, d DATE, b BLOB, v VARCHAR(9));
INSERT INTO t VALUES (1, 1.5, 1, 0.1, '2020-01-01', x'00ff', 'a'), (2, NULL, 0, -0.0, NULL, NULL, ''),
    (3, 7, NULL, 1e300, '2020-02-29', x'', CAST(x'ff' AS TEXT));
CREATE TABLE none (id INTEGER);
"""


def test_whatever_somebody_did_is_seen(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    def stands(table: str = "t") -> bool:
        with open_target(target_url, COPY) as target:
            return stands_as_brought(table, target)

    origin = write_sqlite(tmp_path / "origin.db", SCRIPT)
    for kind in ("create", "replace"):
        # one row of it is rejected
        assert carry(origin, target_url, max_reject_rate=0.5).roads[1] == kind
        assert (stands(), stands("none"), stands("unknown")) == (True, True, False)
    for change in (
        "UPDATE t SET r = 0.2 WHERE id = 1",
        "UPDATE t SET v = NULL WHERE id = 2",
        "ALTER TABLE t ADD COLUMN more INTEGER",
    ):
        carry(origin, target_url, max_reject_rate=0.5)
        assert stands()
        run_sql(target_url, change)
        assert (change, stands()) == (change, False)


def test_a_server_that_reads_by_several_processes_does_not_mix_the_rows(
    tmp_path: Path, postgres_url: str, run_sql: Any
) -> None:
    script = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, words TEXT);"
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 50000)"
        " INSERT INTO t SELECT n, hex(zeroblob(20)) FROM numbers"
    )
    carry(write_sqlite(tmp_path / "origin.db", script), postgres_url)
    [(database,)] = run_sql(postgres_url, "SELECT current_database()::text")
    for setting in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
        run_sql(postgres_url, f'ALTER DATABASE "{database}" SET {setting} = 0')
    with open_target(postgres_url, COPY) as target:
        assert stands_as_brought("t", target)
