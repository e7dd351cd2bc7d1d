"""`accounts-migration finish TARGET`: the list it prints, its exit status, what it refuses and whom it tells."""

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from accounts_migration.assets.checklist import ITEMS
from accounts_migration_tests.commands import PASSWORD, Here, change, command, write_bank
from accounts_migration_tests.databases.test_target_lock import HOLDER, killed, started
from accounts_migration_tests.operations.servers import Reply, WebServer, web_server

PEOPLE = ("Byron", "BYRON", "Hopper", "HOPPER", "ada@example", "Ada@Example", "555-1815")


def told(server: WebServer) -> list[tuple[str, str]]:
    notices = [json.loads(body) for method, _, body in server.requests if method == "POST"]
    return [(notice["what"], notice["verdict"]) for notice in notices]


def test_a_whole_evening_from_a_refusal_to_the_finished_list(tmp_path: Path, here: Here) -> None:
    """A migration that is refused cannot be finished; nor a finished one again, when a later one was refused."""
    source = write_bank(tmp_path / "legacy.db", "UPDATE legacy_accounts SET account_status = '?'")
    with web_server({"/hook": Reply()}) as server:
        settings = {"NOTIFY_WEBHOOK": f"{server.url}/hook", "LOG_DIR": "logs"}
        assert here("migrate", source, "accounts.db", **settings).status == 1
        said = here("finish", "accounts.db", **settings)
        assert (said.status, "no migration has been recorded in it" in said.err) == (1, True)
        change(source, "UPDATE legacy_accounts SET account_status = 'A'")
        assert here("migrate", source, "accounts.db", "--batches", "2024-01", **settings).status == 0
        said = here("finish", "accounts.db", **settings)
        assert (said.status, "transaction 2024-02 is not loaded; transaction 2024-03 is not" in said.err) == (1, True)
        assert here("migrate", source, "accounts.db", **settings).status == 0
        said = here("finish", "accounts.db", "--json", "finish.json", **settings)
        logs = {path.name for path in (tmp_path / "logs").iterdir()}
        assert said.status == 0, said.err
        assert said.lines[-1].startswith("FINISHED in ")
        assert [name for name in ITEMS if not any(line.startswith(f"{name} ") for line in said.lines)] == []
        change(source, "UPDATE legacy_accounts SET account_status = '?'")
        assert here("migrate", source, "accounts.db", **settings).status == 1
        said = here("finish", "accounts.db", **settings)
        assert said.status == 1
        assert "rejects_within_policy of cleaned/accounts failed" in said.err
        no_service = {"SERVICE_STOP": "", "SERVICE_START": "", "SERVICE_HEALTH_URL": ""}
        assert here("rollback", "accounts.db", "--yes", **no_service, **settings).status == 0
        assert here("rollback", "other.db", "--yes", **no_service, **settings).status == 1
    assert told(server) == [
        ("migrate", "REFUSED"),
        ("finish", "REFUSED"),
        ("migrate", "MIGRATED"),
        ("finish", "REFUSED"),
        ("migrate", "MIGRATED"),
        ("finish", "FINISHED"),
        ("migrate", "REFUSED"),
        ("finish", "REFUSED"),
        ("rollback", "ROLLED BACK"),
        ("rollback", "FAILED"),
    ]
    bodies = b"".join(body for _, _, body in server.requests).decode()
    assert [word for word in PEOPLE if word in bodies] == []
    summary = json.loads((tmp_path / "finish.json").read_text())
    assert (summary["success"], [item["item"] for item in summary["items"]]) == (True, list(ITEMS))
    notices = [json.loads(body) for _, _, body in server.requests]
    assert summary["run_id"] == notices[5]["run_id"]
    assert "Cannot load account" in notices[0]["problems"][0] or "failed" in notices[0]["problems"][0]
    _holds_what_must_be_kept(tmp_path, summary["run_id"], logs)


def _holds_what_must_be_kept(folder: Path, run_id: str, logs: set[str]) -> None:
    """All logs of this target so far; other programs read it; and no person of the bank is in it."""
    archive = folder / "var" / "archive" / f"migration_{run_id}.tar.zst"
    with pa.input_stream(str(archive), compression="zstd") as stream:
        content = stream.read()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        names = tar.getnames()
    text = content.decode("latin-1")
    assert [word for word in PEOPLE if word in text] == []
    assert "SQLite format 3" not in text
    assert {name.removeprefix("logs/") for name in names if name.startswith("logs/")} == logs
    assert len(logs) == 6
    assert names[-1] == "SHA256SUMS"
    beside = archive.with_name(f"{archive.name}.sha256")
    checked = subprocess.run(  # noqa: S603  # a program of the system
        ["/usr/bin/env", "sha256sum", "-c", beside.name], cwd=beside.parent, capture_output=True, text=True
    )
    assert checked.stdout == f"{archive.name}: OK\n"


