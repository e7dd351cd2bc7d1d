"""A migration that is killed, runs out of disk, loses its server or meets another one.

Nothing is half-loaded, and the same command run again ends where an undisturbed one would have.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from accounts_migration.databases.books import COPY, MIGRATION, Books
from accounts_migration.databases.embedded_postgres import embedded_postgres
from accounts_migration.databases.target import open_target
from accounts_migration.demo_source import write_demo_source
from accounts_migration_tests.commands import change, command, content, started, write_bank

ENTITIES = ("product", "customer", "account", "transaction")


@dataclass(frozen=True)
class Undisturbed:
    """A dirty bank, and what a migration that nothing happened to makes of it."""

    folder: Path
    content: dict[str, list[dict[str, Any]]]

    @property
    def source(self) -> Path:
        return self.folder / "legacy.db"

    @property
    def settings(self) -> dict[str, str]:
        """The settings of every migration of it: one backup folder, so one snapshot and one time."""
        return {"MAX_REJECT_RATE": "0.1", "BACKUP_DIR": str(self.folder / "backups")}

    def started(self, folder: Path, target: str) -> "subprocess.Popen[str]":
        return started(folder, "migrate", self.source, target, largest_file=None, **self.settings)

    def run_again(self, folder: Path, target: str) -> None:
        """Run the same command to its end: it succeeds, and the target holds what the undisturbed one holds."""
        done = command(folder, "migrate", self.source, target, **self.settings)
        assert done.returncode == 0, done.stderr
        found = content(target)
        for table, rows in self.content.items():
            assert found[table] == rows, table


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Migrate six months of a bank with 2 percent of bad rows into SQLite."""
    folder = tmp_path_factory.mktemp("undisturbed")
    bank = Undisturbed(folder, {})
    write_demo_source(bank.source, accounts=400, transactions=15_000, dirt=0.02, seed=3)
    change(bank.source, "DELETE FROM legacy_transactions WHERE trans_date < '2024-07'")
    done = command(folder, "migrate", bank.source, "accounts.db", **bank.settings)
    assert done.returncode == 0, done.stderr
    found = content(str(folder / "accounts.db"))
    assert len(found["transaction"]) > 2_000
    assert len(found["migration_defect"]) > 50
    assert len({one["batch"] for one in found["migration_batch"]} - {"all", "undated"}) == 6
    return Undisturbed(folder, found)


def stop_at(process: "subprocess.Popen[str]", words: str, number: signal.Signals) -> None:
    """Send the signal as soon as the migration says the words, and wait for its end."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            process.send_signal(number)
            process.communicate(timeout=60)
            return
    raise AssertionError(f"it never said {words!r}: {''.join(said)}")


def refuse_half_loaded(target: str, books: Books = MIGRATION) -> None:
    """What the books say and what stands is the same, batch by batch, and no lock is left."""
    with open_target(target, books) as opened, opened.lock():
        opened.prepare()
        for entity in ENTITIES:
            recorded = {
                one.batch: one.loaded for one in opened.recorded_batches() if one.entity == entity and one.loaded
            }
            found = {batch: rows for batch, rows in opened.counts_by_batch(entity).items() if rows}
            assert found == recorded, entity


def runs_by_status(folder: Path) -> Counter[str]:
    """Return how many runs the migration's Dagster instance shows in each status."""
    with closing(sqlite3.connect(folder / "var" / "dagster" / "history" / "runs.db")) as connection:
        return Counter(status for (status,) in connection.execute("SELECT status FROM runs"))


# before anything is loaded, after the first batch, between two months, after all of them
MOMENTS = ("rows sharing a key", "product all", "transaction 2024-10", "constraints and indexes")


def test_a_migration_killed_again_and_again_ends_as_if_nothing_had_happened(
    undisturbed: Undisturbed, target_url: str, tmp_path: Path
) -> None:
    for moment in MOMENTS:
        stop_at(undisturbed.started(tmp_path, target_url), moment, signal.SIGKILL)
        refuse_half_loaded(target_url)
    undisturbed.run_again(tmp_path, target_url)
    assert runs_by_status(tmp_path)["FAILURE"] == len(MOMENTS)
    assert "STARTED" not in runs_by_status(tmp_path)


# while it is judged, after the first table, between two months, after all of them
MOMENTS_OF_A_COPY = ("snapshot ", "customer all", "transaction 2024-10", "bookkeeping")


