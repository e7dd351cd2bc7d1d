"""The embedded server: reachable by every client, kept between runs, and gone with its process."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from accounts_migration.databases.embedded_postgres import embedded_postgres
from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError

KEEPER = """
import sys, time
from pathlib import Path
from accounts_migration.databases.embedded_postgres import embedded_postgres
with embedded_postgres(Path(sys.argv[1]), durable=False) as url:
    print(url, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="accounts-migration-tests-") as name:
        # run by root, the server has an account of its own, which must get there
        Path(name).chmod(0o711)
        yield Path(name)


def test_its_data_stay_between_runs_and_are_durable(folder: Path) -> None:
    for run in range(2):
        with embedded_postgres(folder / "server") as url, psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS visit (run integer)")
            connection.execute("INSERT INTO visit VALUES (%s)", (run,))
            assert connection.execute("SELECT count(*) FROM visit").fetchone() == (run + 1,)
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
            with open_target(url) as target:
                target.prepare()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_it_ends_with_a_killed_process(folder: Path) -> None:
    keeper = subprocess.Popen(  # noqa: S603  # this interpreter
        [sys.executable, "-c", KEEPER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert keeper.stdout is not None
    url = keeper.stdout.readline().strip()
    with (
        pytest.raises(MigrationError, match="Cannot start the embedded PostgreSQL"),
        embedded_postgres(folder),
    ):
        pass
    psycopg.connect(url).close()
    keeper.send_signal(signal.SIGKILL)
    keeper.communicate()
    for _ in range(100):
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the server runs on")
    with embedded_postgres(folder, durable=False) as again, psycopg.connect(again) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_that_is_shutting_down_is_told(folder: Path) -> None:
    # while a connection stands, the server waits for its end
    with embedded_postgres(folder / "server", durable=False) as url, psycopg.connect(url):
        about = folder / "server" / "cluster" / "postmaster.pid"
        os.kill(int(about.read_text().split()[0]), signal.SIGTERM)
        while "stopping" not in about.read_text():
            time.sleep(0.01)
        with pytest.raises(MigrationError, match="the server is shutting down"):
            open_target(url)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(MigrationError, match="Cannot lay out"),
        embedded_postgres(tmp_path / "file" / "server"),
    ):
        pass


def test_no_permission_of_a_folder_above_is_changed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with embedded_postgres(tmp_path / "server", durable=False) as url:
        psycopg.connect(url).close()
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    cluster = tmp_path / "server" / "cluster"
    assert cluster.resolve().stat().st_mode & 0o077 == 0
    if os.geteuid() == 0:
        # root's server cannot stand in a folder that is root's alone
        assert cluster.is_symlink()
        subprocess.run(["rm", "-rf", str(cluster.resolve())], check=True)  # noqa: S603, S607  # the folder made above
