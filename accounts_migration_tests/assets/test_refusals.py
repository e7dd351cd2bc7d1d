"""A load refuses rows whose blocking checks did not pass, also in a later run, and then writes nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.schema_versions.changing import downgrade
from accounts_migration.databases.target import open_target

TRANSACTIONS = ("legacy/transactions", "cleaned/transactions", "target/transaction")
TABLES = {"product", "customer", "account", "transaction"}


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path, new_target: Callable[[str, Path], str]) -> str:
    return new_target(request.param, tmp_path)


def loaded(url: str) -> dict[tuple[str, str], int]:
    """Return (entity, batch) -> rows that stand in the target; also rows that no book speaks of."""
    with open_target(url) as target:
        if not target.examine():
            return {}
        found = {(entity, batch): rows for entity in TABLES for batch, rows in target.counts_by_batch(entity).items()}
        recorded = {(one.entity, one.batch): one.loaded for one in target.recorded_batches()}
    assert {place: rows for place, rows in recorded.items() if rows} == {p: rows for p, rows in found.items() if rows}
    return recorded


def test_a_reject_rate_over_the_policy_stops_the_load_in_its_own_run(
    target: str, tmp_path: Path, open_migration: Callable[..., Any]
) -> None:
    with open_migration(tmp_path, target, max_reject_rate=0.24) as migration:
        assert migration.run("legacy/snapshot").success
        run = migration.run(
            "legacy/duplicates", "legacy/accounts", "legacy/customers", "cleaned/customers", "target/customer"
        )
        assert not run.success
        assert migration.checks("cleaned/customers") == {
            ("pandera_schema", None): "SUCCEEDED",
            ("rejects_within_policy", None): "FAILED",
            ("accounting_law", None): "SUCCEEDED",
        }
        figures = migration.evaluation("cleaned/customers", "rejects_within_policy").metadata
        shown = ("rejected rows so far", "rows of the entity", "reject rate", "max_reject_rate")
        assert [figures[name].value for name in shown] == [1, 4, 0.25, 0.24]
        assert loaded(target) == {}
        later = migration.run("target/customer")
        assert migration.refusals(later) == {
            "target__customer": "The load of customer is refused: 1 of 4 rows of legacy_customers are rejected, and "
            "max_reject_rate is 0.24. Mend the source and take a new snapshot, or raise the policy max_reject_rate"
        }
        assert loaded(target) == {}


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, open_migration: Callable[..., Any], new_target: Callable[[str, Path], str]
) -> Iterator[Any]:
    """Clean everything within the policy; nothing is loaded."""
    folder = tmp_path_factory.mktemp("prepared")
    with open_migration(folder, new_target("sqlite", folder)) as migration:
        assert migration.run(job="snapshot").success
        assert migration.run(job="prepare", span=("2024-01", "undated")).success
        yield migration


def refused(migration: Any, asset: str, **how: Any) -> str:
    """Run a load alone and return what it says; nothing may have been written."""
    run = migration.run(asset, **how)
    assert not run.success
    assert loaded(migration.settings.target_db) == {}
    [said] = migration.refusals(run).values()
    return str(said)


@pytest.mark.parametrize("asset", ["target/product", "target/customer", "target/account"])
def test_rows_cleaned_under_other_policies_are_refused(prepared: Any, asset: str) -> None:
    cleaned = {"target/product": "products", "target/customer": "customers", "target/account": "customers"}[asset]
    assert refused(prepared.under(letter_case="keep"), asset) == (
        f"The rows of cleaned/{cleaned}, batch all, cannot be used: they were cleaned under other policies than "
        f"those in force now. Materialize cleaned/{cleaned} again"
    )


def test_a_raised_reject_rate_is_another_policy(prepared: Any) -> None:
    assert "were cleaned under other policies" in refused(prepared.under(max_reject_rate=1.0), "target/customer")


def test_accounts_cleaned_anew_do_not_excuse_parents_cleaned_under_other_policies(prepared: Any) -> None:
    run = prepared.under(letter_case="keep").run("cleaned/accounts")
    assert prepared.refusals(run) == {
        "cleaned__accounts": "The rows of cleaned/customers, batch all, cannot be used: they were cleaned under other "
        "policies than those in force now. Materialize cleaned/customers again"
    }


def test_rows_of_an_older_snapshot_are_refused(
    tmp_path: Path,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
    new_legacy_rows: Callable[[], Any],
    write_legacy: Callable[..., Path],
) -> None:
    with open_migration(tmp_path, new_target("sqlite", tmp_path)) as migration:
        assert migration.run(job="snapshot").success
        assert migration.run(job="prepare", span=("2024-01", "undated")).success
        rows = new_legacy_rows()
        rows["legacy_products"].append((4, "New", "CHK", 0, 0, 0, 0, 1))
        write_legacy(migration.settings.source_db, rows)
        assert migration.run(job="snapshot").success
        assert refused(migration, "target/product") == (
            "Nothing is staged of cleaned/products for batch all: it was not materialized for this run's snapshot. "
            "Materialize cleaned/products (batch all) first"
        )


def test_a_load_without_anything_staged_says_what_to_do(
    tmp_path: Path, open_migration: Callable[..., Any], new_target: Callable[[str, Path], str]
) -> None:
    with open_migration(tmp_path, new_target("sqlite", tmp_path)) as migration:
        assert refused(migration, "target/product").startswith("There is no snapshot of ")
        assert migration.run(job="snapshot").success
        assert refused(migration, "target/transaction", batch="2024-02") == (
            "Nothing is staged of cleaned/customers for batch all: it was not materialized for this run's "
            "snapshot. Materialize cleaned/customers (batch all) first"
        )


def test_what_is_missing_reaches_the_ui_as_a_failure_with_its_remedy(
    tmp_path: Path, open_migration: Callable[..., Any], new_target: Callable[[str, Path], str]
) -> None:
    """Wherever it is found out: when an input is loaded, when it is read, when an output is written."""
    with open_migration(tmp_path, new_target("sqlite", tmp_path)) as migration:
        for asset in ("target/product", "cleaned/products", "legacy/products"):
            shown = failure(migration, asset)
            assert shown["what"].startswith("There is no snapshot of ")
            assert (shown["why"], shown["what to do"]) == ("none was taken yet", "Materialize legacy/snapshot first")
        assert migration.run("legacy/snapshot", "legacy/duplicates", "legacy/accounts").success
        assert failure(migration, "cleaned/products") == {
            "what": "Nothing is staged of legacy/products for batch all",
            "why": "it was not materialized for this run's snapshot",
            "what to do": "Materialize legacy/products (batch all) first",
        }
        assert migration.run("legacy/products").success
        for file in (tmp_path / "home" / "staging").glob("*/legacy/products/all/rows-*.parquet"):
            file.unlink()
        assert failure(migration, "cleaned/products")["what to do"] == "Materialize legacy/products (batch all) again"


def failure(migration: Any, asset: str) -> dict[str, str]:
    """Run one asset and return the metadata of its failure, as the UI shows it."""
    [event] = [event for event in migration.run(asset).all_events if event.is_step_failure]
    shown = event.step_failure_data
    assert shown.error.cls_name == "Failure"
    return {name: value.value for name, value in shown.user_failure_data.metadata.items()}


def test_one_batch_that_is_not_staged_refuses_the_range(
    tmp_path: Path, open_migration: Callable[..., Any], new_target: Callable[[str, Path], str]
) -> None:
    with open_migration(tmp_path, new_target("sqlite", tmp_path)) as migration:
        assert migration.run(job="snapshot").success
        assert migration.run(job="prepare", span=("2024-01", "2024-02")).success
        assert refused(migration, "target/transaction", span=("2024-01", "2024-03")).startswith(
            "Nothing is staged of cleaned/transactions for batch 2024-03"
        )


def test_a_refused_parent_refuses_its_children(
    tmp_path: Path,
    new_target: Callable[[str, Path], str],
    open_migration: Callable[..., Any],
    new_legacy_rows: Callable[[], Any],
) -> None:
    """Of products 1 of 2 is rejected; customers and transactions break nothing, yet nothing below products loads."""
    rows = new_legacy_rows()
    rows["legacy_products"] = [(1, "A", "CHK", 0, 0, 0, 0, 1), (2, "B", "???", 0, 0, 0, 0, 1)]
    rows["legacy_customers"] = rows["legacy_customers"][:1]
    rows["legacy_accounts"] = rows["legacy_accounts"][:1]
    rows["legacy_transactions"] = rows["legacy_transactions"][:2]
    said = (
        "1 of 2 rows of legacy_products are rejected, and max_reject_rate is 0.0. "
        "Mend the source and take a new snapshot, or raise the policy max_reject_rate"
    )
    target = new_target("sqlite", tmp_path)
    with open_migration(tmp_path, target, rows, max_reject_rate=0.0) as migration:
        assert migration.run(job="snapshot").success
        for entity in ("products", "customers", "accounts"):
            migration.run("legacy/duplicates", f"legacy/{entity}", "legacy/accounts", f"cleaned/{entity}")
        assert migration.run("legacy/transactions", "cleaned/transactions", batch="2024-01").success
        assert migration.run("target/customer").success
        for entity, batch in (("product", None), ("account", None), ("transaction", "2024-01")):
            assert migration.refusals(migration.run(f"target/{entity}", batch=batch)) == {
                f"target__{entity}": f"The load of {entity} is refused: {said}"
            }
        assert loaded(target) == {("customer", "all"): 1}


@pytest.fixture
def few_rejects(new_legacy_rows: Callable[[], Any]) -> Any:
    """Return a bank of which only transactions 5 (2024-02) and 11 (undated), of 11, are rejected."""
    rows = new_legacy_rows()
    del rows["legacy_customers"][2], rows["legacy_accounts"][3], rows["legacy_transactions"][8]
    return rows


def test_rejects_of_all_batches_cleaned_so_far_count(
    tmp_path: Path, new_target: Callable[[str, Path], str], open_migration: Callable[..., Any], few_rejects: Any
) -> None:
    """At 0.1 the first reject is within the policy, and the second is not; then no batch may be loaded."""
    target = new_target("sqlite", tmp_path)
    with open_migration(tmp_path, target, few_rejects, max_reject_rate=0.1) as migration:
        assert migration.run(job="snapshot").success
        assert migration.run(job="prepare", batch="2024-02").success
        assert migration.run("legacy/transactions", "cleaned/transactions", batch="2024-01").success
        for entity in ("product", "customer", "account"):
            assert migration.run(f"target/{entity}").success
        assert migration.run("target/transaction", batch="2024-02").success
        before = loaded(target)
        run = migration.run(*TRANSACTIONS, batch="undated")
        assert (run.success, migration.materialized("target/transaction")) == (False, {"2024-02"})
        assert migration.checks("cleaned/transactions")["rejects_within_policy", "undated"] == "FAILED"
        said = (
            "The load of transaction is refused: 2 of 11 rows of legacy_transactions are rejected, and max_reject_rate "
            "is 0.1. Mend the source and take a new snapshot, or raise the policy max_reject_rate"
        )
        for batch in ("undated", "2024-01"):
            refusal = migration.refusals(migration.run("target/transaction", batch=batch))
            assert refusal == {"target__transaction": said}
        assert loaded(target) == before


def test_of_a_range_the_batches_without_rejects_pass(
    tmp_path: Path, open_migration: Callable[..., Any], new_target: Callable[[str, Path], str], few_rejects: Any
) -> None:
    with open_migration(tmp_path, new_target("sqlite", tmp_path), few_rejects, max_reject_rate=0.0) as migration:
        assert migration.run(job="snapshot").success
        assert not migration.run(job="prepare", span=("2024-01", "undated")).success
        stored = migration.checks("cleaned/transactions")
        assert {
            partition: status for (check, partition), status in stored.items() if check == "rejects_within_policy"
        } == {
            "2024-01": "SUCCEEDED",
            "2024-02": "FAILED",
            "2024-03": "SUCCEEDED",
            "undated": "FAILED",
            None: "FAILED",
        }
        metadata = migration.evaluation("cleaned/transactions", "rejects_within_policy").metadata
        assert metadata["failed"].value == "2024-02, undated"
        assert migration.materialized("cleaned/transactions") == {"2024-01", "2024-02", "2024-03", "undated"}


def test_a_batch_that_failed_in_a_range_passes_alone_when_it_is_mended(
    tmp_path: Path,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
    write_legacy: Callable[..., Path],
    few_rejects: Any,
) -> None:
    with open_migration(tmp_path, new_target("sqlite", tmp_path), few_rejects, max_reject_rate=0.0) as migration:
        assert migration.run(job="snapshot").success
        assert not migration.run(job="prepare", span=("2024-01", "undated")).success
        few_rejects["legacy_transactions"][4] = (5, 1, "CR", 1, 7.80, "zq cent", "2024-02-02")
        write_legacy(migration.settings.source_db, few_rejects)
        assert migration.run(job="snapshot").success
        assert migration.run(job="prepare", batch="2024-02").success
        stored = migration.checks("cleaned/transactions")
        assert stored["rejects_within_policy", "2024-02"] == "SUCCEEDED"


def test_a_load_by_hand_into_a_target_of_an_older_version_is_refused(
    target: str, tmp_path: Path, open_migration: Callable[..., Any]
) -> None:
    with open_migration(tmp_path, target) as migration:
        migration.migrate()
        books = migration.books()
        with open_target(target) as opened:
            downgrade(opened, "0001")
        run = migration.run("target/product")
        assert not run.success
        [refused] = migration.refusals(run).values()
        assert "its tables are at version 0001, and this program writes version 0002" in refused
        assert migration.books() == books
