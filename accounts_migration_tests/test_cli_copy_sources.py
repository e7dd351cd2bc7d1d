"""`accounts-migration copy` of a database that is written to meanwhile, that is encoded otherwise, or that is none."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from accounts_migration_tests.commands import change
from accounts_migration_tests.platform_rows import Row, write_platform

Here = Any

TABLES = ("product", "customer", "account", "transaction")
POSTED = """
INSERT INTO "transaction" (transaction_id, account_id, transaction_type, amount, balance_after, reference,
    transaction_date) VALUES ('TXN-{number}', 'ACCT-00000001', 'CREDIT', 1, {number}, 'posted', '2024-03-01 00:00:00');
"""
BALANCE = "UPDATE account SET balance = balance + 1 WHERE account_id = 'ACCT-00000001';"


class Service:
    """An application that posts a movement and its balance in one transaction, again and again."""

    def __init__(self, run: Callable[[str], None]) -> None:
        self.posted, self.longest = 0, 0.0
        self._run, self._over = run, threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Post for as long as the block lasts."""
        thread = threading.Thread(target=self._post)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _post(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            self._run(POSTED.format(number=1_000 + self.posted) + BALANCE)
            self.longest = max(self.longest, time.monotonic() - began)
            self.posted += 1
            time.sleep(0.002)


def test_a_database_that_is_written_to_is_copied_as_it_was_at_one_moment(
    here: Here, tmp_path: Path, target_url: str, run_sql: Any
) -> None:
    """From either engine: `target_url` is the source here."""
    sound = write_platform(tmp_path / "sound.db", {"account": [{"balance": 0}], "transaction": [{"amount": 0.01}]})
    assert here("copy", sound, target_url).status == 0

    def run(statements: str) -> None:
        if target_url.startswith("postgresql"):
            with psycopg.connect(target_url) as connection:
                connection.execute(statements)
        else:
            with closing(sqlite3.connect(target_url, timeout=30)) as connection:
                connection.executescript(f"BEGIN IMMEDIATE; {statements} COMMIT;")

    service = Service(run)
    with service.at_work():
        while service.posted < 5:
            time.sleep(0.01)
        before = service.posted
        assert here("copy", target_url, tmp_path / "to.db").status == 0
        after = service.posted
    [(posted, balance)] = run_sql(
        str(tmp_path / "to.db"),
        "SELECT (SELECT count(*) FROM \"transaction\" WHERE reference = 'posted'), (SELECT balance FROM account)",
    )
    assert posted == balance
    assert before <= posted <= after
    assert after > before + 5
    assert service.longest < 10


def garbled(path: Path) -> None:
    """Overwrite some pages of a sound database."""
    write_platform(path, {"transaction": [{"transaction_id": f"TXN-{n}", "reference": "x" * 180} for n in range(500)]})
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * 6 * 4096)


def cut(path: Path) -> None:
    write_platform(path, {"transaction": [{"transaction_id": f"TXN-{n}", "reference": "x" * 180} for n in range(500)]})
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


NO_DATABASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "there is no such file. Check its path; nothing was created"),
    "folder": (Path.mkdir, "it is not a file. Name the SQLite file itself"),
    "empty": (Path.touch, "the file is empty. Name the real database"),
    "text": (lambda path: path.write_text("a text " * 1_000), "it is not a SQLite database. Name a SQLite 3 file"),
    "garbled": (garbled, "the file is damaged (database disk image is malformed). Restore it from a backup"),
    "cut": (cut, "the file is damaged (database disk image is malformed). Restore it from a backup"),
}


@pytest.mark.parametrize("case", NO_DATABASES)
def test_what_is_no_database_is_refused_with_its_reason(case: str, here: Here, tmp_path: Path) -> None:
    write, why = NO_DATABASES[case]
    write(tmp_path / "from.db")
    said = here("copy", "from.db", "to.db")
    assert said.status == 1
    assert f"from.db: {why}" in said.err
    assert not (tmp_path / "to.db").exists()


def test_a_locked_database_is_refused_and_copied_when_it_is_free(here: Here, tmp_path: Path) -> None:
    source = write_platform(tmp_path / "from.db", {})
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        said = here("copy", source, "to.db")
        assert (said.status, "another program holds a lock on it. Stop its writer" in said.err) == (1, True), said.err
        assert not (tmp_path / "to.db").exists()
    assert here("copy", source, "to.db").status == 0


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_a_database_in_another_encoding_is_copied_text_for_text(encoding: str, here: Here, tmp_path: Path) -> None:
    people: list[Row] = [{"first_name": "Zoë 💶", "last_name": "李"}]
    movements: list[Row] = [{"reference": "naïve ½"}]
    plain = write_platform(tmp_path / "plain.db", {"customer": people, "transaction": movements})
    with closing(sqlite3.connect(plain)) as connection:
        script = "\n".join(connection.iterdump())
    change(tmp_path / "from.db", f"PRAGMA encoding = '{encoding}';{script}")
    assert here("copy", tmp_path / "from.db", "to.db").status == 0
    with closing(sqlite3.connect(tmp_path / "to.db")) as connection:
        connection.execute("ATTACH 'plain.db' AS plain")
        for table in TABLES:
            assert connection.execute(f'SELECT count(*) FROM main."{table}"').fetchone() == (1,)  # noqa: S608
            query = f'SELECT * FROM plain."{table}" EXCEPT SELECT * FROM main."{table}"'  # noqa: S608
            assert connection.execute(query).fetchall() == []


def test_a_server_in_another_encoding_is_refused(here: Here, postgres_url: str, tmp_path: Path, run_sql: Any) -> None:
    name = f"{postgres_url.rsplit('/', 1)[1].split('?')[0]}_latin"
    run_sql(postgres_url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    latin = postgres_url.replace(f"/{name.removesuffix('_latin')}?", f"/{name}?")
    source = write_platform(tmp_path / "from.db", {})
    said = here("copy", source, latin)
    assert (said.status, "its encoding is LATIN1, which cannot hold every text" in said.err) == (1, True), said.err
