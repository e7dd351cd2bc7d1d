"""A rollback that is killed, or runs out of disk: the target is whole at each moment, and the same command goes on."""

import json
from pathlib import Path

import pytest

from accounts_migration.databases.copies.engine import Copy, Return
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.backup import engine_of
from accounts_migration.resources import BackupResource, TargetResource
from accounts_migration_tests.commands import content
from accounts_migration_tests.operations.night import CHANGES, RESTORING, Night, of_a_file, open_elsewhere
from accounts_migration_tests.operations.rolling_back import RollingBack

STEPS = (
    "verifying the backup",
    "stopping the service",
    "comparing the target",
    "keeping the target aside",
    "starting the service",
    "waiting until the service is healthy",
)


@pytest.mark.parametrize(("with_rows", "steps"), [(False, STEPS[3:5]), (True, STEPS)], ids=["to nothing", "to rows"])
def test_killed_at_each_step_in_turn_and_run_again_it_ends_complete(
    night: Night, rolling_back: RollingBack, with_rows: bool, steps: tuple[str, ...]
) -> None:
    """Begun again after each kill, it is killed at the next step: until then the target is whole, old or new."""
    words = {"discard_changes": True, **({"to": night.loaded.backup_id} if with_rows else {})}
    wanted = content(night.url) if with_rows else None
    night.run_sql(night.url, CHANGES[0])
    changed = content(night.url)
    for step in steps:
        ended, told = rolling_back.run(night.settings, night.url, kill_at=step, **words)
        assert (ended, told[-1][: len(step)]) == ("killed", step)
        assert night.rows == (wanted if step in STEPS[4:] else changed)
    ended, told = rolling_back.run(night.settings, night.url, **words)
    assert (ended, told[-1]) == ("ended", STEPS[-1])
    assert (night.rows, night.api.runs, night.left) == (wanted, True, [])
    [journal] = night.journals
    assert json.loads((journal / "rollback.json").read_text())["steps"][-1] == "ended"


def test_what_was_put_back_can_be_undone(night: Night, tmp_path: Path) -> None:
    """Whatever fails behind the last rename: the target becomes what it was."""
    night.run_sql(night.url, CHANGES[0])
    before = content(night.url)
    engine = engine_of(night.url)
    copy = Copy(night.loaded.state, night.loaded.path, night.loaded.figures)
    what = Return(copy, engine.way(copy), "20261128T010203", tmp_path)
    with engine.lock():
        assert engine.make_ready(what) == []
        assert engine.put_back(what) != ""
        engine.undo(what)
    assert (content(night.url), night.left) == (before, [])
    kept = night.run_sql(night.url, RESTORING.replace("restoring", "replaced")) if not night.is_sqlite else []
    assert (kept, list(Path(night.url).parent.glob("*.replaced-*")) if night.is_sqlite else []) == ([], [])


def test_a_full_disk_leaves_everything_as_it_was(night: Night, rolling_back: RollingBack) -> None:
    before = content(night.url)
    ended, _ = rolling_back.run(
        night.settings, night.url, to=night.loaded.backup_id, discard_changes=True, largest_file=1000
    )
    # PostgreSQL's files are the server's own, and this limit is not
    if night.is_sqlite:
        assert ended.startswith(f"Cannot roll back {night.url}: File too large.")
        assert ended.endswith("The target is as it was; the service was not touched")
        assert (content(night.url), night.api.commands, night.left, night.journals) == (before, [], [], [])
    else:
        assert (ended, content(night.url)) == ("ended", before)


def test_killed_between_two_renames_it_goes_on(night: Night, rolling_back: RollingBack) -> None:
    """A SQLite file goes aside in several renames; the server switches two databases at once, or not at all."""
    loaded = content(night.url)
    words = {"to": night.loaded.backup_id, "discard_changes": True}
    ended, _ = rolling_back.run(night.settings, night.url, kill_at="keeping the target aside", **words)
    assert (ended, len(night.left)) == ("killed", 1)
    if night.is_sqlite:
        place = Path(night.url)
        place.rename(place.with_name(night.left[0].replace(".restoring-", ".replaced-")))
        place.with_name(f"{place.name}-wal").write_bytes(b"of the replaced file")
    done = night.roll_back()
    assert (done.backup, content(night.url), night.left) == (night.loaded, loaded, [])
    if night.is_sqlite:
        assert Path(f"{done.kept}-wal").read_bytes() == b"of the replaced file"
    with pytest.raises(UsageError, match="There is no backup"):
        night.roll_back(to="another")


@of_a_file
def test_another_backup_is_refused_while_a_rollback_is_not_complete(night: Night, rolling_back: RollingBack) -> None:
    rolling_back.run(night.settings, night.url, kill_at="keeping the target aside", to=night.loaded.backup_id)
    with pytest.raises(
        UsageError, match=f"the rollback to {night.loaded.backup_id} that was begun at .* is not complete"
    ):
        night.roll_back(to=night.before.backup_id)
    assert night.roll_back(to=night.loaded.backup_id).backup == night.loaded


@of_a_file
def test_nothing_is_migrated_over_a_rollback_that_is_not_complete(night: Night, rolling_back: RollingBack) -> None:
    backups = BackupResource(TargetResource(night.url), night.settings.backups, None, 30)
    rolling_back.run(night.settings, night.url, kill_at="keeping the target aside")
    for take in (backups.take, backups.take_first):
        with pytest.raises(MigrationError, match=r"The rollback of .* is not complete"):
            take()
    night.roll_back()
    assert backups.take().rows == 0


@of_a_file
def test_a_file_that_somebody_makes_between_a_kill_and_going_on_is_kept_too(
    night: Night, rolling_back: RollingBack
) -> None:
    loaded, place = content(night.url), Path(night.url)
    words = {"to": night.loaded.backup_id, "discard_changes": True}
    rolling_back.run(night.settings, night.url, kill_at="keeping the target aside", **words)
    [ready] = night.left
    kept = place.with_name(ready.replace(".restoring-", ".replaced-"))
    place.rename(kept)
    with open_elsewhere(night.url, "PRAGMA journal_mode = WAL; CREATE TABLE made (by_a_service)"):
        told = night.refused()
        assert told.why.startswith("another program has it open; and the target could not be made what it was")
        assert night.left == [ready]
    assert night.roll_back().kept == str(kept)
    assert (content(night.url), content(str(kept)), night.api.runs) == (loaded, loaded, True)
    assert night.run_sql(f"{kept}-2", "SELECT name FROM sqlite_master") == [("made",)]
