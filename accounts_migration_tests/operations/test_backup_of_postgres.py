"""A backup of PostgreSQL: passwords, roles and rights, and the server's own programs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.copies.postgres_programs import find_programs
from accounts_migration.databases.target import open_target, target_location
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.backup import (
    engine_of,
    list_backups,
    take_backup,
)
from accounts_migration_tests.commands import PASSWORD
from accounts_migration_tests.operations.backups import TAKE, names

_NUMBERS = count(1)


def test_a_server_that_is_not_there_is_told(backup_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="no server listens on that socket"):
        take_backup(f"postgresql://somebody@/accounts?host={tmp_path}", backup_dir)
    assert names(backup_dir) == []


@pytest.fixture
def guarded(postgres_url: str, run_sql: Any) -> Iterator[str]:
    """Return the URL, with a password, of a database that asks for it."""
    name = f"guarded_{next(_NUMBERS)}"
    database = postgres_url.rpartition("?")[0].rpartition("/")[2]
    run_sql(postgres_url, f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD '{PASSWORD}'")
    run_sql(postgres_url, f"ALTER DATABASE {database} OWNER TO {name}")
    [(place,)] = run_sql(postgres_url, "SELECT current_setting('hba_file')")
    rules = Path(place)
    before = rules.read_text()
    rules.write_text(f"local all {name} scram-sha-256\n{before}")
    run_sql(postgres_url, "SELECT pg_reload_conf()")
    try:
        yield postgres_url.replace("postgres@/", f"{name}:{PASSWORD}@/")
    finally:
        rules.write_text(before)
        run_sql(postgres_url, "SELECT pg_reload_conf()")


def a_pg_dump(path: Path, body: str) -> Path:
    """Write a program that does something before it becomes the real pg_dump, which its folder has, too."""
    real = find_programs(18, None)
    path.mkdir()
    for program in ("pg_restore", "psql"):
        (path / program).symlink_to(real.folder / program)
    script = path / "pg_dump"
    script.write_text(f'#!/bin/sh\n{body}\nexec {real.dump} "$@"\n')
    script.chmod(0o700)
    return script


def test_a_password_is_in_no_argument_and_no_file(guarded: str, backup_dir: Path, tmp_path: Path, bank: Any) -> None:
    with open_target(guarded) as target:
        target.prepare()
        bank.load_parents(target)
    words = tmp_path / "words"
    program = a_pg_dump(tmp_path / "bin", f'echo "$@" >> {words}')
    backup = take_backup(guarded, backup_dir, pg_dump=program)
    assert backup.restored
    assert ("--dbname=postgresql://guarded" in words.read_text(), PASSWORD in words.read_text()) == (True, False)
    assert PASSWORD not in (backup.folder / "backup.json").read_text()
    assert backup.target == target_location(guarded.replace(f":{PASSWORD}", ""))


def test_a_wrong_password_is_told(guarded: str, backup_dir: Path) -> None:
    with pytest.raises(MigrationError, match="the password or the user is wrong") as told:
        take_backup(guarded.replace(PASSWORD, "another-4712"), backup_dir)
    assert "4712" not in str(told.value)
    assert names(backup_dir) == []


def test_a_killed_backup_looks_like_none_and_the_next_one_clears_it_away(
    postgres_url: str, backup_dir: Path, tmp_path: Path, bank: Any
) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
        bank.load_parents(target)
    program = a_pg_dump(tmp_path / "bin", f"touch {tmp_path}/dumping; sleep 60")
    process = subprocess.Popen([sys.executable, "-c", TAKE, postgres_url, str(backup_dir), str(program)])  # noqa: S603
    while not (tmp_path / "dumping").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert ([name.startswith(".partial-") for name in names(backup_dir)], list_backups(backup_dir)) == ([True], [])
    backup = take_backup(postgres_url, backup_dir)
    assert names(backup_dir) == [backup.backup_id]


def test_a_role_without_the_right_to_a_scratch_database_has_its_backup_read_through(
    postgres_url: str, backup_dir: Path, bank: Any, run_sql: Any
) -> None:
    name = f"clerk_{next(_NUMBERS)}"
    database = postgres_url.rpartition("?")[0].rpartition("/")[2]
    run_sql(postgres_url, f"CREATE ROLE {name} LOGIN", f"ALTER DATABASE {database} OWNER TO {name}")
    clerk = postgres_url.replace("postgres@/", f"{name}@/")
    with open_target(clerk) as target:
        target.prepare()
        bank.load_parents(target)
    backup = take_backup(clerk, backup_dir)
    assert (backup.state, backup.restored, "CREATEDB" in backup.remark) == ("data", False, True)
    assert backup.figures.tables["account"].rows == 3


def test_a_table_that_the_role_may_not_read_is_named(postgres_url: str, backup_dir: Path, run_sql: Any) -> None:
    name = f"reader_{next(_NUMBERS)}"
    statements = ("CREATE SCHEMA audit", "CREATE TABLE audit.entry (words text)", f"CREATE ROLE {name} LOGIN")
    run_sql(postgres_url, *statements)
    reader = postgres_url.replace("postgres@/", f"{name}@/")
    with pytest.raises(MigrationError, match=r"this role may not read audit\.entry\. Grant it SELECT there"):
        take_backup(reader, backup_dir)
    run_sql(postgres_url, f"GRANT USAGE ON SCHEMA audit TO {name}", f"GRANT SELECT ON audit.entry TO {name}")
    backup = take_backup(reader, backup_dir)
    assert {table: one.rows for table, one in backup.figures.tables.items()} == {"audit.entry": 0}


def test_a_schema_that_is_not_there_is_not_taken_for_an_empty_one(postgres_url: str, backup_dir: Path) -> None:
    mistyped = f"{postgres_url}&options=-csearch_path%3Dnowhere"
    with pytest.raises(MigrationError, match="no schema is selected"):
        take_backup(mistyped, backup_dir)
    assert names(backup_dir) == []
    with pytest.raises(MigrationError, match="no schema is selected"), engine_of(mistyped, None).lock():
        pass


def test_a_server_that_lets_the_role_into_the_target_alone_has_the_backup_read_through(
    guarded: str, backup_dir: Path, bank: Any, run_sql: Any, postgres_url: str
) -> None:
    with open_target(guarded) as target:
        target.prepare()
        bank.load_parents(target)
    [(place,)] = run_sql(postgres_url, "SELECT current_setting('hba_file')")
    rules = Path(place)
    first, _, rest = rules.read_text().partition("\n")
    _, _, role, how = first.split()
    database = postgres_url.rpartition("?")[0].rpartition("/")[2]
    rules.write_text(f"local {database} {role} {how}\nlocal all {role} reject\n{rest}")
    run_sql(postgres_url, "SELECT pg_reload_conf()")
    backup = take_backup(guarded, backup_dir)
    assert (backup.restored, "may not enter a scratch database" in backup.remark) == (False, True)


def test_a_pg_dump_older_than_the_server_is_refused_and_the_version_named(
    postgres_url: str, backup_dir: Path, tmp_path: Path, bank: Any
) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.22 (Debian 12.22-1)'\n")
    old.chmod(0o700)
    with pytest.raises(UsageError) as told:
        take_backup(postgres_url, backup_dir, pg_dump=old)
    assert str(told.value) == (
        f"Cannot use PG_DUMP={old}: it is of version 12, and the server is PostgreSQL 18."
        " Name a pg_dump of version 18 or newer"
    )
    with pytest.raises(UsageError, match="it is no pg_dump that runs"):
        take_backup(postgres_url, backup_dir, pg_dump=tmp_path / "missing")
    with pytest.raises(MigrationError, match=r"There is no pg_dump for PostgreSQL 99: .*postgresql-client-99"):
        find_programs(99, None)
    assert names(backup_dir) == []


def test_pg_dump_may_be_named_as_a_link_or_by_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = a_pg_dump(tmp_path / "bin", "true")
    (tmp_path / "bin" / "linked").symlink_to(find_programs(18, None).dump)
    linked = find_programs(18, tmp_path / "bin" / "linked")
    assert (linked.folder, linked.restore.exists()) == (tmp_path / "bin", True)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert find_programs(18, Path("pg_dump")).dump == program
