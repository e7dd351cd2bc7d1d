"""PostgreSQL to SQLite: every type has a decided exact form, and what SQLite has no place for is listed."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.other_tables import Origin, take_inventory
from accounts_migration.databases.postgres_target import open_session
from accounts_migration.errors import MigrationError
from accounts_migration_tests.databases.other_tables.carrying import BESIDES, Carried, carry

VALUES = (
    # type, value, the type in SQLite, what SQLite stores
    ("smallint", "-32768", "BIGINT", ("integer", -32768)),
    ("bigint", "9223372036854775807", "BIGINT", ("integer", 2**63 - 1)),
    ("numeric(10,2)", "1234.50", "NUMERIC(10,2)", ("real", 1234.5)),
    ("numeric(10,2)", "5", "NUMERIC(10,2)", ("integer", 5)),
    ("numeric", "0.123456789012345", "NUMERIC", ("real", 0.123456789012345)),
    ("numeric", "1234567890123456.5", "TEXT", ("text", "1234567890123456.5")),
    ("numeric", "0.1000000000000000000001", "TEXT", ("text", "0.1000000000000000000001")),
    ("numeric", "NaN", "TEXT", ("text", "NaN")),
    ("numeric", "-Infinity", "TEXT", ("text", "-Infinity")),
    ("real", "0.1", "REAL", ("real", 0.10000000149011612)),
    ("double precision", "0.30000000000000004", "REAL", ("real", 0.30000000000000004)),
    ("double precision", "Infinity", "REAL", ("real", float("inf"))),
    ("double precision", "NaN", "TEXT", ("text", "NaN")),
    ("boolean", "true", "BOOLEAN", ("integer", 1)),
    ("text", " é \n", "TEXT", ("text", " é \n")),
    ("text", "", "TEXT", ("text", "")),
    ("varchar(3)", "abc", "VARCHAR(3)", ("text", "abc")),
    ("char(5)", "ab", "TEXT", ("text", "ab   ")),
    ("bytea", "\\x00ff", "BLOB", ("blob", b"\x00\xff")),
    ("date", "2020-02-29", "DATE", ("text", "2020-02-29")),
    ("date", "infinity", "TEXT", ("text", "infinity")),
    ("date", "0044-03-15 BC", "TEXT", ("text", "0044-03-15 BC")),
    ("date", "12345-01-01", "TEXT", ("text", "12345-01-01")),
    ("timestamp", "2020-01-01 10:11:12", "TIMESTAMP", ("text", "2020-01-01 10:11:12")),
    ("timestamp", "2020-01-01 10:11:12.5", "TIMESTAMP", ("text", "2020-01-01 10:11:12.500000")),
    ("timestamp", "-infinity", "TEXT", ("text", "-infinity")),
    ("timestamptz", "2020-01-01 10:11:12.25+02", "TEXT", ("text", "2020-01-01 08:11:12.250000+00")),
    ("timestamptz", "infinity", "TEXT", ("text", "infinity")),
    ("time", "24:00:00", "TEXT", ("text", "24:00:00")),
    ("interval", "1 year 2 days 03:04:05", "TEXT", ("text", "P1Y2DT3H4M5S")),
    ("money", "1234.5", "TEXT", ("text", "1234.50")),
    ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "TEXT", ("text", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
    ("json", '{"a" :1}', "TEXT", ("text", '{"a" :1}')),
    ("jsonb", '{"a" :1}', "TEXT", ("text", '{"a": 1}')),
    ("integer[]", "{1,NULL,3}", "TEXT", ("text", "{1,NULL,3}")),
    ("inet", "10.0.0.1/8", "TEXT", ("text", "10.0.0.1/8")),
    ("int4range", "[1,5)", "TEXT", ("text", "[1,5)")),
    ("bit(3)", "101", "TEXT", ("text", "101")),
    ("mood", "sad", "TEXT", ("text", "sad")),
    ("cents", "7", "BIGINT", ("integer", 7)),
    ("price", "7.5", "NUMERIC(6,2)", ("real", 7.5)),
)


def run(url: str, *statements: str) -> None:
    with contextlib.closing(open_session(url)) as session:
        for statement in statements:
            session.execute(statement)


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def carried(url: str, folder: Path) -> tuple[Carried, Path]:
    path = folder / "target.db"
    return carry(Origin(url), str(path)), path


def left(done: Carried) -> set[str]:
    return {str(one).removeprefix("not carried: ") for one in done.inventory.not_carried}


def test_each_type_has_its_form(postgres_url: str, tmp_path: Path) -> None:
    columns = ", ".join(f"c{place} {kind}" for place, (kind, *_) in enumerate(VALUES))
    values = ", ".join("'" + value.replace("'", "''") + "'" for _, value, *_ in VALUES)
    run(
        postgres_url,
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN cents AS integer CHECK (VALUE > 0)",
        "CREATE DOMAIN amount AS numeric(6,2)",
        "CREATE DOMAIN price AS amount NOT NULL DEFAULT 1",
        f"CREATE TABLE kinds ({columns})",
        f"INSERT INTO kinds VALUES ({values})",  # noqa: S608  # our own values
    )
    done, path = carried(postgres_url, tmp_path)
    assert done.faults == {}
    found = {
        kind_value: (declared, *query(path, f"SELECT typeof({name}), {name} FROM kinds"))  # noqa: S608  # our own names
        for kind_value, (name, declared) in zip(
            [(kind, value) for kind, value, *_ in VALUES],
            query(path, "SELECT name, type FROM pragma_table_info('kinds')"),
            strict=True,
        )
    }
    assert found == {(kind, value): (declared, stored) for kind, value, declared, stored in VALUES}


def test_nulls_stay_nulls(postgres_url: str, tmp_path: Path) -> None:
    columns = ", ".join(
        f"c{place} {kind}" for place, (kind, *_) in enumerate(VALUES) if kind not in ("mood", "cents", "price")
    )
    run(postgres_url, f"CREATE TABLE kinds (id int PRIMARY KEY, {columns})", "INSERT INTO kinds (id) VALUES (1), (2)")
    done, path = carried(postgres_url, tmp_path)
    assert done.faults == {}
    rows = query(path, "SELECT * FROM kinds ORDER BY id")
    assert [set(row[1:]) for row in rows] == [{None}, {None}]


def test_settings_of_the_server_change_nothing(postgres_url: str, tmp_path: Path) -> None:
    database = postgres_url.partition("?")[0].rpartition("/")[2]
    run(
        postgres_url,
        "CREATE TABLE t (a timestamptz, b date, c interval, d float8, e bytea)",
        "INSERT INTO t VALUES ('2020-01-01 00:00:00+00', 'infinity', '1 day', 0.1, '\\x00')",
        f"ALTER DATABASE {database} SET TimeZone = 'Asia/Tokyo'",
        f"ALTER DATABASE {database} SET DateStyle = 'German'",
        f"ALTER DATABASE {database} SET IntervalStyle = 'sql_standard'",
        f"ALTER DATABASE {database} SET bytea_output = 'escape'",
        f"ALTER DATABASE {database} SET extra_float_digits = 0",
    )
    done, path = carried(postgres_url, tmp_path)
    assert done.faults == {}
    assert query(path, "SELECT * FROM t") == [("2020-01-01 00:00:00+00", "infinity", "P1D", 0.1, b"\x00")]


def test_keys_indexes_references_and_numbers_arrive(postgres_url: str, tmp_path: Path) -> None:
    run(
        postgres_url,
        "CREATE TABLE \"Parent\" (id serial PRIMARY KEY, \"Code\" text NOT NULL UNIQUE, note text DEFAULT 'it''s')",
        "CREATE TABLE child (id bigint GENERATED ALWAYS AS IDENTITY (START 100) PRIMARY KEY, parent int"
        ' REFERENCES "Parent" ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, a int DEFAULT -5,'
        " b boolean NOT NULL DEFAULT true,"
        " c numeric(5,2) DEFAULT 1.50, d timestamp, e bytea DEFAULT '\\x00ff', f date DEFAULT '2020-01-01')",
        "CREATE INDEX child_parent ON child (parent DESC, a)",
        "CREATE UNIQUE INDEX child_a ON child (a)",
        "INSERT INTO \"Parent\" (\"Code\") VALUES ('x'), ('y'), ('z')",
        'DELETE FROM "Parent" WHERE id = 3',
        "INSERT INTO child (parent, a) VALUES (1, 1), (2, 2)",
    )
    done, path = carried(postgres_url, tmp_path)
    assert (left(done), done.faults) == (set(), {})
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("INSERT INTO Parent (Code) VALUES ('new')")
        connection.execute("INSERT INTO child (parent) VALUES (4)")
        assert connection.execute("SELECT id, note FROM Parent WHERE Code = 'new'").fetchall() == [(4, "it's")]
        assert connection.execute("SELECT * FROM child WHERE parent = 4").fetchall() == [
            (102, 4, -5, 1, 1.5, None, b"\x00\xff", "2020-01-01")
        ]
        connection.execute("DELETE FROM Parent WHERE id = 1")
        assert connection.execute("SELECT count(*) FROM child").fetchone() == (2,)
        for refused in ("INSERT INTO Parent (Code) VALUES ('y')", "INSERT INTO child (a) VALUES (2)",
                        "INSERT INTO Parent (note) VALUES ('')"):  # fmt: skip
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(refused)
    assert query(path, "SELECT name, \"desc\" FROM pragma_index_xinfo('child_parent') WHERE key") == [
        ("parent", 1),
        ("a", 0),
    ]


def test_a_schema_whose_name_must_be_quoted_is_read(quoted_schema_url: str, tmp_path: Path) -> None:
    run(quoted_schema_url, "CREATE TABLE t (id serial PRIMARY KEY, x text UNIQUE)", "INSERT INTO t (x) VALUES ('a')")
    done, path = carried(quoted_schema_url, tmp_path)
    assert (done.faults, done.inventory.not_carried) == ({}, ())
    assert query(path, "SELECT * FROM t") == [(1, "a")]


@pytest.mark.filterwarnings("error")
def test_a_type_that_nobody_knows_is_no_warning_and_a_domain_gives_its_default(
    postgres_url: str, tmp_path: Path
) -> None:
    run(
        postgres_url,
        "CREATE DOMAIN price AS numeric(6,2) NOT NULL DEFAULT 1.5",
        "CREATE TABLE t (a point, b price, c price DEFAULT 2)",
        "INSERT INTO t (a) VALUES ('(1,2)')",
    )
    done, path = carried(postgres_url, tmp_path)
    assert (done.faults, done.inventory.not_carried) == ({}, ())
    assert query(path, "SELECT * FROM t") == [("(1,2)", 1.5, 2)]
    assert query(path, "SELECT name, dflt_value FROM pragma_table_info('t')") == [("a", None), ("b", "1.5"), ("c", "2")]


def test_a_sequence_that_lags_behind_gives_no_number_twice(postgres_url: str, tmp_path: Path) -> None:
    run(postgres_url, "CREATE TABLE t (id serial PRIMARY KEY)", "INSERT INTO t VALUES (41)")
    done, _ = carried(postgres_url, tmp_path)
    assert "set the next number of t.id to 42" in done.done


def test_what_sqlite_has_no_place_for_is_listed(postgres_url: str, tmp_path: Path) -> None:
    run(
        postgres_url,
        "CREATE TABLE t (id int, a int UNIQUE NULLS NOT DISTINCT, b int DEFAULT 1 + random()::int, c int"
        " GENERATED ALWAYS AS (id * 2) STORED, d text DEFAULT now()::text, e int[],"
        " CONSTRAINT positive CHECK (id > 0))",
        "CREATE VIEW seen AS SELECT * FROM t",
        "CREATE MATERIALIZED VIEW kept AS SELECT 1 AS x",
        "CREATE SEQUENCE lonely",
        "CREATE INDEX partial ON t (a) WHERE a > 1",
        "CREATE INDEX expressive ON t (abs(a))",
        "CREATE INDEX inverted ON t USING gin (e)",
        "CREATE INDEX covering ON t (a) INCLUDE (b)",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER watch BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE RULE quiet AS ON DELETE TO t DO INSTEAD NOTHING",
        "CREATE POLICY mine ON t USING (id > 0)",
        "CREATE SCHEMA audit",
        "CREATE TABLE audit.entry (id int PRIMARY KEY)",
        "CREATE TABLE far (id int REFERENCES audit.entry)",
        "CREATE TABLE stepped (id int GENERATED BY DEFAULT AS IDENTITY (INCREMENT 10) PRIMARY KEY, n serial)",
        "CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at)",
        "CREATE TABLE parted_2020 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        "INSERT INTO parted VALUES (1, '2020-05-05')",
        "CREATE TABLE bare ()",
        "CREATE TABLE base (id int)",
        "CREATE TABLE derived (more int) INHERITS (base)",
        "INSERT INTO base VALUES (1)",
        "INSERT INTO derived VALUES (2, 3)",
        "CREATE TABLE late (a int CONSTRAINT later PRIMARY KEY DEFERRABLE, b int, CONSTRAINT apart EXCLUDE (b WITH =))",
        "CREATE TABLE once (a int, w text, PRIMARY KEY (a, w))",
        "CREATE UNIQUE INDEX one_null ON once (w) NULLS NOT DISTINCT",
        "CREATE TABLE half (a int, w text, CONSTRAINT halves FOREIGN KEY (a, w) REFERENCES once"
        " MATCH FULL ON UPDATE CASCADE ON DELETE SET NULL (w))",
        "CREATE SEQUENCE worded OWNED BY once.w",
        "INSERT INTO once VALUES (1, 'x')",
    )
    done, path = carried(postgres_url, tmp_path)
    assert done.faults == {}
    assert left(done) == {
        "NULLS NOT DISTINCT of t_a_key: NULLs are distinct in the target",
        "default t.b: it is an expression",
        "default t.d: it is an expression",
        "generated column t.c: its values arrive, its expression does not",
        "check positive of table t: it is an expression",
        "view seen: it is a query",
        "materialized view kept: it is a query",
        "sequence lonely: no column takes its numbers",
        "index partial: it is partial",
        "index expressive: it holds an expression",
        "index inverted: the target has no index of the kind gin",
        "index covering: it includes further columns",
        "function f: it is a program",
        "trigger watch on t: it is a program",
        "rule quiet on t: it is a program",
        "policy mine on t: it is an expression",
        "table of another schema audit.entry: only the current schema is copied",
        "foreign key far_id_fkey of table far: it refers to table audit.entry of another schema",
        "sequence public.stepped_id_seq: its step is not 1",
        "sequence public.stepped_n_seq: its column alone is not the primary key",
        "sequence public.worded: its column holds no integers",
        "exclusion constraint apart on late: the target has no such constraint",
        "deferral of key later of table late: keys are checked at once in the target",
        "NULLS NOT DISTINCT of one_null: NULLs are distinct in the target",
        "action ON DELETE SET NULL of some columns of foreign key halves of table half: the target sets all columns of"
        " a foreign key or none",
        "MATCH FULL of foreign key halves of table half: a reference that is NULL in part is allowed in the target",
        "table bare: it has no columns",
        "partition parted_2020: its rows arrive in parted",
    }
    assert query(path, "SELECT * FROM parted") == [(1, "2020-05-05")]
    assert (query(path, "SELECT * FROM base"), query(path, "SELECT * FROM derived")) == ([(1,)], [(2, 3)])


def test_names_that_sqlite_takes_for_one_are_told_apart(postgres_url: str, tmp_path: Path) -> None:
    run(
        postgres_url,
        'CREATE TABLE a ("x" int, "X" int)',
        'CREATE TABLE "A" (y int)',
        "CREATE TABLE sqlite_stat1 (z int)",
        "INSERT INTO a VALUES (1, 2)",
        'INSERT INTO "A" VALUES (3)',
        "INSERT INTO sqlite_stat1 VALUES (4)",
    )
    done, path = carried(postgres_url, tmp_path)
    assert done.faults == {}
    names = {table.source: table.name for table in done.inventory.tables}
    assert names["A"] == "A"
    assert names["a"].startswith("a_")
    assert names["sqlite_stat1"].startswith("_sqlite_stat1_")
    stored = {source: query(path, f'SELECT * FROM "{name}"') for source, name in names.items()}  # noqa: S608  # ours
    assert stored == {"A": [(3,)], "a": [(1, 2)], "sqlite_stat1": [(4,)]}
    assert len([line for line in left(done) if line.startswith("name of")]) == 3


def test_one_exported_snapshot_is_what_is_read(postgres_url: str, tmp_path: Path) -> None:
    run(postgres_url, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    with contextlib.closing(open_session(postgres_url)) as keeping:
        keeping.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        exported = str(keeping.value("SELECT pg_export_snapshot()"))
        run(postgres_url, "INSERT INTO t VALUES (2)", "CREATE TABLE later (id int)")
        done = carry(Origin(postgres_url, exported), str(tmp_path / "target.db"))
    assert done.faults == {}
    assert query(tmp_path / "target.db", "SELECT * FROM t") == [(1,)]
    with pytest.raises(MigrationError, match="Cannot read postgresql://"):
        take_inventory(Origin(postgres_url, exported), "sqlite", besides=BESIDES)


def test_large_rows_are_read_a_few_at_once(postgres_url: str) -> None:
    run(
        postgres_url,
        "CREATE TABLE t (a bytea, b json, c text[])",
        "INSERT INTO t VALUES (decode(repeat('00', 8000000), 'hex'), '{}', '{}'), (NULL, '[]', NULL)",
    )
    [table] = take_inventory(Origin(postgres_url), "sqlite", besides=BESIDES).tables
    assert table.rows_at_once == 7


def test_hidden_rows_are_an_error(postgres_url: str) -> None:
    run(
        postgres_url,
        "CREATE TABLE t (id int)",
        "INSERT INTO t VALUES (1)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "DROP ROLE IF EXISTS peeping",
        "CREATE ROLE peeping LOGIN",
        "GRANT SELECT ON t TO peeping",
    )
    url = postgres_url.replace("postgres@", "peeping@")
    try:
        with pytest.raises(MigrationError, match="Cannot read postgresql://peeping@"):
            take_inventory(Origin(url), "sqlite", besides=BESIDES)
    finally:
        run(postgres_url, "DROP TABLE t", "DROP ROLE peeping")
