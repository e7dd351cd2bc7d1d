"""The backups that stand in BACKUP_DIR: found again, the one that undoes a migration, and how long they are kept."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import open_target
from accounts_migration.errors import UsageError
from accounts_migration.operations.backup import (
    Backup,
    backup_before,
    find_backup,
    forget_old_backups,
    list_backups,
    take_backup,
)
from accounts_migration_tests.operations.backups import names


def test_what_is_no_whole_backup_is_passed_over(loaded: str, backup_dir: Path) -> None:
    backup = take_backup(loaded, backup_dir)
    shutil.copytree(backup.folder, backup_dir / "target-20990101T000000.000000Z-00000000")
    (backup_dir / "target-20990101T000000.000000Z-00000000" / "backup.json").write_text('{"folder": 1}')
    (backup_dir / "target-20990102T000000.000000Z-00000000").mkdir()
    (backup_dir / "20990103T000000.000000Z-00000000").mkdir()
    assert list_backups(backup_dir) == [backup]
    assert list_backups(backup_dir, backup.target)[0] == backup
    assert list_backups(backup_dir, "/another/target.db") == []
    assert find_backup(backup_dir, backup.target, backup.backup_id) == backup
    assert find_backup(backup_dir, backup.target, str(backup.folder)) == backup
    with pytest.raises(UsageError, match="it is a backup of"):
        find_backup(backup_dir, "/another/target.db", backup.backup_id)
    with pytest.raises(UsageError, match="it is no whole backup"):
        find_backup(backup_dir, backup.target, "target-20990101T000000.000000Z-00000000")


@pytest.fixture
def history(tmp_path: Path, backup_dir: Path, bank: Any) -> Callable[..., Backup]:
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
        return take_backup(url, backup_dir)

    return taken


def test_the_way_back_is_the_newest_backup_from_before_the_migration(
    history: Callable[..., Backup], backup_dir: Path
) -> None:
    """However often the migration was begun again, and whatever the daily schedule has taken since."""
    nothing, first, again, second, gone = (history(snapshot) for snapshot in (None, "s1", "s1", "s2", "gone"))
    backups = list_backups(backup_dir)
    assert backups == [gone, second, again, first, nothing]
    assert backup_before(backups, first.figures.migrated) == nothing
    assert backup_before(backups, again.figures.migrated) == nothing
    assert backup_before(backups, second.figures.migrated) == again
    assert backup_before(backups, None) == gone
    assert backup_before([], first.figures.migrated) is None


def test_old_backups_go_but_never_the_last_good_one_nor_the_way_back(
    history: Callable[..., Backup], backup_dir: Path, tmp_path: Path
) -> None:
    nothing, *daily = (history(snapshot) for snapshot in (None, "s1", None, None))
    target = daily[0].target
    other = take_backup(str(tmp_path / "other.db"), backup_dir)
    (backup_dir / "target-mine").mkdir()
    (backup_dir / "target-mine" / "backup.json").write_text("{}")
    now = datetime.now(UTC)
    assert forget_old_backups(backup_dir, target, 30, now + timedelta(days=29)) == []
    assert forget_old_backups(backup_dir, target, 30, now + timedelta(days=31)) == [daily[1], daily[0]]
    assert list_backups(backup_dir, target) == [daily[2], nothing]
    # the target is gone, and every night tells so: what it held last stays, and its way back
    gone = [history(snapshot) for snapshot in ("gone", None, None)]
    assert forget_old_backups(backup_dir, target, 30, now + timedelta(days=99)) == [gone[1], gone[0]]
    assert list_backups(backup_dir, target) == [gone[2], daily[2], nothing]
    assert names(backup_dir) == sorted(
        [gone[2].backup_id, daily[2].backup_id, nothing.backup_id, other.backup_id, "target-mine"]
    )
