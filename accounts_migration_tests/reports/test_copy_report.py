"""The report of a copy, in both directions: its figures, its words, and nothing of them left to the migration's."""

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.copying import copy
from accounts_migration.entities.policies import Policies
from accounts_migration.outcome import Outcome
from accounts_migration.reports.contents import NotCarried, OtherTable, OtherTables
from accounts_migration.reports.rendering import render
from accounts_migration.settings import Settings
from accounts_migration_tests.reports.conftest import PASSWORD, ReportFolder
from accounts_migration_tests.reports.test_page import Tables
from accounts_migration_tests.reports.test_pictures import REPORT


@dataclass(frozen=True)
class Copied(ReportFolder):
    """A copy; `damaged` tells whether a row of its source was one that no table of ours can hold."""

    outcome: Outcome
    urls: tuple[str, str]
    damaged: bool


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def copied(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    new_target: Callable[[str, Path], str],
    open_migration: Callable[..., Any],
    run_sql: Callable[..., Any],
) -> Iterator[Copied]:
    """Migrate the sample bank into one engine, add a table, and copy it to the other; URLs hold a password."""
    folder = tmp_path_factory.mktemp("copied")
    to = "postgresql" if request.param == "sqlite" else "sqlite"
    source, target = (
        new_target(engine, folder).replace("postgres@", f"postgres:{PASSWORD}@") for engine in (request.param, to)
    )
    with open_migration(folder, source) as migration:
        migration.migrate()
    run_sql(source, "CREATE TABLE branch (id integer PRIMARY KEY)", "INSERT INTO branch VALUES (1), (2)")
    run_sql(source, "CREATE VIEW branches AS SELECT id FROM branch")
    if request.param == "sqlite":
        with closing(sqlite3.connect(source)) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = on")
            connection.execute("""UPDATE "transaction" SET amount = 'zq lots' WHERE transaction_id = 'TXN-9'""")
    settings = Settings(
        copy_from=source, copy_to=target, migration_home=folder / "copies", policies=Policies(max_reject_rate=0.25)
    )
    outcome = copy(settings, all_tables=True, report_folder=folder / "signed")
    assert outcome.success, outcome.problems
    yield Copied(folder / "signed", outcome, (source, target), request.param == "sqlite")


def test_every_row_and_cent_of_a_copy_is_accounted_for(copied: Copied) -> None:
    lost = int(copied.damaged)
    found = {one["entity"]: (one["source"], one["loaded"], one["rejected"]) for one in copied.json["entities"]}
    assert found == {
        "product": (2, 2, 0),
        "customer": (2, 2, 0),
        "account": (3, 3, 0),
        "transaction": (8, 8 - lost, lost),
    }
    assert copied.json["conclusion"]["accounted_for"] is True
    assert (copied.json["conclusion"]["unexplained_rows"], copied.json["conclusion"]["unexplained_cents"]) == (0, 0)
    overall = {(one["entity"], one["measure"]): (one["source"], one["target"]) for one in copied.json["overall"]}
    # what cannot be read stands in no sum: 20.00 of TXN-9
    total = 6080 - 2000 * lost
    assert overall["account", "balance"] == (9460, 9460)
    assert overall["transaction", "amount"] == (total, total)


def test_the_report_of_a_copy_tells_its_checks_alone(copied: Copied) -> None:
    verdicts = {(one["asset"], one["check"]): one["verdict"] for one in copied.json["checks"]}
    assert {asset.partition("/")[0] for asset, _ in verdicts} == {"platform"}
    assert set(verdicts.values()) == {"passed"}
    assert len(verdicts) == 12 + 12 + 1 + 4 + 1
    assert copied.json["conclusion"]["not_run"] == []
    assert {load["entity"] for load in copied.json["loads"]} == {"product", "customer", "account", "transaction"}


def test_the_defects_of_a_copy_are_its_own_and_masked(copied: Copied) -> None:
    """The migration's INACTIVE and so on have come along as books, and are no defects of the copy."""
    found = [(one["entity"], one["action"], one["reason"], one["records"]) for one in copied.json["defects"]]
    assert found == ([("transaction", "rejected", "INVALID_NUMBER", 1)] if copied.damaged else [])
    assert "zqsalary" not in copied.html.lower().replace(" ", "")


def test_the_other_tables_stand_with_what_was_compared_and_what_was_left(copied: Copied) -> None:
    assert copied.json["other_tables"]["carried"] == [
        {"table": "branch", "source_rows": 2, "target_rows": 2, "compared": 2, "rejected": 0, "differences": 0}
    ]
    assert copied.json["source"]["not_migrated"] == []
    [left] = copied.json["other_tables"]["not_carried"]
    assert (left["kind"], left["name"]) == ("view", "branches")
    tables = Tables(copied.html).rows
    assert tables["carried"] == [["branch", "2", "2", "2", "0", "0", "passed"]]
    assert tables["not_carried"] == [["view", "branches", left["why"]]]


def test_the_words_are_those_of_a_copy(copied: Copied) -> None:
    page = re.sub(r"<style>.*?</style>|<[^>]+>", " ", copied.html, flags=re.DOTALL)
    assert "Copy report" in page
    assert "What was copied" in page
    assert "accounts-migration defects --copy TO" in page or not copied.damaged
    for place in copied.json["source"]["path"], copied.json["target"]["name"]:
        page = page.replace(place, "")
    assert set(re.findall(r"\S*[Mm]igrat\S*", page)) <= {"accounts_migration", "accounts-migration"}
    assert (PASSWORD in copied.html, PASSWORD in json.dumps(copied.json)) == (False, False)


def test_only_policies_that_a_copy_goes_by_are_told(copied: Copied) -> None:
    assert copied.json["policies"] == {
        "max_reject_rate": 0.25,
        "invalid_email": "reject",
        "date_formats": [],
        "legacy_encoding": "utf-8",
    }


def test_the_outcome_names_the_files_and_their_sha256(copied: Copied) -> None:
    for name, file in (("page", "report.html"), ("twin", "report.json")):
        path = copied.folder / file
        assert copied.outcome.report[name] == str(path)
        assert copied.outcome.report[f"sha256 of the {name}"] == hashlib.sha256(path.read_bytes()).hexdigest()


OTHERS = OtherTables([OtherTable("branch", 3, 2, 2, 1, 0)], [NotCarried("trigger", "<b>audit</b>", "it is code")])


def test_other_tables_are_shown_where_there_are_some_and_as_text() -> None:
    page = render(replace(REPORT, deed="copy", other_tables=OTHERS), [], "")
    assert Tables(page).rows["carried"] == [["branch", "3", "2", "2", "1", "0", "passed"]]
    assert '<td class="wrap">&lt;b&gt;audit&lt;/b&gt;</td>' in page
    assert "Other tables" not in render(REPORT, [], "")


@pytest.mark.parametrize(
    ("table", "holds"),
    [
        (OtherTable("t", 3, 3, 3, 0, 0), True),
        (OtherTable("t", 3, 2, 2, 1, 0), True),
        (OtherTable("t", 3, 2, 2, 0, 0), False),
        (OtherTable("t", 3, 3, 0, 0, 0), False),
        (OtherTable("t", 3, 3, 3, 0, 1), False),
        (OtherTable("t", 2, 3, 3, 0, 0), False),
    ],
)
def test_an_other_table_holds_where_every_row_is_accounted_for_and_compared(table: OtherTable, holds: bool) -> None:
    assert table.holds is holds
