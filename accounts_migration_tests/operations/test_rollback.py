"""Rolling back, on both targets: the backup in the place of the target, and the service up on it, whatever fails.

A target is migrated once for each engine; each test has a copy of it, and backups and a service of its own.
"""

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.copies.engine import Copy, Return
from accounts_migration.databases.postgres_session import lock_number
from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.backup import Backup, engine_of, list_backups, take_backup
from accounts_migration.operations.rollback import RolledBack, rollback
from accounts_migration.resources import BackupResource, TargetResource
from accounts_migration.settings import Settings
from accounts_migration_tests.commands import content
from accounts_migration_tests.operations.api import Api
from accounts_migration_tests.operations.rolling_back import RollingBack


@dataclass
class Night:
    """A migrated target with two backups, from before the migration and of what it loaded, and a running service."""

    url: str
    settings: Settings
    before: Backup
    loaded: Backup
    api: Api
    run_sql: Any
    made_again: Any

    @property
    def is_sqlite(self) -> bool:
        return "://" not in self.url

    def roll_back(self, **words: Any) -> RolledBack:
        return rollback(self.settings, self.url, tell=lambda _: None, **words)

    def refused(self, **words: Any) -> MigrationError:
        """Return the error of a rollback that does not happen."""
        with pytest.raises(MigrationError) as told:
            self.roll_back(**words)
        return told.value

    def under(self, **settings: Any) -> "Night":
        """Return the same night with other settings."""
        changed = self.settings.model_copy(update=settings)
        return Night(self.url, changed, self.before, self.loaded, self.api, self.run_sql, self.made_again)

    @property
    def rows(self) -> dict[str, Any] | None:
        """Return every row of the target; None where it is empty or is not there."""
        if self.is_sqlite and not Path(self.url).exists():
            return None
        with open_target(self.url) as target:
            if not target.examine():
                return None
        return content(self.url)

    @property
    def left(self) -> list[str]:
        """Return what a rollback made beside the target and did not clear away."""
        if self.is_sqlite:
            return [path.name for path in Path(self.url).parent.glob("*.restoring-*")]
        return [name for (name,) in self.run_sql(self.url, _DATABASES)]

    @property
    def journals(self) -> list[Path]:
        return sorted(self.settings.backups.glob("rollback-*"))


_DATABASES = "SELECT datname::text FROM pg_database WHERE datname LIKE '%!_restoring!_%' ESCAPE '!'"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def migrated(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    new_target: Any,
    open_migration: Any,
    copy_postgres: Any,
) -> tuple[Settings, str]:
    """Migrate once and take a backup of it; return the settings, and a copy of the target that nobody touches."""
    folder = tmp_path_factory.mktemp("migrated")
    url = new_target(request.param, folder)
    with open_migration(folder, url) as migration:
        migration.migrate()
    take_backup(url, migration.settings.backups)
    if "://" in url:
        return migration.settings, copy_postgres(url)
    return migration.settings, str(shutil.copy(url, folder / "model"))


@pytest.fixture
def night(migrated: tuple[Settings, str], tmp_path: Path, run_sql: Any) -> Iterator[Night]:
    """Return a migrated target, its two backups for this test alone, and a service that runs."""
    settings, model = migrated
    api = Api(tmp_path / "api")
    shutil.copytree(settings.backups, tmp_path / "backups")
    changed = {"backup_dir": tmp_path / "backups", "log_dir": tmp_path / "logs", **api.settings}
    url = str(settings.target_db)

    def made_again() -> None:
        _make_again(url, model, run_sql)

    made_again()
    api.start()
    loaded, before = list_backups(tmp_path / "backups")
    try:
        yield Night(url, settings.model_copy(update=changed), before, loaded, api, run_sql, made_again)
    finally:
        api.end()


