"""Backups: one consistent state of the target, proved by restoring it, whole or not there at all."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.copies.figures import Migrated
from accounts_migration.databases.copies.postgres_programs import find_programs
from accounts_migration.databases.target import open_target, target_location
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.backup import (
    Backup,
    backup_before,
    find_backup,
    forget_old_backups,
    list_backups,
    take_backup,
    verify_backup,
)
from accounts_migration_tests.commands import PASSWORD

_NUMBERS = count(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def loaded(target_url: str, bank: Any) -> str:
    """Return a target with 2 products, 2 customers, 3 accounts, 40 transactions and a table of somebody else."""
    with open_target(target_url) as target:
        target.prepare()
        bank.load_parents(target)
        bank.load(target, "transaction", bank.transaction(*range(1, 41)), "2024-03")
        target.constrain()
        target.session.execute("CREATE TABLE note (words text, place int)")
        target.session.execute("INSERT INTO note VALUES ('one', 1), (NULL, NULL)")
    return target_url


def rights(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_target_that_is_not_there_yet_costs_nearly_nothing(target_url: str, folder: Path) -> None:
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        backup = take_backup(target_url, folder)
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.15
    state, words = ("empty", "the target was empty") if "://" in target_url else ("nothing", "nothing stood there")
    assert (backup.state, str(backup), backup.path, backup.sha256) == (state, words, None, "")
    assert names(backup.folder) == ["backup.json"]
    assert verify_backup(backup, target_url).restored
    if state == "nothing":
        assert not Path(target_url).exists()


def test_a_backup_holds_one_state_and_tells_it(loaded: str, folder: Path) -> None:
    backup = take_backup(loaded, folder)
    assert backup.path is not None
    assert (backup.state, backup.restored, backup.target) == ("data", True, target_location(loaded))
    figures = {name: (one.rows, one.totals) for name, one in backup.figures.tables.items()}
    assert figures == {
        "product": (
            2,
            {
                "interest_rate": 5_000_000,
                "transaction_fee": 100,
                "monthly_fee": 600,
                "min_balance_for_interest": 20_000,
            },
        ),
        "customer": (2, {}),
        "account": (3, {"balance": 300}),
        "transaction": (40, {"amount": 49_360, "balance_after": -200}),
        "migration_snapshot": (1, {}),
        "migration_batch": (4, {}),
        "migration_batch_row": (0, {}),
        "migration_defect": (0, {}),
        "copy_snapshot": (0, {}),
        "copy_batch": (0, {}),
        "copy_batch_row": (0, {}),
        "copy_defect": (0, {}),
        "alembic_version": (1, {}),
        "note": (2, {}),
    }
    assert backup.figures.migrated is not None
    assert backup.figures.migrated.is_same(Migrated("snapshot-1", "policies-1", ""))
    assert backup.sha256 == hashlib.sha256(backup.path.read_bytes()).hexdigest()
    assert backup.size == backup.path.stat().st_size
    assert (rights(folder), rights(backup.folder)) == ("0o700", "0o700")
    assert {rights(path) for path in backup.folder.iterdir()} == {"0o600"}
    assert names(backup.folder) == ["backup.json", backup.path.name]
    assert list_backups(folder) == [backup]


def test_what_is_restored_is_what_was_backed_up(loaded: str, folder: Path, run_sql: Any) -> None:
    """A backup is of its time: what happens in the target later does not matter to it."""
    backup = take_backup(loaded, folder)
    run_sql(loaded, 'DELETE FROM "transaction"', "UPDATE note SET words = 'two'")
    verified = verify_backup(backup, loaded)
    assert (verified.figures, verified.restored) == (backup.figures, True)
    later = take_backup(loaded, folder)
    assert backup.figures.differences(later.figures) == [
        "table note has other rows",
        "table transaction has 0 rows, not 40",
    ]
    if "://" in loaded:
        scratches = run_sql(loaded, "SELECT count(*) FROM pg_database WHERE datname LIKE 'accounts_migration_scratch%'")
        assert scratches == [(0,)]


def test_a_backup_that_was_changed_is_not_used(loaded: str, folder: Path) -> None:
    backup = take_backup(loaded, folder)
    assert backup.path is not None
    content = bytearray(backup.path.read_bytes())
    content[-1] ^= 1
    backup.path.write_bytes(content)
    with pytest.raises(MigrationError, match="its sha256 is not the one of the manifest"):
        verify_backup(backup, loaded)
    backup.path.write_bytes(content[:-1])
    assert list_backups(folder) == []
    backup.path.unlink()
    with pytest.raises(MigrationError, match="No such file or directory"):
        verify_backup(backup, loaded)


def test_a_manifest_that_tells_other_figures_is_found_out(loaded: str, folder: Path) -> None:
    backup = take_backup(loaded, folder)
    manifest = backup.folder / "backup.json"
    entries = json.loads(manifest.read_text())
    entries["figures"]["tables"]["account"]["totals"]["balance"] += 1
    manifest.write_text(json.dumps(entries))
    with pytest.raises(MigrationError, match="table account has other totals of balance"):
        verify_backup(list_backups(folder)[0], loaded)


WRITER = """
import sys
from accounts_migration.databases.target import open_target
with open_target(sys.argv[1]) as target:
    session = target.session
    for place in range(100_000):
        with session.transaction():
            session.execute(f"INSERT INTO note VALUES ('{'x' * 500}', {place})")
            session.execute(f"INSERT INTO echo VALUES ('{'x' * 500}', {place})")
        if place == 0:
            print("writing", flush=True)
