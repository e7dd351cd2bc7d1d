"""The inventory: which type each column becomes and why, which names and keys, and what stays behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.other_tables import Inventory, Origin, take_inventory
from accounts_migration.databases.other_tables.forms import Form
from accounts_migration.errors import MigrationError
from accounts_migration_tests.databases.other_tables.carrying import BESIDES, write_sqlite
from accounts_migration_tests.databases.other_tables.odd_databases import CHINOOK, KEYS, NAMES, NORTHWIND

Inventoried = Callable[..., Inventory]


@pytest.fixture
def inventory_of(tmp_path: Path) -> Inventoried:
    """Return a function script, engine -> the inventory of a SQLite database."""

    def taken(*scripts: str, engine: str = "postgresql") -> Inventory:
        return take_inventory(write_sqlite(tmp_path / "origin.db", "".join(scripts)), engine, besides=BESIDES)

    return taken


def left(inventory: Inventory) -> set[str]:
    return {str(one).removeprefix("not carried: ") for one in inventory.not_carried}


def test_chinook_is_carried_whole(inventory_of: Inventoried) -> None:
    inventory = inventory_of(CHINOOK)
    assert left(inventory) == set()
    assert [line for line in inventory.choices if line.startswith(("Invoice.", "Track.", "Employee."))] == [
        "Employee.EmployeeId INTEGER -> bigint, numbers given out",
        "Employee.LastName NVARCHAR(20) -> varchar(20)",
        "Employee.ReportsTo INTEGER -> bigint",
        "Employee.BirthDate DATETIME -> timestamp",
        "Invoice.InvoiceId INTEGER -> bigint, numbers given out",
        "Invoice.InvoiceDate DATETIME -> timestamp",
        "Invoice.BillingCity NVARCHAR(40) -> varchar(40)",
        "Invoice.Total NUMERIC(10,2) -> numeric(10,2)",
        "Track.TrackId INTEGER -> bigint, numbers given out",
        "Track.Milliseconds INTEGER -> bigint",
        "Track.UnitPrice NUMERIC(10,2) -> numeric(10,2)",
    ]
    identities = {table.name: table.identity.next for table in inventory.tables if table.identity}
    assert identities == {"Artist": 4, "Album": 5, "Employee": 3, "Invoice": 413, "Track": 3}
    names = {table.name: [key.name for key in table.keys] for table in inventory.tables}
    assert names["Album"] == ["PK_Album", "IFK_AlbumArtistId"]
    assert names["PlaylistTrack"] == ["PK_PlaylistTrack", "IPK_PlaylistTrack"]


def test_what_northwind_has_beyond_tables_is_listed(inventory_of: Inventoried) -> None:
    inventory = inventory_of(NORTHWIND)
    assert left(inventory) == {
        "view Alphabetical list of products: it is a query",
        "view Order Subtotals: it is a query",
        "trigger stock: it is a program",
        "check of table Order Details: it is an expression",
    }
    types = dict(line.split(" -> ") for line in inventory.choices)
    assert types["Orders.OrderDate DATETIME"] == "date"
    assert types["Orders.ShippedDate DATETIME"] == "text (not every value is a date and time)"
    assert types["Order Details.UnitPrice NUMERIC"] == "numeric"
    assert types["Order Details.Discount REAL"] == "double precision"
    assert types["Categories.Picture BLOB"] == "bytea"
    assert types["Products.Imported BOOLEAN"] == "boolean"
    assert types["Products.Discontinued TEXT"] == "text"


def test_storage_classes_decide_against_the_declaration(inventory_of: Inventoried) -> None:
    inventory = inventory_of(
        "CREATE TABLE t (a INTEGER, b NUMERIC(5,2), c NVARCHAR(2), d BOOLEAN, e DATETIME, f INT, g DECIMAL(4,1), h);"
        "INSERT INTO t VALUES (1, 1.005, 'abc', 2, 1262304000, 1, 1000, x'00'), ('x', 2, NULL, 1, 1, 1.5, NULL, 'y');"
        "INSERT INTO t (a, f) VALUES (2.5, 0.30000000000000004);"
    )
    assert list(inventory.choices) == [
        "t.a INTEGER -> text (holds 1 INTEGER, 1 REAL, 1 TEXT: each arrives as its text)",
        "t.b NUMERIC(5,2) -> numeric (not all values fit numeric(5,2))",
        "t.c NVARCHAR(2) -> text (some values are longer than 2)",
        "t.d BOOLEAN -> bigint (not every value is a boolean)",
        "t.e DATETIME -> bigint (not every value is a date and time)",
        "t.f INT -> double precision",
        "t.g DECIMAL(4,1) -> numeric (not all values fit numeric(4,1))",
        "t.h -> text (holds 1 TEXT, 1 BLOB: each arrives as its text)",
    ]


def test_what_sqlite_alone_has_is_listed(inventory_of: Inventoried) -> None:
    inventory = inventory_of(
        "CREATE TABLE t (a TEXT COLLATE NOCASE UNIQUE ON CONFLICT REPLACE, b INT DEFAULT (1 + 1),"
        " c AS (b * 2), d AS (b) STORED, e TEXT DEFAULT 'COLLATE NOCASE', f INT DEFAULT 'zero',"
        " g DEFAULT CURRENT_TIME, CHECK (b > 0));"
        "CREATE INDEX partial ON t (a) WHERE b > 1; CREATE INDEX expressive ON t (lower(a));"
        "CREATE INDEX collated ON t (e COLLATE RTRIM);"
        "CREATE VIRTUAL TABLE search USING fts5(x); CREATE TEMP TABLE gone (x);"
        "INSERT INTO t (a, b) VALUES ('x', 1)"
    )
    assert left(inventory) == {
        "collation of table t: texts are compared byte by byte in the target",
        "conflict clause of table t: a row that breaks a constraint is refused in the target",
        "check of table t: it is an expression",
        "default t.b: it is an expression",
        "default t.g: it is an expression",
        "generated column t.c: its values arrive, its expression does not",
        "generated column t.d: its values arrive, its expression does not",
        "index partial: it is partial",
        "index expressive: it holds an expression",
        "collation RTRIM of index collated: texts are compared byte by byte in the target",
        "virtual table search: a module of SQLite makes its rows",
        *(
            f"shadow table search_{name}: it belongs to a virtual table"
            for name in ("config", "content", "data", "docsize", "idx")
        ),
    }
    defaults = {column.name: column.default for column in inventory.tables[0].columns}
    assert defaults == {"a": None, "b": None, "c": None, "d": None, "e": "'COLLATE NOCASE'", "f": "'zero'", "g": None}


def test_quotes_and_dashes_in_a_name_begin_no_text_and_no_comment(inventory_of: Inventoried) -> None:
    inventory = inventory_of(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
        'CREATE TABLE child ("it\'s" INT,'
        " parent INT CONSTRAINT kept REFERENCES parent DEFERRABLE INITIALLY DEFERRED,"
        """ "--" TEXT DEFAULT 'x', [/*] TEXT, CONSTRAINT both UNIQUE (parent, "--"))"""
    )
    [child] = [table for table in inventory.tables if table.name == "child"]
    assert [(one.name, one.actions) for one in child.references] == [("kept", "DEFERRABLE INITIALLY DEFERRED")]
    assert [(key.name, key.columns) for key in child.keys] == [("both", ("parent", "--"))]
    assert left(inventory) == set()


def test_a_long_name_with_a_dollar_sign_is_read_at_once(inventory_of: Inventoried) -> None:
    name = f"{'a' * 50}$"
    inventory = inventory_of(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
        f"CREATE TABLE child ({name} INT, CONSTRAINT one$ UNIQUE ({name}),"
        f" CONSTRAINT kept FOREIGN KEY ({name}) REFERENCES parent)"
    )
    assert [key.name for key in inventory.tables[0].keys] == ["one$"]
    assert [one.name for one in inventory.tables[0].references] == ["kept"]


def test_names_that_postgresql_would_cut_off_get_a_digest(inventory_of: Inventoried) -> None:
    inventory = inventory_of(NAMES)
    tables = {table.source: table for table in inventory.tables}
    one, two = tables[f"{'t' * 70}1"], tables[f"{'t' * 70}2"]
    assert one.name != two.name
    for table in (one, two):
        assert len(table.name) == 63
        assert table.name.startswith("t" * 54 + "_")
    assert two.references[0].parent == one.name
    assert len({column.name for column in one.columns}) == 4
    assert all(len(column.name.encode()) <= 63 for column in one.columns)
    assert tables["account_customer_id"].name.startswith("account_customer_id_")  # an index of ours has that name
    assert [column.name for column in tables["select"].columns if column.source != "ctid"] == [
        "order", "100%", 'a"b', "MiXed Case", "{0}", "$1",
    ]  # fmt: skip
    listed = {line for line in left(inventory) if line.startswith("name of table")}
    assert listed == {
        f"name of table {table.source}: the target cannot have it there; it is {table.name}"
        for table in (one, two, tables["account_customer_id"])
    }


def test_sqlite_keeps_long_names(inventory_of: Inventoried) -> None:
    assert {table.name for table in inventory_of(NAMES, engine="sqlite").tables} >= {f"{'t' * 70}1", f"{'t' * 70}2"}


@pytest.mark.parametrize(("engine", "kept"), [("sqlite", True), ("postgresql", False)])
def test_the_name_of_a_sequence_is_taken_in_postgresql_alone(
    engine: str, kept: bool, inventory_of: Inventoried
) -> None:
    inventory = inventory_of("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE a_id_seq (x TEXT)", engine=engine)
    assert (inventory.tables[1].name == "a_id_seq") == kept


def test_keys_that_postgresql_cannot_have_are_listed(inventory_of: Inventoried) -> None:
    inventory = inventory_of(
        KEYS,
        "CREATE TABLE long (x TEXT UNIQUE); INSERT INTO long VALUES (hex(zeroblob(3000)));"
        "CREATE TABLE longer (x TEXT REFERENCES long (x)); INSERT INTO longer SELECT x FROM long;"
        "CREATE TABLE child (a REFERENCES nowhere, b INT REFERENCES hen (egg), c REAL REFERENCES hen);"
        "INSERT INTO child (c) VALUES (1.5)",
    )
    assert left(inventory) == {
        "primary key nullable: NULL stands in it, which SQLite allows; it is carried as a unique constraint",
        "unique constraint of x of table long: its values are too long for an index",
        "foreign key x of table longer: the values of table long that it refers to are too long for an index",
        "foreign key a of table child: table nowhere is not copied",
        "foreign key b of table child: what it refers to is no key of table hen",
        "foreign key c of table child: its columns are of different types",
    }


def test_references_make_both_sides_alike(inventory_of: Inventoried) -> None:
    inventory = inventory_of(
        "CREATE TABLE account (account_id TEXT PRIMARY KEY);"
        "CREATE TABLE card (pan TEXT PRIMARY KEY, account INTEGER REFERENCES account, up INTEGER REFERENCES card);"
        "CREATE TABLE use (card NUMERIC REFERENCES card);"
        "INSERT INTO card (pan) VALUES ('4711'); INSERT INTO use VALUES (4711)"
    )
    assert list(inventory.choices) == [
        "card.pan TEXT -> text",
        "card.account INTEGER -> text",
        "card.up INTEGER -> text",
        "use.card NUMERIC -> text (holds 1 INTEGER: each arrives as its text)",
    ]
    assert [(one.parent, one.parent_columns) for one in inventory.tables[0].references] == [
        ("card", ("pan",)),
        ("account", ("account_id",)),
    ]


def test_an_empty_table_between_a_number_and_a_text_makes_all_three_text(inventory_of: Inventoried) -> None:
    inventory = inventory_of(
        "CREATE TABLE hen (egg INTEGER PRIMARY KEY); INSERT INTO hen VALUES (1);"
        "CREATE TABLE nest (id INTEGER PRIMARY KEY REFERENCES hen (egg));"
        "CREATE TABLE thief (nest TEXT REFERENCES nest (id)); INSERT INTO thief VALUES ('x')"
    )
    assert [column.type.form for table in inventory.tables for column in table.columns] == [Form.TEXT] * 3
    assert [len(table.references) for table in inventory.tables] == [0, 1, 1]


@pytest.mark.filterwarnings("error")
def test_a_type_with_more_in_brackets_than_it_takes_is_read_quietly(inventory_of: Inventoried) -> None:
    inventory = inventory_of("CREATE TABLE t (id INTEGER(11) PRIMARY KEY, b TINYINT(1), f DATE(8, 2))")
    assert [column.source for column in inventory.tables[0].columns] == ["id", "b", "f"]


def test_keys_that_would_collide_are_refused(inventory_of: Inventoried) -> None:
    with pytest.raises(MigrationError) as refusal:
        inventory_of("CREATE TABLE t (k PRIMARY KEY); INSERT INTO t VALUES (5), ('5'), ('x')")
    assert str(refusal.value) == (
        "Cannot copy table t: 2 rows differ in k by their storage class alone, and would break its key in the target. "
        "Nothing was written. Give these rows different values, or leave the table out"
    )


def test_too_many_columns_are_refused(inventory_of: Inventoried) -> None:
    script = f"CREATE TABLE wide ({', '.join(f'c{number}' for number in range(1601))})"
    with pytest.raises(MigrationError, match="it has 1,601 columns, the target holds 1,600"):
        inventory_of(script)


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "there is no such file"), (b"", "the file is empty"), (b"x" * 4096, "it is not a SQLite database")],
)
def test_what_is_no_database_is_refused(content: bytes | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "origin.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MigrationError) as refusal:
        take_inventory(Origin(path), "postgresql", besides=())
    assert str(refusal.value) == (f"Cannot read {path}: {why}. Check the database with its own tools, then run again")


def test_no_row_is_held_in_memory_however_large(inventory_of: Inventoried) -> None:
    inventory = inventory_of("CREATE TABLE t (p BLOB); INSERT INTO t VALUES (zeroblob(20000000)), (x'00')")
    assert inventory.tables[0].rows_at_once == 3


def test_a_description_is_the_same_each_time(tmp_path: Path) -> None:
    origin = write_sqlite(tmp_path / "origin.db", CHINOOK)
    first, second = (take_inventory(origin, "sqlite", besides=BESIDES) for _ in range(2))
    described: list[list[Any]] = [[table.description for table in one.tables] for one in (first, second)]
    assert described[0] == described[1]