def _make_again(url: str, model: str, run_sql: Any) -> None:
    """Make the target anew as a copy of another, with no trace of what happened in it."""
    if "://" not in url:
        for path in Path(url).parent.glob(f"{Path(url).name}*"):
            path.unlink()
        shutil.copy(model, url)
        return
    for (name,) in run_sql(_server(url), "SELECT datname::text FROM pg_database"):
        if name == _name(url) or name.startswith(f"{_name(url)}_re"):
            run_sql(_server(url), f"DROP DATABASE {name} WITH (FORCE)")
    run_sql(_server(url), f"CREATE DATABASE {_name(url)} TEMPLATE {_name(model)}")


def _server(url: str) -> str:
    start, _, query = url.rpartition("?")
    return f"{start.rpartition('/')[0]}/accounts?{query}"


def _as_owner(night: Night) -> str:
    """Return the URL of the target for the owner of the server."""
    return f"postgresql://postgres@{night.url.rpartition('@')[2]}"


def _name(url: str) -> str:
    return url.rpartition("?")[0].rpartition("/")[2]


# what does not depend on the engine
of_a_file = pytest.mark.parametrize("migrated", ["sqlite"], indirect=True)

CHANGES = (
    "UPDATE account SET balance = 7 WHERE account_id = 'ACCT-00000001'",
    'INSERT INTO "transaction" VALUES'
    " ('TXN-99', 'ACCT-00000001', 'CREDIT', 3.5, 1, 'a \"new\" one', '2025-01-02 03:04:05')",
    "DELETE FROM \"transaction\" WHERE transaction_id = 'TXN-9'",
)


def test_the_target_is_what_it_was_before_the_migration_and_the_service_runs(night: Night) -> None:
    loaded = content(night.url)
    done = night.roll_back()
    assert (done.backup, night.rows) == (night.before, None)
    assert (done.health and done.health.status, night.api.runs, night.api.commands) == (200, True, ["stop", "start"])
    assert (done.exported, done.remarks, night.left) == ([], [], [])
    assert 0 < done.out_of_service <= done.seconds < 30
    if night.is_sqlite:
        assert not Path(night.url).exists()
        assert content(done.kept) == loaded
    else:
        assert Path(done.kept).read_bytes()[:5] == b"PGDMP"
    assert {oct(path.stat().st_mode & 0o777) for path in done.folder.iterdir()} == {"0o600"}


def test_a_backup_with_rows_takes_the_place_of_a_target_that_was_changed(night: Night) -> None:
    loaded = content(night.url)
    night.run_sql(night.url, *CHANGES, 'DELETE FROM "transaction"')
    done = night.roll_back(to=night.loaded.backup_id, discard_changes=True)
    assert (content(night.url), night.left) == (loaded, [])
    assert (done.backup, night.api.runs, night.api.commands) == (night.loaded, True, ["stop", "start"])
    kept = done.kept if night.is_sqlite else done.kept.replace("%2F", "/")
    assert night.run_sql(kept, 'SELECT count(*) FROM "transaction"') == [(0,)]


def test_writes_since_the_migration_stop_a_rollback_before_the_service(night: Night) -> None:
    night.run_sql(night.url, *CHANGES, "CREATE TABLE note (words text)")
    changed = content(night.url)
    told = night.refused()
    assert told.what.startswith("Somebody has changed ")
    others, *ours = told.why.split("; ")
    assert others == "table note is there, and should not be (none of the migration's tables)"
    assert ours == ["table account: 1 rows changed", "table transaction: 1 rows added, 1 rows removed"]
    assert told.remedy.endswith("The target is as it was; the service was not touched")
    assert (content(night.url), night.api.commands, night.journals, night.left) == (changed, [], [], [])


