"""After the rows: keys, indexes, foreign keys and the next numbers, in the target's own words."""

from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.books import COPY
from accounts_migration.databases.other_tables import copy_table, finish, take_inventory
from accounts_migration.databases.session import ConstraintViolated
from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError
from accounts_migration_tests.databases.other_tables.carrying import BESIDES, SNAPSHOT, carry, write_sqlite

NUMBERED = """
CREATE TABLE plain (id INTEGER PRIMARY KEY, v TEXT DEFAULT 'x''y');
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT);
CREATE TABLE fresh (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT);
CREATE TABLE negative (id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO plain VALUES (1, 'a'), (41, 'b');
INSERT INTO counted VALUES (1, 'a'), (99, 'b');
DELETE FROM counted WHERE id = 99;
INSERT INTO negative VALUES (-7, 'a');
"""
CARDS = """
CREATE TABLE account (account_id TEXT PRIMARY KEY);
CREATE TABLE card (pan TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES account (account_id) ON DELETE CASCADE);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, card TEXT REFERENCES card, back INTEGER REFERENCES purchase);
INSERT INTO purchase VALUES (1, NULL, 2), (2, NULL, 1);
"""


def test_the_next_number_is_the_right_one(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    carry(write_sqlite(tmp_path / "origin.db", NUMBERED), target_url)
    found = {
        table: run_sql(target_url, f"INSERT INTO {table} (v) VALUES ('new') RETURNING id")  # noqa: S608  # our own names
        for table in ("plain", "counted", "fresh", "negative")
    }
    assert found == {"plain": [(42,)], "counted": [(100,)], "fresh": [(1,)], "negative": [(1,)]}


@pytest.mark.parametrize(("given", "number"), [("'x'", 3), ("x'39'", 10), ("9.5", 10), ("NULL", 3)])
def test_what_somebody_wrote_for_the_last_number_is_read_as_a_number(
    given: str, number: int, tmp_path: Path, target_url: str, run_sql: Any
) -> None:
    script = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT); INSERT INTO t VALUES (2, 'a');"
    origin = write_sqlite(tmp_path / "origin.db", f"{script} UPDATE sqlite_sequence SET seq = {given}")  # noqa: S608  # our own cells
    assert carry(origin, target_url).faults == {}
    assert run_sql(target_url, "INSERT INTO t (v) VALUES ('new') RETURNING id") == [(number,)]


