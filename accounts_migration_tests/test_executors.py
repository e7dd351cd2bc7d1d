"""The log of a run that Dagster launched: one file each, however it was launched."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.definitions import build_defs, work_of
from accounts_migration.errors import MigrationError
from accounts_migration.executors import logged_executor
from accounts_migration.instance import prepare_instance
from accounts_migration.jobs import RUN_TAG
from accounts_migration.logs import end_log, logs_of, note, start_log
from accounts_migration.runner import run_job
from accounts_migration.settings import Settings
from accounts_migration_tests.commands import environment, write_bank

IMPLICIT = "__ASSET_JOB"


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Close the log files after the test."""
    yield
    end_log()


@dg.asset
def spoken(context: dg.AssetExecutionContext) -> None:
    """Say something in two ways."""
    context.log.info("first line\nsecond line")
    context.log.debug("not for everybody")
    note("noted")


@dg.asset
def launching(context: dg.AssetExecutionContext) -> None:
    """Launch a run, as the approaches do."""
    run_job(dg.Definitions(assets=[spoken]), context.instance, IMPLICIT)


Launch = Callable[..., dg.DagsterRun]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Return a function that materializes an asset as Dagster does it in the process of a run, logging into `logs`."""
    with dg.instance_for_test() as instance:

        def launched(
            asset: dg.AssetsDefinition, tags: Mapping[str, str] | None = None, config: Mapping[str, Any] | None = None
        ) -> dg.DagsterRun:
            definitions = dg.Definitions(
                assets=[asset],
                executor=logged_executor(tmp_path / "logs", lambda _: (Path("legacy.db"), "/srv/target.db")),
            )
            job = definitions.resolve_job_def(IMPLICIT)
            run = instance.create_run_for_job(job, tags=tags, run_config=config)
            execute_run(InMemoryJob(job), run, instance)
            [other] = [one for one in instance.get_runs() if one.run_id == run.run_id]
            return other

        yield launched


def lines(log: Path) -> list[str]:
    """Return the lines of a log without their times."""
    return [line.split("Z - ", 1)[1] for line in log.read_text().splitlines()]


@pytest.mark.parametrize("config", [{}, {"loggers": {"console": {}}}])
def test_a_run_has_one_log_with_its_id_on_every_line(config: dict[str, Any], tmp_path: Path, launch: Launch) -> None:
    """Also where somebody configures Dagster's own logger."""
    run = launch(spoken, config=config)
    assert run.status == dg.DagsterRunStatus.SUCCESS
    [log] = (tmp_path / "logs").iterdir()
    assert re.fullmatch(r"migration_\d{8}_\d{6}\.log", log.name)
    [head, *rest] = lines(log)
    assert head.startswith(f"{run.run_id} - INFO - accounts-migration ")
    assert rest == [
        f"{run.run_id} - INFO - __ASSET_JOB: source legacy.db, target /srv/target.db",
        f'{run.run_id} - INFO - Started execution of run for "__ASSET_JOB". Dagster run {run.run_id}',
        f"{run.run_id} - INFO - first line second line",
        f"{run.run_id} - INFO - noted",
        f'{run.run_id} - INFO - Finished execution of run for "__ASSET_JOB". Dagster run {run.run_id}',
    ]


def test_each_run_has_a_log_of_its_own_which_is_found_by_its_id_and_its_target(tmp_path: Path, launch: Launch) -> None:
    """A run that bears the id of the command that launched it first bears it again."""
    runs = [launch(spoken), launch(spoken, tags={RUN_TAG: "given"})]
    found = [list(logs_of(tmp_path / "logs", "/other.db", [one])) for one in (runs[0].run_id, "given")]
    assert [len(one) for one in found] == [1, 1]
    assert found[0] != found[1]
    assert sorted(found[0] + found[1]) == list(logs_of(tmp_path / "logs", "/srv/target.db", []))