def test_discarded_rows_are_written_into_files_first(night: Night) -> None:
    night.run_sql(night.url, *CHANGES)
    done = night.roll_back(discard_changes=True)
    exported = {path.name: path.read_text() for path in done.exported}
    accounts = "account_id,customer_id,product_id,status,balance,opening_date,closing_date,created_at,updated_at\n"
    transactions = "transaction_id,account_id,transaction_type,amount,balance_after,reference,transaction_date\n"
    when = exported["account-changed.csv"].rpartition(",")[2].strip()
    assert exported == {
        "account-changed.csv": f'{accounts}"ACCT-00000001","CUST-0001","PROD-001","ACTIVE","7.00","2020-01-02",,'
        f"{when},{when}\n",
        "transaction-added.csv": f'{transactions}"TXN-99","ACCT-00000001","CREDIT","3.50","1.00","a ""new"" one",'
        '"2025-01-02 03:04:05.000000"\n',
        "transaction-removed.csv": f'{transactions}"TXN-9","ACCT-00000003","DEBIT","20.00","0.00","zq gone",'
        '"2024-03-06 00:00:00.000000"\n',
    }
    assert {oct(path.stat().st_mode & 0o777) for path in done.exported} == {"0o600"}
    assert (night.rows, night.api.runs) == (None, True)


@of_a_file
def test_where_the_migrations_own_rows_are_known_no_longer_it_is_not_guessed(night: Night, tmp_path: Path) -> None:
    without = night.under(staging=str(tmp_path / "elsewhere"), migration_home=tmp_path / "elsewhere")
    told = without.refused()
    assert told.what.startswith("Nobody can say whether ")
    assert "table account: its number of rows and totals are those that were loaded, but its rows cannot be" in told.why
    night.run_sql(night.url, *CHANGES)
    told = without.refused()
    assert "table transaction: rows or totals of 2024-03, 2025-01 are others" in told.why
    done = without.roll_back(discard_changes=True)
    exported = {path.name: len(path.read_text().splitlines()) - 1 for path in done.exported}
    assert exported == {"account-present.csv": 3, "transaction-present.csv": 2}


@of_a_file
def test_a_backup_that_was_changed_is_found_out_before_anything_is_stopped(night: Night) -> None:
    assert night.loaded.path is not None
    content_before = content(night.url)
    night.loaded.path.write_bytes(night.loaded.path.read_bytes()[:-1] + b"!")
    told = night.refused(to=night.loaded.backup_id, discard_changes=True)
    assert "its sha256 is not the one of the manifest" in told.why
    assert told.remedy.endswith("The target is as it was; the service was not touched")
    assert (content(night.url), night.api.commands, night.journals) == (content_before, [], [])


def test_a_backup_that_restores_to_something_else_is_found_out_before_anything_is_stopped(night: Night) -> None:
    manifest = night.loaded.folder / "backup.json"
    entries = json.loads(manifest.read_text())
    entries["figures"]["tables"]["transaction"]["totals"]["amount"] += 1
    manifest.write_text(json.dumps(entries))
    told = night.refused(to=night.loaded.backup_id, discard_changes=True)
    assert told.why == "restored, it is not what was backed up: table transaction has other totals of amount"
    assert (night.api.commands, night.left, night.journals) == ([], [], [])


@of_a_file
def test_a_name_that_is_no_backup_of_this_target_is_wrong_usage(night: Night, tmp_path: Path) -> None:
    other = take_backup(str(tmp_path / "other.db"), night.settings.backups)
    for name in ("target-nothing", other.backup_id, str(tmp_path)):
        with pytest.raises(UsageError, match="There is no backup"):
            night.roll_back(to=name)
    for backup in list_backups(night.settings.backups):
        shutil.rmtree(backup.folder)
    told = night.refused()
    assert told.what.startswith("There is no backup to roll ")
    assert night.api.commands == []


@of_a_file
def test_a_service_that_cannot_be_stopped_goes_on_as_it_was(night: Night) -> None:
    before = content(night.url)
    told = night.under(service_stop="false").refused()
    assert (told.what, told.why) == ("Cannot stop the service", "false ended with status 1")
    assert told.remedy.endswith("The target is as it was; the service runs as it did")
    assert (content(night.url), night.api.runs, night.left, night.journals) == (before, True, [], [])


