"""Real runs on a real instance, as the jobs and the UI launch them: what is materialized, checked and loaded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

BATCHES = {"2024-01", "2024-02", "2024-03", "undated"}
TRANSACTIONS = ("legacy/transactions", "cleaned/transactions", "target/transaction")
PARENTS = [
    ("legacy/products", "cleaned/products", "target/product"),
    ("legacy/customers", "cleaned/customers", "target/customer"),
    ("legacy/accounts", "cleaned/accounts", "target/account"),
]
CLEANED_CHECKS = ("pandera_schema", "rejects_within_policy", "accounting_law")
TARGET_CHECKS = ("accounting_law", "control_totals", "content")
TRANSACTION_ROWS = {
    "2024-01": [
        ("TXN-1", "ACCT-00000001", "CREDIT", 1000, 1000, "zq salary", datetime(2024, 1, 1)),
        ("TXN-2", "ACCT-00000001", "DEBIT", 325, 675, "", datetime(2024, 1, 2, 10, 11, 12)),
        ("TXN-3", "ACCT-00000002", "FEE", 100, -100, " zq fee", datetime(2024, 1, 31, 23, 59, 59, 500000)),
    ],
    "2024-02": [
        ("TXN-4", "ACCT-00000001", "INTEREST", 5, 680, "zq interest", datetime(2024, 2, 1)),
        ("TXN-6", "ACCT-00000003", "CREDIT", 2000, 2000, "zq twice", datetime(2024, 2, 3)),
    ],
    "2024-03": [
        ("TXN-7", "ACCT-00000002", "DEBIT", 450, -550, "zq rent", datetime(2024, 3, 4)),
        ("TXN-9", "ACCT-00000003", "DEBIT", 2000, 0, "zq gone", datetime(2024, 3, 6)),
    ],
    "undated": [("TXN-10", "ACCT-00000001", "CREDIT", 200, 880, "zq blank", datetime(2024, 2, 5, 10))],
}


def rows_of(*batches: str) -> list[tuple[Any, ...]]:
    return sorted(row for batch in batches for row in TRANSACTION_ROWS[batch])


def succeeded(checks: tuple[str, ...], *partitions: str | None) -> dict[tuple[str, str | None], str]:
    return {(check, partition): "SUCCEEDED" for check in checks for partition in partitions}


def snapshot_time(migration: Any) -> datetime:
    return datetime.fromisoformat(migration.metadata("legacy/snapshot")["taken_at"]).replace(tzinfo=None)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def whole(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
) -> Iterator[Any]:
    """Migrate everything through the jobs, once for each engine; the tests only read it."""
    folder = tmp_path_factory.mktemp("whole")
    with open_migration(folder, new_target(request.param, folder)) as migration:
        migration.migrate()
        yield migration


@pytest.fixture(params=["sqlite", "postgresql"])
def migration(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
) -> Iterator[Any]:
    """Open a migration of which nothing has run yet, once for each engine."""
    with open_migration(tmp_path, new_target(request.param, tmp_path)) as opened:
        yield opened


class TestTheWholeMigration:
    """Everything through the jobs, all batches as one range."""

    def test_every_batch_is_materialized(self, whole: Any) -> None:
        assert {name: whole.materialized(name) for name in TRANSACTIONS} == dict.fromkeys(TRANSACTIONS, BATCHES)

    def test_products_are_loaded(self, whole: Any) -> None:
        taken = snapshot_time(whole)
        assert whole.stored("product") == [
            ("PROD-001", "Basic Checking", "CHECKING", 500_000, 125, 300, 10_000, taken),
            ("PROD-002", "Current Plus", "CURRENT", 1_250_000, 0, 0, 0, taken),
        ]

    def test_customers_are_loaded(self, whole: Any) -> None:
        assert whole.stored("customer") == [
            ("CUST-0001", "Zqada", "Zqbyron", "zq.ada@example.com", "555-ZQ1", datetime(2020, 1, 2)),
            ("CUST-0002", "Zqgrace", "Zqhopper", None, None, snapshot_time(whole)),
        ]

    def test_accounts_are_loaded(self, whole: Any) -> None:
        taken = snapshot_time(whole)
        opened, closed = date(2020, 2, 2), date(2021, 1, 1)
        assert whole.stored("account") == [
            ("ACCT-00000001", "CUST-0001", "PROD-001", "ACTIVE", 10_010, date(2020, 1, 2), None, taken, taken),
            ("ACCT-00000002", "CUST-0001", "PROD-002", "ACTIVE", -550, date(2020, 1, 3), None, taken, taken),
            ("ACCT-00000003", "CUST-0002", "PROD-001", "CLOSED", 0, opened, closed, taken, taken),
        ]

    def test_transactions_are_loaded(self, whole: Any) -> None:
        assert whole.stored("transaction") == rows_of(*BATCHES)

    def test_every_row_is_accounted_for(self, whole: Any) -> None:
        assert whole.books() == {
            ("product", "all"): (3, 2, 0, 1),
            ("customer", "all"): (4, 2, 1, 1),
            ("account", "all"): (4, 3, 1, 0),
            ("transaction", "2024-01"): (3, 3, 0, 0),
            ("transaction", "2024-02"): (4, 2, 1, 1),
            ("transaction", "2024-03"): (3, 2, 1, 0),
            ("transaction", "undated"): (2, 1, 1, 0),
        }

    def test_every_row_that_was_not_loaded_as_it_stood_is_a_defect(
        self, whole: Any, run_sql: Callable[..., Any]
    ) -> None:
        query = "SELECT entity, batch, source_key, action, reasons FROM migration_defect ORDER BY 1, 2, 3"
        assert run_sql(whole.settings.target_db, query) == [
            ("account", "all", "2", "repaired", "SENTINEL_DATE"),
            ("account", "all", "4", "rejected", "PARENT_REJECTED"),
            ("customer", "all", "2", "repaired", "DEFAULTED"),
            ("customer", "all", "3", "rejected", "INVALID_EMAIL"),
            ("customer", "all", "4", "excluded", "INACTIVE"),
            ("product", "all", "3", "excluded", "INACTIVE"),
            ("transaction", "2024-02", "5", "rejected", "SUB_CENT"),
            ("transaction", "2024-02", "6", "excluded", "EXACT_DUPLICATE"),
            ("transaction", "2024-03", "8", "rejected", "PARENT_REJECTED"),
            ("transaction", "undated", "11", "rejected", "INVALID_DATE"),
        ]

    @pytest.mark.parametrize("chain", PARENTS, ids=lambda chain: chain[2])
    def test_every_check_of_an_entity_without_batches_passed(self, whole: Any, chain: tuple[str, str, str]) -> None:
        assert whole.checks(chain[1]) == succeeded(CLEANED_CHECKS, None)
        assert whole.checks(chain[2]) == succeeded(TARGET_CHECKS, None)

    def test_every_check_of_every_batch_passed_and_none_stays_planned(self, whole: Any) -> None:
        assert whole.checks("cleaned/transactions") == succeeded(CLEANED_CHECKS, None, *BATCHES)
        assert whole.checks("target/transaction") == succeeded(TARGET_CHECKS, None, *BATCHES)

    def test_every_check_of_the_validation_passed(self, whole: Any) -> None:
        assert whole.checks("validation/referential_integrity") == {("no_orphans", None): "SUCCEEDED"}
        assert whole.checks("validation/reconciliation") == succeeded(
            ("accounting_law", "control_totals", "complete"), None
        )

    def test_the_content_of_every_entity_is_proved_on_demand(self, whole: Any) -> None:
        assert whole.run("validation/content").success
        found = whole.checks("validation/content")
        assert found == succeeded(("product", "customer", "account", "transaction"), None)

    @pytest.mark.parametrize(
        ("asset", "batch", "rows"), [("target/transaction", "2024-02", 2), ("cleaned/transactions", "undated", 1)]
    )
    def test_a_materialization_of_a_range_tells_the_rows_of_each_batch(
        self, whole: Any, asset: str, batch: str, rows: int
    ) -> None:
        assert whole.metadata(asset, batch)["rows"] == rows

    def test_the_raw_rows_of_each_batch_are_told(self, whole: Any) -> None:
        found = {b: whole.metadata("legacy/transactions", b)["dagster/partition_row_count"] for b in BATCHES}
        assert found == {"2024-01": 3, "2024-02": 4, "2024-03": 3, "undated": 2}


@dataclass(frozen=True)
class State:
    """What a step of the migration by hand left: the transactions' partitions, rows and checks."""

    materialized: list[set[str]]
    transactions: list[tuple[Any, ...]]
    cleaned: dict[tuple[str, str | None], str]
    loaded: dict[tuple[str, str | None], str]
    books: dict[tuple[str, str], tuple[int, int, int, int]]
    written: dict[str, int]


