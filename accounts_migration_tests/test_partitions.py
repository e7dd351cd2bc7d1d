"""Batches as partitions: registered by the snapshot, in order, never deleted; a batch that is gone becomes empty."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy

from accounts_migration.partitions import register_batches


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def registered(instance: dg.DagsterInstance) -> list[str]:
    return list(instance.get_dynamic_partitions("batches"))


def test_a_fresh_instance_has_no_batches(instance: dg.DagsterInstance) -> None:
    assert registered(instance) == []


def test_months_stand_in_order_and_undated_last(instance: dg.DagsterInstance) -> None:
    new = register_batches(instance, ["undated", "2024-02", "1900-01", "2100-12", "2024-01"])
    assert new == registered(instance) == ["1900-01", "2024-01", "2024-02", "2100-12", "undated"]


def test_undated_stands_also_without_any_rows(instance: dg.DagsterInstance) -> None:
    assert register_batches(instance, []) == registered(instance) == ["undated"]


def test_batches_that_are_known_are_not_new(instance: dg.DagsterInstance) -> None:
    register_batches(instance, ["2024-01", "2024-02"])
    assert register_batches(instance, ["2024-02", "undated"]) == []
    assert registered(instance) == ["2024-01", "2024-02", "undated"]


def test_a_later_snapshot_adds_and_never_deletes(instance: dg.DagsterInstance) -> None:
    register_batches(instance, ["2024-01", "2024-02"])
    assert register_batches(instance, ["2024-02", "2024-03"]) == ["2024-03"]
    assert sorted(registered(instance)) == ["2024-01", "2024-02", "2024-03", "undated"]


@pytest.fixture(scope="module")
def second_snapshot(
    tmp_path_factory: pytest.TempPathFactory,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
    new_legacy_rows: Callable[[], Any],
    write_legacy: Callable[..., Path],
) -> Iterator[Any]:
    """Migrate everything, then take a second snapshot without March and clean and load one batch of it."""
    folder = tmp_path_factory.mktemp("second")
    with open_migration(folder, new_target("sqlite", folder)) as migration:
        assert registered(migration.instance) == []
        migration.migrate()
        assert registered(migration.instance) == ["2024-01", "2024-02", "2024-03", "undated"]
        rows = new_legacy_rows()
        transactions = rows["legacy_transactions"]
        rows["legacy_transactions"] = [row for row in transactions if not row[-1].startswith("2024-03")]
        rows["legacy_transactions"].append((12, 1, "CR", 5, 5, "zq new", "2024-01-30"))
        write_legacy(migration.settings.source_db, rows)
        assert migration.run(job="snapshot").success
        assert registered(migration.instance) == ["2024-01", "2024-02", "2024-03", "undated"]
        yield migration


def ids(migration: Any) -> list[str]:
    return [row[0] for row in migration.stored("transaction")]


def test_a_batch_that_the_later_snapshot_lacks_becomes_empty_when_it_is_run(second_snapshot: Any) -> None:
    """Step by step: each batch of the second snapshot replaces what the first one loaded."""
    migration = second_snapshot
    for job in ("prepare", "load"):
        assert migration.run(job=job, batch="2024-01").success
    assert ids(migration) == ["TXN-1", "TXN-10", "TXN-12", "TXN-2", "TXN-3", "TXN-4", "TXN-6", "TXN-7", "TXN-9"]
    assert migration.evaluation("validation/reconciliation", "complete").metadata["batches not loaded yet"].value == (
        "transaction 2024-02, transaction 2024-03, transaction undated"
    )
    # what still stands from the first snapshot is missing, not wrong
    assert migration.evaluation("validation/reconciliation", "accounting_law").passed
    assert migration.evaluation("validation/reconciliation", "control_totals").passed
    for job in ("prepare", "load"):
        assert migration.run(job=job, batch="2024-03").success
    assert ids(migration) == ["TXN-1", "TXN-10", "TXN-12", "TXN-2", "TXN-3", "TXN-4", "TXN-6"]
    assert migration.books()["transaction", "2024-03"] == (0, 0, 0, 0)
    assert migration.metadata("target/transaction", "2024-03")["removed"] == 2
    reconciliation = migration.checks("validation/reconciliation")
    assert reconciliation == {
        ("accounting_law", None): "SUCCEEDED",
        ("control_totals", None): "SUCCEEDED",
        ("complete", None): "FAILED",
    }
    for job in ("prepare", "load"):
        assert migration.run(job=job, span=("2024-01", "undated")).success
    assert set(migration.checks("validation/reconciliation").values()) == {"SUCCEEDED"}
    assert set(migration.checks("target/transaction").values()) == {"SUCCEEDED"}


@pytest.fixture
def empty_bank(new_legacy_rows: Callable[[], Any]) -> Any:
    return {table: [] for table in new_legacy_rows()}


def test_a_bank_without_any_rows_is_migrated_through_undated(
    tmp_path: Path, open_migration: Callable[..., Any], new_target: Callable[[str, Path], str], empty_bank: Any
) -> None:
    with open_migration(tmp_path, new_target("sqlite", tmp_path), empty_bank) as migration:
        migration.migrate()
        assert registered(migration.instance) == ["undated"]
        assert migration.books() == {
            ("product", "all"): (0, 0, 0, 0),
            ("customer", "all"): (0, 0, 0, 0),
            ("account", "all"): (0, 0, 0, 0),
            ("transaction", "undated"): (0, 0, 0, 0),
        }
        checks = [migration.checks(f"target/{entity}") for entity in ("product", "customer", "account", "transaction")]
        assert [set(found.values()) for found in checks] == [{"SUCCEEDED"}] * 4
        assert migration.run("validation/content").success
        assert set(migration.checks("validation/content").values()) == {"SUCCEEDED"}
        assert set(migration.checks("validation/reconciliation").values()) == {"SUCCEEDED"}


def test_another_process_may_register_the_same_batches_at_the_same_time(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = instance.add_dynamic_partitions

    def add_after_another(name: str, batches: list[str]) -> None:
        monkeypatch.undo()
        add(name, batches[:1])
        raise sqlalchemy.exc.IntegrityError("INSERT INTO dynamic_partitions", batches, ValueError("UNIQUE"))

    monkeypatch.setattr(instance, "add_dynamic_partitions", add_after_another)
    assert register_batches(instance, ["2024-01", "2024-02"]) == ["2024-02", "undated"]
    assert registered(instance) == ["2024-01", "2024-02", "undated"]
