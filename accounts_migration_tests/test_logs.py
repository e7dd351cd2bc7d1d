"""The log of each command: one file of its own, and nothing in it or on the terminal but what an asset says."""

import logging
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from accounts_migration.logs import NAME, migration_logger, start_log


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Close the log files after the test."""
    yield
    for handler in logging.getLogger(NAME).handlers:
        handler.close()
    logging.getLogger(NAME).handlers.clear()


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
    definitions = dg.Definitions(assets=[first, second, third], loggers={"console": migration_logger})
    run = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        raise_on_error=False, run_config={"loggers": {"console": {}}}
    )
    assert not run.success
    assert capsys.readouterr().err == "  said by an asset\n"
    assert [line.partition(" - ")[2] for line in log.read_text().splitlines()] == ["INFO - said by an asset"]
