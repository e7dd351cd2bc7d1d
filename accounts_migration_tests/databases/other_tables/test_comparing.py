"""The proof finds every difference: of rows, of totals, of orphans, of keys and of the next number."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.books import COPY
from accounts_migration.databases.other_tables import Origin, TableCompared, compare, take_inventory
from accounts_migration.databases.target import open_target
from accounts_migration_tests.databases.other_tables.carrying import BESIDES, carry, write_sqlite

SCRIPT = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price NUMERIC(10,2), at DATE, weight REAL, picture BLOB);
CREATE TABLE tag (item INTEGER REFERENCES item, word TEXT);
CREATE INDEX tag_word ON tag (word);
INSERT INTO item VALUES (1, 'a', 1.50, '2020-01-01', 0.5, x'00'), (2, '', NULL, NULL, NULL, x''), (3, NULL, 2, NULL, 1, NULL);
INSERT INTO tag VALUES (1, 'x'), (1, 'x'), (2, 'y'), (NULL, NULL);
"""  # noqa: E501  # one row, one line


@pytest.fixture
def proof(tmp_path: Path, target_url: str, run_sql: Any) -> Callable[..., dict[str, TableCompared]]:
    """Return a function that runs statements on a whole copy and compares again: by table."""
    origin = write_sqlite(tmp_path / "origin.db", SCRIPT)
    assert carry(origin, target_url).faults == {}

    def compared(*statements: str) -> dict[str, TableCompared]:
        run_sql(target_url, *statements)
        with open_target(target_url, COPY) as target:
            inventory = take_inventory(origin, target.engine, besides=BESIDES)
            return {one.table: one for one in compare(inventory, origin, target)}

    return compared


def told(found: TableCompared) -> list[str]:
    assert not found.is_equal
    return [*map(str, found.examples), *found.faults]


def test_an_equal_copy_is_proved_row_by_row(proof: Callable[..., dict[str, TableCompared]]) -> None:
    found = proof()
    assert {name: one.is_equal for name, one in found.items()} == {"item": True, "tag": True}
    assert [(one.rows_in_source, one.rows_in_target, one.compared) for one in found.values()] == [(3, 3, 3), (4, 4, 4)]
    assert {name: str(total) for name, total in found["item"].totals_in_target.items()} == {"id": "6", "price": "3.50"}
    assert found["tag"].orphans == {"tag_item_fkey": (0, 0)}


CHANGES = {
    "name = 'A'": [],
    "name = NULL": [],
    "name = ''": [],
    "price = 1.51": ["totals differ: price"],
    "price = NULL": ["totals differ: price"],
    "at = '2020-01-02'": [],
    "weight = 0.5000000000000001": [],
    "weight = NULL": [],
    "picture = NULL": [],
}
AS_IT_WAS = "name = 'a', price = 1.50, at = '2020-01-01', weight = 0.5"


def test_a_changed_cell_is_found(proof: Callable[..., dict[str, TableCompared]], target_url: str) -> None:
    picture = "'\\x00'" if target_url.startswith("postgres") else "x'00'"
    for change, totals in CHANGES.items():
        found = proof(
            f"UPDATE item SET {AS_IT_WAS}, picture = {picture} WHERE id = 1",  # noqa: S608  # our own words
            f"UPDATE item SET {change} WHERE id = 1",  # noqa: S608  # our own words
        )
        assert (change, told(found["item"])) == (change, ["DIFFERENT 1", *totals])
        assert (found["item"].compared, dict(found["item"].differences)) == (3, {"DIFFERENT": 1})
        assert found["tag"].is_equal


def test_rows_that_are_lost_or_new_are_found(proof: Callable[..., dict[str, TableCompared]]) -> None:
    found = proof("DELETE FROM tag", "DELETE FROM item WHERE id = 2", "INSERT INTO item (id, name) VALUES (7, 'b')")
    assert dict(found["item"].differences) == {"MISSING_IN_TARGET": 1, "UNEXPECTED_IN_TARGET": 1}
    assert sorted(map(str, found["item"].examples)) == ["MISSING_IN_TARGET 2", "UNEXPECTED_IN_TARGET 7"]
    assert "totals differ: id" in told(found["item"])
    assert dict(found["tag"].differences) == {"MISSING_IN_TARGET": 4}
    assert "0 rows stand in the target, 4 should" in told(found["tag"])
    assert "the books say 4 loaded and 0 rejected, not 0 and 0" in told(found["tag"])


