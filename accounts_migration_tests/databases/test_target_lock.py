"""One migration at a time, and what a killed one leaves behind: no lock, and no half-loaded batch."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import Target, open_target
from accounts_migration.errors import MigrationError

HOLDER = """
import sys, time
from accounts_migration.databases.target import open_target
with open_target(sys.argv[1]) as target, target.lock():
    print("locked", flush=True)
    time.sleep(600)
"""

LOADER = """
import sys, time
from datetime import datetime
import pyarrow as pa
from accounts_migration.databases.target import BatchToLoad, Snapshot, open_target
from accounts_migration.databases.target_schema import canonical_schema

def rows():
    for part in range(1000):
        keys = [f"TXN-{part}-{place}" for place in range(5000)]
        many = len(keys)
        yield pa.record_batch(
            [pa.array(column, field.type) for column, field in zip(
                [keys, ["ACCT-00000001"] * many, ["FEE"] * many, [1] * many, [1] * many, [""] * many,
                 [datetime(2024, 3, 1)] * many], canonical_schema("transaction"))],
            schema=canonical_schema("transaction"))
        if part == 3:
            print("loading", flush=True)

with open_target(sys.argv[1]) as target:
    snapshot = Snapshot("snapshot-1", "/legacy.db", "ab" * 32, datetime(2025, 1, 2, 3, 4, 5))
    target.load_batch(BatchToLoad("transaction", "2024-03", snapshot, "{}", "policies-1", "d", 5_000_000, 0,
    0, "{}",
                                  rows(), []))
"""


def started(program: str, url: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(  # noqa: S603  # this interpreter
        [sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() in ("locked", "loading")
    return process


def killed(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_second_migration_is_refused_at_once_and_a_killed_one_leaves_no_lock(
    target: Target, target_url: str, bank: Any
) -> None:
    holder = started(HOLDER, target_url)
    try:
        before = time.monotonic()
        with pytest.raises(MigrationError, match="another migration or copy is writing to"), target.lock():
            pass
        with pytest.raises(MigrationError, match="another migration or copy is writing to"):
            bank.load(target, "product", bank.product(1))
        with pytest.raises(MigrationError, match="another migration or copy is writing to"):
            target.constrain()
        assert time.monotonic() - before < 5
        assert target.recorded_batches() == []
    finally:
        killed(holder)
    wait_for_lock(target)
    assert bank.load(target, "product", bank.product(1)).loaded == 1


def wait_for_lock(target: Target) -> None:
    """A server sees the end of a killed process in a moment, not at once."""
    for _ in range(50):
        try:
            with target.lock():
                return
        except MigrationError:
            time.sleep(0.1)
    raise AssertionError("the lock stays")


def test_the_lock_is_taken_once_within_a_process(target: Target, target_url: str, bank: Any) -> None:
    with open_target(target_url) as other, target.lock(), other.lock(), target.lock():
        assert bank.load(other, "product", bank.product(1)).loaded == 1
    holder = started(HOLDER, target_url)
    killed(holder)


def test_a_lock_file_stays_but_holds_nothing(tmp_path: Path) -> None:
    url = str(tmp_path / "target.db")
    with open_target(url) as target:
        target.prepare()
        for _ in range(2):
            with target.lock():
                pass
    assert (tmp_path / "target.db.lock").exists()


def test_no_lock_file_stays_beside_a_target_that_was_not_made(tmp_path: Path) -> None:
    with open_target(str(tmp_path / "target.db")) as target:
        for _ in range(2):
            with target.lock():
                assert (tmp_path / "target.db.lock").exists()
            assert list(tmp_path.iterdir()) == []


CONTENDER = """
import sys, os, time
from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError
with open_target(sys.argv[1]) as target:
    print("locked", flush=True)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        try:
            with target.lock():
                os.close(os.open(sys.argv[1] + ".held", os.O_CREAT | os.O_EXCL))  # fails where both hold it
                os.unlink(sys.argv[1] + ".held")
        except MigrationError:
            pass
print("done")
"""


def test_two_never_hold_a_lock_whose_file_comes_and_goes(tmp_path: Path) -> None:
    contenders = [started(CONTENDER, str(tmp_path / "target.db")) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in contenders] == ["done\n"] * 2
    assert list(tmp_path.iterdir()) == []


def test_a_load_that_is_killed_leaves_the_target_as_it_was(target: Target, target_url: str, bank: Any) -> None:
    bank.load_parents(target)
    bank.load(target, "transaction", bank.transaction(1), "2024-02", source_rows=1)
    before = target.recorded_batches()
    target.close()
    killed(started(LOADER, target_url))
    wait_for_lock(target)
    assert target.recorded_batches() == before
    assert bank.keys(target, "transaction") == ["TXN-1"]
    assert bank.load(target, "transaction", bank.transaction(2, 3), "2024-03").loaded == 2
    target.constrain()


def test_a_lock_that_was_given_back_can_be_taken_at_once(target_url: str) -> None:
    for _ in range(20):
        with open_target(target_url) as target, target.lock():
            assert not target.standing()


def test_a_database_without_a_schema_is_not_taken_for_one_that_is_written_to(postgres_url: str) -> None:
    """The schema that lacks is told by who looks at the rights."""
    with open_target(f"{postgres_url}&options=-csearch_path%3Dnowhere") as target, target.lock():
        assert target.denied() != []