def test_the_runs_that_a_run_launches_share_its_log_and_its_id(
    tmp_path: Path, launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = launch(launching)
    [log] = (tmp_path / "logs").iterdir()
    said = lines(log)
    assert {line.partition(" - ")[0] for line in said} == {run.run_id}
    assert [line.partition(" - INFO - ")[2].partition(" Dagster run ")[0] for line in said[2:]] == [
        'Started execution of run for "__ASSET_JOB".',
        'Started execution of run for "__ASSET_JOB".',
        "first line second line",
        "noted",
        'Finished execution of run for "__ASSET_JOB".',
        'Finished execution of run for "__ASSET_JOB".',
    ]
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("  ")] == [
        "  first line second line"
    ]


def test_a_failed_run_is_told_without_the_words_of_its_error(tmp_path: Path, launch: Launch) -> None:
    @dg.asset
    def broken() -> None:
        raise ValueError("a row of Byron")

    run = launch(broken)
    assert run.status == dg.DagsterRunStatus.FAILURE
    [log] = (tmp_path / "logs").iterdir()
    fault, failed = lines(log)[3:]
    assert fault.startswith(f"{run.run_id} - ERROR - A fault of this program, ValueError at File ")
    assert failed == (
        f"{run.run_id} - ERROR - Execution of run for \"__ASSET_JOB\" failed. Steps failed: ['broken']."
        f" Dagster run {run.run_id}"
    )
    assert "Byron" not in log.read_text()


def test_a_refusal_stands_in_the_log_as_it_does_in_the_ui(tmp_path: Path, launch: Launch) -> None:
    @dg.asset
    def refused() -> None:
        with failing_clearly():
            raise MigrationError("Cannot go on", why="it is late", remedy="Come back tomorrow")

    run = launch(refused)
    [log] = (tmp_path / "logs").iterdir()
    assert lines(log)[3:] == [
        f"{run.run_id} - ERROR - Cannot go on: it is late. Come back tomorrow",
        f"{run.run_id} - ERROR - Execution of run for \"__ASSET_JOB\" failed. Steps failed: ['refused']."
        f" Dagster run {run.run_id}",
    ]


