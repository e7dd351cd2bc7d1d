"""Defaults: values and the present time are understood in both schemas, expressions are not."""

import pytest

from accounts_migration.databases.other_tables import defaults, postgres_cells, sqlite_cells
from accounts_migration.databases.other_tables.defaults import Default
from accounts_migration.databases.other_tables.forms import ColumnType, Form


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("5", Default("5")), ("-1.5e3", Default("-1.5e3")), ("'it''s'", Default("it's")), ("''", Default("")),
        ('"dq"', Default("dq")), ("x'00fF'", Default(b"\x00\xff")), ("X''", Default(b"")), ("TRUE", Default("1")),
        ("false", Default("0")), ("current_timestamp", Default(now="moment")), ("CURRENT_DATE", Default(now="date")),
        ("CURRENT_TIME", None), ("1 + 1", None), ("random()", None), ("x'0'", None), ("'a' || 'b'", None),
    ],
)  # fmt: skip
def test_of_sqlite(text: str, default: Default | None) -> None:
    assert defaults.of_sqlite(text) == default


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("5", Default("5")), ("'-5'::integer", Default("-5")), ("(-5)", None), ("'a'::character varying", Default("a")),
        ("'x'::character varying(10)", Default("x")), ("'{}'::text[]", Default("{}")), ("true", Default("1")),
        ("'\\x00ff'::bytea", Default(b"\x00\xff")), ("1.5::numeric(5,2)", Default("1.5")), ("now()", None),
        ("nextval('t_id_seq'::regclass)", None), ("('a'::text || 'b'::text)", None), ("CURRENT_TIMESTAMP", None),
        ("'::text'::text", Default("::text")),
    ],
)  # fmt: skip
def test_of_postgres(text: str, default: Default | None) -> None:
    assert defaults.of_postgres(text) == default


@pytest.mark.parametrize(("text", "is_null"), [("NULL", True), ("NULL::text", True), ("'NULL'", False), ("0", False)])
def test_null_is_no_default(text: str, is_null: bool) -> None:
    assert defaults.is_null(text) is is_null


@pytest.mark.parametrize(
    ("default", "kind", "sqlite", "postgres"),
    [
        (Default("5"), ColumnType(Form.INTEGER), "5", "5"),
        (Default("5.5"), ColumnType(Form.INTEGER), None, None),
        (Default("9223372036854775808"), ColumnType(Form.INTEGER), None, None),
        (Default("zero"), ColumnType(Form.INTEGER), None, None),
        (Default("1.50"), ColumnType(Form.DECIMAL, 3, 2), "1.50", "1.50"),
        (Default("1.555"), ColumnType(Form.DECIMAL, 4, 2), None, None),
        (Default("10"), ColumnType(Form.DECIMAL, 3, 2), None, None),
        (Default("1"), ColumnType(Form.BOOLEAN), "1", "true"),
        (Default("2"), ColumnType(Form.BOOLEAN), None, None),
        (Default("it's"), ColumnType(Form.TEXT), "'it''s'", "'it''s'"),
        (Default("abc"), ColumnType(Form.TEXT, length=2), None, None),
        (Default("2020-02-29"), ColumnType(Form.DATE), "'2020-02-29'", "'2020-02-29'"),
        (Default("0000-00-00"), ColumnType(Form.DATE), None, None),
        (Default("2020-01-01T00:00:00"), ColumnType(Form.MOMENT), None, None),
        (Default(b"\xff"), ColumnType(Form.BYTES), "x'ff'", "'\\xff'"),
        (Default("text"), ColumnType(Form.BYTES), None, None),
        (Default(b"\xff"), ColumnType(Form.TEXT), None, None),
        (Default(now="moment"), ColumnType(Form.INTEGER), None, None),
    ],
)
def test_a_default_must_fit_its_column(
    default: Default, kind: ColumnType, sqlite: str | None, postgres: str | None
) -> None:
    assert (sqlite_cells.default(default, kind), postgres_cells.default(default, kind)) == (sqlite, postgres)
