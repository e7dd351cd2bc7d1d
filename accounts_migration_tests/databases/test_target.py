"""Opening targets: which URLs are taken, what is refused, and that no password shows."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from accounts_migration.databases.postgres_url import display_name
from accounts_migration.databases.target import open_target, target_location
from accounts_migration.errors import MigrationError


def refusal(url: str) -> str:
    with pytest.raises(MigrationError) as caught:
        open_target(url)
    assert caught.value.remedy
    assert (
        caught.value.__context__ is None
        or caught.value.__suppress_context__
        or "secret" not in str(caught.value.__context__)
    )
    return str(caught.value)


def test_a_path_and_its_url_open_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a b%?.db"
    with open_target(str(path)) as target:
        target.prepare()
    for url in (f"sqlite:///{path}", f"sqlite:///{os.path.relpath(path)}", str(path)):
        with open_target(url) as target:
            assert target.recorded_batches() == []
            assert target.engine == "sqlite"


def test_a_target_has_one_location_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.db"
    for url in ("a.db", "./a.db", str(path), f"sqlite:///{path}", "sqlite:///a.db"):
        assert target_location(url) == str(path)
    assert target_location("postgresql://me:secret@host:1/bank?password=secret") == "postgresql://me@host:1/bank"


def test_a_new_file_has_large_pages_and_one_that_stood_keeps_its_own(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.execute("CREATE TABLE branch (branch_id TEXT)")
    for name, size in (("new.db", 8192), ("old.db", 4096)):
        with open_target(str(tmp_path / name)) as target:
            target.prepare()
            assert target.session.value("PRAGMA page_size") == size
            assert target.session.value("PRAGMA journal_mode") == "wal"


def test_opening_creates_no_file(tmp_path: Path) -> None:
    with open_target(str(tmp_path / "new.db")) as target, pytest.raises(MigrationError, match="no such file"):
        target.recorded_batches()
    assert list(tmp_path.iterdir()) == []


def test_the_file_and_all_beside_it_are_private(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with open_target(str(path)) as target, target.lock():
        target.prepare()
        target.constrain()
        with open_target(str(path)) as second:
            second.prepare()
            found = {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
    assert set(found) >= {"new.db", "new.db.lock"}
    assert set(found.values()) == {"0o600"}


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but somebody's notes " * 50)
    assert "not a SQLite database" in refusal(str(path))
    assert path.read_text().startswith("not a database")


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with open_target(str(path)) as target:
        target.prepare()
        assert target.counts_by_batch("account") == {"all": 0}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("{folder}/missing/target.db", "there is no folder"),
        ("{folder}", "it is a folder"),
        ("{folder}/file/target.db", "there is no folder"),
        ("sqlite://", "is none of a target"),
        ("", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("mysql://u:secret@host/db", "begins with mysql://"),
    ],
)
def test_a_wrong_path_or_url_is_refused(tmp_path: Path, url: str, told: str) -> None:
    (tmp_path / "file").touch()
    message = refusal(url.format(folder=tmp_path))
    assert told in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@127.0.0.1:1/db",
        "postgresql://u:secret@no-such-host.invalid/db",
        "postgresql://u:secret@/db?host=/no/such/folder",
        "postgresql://u@127.0.0.1:1/db?password=secret",
        "postgresql://u:sec@secret@127.0.0.1:1/db",
        "postgresql://u:secret/secret@127.0.0.1:1/db",
        "postgresql://u:1?secret@127.0.0.1:1/db",
        "postgresql://u:1#secret@127.0.0.1:1/db",
        "postgresql://u:secret@127.0.0.1:port/db",
        "postgresql://u:secret@127.0.0.1:1/db?nonsense=1",
    ],
)
def test_a_server_out_of_reach_is_told_without_the_password(url: str) -> None:
    assert "secret" not in refusal(url)


def test_a_refusal_of_the_server_is_told_without_the_password(postgres_server: str) -> None:
    wrong = postgres_server.replace("//postgres@/accounts", "//postgres:secret@/no_such_database")
    assert "there is no such database" in refusal(wrong)
    wrong = postgres_server.replace("//postgres@", "//nobody_here:secret@")
    message = refusal(wrong)
    assert "there is no such role" in message
    assert "secret" not in message


def test_the_name_of_a_target_has_no_password() -> None:
    assert display_name("postgresql://u:p%40x@h:5432/db?sslmode=require&password=p") == (
        "postgresql://u@h:5432/db?sslmode=require"
    )
    assert display_name("postgresql://[::1]:5432/db") == "postgresql://[::1]:5432/db"
    assert display_name("postgresql:///db?host=/run/x") == "postgresql:///db?host=/run/x"


def test_a_database_of_another_encoding_is_refused(postgres_server: str, run_sql) -> None:  # type: ignore[no-untyped-def]
    run_sql(
        postgres_server,
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    )
    assert "its encoding is LATIN1" in refusal(postgres_server.replace("/accounts?", "/latin?"))