@of_a_file
def test_writes_between_the_comparison_and_the_stop_are_not_lost(night: Night, tmp_path: Path) -> None:
    """The service writes until it is stopped: so it is compared again, and the service started as it was."""
    program = tmp_path / "stop.py"
    program.write_text(
        "import subprocess, sys\nfrom accounts_migration.databases.target import open_target\n"
        f"with open_target({night.url!r}) as target:\n    target.session.execute({CHANGES[0]!r})\n"
        f"sys.exit(subprocess.call({shlex.split(night.settings.service_stop)!r}))\n"
    )
    told = night.under(service_stop=f"{sys.executable} {program}").refused()
    assert told.why == "table account: 1 rows changed"
    assert "The target is as it was; the service was started (" in told.remedy
    assert (night.api.commands, night.api.runs, night.left, night.journals) == (["stop", "start"], True, [], [])
    assert night.run_sql(night.url, "SELECT count(*) FROM account WHERE balance = 7") == [(1,)]


@of_a_file
@pytest.mark.parametrize(
    ("raised", "what", "why"),
    [
        (KeyboardInterrupt, "The rollback was stopped", "somebody asked for it, as Ctrl-C does"),
        (RuntimeError, "Cannot roll back ", "a fault of this program, RuntimeError"),
        (OSError(28, "No space left on device"), "Cannot roll back ", "No space left on device"),
    ],
    ids=["Ctrl-C", "fault", "disk"],
)
def test_whatever_stops_it_the_service_does_not_stay_stopped(
    night: Night, raised: BaseException, what: str, why: str
) -> None:
    def stopped(sentence: str) -> None:
        if sentence.startswith("keeping the target aside"):
            raise raised

    before = content(night.url)
    with pytest.raises(MigrationError) as told:
        rollback(night.settings, night.url, tell=stopped)
    assert (told.value.what.startswith(what), told.value.why) == (True, why)
    assert "The target is as it was; the service was started (" in told.value.remedy
    assert (content(night.url), night.api.commands, night.api.runs) == (before, ["stop", "start"], True)
    assert (night.left, night.journals) == ([], [])


@of_a_file
def test_a_service_that_does_not_become_healthy_is_told_and_the_same_command_goes_on(night: Night) -> None:
    stop = f"sh -c 'kill {(night.api.folder / 'pid').read_text()}'"
    told = night.under(service_timeout=0.5, service_stop=stop, service_start="true").refused()
    assert (told.what, "nothing answers at http://127.0.0.1:" in told.why) == ("The service is not healthy", True)
    assert f"The target is rolled back to {night.before.backup_id}, whole; kept: " in told.remedy
    assert night.rows is None
    done = night.roll_back()
    assert (done.backup, done.kept != "", night.api.runs) == (night.before, True, True)
    assert night.api.commands == ["start"]


@of_a_file
def test_a_service_that_cannot_be_started_is_told_with_what_the_target_is(night: Night) -> None:
    told = night.under(service_start="false").refused(to=night.loaded.backup_id)
    assert told.what == "Cannot start the service"
    assert f"The target is rolled back to {night.loaded.backup_id}, whole" in told.remedy


@of_a_file
def test_a_migration_over_a_rollback_whose_service_did_not_come_up_is_rolled_back_anew(
    night: Night,
) -> None:
    """The old rollback is history: it must not pass for one of what was migrated since."""
    night.under(service_start="false").refused()
    assert night.rows is None
    night.made_again()
    assert night.rows is not None
    assert (night.roll_back().backup, night.rows) == (night.before, None)


@of_a_file
def test_nothing_is_migrated_over_a_rollback_that_is_not_complete(night: Night, rolling_back: RollingBack) -> None:
    backups = BackupResource(TargetResource(night.url), night.settings.backups, None, 30)
    rolling_back.run(night.settings, night.url, kill_at="keeping the target aside")
    for take in (backups.take, backups.take_first):
        with pytest.raises(MigrationError, match=r"The rollback of .* is not complete"):
            take()
    night.roll_back()
    assert backups.take().rows == 0


