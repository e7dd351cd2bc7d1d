"""`accounts-migration assess` as people start it: what it shows and writes, refuses, and leaves alone."""

import json
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.assessment.plan import recorded_plan
from accounts_migration.databases.target import open_target
from accounts_migration.settings import Settings
from accounts_migration_tests.commands import BANK, PASSWORD, Here, change, verdict, write_bank

Rows = dict[str, list[tuple[Any, ...]]]


def fingerprints(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def test_everything_is_shown_and_nothing_is_touched(
    tmp_path: Path, here: Here, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    write_legacy(tmp_path / "legacy.db", new_legacy_rows())
    (tmp_path / "legacy.db").chmod(0o444)
    before = fingerprints(tmp_path)

    said = here("assess", "legacy.db", "accounts.db", "--policy", "max_reject_rate=0.25", "--json", "found.json")

    assert (said.status, verdict(said.out)) == (0, "ASSESSED")
    for line in (
        "accounts 4",
        "active accounts 3",
        "total balance 164.60",
        "transactions 12",
        "first transaction 2024-01-01 00:00:00",
        "last transaction 2024-03-06 00:00:00",
        'legacy_accounts.account_status "A" text 2 ACTIVE',
        "transaction 12 8 3 1 0 93.00 1 yes",
        "transaction rejected SUB_CENT 1 1 0.00 1",
        "data volume small: 4 accounts are small, 12 transactions are small",
        "downtime by the guide 2-4 hours",
        "2024 10 3 4 3",
        "undated 2",
    ):
        assert line in said.lines
    assert "would be refused" not in said.out
    assert {name: fingerprints(tmp_path)[name] for name in before} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.json", "legacy.db", "var"]
    assert sorted(path.name for path in (tmp_path / "var").iterdir()) == ["assessment", "backups", "dagster", "logs"]


def test_the_json_holds_everything(
    tmp_path: Path, here: Here, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    write_legacy(tmp_path / "legacy.db", new_legacy_rows())

    assert here("assess", "legacy.db", "--json", "found.json").status == 0

    found = json.loads((tmp_path / "found.json").read_text())
    assert stat.S_IMODE((tmp_path / "found.json").stat().st_mode) == 0o600
    assert list(found) == ["success", "run_id", "volumes", "profile", "dry_run", "plan", "problems", "runs"]
    [log] = (tmp_path / "var" / "logs").iterdir()
    assert f" - {found['run_id']} - INFO - ASSESSED in " in log.read_text().splitlines()[-1]
    assert (found["success"], found["problems"]) == (True, [])
    assert found["volumes"]["total_balance"] == 16_460
    assert [table["table"] for table in found["profile"]["tables"]] == [
        *("legacy_products", "legacy_customers", "legacy_accounts", "legacy_transactions"),
    ]
    assert found["dry_run"]["entities"][3]["money_at_stake"] == 9_300
    assert found["plan"]["batches"] == {"2024-01": 3, "2024-02": 4, "2024-03": 3, "undated": 2}
    plan = recorded_plan(Settings(source_db=tmp_path / "legacy.db", target_db=None, migration_home=tmp_path / "var"))
    assert plan is not None
    assert (found["plan"]["digest"], found["plan"]["target"]) == (plan.digest, "")
    assert "zq" not in (tmp_path / "found.json").read_text().lower()


def test_a_source_that_would_be_refused_is_said_to_be(
    tmp_path: Path, here: Here, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    rows = new_legacy_rows()
    write_legacy(tmp_path / "legacy.db", rows)
    change(tmp_path / "legacy.db", "ALTER TABLE legacy_accounts ADD COLUMN branch_code DEFAULT 4")

    said = here("assess", SOURCE_DB="legacy.db", TARGET_DB="accounts.db")

    assert said.status == 0
    assert "A migration would be refused: more rows are rejected than max_reject_rate allows." in said.lines
    assert "transaction 12 8 3 1 0 93.00 1 NO" in said.lines
    assert "legacy_accounts.branch_code, 4 non-null values" in said.lines
    assert said.err.count("not migrated: legacy_accounts.branch_code, 4 non-null values") == 1


def test_the_digest_stays_until_the_source_changes(tmp_path: Path, here: Here) -> None:
    source = write_bank(tmp_path / "legacy.db")

    first, again = (here("assess", "legacy.db", "accounts.db") for _ in range(2))
    assert here("migrate", "legacy.db", "accounts.db").status == 0
    [pointer] = (tmp_path / "var" / "snapshots").iterdir()
    snapshot_of_the_migration = pointer.read_text()
    after = here("assess", "legacy.db", "sqlite:///accounts.db")
    change(source, "UPDATE legacy_accounts SET current_balance = 100.26 WHERE account_number = 10")
    changed = here("assess", "legacy.db", "accounts.db")

    digests = [line.split()[1] for said in (first, again, after, changed) for line in said.lines if "plan " in line[:5]]
    assert len(digests) == 4
    assert digests[0] == digests[1] == digests[2] != digests[3]
    # an assessment of the changed source does not become what a migration at work reads next
    assert pointer.read_text() == snapshot_of_the_migration
    # the source as it was had one snapshot, which the migration took over
    assert len(list((tmp_path / "var" / "backups").glob("*/source_backup.db"))) == 2


def test_a_server_is_measured_and_left_as_it_was(tmp_path: Path, here: Here, postgres_url: str) -> None:
    write_bank(tmp_path / "legacy.db")
    url = postgres_url.replace("://postgres@", f"://postgres:{PASSWORD}@")

    said = here("assess", "legacy.db", url, "--json", "found.json")

    assert (said.status, verdict(said.out)) == (0, "ASSESSED")
    assert "loaded on trial into PostgreSQL" in said.out
    with open_target(postgres_url) as target:
        assert target.session.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in content for content in written)
    assert PASSWORD not in said.out + said.err


def test_a_server_that_cannot_be_reached_leaves_the_rest_standing(tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db")

    said = here("assess", "legacy.db", f"postgresql://me:{PASSWORD}@127.0.0.1:1/bank", "--json", "found.json")

    assert (said.status, verdict(said.out)) == (1, "FAILED")
    assert "no server listens there" in said.err
    assert "total balance 95.25" in said.lines
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["success"], len(found["problems"])) == (False, 1)
    assert [name for name in ("volumes", "profile", "dry_run", "plan") if name in found] == [
        *("volumes", "profile", "dry_run"),
    ]
    assert PASSWORD not in said.out + said.err + (tmp_path / "found.json").read_text()


def test_a_bank_without_accounts_is_asked_about(tmp_path: Path, here: Here) -> None:
    change(tmp_path / "legacy.db", *BANK.split("INSERT")[0:1])

    said = here("assess", "legacy.db")

    assert said.status == 0
    assert "there are no accounts: is this the right source?" in said.err
    assert "data volume small: 0 accounts are small, 0 transactions are small" in said.lines
    assert "first transaction -" in said.lines


REFUSED = {
    "no source": (["no.db"], "no.db: there is no such file. Check its path; nothing was created"),
    "not SQLite": (["text.txt"], "text.txt: it is not a SQLite database. Name a SQLite 3 file"),
    "without tables": (["other.db"], "is not complete: missing: table legacy_products, table legacy_customers"),
    "without a column": (["short.db"], "is not complete: missing: column legacy_accounts.close_date"),
    "damaged": (["damaged.db"], "damaged"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_source_that_cannot_be_read_ends_with_1_and_one_clear_message(case: str, tmp_path: Path, here: Here) -> None:
    words, message = REFUSED[case]
    (tmp_path / "text.txt").write_text("no database at all\n")
    change(tmp_path / "other.db", "CREATE TABLE something (x)")
    write_bank(tmp_path / "short.db", "ALTER TABLE legacy_accounts DROP COLUMN close_date")
    content = write_bank(tmp_path / "damaged.db").read_bytes()
    (tmp_path / "damaged.db").write_bytes(content[:4096] + b"\xff" * 3000 + content[7096:])

    said = here("assess", *words, "accounts.db", "--json", "found.json")

    assert (said.status, verdict(said.out)) == (1, "FAILED")
    assert message in " ".join(said.err.split())
    assert not any((tmp_path / name).exists() for name in ("no.db", "accounts.db"))
    assert json.loads((tmp_path / "found.json").read_text())["success"] is False


WRONG = {
    "nothing": ([], "SOURCE_DB is not set"),
    "JSON into a missing folder": (["legacy.db", "--json", "no/found.json"], "Cannot write no/found.json"),
    "JSON is a folder": (["legacy.db", "--json", "var"], "Cannot write var"),
    "scheme": (["legacy.db", f"mysql://me:{PASSWORD}@host/bank"], "begins with mysql://"),
    "itself": (["legacy.db", "legacy.db"], "Cannot migrate legacy.db into itself"),
    "policy": (["legacy.db", "--policy", "max_reject_rate=2"], "max_reject_rate"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_ends_with_2_before_anything_is_read(case: str, tmp_path: Path, here: Here) -> None:
    words, message = WRONG[case]
    write_bank(tmp_path / "legacy.db")
    (tmp_path / "var").mkdir()

    said = here("assess", *words)

    assert said.status == 2
    assert message in " ".join(said.err.split())
    assert PASSWORD not in said.out + said.err
    assert not (tmp_path / "var" / "backups").exists()


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db")
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "assessment").write_text("in the way")

    said = here("assess", "legacy.db")

    assert said.status == 1
    assert "Cannot write the assessment into var/assessment/" in said.err
    assert "Not a directory. Free disk space, or name another folder in MIGRATION_HOME" in said.err
