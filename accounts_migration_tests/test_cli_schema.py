"""`accounts-migration schema`, and what every other command says of a target at another version."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.postgres_url import display_name
from accounts_migration.databases.target import open_target
from accounts_migration_tests.commands import PASSWORD, Here, Said, change, content, verdict, write_bank
from accounts_migration_tests.databases.test_provisioning import asking_for_a_password

NO_SERVICE = {"SERVICE_STOP": "", "SERVICE_START": "", "SERVICE_HEALTH_URL": ""}
OLDER = "its tables are at version 0001, and this program writes version 0002"
UP = "Nothing was written. Bring it up: accounts-migration schema upgrade"


def messages(said: Said) -> str:
    """Return what was said as an error, in one line."""
    return " ".join(said.err.split())


def log_of(said: Said) -> str:
    [line] = [line for line in said.out.splitlines() if line.startswith("log ")]
    return Path(line.split()[1]).read_text()


def test_a_migrated_target_goes_down_and_up_again(tmp_path: Path, target_url: str, here: Here) -> None:
    write_bank(tmp_path / "legacy.db")
    assert here("migrate", "legacy.db", target_url).status == 0
    assert (here("schema", "current", target_url).out, here("schema", "check", target_url).status) == (
        "0002 (head)\n",
        0,
    )
    loaded = content(target_url)

    down = here("schema", "downgrade", target_url, "0001")
    assert (down.status, verdict(down.out)) == (0, "DOWNGRADED")
    assert re.search(r"^DOWNGRADED from version 0002 to 0001 in \d+\.\d s$", down.out, re.MULTILINE)
    assert "downgraded from version 0002 to 0001" in log_of(down)
    assert here("schema", "current", target_url).out == "0001 (older than 0002, the head)\n"
    for words in (
        ("migrate", "legacy.db", target_url),
        ("phase", 1, "legacy.db", target_url),
        ("verify", "legacy.db", target_url),
        ("report", target_url),
        ("finish", target_url),
        ("defects", target_url),
        ("schema", "check", target_url),
    ):
        refused = here(*words, **NO_SERVICE)
        assert (refused.status, OLDER in messages(refused), UP in messages(refused)) == (1, True, True), words
    assert content(target_url) == loaded

    up = here("schema", "upgrade", TARGET_DB=target_url)
    assert (up.status, verdict(up.out)) == (0, "UPGRADED")
    assert "upgraded from version 0001 to 0002" in log_of(up)
    again = here("schema", "upgrade", target_url, "head")
    assert again.out.endswith("AT VERSION 0002 already: nothing was to be done\n")
    assert content(target_url) == loaded


def test_the_checklist_names_the_version(tmp_path: Path, here: Here) -> None:
    """Of a target that can be reached and written, its tables are what is not ready."""
    write_bank(tmp_path / "legacy.db")
    assert here("migrate", "legacy.db", "accounts.db").status == 0
    here("schema", "downgrade", "accounts.db", "0001")
    said = here("preflight", "legacy.db", "accounts.db")
    failed = [line.split()[0] for line in said.lines if " FAILED " in f" {line} "]
    assert (said.status, failed) == (1, ["target_schema", "data_volume_assessed", "backup_strategy"])
    assert f"target_schema: {UP} accounts.db" in said.lines


def test_an_older_backup_is_put_back_and_then_brought_up(tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db")
    assert here("migrate", "legacy.db", "accounts.db").status == 0
    loaded = content("accounts.db")
    here("schema", "downgrade", "accounts.db", "0001")
    assert here("backup", "accounts.db").status == 0
    older = max(path.name for path in (tmp_path / "var" / "backups").glob("target-*"))
    here("schema", "upgrade", "accounts.db")
    # nobody changed a row: the version's table is none that somebody brought
    back = here("rollback", "accounts.db", "--to", older, **NO_SERVICE)
    assert (back.status, verdict(back.out)) == (0, "ROLLED")
    assert here("schema", "current", "accounts.db").out == "0001 (older than 0002, the head)\n"
    assert OLDER in messages(here("defects", "accounts.db"))
    assert here("schema", "upgrade", "accounts.db").status == 0
    assert content("accounts.db") == loaded
    assert here("verify", "legacy.db", "accounts.db").status == 0
    gone = here("rollback", "accounts.db", **NO_SERVICE)
    assert (gone.status, (tmp_path / "accounts.db").exists()) == (0, False)


def test_differences_are_named_and_logged(tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db")
    assert here("migrate", "legacy.db", "accounts.db").status == 0
    change(tmp_path / "accounts.db", "DROP INDEX account_customer_id", "ALTER TABLE customer ADD COLUMN zip TEXT")
    said = here("schema", "check", "accounts.db")
    named = [
        "customer: column zip is not of this version: TEXT",
        "account: index account_customer_id is missing, it must be on customer_id",
    ]
    assert (said.status, said.err.splitlines()) == (1, named)
    assert said.out.endswith("DIFFERENT from version 0002: 2 differences\n")
    assert [line for line in named if f"ERROR - {line}" not in log_of(said)] == []


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("upgrade",), 2, "No target is named why: TARGET_DB is not set"),
        (("upgrade", "no.db"), 1, "Cannot use the target no.db why: there is no such file"),
        (("current", "no/such.db"), 1, "there is no folder"),
        (("check", "other.db"), 1, "There is no schema of accounts-migration in other.db"),
        (("upgrade", "text.txt"), 1, "it is not a SQLite database"),
        (("upgrade", "other.db", "0007"), 2, "There is no version '0007' of the schema"),
        (("downgrade", "other.db", "base"), 2, "this program knows 0001, 0002"),
        (("downgrade", "other.db"), 2, "Missing argument 'revision'"),
        (("stamp", "other.db"), 2, "No such command"),
        (("upgrade", f"postgresql://me:{PASSWORD}@127.0.0.1:1/bank"), 1, "no server listens there"),
        (("upgrade", "mysql://me@host/bank"), 2, "begins with mysql://"),
    ],
)
def test_what_cannot_be_used_is_told_and_left_alone(
    words: tuple[str, ...], status: int, message: str, tmp_path: Path, here: Here
) -> None:
    (tmp_path / "text.txt").write_text("no database at all\n")
    change(tmp_path / "other.db", "CREATE TABLE payroll (x)")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    said = here("schema", *words)
    assert (said.status, message in messages(said).replace(" │ ", " ")) == (status, True), said
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert PASSWORD not in said.out + said.err + "".join(path.read_text() for path in tmp_path.glob("var/logs/*"))


def test_a_wrong_password_is_told_and_not_shown(
    postgres_url: str, run_sql: Callable[..., Any], here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
    run_sql(postgres_url, f"CREATE ROLE schema_clerk LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    url = postgres_url.replace("//postgres@", "//schema_clerk@")
    with asking_for_a_password(postgres_url, "schema_clerk", run_sql):
        monkeypatch.setenv("PGPASSWORD", "wrong-0815")
        refused = here("schema", "upgrade", url)
        assert (refused.status, "the password or the user is wrong" in refused.err) == (1, True)
        assert "0815" not in refused.out + refused.err
        monkeypatch.delenv("PGPASSWORD")
        said = here("schema", "check", url.replace("schema_clerk@", f"schema_clerk:{PASSWORD}@"))
    assert (said.status, f"target    {display_name(url)}" in said.out) == (1, True), "the last step is to come"
    assert PASSWORD not in said.out + said.err + log_of(said)
