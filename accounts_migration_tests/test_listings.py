"""The forms of the list of defects: no cell of a CSV is a formula, and a file stands whole or not at all."""

import csv
import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.legacy_values import LegacyValue
from accounts_migration.listings import ROWS_PER_TABLE, destination, in_spreadsheet, write_csv, write_json, write_table
from accounts_migration.worklist import FIELDS


def line(**values: Any) -> dict[str, LegacyValue]:
    """Return a line of the list."""
    return dict.fromkeys(FIELDS) | {"reasons": "ORPHAN"} | values


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+44 20", "'+44 20"),
        ("-1+1", "'-1+1"),
        ("-", "'-"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1+1", "'\t=1+1"),
        ("\r=1+1", "'\r=1+1"),
        ("-5", "-5"),
        ("-12.50", "-12.50"),
        ("-\u0665", "'-\u0665"),
        ("-5\n", "'-5\n"),
        ("5", "5"),
        ("a=b", "a=b"),
        ("", ""),
        (None, None),
        (-7, -7),
    ],
)
def test_a_cell_is_no_formula_and_a_number_stays_one(value: LegacyValue, shown: LegacyValue) -> None:
    assert in_spreadsheet(value) == shown


def test_every_cell_of_a_csv_is_guarded() -> None:
    file = io.StringIO()
    write_csv([line(**dict.fromkeys(FIELDS, "=1"))], file)
    header, cells = csv.reader(io.StringIO(file.getvalue()))
    assert (tuple(header), cells) == (FIELDS, ["'=1"] * len(FIELDS))


def test_json_keeps_values_as_they_are() -> None:
    file = io.StringIO()
    rows = [line(old_value="=1"), line(old_value="-5\u00e9")]
    write_json(rows, file)
    assert json.loads(file.getvalue()) == rows
    assert "\u00e9" in file.getvalue()


def test_a_long_table_comes_in_parts_and_leaves_nothing_out() -> None:
    file = io.StringIO()
    write_table((line(source_key=f"key-{number}") for number in range(ROWS_PER_TABLE + 1)), file)
    assert file.getvalue().count("source_key") == 2
    assert all(f"key-{number} " in file.getvalue() for number in range(ROWS_PER_TABLE + 1))
    assert file.getvalue().count("ORPHAN:") == 1


def test_a_file_stands_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("earlier")
    path.chmod(0o644)
    with destination(path) as file:
        file.write("later")
        assert path.read_text() == "earlier"
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("later", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_list_that_fails_leaves_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("earlier")
    with pytest.raises(ZeroDivisionError), destination(path) as file:
        file.write("later")
        raise ZeroDivisionError
    assert (path.read_text(), list(tmp_path.iterdir())) == ("earlier", [path])


def test_an_amount_in_a_table_is_never_cut() -> None:
    file = io.StringIO()
    widest = dict.fromkeys(FIELDS, "x" * 40) | {"money_at_stake": "59999999999999.94"}
    write_table([line(**widest)], file)
    assert " 59999999999999.94 " in file.getvalue()