def test_the_last_number_of_all_leaves_none(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    script = "CREATE TABLE last (id INTEGER PRIMARY KEY, v); INSERT INTO last VALUES (9223372036854775807, 'a')"
    assert carry(write_sqlite(tmp_path / "origin.db", script), target_url).faults == {}
    with pytest.raises(MigrationError):
        run_sql(target_url, "INSERT INTO last (v) VALUES ('b')")


def test_references_hold_also_to_the_platforms_own_tables(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    done = carry(write_sqlite(tmp_path / "origin.db", CARDS), target_url)
    assert (done.faults, done.inventory.not_carried) == ({}, ())
    for statement in (
        "INSERT INTO card VALUES ('4711', 'ACCT-00000001')",
        "INSERT INTO purchase (card) VALUES ('4711')",
        "UPDATE purchase SET back = 7 WHERE id = 1",
        "INSERT INTO card (account) VALUES (NULL)",
    ):
        with pytest.raises(ConstraintViolated):
            run_sql(target_url, statement)


def test_keys_are_enforced(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    script = (
        "CREATE TABLE t (a TEXT, b INT NOT NULL, c TEXT UNIQUE, PRIMARY KEY (a, b));"
        "CREATE UNIQUE INDEX t_b ON t (b DESC); INSERT INTO t VALUES ('x', 1, 'u'), ('x', 2, NULL), ('y', 3, NULL)"
    )
    carry(write_sqlite(tmp_path / "origin.db", script), target_url)
    for values in ("('x', 1, 'v')", "('z', 9, 'u')", "('z', 3, 'w')", "('z', NULL, 'w')"):
        with pytest.raises(ConstraintViolated):
            run_sql(target_url, f"INSERT INTO t VALUES {values}")  # noqa: S608  # our own values


def test_orphans_stay_and_new_ones_are_refused(tmp_path: Path, postgres_url: str, run_sql: Any) -> None:
    script = (
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p INTEGER CONSTRAINT to_p REFERENCES p);"
        "INSERT INTO c VALUES (7), (NULL), (8)"
    )
    origin = write_sqlite(tmp_path / "origin.db", script)
    done = carry(origin, postgres_url)
    said = "added foreign key to_p of table c for new rows only (NOT VALID): 2 rows have no parent"
    assert said in done.done
    assert done.faults == {}
    assert [one.orphans for one in done.compared] == [{"to_p": (2, 2)}, {}]
    with pytest.raises(ConstraintViolated):
        run_sql(postgres_url, "INSERT INTO c VALUES (9)")
    # mended in the source, the reference holds for all rows
    write_sqlite(tmp_path / "origin.db", "INSERT INTO p VALUES (7), (8)")
    assert "added foreign key to_p of table c" in carry(origin, postgres_url).done
    assert run_sql(postgres_url, "SELECT convalidated FROM pg_constraint WHERE conname = 'to_p'") == [(True,)]


def test_actions_of_references_are_carried(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    script = (
        "CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (2);"
        "CREATE TABLE c (a INT REFERENCES p ON DELETE CASCADE, b INT REFERENCES p ON DELETE SET NULL);"
        "INSERT INTO c VALUES (1, NULL), (2, 1)"
    )
    carry(write_sqlite(tmp_path / "origin.db", script), target_url)
    assert run_sql(target_url, "DELETE FROM p WHERE id = 1", "SELECT a, b FROM c") == [(2, None)]


def test_deferral_and_names_of_references_are_carried(tmp_path: Path, postgres_url: str, run_sql: Any) -> None:
    script = (
        "CREATE TABLE p (a INT, b INT, c INT UNIQUE, PRIMARY KEY (a, b)); CREATE TABLE q ("
        " w INT CONSTRAINT first REFERENCES p (c) NOT DEFERRABLE, x INT REFERENCES p (c) DEFERRABLE, y INT, z INT,"
        " CONSTRAINT [the second] FOREIGN KEY (y, z) REFERENCES p (a, b) ON DELETE CASCADE"
        " DEFERRABLE INITIALLY DEFERRED, FOREIGN KEY (z, y) REFERENCES p)"
    )
    carry(write_sqlite(tmp_path / "origin.db", script), postgres_url)
    found = run_sql(
        postgres_url,
        "SELECT conname::text, condeferrable, condeferred, confdeltype::text FROM pg_constraint"
        " WHERE contype = 'f' AND conrelid = 'q'::regclass ORDER BY 1",
    )
    assert found == [
        ("first", False, False, "a"),
        ("q_x_fkey", True, False, "a"),
        ("q_z_y_fkey", False, False, "a"),
        ("the second", True, True, "c"),
    ]


def test_defaults_are_carried(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    script = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT 'it''s', b INT DEFAULT -5,"
        " c NUMERIC(5,2) DEFAULT '1.5',"
        " d BOOLEAN DEFAULT TRUE, e BLOB DEFAULT x'00ff', f DATE DEFAULT '2020-02-29', g REAL DEFAULT 1e3,"
        " h TIMESTAMP DEFAULT CURRENT_TIMESTAMP, i TEXT DEFAULT CURRENT_TIMESTAMP, j TEXT DEFAULT NULL,"
        " k DATE DEFAULT CURRENT_DATE)"
    )
    carry(write_sqlite(tmp_path / "origin.db", script), target_url)
    [row] = run_sql(target_url, "INSERT INTO t (id) VALUES (1)", "SELECT * FROM t")
    # SQLite has neither booleans nor dates
    assert [str(value) for value in row[:8]] == [
        "1", "it's", "-5", "1.50" if target_url.startswith("postgres") else "1.5",
        "True" if target_url.startswith("postgres") else "1", "b'\\x00\\xff'", "2020-02-29", "1000.0",
    ]  # fmt: skip
    assert str(row[8]) == row[9]
    assert row[9][:10] == str(row[11])
    assert row[10] is None


def test_nothing_is_finished_before_all_tables_stand(tmp_path: Path, target_url: str) -> None:
    origin = write_sqlite(tmp_path / "origin.db", NUMBERED)
    with open_target(target_url, COPY) as target:
        target.prepare()
        inventory = take_inventory(origin, target.engine, besides=BESIDES)
        copy_table(inventory.tables[0], origin, target, SNAPSHOT)
        with pytest.raises(MigrationError) as refusal:
            finish(inventory, target)
    assert refusal.value.why == "not copied yet: fresh, negative, plain"
    assert refusal.value.remedy == "Nothing was added. Copy these tables, then run again"


def test_a_reference_wants_the_key_it_refers_to(tmp_path: Path, postgres_url: str) -> None:
    origin = write_sqlite(tmp_path / "origin.db", CARDS)
    with open_target(postgres_url, COPY) as target:
        target.prepare()
        inventory = take_inventory(origin, target.engine, besides=BESIDES)
        for table in inventory.tables:
            copy_table(table, origin, target, SNAPSHOT)
        with pytest.raises(MigrationError) as refusal:
            finish(inventory, target)
        assert refusal.value.why == "table card refers to table account, which does not stand there with its key"
        target.constrain()
        assert "added foreign key card_account_fkey of table card" in finish(inventory, target)


def test_an_index_name_of_others_is_refused(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    script = "CREATE TABLE t (a INT); CREATE INDEX taken ON t (a)"
    origin = write_sqlite(tmp_path / "origin.db", script)
    with open_target(target_url, COPY) as target:
        target.prepare()
    run_sql(target_url, "CREATE TABLE theirs (x INT)", "CREATE INDEX taken ON theirs (x)")
    with pytest.raises(MigrationError) as refusal:
        carry(origin, target_url)
    assert str(refusal.value) == (
        "Cannot make taken on table t: another index of the target has this name. "
        "Nothing was added. Rename what has the name, then run again"
    )
