"""How `accounts-migration copy FROM TO` ends: its report, its notice, its rejects, and the list of its defects."""

import hashlib
import json
import shlex
import shutil
from pathlib import Path

import pytest

from accounts_migration_tests.commands import PASSWORD, Here, change, command, verdict, write_bank
from accounts_migration_tests.operations.servers import Reply, web_server

BAD = """
PRAGMA ignore_check_constraints = on;
UPDATE product SET product_type = 'ZZZ' WHERE product_id = 'PROD-002';
UPDATE customer SET email = 'Zebedee@@quick', phone = '555-9999', first_name = 'Zebedee'
    WHERE customer_id = 'CUST-0001';
UPDATE account SET balance = 'much', opening_date = '2023-02-30' WHERE account_id = 'ACCT-00000010';
UPDATE account SET status = 'SLEEPY' WHERE account_id = 'ACCT-00000011';
UPDATE "transaction" SET amount = 'lots', reference = 'Zebedee' WHERE transaction_id = 'TXN-1';
"""
OTHER = """
CREATE TABLE note (mail text PRIMARY KEY, body text);
INSERT INTO note VALUES ('zoe@example', CAST(x'5aff' AS TEXT)), ('ada@example', 'Ada');
"""
REJECTS = [
    ("product", "all", "PROD-002", "UNKNOWN_CODE", "product_type"),
    ("customer", "all", "CUST-0001", "INVALID_EMAIL", "email"),
    ("account", "all", "ACCT-00000010", "INVALID_NUMBER,INVALID_DATE,PARENT_REJECTED", "balance"),
    ("account", "all", "ACCT-00000011", "UNKNOWN_CODE,PARENT_REJECTED", "status"),
    ("transaction", "2024-01", "TXN-1", "INVALID_NUMBER,PARENT_REJECTED", "amount"),
    ("transaction", "2024-02", "TXN-2", "PARENT_REJECTED", "account_id"),
    ("transaction", "2024-03", "TXN-3", "PARENT_REJECTED", "account_id"),
    ("transaction", "2024-03", "TXN-4", "PARENT_REJECTED", "account_id"),
]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate a bank without a bad row; return the platform's database."""
    folder = tmp_path_factory.mktemp("migrated")
    write_bank(folder / "legacy.db")
    assert command(folder, "migrate", "legacy.db", "from.db").returncode == 0
    return folder / "from.db"


@pytest.fixture
def source(migrated: Path, tmp_path: Path) -> Path:
    """Return a database that is to be copied, for one test alone."""
    return Path(shutil.copy(migrated, tmp_path / "from.db"))


def test_a_copy_writes_its_report_and_names_what_comes_next(
    source: Path, tmp_path: Path, target_url: str, here: Here
) -> None:
    url = target_url.replace("postgres@", f"postgres:{PASSWORD}@")
    with web_server({"/hook": Reply()}) as server:
        said = here(
            "copy",
            source,
            url,
            "-o",
            "signed",
            "--json",
            "sum.json",
            TARGET_DB="x.db",
            NOTIFY_WEBHOOK=f"{server.url}/hook",
        )
    assert (said.status, verdict(said.out)) == (0, "COPIED")
    page, twin = tmp_path / "signed" / "report.html", tmp_path / "signed" / "report.json"
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (page, twin)]
    found = json.loads(twin.read_text())
    assert (found["deed"], found["conclusion"]["accounted_for"]) == ("copy", True)
    assert json.loads((tmp_path / "sum.json").read_text())["report"] == {
        "page": str(page), "twin": str(twin), "sha256 of the page": sums[0], "sha256 of the twin": sums[1],
    }  # fmt: skip
    for line in (f"page {page}", f"sha256 of the page {sums[0]}", f"twin {twin}", f"sha256 of the twin {sums[1]}"):
        assert line in said.lines
    [hint] = [line for line in said.lines if line.startswith("defects ")]
    assert hint == f"defects accounts-migration defects --copy {shlex.quote(target_url)}", "fit for a shell"
    assert "accounts-migration report" not in said.out
    [notice] = [json.loads(body) for _, _, body in server.requests]
    assert (notice["what"], notice["verdict"], notice["where"]) == ("copy", "COPIED", found["target"]["name"])
    assert PASSWORD not in said.out + said.err + str(server.requests)


def test_a_folder_that_cannot_be_one_is_refused_before_the_copy(source: Path, tmp_path: Path, here: Here) -> None:
    (tmp_path / "file").write_text("")
    said = here("copy", source, "to.db", "-o", "file")
    assert (said.status, "Cannot write a report into file" in said.err) == (2, True)
    assert not (tmp_path / "to.db").exists()


