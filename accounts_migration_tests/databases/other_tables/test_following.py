"""The children of rejected rows are rejected with them, however long the way."""

import json
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.books import COPY
from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError
from accounts_migration_tests.databases.other_tables.carrying import Carried, carry, write_sqlite

BAD = "CAST(x'ff' AS TEXT)"
FAMILY = """
CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p);
CREATE TABLE a (c INTEGER REFERENCES c, words TEXT);
INSERT INTO p VALUES (1, 'good'), (2, CAST(x'ff' AS TEXT)), (3, 'good');
INSERT INTO c VALUES (10, 1), (20, 2), (30, 3), (40, NULL), (50, 77);
INSERT INTO a VALUES (10, 'a'), (20, 'b'), (20, 'c'), (NULL, 'd'), (30, CAST(x'ff' AS TEXT));
"""
SPOIL = "UPDATE p SET name = CAST(x'ff' AS TEXT) WHERE id = 2; UPDATE a SET words = CAST(x'ff' AS TEXT) WHERE c = 30"
MEND = "UPDATE p SET name = 'good'; UPDATE a SET words = 'e' WHERE c = 30"


def rows(run_sql: Any, url: str, table: str, order: str = "1") -> list[tuple[Any, ...]]:
    return list(run_sql(url, f"SELECT * FROM {table} ORDER BY {order}"))  # noqa: S608  # our own names


def defects(run_sql: Any, url: str) -> list[tuple[Any, ...]]:
    query = 'SELECT entity, source_key, reasons, "column" FROM copy_defect ORDER BY entity, source_key'
    return list(run_sql(url, query))


def counts(carried: Carried) -> dict[str, tuple[int, int]]:
    return {one.table: (one.loaded, one.rejected) for one in carried.copied}


def test_children_go_with_their_parents_and_come_back_with_them(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    origin = write_sqlite(tmp_path / "origin.db", FAMILY)
    write_sqlite(tmp_path / "origin.db", MEND)
    carry(origin, target_url)
    # tables that stand unchanged lose the children of what went bad; orphans of the source stay
    write_sqlite(tmp_path / "origin.db", SPOIL)
    for _ in range(2):
        carried = carry(origin, target_url, max_reject_rate=0.6)
        assert (carried.faults, counts(carried)) == ({}, {"a": (2, 3), "c": (4, 1), "p": (2, 1)})
        assert [(one.rows_in_source, one.rejected, one.compared) for one in carried.compared] == [
            (5, 3, 2), (5, 1, 4), (3, 1, 2),
        ]  # fmt: skip
        assert rows(run_sql, target_url, "c") == [(10, 1), (30, 3), (40, None), (50, 77)]
        assert rows(run_sql, target_url, "a", "words") == [(10, "a"), (None, "d")]
        assert defects(run_sql, target_url) == [
            ("a", "row 2", "PARENT_REJECTED", "c"),
            ("a", "row 3", "PARENT_REJECTED", "c"),
            ("a", "row 5", "INVALID_ENCODING", "words"),
            ("c", "20", "PARENT_REJECTED", "p"),
            ("p", "2", "INVALID_ENCODING", "name"),
        ]
    [(row,)] = run_sql(target_url, "SELECT source_row FROM copy_defect WHERE entity = 'c'")
    assert json.loads(row) == {"id": 20, "p": 2}
    write_sqlite(tmp_path / "origin.db", MEND)
    carried = carry(origin, target_url)
    assert (carried.faults, counts(carried)) == ({}, {"a": (5, 0), "c": (5, 0), "p": (3, 0)})
    assert defects(run_sql, target_url) == []


def test_more_children_than_are_allowed_refuse_the_copy(tmp_path: Path, target_url: str) -> None:
    origin = write_sqlite(
        tmp_path / "origin.db", FAMILY.replace("(30, 3)", "(30, 2)").replace(f"(30, {BAD})", "(10, 'e')")
    )
    with pytest.raises(MigrationError) as refusal:
        carry(origin, target_url, max_reject_rate=0.39)
    assert str(refusal.value) == (
        "Cannot copy table a: 2 of 5 rows hold values that the target cannot, or refer to rejected rows:"
        " c: 2 PARENT_REJECTED. Its rows stand there without these parents, and the copy is not complete."
        " Mend these values in the source, or allow a share of rejected rows"
    )


def test_as_many_may_be_rejected_as_the_share_says_to_the_row(tmp_path: Path, target_url: str) -> None:
    # as binary numbers, 0.29 times 100 is less than 29
    script = (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, words TEXT);"
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100)"
        " INSERT INTO p SELECT n, iif(n <= 29, CAST(x'ff' AS TEXT), '') FROM numbers"
    )
    carried = carry(write_sqlite(tmp_path / "origin.db", script), target_url, max_reject_rate=0.29)
    assert (carried.faults, counts(carried)) == ({}, {"p": (71, 29)})


