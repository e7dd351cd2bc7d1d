"""The command line: exit statuses, what it says, what it writes and where, and that it never ends in a traceback.

Commands run as processes where that matters, else in this process, which is several times faster.
"""

import csv
import io
import json
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

from accounts_migration.cli import app_main
from accounts_migration_tests.commands import (
    PROGRAM,
    SETTING_NAMES,
    change,
    command,
    content,
    environment,
    started,
    write_bank,
)
from accounts_migration_tests.conftest import run_sql

PASSWORD = "hush-4711"  # noqa: S105  # not one of anything


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self.out.replace("│", "").splitlines()]


Here = Callable[..., Said]


def verdict(out: str) -> str:
    """Return the word that a command ends with, as `MIGRATED in 2.1 s`."""
    return out.splitlines()[-1].split()[0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Return a function that runs a command in this process, in the test's folder."""
    for name in SETTING_NAMES:
        monkeypatch.setenv(name, "")
    monkeypatch.chdir(tmp_path)

    def run(*words: object, **settings: str) -> Said:
        for name in SETTING_NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["accounts-migration", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            app_main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Said(int(ended.value.code or 0), said.out, said.err)

    return run


@dataclass(frozen=True)
class Migrated:
    """A bank that was migrated by a process of its own."""

    folder: Path
    target: str
    shown: str
    done: "subprocess.CompletedProcess[str]"

    @property
    def source(self) -> Path:
        return self.folder / "legacy.db"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    """Migrate the bank into each engine; PostgreSQL's URL holds a password."""
    folder = tmp_path_factory.mktemp("migrated")
    target = shown = f"sqlite:///{folder / 'accounts.db'}"
    if request.param == "postgresql":
        server = str(request.getfixturevalue("postgres_server"))
        run_sql(server, "CREATE DATABASE test_cli TEMPLATE template0")
        target = server.replace("/accounts?", "/test_cli?").replace("postgres@", f"postgres:{PASSWORD}@")
        shown = unquote(target.replace(f":{PASSWORD}", ""))
    else:
        shown = str(folder / "accounts.db")
    done = command(folder, "migrate", write_bank(folder / "legacy.db"), target, "--json", "summary.json")
    return Migrated(folder, target, shown, done)


def test_a_migration_ends_with_0_and_says_so_without_a_word_of_trouble(migrated: Migrated) -> None:
    assert (migrated.done.returncode, verdict(migrated.done.stdout)) == (0, "MIGRATED")
    assert "Traceback" not in migrated.done.stderr
    assert "transaction 2024-03: 2 rows loaded (3 of 3)" in migrated.done.stderr


def test_the_table_accounts_for_every_row(migrated: Migrated) -> None:
    lines = Said(0, migrated.done.stdout, "").lines
    assert lines[0] == "source rows = loaded + rejected + excluded"
    for line in ("product 3 2 0 1 0 0", "customer 2 2 0 0 1 0", "account 2 2 0 0 1 0", "transaction 4 4 0 0 0 0"):
        assert line in lines
    assert "account overall balance 95.25 95.25 0.00 0.00" in lines
    assert "transaction overall amount 11.21 11.21 0.00 0.00" in lines


def test_the_summary_holds_rows_totals_in_cents_and_checks(migrated: Migrated) -> None:
    summary = json.loads((migrated.folder / "summary.json").read_text())
    assert (summary["success"], summary["loaded"], summary["problems"]) == (True, True, [])
    assert summary["batches"] == ["2024-01", "2024-02", "2024-03"]
    assert (summary["snapshot"]["source"], summary["snapshot"]["not_migrated"]) == (str(migrated.source), [])
    rows = {one["entity"]: [one[name] for name in ROW_COUNTS] for one in summary["entities"]}
    assert rows == {
        "product": [3, 2, 0, 1, 0, 0],
        "customer": [2, 2, 0, 0, 1, 0],
        "account": [2, 2, 0, 0, 1, 0],
        "transaction": [4, 4, 0, 0, 0, 0],
    }
    totals = [[one[name] for name in TOTAL_FIELDS] for one in summary["control_totals_in_cents"]]
    assert totals == [
        ["account", "PROD-001/ACTIVE", "balance", 10025, 10025, 0, 0],
        ["account", "PROD-002/CLOSED", "balance", -500, -500, 0, 0],
        ["transaction", "CREDIT", "amount", 1010, 1010, 0, 0],
        ["transaction", "CREDIT", "balance_after", 1010, 1010, 0, 0],
        ["transaction", "DEBIT", "amount", 10, 10, 0, 0],
        ["transaction", "DEBIT", "balance_after", 1000, 1000, 0, 0],
        ["transaction", "FEE", "amount", 100, 100, 0, 0],
        ["transaction", "FEE", "balance_after", 900, 900, 0, 0],
        ["transaction", "INTEREST", "amount", 1, 1, 0, 0],
        ["transaction", "INTEREST", "balance_after", 1001, 1001, 0, 0],
    ]
    verdicts = {(check["asset"], check["check"]): check["passed"] for check in summary["checks"]}
    assert set(verdicts.values()) == {True}
    assert {("target/transaction", "content"), ("validation/reconciliation", "control_totals")} <= set(verdicts)


ROW_COUNTS = ("source", "loaded", "rejected", "excluded", "repaired", "unexplained")
TOTAL_FIELDS = ("entity", "group", "measure", "source", "target", "left_behind", "unexplained")


def test_a_password_is_shown_and_kept_nowhere(migrated: Migrated) -> None:
    assert f"target {migrated.shown}" in Said(0, migrated.done.stdout, "").lines
    written = [path for path in migrated.folder.rglob("*") if path.is_file()]
    assert len(written) > 20, "the files of the instance are among them"
    holding = [path for path in written if PASSWORD.encode() in path.read_bytes()]
    assert (holding, PASSWORD in migrated.done.stdout + migrated.done.stderr) == ([], False)


def test_what_holds_rows_is_readable_by_its_owner_alone(migrated: Migrated) -> None:
    private = [migrated.folder / "accounts.db"] if "sqlite" in migrated.target else []
    private += [
        *migrated.folder.glob("var/backups/*"),
        *migrated.folder.glob("var/staging"),
        migrated.folder / "var/logs",
    ]
    assert [oct(path.stat().st_mode & 0o077) for path in private] == ["0o0"] * len(private)
    assert len(private) >= 3


def test_a_second_migration_changes_nothing(migrated: Migrated) -> None:
    before = content(migrated.target)
    done = command(migrated.folder, "migrate", "legacy.db", migrated.target)
    assert done.returncode == 0, done.stderr
    unchanged = [line for line in done.stderr.splitlines() if "unchanged by their digest: not loaded again" in line]
    assert len(unchanged) == 6
    assert content(migrated.target) == before


def test_a_target_is_verified_from_anywhere(migrated: Migrated, tmp_path: Path) -> None:
    before = content(migrated.target)
    home = tmp_path / "home"
    done = command(
        tmp_path, "verify", MIGRATION_HOME=str(home), SOURCE_DB=str(migrated.source), TARGET_DB=migrated.target
    )
    assert (done.returncode, verdict(done.stdout)) == (0, "VERIFIED"), done.stderr
    assert "transaction: 4 rows compared, 0 differences" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert content(migrated.target) == before


@pytest.fixture
def copied(tmp_path: Path, here: Here) -> Path:
    """Migrate a bank of our own into SQLite and return its folder."""
    write_bank(tmp_path / "legacy.db")
    assert here("migrate", "legacy.db", "accounts.db").status == 0
    return tmp_path


def test_a_changed_source_fails_the_verification_until_just_that_row_is_migrated(copied: Path, here: Here) -> None:
    change(copied / "legacy.db", "UPDATE legacy_transactions SET trans_amount = 10.11 WHERE trans_id = 1")
    found = here("verify", "legacy.db", "accounts.db", "--json", "verified.json")
    assert (found.status, verdict(found.out)) == (1, "FAILED")
    failed = [one for one in json.loads((copied / "verified.json").read_text())["checks"] if not one["passed"]]
    assert {"asset": "validation/content", "check": "transaction", "passed": False} in failed
    said = here("migrate", "legacy.db", "accounts.db")
    assert said.status == 0
    assert "transaction 2024-01: 1 rows stand, 0 inserted, 1 updated, 0 removed (1 of 3)" in said.err
    assert "transaction 2024-02: 1 rows stand, unchanged by their digest: not loaded again (2 of 3)" in said.err
    assert [row["amount"] for row in content("accounts.db")["transaction"]] == [1011, 10, 100, 1]
    assert here("verify", "legacy.db", "accounts.db").status == 0


def test_a_changed_target_fails_the_verification(copied: Path, here: Here) -> None:
    change(copied / "accounts.db", "UPDATE account SET balance = balance + 0.01 WHERE account_id = 'ACCT-00000010'")
    found = here("verify", "legacy.db", "accounts.db", "--json", "verified.json")
    assert found.status == 1
    summary = json.loads((copied / "verified.json").read_text())
    assert [one["unexplained"] for one in summary["control_totals_in_cents"][:2]] == [-1, 0]
    failed = {(one["asset"], one["check"]) for one in summary["checks"] if not one["passed"]}
    assert failed == {("validation/content", "account"), ("validation/reconciliation", "control_totals")}


def test_bad_rows_stop_everything_with_the_list_and_no_name_of_anybody(tmp_path: Path, here: Here) -> None:
    write_bank(
        tmp_path / "legacy.db",
        "INSERT INTO legacy_customers VALUES (3, 'ZEBEDEE', 'QUICK', 'zebedee.quick', '555-9999', NULL, 'ACTIVE')",
        "INSERT INTO legacy_accounts VALUES (12, 3, 1, 'A', 1, NULL, NULL)",
    )
    said = here("migrate", "legacy.db", "accounts.db", "--json", "summary.json")
    assert (said.status, verdict(said.out)) == (1, "REFUSED")
    assert "customer all 3 3 INVALID_EMAIL email_address" in said.lines
    assert "cleaned/customers rejects_within_policy FAILED" in said.lines
    assert "Mend the source, or allow such rows with --policy max_reject_rate=SHARE; nothing was loaded." in said.lines
    assert not (tmp_path / "accounts.db").exists()
    assert json.loads((tmp_path / "summary.json").read_text())["loaded"] is False
    told = said.out + said.err + "".join(path.read_text() for path in tmp_path.glob("var/logs/*"))
    assert [word for word in ("zebedee", "quick", "9999") if word in told.lower()] == []


def test_a_refusal_lists_the_rejects_of_all_four_entities_at_once(tmp_path: Path, here: Here) -> None:
    """Each entity is over the rate by itself; what one check stops is judged all the same."""
    write_bank(
        tmp_path / "legacy.db",
        "INSERT INTO legacy_products VALUES (4, 'NEW', '???', 0, 0, 0, 0, 1)",
        "INSERT INTO legacy_customers VALUES (3, 'ZEBEDEE', 'QUICK', 'none', '555-9999', NULL, 'ACTIVE')",
        "INSERT INTO legacy_accounts VALUES (12, 3, 1, 'A', 1, NULL, NULL), (13, 1, 1, '?', 1, NULL, NULL)",
        "INSERT INTO legacy_transactions VALUES (5, 10, 'CR', 2.005, 2, '', '2024-01-04')",
        "INSERT INTO legacy_transactions VALUES (6, 12, 'CR', 2, 2, '', '2024-03-04')",
    )
    said = here("migrate", "legacy.db", "accounts.db")
    assert (said.status, verdict(said.out)) == (1, "REFUSED")
    for line in (
        *("product 4 2 1 1 0 0", "customer 3 2 1 0 1 0", "account 4 2 2 0 1 0", "transaction 6 4 2 0 0 0"),
        "product all 4 4 UNKNOWN_CODE account_type",
        "customer all 3 3 INVALID_EMAIL email_address",
        "account all 12 3 PARENT_REJECTED customer_number",
        "account all 13 4 UNKNOWN_CODE account_status",
        "transaction 2024-01 5 5 SUB_CENT trans_amount",
        "transaction 2024-03 6 6 PARENT_REJECTED account_number",
        *(f"cleaned/{name} rejects_within_policy FAILED" for name in ("products", "customers", "accounts")),
        "cleaned/transactions rejects_within_policy FAILED",
    ):
        assert said.lines.count(line) == 1, line
    assert "Not executing" not in said.err
    assert {path.name for path in tmp_path.iterdir()} == {"legacy.db", "var"}, "no target, and no lock beside it"


def test_a_refusal_lists_all_batches_also_where_they_are_no_range(tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db", "UPDATE legacy_transactions SET trans_type = '?' WHERE trans_id <> 2")
    said = here("migrate", "legacy.db", "accounts.db", "--batches", "2024-01,2024-03")
    assert said.status == 1
    assert "transaction 3 0 3 0 0 0" in said.lines
    assert [line.split()[2] for line in said.lines if line.startswith("transaction 2024-")] == ["1", "3", "4"]


def test_a_failure_shows_nothing_that_another_policy_staged(tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db")
    assert here("migrate", "legacy.db", "accounts.db").status == 0
    [accounts] = (tmp_path / "var" / "staging").glob("*/cleaned/accounts/all")
    shutil.rmtree(accounts)
    accounts.write_text("in the way")
    failed = here("migrate", "legacy.db", "other.db", "--policy", "letter_case=keep")
    assert (failed.status, "Cannot write to staging" in failed.err) == (1, True)
    assert "customer 2 2 0 0 1 0" in failed.lines
    assert "transaction 0 0 0 0 0 0" in failed.lines, "the transactions were not cleaned under this policy"


REFUSED: dict[str, tuple[list[str], str]] = {
    "no source": (["no.db", "accounts.db"], "no.db: there is no such file. Check the path of SOURCE; nothing was"),
    "not SQLite": (["text.txt", "accounts.db"], "text.txt: it is not a SQLite database. Name a SQLite 3 file"),
    "damaged structure": (["empty.db", "accounts.db"], "is not complete: missing: table legacy_products, table"),
    "target is text": (["legacy.db", "text.txt"], "it is not a SQLite database"),
    "target's folder is missing": (["legacy.db", "no/accounts.db"], "there is no folder"),
    "foreign rows": (["legacy.db", "foreign.db"], "holds rows that this migration did not write"),
    "incompatible": (["legacy.db", "other.db"], "product_name"),
    "no server": (["legacy.db", f"postgresql://me:{PASSWORD}@127.0.0.1:1/bank"], "no server listens there"),
    "no socket": (["legacy.db", f"postgresql://me@/bank?host=/nowhere&password={PASSWORD}"], "no server listens on"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_ends_with_1_and_one_clear_message(case: str, tmp_path: Path, here: Here) -> None:
    words, message = REFUSED[case]
    write_bank(tmp_path / "legacy.db")
    (tmp_path / "text.txt").write_text("no database at all\n")
    change(tmp_path / "empty.db", "CREATE TABLE something (x)")
    change(tmp_path / "other.db", "CREATE TABLE product (product_id TEXT PRIMARY KEY, product_name INTEGER NOT NULL)")
    change(
        tmp_path / "foreign.db",
        f"CREATE TABLE product (product_id TEXT NOT NULL PRIMARY KEY, {TYPED_COLUMNS})",
        "INSERT INTO product VALUES ('PROD-001', 'x', 'CHECKING', 0, 0, 0, 0, '2024-01-01')",
    )
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    said = here("migrate", *words)
    assert said.status == 1
    assert message in " ".join(said.err.split()).replace(" why: ", ": ").replace(" what to do: ", ". ")
    assert PASSWORD not in said.out + said.err + "".join(path.read_text() for path in tmp_path.glob("var/logs/*"))
    assert {name: (tmp_path / name).read_bytes() for name in before} == before, "nothing was touched"
    assert not [name for name in ("no.db", "accounts.db", "no") if (tmp_path / name).exists()]


TYPED_COLUMNS = (
    "product_name TEXT NOT NULL, product_type TEXT NOT NULL, interest_rate DECIMAL(9, 6) NOT NULL,"
    " transaction_fee DECIMAL(15, 2) NOT NULL, monthly_fee DECIMAL(15, 2) NOT NULL,"
    " min_balance_for_interest DECIMAL(15, 2) NOT NULL, created_at TEXT NOT NULL"
)


WRONG: dict[str, tuple[list[str], str]] = {
    "no command": (["migrat"], "No such command"),
    "no option": (["migrate", "legacy.db", "accounts.db", "--fast"], "No such option"),
    "too many words": (["migrate", "legacy.db", "accounts.db", "third.db"], "unexpected extra argument"),
    "nothing": (["migrate"], "SOURCE_DB"),
    "no target": (["migrate", "legacy.db"], "TARGET_DB"),
    "no target to list": (["defects"], "TARGET_DB"),
    "scheme of the target": (["migrate", "legacy.db", f"mysql://me:{PASSWORD}@host/bank"], "begins with mysql://"),
    "memory": (["migrate", "legacy.db", ":memory:"], "it names no file"),
    "URL": (["migrate", "legacy.db", f"postgresql://me:{PASSWORD}@host/bank#x"], "percent-encoded"),
    "itself": (["migrate", "legacy.db", "legacy.db"], "are the same file"),
    "itself, by a link": (["migrate", "legacy.db", "sqlite:///link.db"], "are the same file"),
    "unknown policy": (["migrate", "legacy.db", "accounts.db", "--policy", "colour=red"], "colour"),
    "policy without value": (["migrate", "legacy.db", "accounts.db", "--policy", "letter_case"], "it has no value"),
    "share": (["migrate", "legacy.db", "accounts.db", "--policy", "max_reject_rate=2"], "less than or equal to 1"),
    "no number": (["migrate", "legacy.db", "accounts.db", "--policy", "max_reject_rate=nan"], "max_reject_rate"),
    "choice": (["migrate", "legacy.db", "accounts.db", "--policy", "letter_case=upper"], "'title' or 'keep'"),
    "code": (["migrate", "legacy.db", "accounts.db", "--policy", "product_type=SAV=SAVINGS"], "not to 'SAVINGS'"),
    "no text": (["migrate", "legacy.db", "accounts.db", "--policy", "legacy_encoding=hex"], "code page 'hex'"),
    "no directive": (["migrate", "legacy.db", "accounts.db", "--policy", "date_formats=%Q%Y"], "cannot be used"),
    "no year": (["migrate", "legacy.db", "accounts.db", "--policy", "date_formats=%d/%m"], "names no year"),
    "summary": (["migrate", "legacy.db", "accounts.db", "--json", "no/such.json"], "its folder is missing"),
    "list": (["defects", "accounts.db", "--output", "no/such.csv"], "its folder is missing"),
    "entity": (["defects", "accounts.db", "--entity", "branch"], "product, customer, account, transaction"),
    "format": (["defects", "accounts.db", "--format", "xml"], "xml"),
    "share of dirt": (["demo-source", "demo.db", "--dirt", "1.5"], "--dirt"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_ends_with_2_and_nothing_is_written(case: str, tmp_path: Path, here: Here) -> None:
    words, message = WRONG[case]
    write_bank(tmp_path / "legacy.db")
    (tmp_path / "link.db").symlink_to("legacy.db")
    before = (tmp_path / "legacy.db").read_bytes()
    said = here(*words)
    assert said.status == 2
    assert message in " ".join(said.err.replace("│", " ").split())
    assert PASSWORD not in said.out + said.err
    assert {path.name for path in tmp_path.iterdir()} - {"var"} == {"legacy.db", "link.db"}
    assert (tmp_path / "legacy.db").read_bytes() == before


def test_a_target_without_a_source_ends_with_2(tmp_path: Path, here: Here) -> None:
    said = here("migrate", TARGET_DB="accounts.db")
    assert (said.status, "Set SOURCE_DB, or name SOURCE" in said.err) == (2, True), said
    assert not (tmp_path / "accounts.db").exists()


CONFIGURED: dict[str, tuple[dict[str, str], str, str]] = {
    "not TOML": ({}, "max_reject_rate 0.5", "migration.toml"),
    "no table": ({}, "policies = 3", "a table [policies] is all that is read"),
    "another table": ({}, "[policy]\nmax_reject_rate = 0.5", "a table [policies] is all that is read"),
    "unknown policy": ({}, "[policies]\nmax_rejects = 0.5", "max_rejects"),
    "file is missing": ({"MIGRATION_POLICIES": "none.toml"}, "", "none.toml"),
    "value in the environment": ({"MAX_REJECT_RATE": "half"}, "", "max_reject_rate"),
    "all policies in one variable": ({"POLICIES": "half"}, "", "policies"),
}


@pytest.mark.parametrize("case", CONFIGURED)
def test_a_wrong_configuration_ends_with_2(case: str, tmp_path: Path, here: Here) -> None:
    settings, toml, message = CONFIGURED[case]
    (tmp_path / "migration.toml").write_text(toml)
    said = here("migrate", write_bank(tmp_path / "legacy.db"), "accounts.db", **settings)
    assert (said.status, message in said.err) == (2, True), said.err


def test_a_policy_file_that_is_not_utf_8_is_told(tmp_path: Path, here: Here) -> None:
    (tmp_path / "migration.toml").write_bytes(b"# B\xf6rse\n")
    assert here("migrate", write_bank(tmp_path / "legacy.db"), "accounts.db").status == 2


@pytest.mark.parametrize("name", ["LOG_DIR", "MIGRATION_HOME", "BACKUP_DIR", "DAGSTER_HOME"])
def test_a_folder_that_cannot_be_made_is_told(name: str, tmp_path: Path, here: Here) -> None:
    said = here("migrate", write_bank(tmp_path / "legacy.db"), "accounts.db", **{name: "legacy.db/folder"})
    assert (said.status, "legacy.db/folder" in said.err, "Not a directory" in said.err) == (1, True, True), said.err
    assert not (tmp_path / "accounts.db").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("2024-13", "Cannot read the batches '2024-13'"),
        ("2024-03..2024-01", "Cannot read the batches"),
        ("march", "Cannot read the batches 'march'"),
        ("2031-01", "There is no batch 2031-01"),
        ("undated", "There is no batch undated"),
    ],
)
def test_an_unknown_batch_ends_with_2_and_loads_nothing(word: str, message: str, tmp_path: Path, here: Here) -> None:
    said = here("migrate", write_bank(tmp_path / "legacy.db"), "accounts.db", "--batches", word)
    assert (said.status, message in said.err) == (2, True), said.err
    assert not (tmp_path / "accounts.db").exists()


def test_months_are_migrated_one_after_the_other(tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db", "INSERT INTO legacy_transactions VALUES (5, 11, 'CR', 2, 2, '', '05/04/2024')")
    words = ["migrate", "legacy.db", "accounts.db", "--policy", "date_formats=%d/%m/%Y"]

    def loaded() -> list[str]:
        return [row["transaction_id"] for row in content("accounts.db")["transaction"]]

    first = here(*words, "--batches", "2024-02")
    assert (first.status, verdict(first.out)) == (0, "MIGRATED")
    assert "validation/reconciliation complete warning" in first.lines
    assert loaded() == ["TXN-2"]
    assert here("verify", "legacy.db", "accounts.db").status == 1, "the other months are missing"
    assert here(*words, "--batches", "2024-03..2024-12", "--batches", "2024-02, undated").status == 0
    assert loaded() == ["TXN-2", "TXN-3", "TXN-4", "TXN-5"]
    last = here(*words, "--batches", "2024-01")
    assert (last.status, loaded()) == (0, ["TXN-1", "TXN-2", "TXN-3", "TXN-4", "TXN-5"])
    assert "validation/reconciliation complete passed" in last.lines
    assert here("verify", "legacy.db", "accounts.db").status == 0


def test_settings_come_from_words_then_environment_then_dot_env_then_the_file(tmp_path: Path) -> None:
    """And everything is written where they say, and nowhere else."""
    folder, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    for path in (folder, elsewhere, elsewhere / "dagster"):
        path.mkdir()
    write_bank(elsewhere / "legacy.db", "UPDATE legacy_products SET account_type = 'SAV' WHERE product_code = 1")
    (elsewhere / "policies.toml").write_text(
        '[policies]\nproduct_type = {SAV = "CHECKING"}\nletter_case = "title"\nmax_reject_rate = 0.1\n'
        'invalid_email = "null"\ninactive_parents = "exclude"\n'
    )
    (folder / ".env").write_text(
        f"SOURCE_DB={elsewhere}/legacy.db\nTARGET_DB={elsewhere}/accounts.db\nBACKUP_DIR={elsewhere}/backups\n"
        f"MIGRATION_HOME={elsewhere}/home\nDAGSTER_HOME={elsewhere}/dagster\nLOG_DIR={elsewhere}/nowhere\nSTAGING=\n"
        f"MIGRATION_POLICIES={elsewhere}/policies.toml\nMAX_REJECT_RATE=0.2\nLETTER_CASE=keep\nINACTIVE_PARENTS=exclude\n"
    )
    words = ["--policy", "max_reject_rate=0.4", "--policy", "transaction_type=XX=FEE,YY=DEBIT"]
    done = command(
        folder, "migrate", *words, LOG_DIR=f"{elsewhere}/logs", MAX_REJECT_RATE="0.3", INACTIVE_PARENTS="referenced"
    )
    assert done.returncode == 0, done.stderr
    policies = json.loads(content(f"{elsewhere}/accounts.db")["migration_batch"][0]["policies"])
    assert policies == {
        "max_reject_rate": 0.4,
        "inactive_parents": "referenced",
        "invalid_email": "null",
        "letter_case": "keep",
        "date_formats": [],
        "legacy_encoding": "utf-8",
        "product_type": {"SAV": "CHECKING"},
        "account_status": {},
        "transaction_type": {"XX": "FEE", "YY": "DEBIT"},
    }
    assert [path.name for path in folder.iterdir()] == [".env"]
    assert {path.name for path in elsewhere.iterdir()} == {
        *("legacy.db", "policies.toml", "accounts.db", "accounts.db.lock"),
        *("backups", "home", "dagster", "logs"),
    }
    assert {path.name for path in (elsewhere / "home").iterdir()} == {"snapshots", "staging"}
    assert len(list((elsewhere / "logs").iterdir())) == len(list((elsewhere / "backups").iterdir())) == 1
    assert (elsewhere / "dagster" / "history" / "runs.db").exists()


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


def test_one_seed_writes_one_file_and_none_is_overwritten(tmp_path: Path, here: Here) -> None:
    words = ["--accounts", "30", "--transactions", "200", "--dirt", "0.02"]
    for path, seed in (("a.db", "5"), ("b.db", "5"), ("c.db", "6")):
        said = here("demo-source", path, *words, "--seed", seed)
        assert (said.status, said.out) == (
            0,
            f"wrote {path}: 30 accounts, 200 transactions, about 2.00% defective rows\n",
        )
    first, same, other = ((tmp_path / name).read_bytes() for name in ("a.db", "b.db", "c.db"))
    assert (first == same, first == other) == (True, False)
    refused = here("demo-source", "a.db", *words)
    assert (refused.status, "the file exists" in refused.err) == (1, True)
    assert (tmp_path / "a.db").read_bytes() == first


def test_the_demo_writes_and_migrates_a_bank_of_its_own(tmp_path: Path, here: Here) -> None:
    said = here("demo", "--accounts", "100", "--transactions", "1000", MIGRATION_HOME="home")
    assert (said.status, verdict(said.out)) == (0, "MIGRATED"), said.out + said.err
    [folder] = (tmp_path / "home" / "demo").iterdir()
    assert {"legacy_system.db", "accounts.db"} <= {path.name for path in folder.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_ctrl_c_leaves_a_whole_target_and_the_same_command_goes_on(tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db")
    process = started(tmp_path, "migrate", "legacy.db", "accounts.db")
    assert process.stderr is not None
    for line in process.stderr:
        if "account all: 2 rows loaded" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "run the same command again to go on" in err) == (1, True), err
    assert "Traceback" not in err
    books = [(one["entity"], one["loaded"]) for one in content(str(tmp_path / "accounts.db"))["migration_batch"]]
    assert books[:3] == [("account", 2), ("customer", 2), ("product", 2)]
    assert here("migrate", "legacy.db", "accounts.db").status == 0
    assert len(content("accounts.db")["transaction"]) == 4


def test_the_module_runs_as_a_program_and_offers_its_commands(tmp_path: Path) -> None:
    done = command(tmp_path, "--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("migrate", "verify", "defects", "demo-source", "demo", "ui"))
    assert list(tmp_path.iterdir()) == []