@pytest.fixture(scope="module")
def migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate the small bank into accounts.db, in a folder of its own."""
    folder = tmp_path_factory.mktemp("migrated")
    assert command(folder, "migrate", write_bank(folder / "legacy.db"), "accounts.db").returncode == 0
    return folder


@pytest.fixture
def migrated(migrated_once: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the folder of the migrated bank."""
    monkeypatch.chdir(migrated_once)
    return migrated_once / "accounts.db"


def test_one_failing_item_is_exit_status_1_and_an_undelivered_notice_is_not(migrated: Path, here: Here) -> None:
    undelivered: dict[str, Any] = {"NOTIFY_WEBHOOK": "http://127.0.0.1:1/secret"}
    said = here("finish", migrated, **undelivered)
    assert (said.status, said.lines[-1].split()[0]) == (0, "FINISHED")
    [line] = [line for line in said.lines if line.startswith("notify_stakeholders")]
    assert line == "notify_stakeholders warning webhook 127.0.0.1: NOT delivered, Connection refused"
    assert "notice of FINISHED: webhook 127.0.0.1: NOT delivered, Connection refused" in said.err
    assert "secret" not in said.out + said.err
    said = here("finish", migrated, CLEAR_CACHES="false --password " + PASSWORD)
    assert (said.status, said.lines[-1].split()[:2]) == (1, ["NOT", "FINISHED"])
    assert PASSWORD not in said.out + said.err + "".join(path.read_text() for path in Path("var/logs").iterdir())
    [line] = [line for line in said.lines if line.startswith("clear_application_caches")]
    assert line.startswith(
        "clear_application_caches FAILED The command of CLEAR_CACHES failed: false ended with status 1"
    )


def test_wrong_settings_are_told_before_anything_is_done(migrated: Path, here: Here) -> None:
    archives = sorted(Path("var").glob("archive/*"))
    Path("wrong.toml").write_text("[fire_dba]\nby = 'x'")
    wrong = [
        here("finish", migrated, ACKNOWLEDGEMENTS="wrong.toml"),
        here("finish", migrated, SMOKE_TEST_URLS="ftp://x"),
        here("finish", migrated, SMTP_SECURITY="plain"),
        here("finish", migrated, CLEAR_CACHES="echo 'x"),
        here("finish", migrated, ACKNOWLEDGEMENTS="missing.toml"),
        here("finish", migrated, "--json", "missing/folder.json"),
        here("finish"),
    ]
    assert [said.status for said in wrong] == [2] * len(wrong)
    assert "there is no item fire_dba" in wrong[0].err
    assert sorted(Path("var").glob("archive/*")) == archives


def test_it_is_refused_beside_a_migration(migrated: Path, here: Here) -> None:
    process = started(HOLDER, str(migrated))
    try:
        said = here("finish", migrated)
    finally:
        killed(process)
    assert (said.status, "another migration or copy is writing to" in said.err) == (1, True)


def test_on_postgresql_no_password_is_in_log_archive_or_notice(tmp_path: Path, here: Here, postgres_url: str) -> None:
    url = postgres_url.replace("postgres@", f"postgres:{PASSWORD}@")
    source = write_bank(tmp_path / "legacy.db")
    assert here("migrate", source, url).status == 0
    with web_server({"/hook": Reply()}) as server:
        said = here("finish", url, "--reindex", NOTIFY_WEBHOOK=f"{server.url}/hook")
    assert said.status == 0, said.err
    assert "REINDEX" in said.out
    assert told(server) == [("finish", "FINISHED")]
    [archive] = (tmp_path / "var" / "archive").glob("*.zst")
    with pa.input_stream(str(archive), compression="zstd") as stream:
        kept = stream.read().decode("latin-1")
    logs = "".join(path.read_text() for path in (tmp_path / "var" / "logs").iterdir())
    assert PASSWORD not in kept + logs + said.out + said.err + str(server.requests)
