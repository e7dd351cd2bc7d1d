"""Bringing a target up and down, with data in place: all of it or nothing, and never a record lost."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.schema_versions import changing
from accounts_migration.databases.schema_versions.known import HEAD
from accounts_migration.databases.target import Target, open_target
from accounts_migration.databases.target_schema import TABLES
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration_tests.databases.schema_versions.old_targets import fill, holds, make

RunSql = Callable[..., list[tuple[Any, ...]]]


def refusal(act: Callable[[], object], kind: type[MigrationError] = MigrationError) -> tuple[str, str, str]:
    with pytest.raises(kind) as refused:
        act()
    return refused.value.what, refused.value.why, refused.value.remedy


@pytest.fixture(params=["half-loaded", "finished"])
def old(request: pytest.FixtureRequest, target_url: str, bank: Any) -> str:
    """Return the URL of a target of the time before versions, with data, before and after its last step."""
    make(target_url, "0001", stamped=False)
    with open_target(target_url) as target:
        fill(target, bank)
        if request.param == "finished":
            target.constrain()
    return target_url


def test_up_and_down_with_data_in_place_changes_no_row_and_no_book(old: str, bank: Any) -> None:
    with open_target(old) as target:
        before = holds(target)
        assert (target.version(), target.stamps()) == ("0001", [])
        assert changing.upgrade(target) == "0001"
        assert (target.version(), target.stamps()) == ("0002", ["0002"])
        assert holds(target) == before | {name: [] for name in set(TABLES) - set(before)}
        target.constrain()
        assert target.differences() == []
        assert changing.upgrade(target) == "0002", "nothing is left to be done"
        assert changing.downgrade(target, "0001") == "0002"
        assert (target.version(), holds(target)) == ("0001", before)
        assert changing.downgrade(target, "0001") == "0001"
        assert changing.upgrade(target, "0002") == "0001"
        assert holds(target)["account"] == before["account"]
        assert bank.load(target, "product", bank.product(1, 2, 3)).inserted == 1, "a migration goes on with it"


def test_a_target_made_by_prepare_is_that_of_the_head(target: Target) -> None:
    assert (target.version(), target.stamps()) == (HEAD, [HEAD])
    target.constrain()
    assert target.differences() == []
    target.prepare()
    assert target.stamps() == [HEAD]


def test_a_target_made_by_the_versions_is_that_of_the_head(target_url: str) -> None:
    with open_target(make(target_url, HEAD)) as target:
        target.prepare()
        target.constrain()
        assert target.differences() == []


def test_who_stamps_fails_and_no_table_stays(target_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables and stamp are one transaction."""

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    for engine in ("sqlite", "postgres"):
        monkeypatch.setattr(f"accounts_migration.databases.{engine}_target.stamp", fail)
    with open_target(target_url) as target:
        with pytest.raises(KeyboardInterrupt):
            target.prepare()
        assert (set(target.standing()), target.version()) == (set(), None)


def test_a_head_without_a_stamp_is_stamped(target_url: str) -> None:
    make(target_url, HEAD, stamped=False)
    with open_target(target_url) as target:
        target.prepare()
        assert target.stamps() == [HEAD]
        target.session.execute("DELETE FROM alembic_version")
        assert changing.upgrade(target) == HEAD
        assert target.stamps() == [HEAD]


@pytest.mark.parametrize("old", ["half-loaded"], indirect=True)
def test_an_older_target_is_refused_before_anything_is_written(old: str, bank: Any) -> None:
    with open_target(old) as target:
        before = holds(target)
        expected = (
            f"Cannot use the target {target.name}",
            "its tables are at version 0001, and this program writes version 0002",
            f"Nothing was written. Bring it up: accounts-migration schema upgrade {shlex.quote(target.name)}",
        )
        for act in (target.examine, target.prepare):
            assert refusal(act) == expected
        assert (holds(target), target.stamps()) == (before, [])
        changing.upgrade(target)
        target.prepare()
        assert target.examine() is True


