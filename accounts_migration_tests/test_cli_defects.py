"""The command `defects`: what it lists, in which form and order, for whom, and where to."""

import csv
import io
import json
import shutil
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from accounts_migration_tests.commands import PROGRAM, Here, Said, change, command, environment, write_bank


@pytest.fixture(scope="module")
def with_defects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate a bank with a rejected customer, its account and a truncated text; return the target."""
    folder = tmp_path_factory.mktemp("defects")
    write_bank(
        folder / "legacy.db",
        "INSERT INTO legacy_customers VALUES (3, 'ZEBEDEE', 'QU[b]ICK', 'zebedee.quick', '555-9999', NULL, 'ACTIVE')",
        "INSERT INTO legacy_accounts VALUES (12, 3, 1, 'A', 1, NULL, NULL)",
    )
    done = command(folder, "migrate", "legacy.db", "accounts.db", "--policy", "max_reject_rate=0.5")
    assert done.returncode == 0, done.stderr
    return folder / "accounts.db"


DEFECTS = [
    ["account", "11", "repaired", "SENTINEL_DATE", "9999-12-31"],
    ["account", "12", "rejected", "PARENT_REJECTED", "3"],
    ["customer", "2", "repaired", "DEFAULTED", ""],
    ["customer", "3", "rejected", "INVALID_EMAIL", "xxxxxxx.xxxxx"],
    ["product", "3", "excluded", "INACTIVE", "0"],
]
DEFECT_COLUMNS = (
    *("entity", "batch", "source_key", "source_row_id", "action", "reason", "reasons", "column"),
    *("old_value", "new_value", "money_at_stake", "remedy", "source_row"),
)
DEFECT_FIELDS = ("entity", "source_key", "action", "reason", "old_value")


def test_defects_are_listed_as_json_without_personal_data(with_defects: Path, here: Here) -> None:
    said = here("defects", with_defects, "--format", "json")
    rows = json.loads(said.out)
    assert (said.status, sorted([row[name] or "" for name in DEFECT_FIELDS] for row in rows)) == (0, DEFECTS)
    assert [tuple(row) for row in rows] == [DEFECT_COLUMNS] * 5
    [customer] = [json.loads(row["source_row"]) for row in rows if row["reason"] == "INVALID_EMAIL"]
    assert customer["customer_number"] == 3
    assert (customer["first_name"], customer["phone_number"]) == ("xxxxxxx", "999-9999")


def test_what_programs_read_is_utf_8_whatever_the_terminal_shows(tmp_path: Path) -> None:
    write_bank(
        tmp_path / "legacy.db",
        "INSERT INTO legacy_customers VALUES (3, '\u00dcmit', '\U0001f600', 'umit', '5', NULL, 'ACTIVE')",
    )
    command(tmp_path, "migrate", "legacy.db", "accounts.db", "--policy", "max_reject_rate=0.5")
    for form in ("json", "csv"):
        done = subprocess.run(  # noqa: S603  # the program under test
            [PROGRAM, "defects", "accounts.db", "--show-personal-data", "--format", form],
            cwd=tmp_path,
            env=environment(PYTHONIOENCODING="ascii"),
            capture_output=True,
            timeout=120,
            check=False,
        )
        told = done.stdout.decode("utf-8")
        rows = json.loads(told) if form == "json" else list(csv.DictReader(io.StringIO(told)))
        [customer] = [json.loads(row["source_row"]) for row in rows if row["reason"] == "INVALID_EMAIL"]
        assert (customer["first_name"], customer["last_name"]) == ("\u00dcmit", "\U0001f600"), form


def test_defects_are_listed_as_csv(with_defects: Path, here: Here) -> None:
    said = here("defects", with_defects, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert (said.status, sorted([row[name] for name in DEFECT_FIELDS] for row in rows)) == (0, DEFECTS)


def test_defects_of_one_entity_are_listed_as_a_table(with_defects: Path, here: Here) -> None:
    said = here("defects", f"sqlite:///{with_defects}", "--entity", "account")
    assert said.status == 0
    assert sorted(line for line in said.lines if line.startswith(("account", "customer", "product"))) == [
        "account all 11 2 repaired SENTINEL_DATE close_date 9999-12-31 5.00",
        "account all 12 3 rejected PARENT_REJECTED customer_number 3 1.00",
    ]
    assert said.lines[-2:] == [
        "PARENT_REJECTED: Mend the row it refers to, which is rejected itself; then this one follows.",
        "SENTINEL_DATE: It is loaded without this date: enter the true one if there is one.",
    ]


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_defects_go_by_the_money_at_stake(form: str, with_defects: Path, here: Here) -> None:
    said = here("defects", with_defects, "--format", form)
    places = [said.out.index(reason) for reason in ("SENTINEL_DATE", "PARENT_REJECTED", "INVALID_EMAIL", "DEFAULTED")]
    assert places == sorted(places)


def test_a_list_is_written_to_a_file_for_its_owner_alone(with_defects: Path, tmp_path: Path, here: Here) -> None:
    printed = here("defects", with_defects, "--format", "csv")
    said = here("defects", with_defects, "--format", "csv", "--output", "list.csv")
    assert said == Said(0, "", "")
    assert (tmp_path / "list.csv").read_bytes() == printed.out.encode()
    assert stat.S_IMODE((tmp_path / "list.csv").stat().st_mode) == 0o600
    refused = here("defects", "none.db", "--format", "csv", "--output", "list.csv")
    assert (refused.status, (tmp_path / "list.csv").read_bytes()) == (1, printed.out.encode())
    assert [path.name for path in tmp_path.iterdir()] == ["list.csv"]


def test_personal_data_is_shown_on_demand_alone(with_defects: Path, here: Here) -> None:
    for form in ("table", "csv", "json"):
        masked = here("defects", with_defects, "--format", form)
        shown = here("defects", with_defects, "--format", form, "--show-personal-data")
        assert ("zebedee.quick" in shown.out, "zebedee" in (masked.out + masked.err).lower()) == (True, False)


def test_no_defects_are_an_empty_list(with_defects: Path, here: Here) -> None:
    assert here("defects", with_defects, "--entity", "transaction", "--format", "json") == Said(0, "[]\n", "")
    said = here("defects", with_defects, "--entity", "transaction", "--format", "csv")
    assert (said.status, said.out.splitlines()) == (0, [",".join(DEFECT_COLUMNS)])
    assert here("defects", with_defects, "--entity", "transaction").status == 0


def test_a_target_that_was_never_migrated_into_has_no_list(tmp_path: Path, here: Here) -> None:
    change(tmp_path / "empty.db", "CREATE TABLE something (x)")
    for path, why in (("none.db", "there is no such file"), ("empty.db", "there is no table migration_defect")):
        for words in (["defects", path], ["verify", write_bank(tmp_path / f"of_{path}"), path]):
            said = here(*words)
            assert (said.status, "igrate into it first" in said.err) == (1, True)
            assert words[0] == "verify" or why in said.err
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(("form", "times"), [("table", 0), ("csv", 0), ("json", 500)])
def test_a_reader_that_stops_early_sees_no_traceback(form: str, times: int, with_defects: Path, tmp_path: Path) -> None:
    target = shutil.copy(with_defects, tmp_path / "accounts.db")
    with closing(sqlite3.connect(target)) as connection:
        rows = connection.execute("SELECT * FROM migration_defect").fetchall()
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO migration_defect VALUES ({marks})", rows * times)  # noqa: S608
        connection.commit()
    words = [str(PROGRAM), "defects", str(target), "--format", form]
    process = subprocess.Popen(  # noqa: S603  # the program under test
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) in (0, 1)