def test_two_at_once_are_refused(night: Night) -> None:
    """A migration holds the target, or a rollback does: the other one is refused at once."""
    with _held(night) as is_held:
        told = night.refused()
    assert (is_held, told.what.startswith("Cannot roll back "), night.api.commands) == (True, True, [])
    assert told.remedy.startswith("Wait for it to end, or stop it")
    held = []

    def try_to_migrate(sentence: str) -> None:
        if sentence.startswith("keeping the target aside"):
            with _held(night) as is_held:
                held.append(is_held)

    rollback(night.settings, night.url, tell=try_to_migrate)
    assert (held, night.api.commands) == ([False], ["stop", "start"])


@contextmanager
def _held(night: Night) -> Iterator[bool]:
    """Take the lock of a migration as another process would; yields whether it was free."""
    if night.is_sqlite:
        with Path(f"{night.url}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        return
    with open_target(night.url) as other:
        yield bool(other.session.value(f"SELECT pg_try_advisory_lock({lock_number('migration')})"))


def test_a_target_that_was_deleted_comes_back(night: Night) -> None:
    loaded = content(night.url)
    if night.is_sqlite:
        Path(night.url).unlink()
    else:
        night.run_sql(_server(night.url), f"DROP DATABASE {_name(night.url)}")
    done = night.roll_back()
    assert (done.backup, done.kept, content(night.url)) == (night.loaded, "", loaded)


@pytest.fixture(scope="module")
def rolling_back() -> Iterator[RollingBack]:
    process = RollingBack()
    try:
        yield process
    finally:
        process.close()


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
    kept = night.run_sql(night.url, _DATABASES.replace("restoring", "replaced")) if not night.is_sqlite else []
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


@contextmanager
def _open_elsewhere(url: str, statements: str) -> Iterator[None]:
    """Let another process run statements on a SQLite file, and keep it open."""
    holding = (
        "import sqlite3, sys\nconnection = sqlite3.connect(sys.argv[1])\nfor one in sys.argv[2].split(';'):\n"
        "    connection.execute(one).fetchall()\nprint('open', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", holding, url, statements]
    holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield
    finally:
        holder.communicate()


@of_a_file
class TestAFile:
    """What only a SQLite file has: sidecars, an owner, programs that hold it open, and damage."""

    def test_it_keeps_its_owner_and_its_rights(self, night: Night) -> None:
        place = Path(night.url)
        place.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(place, 65534, 65534)
        before = place.stat()
        night.roll_back(to=night.loaded.backup_id)
        after, lock = place.stat(), place.with_name(f"{place.name}.lock").stat()
        assert (lock.st_uid, lock.st_gid) == (before.st_uid, before.st_gid)
        assert after.st_ino != before.st_ino
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)

    def test_a_program_that_has_it_open_stops_the_rollback(self, night: Night) -> None:
        with _open_elsewhere(night.url, "SELECT count(*) FROM account"):
            told = night.refused()
        assert (told.what, told.why) == (f"Cannot replace {night.url}", "another program has it open")
        assert "The target is as it was; the service was started (" in told.remedy
        assert (night.rows is not None, night.api.commands, night.api.runs) == (True, ["stop", "start"], True)

    def test_a_damaged_one_is_replaced_and_kept(self, night: Night) -> None:
        loaded = content(night.url)
        Path(night.url).write_bytes(b"no database at all" * 999)
        told = night.refused()
        assert told.what.startswith("Cannot tell which backup undoes the migration of ")
        assert told.remedy == "Name one with --to; `accounts-migration backup --list` shows them"
        told = night.refused(to=night.loaded.backup_id)
        assert "the target cannot be read (it is not a SQLite database); it is kept aside as it is" in told.why
        assert night.api.commands == []
        done = night.roll_back(to=night.loaded.backup_id, discard_changes=True)
        assert (content(night.url), Path(done.kept).read_bytes()) == (loaded, b"no database at all" * 999)

    def test_a_file_that_somebody_makes_between_a_kill_and_going_on_is_kept_too(
        self, night: Night, rolling_back: RollingBack
    ) -> None:
        loaded, place = content(night.url), Path(night.url)
        words = {"to": night.loaded.backup_id, "discard_changes": True}
        rolling_back.run(night.settings, night.url, kill_at="keeping the target aside", **words)
        [ready] = night.left
        kept = place.with_name(ready.replace(".restoring-", ".replaced-"))
        place.rename(kept)
        with _open_elsewhere(night.url, "PRAGMA journal_mode = WAL; CREATE TABLE made (by_a_service)"):
            told = night.refused()
            assert told.why.startswith("another program has it open; and the target could not be made what it was")
            assert night.left == [ready]
        assert night.roll_back().kept == str(kept)
        assert (content(night.url), content(str(kept)), night.api.runs) == (loaded, loaded, True)
        assert night.run_sql(f"{kept}-2", "SELECT name FROM sqlite_master") == [("made",)]

    def test_what_a_killed_service_left_in_its_log_is_seen(self, night: Night) -> None:
        writing = (
            "import os, signal, sqlite3, sys\nconnection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            f"connection.execute({CHANGES[0]!r})\nos.kill(os.getpid(), signal.SIGKILL)"
        )
        killed = subprocess.run([sys.executable, "-c", writing, night.url], check=False)  # noqa: S603
        assert (killed.returncode, Path(f"{night.url}-wal").stat().st_size > 0) == (-9, True)
        assert night.refused().why == "table account: 1 rows changed"


