"""Fixtures that several test modules share: a real PostgreSQL server, fresh targets, a small bank.

Here: what is needed to stand before a test begins. Not here: anything that is asserted.
"""

import contextlib
import dataclasses
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pyarrow as pa
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from psycopg import sql

from accounts_migration.cli import app_main
from accounts_migration.databases.embedded_postgres import embedded_postgres
from accounts_migration.databases.target import BatchLoaded, BatchToLoad, Snapshot, Target, open_target
from accounts_migration.databases.target_schema import canonical_schema
from accounts_migration.definitions import build_defs
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.instance import open_instance
from accounts_migration.settings import Settings
from accounts_migration_tests.commands import SETTING_NAMES, Here, Said

_NUMBERS = count(1)

_IN_MEMORY = Path("/dev/shm")  # noqa: S108  # Linux's file system in memory, if it has one
_BYTES_ENOUGH = 2 * 2**30


def pytest_configure() -> None:
    """Let the tests' folders be in memory where there is room: a slow disk is half of their time, and proves nothing.

    What the tests kill is processes, and what a process has written stays without a disk, too. PostgreSQL's data stay
    on the disk: they are large, and its test server does not wait for it.
    """
    if _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free >= _BYTES_ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Run one PostgreSQL server for the whole session; yields the URL of its database `accounts`."""
    folder = Path(tempfile.mkdtemp(prefix="accounts-migration-tests-"))
    # run by root, the server has an account of its own, which must get there
    folder.chmod(0o711)
    try:
        with embedded_postgres(folder, durable=False) as url:
            yield url
    finally:
        shutil.rmtree(folder)


def run_sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements on a target, each committed, and return the rows of the last."""
    rows: list[tuple[Any, ...]] = []
    with open_target(url) as target:
        for statement in statements:
            rows = target.session.execute(statement)
    return rows


@pytest.fixture(name="run_sql", scope="session")
def run_sql_fixture() -> Any:
    """Return the function `run_sql(url, *statements)`."""
    return run_sql


@pytest.fixture(scope="session")
def new_database(postgres_server: str) -> Callable[..., str]:
    """Return a function (template) -> the URL of a new database, which is empty where no template is named."""

    def created(template: str = "template0") -> str:
        name = f"test_{next(_NUMBERS)}"
        # not as a target: to open one takes longer than to make a database
        with psycopg.connect(postgres_server, autocommit=True) as server:
            server.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return postgres_server.replace("/accounts?", f"/{name}?")

    return created


@pytest.fixture
def postgres_url(new_database: Callable[..., str]) -> str:
    """Create an empty PostgreSQL database and return its URL."""
    return new_database()


