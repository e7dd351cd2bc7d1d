"""The command line as people start it, a small bank to migrate, and all that a target holds.

Here: what the tests of whole commands share. Not here: anything that is asserted.
"""

import os
import pwd
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
from dagster._serdes import serialize_value

from accounts_migration.databases.target import open_target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.settings import PostgresSettings, Settings

PROGRAM = Path(sys.executable).with_name("accounts-migration")
PASSWORD = "hush-4711"  # noqa: S105  # not one of anything

SETTING_NAMES = [
    *(name.upper() for name in (*Settings.model_fields, *Policies.model_fields)),
    *(f"POSTGRES_{name.upper()}" for name in PostgresSettings.model_fields),
]

BANK = """
CREATE TABLE legacy_products (product_code, product_description, account_type, int_rate, debit_fee, maint_fee,
    min_bal_int, active);
CREATE TABLE legacy_customers (customer_number, first_name, last_name, email_address, phone_number, created_date,
    status);
CREATE TABLE legacy_accounts (account_number, customer_number, product_code, account_status, current_balance,
    open_date, close_date);
CREATE TABLE legacy_transactions (trans_id, account_number, trans_type, trans_amount, balance_after, description,
    trans_date);
INSERT INTO legacy_products VALUES (1, 'BASIC', 'CHK', 1.5, 0.25, 3, 100, 1), (2, 'USA Saver', 'CUR', 0, 0, 0, 0, 'Y'),
    (3, 'OLD', 'CHK', 0, 0, 0, 0, 0);
INSERT INTO legacy_customers VALUES (1, 'ADA', 'BYRON', 'Ada@Example.org', '555-1815', '2020-01-02', 'ACTIVE'),
    (2, 'GRACE', 'HOPPER', NULL, NULL, NULL, 'active');
INSERT INTO legacy_accounts VALUES (10, 1, 1, 'A', 100.25, '2020-01-02', NULL),
    (11, 2, 2, 'C', -5, '2020-01-02', '9999-12-31');
INSERT INTO legacy_transactions VALUES (1, 10, 'CR', 10.10, 10.10, 'salary', '2024-01-05'),
    (2, 10, 'DR', -0.10, 10, 'tea', '2024-02-05 10:00:00'), (3, 11, 'FE', 1, 9, NULL, '2024-03-01T01:02:03.5'),
    (4, 10, 'IN', '0.01', 10.01, 'interest', '2024-03-31');
"""


def change(path: Path, *statements: str) -> None:
    """Run statements on a SQLite file, and commit them."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.executescript(statement)
        connection.commit()


def write_bank(path: Path, *statements: str) -> Path:
    """Write a legacy database that holds no bad row, then run the statements on it; return its path."""
    change(path, BANK, *statements)
    return path


def environment(**settings: str) -> dict[str, str]:
    """Return this environment with these settings and no others."""
    return {name: value for name, value in os.environ.items() if name not in SETTING_NAMES} | settings


def started(folder: Path, *words: object, largest_file: int | None = None, **settings: str) -> "subprocess.Popen[str]":
    """Start `accounts-migration WORDS` in the folder; no file may outgrow `largest_file`, as on a nearly full disk."""
    # the shell counts in blocks of 512 bytes
    limit = ["/bin/sh", "-c", f'ulimit -f {largest_file // 512}; exec "$@"', "limited"] if largest_file else []
    return subprocess.Popen(  # noqa: S603  # the program under test
        [*limit, str(PROGRAM), *map(str, words)],
        cwd=folder,
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(folder: Path, *words: object, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `accounts-migration WORDS` in the folder to its end."""
    process = started(folder, *words, largest_file=None, **settings)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Be a user whom rights of files stop, and own the folder; root, whom they do not, is `nobody` for the block.

    Not the effective user alone: `os.access` asks for the real one. The saved one stays root, which brings it back.
    """
    if os.geteuid() != 0:
        yield
        return
    nobody, groups = pwd.getpwnam("nobody"), os.getgroups()
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    with ExitStack() as opened:
        for closed in _closed_to_others():
            opened.enter_context(with_mode(closed, stat.S_IMODE(closed.stat().st_mode) | 0o011))
        os.setgroups([])
        os.setresgid(nobody.pw_gid, nobody.pw_gid, 0)
        os.setresuid(nobody.pw_uid, nobody.pw_uid, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)
            os.setresgid(0, 0, 0)
            os.setgroups(groups)


def _closed_to_others() -> list[Path]:
    """Return the folders on the way to the program and its libraries that others may not pass, as root's home is."""
    places = (Path(__file__), Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix), Path(pa.__file__))
    above = {folder for place in places for path in (place, place.resolve()) for folder in path.absolute().parents}
    return sorted(folder for folder in above if not folder.stat().st_mode & 0o001)


@contextmanager
def with_mode(path: Path, mode: int) -> Iterator[None]:
    """Let a file or folder have these rights for the block."""
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def content(url: str) -> dict[str, list[dict[str, Any]]]:
    """Return every row of a target and of its books, in order and in one form for both engines, without `loaded_at`."""
    with open_target(url) as target:
        tables = {name: [row for part in target.scan(name) for row in part.to_pylist()] for name in ENTITIES}
        tables["migration_defect"] = [row for part in target.defects() for row in part.to_pylist()]
        tables["migration_batch"] = [asdict(recorded) for recorded in target.recorded_batches()]
    for recorded in tables["migration_batch"]:
        del recorded["loaded_at"]
    return {name: sorted(rows, key=repr) for name, rows in tables.items()}


def runs_and_events(instance: dg.DagsterInstance) -> str:
    """Return all runs of an instance and what each of them said, as one text: its files hold some of it compressed."""
    texts = []
    for run in instance.get_runs():
        texts.append(serialize_value(run))
        texts += [serialize_value(entry) for entry in instance.all_logs(run.run_id)]
    return "\n".join(texts)


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self.out.replace("│", "").splitlines()]


Here = Callable[..., Said]


def verdict(out: str) -> str:
    """Return the word that a command ends with, as `MIGRATED in 2.1 s`."""
    return out.splitlines()[-1].split()[0]