"""


def test_a_target_that_is_written_to_meanwhile_is_backed_up_in_one_state(
    loaded: str, folder: Path, run_sql: Any
) -> None:
    run_sql(loaded, "CREATE TABLE echo (words text, place int)", "DELETE FROM note")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, loaded], stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        backups = [take_backup(loaded, folder) for _ in range(3)]
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.communicate()
    notes, echoes = ([one.figures.tables[table].rows for one in backups] for table in ("note", "echo"))
    assert (notes, notes[0] > 0, notes == sorted(notes)) == (echoes, True, True)


def test_two_backups_at_once_are_both_whole(loaded: str, folder: Path) -> None:
    with ThreadPoolExecutor(2) as both:
        backups = list(both.map(lambda _: take_backup(loaded, folder), range(2)))
    assert len({backup.backup_id for backup in backups}) == 2
    assert backups[0].figures == backups[1].figures
    assert names(folder) == sorted(backup.backup_id for backup in backups)


TAKE = """
import sys
from pathlib import Path
from accounts_migration.errors import MigrationError
from accounts_migration.operations.backup import take_backup
try:
    take_backup(sys.argv[1], Path(sys.argv[2]), pg_dump=Path(sys.argv[3]) if sys.argv[3:] else None)
except MigrationError as error:
    sys.exit(str(error))