def test_a_copy_killed_again_and_again_ends_equal_to_its_source(
    undisturbed: Undisturbed, target_url: str, tmp_path: Path
) -> None:
    words = ("copy", undisturbed.folder / "accounts.db", target_url)
    for moment in MOMENTS_OF_A_COPY:
        stop_at(started(tmp_path, *words), moment, signal.SIGKILL)
        refuse_half_loaded(target_url, COPY)
    done = command(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    found = content(target_url)
    for table, rows in undisturbed.content.items():
        assert found[table] == rows, table


def test_of_two_copies_at_once_one_is_refused(undisturbed: Undisturbed, target_url: str, tmp_path: Path) -> None:
    both = [started(tmp_path, "copy", undisturbed.folder / "accounts.db", target_url) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    ended = sorted((process.returncode, err) for process, (_, err) in zip(both, said, strict=True))
    assert [status for status, _ in ended] == [0, 1]
    assert "another migration or copy is writing to" in ended[1][1]
    assert "Traceback" not in ended[0][1] + ended[1][1]


def test_of_two_migrations_at_once_one_is_refused(undisturbed: Undisturbed, target_url: str, tmp_path: Path) -> None:
    both = [undisturbed.started(tmp_path, target_url) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    ended = sorted((process.returncode, err) for process, (_, err) in zip(both, said, strict=True))
    assert [status for status, _ in ended] == [0, 1]
    assert "another migration or copy is writing to" in ended[1][1]
    assert "Wait for it to end, or stop it" in ended[1][1]
    assert "Traceback" not in ended[0][1] + ended[1][1]
    assert content(target_url) == undisturbed.content


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """Yield a folder that the server's own account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="accounts-migration-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def refuse_unclear(process: "subprocess.Popen[str]") -> None:
    """Wait for the end of a command that has lost its server: it fails and says what to do."""
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "the connection was lost" in err) == (1, True), err
    assert "Nothing half-loaded stays. Check the server and the network, then run again" in err
    assert "Traceback" not in err


def lose_server(folder: Path, start: Callable[[str], "subprocess.Popen[str]"]) -> None:
    """Stop the server that a command loads into, in the middle of its months."""
    with ExitStack() as server:
        process = start(server.enter_context(embedded_postgres(folder, durable=False)))
        assert process.stderr is not None
        for line in process.stderr:
            if "transaction 2024-09" in line:
                break
        server.close()
        refuse_unclear(process)


def test_a_server_that_stops_is_told_and_the_next_run_completes(
    undisturbed: Undisturbed, server_folder: Path, tmp_path: Path
) -> None:
    lose_server(server_folder, lambda url: undisturbed.started(tmp_path, url))
    with embedded_postgres(server_folder, durable=False) as url:
        refuse_half_loaded(url)
        undisturbed.run_again(tmp_path, url)


def test_a_server_that_stops_while_it_is_copied_into_is_told_and_the_next_run_completes(
    undisturbed: Undisturbed, server_folder: Path, tmp_path: Path
) -> None:
    words = ("copy", undisturbed.folder / "accounts.db")
    lose_server(server_folder, lambda url: started(tmp_path, *words, url))
    with embedded_postgres(server_folder, durable=False) as url:
        refuse_half_loaded(url, COPY)
        done = command(tmp_path, *words, url)
        assert done.returncode == 0, done.stderr
        assert content(url)["transaction"] == undisturbed.content["transaction"]


def test_a_server_that_stops_while_it_is_copied_from_is_told_and_nothing_is_written(
    undisturbed: Undisturbed, server_folder: Path, tmp_path: Path
) -> None:
    with ExitStack() as server:
        url = server.enter_context(embedded_postgres(server_folder, durable=False))
        assert command(tmp_path, "copy", undisturbed.folder / "accounts.db", url).returncode == 0
        # the reader waits for this table
        held = server.enter_context(psycopg.connect(url))
        held.execute('LOCK TABLE "transaction"')
        process = started(tmp_path, "copy", url, "back.db")
        with psycopg.connect(url, autocommit=True) as watching:
            while watching.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (0,):
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
        held.close()
        os.kill(int((server_folder / "cluster" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        refuse_unclear(process)
    assert not (tmp_path / "back.db").exists()
    with embedded_postgres(server_folder, durable=False) as url:
        done = command(tmp_path, "copy", url, "back.db")
        assert done.returncode == 0, done.stderr
    assert content(str(tmp_path / "back.db"))["transaction"] == undisturbed.content["transaction"]


@pytest.mark.parametrize(
    ("size", "largest_file"), [(5_000_000, 7_000_000), (50_000, 100_000)], ids=["of the target", "of everything"]
)
def test_a_full_disk_is_told_and_the_next_run_completes(size: int, largest_file: int, tmp_path: Path) -> None:
    """A text of 5 MB is truncated: the target records it twice, so it alone outgrows 7 MB."""
    row = f"INSERT INTO legacy_transactions VALUES (5, 10, 'CR', 1, 1, printf('%.{size}c', 'x'), '2024-04-01')"  # noqa: S608
    write_bank(tmp_path / "legacy.db", row)
    process = started(tmp_path, "migrate", "legacy.db", "accounts.db", largest_file=largest_file)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, "disk" in err, "run again" in err) == (1, True, True), err
    assert "Traceback" not in out + err
    target = str(tmp_path / "accounts.db")
    if size > 1_000_000:
        refuse_half_loaded(target)
        assert [one["transaction_id"] for one in content(target)["transaction"]] == ["TXN-1", "TXN-2", "TXN-3", "TXN-4"]
    done = command(tmp_path, "migrate", "legacy.db", "accounts.db")
    assert done.returncode == 0, done.stderr
    refuse_half_loaded(target)
    found = content(target)
    assert [one["transaction_id"] for one in found["transaction"]] == ["TXN-1", "TXN-2", "TXN-3", "TXN-4", "TXN-5"]
    [truncated] = [one for one in found["migration_defect"] if one["reason"] == "TRUNCATED"]
    assert truncated["old_value"] == "x" * size