@pytest.fixture
def quoted_schema_url(postgres_url: str) -> str:
    """Return the URL of an empty PostgreSQL database whose current schema has a name that must be quoted."""
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    run_sql(
        postgres_url,
        'CREATE SCHEMA "The ""Bank"""',
        f'ALTER DATABASE {name} SET search_path = "The ""Bank""", public',
    )
    return postgres_url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the path of a target that is not there yet."""
    return str(tmp_path / "target.db")


@pytest.fixture(params=["sqlite_url", "postgres_url"], ids=["sqlite", "postgresql"])
def target_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty target, once for each engine."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def target(target_url: str) -> Iterator[Target]:
    """Open an empty target with its tables, once for each engine."""
    with open_target(target_url) as opened:
        opened.prepare()
        yield opened


class Bank:
    """A small bank: rows in canonical form, and loading them."""

    snapshot = Snapshot("snapshot-1", "/legacy.db", "ab" * 32, datetime(2025, 1, 2, 3, 4, 5))

    def rows(self, entity: str, values: Iterable[Sequence[object]]) -> pa.RecordBatch:
        """Return rows, columns in the order of contract section 6, money in cents and rates in millionths."""
        schema = canonical_schema(entity)
        columns = list(zip(*values, strict=True)) or [()] * len(schema)
        return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)

    def product(self, *numbers: int, name: str = "Basic") -> pa.RecordBatch:
        """Return products of these numbers."""
        when = self.snapshot.taken_at
        values = [(f"PROD-{n:03d}", name, "CHECKING", 2_500_000, 50, 300, 10_000, when) for n in numbers]
        return self.rows("product", values)

    def customer(self, *numbers: int, name: str = "Ada") -> pa.RecordBatch:
        """Return customers of these numbers."""
        when = self.snapshot.taken_at
        return self.rows("customer", [(f"CUST-{n:04d}", name, "Byron", None, "555", when) for n in numbers])

    def account(self, *numbers: int, customer: int = 1, product: int = 1, balance: int = 100) -> pa.RecordBatch:
        """Return accounts of these numbers."""
        owner, when = (f"CUST-{customer:04d}", f"PROD-{product:03d}"), self.snapshot.taken_at
        opened = date(2020, 1, 2)
        values = [(f"ACCT-{n:08d}", *owner, "ACTIVE", balance, opened, None, when, when) for n in numbers]
        return self.rows("account", values)

    def transaction(
        self, *numbers: int, when: str = "2024-03-05", account: int = 1, amount: int = 1234
    ) -> pa.RecordBatch:
        """Return transactions of these numbers."""
        moment, owner = datetime.fromisoformat(when), f"ACCT-{account:08d}"
        values = [(f"TXN-{n}", owner, "CREDIT", amount, -5, "ref", moment) for n in numbers]
        return self.rows("transaction", values)

    def defect(self, entity: str, batch: str, key: str, *, action: str = "rejected", old: str = "x") -> pa.RecordBatch:
        """Return one defect record."""
        values = [(entity, batch, key, 1, action, "SUB_CENT", "SUB_CENT", "amount", old, None, "{}")]
        return self.rows("migration_defect", values)

    def load(
        self,
        target: Target,
        entity: str,
        rows: pa.RecordBatch | Iterable[pa.RecordBatch],
        batch: str = "all",
        **changes: Any,
    ) -> BatchLoaded:
        """Load a batch; `changes` are fields of BatchToLoad, `source_rows` by default fits the rows."""
        parts = [rows] if isinstance(rows, pa.RecordBatch) else rows
        defects = changes.pop("defects", [])
        to_load = BatchToLoad(
            entity=entity,
            batch=batch,
            snapshot=self.snapshot,
            policies='{"letter_case": "title"}',
            policies_digest="policies-1",
            content_digest="digest",
            source_rows=rows.num_rows if isinstance(rows, pa.RecordBatch) else 0,
            rejected=0,
            excluded=0,
            control_totals="{}",
            rows=parts,
            defects=defects,
        )
        return target.load_batch(dataclasses.replace(to_load, **changes))

    def load_parents(self, target: Target) -> None:
        """Load products 1 and 2, customers 1 and 2, and accounts 1 to 3 of customer 1."""
        self.load(target, "product", self.product(1, 2))
        self.load(target, "customer", self.customer(1, 2))
        self.load(target, "account", self.account(1, 2, 3))

    def stored(self, target: Target, entity: str, batch: str | None = None) -> list[dict[str, Any]]:
        """Return the rows that stand in the target, ordered by key; none may be inexact."""
        rows = [row for part in target.scan(entity, batch) for row in part.to_pylist()]
        assert [row for row in rows if row.pop("inexact") is not None] == []
        return sorted(rows, key=lambda row: str(next(iter(row.values()))))

    def keys(self, target: Target, entity: str, batch: str | None = None) -> list[str]:
        """Return the keys that stand in the target, in order."""
        return [row[f"{entity}_id"] for row in self.stored(target, entity, batch)]


@pytest.fixture
def bank() -> Bank:
    """Return the sample bank."""
    return Bank()


LEGACY_COLUMNS = {entity.legacy_table: entity.legacy_columns for entity in ENTITIES.values()}


def legacy_rows() -> dict[str, list[tuple[Any, ...]]]:
    """Return a legacy bank by hand: three months and `undated`, and a defect of every action.

    Of each entity but product exactly a quarter of the rows is rejected. ZQ marks personal data.
    """
    return {
        "legacy_products": [
            (1, "BASIC CHECKING", "CHK", 0.5, 1.25, 3, 100, 1),
            (2, "Current Plus", "cur", "1.250", 0, 0, 0, "Y"),
            (3, "Old", "CHK", 0, 0, 0, 0, 0),  # INACTIVE
        ],
        "legacy_customers": [
            (1, "ZQADA", "ZQBYRON", "ZQ.Ada@example.com", "555-ZQ1", "2020-01-02", "ACTIVE"),
            (2, "Zqgrace", "Zqhopper", None, None, None, "ACTIVE"),  # DEFAULTED
            (3, "Zqalan", "Zqturing", "zq.alan@@example.com", "555-ZQ3", "2020-01-02", "ACTIVE"),  # INVALID_EMAIL
            (4, "Zqidle", "Zqhands", "zq.idle@example.com", "555-ZQ4", "2020-01-02", "CLOSED"),  # INACTIVE
        ],
        "legacy_accounts": [
            (1, 1, 1, "A", 100.10, "2020-01-02", None),
            (2, 1, 2, "a", "-5.5", "2020-01-03 00:00:00", "9999-12-31"),  # SENTINEL_DATE
            (3, 2, 1, "C", 0, "2020-02-02", "2021-01-01"),
            (4, 3, 1, "A", 70, "2020-02-03", None),  # PARENT_REJECTED
        ],
        "legacy_transactions": [
            (1, 1, "CR", 10, 10, "zq salary", "2024-01-01"),
            (2, 1, "DR", -3.25, 6.75, None, "2024-01-02 10:11:12"),
            (3, 2, "FE", -1, -1, " zq fee", "2024-01-31T23:59:59.5"),
            (4, 1, "IN", 0.05, 6.80, "zq interest", "2024-02-01"),
            (5, 1, "CR", 1.005, 7.80, "zq sub-cent", "2024-02-02"),  # SUB_CENT
            (6, 3, "cr", 20, 20, "zq twice", "2024-02-03"),
            (6, 3, "cr", 20, 20, "zq twice", "2024-02-03"),  # EXACT_DUPLICATE
            (7, 2, "DR", 4.50, -5.50, "zq rent", "2024-03-04"),
            (8, 4, "CR", 70, 70, "zq orphaned", "2024-03-05"),  # PARENT_REJECTED
            (9, 3, "DR", -20, 0, "zq gone", "2024-03-06"),
            (10, 1, "CR", 2, 8.80, "zq blank", " 2024-02-05 10:00"),  # a row of `undated`
            (11, 1, "CR", 3, 11.80, "zq undated", "yesterday"),  # INVALID_DATE
        ],
    }


def write_legacy(path: Path, rows: Mapping[str, Iterable[Sequence[object]]]) -> Path:
    """Write a legacy database, its columns without types, in place of an earlier one; return its path."""
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for table, columns in LEGACY_COLUMNS.items():
            connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            places = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows[table])  # noqa: S608  # our own names
    return path


class Migration:
    """A migration on a real Dagster instance: runs as the UI launches them, and what they left behind."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        """Take the definitions for these settings."""
        self.settings = settings
        self.instance = instance
        self.definitions = build_defs(settings=settings)

    def under(self, **policies: Any) -> "Migration":
        """Return the same migration under other policies."""
        changed = self.settings.policies.model_copy(update=policies)
        return Migration(self.settings.model_copy(update={"policies": changed}), self.instance)

    def run(
        self, *assets: str, job: str = "__ASSET_JOB", batch: str | None = None, span: tuple[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run a job, or only some of its assets; for one batch, for a range of them, or for none."""
        tags = dict(
            zip((ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG), span, strict=True) if span else ()
        )
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            partition_key=batch,
            asset_selection=[dg.AssetKey.from_user_string(name) for name in assets] or None,
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def migrate(self) -> None:
        """Take the snapshot, then prepare and load all batches as ranges; all must succeed."""
        assert self.run(job="snapshot").success
        keys = self.instance.get_dynamic_partitions("batches")
        for job in ("prepare", "load"):
            assert self.run(job=job, span=(keys[0], keys[-1])).success

    def materialized(self, asset: str) -> set[str]:
        """Return the materialized partitions of an asset."""
        return set(self.instance.get_materialized_partitions(dg.AssetKey.from_user_string(asset)))

    def metadata(self, asset: str, partition: str | None = None) -> dict[str, Any]:
        """Return the metadata of an asset's latest materialization, of one partition if it is named."""
        wanted = dg.AssetRecordsFilter(
            dg.AssetKey.from_user_string(asset), asset_partitions=None if partition is None else [partition]
        )
        [record] = self.instance.fetch_materializations(wanted, limit=1).records
        assert record.asset_materialization is not None
        return {name: value.value for name, value in record.asset_materialization.metadata.items()}

    def books(self) -> dict[tuple[str, str], tuple[int, int, int, int]]:
        """Return (entity, batch) -> source rows, loaded, rejected and excluded as the target recorded them."""
        assert self.settings.target_db is not None
        with open_target(self.settings.target_db) as target:
            recorded = target.recorded_batches()
        return {(one.entity, one.batch): (one.source_rows, one.loaded, one.rejected, one.excluded) for one in recorded}

    def checks(self, asset: str) -> dict[tuple[str, str | None], str]:
        """Return (check, partition) -> status as stored last."""
        key = dg.AssetKey.from_user_string(asset)
        graph = self.definitions.resolve_asset_graph()
        found: dict[tuple[str, str | None], str] = {}
        for check in graph.get_check_keys_for_assets({key}):
            for record in self.instance.event_log_storage.get_asset_check_execution_history(check, limit=1000):
                found.setdefault((check.name, record.partition), record.status.value)
        return found

    def evaluation(self, asset: str, check: str, partition: str | None = None) -> dg.AssetCheckEvaluation:
        """Return the evaluation of a check as stored last."""
        key = dg.AssetCheckKey(dg.AssetKey.from_user_string(asset), check)
        for record in self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1000):
            if record.partition == partition and record.evaluation is not None:
                return record.evaluation
        raise LookupError(f"{asset} {check} was not evaluated for {partition}")

    def stored(self, entity: str) -> list[tuple[Any, ...]]:
        """Return the rows of a table of the target in canonical form, ordered by key."""
        assert self.settings.target_db is not None
        with open_target(self.settings.target_db) as target:
            rows = [row for part in target.scan(entity) for row in part.to_pylist()]
        assert [row for row in rows if row.pop("inexact") is not None] == []
        return sorted(tuple(row.values()) for row in rows)

    @staticmethod
    def refusals(run: dg.ExecuteInProcessResult) -> dict[str, str]:
        """Return step -> what was refused and why, of the steps of a run that failed; any other error as it is."""
        found: dict[str, str] = {}
        for event in run.all_events:
            error = event.step_failure_data.error if event.is_step_failure else None
            while error is not None:
                kind, _, message = str(error.message).partition(": ")
                found.setdefault(str(event.step_key), str(error.message))
                if kind.endswith(("MigrationError", "UsageError")):
                    found[str(event.step_key)] = message.strip()
                    break
                error = error.cause
        return found