def test_a_table_without_a_key_is_a_bag_of_rows(proof: Callable[..., dict[str, TableCompared]]) -> None:
    assert all(
        one.is_equal for one in proof("DELETE FROM tag WHERE item = 2", "INSERT INTO tag VALUES (2, 'y')").values()
    )
    found = proof("UPDATE tag SET word = 'x' WHERE item = 2")
    assert dict(found["tag"].differences) == {"MISSING_IN_TARGET": 1, "UNEXPECTED_IN_TARGET": 1}
    assert str(found["tag"].examples[0]) == "MISSING_IN_TARGET a row of a table without a key"


def test_the_order_of_rows_does_not_matter(proof: Callable[..., dict[str, TableCompared]]) -> None:
    found = proof("UPDATE item SET name = 'b' WHERE id = 1", "UPDATE item SET name = 'a' WHERE id = 1")
    assert found["item"].is_equal
    assert found["item"].compared == 3


def test_orphans_that_the_source_has_not_are_found(tmp_path: Path, run_sql: Any) -> None:
    origin, url = write_sqlite(tmp_path / "origin.db", SCRIPT), str(tmp_path / "target.db")
    carry(origin, url)
    run_sql(url, "PRAGMA foreign_keys = OFF", "CREATE TABLE kept AS SELECT * FROM tag", "DELETE FROM tag")
    run_sql(url, "INSERT INTO tag SELECT * FROM kept", "DROP TABLE kept")
    with open_target(url, COPY) as target:
        target.session.execute("PRAGMA foreign_keys = OFF")
        target.session.execute("UPDATE tag SET item = 99 WHERE item = 2")
        inventory = take_inventory(origin, "sqlite", besides=BESIDES)
        found = {one.table: one for one in compare(inventory, origin, target)}
    assert found["tag"].orphans == {"tag_item_fkey": (0, 1)}
    assert "foreign key tag_item_fkey: 0 rows have no parent in the source, 1 in the target" in told(found["tag"])


def test_rows_that_find_their_parent_as_they_are_carried_are_no_orphans(tmp_path: Path, target_url: str) -> None:
    script = """CREATE TABLE place (id PRIMARY KEY);
        INSERT INTO place VALUES (1), ('2'), ('x');
        CREATE TABLE visit (number INTEGER PRIMARY KEY, place REFERENCES place);
        INSERT INTO visit VALUES (1, 1), (2, '1'), (3, 2), (4, 'x'), (5, 'gone'), (6, NULL);"""
    carried = carry(write_sqlite(tmp_path / "origin.db", script), target_url)
    assert carried.faults == {}
    assert {one.table: one.orphans for one in carried.compared} == {"place": {}, "visit": {"visit_place_fkey": (1, 1)}}


def test_what_could_not_be_compared_is_no_pass(proof: Callable[..., dict[str, TableCompared]]) -> None:
    assert told(proof("ALTER TABLE tag RENAME COLUMN word TO term")["tag"]) == [
        "columns are missing in the target: word"
    ]
    assert told(proof("DROP TABLE tag")["tag"]) == ["the table does not stand in the target"]


def test_a_lost_index_is_found(proof: Callable[..., dict[str, TableCompared]]) -> None:
    assert told(proof("DROP INDEX tag_word")["tag"]) == ["tag_word does not stand in the target"]


def test_a_table_that_the_books_do_not_know_is_no_copy(proof: Callable[..., dict[str, TableCompared]]) -> None:
    assert told(proof("DELETE FROM copy_batch WHERE entity = 'tag'")["tag"]) == [
        "the copy's books do not know the table"
    ]


