"""`accounts-migration report TARGET -o DIR`: what it writes, says and records, and what it refuses."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from accounts_migration.databases.target import open_target
from accounts_migration.program import app_main
from accounts_migration_tests.commands import SETTING_NAMES, change, write_bank
from accounts_migration_tests.legacy_bank import write_legacy
from accounts_migration_tests.reports.conftest import PASSWORD


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


Here = Callable[..., Said]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Return a function that runs a command in this process, in the test's folder."""
    for name in SETTING_NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    write_bank(tmp_path / "legacy.db")

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["accounts-migration", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            app_main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Said(int(ended.value.code or 0), said.out, " ".join(said.err.split()))

    return run


def told(said: Said) -> dict[str, str]:
    """Return what a command printed as name -> value."""
    names = ("page", "twin", "sha256 of the page", "sha256 of the twin", "accounted for", "unexplained amount")
    return {
        name: line[len(name) :].strip() for line in said.out.splitlines() for name in names if line.startswith(name)
    }


def test_a_migration_ends_by_naming_the_command_which_writes_the_same_report_anywhere(
    tmp_path: Path, here: Here
) -> None:
    """The source is not needed any more; a report is one of the runs that the UI lists, under its target's name."""
    migrated = here("migrate", "legacy.db", "accounts.db")
    assert "report    accounts-migration report accounts.db" in migrated.out.splitlines()
    said = here("report", "accounts.db", "-o", "out")
    assert said.status == 0
    page, twin = tmp_path / "out" / "report.html", tmp_path / "out" / "report.json"
    assert told(said) == {
        "accounted for": "True",
        "unexplained amount": "0.00",
        "page": str(page),
        "twin": str(twin),
        "sha256 of the page": hashlib.sha256(page.read_bytes()).hexdigest(),
        "sha256 of the twin": hashlib.sha256(twin.read_bytes()).hexdigest(),
    }
    (tmp_path / "legacy.db").unlink()
    assert here("report", tmp_path / "accounts.db").status == 0
    [folder] = (tmp_path / "var" / "reports").iterdir()
    assert json.loads(twin.read_text())["source"]["snapshot_id"] == folder.name
    assert (folder / "report.html").read_bytes() == page.read_bytes()
    with dg.DagsterInstance.from_config(str(tmp_path / "var" / "dagster")) as instance:
        runs = [(run.job_name, run.tags["accounts_migration/target"]) for run in instance.get_runs()]
    assert runs[:2] == [("report", str(tmp_path / "accounts.db"))] * 2


def test_another_migration_into_another_target_changes_no_verdict(tmp_path: Path, here: Here) -> None:
    assert here("migrate", "legacy.db", "accounts.db").status == 0
    before = told(here("report", "accounts.db", "-o", "before"))
    write_legacy(tmp_path / "bad.db", BAD)
    assert here("migrate", "bad.db", "other.db").status == 1
    after = told(here("report", "accounts.db", "-o", "after"))
    assert after["sha256 of the page"] == before["sha256 of the page"]


BAD: dict[str, list[tuple[object, ...]]] = {
    "legacy_products": [("none", "Basic", "CHK", 0, 0, 0, 0, 1)],
    "legacy_customers": [],
    "legacy_accounts": [],
    "legacy_transactions": [(1, 1, "CR", 1, 1, "", "2024-01-01")],
}


def test_a_snapshot_that_is_gone_or_changed_is_named_with_its_remedy(tmp_path: Path, here: Here) -> None:
    assert here("migrate", "legacy.db", "accounts.db").status == 0
    [folder] = (tmp_path / "var" / "backups").glob("2*")
    file = folder / "source_backup.db"
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.chmod(0o600)
    file.write_bytes(whole)
    said = here("report", "accounts.db", "-o", "out")
    assert said.status == 1
    assert f"Cannot read the snapshot {folder.name}" in said.err
    assert "its sha256 is another than the target recorded. Bring the file back from your backup" in said.err
    shutil.rmtree(folder)
    said = here("report", "accounts.db", "-o", "out")
    assert said.status == 1
    assert "it does not stand whole in var/backups. Bring its folder" in said.err
    assert not (tmp_path / "out").exists()


REFUSED: dict[str, tuple[int, list[str], str]] = {
    "no target": (2, [], "TARGET_DB is not set"),
    "nothing migrated": (1, ["empty.db"], "Cannot report on empty.db why: no migration has been recorded in it"),
    "no such file": (1, ["none.db"], "no migration has been recorded in it"),
    "no database": (1, ["text.txt"], "it is not a SQLite database"),
    "no server": (1, [f"postgresql://me:{PASSWORD}@127.0.0.1:1/bank"], "no server listens there"),
    "folder is a file": (2, ["empty.db", "-o", "text.txt"], "text.txt is no folder"),
    "folder in a file": (2, ["empty.db", "-o", "text.txt/out"], "text.txt is no folder"),
    "option": (2, ["empty.db", "--pdf"], "No such option"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_reported_on(case: str, tmp_path: Path, here: Here) -> None:
    status, words, message = REFUSED[case]
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.txt").write_text("no database at all\n")
    said = here("report", *words)
    assert said.status == status
    assert message in said.err
    assert PASSWORD not in said.out + said.err
    assert not (tmp_path / "none.db").exists()
    assert (tmp_path / "text.txt").read_text() == "no database at all\n"


@pytest.mark.parametrize(
    ("words", "deed"),
    [(("report",), "report on"), (("verify", "legacy.db"), "verify"), (("finish",), "finish")],
)
def test_a_database_that_a_copy_alone_has_filled_holds_no_migration(
    words: tuple[str, ...], deed: str, tmp_path: Path, here: Here
) -> None:
    with open_target(str(tmp_path / "copied.db")) as target:
        target.prepare()
    change(
        tmp_path / "copied.db",
        "INSERT INTO product VALUES ('PROD-001', 'Basic', 'CHECKING', 0, 0, 0, 0, '2024-01-01 00:00:00')",
    )
    said = here(*words, "copied.db")
    assert said.status == 1
    assert f"Cannot {deed} copied.db why: no migration has been recorded in it" in said.err


def test_a_migration_does_without_what_only_a_report_needs() -> None:
    script = (
        "import sys; from accounts_migration import cli, console, logs, migration;"
        " from accounts_migration.definitions import build_defs; build_defs();"
        " print(sorted({'matplotlib', 'jinja2', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True)  # noqa: S603
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