def state(migration: Any, batch: str) -> State:
    metadata = migration.metadata("target/transaction", batch)
    return State(
        [migration.materialized(name) for name in TRANSACTIONS],
        migration.stored("transaction"),
        migration.checks("cleaned/transactions"),
        migration.checks("target/transaction"),
        migration.books(),
        {name: metadata[name] for name in ("rows", "inserted", "updated", "removed")},
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def by_hand(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
    write_legacy: Callable[..., Path],
) -> Iterator[dict[str, State]]:
    """Migrate as a person does in the UI, run by run; the tests read what each step left."""
    folder = tmp_path_factory.mktemp("by_hand")
    states = {}
    with open_migration(folder, new_target(request.param, folder)) as migration:
        for link in ("legacy/snapshot", "legacy/duplicates", "legacy/accounts", *PARENTS[0], *PARENTS[1]):
            assert migration.run(link).success
        assert migration.run("cleaned/accounts", "target/account").success
        for link in TRANSACTIONS:
            assert migration.run(link, batch="2024-02").success
        states["one batch, link by link"] = state(migration, "2024-02")
        assert migration.run(*TRANSACTIONS, span=("undated", "undated")).success
        states["a range of one batch"] = state(migration, "undated")
        assert migration.run(*TRANSACTIONS, span=("2024-01", "2024-03")).success
        states["a range"] = state(migration, "2024-02")
        assert migration.run(*TRANSACTIONS, batch="2024-02").success
        states["one batch again"] = state(migration, "2024-02")
        rows = legacy_rows_with_a_mended_cent(request.getfixturevalue("new_legacy_rows")())
        write_legacy(migration.settings.source_db, rows)
        assert migration.run("legacy/snapshot").success
        assert migration.run("legacy/duplicates", *(link for chain in PARENTS for link in chain)).success
        assert migration.run(*TRANSACTIONS, batch="2024-02").success
        states["one batch, mended in the source"] = state(migration, "2024-02")
    yield states


def legacy_rows_with_a_mended_cent(rows: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    rows["legacy_transactions"][4] = (5, 1, "CR", 1, 7.80, "zq cent", "2024-02-02")
    return rows


class TestTheMigrationByHand:
    """Links and batches in runs of their own."""

    @pytest.mark.parametrize(
        ("step", "batches"),
        [
            ("one batch, link by link", {"2024-02"}),
            ("a range of one batch", {"2024-02", "undated"}),
            ("a range", BATCHES),
            ("one batch again", BATCHES),
        ],
    )
    def test_exactly_the_batches_run_are_materialized_checked_and_loaded(
        self, by_hand: dict[str, State], step: str, batches: set[str]
    ) -> None:
        found = by_hand[step]
        assert found.materialized == [batches] * 3
        assert found.cleaned == succeeded(CLEANED_CHECKS, None, *batches)
        assert found.loaded == succeeded(TARGET_CHECKS, None, *batches)
        assert found.transactions == rows_of(*batches)

    def test_a_first_load_inserts_its_rows(self, by_hand: dict[str, State]) -> None:
        written = {"rows": 2, "inserted": 2, "updated": 0, "removed": 0}
        assert by_hand["one batch, link by link"].written == written

    def test_a_batch_again_writes_no_row(self, by_hand: dict[str, State]) -> None:
        assert by_hand["one batch again"].written == {"rows": 2, "inserted": 0, "updated": 0, "removed": 0}

    def test_a_month_mended_in_the_source_is_brought_up_to_date_alone(self, by_hand: dict[str, State]) -> None:
        found = by_hand["one batch, mended in the source"]
        mended = ("TXN-5", "ACCT-00000001", "CREDIT", 100, 780, "zq cent", datetime(2024, 2, 2))
        assert found.transactions == sorted([*rows_of(*BATCHES), mended])
        assert found.written == {"rows": 3, "inserted": 1, "updated": 0, "removed": 0}
        assert found.books["transaction", "2024-02"] == (4, 3, 0, 1)
        assert found.books["transaction", "2024-03"] == (3, 2, 1, 0)
        assert found.loaded == succeeded(TARGET_CHECKS, None, *BATCHES)


def test_all_assets_at_once_for_a_range(migration: Any) -> None:
    assert migration.run("legacy/snapshot").success
    assert migration.run(span=("2024-01", "undated")).success
    assert migration.stored("transaction") == rows_of(*BATCHES)
    assert migration.checks("target/transaction") == succeeded(TARGET_CHECKS, None, *BATCHES)
    assert migration.checks("validation/content") == succeeded(("product", "customer", "account", "transaction"), None)


def test_the_jobs_for_one_batch_say_what_is_missing(
    tmp_path: Path, open_migration: Callable[..., Any], new_target: Callable[[str, Path], str]
) -> None:
    with open_migration(tmp_path, new_target("sqlite", tmp_path)) as migration:
        assert migration.run(job="snapshot").success
        assert migration.run(job="prepare", batch="undated").success
        assert migration.run(job="load", batch="undated").success
        assert migration.stored("transaction") == rows_of("undated")
        assert migration.checks("validation/reconciliation") == {
            ("accounting_law", None): "SUCCEEDED",
            ("control_totals", None): "SUCCEEDED",
            ("complete", None): "FAILED",
        }
        assert migration.evaluation("validation/reconciliation", "complete").metadata[
            "batches not loaded yet"
        ].value == ("transaction 2024-01, transaction 2024-02, transaction 2024-03")
