"""A phased migration: which batches a phase moves, and that no phase starts before its predecessors have passed."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError
from accounts_migration.migration import migrate, phase_progress, run_phase
from accounts_migration.outcome import Outcome
from accounts_migration.phases import PHASES, next_phase
from accounts_migration.resources import LegacyResource
from accounts_migration_tests.commands import content

MONTHS = [f"{year}-{month:02}" for year in (2023, 2024) for month in range(1, 13)]


@pytest.mark.parametrize(
    ("recent_from", "history", "recent"),
    [
        (None, [*MONTHS[:12], "undated"], MONTHS[12:]),
        ("2024-11", [*MONTHS[:22], "undated"], MONTHS[22:]),
        ("2020-01", ["undated"], MONTHS),
        ("2025-01", [*MONTHS, "undated"], []),
    ],
)
def test_history_is_what_is_not_recent(recent_from: str | None, history: list[str], recent: list[str]) -> None:
    found = [phase.batches([*MONTHS, "undated"], recent_from) for phase in PHASES]
    assert found == [["all"], ["all"], history, recent]


def test_by_default_the_twelve_latest_months_that_hold_rows_are_recent() -> None:
    months = ["1999-01", *MONTHS[::2], "2099-12"]
    assert PHASES[3].batches(months, None) == [*MONTHS[2::2], "2099-12"]
    assert PHASES[2].batches(months, None) == ["1999-01", "2023-01"]


def test_few_months_are_all_recent() -> None:
    assert [phase.batches(["2024-01", "undated"], None) for phase in PHASES[2:]] == [["undated"], ["2024-01"]]


def test_a_bank_without_transactions_has_no_batches() -> None:
    assert [phase.batches([], None) for phase in PHASES[2:]] == [[], []]


class Phased:
    """A phased migration of the small bank, its recent months from March 2024 on."""

    def __init__(self, migration: Any) -> None:
        self.migration = migration
        self.settings = migration.settings.model_copy(update={"recent_from": "2024-03"})

    def run(self, number: int, **policies: Any) -> Outcome:
        settings = self.settings
        if policies:
            settings = settings.model_copy(update={"policies": settings.policies.model_copy(update=policies)})
        return run_phase(settings, PHASES[number - 1], self.migration.instance)

    def refusal(self, number: int, **policies: Any) -> str:
        with pytest.raises(MigrationError) as refused:
            self.run(number, **policies)
        assert refused.value.what == f"Phase {number} is refused"
        return refused.value.why

    def next(self) -> int | None:
        legacy = LegacyResource(self.settings.source_db, self.settings.backups, self.settings.migration_home)
        with open_target(self.settings.target_db) as database:
            found = next_phase(phase_progress(self.settings, legacy.snapshot(), database, self.migration.instance))
        return found.number if found else None

    @property
    def loaded(self) -> set[tuple[str, str]]:
        return set(self.migration.books())


@pytest.fixture
def phased(tmp_path: Path, open_migration: Callable[..., Any]) -> Iterator[Phased]:
    with open_migration(tmp_path, str(tmp_path / "target.db")) as migration:
        yield Phased(migration)


@pytest.fixture(scope="module")
def half_way(tmp_path_factory: pytest.TempPathFactory, open_migration: Callable[..., Any]) -> Iterator[Phased]:
    """Phases 1 and 2 have passed; who disturbs that runs phase 1 or 2 again."""
    folder = tmp_path_factory.mktemp("half_way")
    with open_migration(folder, str(folder / "target.db")) as migration:
        phased = Phased(migration)
        assert [phased.run(number).success for number in (1, 2)] == [True, True]
        yield phased


REFERENCE = {("product", "all"), ("customer", "all")}
ACCOUNTS = REFERENCE | {("account", "all")}
HISTORY = ACCOUNTS | {("transaction", batch) for batch in ("2024-01", "2024-02", "undated")}
EVERYTHING = HISTORY | {("transaction", "2024-03")}


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_four_phases_in_order_leave_what_a_big_bang_leaves(
    engine: str, tmp_path: Path, open_migration: Callable[..., Any], new_target: Callable[[str, Path], str]
) -> None:
    with open_migration(tmp_path, new_target(engine, tmp_path)) as migration:
        phased = Phased(migration)
        for number, loaded in enumerate((REFERENCE, ACCOUNTS, HISTORY, EVERYTHING), start=1):
            outcome = phased.run(number)
            assert (outcome.success, outcome.problems, phased.loaded) == (True, [], loaded)
            assert phased.next() == (number + 1 if number < 4 else None)
        with open_target(migration.settings.target_db) as database:
            assert database.missing_constraints() == []
        big_bang = migration.settings.model_copy(update={"target_db": new_target(engine, tmp_path)})
        assert migrate(big_bang, [], migration.instance).success
        assert content(migration.settings.target_db) == content(big_bang.target_db)


def test_a_phase_out_of_order_is_refused_and_writes_nothing(phased: Phased) -> None:
    with pytest.raises(MigrationError, match="Run phase 1 first"):
        phased.run(2)
    assert phased.migration.run(job="snapshot").success
    missing = ["product all is not loaded", "account all is not loaded", "transaction 2024-01 is not loaded"]
    for passed, loaded in enumerate((set(), REFERENCE, ACCOUNTS)):
        for number in range(passed + 2, 5):
            why = phased.refusal(number)
            assert why.startswith(f"phase {passed + 1} has not passed for the snapshot ")
            assert missing[passed] in why
        assert Path(phased.settings.target_db).exists() == bool(loaded)
        assert not loaded or phased.loaded == loaded
        checks = {f"{one.asset} {one.check}" for one in phased.run(passed + 1).checks if one.passed}
        assert {"validation/referential_integrity no_orphans", "validation/reconciliation control_totals"} <= checks
        assert {f"target/{PHASES[passed].entities[-1]} content"} <= checks


def test_a_new_snapshot_starts_again_at_phase_1(phased: Phased) -> None:
    assert phased.run(1).success
    with closing(sqlite3.connect(phased.settings.source_db)) as source, source:
        source.execute("UPDATE legacy_customers SET first_name = 'ZQJOAN' WHERE customer_number = 2")
    assert phased.run(2).success, "it goes on with the snapshot of phase 1"
    assert phased.migration.run(job="snapshot").success
    assert "product all is loaded from another snapshot" in phased.refusal(3)
    assert phased.next() == 1
    assert phased.run(1).success
    assert (phased.next(), phased.loaded) == (2, ACCOUNTS)
    assert [row[1] for row in phased.migration.stored("customer")] == ["Zqada", "Zqjoan"]


def test_an_entity_refused_means_its_children_refused(phased: Phased) -> None:
    outcome = phased.run(1, max_reject_rate=0)
    assert (outcome.success, outcome.loaded) == (False, False)
    assert [(line.entity, line.rejected) for line in outcome.entities][:2] == [("product", 0), ("customer", 1)]
    assert not Path(phased.settings.target_db).exists(), "the product was accepted, and is not written either"
    assert "product all is not loaded" in phased.refusal(2, max_reject_rate=0)


def test_other_policies_start_again_at_phase_1(half_way: Phased) -> None:
    assert "product all is loaded under other policies" in half_way.refusal(3, letter_case="keep")


def test_rows_that_went_since_close_the_gate(half_way: Phased, run_sql: Callable[..., Any]) -> None:
    run_sql(half_way.settings.target_db, "DELETE FROM account WHERE account_id = 'ACCT-00000003'")
    assert "account all holds 2 rows, 3 were loaded" in half_way.refusal(3)
    assert half_way.run(2).success
    assert half_way.next() == 3


def test_money_that_changed_since_closes_the_gate(half_way: Phased, run_sql: Callable[..., Any]) -> None:
    more = "UPDATE account SET balance = balance + 0.01 WHERE account_id = 'ACCT-00000001'"
    run_sql(half_way.settings.target_db, more)
    assert "account all has other control totals than were loaded" in half_way.refusal(3)
    assert half_way.run(1).success is False, "the whole is validated: it tells that something is wrong"
    assert half_way.run(2).success
    assert half_way.next() == 3


def test_what_was_loaded_again_and_not_validated_closes_the_gate(half_way: Phased) -> None:
    assert half_way.migration.run("target/account").success
    assert half_way.refusal(3).endswith(
        ": no_orphans of validation/referential_integrity was not checked since the load; "
        "accounting_law of validation/reconciliation was not checked since the load; "
        "control_totals of validation/reconciliation was not checked since the load"
    )
    assert half_way.migration.run("validation/referential_integrity", "validation/reconciliation").success
    assert half_way.next() == 3


def test_a_load_whose_checks_are_recorded_elsewhere_closes_the_gate(
    half_way: Phased, tmp_path: Path, open_migration: Callable[..., Any]
) -> None:
    with (
        open_migration(tmp_path, str(tmp_path / "unused.db")) as other,
        pytest.raises(MigrationError, match="accounting_law of product all was not checked since the load"),
    ):
        run_phase(half_way.settings, PHASES[2], other.instance)


def test_nothing_recent_still_ends_with_the_constraints(half_way: Phased) -> None:
    half_way.settings = half_way.settings.model_copy(update={"recent_from": "2025-01"})
    assert half_way.run(3).success
    assert (half_way.next(), half_way.loaded) == (4, EVERYTHING)
    assert half_way.run(4).success
    assert half_way.next() is None


@pytest.fixture
def job(phased: Phased) -> Callable[[str], dg.ExecuteInProcessResult]:
    """Run a job of the approaches, as the UI launches it: nothing to choose."""

    def run(name: str) -> dg.ExecuteInProcessResult:
        definitions: dg.Definitions = phased.migration.definitions
        return definitions.resolve_job_def(name).execute_in_process(
            instance=phased.migration.instance, raise_on_error=False
        )

    return run


def test_the_big_bang_is_one_job(phased: Phased, job: Callable[[str], dg.ExecuteInProcessResult]) -> None:
    assert job("big_bang").success
    assert phased.loaded == EVERYTHING
    names = [run.job_name for run in phased.migration.instance.get_runs()]
    assert names == ["load", "prepare", "snapshot", "big_bang"]
    assert phased.next() is None, "what it loaded opens the gates of the phases as well"


def test_the_big_bang_stops_at_the_first_gate_that_does_not_open(
    tmp_path: Path, open_migration: Callable[..., Any]
) -> None:
    with open_migration(tmp_path, str(tmp_path / "target.db"), max_reject_rate=0) as migration:
        run = migration.definitions.resolve_job_def("big_bang").execute_in_process(
            instance=migration.instance, raise_on_error=False
        )
        assert not run.success
        [(step, why)] = migration.refusals(run).items()
        assert step == "run_big_bang"
        assert why.startswith("big_bang was refused; nothing was written: the check cleaned/customers: rejects_within_")
        assert not (tmp_path / "target.db").exists()
        assert [one.job_name for one in migration.instance.get_runs()][-2:] == ["snapshot", "big_bang"]


def test_a_phase_is_one_job_and_refuses_out_of_order(
    phased: Phased, job: Callable[[str], dg.ExecuteInProcessResult]
) -> None:
    assert job("phase_1_reference").success
    run = job("phase_3_history")
    assert "Phase 3 is refused: phase 2 has not passed" in phased.migration.refusals(run)["run_phase_3_history"]
    assert phased.loaded == REFERENCE