@pytest.fixture(scope="session")
def new_target(new_database: Callable[..., str]) -> Callable[[str, Path], str]:
    """Return a function (engine, folder) -> the URL of an empty target."""

    def create(engine: str, folder: Path) -> str:
        if engine == "sqlite":
            return str(folder / f"target_{next(_NUMBERS)}.db")
        return new_database()

    return create


@pytest.fixture(scope="session")
def copy_postgres(new_database: Callable[..., str]) -> Callable[[str], str]:
    """Return a function URL -> the URL of a new database of the same content."""

    def copied(url: str) -> str:
        return new_database(url.rpartition("?")[0].rpartition("/")[2])

    return copied


@pytest.fixture(scope="session")
def open_migration() -> Callable[..., Any]:
    """Return a context manager (folder, target, rows, policies) -> Migration, on an instance of its own."""

    @contextlib.contextmanager
    def opened(
        folder: Path, target: str, rows: Mapping[str, Iterable[Sequence[object]]] | None = None, **policies: Any
    ) -> Iterator[Migration]:
        settings = Settings(
            source_db=write_legacy(folder / "legacy.db", rows or legacy_rows()),
            target_db=target,
            migration_home=folder / "home",
            policies=Policies(**{"max_reject_rate": 0.25, **policies}),
        )
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("DAGSTER_HOME", str(folder / "dagster"))
            with open_instance(folder / "dagster", is_ours=True) as instance:
                yield Migration(settings, instance)

    return opened


@pytest.fixture(name="new_legacy_rows", scope="session")
def new_legacy_rows_fixture() -> Callable[[], dict[str, list[tuple[Any, ...]]]]:
    """Return the function `legacy_rows()`: rows to be changed and given to `open_migration`."""
    return legacy_rows


@pytest.fixture(name="write_legacy", scope="session")
def write_legacy_fixture() -> Callable[..., Path]:
    """Return the function `write_legacy(path, rows)`."""
    return write_legacy


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Return a function that runs a command in this process, in the test's folder."""
    for name in SETTING_NAMES:
        monkeypatch.setenv(name, "")
    monkeypatch.chdir(tmp_path)

    def run(*words: object, **settings: str) -> Said:
        for name in SETTING_NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["accounts-migration", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            app_main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Said(int(ended.value.code or 0), said.out, said.err)

    return run
