"""The snapshot: one consistent state of the source, proved whole, found again; refusals leave nothing behind."""

import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.legacy_source import LegacyTable, read_rows
from accounts_migration.databases.snapshot import Snapshot, find_snapshots, read_manifest, take_snapshot
from accounts_migration.errors import MigrationError
from accounts_migration.resources import LEGACY_TABLES

THINGS = LegacyTable("things", ("key", "value"))


def run(path: Path, *statements: str) -> Path:
    """Execute the statements on a SQLite file, each committed."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


def things(path: Path, rows: int = 2) -> Path:
    """Write keys 1, 2 ..., each with 100."""
    # a number, no text, is put into the statement
    count = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT i, 100 FROM n"  # noqa: S608
    return run(path, "CREATE TABLE things (key, value)", f"INSERT INTO things {count}")


def taken(source: Path, folder: Path) -> Snapshot:
    return take_snapshot(source, folder, [THINGS])


def refusal(source: Path, folder: Path) -> MigrationError:
    """Return the refusal of a snapshot, having seen that nothing of it stays."""
    with pytest.raises(MigrationError) as caught:
        taken(source, folder)
    assert [path for path in folder.rglob("*") if folder.is_dir()] == []
    assert caught.value.remedy
    return caught.value


def rows_of(snapshot: Snapshot) -> list[tuple[Any, Any]]:
    manifest = snapshot.tables["things"]
    chunks = read_rows(snapshot.path, THINGS, manifest.classes, manifest.row_id)
    return [(row["key"], row["value"]) for chunk in chunks for row in chunk.to_pylist()]


@contextlib.contextmanager
def other_process(script: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python code beside this process until the block ends; the block begins once it has printed a line."""
    command = [sys.executable, "-c", "import os, signal, sqlite3, sys, time\n" + script, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603  # our own code
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def test_the_manifest_says_what_the_snapshot_holds(tmp_path: Path, write_legacy: Any, new_legacy_rows: Any) -> None:
    source = write_legacy(tmp_path / "legacy.db", new_legacy_rows())
    run(source, "CREATE TABLE audit (id)")
    before = datetime.now(UTC).replace(microsecond=0)
    snapshot = take_snapshot(source, tmp_path / "backups", LEGACY_TABLES)
    assert {name: table.batches for name, table in snapshot.tables.items()} == {
        "legacy_products": {"all": 3},
        "legacy_customers": {"all": 4},
        "legacy_accounts": {"all": 4},
        "legacy_transactions": {"2024-01": 3, "2024-02": 4, "2024-03": 3, "undated": 2},
    }
    assert {name: table.rows for name, table in snapshot.tables.items()} == {
        "legacy_products": 3,
        "legacy_customers": 4,
        "legacy_accounts": 4,
        "legacy_transactions": 12,
    }
    assert {table.row_id for table in snapshot.tables.values()} == {"rowid"}
    assert list(map(str, snapshot.unmigrated)) == ["not migrated: table audit, 0 rows"]
    assert snapshot.integrity == "ok"
    content = snapshot.path.read_bytes()
    assert (snapshot.size, snapshot.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert snapshot.source == str(source)
    assert before <= datetime.fromisoformat(snapshot.taken_at) <= datetime.now(UTC)
    assert snapshot.time == datetime.fromisoformat(snapshot.taken_at).replace(tzinfo=None)
    assert snapshot.time.microsecond == 0
    assert read_manifest(Path(snapshot.folder)) == snapshot


def test_the_source_is_not_touched(tmp_path: Path) -> None:
    source = things(tmp_path / "legacy.db")
    before = (source.read_bytes(), source.stat().st_mtime_ns)
    taken(source, tmp_path / "backups")
    assert (source.read_bytes(), source.stat().st_mtime_ns) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backups", "legacy.db"]


def test_the_snapshot_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    snapshot = taken(things(tmp_path / "legacy.db"), tmp_path / "backups")
    folder = Path(snapshot.folder)
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {
        "manifest.json": "0o600",
        "source_backup.db": "0o600",
    }


def test_an_unchanged_source_gives_the_snapshot_taken_before(tmp_path: Path) -> None:
    source = things(tmp_path / "legacy.db")
    first = taken(source, tmp_path / "backups")
    assert taken(source, tmp_path / "backups") == first
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [first.snapshot_id]


def test_a_snapshot_that_another_process_is_just_writing_is_not_taken_for_one(tmp_path: Path) -> None:
    source = things(tmp_path / "legacy.db")
    other = taken(source, tmp_path / "others")
    (tmp_path / "backups").mkdir()
    # whole, but for its name, which it gets in a moment
    shutil.copytree(other.folder, tmp_path / "backups" / ".partial-source-4711")
    snapshot = taken(source, tmp_path / "backups")
    assert (snapshot.sha256, Path(snapshot.folder).name) == (other.sha256, snapshot.snapshot_id)


def test_a_changed_source_gives_a_new_snapshot_and_leaves_the_old_one(tmp_path: Path) -> None:
    source = things(tmp_path / "legacy.db")
    first = taken(source, tmp_path / "backups")
    run(source, "UPDATE things SET value = 200 WHERE key = 2")
    second = taken(source, tmp_path / "backups")
    assert rows_of(first) == [(1, 100), (2, 100)]
    assert rows_of(second) == [(1, 100), (2, 200)]
    assert [snapshot.snapshot_id for snapshot in find_snapshots(tmp_path / "backups")] == [
        second.snapshot_id,
        first.snapshot_id,
    ]


def test_two_sources_of_the_same_content_have_a_snapshot_each(tmp_path: Path) -> None:
    sources = [things(tmp_path / name) for name in ("a.db", "b.db")]
    snapshots = [taken(source, tmp_path / "backups") for source in sources]
    assert [snapshot.source for snapshot in snapshots] == list(map(str, sources))
    assert len({snapshot.snapshot_id for snapshot in snapshots}) == 2
    assert snapshots[0].sha256 == snapshots[1].sha256


@pytest.mark.parametrize("name", ["a b.db", "a?mode=rwc.db", "a#b.db", "a%41.db", 'it\'s "q".db', "ünï☃.db"])
def test_paths_may_hold_any_character(tmp_path: Path, name: str) -> None:
    snapshot = taken(things(tmp_path / name), tmp_path / f"to {name}")
    assert rows_of(snapshot) == [(1, 100), (2, 100)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"to {name}"])


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def with_page(path: Path, page: bytes) -> Path:
    content = bytearray(things(path, rows=2000).read_bytes())
    content[8192:12288] = page
    return written(path, bytes(content))


UNUSABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path, "there is no such file"),
    "folder": (lambda path: path.parent, "it is not a file"),
    "empty": (lambda path: written(path, b""), "the file is empty"),
    "text": (lambda path: written(path, b"key;value\n1;100\n"), "it is not a SQLite database"),
    "garbage": (lambda path: written(path, b"SQLite format 3\0" + b"\xa5" * 9000), "the file is damaged"),
    "truncated": (lambda path: written(path, things(path, rows=2000).read_bytes()[:10_000]), "the file is damaged"),
    "page-of-zeros": (lambda path: with_page(path, bytes(4096)), "damaged"),
    "page-of-noise": (lambda path: with_page(path, bytes(range(256)) * 16), "damaged"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_source_is_named_and_nothing_is_created(tmp_path: Path, case: str) -> None:
    make, told = UNUSABLE[case]
    source = make(tmp_path / "legacy.db")
    error = refusal(source, tmp_path / "backups")
    assert str(source) in error.what
    assert told in error.why
    assert "partial" not in str(error)


def test_a_mistyped_path_creates_no_folder_either(tmp_path: Path) -> None:
    refusal(tmp_path / "legacy.db", tmp_path / "backups")
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_source_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    source = run(things(tmp_path / "legacy.db"), "ALTER TABLE things DROP COLUMN value")
    assert refusal(source, tmp_path / "backups").why == "missing: column things.value"


def test_an_index_out_of_step_is_damage(tmp_path: Path) -> None:
    source = run(
        things(tmp_path / "legacy.db"),
        "CREATE INDEX by_key ON things (key)",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE INDEX by_key ON things (value)' WHERE name = 'by_key'",
    )
    error = refusal(source, tmp_path / "backups")
    assert "damaged" in str(error)
    assert "row 1 missing from index by_key" in error.why


def test_values_that_break_the_constraints_of_the_source_are_no_damage(tmp_path: Path) -> None:
    source = run(
        tmp_path / "legacy.db",
        "CREATE TABLE things (key, value)",
        "INSERT INTO things VALUES (NULL, -5), (NULL, -6)",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE TABLE things (key NOT NULL, value CHECK (value > 0))'",
    )
    snapshot = taken(source, tmp_path / "backups")
    assert snapshot.integrity == "structure ok; 2 remarks on values"
    assert rows_of(snapshot) == [(None, -5), (None, -6)]


def test_damage_is_found_behind_many_remarks_on_values(tmp_path: Path) -> None:
    source = run(
        tmp_path / "legacy.db",
        "CREATE TABLE early (a)",
        *["INSERT INTO early VALUES (NULL)"] * 50,
        "CREATE TABLE things (key, value)",
        "INSERT INTO things VALUES (1, 100)",
        "CREATE INDEX by_key ON things (key)",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE TABLE early (a NOT NULL)' WHERE name = 'early'",
        "UPDATE sqlite_master SET sql = 'CREATE INDEX by_key ON things (value)' WHERE name = 'by_key'",
    )
    assert "row 1 missing from index by_key" in refusal(source, tmp_path / "backups").why


def test_a_locked_source_is_refused(tmp_path: Path) -> None:
    source = things(tmp_path / "legacy.db")
    script = (
        "lock = sqlite3.connect(sys.argv[1]); lock.execute('BEGIN EXCLUSIVE'); print('ready', flush=True);"
        " time.sleep(60)"
    )
    with other_process(script, str(source)):
        error = refusal(source, tmp_path / "backups")
    assert error.why == "another program holds a lock on it"
    assert "Stop its writer" in error.remedy


WRITER = """
book = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
for move in range(1_000_000):
    book.execute("BEGIN IMMEDIATE")
    book.execute("UPDATE things SET value = value - 1 WHERE key = ?", (1 + move % 2000,))
    book.execute("UPDATE things SET value = value + 1 WHERE key = ?", (2000 - move % 2000,))
    book.execute("INSERT INTO things VALUES (NULL, 0)")
    book.execute("COMMIT")
    time.sleep(0.002)
    if move == 5:
        print("ready", flush=True)
"""


def await_another_row(source: Path, rows: int) -> None:
    """Return once the writer, however slow the machine, has committed again: the table holds more than these rows."""
    with contextlib.closing(sqlite3.connect(source, timeout=60)) as connection:
        while connection.execute("SELECT count(*) FROM things").fetchone()[0] <= rows:
            time.sleep(0.002)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_source_that_is_being_written_to_gives_one_consistent_state(tmp_path: Path, mode: str) -> None:
    source = run(things(tmp_path / "legacy.db", rows=2000), f"PRAGMA journal_mode = {mode}")
    snapshots: list[Snapshot] = []
    with other_process(WRITER, str(source)):
        for _ in range(3):
            snapshots.append(taken(source, tmp_path / "backups"))
            await_another_row(source, snapshots[-1].tables["things"].rows)
    assert len({snapshot.sha256 for snapshot in snapshots}) == 3
    for snapshot in snapshots:
        assert sum(value for _, value in rows_of(snapshot)) == 200_000
        assert snapshot.tables["things"].rows == len(rows_of(snapshot)) > 2005


def crashed(path: Path, statements: str) -> None:
    """Let a process that works on the database die in the middle of its work."""
    script = f"book = sqlite3.connect(sys.argv[1]); {statements}; print('ready', flush=True); time.sleep(60)"
    with other_process(script, str(path)) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def test_what_stands_in_the_wal_of_a_crashed_writer_is_in_the_snapshot(tmp_path: Path) -> None:
    source = run(things(tmp_path / "legacy.db"), "PRAGMA journal_mode = wal")
    crashed(source, "book.execute('INSERT INTO things VALUES (3, 300)'); book.commit()")
    assert (tmp_path / "legacy.db-wal").stat().st_size > 0
    content = source.read_bytes()
    assert rows_of(taken(source, tmp_path / "backups")) == [(1, 100), (2, 100), (3, 300)]
    assert source.read_bytes() == content


def test_a_half_written_transaction_is_refused_and_left_to_its_owner(tmp_path: Path) -> None:
    source = things(tmp_path / "legacy.db", rows=20_000)
    crashed(source, "book.execute('PRAGMA cache_size = 2'); book.execute('UPDATE things SET value = 7')")
    journal = tmp_path / "legacy.db-journal"
    before = (source.read_bytes(), journal.read_bytes())
    error = refusal(source, tmp_path / "backups")
    assert "hot journal" in error.why
    assert "Close its writer cleanly" in error.remedy
    assert (source.read_bytes(), journal.read_bytes()) == before


def test_a_full_disk_is_said_to_be_the_backup_folders(tmp_path: Path) -> None:
    source = things(tmp_path / "legacy.db", rows=50_000)
    script = """
import resource
from pathlib import Path
from accounts_migration.databases.legacy_source import LegacyTable
from accounts_migration.databases.snapshot import take_snapshot
from accounts_migration.errors import MigrationError
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    take_snapshot(Path(sys.argv[1]), Path(sys.argv[2]), [LegacyTable("things", ("key", "value"))])
except MigrationError as error:
    print("ready", flush=True)
    print(error)
"""
    with other_process(script, str(source), str(tmp_path / "backups")) as process:
        assert process.stdout is not None
        message = process.stdout.read().decode()
    assert message.startswith(f"Cannot write the snapshot into {tmp_path / 'backups'}: ")
    assert "Free disk space or name another folder in BACKUP_DIR" in message
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_backup_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    source = things(tmp_path / "legacy.db")
    backups = written(tmp_path / "backups", b"mine")
    with pytest.raises(MigrationError) as caught:
        taken(source, backups)
    assert caught.value.what == f"Cannot write the snapshot into {backups}"
    assert backups.read_bytes() == b"mine"


def test_a_snapshot_that_was_changed_is_no_snapshot(tmp_path: Path) -> None:
    snapshot = taken(things(tmp_path / "legacy.db"), tmp_path / "backups")
    with snapshot.path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(MigrationError, match="missing or has another size"):
        read_manifest(Path(snapshot.folder))
    assert list(find_snapshots(tmp_path / "backups")) == []


@pytest.mark.parametrize("manifest", ["", "{", "[]", "{}", '{"tables": {}}', "\udcff"])
def test_a_folder_without_a_whole_manifest_is_no_snapshot(tmp_path: Path, manifest: str) -> None:
    source = things(tmp_path / "legacy.db")
    snapshot = taken(source, tmp_path / "backups")
    (Path(snapshot.folder) / "manifest.json").write_bytes(manifest.encode(errors="surrogateescape"))
    with pytest.raises(MigrationError, match="no complete manifest"):
        read_manifest(Path(snapshot.folder))
    run(source, "DELETE FROM things")
    again = taken(source, tmp_path / "backups")
    assert list(find_snapshots(tmp_path / "backups")) == [again]
