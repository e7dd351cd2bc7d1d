"""The preflight in Dagster: its checks, and what they let through."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from accounts_migration.errors import MigrationError
from accounts_migration.migration import migrate

CLOSED = "2020-01-01T22:00/2020-01-02T06:00"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, open_migration: Callable[..., Any]) -> Iterator[Any]:
    """A migration whose rows are cleaned, and nothing is loaded."""
    folder = tmp_path_factory.mktemp("prepared")
    with open_migration(folder, str(folder / "target.db")) as migration:
        assert migration.run(job="snapshot").success
        keys = migration.instance.get_dynamic_partitions("batches")
        assert migration.run(job="prepare", span=(keys[0], keys[-1])).success
        yield migration


def under(migration: Any, **settings: Any) -> Any:
    """Return the same migration under other settings."""
    return type(migration)(migration.settings.model_copy(update=settings), migration.instance)


def test_an_item_that_failed_stops_the_loads_of_its_run(prepared: Any) -> None:
    run = prepared.run("operations/target_backup", "preflight", "target/product", "target/customer")
    assert not run.success
    failed = prepared.evaluation("preflight", "data_volume_assessed")
    assert (failed.passed, failed.severity, failed.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    assert failed.metadata["finding"].value == "no plan was made for this source and target"
    unset = prepared.evaluation("preflight", "migration_window")
    assert (unset.passed, unset.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert unset.metadata["verdict"].value == "not configured"
    backup = prepared.evaluation("preflight", "backup_strategy")
    assert (backup.passed, backup.metadata["rows"].value) == (True, 0)
    assert not Path(prepared.settings.target_db).exists()


def test_a_load_refuses_outside_the_window(prepared: Any) -> None:
    run = under(prepared, migration_window=CLOSED).run("target/product")
    why = prepared.refusals(run)["target__product"]
    assert why.startswith("The load of product is refused: migration_window: 2020-01-01T22:00")
    assert not Path(prepared.settings.target_db).exists()


def test_a_load_refuses_without_its_approval(prepared: Any, tmp_path: Path) -> None:
    run = under(prepared, migration_approval_file=tmp_path / "none.toml").run("target/product")
    why = prepared.refusals(run)["target__product"]
    assert "stakeholder_approval: nothing can be approved: no plan was made" in why


def test_when_all_items_hold_the_loads_go_on_and_one_month_alone_needs_none_of_them(prepared: Any) -> None:
    assert prepared.run(job="assess").success
    assert prepared.run("operations/target_backup", "preflight", "target/product", "target/customer").success
    assert prepared.run("target/account").success
    assert prepared.run("target/transaction", batch="2024-01").success
    now = under(prepared, migration_window="2020-01-01T22:00/2090-01-02T06:00")
    assert now.run("target/transaction", batch="2024-02").success


def test_what_migrate_judged_is_seen_in_the_ui(prepared: Any) -> None:
    with pytest.raises(MigrationError):
        migrate(under(prepared, migration_window=CLOSED).settings, [], prepared.instance)
    seen = prepared.evaluation("preflight", "migration_window")
    assert (seen.passed, seen.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert prepared.evaluation("preflight", "target_rights").passed