@pytest.mark.parametrize("stamp", ["0003", "ae1027a6acf"])
def test_an_unknown_version_is_refused_by_everything(target: Target, stamp: str) -> None:
    target.session.execute(f"UPDATE alembic_version SET version_num = '{stamp}'")  # noqa: S608
    expected = (
        f"Cannot use the target {target.name}",
        f"its tables are at version {stamp}, which this program does not know: its newest is 0002",
        "Nothing was written. Install the newer accounts-migration that made it; or, where another program keeps its"
        " own alembic_version there, migrate into a schema or database apart",
    )
    before = holds(target)
    acts: list[Callable[[], object]] = [
        target.examine,
        target.prepare,
        lambda: changing.upgrade(target),
        lambda: changing.downgrade(target, "0001"),
    ]
    for act in acts:
        assert refusal(act) == expected
    assert (holds(target), target.stamps()) == (before, [stamp])


def test_what_is_none_of_ours_is_left_alone(target_url: str) -> None:
    if "://" not in target_url:
        Path(target_url).touch()
    with open_target(target_url) as target:
        target.session.execute("CREATE TABLE payroll (amount integer)")
        expected = (
            f"There is no schema of accounts-migration in {target.name}",
            "none of its tables of records stands there",
            "Check the path or URL of TARGET; `accounts-migration migrate` makes the tables of a new target",
        )
        acts: list[Callable[[], object]] = [
            lambda: changing.current(target),
            lambda: changing.upgrade(target),
            lambda: changing.downgrade(target, "0001"),
        ]
        for act in acts:
            assert refusal(act) == expected
        assert list(holds(target)) == ["payroll"]


