"""Fixtures that several test modules share: a real PostgreSQL server, fresh targets, and what is loaded into them.

Here: what is needed to stand before a test begins. Not here: the banks (`canonical_bank.py`, `legacy_bank.py`) and
the migration of one (`migrations.py`) themselves, or anything that is asserted.
"""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from accounts_migration.databases.embedded_postgres import embedded_postgres
from accounts_migration.databases.target import Target, open_target
from accounts_migration.program import app_main
from accounts_migration_tests.canonical_bank import Bank
from accounts_migration_tests.commands import SETTING_NAMES, Here, Said
from accounts_migration_tests.legacy_bank import legacy_rows, write_legacy
from accounts_migration_tests.migrations import open_migration

_NUMBERS = count(1)

_IN_MEMORY = Path("/dev/shm")  # noqa: S108  # Linux's file system in memory, if it has one
_BYTES_ENOUGH = 2 * 2**30


def pytest_configure() -> None:
    """Let the tests' folders be in memory where there is room, and let the commands that they start hear Ctrl-C.

    A slow disk is half of the tests' time, and proves nothing. What the tests kill is processes, and what a process has
    written stays without a disk, too. PostgreSQL's data stay on the disk: they are large, and its test server does not
    wait for it.
    """
    # a shell that starts them in the background lets them ignore Ctrl-C, and so would every command under test
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free >= _BYTES_ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays: the libraries, the definitions and the tests themselves."""
    gc.collect()
    gc.freeze()
    # as the command line has it
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Run one PostgreSQL server for the whole session; yields the URL of its database `accounts`."""
    folder = Path(tempfile.mkdtemp(prefix="accounts-migration-tests-"))
    # run by root, the server has an account of its own, which must get there
    folder.chmod(0o711)
    try:
        with embedded_postgres(folder, durable=False) as url:
            yield url
    finally:
        shutil.rmtree(folder)


def run_sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements on a target, each committed, and return the rows of the last."""
    rows: list[tuple[Any, ...]] = []
    with open_target(url) as target:
        for statement in statements:
            rows = target.session.execute(statement)
    return rows


@pytest.fixture(name="run_sql", scope="session")
def run_sql_fixture() -> Any:
    """Return the function `run_sql(url, *statements)`."""
    return run_sql


@pytest.fixture(scope="session")
def new_database(postgres_server: str) -> Callable[..., str]:
    """Return a function (template) -> the URL of a new database, which is empty where no template is named."""

    def created(template: str = "template0") -> str:
        name = f"test_{next(_NUMBERS)}"
        # not as a target: to open one takes longer than to make a database
        with psycopg.connect(postgres_server, autocommit=True) as server:
            server.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return postgres_server.replace("/accounts?", f"/{name}?")

    return created


@pytest.fixture
def postgres_url(new_database: Callable[..., str]) -> str:
    """Create an empty PostgreSQL database and return its URL."""
    return new_database()


@pytest.fixture
def quoted_schema_url(postgres_url: str) -> str:
    """Return the URL of an empty PostgreSQL database whose current schema has a name that must be quoted."""
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    run_sql(
        postgres_url,
        'CREATE SCHEMA "The ""Bank"""',
        f'ALTER DATABASE {name} SET search_path = "The ""Bank""", public',
    )
    return postgres_url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the path of a target that is not there yet."""
    return str(tmp_path / "target.db")


@pytest.fixture(params=["sqlite_url", "postgres_url"], ids=["sqlite", "postgresql"])
def target_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty target, once for each engine."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def target(target_url: str) -> Iterator[Target]:
    """Open an empty target with its tables, once for each engine."""
    with open_target(target_url) as opened:
        opened.prepare()
        yield opened


@pytest.fixture
def bank() -> Bank:
    """Return the sample bank."""
    return Bank()


@pytest.fixture(scope="session")
def new_target(new_database: Callable[..., str]) -> Callable[[str, Path], str]:
    """Return a function (engine, folder) -> the URL of an empty target."""

    def create(engine: str, folder: Path) -> str:
        if engine == "sqlite":
            return str(folder / f"target_{next(_NUMBERS)}.db")
        return new_database()

    return create


@pytest.fixture(scope="session")
def copy_postgres(new_database: Callable[..., str]) -> Callable[[str], str]:
    """Return a function URL -> the URL of a new database of the same content."""

    def copied(url: str) -> str:
        return new_database(url.rpartition("?")[0].rpartition("/")[2])

    return copied


@pytest.fixture(name="open_migration", scope="session")
def open_migration_fixture() -> Callable[..., Any]:
    """Return the context manager `open_migration(folder, target, rows, policies)`."""
    return open_migration


@pytest.fixture(name="new_legacy_rows", scope="session")
def new_legacy_rows_fixture() -> Callable[[], dict[str, list[tuple[Any, ...]]]]:
    """Return the function `legacy_rows()`: rows to be changed and given to `open_migration`."""
    return legacy_rows


@pytest.fixture(name="write_legacy", scope="session")
def write_legacy_fixture() -> Callable[..., Path]:
    """Return the function `write_legacy(path, rows)`."""
    return write_legacy


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