"""


def test_a_full_disk_is_told_and_leaves_nothing(loaded: str, folder: Path, run_sql: Any) -> None:
    run_sql(loaded, "CREATE TABLE large (words text)")
    # of letters that do not compress well
    run_sql(loaded, *(f"INSERT INTO large VALUES ('{os.urandom(25_000).hex()}')" for _ in range(4)))  # noqa: S608
    limited = ["/bin/sh", "-c", 'ulimit -f 100; exec "$@"', "limited"]
    words = [*limited, sys.executable, "-c", TAKE, loaded, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, names(folder)) == (1, [])
    if "://" in loaded:
        assert "pg_dump was ended by SIGXFSZ. The file grew larger than this user may write" in done.stderr
    else:
        assert f"Cannot write a backup of {loaded} into {folder}" in done.stderr
        assert "Free disk space" in done.stderr


def test_a_folder_that_cannot_be_written_is_told(loaded: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MigrationError, match=r"into .*/file/backups: Not a directory\. Free disk space, or name"):
        take_backup(loaded, tmp_path / "file" / "backups")


def test_a_file_that_is_no_database_is_told(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "target.db"
    path.write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(MigrationError, match="it is not a SQLite database"):
        take_backup(str(path), folder)
    assert names(folder) == []


def test_a_damaged_file_is_not_a_good_backup(tmp_path: Path, folder: Path, new_target: Any, bank: Any) -> None:
    path = Path(new_target("sqlite", tmp_path))
    with open_target(str(path)) as target:
        target.prepare()
        bank.load_parents(target)
        bank.load(target, "transaction", bank.transaction(*range(1, 2000)), "2024-03")
        target.constrain()
    content = bytearray(path.read_bytes())
    content[-3 * 4096 : -2 * 4096] = b"\x00" * 4096
    path.write_bytes(content)
    with pytest.raises(MigrationError, match=r"is not whole: integrity_check found|the file is damaged"):
        take_backup(str(path), folder)
    assert list_backups(folder) == []


def test_a_server_that_is_not_there_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="no server listens on that socket"):
        take_backup(f"postgresql://somebody@/accounts?host={tmp_path}", folder)
    assert names(folder) == []


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


def test_a_password_is_in_no_argument_and_no_file(guarded: str, folder: Path, tmp_path: Path, bank: Any) -> None:
    with open_target(guarded) as target:
        target.prepare()
        bank.load_parents(target)
    words = tmp_path / "words"
    program = a_pg_dump(tmp_path / "bin", f'echo "$@" >> {words}')
    backup = take_backup(guarded, folder, pg_dump=program)
    assert backup.restored
    assert ("--dbname=postgresql://guarded" in words.read_text(), PASSWORD in words.read_text()) == (True, False)
    assert PASSWORD not in (backup.folder / "backup.json").read_text()
    assert backup.target == target_location(guarded.replace(f":{PASSWORD}", ""))


def test_a_wrong_password_is_told(guarded: str, folder: Path) -> None:
    with pytest.raises(MigrationError, match="the password or the user is wrong") as told:
        take_backup(guarded.replace(PASSWORD, "another-4712"), folder)
    assert "4712" not in str(told.value)
    assert names(folder) == []


def test_a_killed_backup_looks_like_none_and_the_next_one_clears_it_away(
    postgres_url: str, folder: Path, tmp_path: Path, bank: Any
) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
        bank.load_parents(target)
    program = a_pg_dump(tmp_path / "bin", f"touch {tmp_path}/dumping; sleep 60")
    process = subprocess.Popen([sys.executable, "-c", TAKE, postgres_url, str(folder), str(program)])  # noqa: S603
    while not (tmp_path / "dumping").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert ([name.startswith(".partial-") for name in names(folder)], list_backups(folder)) == ([True], [])
    backup = take_backup(postgres_url, folder)
    assert names(folder) == [backup.backup_id]


def test_a_role_without_the_right_to_a_scratch_database_has_its_backup_read_through(
    postgres_url: str, folder: Path, bank: Any, run_sql: Any
) -> None:
    name = f"clerk_{next(_NUMBERS)}"
    database = postgres_url.rpartition("?")[0].rpartition("/")[2]
    run_sql(postgres_url, f"CREATE ROLE {name} LOGIN", f"ALTER DATABASE {database} OWNER TO {name}")
    clerk = postgres_url.replace("postgres@/", f"{name}@/")
    with open_target(clerk) as target:
        target.prepare()
        bank.load_parents(target)
    backup = take_backup(clerk, folder)
    assert (backup.state, backup.restored, "CREATEDB" in backup.remark) == ("data", False, True)
    assert backup.figures.tables["account"].rows == 3


def test_a_table_that_the_role_may_not_read_is_named(postgres_url: str, folder: Path, run_sql: Any) -> None:
    name = f"reader_{next(_NUMBERS)}"
    statements = ("CREATE SCHEMA audit", "CREATE TABLE audit.entry (words text)", f"CREATE ROLE {name} LOGIN")
    run_sql(postgres_url, *statements)
    reader = postgres_url.replace("postgres@/", f"{name}@/")
    with pytest.raises(MigrationError, match=r"this role may not read audit\.entry\. Grant it SELECT there"):
        take_backup(reader, folder)
    run_sql(postgres_url, f"GRANT USAGE ON SCHEMA audit TO {name}", f"GRANT SELECT ON audit.entry TO {name}")
    backup = take_backup(reader, folder)
    assert {table: one.rows for table, one in backup.figures.tables.items()} == {"audit.entry": 0}


def test_a_server_that_lets_the_role_into_the_target_alone_has_the_backup_read_through(
    guarded: str, folder: Path, bank: Any, run_sql: Any, postgres_url: str
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
    backup = take_backup(guarded, folder)
    assert (backup.restored, "may not enter a scratch database" in backup.remark) == (False, True)


def test_a_pg_dump_older_than_the_server_is_refused_and_the_version_named(
    postgres_url: str, folder: Path, tmp_path: Path, bank: Any
) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.22 (Debian 12.22-1)'\n")
    old.chmod(0o700)
    with pytest.raises(UsageError) as told:
        take_backup(postgres_url, folder, pg_dump=old)
    assert str(told.value) == (
        f"Cannot use PG_DUMP={old}: it is of version 12, and the server is PostgreSQL 18."
        " Name a pg_dump of version 18 or newer"
    )
    with pytest.raises(UsageError, match="it is no pg_dump that runs"):
        take_backup(postgres_url, folder, pg_dump=tmp_path / "missing")
    with pytest.raises(MigrationError, match=r"There is no pg_dump for PostgreSQL 99: .*postgresql-client-99"):
        find_programs(99, None)
    assert names(folder) == []


def test_pg_dump_may_be_named_as_a_link_or_by_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = a_pg_dump(tmp_path / "bin", "true")
    (tmp_path / "bin" / "linked").symlink_to(find_programs(18, None).dump)
    linked = find_programs(18, tmp_path / "bin" / "linked")
    assert (linked.folder, linked.restore.exists()) == (tmp_path / "bin", True)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert find_programs(18, Path("pg_dump")).dump == program


def test_what_is_no_whole_backup_is_passed_over(loaded: str, folder: Path) -> None:
    backup = take_backup(loaded, folder)
    shutil.copytree(backup.folder, folder / "target-20990101T000000.000000Z-00000000")
    (folder / "target-20990101T000000.000000Z-00000000" / "backup.json").write_text('{"folder": 1}')
    (folder / "target-20990102T000000.000000Z-00000000").mkdir()
    (folder / "20990103T000000.000000Z-00000000").mkdir()
    assert list_backups(folder) == [backup]
    assert list_backups(folder, backup.target)[0] == backup
    assert list_backups(folder, "/another/target.db") == []
    assert find_backup(folder, backup.target, backup.backup_id) == backup
    assert find_backup(folder, backup.target, str(backup.folder)) == backup
    with pytest.raises(UsageError, match="it is a backup of"):
        find_backup(folder, "/another/target.db", backup.backup_id)
    with pytest.raises(UsageError, match="it is no whole backup"):
        find_backup(folder, backup.target, "target-20990101T000000.000000Z-00000000")


@pytest.fixture
def history(tmp_path: Path, folder: Path, bank: Any) -> Callable[..., Backup]:
    """Return a function that loads a snapshot into one target, or deletes it, and takes a backup."""
    url = str(tmp_path / "target.db")

    def taken(snapshot: str | None) -> Backup:
        if snapshot == "gone":
            Path(url).unlink()
        elif snapshot:
            with open_target(url) as target:
                target.prepare()
                recorded = type(bank.snapshot)(snapshot, "/legacy.db", "ab" * 32, bank.snapshot.taken_at)
                bank.load(target, "product", bank.product(1), snapshot=recorded)
        return take_backup(url, folder)

    return taken


def test_the_way_back_is_the_newest_backup_from_before_the_migration(
    history: Callable[..., Backup], folder: Path
) -> None:
    """However often the migration was begun again, and whatever the daily schedule has taken since."""
    nothing, first, again, second, gone = (history(snapshot) for snapshot in (None, "s1", "s1", "s2", "gone"))
    backups = list_backups(folder)
    assert backups == [gone, second, again, first, nothing]
    assert backup_before(backups, first.figures.migrated) == nothing
    assert backup_before(backups, again.figures.migrated) == nothing
    assert backup_before(backups, second.figures.migrated) == again
    assert backup_before(backups, None) == gone
    assert backup_before([], first.figures.migrated) is None


def test_old_backups_go_but_never_the_last_good_one_nor_the_way_back(
    history: Callable[..., Backup], folder: Path, tmp_path: Path
) -> None:
    nothing, *daily = (history(snapshot) for snapshot in (None, "s1", None, None))
    target = daily[0].target
    other = take_backup(str(tmp_path / "other.db"), folder)
    (folder / "target-mine").mkdir()
    (folder / "target-mine" / "backup.json").write_text("{}")
    now = datetime.now(UTC)
    assert forget_old_backups(folder, target, 30, now + timedelta(days=29)) == []
    assert forget_old_backups(folder, target, 30, now + timedelta(days=31)) == [daily[1], daily[0]]
    assert list_backups(folder, target) == [daily[2], nothing]
    # the target is gone, and every night tells so: what it held last stays, and its way back
    gone = [history(snapshot) for snapshot in ("gone", None, None)]
    assert forget_old_backups(folder, target, 30, now + timedelta(days=99)) == [gone[1], gone[0]]
    assert list_backups(folder, target) == [gone[2], daily[2], nothing]
    assert names(folder) == sorted(
        [gone[2].backup_id, daily[2].backup_id, nothing.backup_id, other.backup_id, "target-mine"]
    )
