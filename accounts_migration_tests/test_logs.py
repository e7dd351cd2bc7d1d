"""The log of each command: one file of its own, and nothing in it or on the terminal but what an asset says."""

import json
import logging
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from accounts_migration.jobs import RUN_TAG
from accounts_migration.logs import end_log, logs_of, note, run_id, start_log
from accounts_migration.runner import run_job
from accounts_migration_tests.commands import PASSWORD, Here, write_bank


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Close the log files after the test."""
    yield
    end_log()


def test_each_command_has_a_log_of_its_own_also_within_one_second(tmp_path: Path) -> None:
    paths = [start_log(tmp_path / "logs", quiet=True) for _ in range(20)]
    assert len(set(paths)) == 20
    assert sorted((tmp_path / "logs").iterdir()) == sorted(paths)
    assert {path.suffix for path in paths} == {".log"}
    seconds = {path.stem.partition("-")[0] for path in paths}
    for second in seconds:
        numbers = [path.stem.partition("-")[2] for path in paths if path.stem.startswith(second)]
        assert numbers == ["", *(str(number) for number in range(2, len(numbers) + 1))]


def test_a_log_is_its_owners_alone(tmp_path: Path) -> None:
    assert stat.S_IMODE(start_log(tmp_path, quiet=True).stat().st_mode) == 0o600


def test_two_processes_do_not_share_a_log(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from accounts_migration.logs import start_log\n"
        "sys.stdin.readline()\n"
        "for _ in range(50): print(start_log(pathlib.Path(sys.argv[1]), quiet=True))"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "logs")]
    processes = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603  # this interpreter
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    names = [line for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert (len(names), len(set(names))) == (100, 100)


def test_what_an_asset_says_is_told_and_what_dagster_says_of_its_steps_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @dg.asset
    def first(context: dg.AssetExecutionContext) -> None:
        context.log.info("said by an asset")
        raise dg.Failure("broken")

    @dg.asset(deps=[first])
    def second() -> None:
        """Is never reached."""

    @dg.asset(deps=[second])
    def third() -> None:
        """Is never reached, either."""

    log = start_log(tmp_path, quiet=False)
    with dg.instance_for_test() as instance:
        run = run_job(dg.Definitions(assets=[first, second, third]), instance, "__ASSET_JOB")
    assert not run.success
    assert capsys.readouterr().err == "  said by an asset\n"
    lines = [line.split(" - ", 2) for line in log.read_text().splitlines()]
    assert {run for _, run, _ in lines} == {run_id()}
    assert [said for _, _, said in lines[1:]] == [
        f'INFO - Started execution of run for "__ASSET_JOB". Dagster run {run.run_id}',
        "INFO - said by an asset",
        "ERROR - Execution of run for \"__ASSET_JOB\" failed. Steps failed: ['first']. Dagster run " + run.run_id,
    ]


LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ - (\d{8}_\d{6}-[0-9a-f]{6}) - (INFO|WARNING|ERROR) - .+")


def test_every_line_of_a_command_bears_its_run_id_as_do_its_dagster_runs_and_its_summary(
    tmp_path: Path, here: Here
) -> None:
    """And neither a password nor a person of the bank is in it."""
    source = write_bank(tmp_path / "legacy.db")
    assert here("migrate", source, "accounts.db", "--json", "summary.json", LOG_DIR="logs").status == 0
    [log] = (tmp_path / "logs").iterdir()
    text = log.read_text()
    lines = [LINE.fullmatch(line) for line in text.splitlines()]
    assert [line for line in lines if line is None] == []
    [run] = {line[1] for line in lines if line is not None}
    assert log.name == f"migration_{run.partition('-')[0]}.log"
    summary = json.loads((tmp_path / "summary.json").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path / "var" / "dagster")) as instance:
        tags = {one.run_id: one.tags[RUN_TAG] for one in instance.get_runs()}
    assert (summary["run_id"], tags) == (run, dict.fromkeys(summary["runs"], run))
    assert f"migrate: source {source}, target {tmp_path / 'accounts.db'}" in text
    assert text.splitlines()[-1].partition(" - INFO - ")[2].startswith("MIGRATED in ")
    assert [word for word in ("Byron", "BYRON", "Ada@", "ada@", "555-1815") if word in text] == []


def test_a_refusal_ends_the_log_without_its_password(tmp_path: Path, here: Here) -> None:
    source = write_bank(tmp_path / "legacy.db")
    url = f"postgresql://me:{PASSWORD}@127.0.0.1:1/accounts"
    said = here("migrate", source, url, LOG_DIR="logs")
    assert said.status == 1
    [log] = (tmp_path / "logs").iterdir()
    text = log.read_text()
    assert PASSWORD not in text + said.out + said.err
    assert f"migrate: source {source}, target postgresql://me@127.0.0.1:1/accounts" in text
    assert " - ERROR - Cannot connect to the database postgresql://me@127.0.0.1:1/accounts: " in text.splitlines()[-1]


def test_a_log_that_cannot_be_written_any_more_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    program = (
        "import logging, sys, pathlib, resource; from accounts_migration import logs\n"
        "logs.start_log(pathlib.Path(sys.argv[1]), quiet=True)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))\n"
        "for _ in range(50): logs.note('x' * 100)\n"
        "logs.end_log(); print('went on')"
    )
    done = subprocess.run(  # noqa: S603  # this interpreter
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    [log] = tmp_path.iterdir()
    assert (done.stdout, done.stderr) == (
        "went on\n",
        f"The log {log} cannot be written: [Errno 27] File too large. The run goes on\n",
    )


def test_a_traceback_does_not_reach_the_log(tmp_path: Path) -> None:
    log = start_log(tmp_path, quiet=True)
    try:
        raise ValueError("a row of Byron")
    except ValueError:
        logging.getLogger("accounts_migration").exception("it failed")
    assert log.read_text().splitlines()[-1].endswith(" - ERROR - it failed")


def test_what_is_noted_without_a_log_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    note("unheard", logging.ERROR)
    assert capsys.readouterr() == ("", "")
    assert run_id() is None


def test_logs_are_found_by_their_runs_and_links_are_not_followed(tmp_path: Path) -> None:
    logs = {}
    for _ in range(3):
        path = start_log(tmp_path, quiet=True)
        logs[str(run_id())] = path
    first, second, third = logs
    logs[second].rename(tmp_path / "elsewhere")
    logs[second].symlink_to(tmp_path / "elsewhere")
    assert set(logs_of(tmp_path, "/t.db", [third, second, first, "another"])) == {logs[first], logs[third]}


def test_logs_are_found_by_the_target_that_their_commands_name(tmp_path: Path, here: Here) -> None:
    """Also of a command that was refused before it launched anything."""
    assert here("report", "mine.db", LOG_DIR="logs").status == 1
    assert here("report", "other.db", LOG_DIR="logs").status == 1
    [log] = logs_of(tmp_path / "logs", str(tmp_path / "mine.db"), [])
    assert f"target {tmp_path / 'mine.db'}" in log.read_text()
