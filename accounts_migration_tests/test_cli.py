"""The command line: exit statuses, what it says, what it writes and where, and that it never ends in a traceback.

Commands run as processes where that matters, else in this process, which is several times faster.
"""

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from accounts_migration_tests.commands import (
    PASSWORD,
    PROGRAM,
    Here,
    Said,
    change,
    command,
    content,
    environment,
    started,
    verdict,
    write_bank,
)
from accounts_migration_tests.conftest import run_sql


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
        shown = target.replace(f":{PASSWORD}", "")
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
    assert "DIFFERENT: account ACCT-00000010, balance: expected 100.25, found 100.26" in found.err
    summary = json.loads((copied / "verified.json").read_text())
    assert [one["unexplained"] for one in summary["control_totals_in_cents"][:2]] == [-1, 0]
    failed = {(one["asset"], one["check"]) for one in summary["checks"] if not one["passed"]}
    assert failed == {
        ("validation/content", "account"),
        ("validation/reconciliation", "control_totals"),
        ("validation/second_reading", "account"),
    }


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
    assert len(list((elsewhere / "logs").iterdir())) == 1
    # the snapshot of the source, and the backup of the target
    assert len(list((elsewhere / "backups").iterdir())) == 2
    assert (elsewhere / "dagster" / "history" / "runs.db").exists()


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


def test_ctrl_c_before_anything_is_run_is_told_in_the_same_words(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    process = started(tmp_path, "migrate", "legacy.db", "accounts.db")
    # opening waits until the command reads its settings, and the command then waits for their end
    with (tmp_path / ".env").open("w"):
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    told = "Stopped. What was loaded is whole; run the same command again to go on.\n"
    assert (process.returncode, err) == (1, told)


def test_the_module_runs_as_a_program_and_offers_its_commands(tmp_path: Path) -> None:
    done = command(tmp_path, "--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("migrate", "verify", "defects", "demo-source", "demo", "ui"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("heard", ["", ">&-", ">&- 2>&- <&-"], ids=["in ASCII", "without output", "without any stream"])
def test_a_command_ends_as_always_whatever_hears_it(heard: str, tmp_path: Path) -> None:
    """A service, or an old terminal whose code page has neither all letters nor the lines of a table."""
    done = subprocess.run(  # noqa: S603  # the program under test
        ["/bin/sh", "-c", f'exec "$0" backup --list "\u20ac.db" {heard}', str(PROGRAM)],
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, "\\u20ac.db in var/backups" in done.stdout, done.stderr) == (0, not heard, "")