def test_a_file_that_is_missing_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "target.db"
    with open_target(str(path)) as target:
        what, why, _ = refusal(lambda: changing.upgrade(target))
    assert (what, why) == (f"Cannot use the target {path}", "there is no such file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("old", ["finished"], indirect=True)
def test_another_programs_table_of_a_new_name_is_not_taken(old: str) -> None:
    with open_target(old) as target:
        target.session.execute("CREATE TABLE copy_batch (remark text)")
        before = holds(target)
        assert refusal(lambda: changing.upgrade(target)) == (
            f"Cannot upgrade {target.name}",
            "what the new version makes stands there already: copy_batch",
            "Nothing was changed. Rename what is another program's; then run again",
        )
        assert (holds(target), target.version()) == (before, "0001")
        target.session.execute("ALTER TABLE copy_batch RENAME TO remarks")
        assert changing.upgrade(target) == "0001"


def test_records_that_an_older_version_cannot_hold_are_not_lost(target: Target) -> None:
    target.session.execute("INSERT INTO copy_snapshot VALUES ('s', 'x', 'ab', '2025-01-02 03:04:05')")
    target.session.execute("INSERT INTO copy_batch_row VALUES ('transaction', 'TXN-1', 'undated')")
    target.session.execute("INSERT INTO copy_batch_row VALUES ('transaction', 'TXN-2', 'undated')")
    before = holds(target)
    assert refusal(lambda: changing.downgrade(target, "0001")) == (
        f"Cannot downgrade {target.name}",
        "it would lose records that only version 0002 can hold: 1 in copy_snapshot, 2 in copy_batch_row",
        "Nothing was changed. Stay at this version; or take a backup, delete these rows, and run again",
    )
    assert (holds(target), target.version()) == (before, "0002")


def test_a_version_that_there_is_not_or_that_lies_the_other_way(target: Target) -> None:
    unknown = ("There is no version '0009' of the schema", "this program knows 0001, 0002", "Name one of these")
    assert refusal(lambda: changing.upgrade(target, "0009"), UsageError) == unknown
    assert refusal(lambda: changing.downgrade(target, "0009"), UsageError) == unknown
    assert (
        refusal(lambda: changing.downgrade(target, "base"), UsageError)[0] == "There is no version 'base' of the schema"
    )
    shown = shlex.quote(target.name)
    assert refusal(lambda: changing.upgrade(target, "0001"), UsageError) == (
        f"Cannot upgrade {target.name} to version 0001",
        "it is at version 0002, which is newer",
        f"To go back: accounts-migration schema downgrade {shown} 0001",
    )
    changing.downgrade(target, "0001")
    assert refusal(lambda: changing.downgrade(target, "0002"), UsageError) == (
        f"Cannot downgrade {target.name} to version 0002",
        "it is at version 0001, which is older",
        f"To bring it up: accounts-migration schema upgrade {shown} 0002",
    )


# stops before the n-th statement that changes the schema: dies there, or waits to be told to go on
STOPPING = """
import os, signal, sys
from accounts_migration.databases.schema_versions.changing import upgrade
from accounts_migration.databases.session import Session
from accounts_migration.databases.target import open_target
execute, left = Session.execute, int(sys.argv[2])
def stopping(session, sql, parameters=()):
    global left
    if sql.startswith(("CREATE TABLE", "CREATE INDEX", "INSERT INTO alembic", "UPDATE alembic")):
        left -= 1
        if left == 0 and sys.argv[3] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if left == 0:
            print("upgrading", flush=True)
            sys.stdin.readline()
    return execute(session, sql, parameters)
Session.execute = stopping
with open_target(sys.argv[1]) as target:
    upgrade(target)
"""
STATEMENTS = 8
"""The stamp's table and row, four tables and an index, and the new stamp."""


def started(url: str, place: int, act: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", STOPPING, url, str(place), act]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603


@pytest.mark.parametrize("old", ["finished"], indirect=True)
def test_a_kill_in_the_middle_leaves_the_old_version_whole(old: str) -> None:
    with open_target(old) as target:
        before = holds(target)
    for place in (4, STATEMENTS):
        assert started(old, place, "die").wait(60) == -signal.SIGKILL
        with open_target(old) as target:
            assert (target.version(), target.stamps(), holds(target)) == ("0001", [], before)
    assert started(old, STATEMENTS + 1, "die").wait(60) == 0, "there is no further statement"
    with open_target(old) as target:
        assert target.version() == HEAD


@pytest.mark.parametrize("old", ["finished"], indirect=True)
def test_of_two_upgrades_at_once_the_second_is_refused(old: str) -> None:
    first = started(old, STATEMENTS, "wait")
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "upgrading\n"
        with open_target(old) as target:
            assert refusal(lambda: changing.upgrade(target)) == (
                f"Cannot change the schema of {target.name}",
                f"another migration or copy is writing to {target.name}",
                "Wait for it to end, or stop it",
            )
            assert target.version() == "0001", "who reads meanwhile sees the old version"
        first.communicate("go on\n", timeout=60)
        assert first.returncode == 0
    finally:
        first.kill()
        first.wait()
    with open_target(old) as target:
        assert changing.upgrade(target) == HEAD


def test_who_may_only_read_changes_nothing(postgres_url: str, run_sql: RunSql) -> None:
    make(postgres_url, "0001")
    role = "schema_reader"
    run_sql(
        postgres_url,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    with open_target(postgres_url.replace("//postgres@", f"//{role}@")) as target:
        assert changing.current(target) == "0001"
        _, why, remedy = refusal(lambda: changing.upgrade(target))
        assert why == "this role lacks a right"
        assert "CREATE on the schema and all rights on the tables where it writes. Then run again" in remedy
    with open_target(postgres_url) as target:
        target.session.execute("SELECT set_config('default_transaction_read_only', 'on', false)")
        _, why, _ = refusal(lambda: changing.upgrade(target))
        assert why == "it is read-only (a standby, or set so)"
        assert target.version() == "0001"


def test_a_file_that_another_program_writes_to_or_that_is_read_only(tmp_path: Path) -> None:
    url = make(str(tmp_path / "target.db"), "0001")
    with open_target(url) as target:
        target.session.execute("PRAGMA query_only = ON")
        _, why, _ = refusal(lambda: changing.upgrade(target))
        assert (why, target.version()) == ("it is not writable", "0001")
    with open_target(url) as target:
        target.session.execute("PRAGMA busy_timeout = 50")
        with open_target(url) as other, other.session.transaction():
            _, why, _ = refusal(lambda: changing.upgrade(target))
        assert (why, target.version()) == ("another program is writing to it", "0001")
    with open_target(url) as target:
        assert changing.upgrade(target) == "0001"