@pytest.mark.parametrize("migrated", ["postgresql"], indirect=True)
class TestADatabase:
    """What only a database of a server has: settings, grants and sessions, and roles that may not make databases."""

    def test_it_keeps_its_settings_grants_and_owner(self, night: Night) -> None:
        name = _name(night.url)
        clerk = f"clerk_of_{name}"
        night.run_sql(
            night.url,
            f"DROP ROLE IF EXISTS {clerk}",
            f"CREATE ROLE {clerk} LOGIN",
            f"ALTER DATABASE {name} SET work_mem = '9MB'",
            f'ALTER DATABASE {name} SET search_path = public, "$user"',
            f"ALTER ROLE {clerk} IN DATABASE {name} SET statement_timeout = '7s'",
            f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
            f"GRANT CONNECT, CREATE ON DATABASE {name} TO {clerk}",
            f"GRANT SELECT ON account TO {clerk}",
            f"ALTER DATABASE {name} CONNECTION LIMIT 17",
            f"ALTER DATABASE {name} OWNER TO {clerk}",
        )
        about = (
            "SELECT pg_get_userbyid(datdba)::text, datconnlimit,"
            " (SELECT string_agg(one::text, ';' ORDER BY one::text) FROM unnest(datacl) AS one),"
            " (SELECT string_agg(setrole::regrole || setconfig::text, ';' ORDER BY setrole, setconfig)"
            "  FROM pg_db_role_setting WHERE setdatabase = d.oid)"
            " FROM pg_database AS d WHERE datname = current_database()"
        )
        before = night.run_sql(night.url, about)
        backup = take_backup(night.url, night.settings.backups)
        done = night.roll_back(to=backup.backup_id)
        assert (night.run_sql(night.url, about), done.remarks) == (before, [])
        assert night.run_sql(night.url, f"SELECT has_table_privilege('{clerk}', 'account', 'SELECT')") == [(True,)]

    def test_whoever_is_still_in_it_is_disconnected(self, night: Night) -> None:
        with open_target(night.url) as other:
            assert other.count("account") == 3
            done = night.roll_back(to=night.loaded.backup_id)
            with pytest.raises(MigrationError, match="the connection was lost"):
                other.count("account")
        assert night.rows is not None
        assert done.kept.endswith(Path(done.kept).name)

    @pytest.fixture
    def clerks(self, night: Night) -> Night:
        """Return the night of a role that owns the database and its tables, and may not make databases."""
        name = _name(night.url)
        clerk = f"owner_of_{name}"
        tables = [
            table
            for (table,) in night.run_sql(
                night.url, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
            )
        ]
        night.run_sql(
            night.url,
            f"DROP ROLE IF EXISTS {clerk}",
            f"CREATE ROLE {clerk} LOGIN",
            f"ALTER DATABASE {name} OWNER TO {clerk}",
            *(f'ALTER TABLE "{table}" OWNER TO {clerk}' for table in tables),
            "CREATE SCHEMA audit",
            "CREATE TABLE audit.entry (words text)",
            f"GRANT USAGE ON SCHEMA audit TO {clerk}",
            f"GRANT SELECT ON audit.entry TO {clerk}",
        )
        url = night.url.replace("postgres@/", f"{clerk}@/")
        settings = night.settings.model_copy(update={"target_db": url})
        loaded = take_backup(url, settings.backups)
        return Night(url, settings, night.before, loaded, night.api, night.run_sql, night.made_again)

    def test_without_the_right_to_make_databases_it_is_restored_in_one_transaction(self, clerks: Night) -> None:
        loaded = content(clerks.url)
        clerks.run_sql(clerks.url, *CHANGES, "CREATE TABLE note (words text)", "DROP TABLE migration_defect")
        # another schema is another's: neither in the way nor lost
        clerks.run_sql(_as_owner(clerks), "INSERT INTO audit.entry VALUES ('since')")
        done = clerks.roll_back(to=clerks.loaded.backup_id, discard_changes=True)
        assert content(clerks.url) == loaded
        assert clerks.run_sql(clerks.url, "SELECT count(*) FROM pg_tables WHERE tablename = 'note'") == [(0,)]
        assert clerks.run_sql(clerks.url, "SELECT words FROM audit.entry") == [("since",)]
        assert (Path(done.kept).read_bytes()[:5], clerks.api.commands) == (b"PGDMP", ["stop", "start"])

    def test_a_table_of_another_role_beside_ours_is_told_before_anything_is_stopped(self, clerks: Night) -> None:
        clerks.run_sql(_as_owner(clerks), "CREATE TABLE note (words text)", "GRANT SELECT ON note TO PUBLIC")
        told = clerks.refused(to=clerks.loaded.backup_id, discard_changes=True)
        assert (told.why, clerks.api.commands) == ("this role does not own public.note", [])

    def test_what_fails_within_the_transaction_leaves_the_target_as_it_was(self, clerks: Night) -> None:
        clerks.run_sql(clerks.url, "CREATE TABLE note (words text)", "CREATE VIEW words AS SELECT * FROM note")
        before = content(clerks.url)
        told = clerks.refused(to=clerks.loaded.backup_id, discard_changes=True)
        assert told.why.startswith("psql failed: cannot drop table ")
        assert "The target is as it was; the service was started (" in told.remedy
        assert (content(clerks.url), clerks.api.runs) == (before, True)

    def test_figures_that_do_not_hold_undo_the_transaction(self, clerks: Night) -> None:
        """A role that cannot restore to a scratch database has its rows counted; the amounts are proved on the way."""
        manifest = clerks.loaded.folder / "backup.json"
        entries = json.loads(manifest.read_text())
        entries["figures"]["tables"]["transaction"]["totals"]["amount"] += 1
        manifest.write_text(json.dumps(entries))
        before = content(clerks.url)
        told = clerks.refused(to=clerks.loaded.backup_id)
        assert told.why == "psql failed: accounts_migration: table transaction does not hold what was backed up"
        assert (content(clerks.url), clerks.api.runs) == (before, True)