def test_a_run_without_a_place_for_its_log_fails_before_its_first_step(
    tmp_path: Path, launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").touch()
    assert launch(spoken).status == dg.DagsterRunStatus.FAILURE
    said = capsys.readouterr().err
    assert f"Cannot write a log into {tmp_path / 'logs'}" in said
    assert "first line" not in said


def test_every_job_of_ours_runs_in_one_process_and_keeps_a_log(tmp_path: Path) -> None:
    settings = Settings(source_db=tmp_path / "legacy.db", target_db=str(tmp_path / "t.db"), migration_home=tmp_path)
    jobs = build_defs(settings=settings).get_repository_def().get_all_jobs()
    assert {IMPLICIT, "load", "big_bang", "rollback"} <= {job.name for job in jobs}
    assert {job.executor_def.name for job in jobs} == {"in_process_with_log"}


def test_a_run_does_not_write_into_the_log_of_the_one_before(tmp_path: Path, launch: Launch) -> None:
    before = start_log(tmp_path / "logs", quiet=True)
    text = before.read_text()
    launch(spoken)
    assert before.read_text() == text
    assert len(list((tmp_path / "logs").iterdir())) == 2


def variables_of(folder: Path) -> dict[str, str]:
    """Return the environment of a migration in the folder."""
    source = write_bank(folder / "legacy.db")
    return environment(
        SOURCE_DB=str(source),
        TARGET_DB=str(folder / "accounts.db"),
        MIGRATION_HOME=str(folder / "var"),
        LOG_DIR=str(folder / "logs"),
        DAGSTER_HOME=str(folder / "dagster"),
        PYTHONWARNINGS="ignore",
    )


def dagster(*words: str) -> list[str]:
    """Return the command that starts one of Dagster's programs on our definitions."""
    program, *rest = words
    return [str(Path(sys.executable).with_name(program)), *rest, "-m", "accounts_migration.definitions"]


def refuse_personal_data(log: Path) -> None:
    """Fail where the bank's customers are in the log."""
    text = log.read_text().lower()
    assert [word for word in ("byron", "hopper", "ada@", "555-1815") if word in text] == []


def test_what_is_materialized_from_the_shell_has_a_log(tmp_path: Path) -> None:
    """Also on an instance that somebody else configured."""
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    words = dagster("dagster", "asset", "materialize", "--select", "legacy/snapshot")
    subprocess.run(words, env=variables_of(tmp_path), cwd=tmp_path, check=True, capture_output=True, timeout=120)  # noqa: S603
    [log] = (tmp_path / "logs").iterdir()
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        [run] = instance.get_runs()
    assert {line.partition(" - ")[0] for line in lines(log)} == {run.run_id}
    assert lines(log)[-1].startswith(f'{run.run_id} - INFO - Finished execution of run for "__ASSET_JOB".')
    refuse_personal_data(log)


@contextmanager
def started(words: list[str], variables: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Run a program, with all that it starts, for the block."""
    with (folder / f"{Path(words[0]).name}.txt").open("wb") as said:
        process = subprocess.Popen(  # noqa: S603  # Dagster's own programs
            words, env=variables, cwd=folder, stdout=said, stderr=said, start_new_session=True
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def asked(port: int, query: str, **variables: object) -> dict[str, Any]:
    """Ask the webserver, as the UI does; until it is up."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(  # our own server
        f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # our own server
                data: dict[str, Any] = json.load(answer)["data"]
                return data
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


LAUNCH = """
mutation ($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector, runConfigData: {}}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""


def test_what_is_materialized_in_the_ui_has_a_log(tmp_path: Path) -> None:
    variables = variables_of(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        prepare_instance(tmp_path / "dagster", is_ours=True)
    # laid out by one program: two that do it at once may meet, and one of them ends
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        assert instance.get_runs() == []
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    webserver = dagster("dagster-webserver", "-h", "127.0.0.1", "-p", str(port))
    selector = {
        "repositoryLocationName": "accounts_migration.definitions",
        "repositoryName": "__repository__",
        "pipelineName": IMPLICIT,
        "assetSelection": [{"path": ["legacy", "snapshot"]}],
    }
    with started(webserver, variables, tmp_path), started(dagster("dagster-daemon", "run"), variables, tmp_path):
        launched = asked(port, LAUNCH, selector=selector)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run = launched["run"]["runId"]
        status, deadline = "", time.monotonic() + 90
        while status not in ("SUCCESS", "FAILURE") and time.monotonic() < deadline:
            time.sleep(0.2)
            status = asked(port, "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run)[
                "runOrError"
            ]["status"]
    assert status == "SUCCESS"
    [log] = (tmp_path / "logs").iterdir()
    assert {line.partition(" - ")[0] for line in lines(log)} == {run}
    assert lines(log)[1].endswith(f" - __ASSET_JOB: source {tmp_path / 'legacy.db'}, target {tmp_path / 'accounts.db'}")
    assert lines(log)[-1].startswith(f'{run} - INFO - Finished execution of run for "__ASSET_JOB".')
    refuse_personal_data(log)


def test_a_log_names_the_databases_that_its_run_works_on(tmp_path: Path) -> None:
    """A copy works on COPY_FROM and COPY_TO, all else on SOURCE_DB and TARGET_DB; passwords are left out."""
    chosen = Settings(
        source_db=tmp_path / "legacy.db",
        target_db="postgresql://me:secret@host/accounts",
        copy_from="postgresql://me:secret@host/accounts",
        copy_to=str(tmp_path / "to.db"),
    )
    migration = (tmp_path / "legacy.db", "postgresql://me@host/accounts")
    copy = ("postgresql://me@host/accounts", str(tmp_path / "to.db"))
    by_hand = dg.AssetKey(["platform", "account"]), dg.AssetKey(["target", "account"])

    def found(job: str, *assets: dg.AssetKey) -> object:
        return work_of(chosen, dg.DagsterRun(job, asset_selection=frozenset(assets) or None))

    assert [found(job) for job in ("load", "copy", "copy_all_tables")] == [migration, copy, copy]
    assert [found(IMPLICIT, by_hand[0]), found(IMPLICIT, *by_hand)] == [copy, migration]
