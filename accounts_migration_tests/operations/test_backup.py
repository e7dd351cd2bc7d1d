"""A backup: one consistent state of the target, proved by restoring it, whole or not there at all."""

import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.copies.figures import Migrated
from accounts_migration.databases.target import open_target, target_location
from accounts_migration.errors import MigrationError
from accounts_migration.operations.backup import (
    list_backups,
    take_backup,
    verify_backup,
)
from accounts_migration_tests.operations.backups import TAKE, names


def rights(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


def test_a_target_that_is_not_there_yet_costs_nearly_nothing(target_url: str, backup_dir: Path) -> None:
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        backup = take_backup(target_url, backup_dir)
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.15
    state, words = ("empty", "the target was empty") if "://" in target_url else ("nothing", "nothing stood there")
    assert (backup.state, str(backup), backup.path, backup.sha256) == (state, words, None, "")
    assert names(backup.folder) == ["backup.json"]
    assert verify_backup(backup, target_url).restored
    if state == "nothing":
        assert not Path(target_url).exists()


def test_a_backup_holds_one_state_and_tells_it(loaded: str, backup_dir: Path) -> None:
    backup = take_backup(loaded, backup_dir)
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
    assert (rights(backup_dir), rights(backup.folder)) == ("0o700", "0o700")
    assert {rights(path) for path in backup.folder.iterdir()} == {"0o600"}
    assert names(backup.folder) == ["backup.json", backup.path.name]
    assert list_backups(backup_dir) == [backup]


def test_what_is_restored_is_what_was_backed_up(loaded: str, backup_dir: Path, run_sql: Any) -> None:
    """A backup is of its time: what happens in the target later does not matter to it."""
    backup = take_backup(loaded, backup_dir)
    run_sql(loaded, 'DELETE FROM "transaction"', "UPDATE note SET words = 'two'")
    verified = verify_backup(backup, loaded)
    assert (verified.figures, verified.restored) == (backup.figures, True)
    later = take_backup(loaded, backup_dir)
    assert backup.figures.differences(later.figures) == [
        "table note has other rows",
        "table transaction has 0 rows, not 40",
    ]
    if "://" in loaded:
        scratches = run_sql(loaded, "SELECT count(*) FROM pg_database WHERE datname LIKE 'accounts_migration_scratch%'")
        assert scratches == [(0,)]


def test_a_backup_that_was_changed_is_not_used(loaded: str, backup_dir: Path) -> None:
    backup = take_backup(loaded, backup_dir)
    assert backup.path is not None
    content = bytearray(backup.path.read_bytes())
    content[-1] ^= 1
    backup.path.write_bytes(content)
    with pytest.raises(MigrationError, match="its sha256 is not the one of the manifest"):
        verify_backup(backup, loaded)
    backup.path.write_bytes(content[:-1])
    assert list_backups(backup_dir) == []
    backup.path.unlink()
    with pytest.raises(MigrationError, match="No such file or directory"):
        verify_backup(backup, loaded)


def test_a_manifest_that_tells_other_figures_is_found_out(loaded: str, backup_dir: Path) -> None:
    backup = take_backup(loaded, backup_dir)
    manifest = backup.folder / "backup.json"
    entries = json.loads(manifest.read_text())
    entries["figures"]["tables"]["account"]["totals"]["balance"] += 1
    manifest.write_text(json.dumps(entries))
    with pytest.raises(MigrationError, match="table account has other totals of balance"):
        verify_backup(list_backups(backup_dir)[0], loaded)


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
    loaded: str, backup_dir: Path, run_sql: Any
) -> None:
    run_sql(loaded, "CREATE TABLE echo (words text, place int)", "DELETE FROM note")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, loaded], stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        backups = [take_backup(loaded, backup_dir) for _ in range(3)]
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.communicate()
    notes, echoes = ([one.figures.tables[table].rows for one in backups] for table in ("note", "echo"))
    assert (notes, notes[0] > 0, notes == sorted(notes)) == (echoes, True, True)


def test_two_backups_at_once_are_both_whole(loaded: str, backup_dir: Path) -> None:
    with ThreadPoolExecutor(2) as both:
        backups = list(both.map(lambda _: take_backup(loaded, backup_dir), range(2)))
    assert len({backup.backup_id for backup in backups}) == 2
    assert backups[0].figures == backups[1].figures
    assert names(backup_dir) == sorted(backup.backup_id for backup in backups)


def test_a_full_disk_is_told_and_leaves_nothing(loaded: str, backup_dir: Path, run_sql: Any) -> None:
    run_sql(loaded, "CREATE TABLE large (words text)")
    # of letters that do not compress well
    run_sql(loaded, *(f"INSERT INTO large VALUES ('{os.urandom(25_000).hex()}')" for _ in range(4)))  # noqa: S608
    limited = ["/bin/sh", "-c", 'ulimit -f 100; exec "$@"', "limited"]
    words = [*limited, sys.executable, "-c", TAKE, loaded, str(backup_dir)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, names(backup_dir)) == (1, [])
    if "://" in loaded:
        assert "pg_dump was ended by SIGXFSZ. The file grew larger than this user may write" in done.stderr
    else:
        assert f"Cannot write a backup of {loaded} into {backup_dir}" in done.stderr
        assert "Free disk space" in done.stderr


def test_a_folder_that_cannot_be_written_is_told(loaded: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MigrationError, match=r"into .*/file/backups: Not a directory\. Free disk space, or name"):
        take_backup(loaded, tmp_path / "file" / "backups")


def test_a_file_that_is_no_database_is_told(tmp_path: Path, backup_dir: Path) -> None:
    path = tmp_path / "target.db"
    path.write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(MigrationError, match="it is not a SQLite database"):
        take_backup(str(path), backup_dir)
    assert names(backup_dir) == []


def test_a_damaged_file_is_not_a_good_backup(tmp_path: Path, backup_dir: Path, new_target: Any, bank: Any) -> None:
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
        take_backup(str(path), backup_dir)
    assert list_backups(backup_dir) == []
