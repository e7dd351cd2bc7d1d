"""Opening the legacy file: what is refused, and that nothing is written or created."""

from collections.abc import Callable
from pathlib import Path

import pytest

from accounts_migration.databases.legacy_source import open_read_only
from accounts_migration.errors import MigrationError
from accounts_migration_tests.databases.legacy_source.tables import THINGS, cells, run, things


def written(folder: Path, content: bytes) -> Path:
    path = folder / "legacy.db"
    path.write_bytes(content)
    return path


def truncated(folder: Path) -> Path:
    path = things(folder / "legacy.db", [(n, "x" * 100) for n in range(500)])
    return written(folder, path.read_bytes()[:20_000])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: folder / "none.db", "there is no such file"),
        (lambda folder: folder / "no" / "such" / "folder.db", "there is no such file"),
        (lambda folder: folder, "it is not a file"),
        (lambda folder: written(folder, b""), "the file is empty"),
        (lambda folder: written(folder, b"account_number;balance\n1;2.50\n"), "it is not a SQLite database"),
        (lambda folder: written(folder, b"SQLite"), "it is not a SQLite database"),
        (lambda folder: written(folder, b"SQLite format 3\0"), "the file is damaged"),
        (lambda folder: written(folder, b"SQLite format 3\0" + b"\xa5garbage" * 999), "the file is damaged"),
        (truncated, "the file is damaged"),
    ],
    ids=["missing", "no-folder", "folder", "empty", "text", "short", "header-alone", "garbage", "truncated"],
)
def test_an_unusable_file_is_refused_and_nothing_is_created(
    tmp_path: Path, make: Callable[[Path], Path], told: str
) -> None:
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MigrationError) as caught, open_read_only(path):
        pass
    assert caught.value.what == f"Cannot read the source database {path}"
    assert told in caught.value.why
    assert caught.value.remedy
    assert sorted(tmp_path.rglob("*")) == before


def test_the_legacy_database_cannot_be_written_to(tmp_path: Path) -> None:
    path = things(tmp_path / "legacy.db", [(1, 2)])
    with pytest.raises(MigrationError, match="readonly"), open_read_only(path) as connection:
        connection.execute("DELETE FROM things")
    assert cells(path, THINGS) == [(1, 2)]


def test_a_full_disk_of_temporary_files_is_not_laid_to_the_database(tmp_path: Path) -> None:
    path = things(tmp_path / "legacy.db", [(1, "x" * 9000)])
    with pytest.raises(MigrationError) as caught, open_read_only(path) as connection:
        connection.execute("PRAGMA query_only = OFF")
        connection.execute("PRAGMA temp.max_page_count = 2")
        connection.execute("CREATE TEMPORARY TABLE sorted AS SELECT * FROM things")
    assert (caught.value.why, caught.value.remedy) == (
        "the disk where SQLite keeps its temporary files is full",
        "Free some space there, or name another folder in SQLITE_TMPDIR, then run again",
    )


@pytest.mark.parametrize(
    "name", ["a b.db", "a?mode=rwc.db", "a#b.db", "a%41.db", 'it\'s "q".db', "ünï☃.db", "a&b;c.db"]
)
def test_a_path_may_hold_any_character(tmp_path: Path, name: str) -> None:
    path = things(tmp_path / name, [(1, b"\x00"), (2, "two")])
    assert cells(path, THINGS) == [(1, b"\x00"), (2, "two")]
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("definition", "why"),
    [("SELECT * FROM gone", "no such table: main.gone"), ("SELECT json('x') AS key, 1 AS value", "malformed JSON")],
)
def test_a_view_that_fails_is_told_as_such_and_not_as_a_damaged_file(tmp_path: Path, definition: str, why: str) -> None:
    path = run(tmp_path / "legacy.db", f"CREATE VIEW things AS {definition}")
    with pytest.raises(MigrationError) as refused, open_read_only(path) as connection:
        connection.execute("SELECT * FROM things").fetchall()
    assert refused.value.why == f"something that it defines fails, as a view or a generated column: {why}"
    assert refused.value.remedy == "Mend its definition, then run again"
