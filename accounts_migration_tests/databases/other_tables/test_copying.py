"""One table: made, replaced or kept, in one transaction with its record; what cannot be held is a defect."""

import json
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.books import COPY
from accounts_migration.databases.other_tables import Origin, compare, copy_table, finish, take_inventory
from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError
from accounts_migration_tests.databases.other_tables.carrying import BESIDES, SNAPSHOT, Carried, carry, write_sqlite

FAMILY = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent);
INSERT INTO parent VALUES (1, 'a'), (2, 'b');
INSERT INTO child VALUES (1, 1), (2, 2);
"""
BROKEN = """
CREATE TABLE t (k TEXT PRIMARY KEY, a TEXT, b BLOB);
INSERT INTO t VALUES ('good', 'é', x'00ff'), ('nul', 'a' || char(0) || 'b', x'01'), ('both', CAST(x'ff' AS TEXT), NULL);
INSERT INTO t VALUES ('again', CAST(x'c328' AS TEXT), NULL);
"""


def rows(run_sql: Any, url: str, table: str) -> list[tuple[Any, ...]]:
    return sorted(run_sql(url, f'SELECT * FROM "{table}"'))  # noqa: S608  # our own names


def books(run_sql: Any, url: str) -> list[tuple[Any, ...]]:
    query = "SELECT entity, batch, snapshot_id, source_rows, loaded, rejected, excluded, control_totals FROM copy_batch"
    return sorted(run_sql(url, query))


def test_rows_and_record_are_written(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    carried = carry(write_sqlite(tmp_path / "origin.db", FAMILY), target_url)
    assert carried.roads == ["create", "create"]
    assert rows(run_sql, target_url, "child") == [(1, 1), (2, 2)]
    assert books(run_sql, target_url) == [
        ("child", "all", "copy-1", 2, 2, 0, 0, '{"id": "3", "parent": "3"}'),
        ("parent", "all", "copy-1", 2, 2, 0, 0, '{"id": "3"}'),
    ]
    assert run_sql(target_url, "SELECT snapshot_id, source FROM copy_snapshot") == [("copy-1", "/origin.db")]


def test_a_table_may_have_as_many_columns_as_the_target_holds(tmp_path: Path, target_url: str) -> None:
    most = 1600 if target_url.startswith("postgres") else 1999
    columns = ", ".join(f"c{number} INT" for number in range(most))
    rows = f"INSERT INTO wide (c0, c{most - 1}) VALUES (1, 2), (NULL, 3)"  # noqa: S608  # our own names
    done = carry(write_sqlite(tmp_path / "origin.db", f"CREATE TABLE wide ({columns}); {rows}"), target_url)
    assert (done.faults, [one.loaded for one in done.copied]) == ({}, [2])


def test_a_schema_whose_name_must_be_quoted_is_written(tmp_path: Path, quoted_schema_url: str, run_sql: Any) -> None:
    origin = write_sqlite(tmp_path / "origin.db", FAMILY)
    for road in ("create", "keep"):
        done = carry(origin, quoted_schema_url)
        assert (done.faults, done.roads) == ({}, [road, road])
    assert run_sql(quoted_schema_url, "SELECT schemaname::text FROM pg_tables WHERE tablename = 'child'") == [
        ('The "Bank"',)
    ]


CHANGES = (
    "UPDATE parent SET name = NULL WHERE id = 2",
    "UPDATE parent SET name = '' WHERE id = 2",
    "DELETE FROM parent WHERE id = 2",
    "INSERT INTO parent VALUES (3, 'c')",
    "CREATE INDEX parent_name ON parent (name)",
    "ALTER TABLE parent ADD COLUMN more TEXT",
)


def test_what_has_changed_is_replaced(tmp_path: Path, target_url: str) -> None:
    origin = write_sqlite(tmp_path / "origin.db", FAMILY)
    carry(origin, target_url)
    with open_target(target_url, COPY) as target, target.lock():
        for change in CHANGES:
            write_sqlite(tmp_path / "origin.db", change)
            for road in ("replace", "keep"):
                inventory = take_inventory(origin, target.engine, besides=BESIDES)
                copied = [copy_table(table, origin, target, SNAPSHOT).road for table in inventory.tables]
                assert (change, copied) == (change, ["keep", road])
                finish(inventory, target)
                assert [one.is_equal for one in compare(inventory, origin, target)] == [True, True]


def test_lost_rows_are_copied_again(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    origin = write_sqlite(tmp_path / "origin.db", FAMILY)
    carry(origin, target_url)
    run_sql(target_url, "DELETE FROM child WHERE id = 1")
    again = carry(origin, target_url)
    assert (again.roads, again.faults) == (["replace", "keep"], {})


def refused(tmp_path: Path, target_url: str) -> str:
    with pytest.raises(MigrationError) as refusal:
        carry(Origin(tmp_path / "origin.db"), target_url)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("CREATE TABLE parent (id BIGINT)", "table parent stands there already"),
        ("CREATE VIEW parent AS SELECT 1 AS id", "view parent stands there already"),
        ("CREATE INDEX parent ON account (status)", "index parent stands there already"),
    ],
)
def test_what_others_have_made_is_refused(
    statement: str, why: str, tmp_path: Path, target_url: str, run_sql: Any
) -> None:
    write_sqlite(tmp_path / "origin.db", FAMILY.replace("child", "zchild"))
    with open_target(target_url, COPY) as target:
        target.prepare()
    run_sql(target_url, statement)
    assert why in refused(tmp_path, target_url)
    assert books(run_sql, target_url) == []


def test_rows_of_others_are_refused(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    carry(write_sqlite(tmp_path / "origin.db", FAMILY), target_url)
    run_sql(target_url, "INSERT INTO child VALUES (3, 2)")
    assert "table child holds rows that were not copied" in refused(tmp_path, target_url)
    assert (3, 2) in rows(run_sql, target_url, "child")


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("CREATE VIEW seen AS SELECT * FROM child", "view seen depends on table child"),
        ("CREATE TABLE theirs (c BIGINT REFERENCES child (id))",
         "foreign key theirs_c_fkey of table theirs depends on table child"),
    ],
)  # fmt: skip
def test_what_others_have_tied_to_a_table_is_refused(
    statement: str, why: str, tmp_path: Path, postgres_url: str, run_sql: Any
) -> None:
    carry(write_sqlite(tmp_path / "origin.db", FAMILY), postgres_url)
    run_sql(postgres_url, statement)
    assert why in refused(tmp_path, postgres_url)


def test_a_trigger_on_a_table_is_not_lost(tmp_path: Path, run_sql: Any) -> None:
    url = str(tmp_path / "target.db")
    carry(write_sqlite(tmp_path / "origin.db", FAMILY), url)
    run_sql(url, "CREATE TRIGGER theirs AFTER DELETE ON child BEGIN SELECT 1; END")
    assert "trigger theirs depends on table child" in refused(tmp_path, url)


def test_texts_that_postgresql_cannot_hold_are_refused(tmp_path: Path, postgres_url: str, run_sql: Any) -> None:
    write_sqlite(tmp_path / "origin.db", BROKEN)
    assert refused(tmp_path, postgres_url) == (
        "Cannot copy table t: 3 of 4 rows hold values that the target cannot: "
        "a: 2 INVALID_ENCODING; a: 1 NUL_CHARACTER. Nothing of this table was written. "
        "Mend these values in the source, or allow a share of rejected rows"
    )
    assert books(run_sql, postgres_url) == []
    assert run_sql(postgres_url, "SELECT count(*) FROM pg_class WHERE relname = 't'") == [(0,)]


def test_a_share_of_rejected_rows_can_be_allowed(tmp_path: Path, postgres_url: str, run_sql: Any) -> None:
    origin = write_sqlite(tmp_path / "origin.db", BROKEN)
    carried = carry(origin, postgres_url, max_reject_rate=0.75)
    assert [(one.source_rows, one.loaded, one.rejected) for one in carried.copied] == [(4, 1, 3)]
    assert carried.copied[0].defects == {("a", "NUL_CHARACTER"): 1, ("a", "INVALID_ENCODING"): 2}
    assert carried.faults == {}
    assert [(one.rows_in_source, one.rejected, one.compared) for one in carried.compared] == [(4, 3, 1)]
    assert rows(run_sql, postgres_url, "t") == [("good", "é", b"\x00\xff")]
    defects = run_sql(
        postgres_url,
        'SELECT entity, batch, source_key, source_row_id, action, reason, reasons, "column", source_row'
        " FROM copy_defect ORDER BY source_key",
    )
    assert [defect[:8] for defect in defects] == [
        ("t", "all", "again", None, "rejected", "INVALID_ENCODING", "INVALID_ENCODING", "a"),
        ("t", "all", "both", None, "rejected", "INVALID_ENCODING", "INVALID_ENCODING", "a"),
        ("t", "all", "nul", None, "rejected", "NUL_CHARACTER", "NUL_CHARACTER", "a"),
    ]
    assert [json.loads(defect[8]) for defect in defects] == [
        {"k": "again", "a": {"text": "c328"}, "b": None},
        {"k": "both", "a": {"text": "ff"}, "b": None},
        {"k": "nul", "a": "a\0b", "b": {"blob": "01"}},
    ]
    assert carry(origin, postgres_url, max_reject_rate=0.75).roads == ["replace"]


def test_sqlite_holds_u_0000_but_no_broken_text(tmp_path: Path) -> None:
    origin = write_sqlite(tmp_path / "origin.db", BROKEN)
    carried = carry(origin, str(tmp_path / "target.db"), max_reject_rate=0.5)
    assert carried.copied[0].defects == {("a", "INVALID_ENCODING"): 2}
    assert carried.faults == {}


def test_a_failure_leaves_everything_as_it_was(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    origin = write_sqlite(tmp_path / "origin.db", FAMILY)
    carry(origin, target_url)
    before = (rows(run_sql, target_url, "child"), books(run_sql, target_url))
    with open_target(target_url, COPY) as target:
        stale = take_inventory(origin, target.engine, besides=BESIDES)
        # written since: a text in a column that the inventory found to hold integers
        write_sqlite(tmp_path / "origin.db", "UPDATE child SET parent = 'x'")
        with pytest.raises(MigrationError, match="it holds values that the inventory did not find"):
            copy_table(stale.tables[0], origin, target, SNAPSHOT)
    assert (rows(run_sql, target_url, "child"), books(run_sql, target_url)) == before


def test_a_large_table_is_streamed(tmp_path: Path, target_url: str) -> None:
    script = (
        "CREATE TABLE large (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO large WITH RECURSIVE n (i) AS"
        " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i, 'value ' || i FROM n"
    )
    carried: Carried = carry(write_sqlite(tmp_path / "origin.db", script), target_url)
    assert carried.faults == {}
    assert [(one.rows_in_source, one.rows_in_target, one.compared) for one in carried.compared] == [(100_000,) * 3]