def test_a_wrong_next_number_is_found(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    origin = write_sqlite(tmp_path / "origin.db", SCRIPT)
    carry(origin, target_url)
    run_sql(
        target_url,
        "SELECT setval('item_id_seq', 9)"
        if target_url.startswith("postgres")
        else "UPDATE sqlite_sequence SET seq = 9",
    )
    with open_target(target_url, COPY) as target:
        inventory = take_inventory(origin, target.engine, besides=BESIDES)
        found = {one.table: one for one in compare(inventory, origin, target)}
    assert told(found["item"]) == ["the next number of id is 10, not 4"]


@pytest.mark.parametrize(
    "statement",
    [
        'ALTER TABLE tag DROP CONSTRAINT "tag_item_fkey"',
        "ALTER TABLE item DROP CONSTRAINT item_pkey CASCADE",
    ],
)
def test_lost_keys_are_found_in_postgresql(statement: str, tmp_path: Path, postgres_url: str, run_sql: Any) -> None:
    origin = write_sqlite(tmp_path / "origin.db", SCRIPT)
    carry(origin, postgres_url)
    run_sql(postgres_url, statement)
    with open_target(postgres_url, COPY) as target:
        inventory = take_inventory(origin, target.engine, besides=BESIDES)
        found = {one.table: one for one in compare(inventory, origin, target)}
    assert told(found["tag"]) == ["tag_item_fkey does not stand in the target"]
    assert found["item"].is_equal == ("item_pkey" not in statement)


@pytest.mark.parametrize(
    ("change", "id_"),
    [
        ("at = 'infinity'", 2),
        ("at = '2020-01-01 BC'", 1),
        ("at = '12020-01-01'", 1),
        ("price = 'NaN'", 2),
        ("loan = 1e40", 2),
        ("loan = 1e36", 1),
        ("loan = 'Infinity'", 1),
        ("moment = '-infinity'", 2),
        ("moment = '2020-01-01 10:00:00 BC'", 1),
    ],
)
def test_values_that_no_copy_writes_are_found_in_postgresql(
    change: str, id_: int, tmp_path: Path, postgres_url: str, run_sql: Any
) -> None:
    """As text they would be NULL, or that of another value."""
    origin = write_sqlite(
        tmp_path / "origin.db",
        "CREATE TABLE item (id INTEGER PRIMARY KEY, at DATE, price NUMERIC(10,2), loan NUMERIC, moment TIMESTAMP);"
        "INSERT INTO item VALUES (1, '2020-01-01', 1.5, 2.25, '2020-01-01 10:00:00'), (2, NULL, NULL, NULL, NULL)",
    )
    carry(origin, postgres_url)
    run_sql(postgres_url, f"UPDATE item SET {change} WHERE id = {id_}")  # noqa: S608  # our own cells
    with open_target(postgres_url, COPY) as target:
        [found] = compare(take_inventory(origin, target.engine, besides=BESIDES), origin, target)
    assert dict(found.differences) == {"DIFFERENT": 1}
    assert f"DIFFERENT {id_}" in told(found)


def test_numbers_that_nobody_gives_any_more_are_found(tmp_path: Path, postgres_url: str, run_sql: Any) -> None:
    origin = write_sqlite(tmp_path / "origin.db", SCRIPT)
    carry(origin, postgres_url)
    run_sql(postgres_url, "ALTER TABLE item ALTER id DROP IDENTITY")
    with open_target(postgres_url, COPY) as target:
        found = {
            one.table: one for one in compare(take_inventory(origin, "postgresql", besides=BESIDES), origin, target)
        }
    assert told(found["item"]) == ["no sequence gives the numbers of id"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE item SET name = CAST(x'ff' AS TEXT) WHERE id = 1",
        "UPDATE item SET price = 'much' WHERE id = 1",
        "UPDATE item SET price = 1.505 WHERE id = 1",
        "UPDATE item SET weight = 'heavy' WHERE id = 1",
        "UPDATE item SET picture = 'text' WHERE id = 1",
        "UPDATE item SET at = 20200101 WHERE id = 1",
    ],
)
def test_values_that_no_copy_writes_are_found_in_sqlite(statement: str, tmp_path: Path, run_sql: Any) -> None:
    origin, url = write_sqlite(tmp_path / "origin.db", SCRIPT), str(tmp_path / "target.db")
    carry(origin, url)
    run_sql(url, statement)
    with open_target(url, COPY) as target:
        inventory = take_inventory(origin, "sqlite", besides=BESIDES)
        found = {one.table: one for one in compare(inventory, origin, target)}
    assert dict(found["item"].differences) == {"DIFFERENT": 1}
    assert "DIFFERENT 1" in told(found["item"])


def test_many_rows_in_another_order_are_compared(tmp_path: Path, target_url: str, run_sql: Any) -> None:
    origin: Origin = write_sqlite(
        tmp_path / "origin.db",
        "CREATE TABLE many (k TEXT PRIMARY KEY, v INT); INSERT INTO many WITH RECURSIVE n (i) AS"
        " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) SELECT 'key ' || i, i FROM n",
    )
    carry(origin, target_url)
    # the first row becomes the last one: no chunk is equal to another
    run_sql(target_url, "DELETE FROM many WHERE v = 1", "INSERT INTO many VALUES ('key 1', 1)")
    run_sql(target_url, "UPDATE many SET v = 0 WHERE v = 39999", "DELETE FROM many WHERE v = 7")
    with open_target(target_url, COPY) as target:
        inventory = take_inventory(origin, target.engine, besides=BESIDES)
        [found] = compare(inventory, origin, target)
    assert dict(found.differences) == {"DIFFERENT": 1, "MISSING_IN_TARGET": 1}
    assert sorted(map(str, found.examples)) == ["DIFFERENT key 39999", "MISSING_IN_TARGET key 7"]
    assert found.compared == 39_999