def test_rejects_of_all_entities_are_shown_at_once_and_nothing_is_loaded(
    source: Path, tmp_path: Path, here: Here
) -> None:
    change(source, BAD)
    said = here("copy", source, "to.db")
    assert (said.status, verdict(said.out)) == (1, "REFUSED")
    shown = [line for line in said.lines if line.endswith(("balance", "status", "email", "type", "amount", "_id"))]
    assert [
        tuple(line.split()) for line in shown if line.split()[0] in {"product", "customer", "account", "transaction"}
    ] == [
        (entity, batch, key, place, reasons, column)
        for (entity, batch, key, reasons, column), place in zip(
            REJECTS, ["2", "1", "1", "2", "1", "2", "3", "4"], strict=True
        )
    ]
    assert "transaction 4 0 4 0 0 0" in said.lines
    assert not (tmp_path / "var" / "reports").exists()


def test_the_defects_of_a_copy_are_listed_apart_from_the_migrations(source: Path, target_url: str, here: Here) -> None:
    change(source, BAD, OTHER)
    assert here("copy", source, target_url, "--all-tables", "--policy", "max_reject_rate=1").status == 0
    rows = json.loads(here("defects", "--copy", target_url, "--format", "json").out)
    found = [(row["source_key"], row["reasons"], row["money_at_stake"]) for row in rows]
    assert found == [
        ("ACCT-00000011", "UNKNOWN_CODE,PARENT_REJECTED", "5.00"),
        ("PROD-002", "UNKNOWN_CODE", "5.00"),
        ("TXN-3", "PARENT_REJECTED", "1.00"),
        ("TXN-2", "PARENT_REJECTED", "0.10"),
        ("TXN-4", "PARENT_REJECTED", "0.01"),
        ("CUST-0001", "INVALID_EMAIL", "0.00"),
        ("xxx@xxxxxxx", "INVALID_ENCODING", "0.00"),
        ("ACCT-00000010", "INVALID_NUMBER,INVALID_DATE,PARENT_REJECTED", None),
        ("TXN-1", "INVALID_NUMBER,PARENT_REJECTED", None),
    ]
    masked = here("defects", "--copy", "--format", "csv", COPY_TO=target_url).out
    shown = here("defects", "--copy", target_url, "--format", "csv", "--show-personal-data").out
    assert [word for word in ("zebedee", "555-9999", "zoe@") if word in masked.lower()] == []
    assert [word for word in ("Zebedee@@quick", "555-9999", "zoe@example") if word not in shown] == []
    # those of the migration have come along, and are another list
    assert [row["reason"] for row in json.loads(here("defects", target_url, "--format", "json").out)] == [
        "SENTINEL_DATE",
        "DEFAULTED",
        "INACTIVE",
    ]


def test_a_database_that_was_never_copied_into_has_no_such_list(source: Path, here: Here) -> None:
    said = here("defects", "--copy", source)
    assert (said.status, said.out, "no copy has been recorded in it" in said.err) == (1, "", True)
    said = here("defects", "--copy")
    assert (said.status, "COPY_TO is not set" in said.err) == (2, True)


def test_of_a_database_without_tables_there_is_no_report_and_the_end_says_so(tmp_path: Path, here: Here) -> None:
    change(tmp_path / "notes.db", "CREATE VIEW one AS SELECT 1")
    said = here("copy", "notes.db", "to.db", "--all-tables")
    assert (said.status, verdict(said.out)) == (0, "COPIED")
    assert "report none: there is no table in the database that was copied" in said.lines
    assert not (tmp_path / "var" / "reports").exists()


def test_the_report_on_other_tables_alone_tells_of_nothing_else(tmp_path: Path, target_url: str, here: Here) -> None:
    change(tmp_path / "notes.db", OTHER)
    said = here("copy", "notes.db", target_url, "--all-tables", "--policy", "max_reject_rate=1", "-o", "signed")
    assert (said.status, verdict(said.out)) == (0, "COPIED")
    told = json.loads((tmp_path / "signed" / "report.json").read_text())
    assert told["other_tables"]["carried"] == [
        {"table": "note", "source_rows": 2, "target_rows": 1, "compared": 1, "rejected": 1, "differences": 0}
    ]
    assert told["conclusion"]["accounted_for"]
    for name in ("entities", "batches", "totals", "overall", "months", "plausibility", "policies", "defects"):
        assert not told[name], name
    assert [(one["asset"], one["check"], one["verdict"]) for one in told["checks"]] == [
        ("platform/other_tables", "equal", "passed")
    ]
    assert [(one["entity"], one["batch"], one["rows"]) for one in told["loads"]] == [("note", "all", 1)]
    page = (tmp_path / "signed" / "report.html").read_text()
    assert "Every row, table by table" in page
    for absent in ("Plausibility", "Every cent", "Policies in force", "products, customers", "control totals"):
        assert absent not in page, absent