CIRCLES = """
CREATE TABLE person (id INTEGER PRIMARY KEY, chief INTEGER REFERENCES person, name TEXT,
    unit INTEGER REFERENCES unit);
CREATE TABLE unit (id INTEGER PRIMARY KEY, head INTEGER REFERENCES person);
-- a line of command, the last of which is bad: those before it come first, so each is found by the one after it
INSERT INTO person VALUES (1, 2, 'a', NULL), (2, 3, 'b', NULL), (3, 4, 'c', NULL), (4, NULL, CAST(x'ff' AS TEXT), NULL),
    (5, 5, 'own', NULL), (6, NULL, 'of 100', 100), (7, 6, 'below', NULL), (8, NULL, 'free', 200);
INSERT INTO unit VALUES (100, 1), (200, 8), (300, 7), (400, NULL);
"""


def test_self_references_and_cycles_end(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    carried = carry(write_sqlite(tmp_path / "origin.db", CIRCLES), target_url, max_reject_rate=0.8)
    assert (carried.faults, counts(carried)) == ({}, {"person": (2, 6), "unit": (2, 2)})
    assert run_sql(target_url, "SELECT id FROM person ORDER BY 1") == [(5,), (8,)]
    assert run_sql(target_url, "SELECT id FROM unit ORDER BY 1") == [(200,), (400,)]


KEYS = """
CREATE TABLE p (a TEXT, b NUMERIC(9,2), d DATE UNIQUE, r REAL, words TEXT, PRIMARY KEY (a, b));
CREATE UNIQUE INDEX p_r ON p (r);
CREATE TABLE c (b NUMERIC(20,4), a VARCHAR(3), d DATE REFERENCES p (d), r REAL REFERENCES p (r),
    FOREIGN KEY (a, b) REFERENCES p (a, b));
INSERT INTO p VALUES ('x', 1.5, '2020-01-01', 0.1, CAST(x'ff' AS TEXT)), ('x', 2.5, '2020-01-02', 0.2, 'good'),
    ('a longer key', 1.5, NULL, NULL, CAST(x'ff' AS TEXT)), (CAST(x'ff' AS TEXT), 3, '2020-01-03', 0.3, NULL);
INSERT INTO c VALUES (1.5, 'x', NULL, NULL), (2.5, 'x', NULL, NULL), (1.5, 'y', NULL, NULL), (NULL, 'x', NULL, NULL),
    (NULL, NULL, '2020-01-01', NULL), (NULL, NULL, '2020-01-02', NULL), (NULL, NULL, NULL, 0.1), (1, 'x', NULL, 0.2),
    (NULL, NULL, '2020-01-03', 0.3);
"""


def test_keys_of_several_columns_and_of_any_type_tell_the_children(
    tmp_path: Path, target_url: str, run_sql: Any
) -> None:
    carried = carry(write_sqlite(tmp_path / "origin.db", KEYS), target_url, max_reject_rate=0.8)
    assert (carried.faults, counts(carried)) == ({}, {"c": (5, 4), "p": (1, 3)})
    query = "SELECT source_key, \"column\", reason FROM copy_defect WHERE entity = 'c' ORDER BY 1"
    found = run_sql(target_url, query)
    assert [(key, reason) for key, _, reason in found] == [
        (f"row {number}", "PARENT_REJECTED") for number in (1, 5, 7, 9)
    ]
    # the first column of one of its references
    assert [column for _, column, _ in found] in (["a", "d", "r", "d"], ["a", "d", "r", "r"])


ALIKE = """
CREATE TABLE p (id INTEGER PRIMARY KEY, words TEXT);
CREATE TABLE q (id INTEGER PRIMARY KEY, words TEXT);
CREATE TABLE r (a INTEGER, b INTEGER, words TEXT, PRIMARY KEY (a, b));
CREATE TABLE c (id INTEGER PRIMARY KEY REFERENCES p, FOREIGN KEY (id) REFERENCES q, FOREIGN KEY (id, id) REFERENCES r);
INSERT INTO p VALUES (1, CAST(x'ff' AS TEXT)), (2, ''), (3, ''), (4, '');
INSERT INTO q VALUES (1, ''), (2, CAST(x'ff' AS TEXT)), (3, ''), (4, '');
INSERT INTO r VALUES (1, 1, ''), (2, 2, ''), (3, 3, CAST(x'ff' AS TEXT)), (4, 4, '');
INSERT INTO c VALUES (1), (2), (3), (4);
"""


def test_a_column_may_stand_in_several_references_and_twice_in_one(
    tmp_path: Path, target_url: str, run_sql: Any
) -> None:
    carried = carry(write_sqlite(tmp_path / "origin.db", ALIKE), target_url, max_reject_rate=0.75)
    assert (carried.faults, counts(carried)) == ({}, {"c": (1, 3), "p": (3, 1), "q": (3, 1), "r": (3, 1)})
    assert run_sql(target_url, "SELECT id FROM c") == [(4,)]


CHAIN = """
CREATE TABLE entry (id INTEGER PRIMARY KEY, before INTEGER REFERENCES entry, words TEXT);
CREATE TABLE note (entry INTEGER REFERENCES entry);
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000)
    INSERT INTO entry SELECT n, nullif(n - 1, 1000), CASE n WHEN 1001 THEN CAST(x'ff' AS TEXT) END FROM numbers;
UPDATE entry SET before = NULL WHERE id = 1;
INSERT INTO note SELECT id FROM entry;
"""


def test_a_chain_as_long_as_its_table_is_followed_to_its_end(tmp_path: Path, target_url: str) -> None:
    # some seconds; to look at all rows again for each link of the chain would take minutes
    carried = carry(write_sqlite(tmp_path / "origin.db", CHAIN), target_url, max_reject_rate=0.5)
    assert (carried.faults, counts(carried)) == ({}, {"entry": (1000, 1000), "note": (1000, 1000)})


def test_what_refers_to_a_rejected_row_of_an_entity_is_rejected(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    script = (
        "CREATE TABLE account (account_id TEXT PRIMARY KEY);"
        "CREATE TABLE card (pan TEXT PRIMARY KEY, account TEXT REFERENCES account (account_id));"
        "CREATE TABLE purchase (id INTEGER PRIMARY KEY, card TEXT REFERENCES card);"
        "INSERT INTO account VALUES ('ACCT-00000001');"
        "INSERT INTO card VALUES ('4711', 'ACCT-00000001'), ('4712', NULL);"
        "INSERT INTO purchase VALUES (1, '4711'), (2, '4712')"
    )
    origin = write_sqlite(tmp_path / "origin.db", script)
    with open_target(target_url, COPY) as target:
        target.prepare()
    run_sql(
        target_url,
        "INSERT INTO copy_defect (entity, batch, source_key, action, reason, reasons, source_row) VALUES"
        " ('account', 'all', 'ACCT-00000001', 'rejected', 'SUB_CENT', 'SUB_CENT', '{}')",
    )
    carried = carry(origin, target_url, max_reject_rate=0.5)
    assert (carried.faults, counts(carried)) == ({}, {"card": (1, 1), "purchase": (1, 1)})
    assert run_sql(target_url, "SELECT id FROM purchase") == [(2,)]
