"""A night on which a migrated target is rolled back: the target, its backups, and the service.

Here: what the tests of rollbacks share. Not here: anything that is asserted.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError
from accounts_migration.operations.backup import Backup
from accounts_migration.operations.rollback import RolledBack, rollback
from accounts_migration.settings import Settings
from accounts_migration_tests.commands import content
from accounts_migration_tests.operations.api import Api


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
        return [name for (name,) in self.run_sql(self.url, RESTORING)]

    @property
    def journals(self) -> list[Path]:
        return sorted(self.settings.backups.glob("rollback-*"))


RESTORING = "SELECT datname::text FROM pg_database WHERE starts_with(datname, current_database() || '_restoring_')"


def make_again(url: str, model: str, run_sql: Any) -> None:
    """Make the target anew as a copy of another, with no trace of what happened in it."""
    if "://" not in url:
        for path in Path(url).parent.glob(f"{Path(url).name}*"):
            path.unlink()
        shutil.copy(model, url)
        return
    for (name,) in run_sql(server_of(url), "SELECT datname::text FROM pg_database"):
        if name == name_of(url) or name.startswith(f"{name_of(url)}_re"):
            run_sql(server_of(url), f"DROP DATABASE {name} WITH (FORCE)")
    run_sql(server_of(url), f"CREATE DATABASE {name_of(url)} TEMPLATE {name_of(model)}")


def server_of(url: str) -> str:
    start, _, query = url.rpartition("?")
    return f"{start.rpartition('/')[0]}/accounts?{query}"


def as_owner(night: Night) -> str:
    """Return the URL of the target for the owner of the server."""
    return f"postgresql://postgres@{night.url.rpartition('@')[2]}"


def name_of(url: str) -> str:
    return url.rpartition("?")[0].rpartition("/")[2]


# what does not depend on the engine
of_a_file = pytest.mark.parametrize("migrated", ["sqlite"], indirect=True)


CHANGES = (
    "UPDATE account SET balance = 7 WHERE account_id = 'ACCT-00000001'",
    'INSERT INTO "transaction" VALUES'
    " ('TXN-99', 'ACCT-00000001', 'CREDIT', 3.5, 1, 'a \"new\" one', '2025-01-02 03:04:05')",
    "DELETE FROM \"transaction\" WHERE transaction_id = 'TXN-9'",
)


@contextmanager
def open_elsewhere(url: str, statements: str) -> Iterator[None]:
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
