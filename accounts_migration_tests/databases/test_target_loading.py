"""Loading batches: inserted, merged, refused; rows and books always in step."""

import dataclasses
import random
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from accounts_migration.databases.target import Snapshot, Target, open_target
from accounts_migration.errors import MigrationError

RunSql = Callable[..., list[tuple[Any, ...]]]

LATER = Snapshot("snapshot-2", "/legacy.db", "cd" * 32, datetime(2025, 2, 1))


def books(target: Target) -> dict[tuple[str, str], int]:
    return {(batch.entity, batch.batch): batch.loaded for batch in target.recorded_batches()}


def refuse_untrue_books(target: Target) -> None:
    for entity in ("product", "customer", "account", "transaction"):
        recorded = {batch: loaded for (name, batch), loaded in books(target).items() if name == entity and loaded}
        assert {batch: rows for batch, rows in target.counts_by_batch(entity).items() if rows} == recorded


def test_a_first_load_inserts_and_records(target: Target, bank: Any) -> None:
    bank.load_parents(target)
    loaded = bank.load(
        target,
        "transaction",
        bank.transaction(1, 2),
        "2024-03",
        source_rows=4,
        rejected=1,
        excluded=1,
        control_totals='{"CREDIT": 1}',
        defects=[
            bank.defect("transaction", "2024-03", "3"),
            bank.defect("transaction", "2024-03", "4", action="excluded"),
            bank.defect("transaction", "2024-03", "2", action="repaired"),
        ],
    )
    assert (loaded.road, loaded.loaded, loaded.inserted, loaded.rows_written) == ("insert", 2, 2, 2)
    assert bank.keys(target, "transaction") == ["TXN-1", "TXN-2"]
    recorded = next(batch for batch in target.recorded_batches() if batch.entity == "transaction")
    assert dataclasses.replace(recorded, loaded_at=datetime(2025, 1, 1)) == type(recorded)(
        entity="transaction",
        batch="2024-03",
        snapshot_id="snapshot-1",
        source_rows=4,
        loaded=2,
        rejected=1,
        excluded=1,
        repaired=1,
        control_totals='{"CREDIT": 1}',
        content_digest="digest",
        policies='{"letter_case": "title"}',
        policies_digest="policies-1",
        loaded_at=datetime(2025, 1, 1),
    )
    assert target.latest_snapshot() == bank.snapshot
    assert target.defect_counts() == {
        ("transaction", "2024-03", action): 1 for action in ("excluded", "rejected", "repaired")
    }


@pytest.mark.parametrize("constrained", [False, True])
def test_an_unchanged_reload_writes_no_row(target: Target, bank: Any, constrained: bool) -> None:
    rows = {"2024-03": bank.transaction(1, 2), "undated": bank.transaction(3, when="2024-03-07")}
    bank.load_parents(target)
    for batch, content in rows.items():
        bank.load(target, "transaction", content, batch)
    if constrained:
        target.constrain()
    for snapshot in (bank.snapshot, LATER):
        for batch, content in rows.items():
            loaded = bank.load(target, "transaction", content, batch, snapshot=snapshot)
            assert (loaded.road, loaded.loaded, loaded.rows_written) == ("merge", content.num_rows, 0)
    assert bank.load(target, "account", bank.account(1, 2, 3)).rows_written == 0
    refuse_untrue_books(target)


@pytest.mark.parametrize("constrained", [False, True])
def test_a_merge_writes_what_differs(target: Target, bank: Any, constrained: bool) -> None:
    bank.load_parents(target)
    bank.load(target, "transaction", bank.transaction(*range(1, 11)), "2024-03")
    bank.load(target, "transaction", bank.transaction(20, 21, when="2024-04-01"), "2024-04")
    if constrained:
        target.constrain()
    parts = [bank.transaction(*range(3, 9)), bank.transaction(9, 10, amount=77), bank.transaction(11, 12, 13)]
    loaded = bank.load(target, "transaction", parts, "2024-03", snapshot=LATER, source_rows=11)
    assert (loaded.loaded, loaded.inserted, loaded.updated, loaded.removed) == (11, 3, 2, 2)
    expected = sorted((row for part in parts for row in part.to_pylist()), key=lambda row: row["transaction_id"])
    assert bank.stored(target, "transaction", "2024-03") == expected
    assert bank.keys(target, "transaction", "2024-04") == ["TXN-20", "TXN-21"]
    refuse_untrue_books(target)


def test_a_row_that_moves_to_another_batch_leaves_the_old_one(target: Target, bank: Any) -> None:
    bank.load_parents(target)
    bank.load(target, "transaction", bank.transaction(1, 2, 3), "2024-03")
    bank.load(target, "transaction", bank.transaction(9, when="2024-03-30"), "undated")
    loaded = bank.load(target, "transaction", bank.transaction(2, 9, when="2024-04-02"), "2024-04", snapshot=LATER)
    assert loaded.removed_elsewhere == {("transaction", "2024-03"): 1, ("transaction", "undated"): 1}
    assert bank.keys(target, "transaction", "2024-03") == ["TXN-1", "TXN-3"]
    assert bank.keys(target, "transaction", "2024-04") == ["TXN-2", "TXN-9"]
    assert bank.keys(target, "transaction", "undated") == []
    refuse_untrue_books(target)
    march = next(batch for batch in target.recorded_batches() if batch.batch == "2024-03")
    assert (march.source_rows, march.loaded) == (3, 2), "the law shows that March wants loading again"


def test_rows_dated_outside_their_batch_stay_in_it(target: Target, bank: Any, run_sql: RunSql, target_url: str) -> None:
    bank.load_parents(target)
    bank.load(target, "transaction", bank.transaction(1, when="2024-05-01"), "2024-03")
    bank.load(target, "transaction", bank.transaction(2, 3, when="2024-03-04"), "undated")
    bank.load(target, "transaction", bank.transaction(4, when="2024-05-31T23:59:59.999999"), "2024-05")
    assert target.counts_by_batch("transaction") == {"2024-03": 1, "2024-05": 1, "undated": 2}
    assert bank.keys(target, "transaction", "2024-05") == ["TXN-4"]
    assert bank.keys(target, "transaction", "undated") == ["TXN-2", "TXN-3"]
    totals = target.control_totals("transaction", by_batch=True)
    assert {group: values["rows"] for group, values in totals.items()} == {
        ("2024-03", "CREDIT"): 1,
        ("2024-05", "CREDIT"): 1,
        ("undated", "CREDIT"): 2,
    }
    # a date that moves into the month needs the list no more
    bank.load(target, "transaction", bank.transaction(1, when="2024-03-31"), "2024-03", snapshot=LATER)
    query = "SELECT batch, target_key FROM migration_batch_row ORDER BY 2"
    assert run_sql(target_url, query) == [("undated", "TXN-2"), ("undated", "TXN-3")]
    refuse_untrue_books(target)


@pytest.mark.parametrize("constrained", [False, True])
def test_a_parent_takes_its_children_along_and_the_books_show_it(target: Target, bank: Any, constrained: bool) -> None:
    bank.load_parents(target)
    bank.load(target, "account", bank.account(1, 2))
    bank.load(target, "transaction", bank.transaction(1, 2, account=1), "2024-03")
    bank.load(target, "transaction", bank.transaction(3, account=2, when="2024-04-01"), "2024-04")
    bank.load(target, "transaction", bank.transaction(4, account=2), "undated")
    if constrained:
        target.constrain()
    loaded = bank.load(target, "account", bank.account(1), snapshot=LATER)
    assert loaded.removed == 1
    assert loaded.removed_elsewhere == {("transaction", "2024-04"): 1, ("transaction", "undated"): 1}
    assert bank.keys(target, "transaction") == ["TXN-1", "TXN-2"]
    refuse_untrue_books(target)
    loaded = bank.load(target, "customer", bank.customer(2), snapshot=LATER)
    assert loaded.removed_elsewhere == {("account", "all"): 1, ("transaction", "2024-03"): 2}
    assert target.counts_by_batch("account") == {"all": 0}
    assert target.counts_by_batch("transaction") == {}
    refuse_untrue_books(target)
    target.constrain()


@pytest.mark.parametrize("batch", ["2024-03", "undated"])
def test_an_empty_batch_is_recorded_and_may_empty_a_full_one(target: Target, bank: Any, batch: str) -> None:
    bank.load_parents(target)
    assert bank.load(target, "transaction", [], batch).loaded == 0
    assert bank.load(target, "transaction", bank.transaction(1, 2), batch).inserted == 2
    assert bank.load(target, "transaction", bank.transaction(), batch).removed == 2
    assert books(target)[("transaction", batch)] == 0
    assert target.counts_by_batch("transaction") == {}


def test_defects_are_replaced_with_their_batch(target: Target, bank: Any) -> None:
    def load(batch: str, *keys: str) -> None:
        defects = [bank.defect("product", batch, key, old="\x00 ' é") for key in keys]
        bank.load(target, "product", bank.product(1), source_rows=1 + len(keys), rejected=len(keys), defects=defects)

    load("all", "7", "8")
    load("all", "9")
    found = [row for part in target.defects("product") for row in part.to_pylist()]
    assert [(row["source_key"], row["old_value"]) for row in found] == [("9", "\\u0000 ' é")]
    assert list(target.defects("account")) == []
    assert [row for part in target.defects() for row in part.to_pylist()] == found


@pytest.mark.parametrize("loaded_before", [False, True])
def test_rows_of_others_are_refused_and_kept(
    target: Target, target_url: str, bank: Any, run_sql: RunSql, loaded_before: bool
) -> None:
    bank.load_parents(target)
    if loaded_before:
        bank.load(target, "transaction", bank.transaction(1), "2024-03")
    values = "('TXN-77', 'ACCT-00000001', 'FEE', 5, 5, 'theirs', '2024-03-09 00:00:00')"
    theirs = f'INSERT INTO "transaction" VALUES {values}'  # noqa: S608  # a constant
    run_sql(target_url, theirs)
    with pytest.raises(MigrationError, match=r"Table transaction of .* holds rows that this migration did not write"):
        bank.load(target, "transaction", bank.transaction(1, 2), "2024-03")
    with pytest.raises(
        MigrationError, match=f"{1 + loaded_before} rows stand there, {int(loaded_before)} are recorded"
    ):
        target.refuse_foreign_rows(["product", "transaction"])
    target.refuse_foreign_rows(["product", "customer", "account"])
    assert len(bank.keys(target, "transaction")) == 1 + loaded_before


def test_rows_of_others_are_found_month_by_month(target: Target, target_url: str, bank: Any, run_sql: RunSql) -> None:
    """Somebody removed a row of ours in one month and added theirs in another: the sum looks right."""
    bank.load_parents(target)
    bank.load(target, "transaction", bank.transaction(1, 2), "2024-03")
    bank.load(target, "transaction", bank.transaction(3, when="2024-04-01"), "2024-04")
    run_sql(
        target_url,
        "DELETE FROM \"transaction\" WHERE transaction_id = 'TXN-1'",
        "INSERT INTO \"transaction\" VALUES ('TXN-77', 'ACCT-00000002', 'FEE', 5, 5, 'theirs', '2024-04-09 00:00:00')",
    )
    with pytest.raises(MigrationError, match="batch 2024-04: 2 rows stand there, 1 are recorded"):
        bank.load(target, "transaction", bank.transaction(3, when="2024-04-01"), "2024-04")
    with pytest.raises(MigrationError, match="batch 2024-04: 2 rows stand there, 1 are recorded"):
        bank.load(target, "account", bank.account(1))
    assert bank.keys(target, "account") == ["ACCT-00000001", "ACCT-00000002", "ACCT-00000003"]
    assert bank.keys(target, "transaction") == ["TXN-2", "TXN-3", "TXN-77"]


def test_rows_that_somebody_removed_are_healed(target: Target, target_url: str, bank: Any, run_sql: RunSql) -> None:
    bank.load_parents(target)
    bank.load(target, "transaction", bank.transaction(1, 2), "2024-03")
    run_sql(target_url, "DELETE FROM \"transaction\" WHERE transaction_id = 'TXN-1'")
    assert bank.load(target, "transaction", bank.transaction(1, 2), "2024-03").inserted == 1
    refuse_untrue_books(target)


@pytest.mark.parametrize("road", ["insert", "merge"])
def test_a_failure_midway_leaves_everything_as_it_was(target: Target, bank: Any, road: str) -> None:
    bank.load_parents(target)
    if road == "merge":
        defects = [bank.defect("transaction", "2024-03", "9")]
        bank.load(target, "transaction", bank.transaction(1), "2024-03", source_rows=2, rejected=1, defects=defects)
    before = (bank.stored(target, "transaction"), target.recorded_batches(), target.defect_counts())

    def breaking(first: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield first
        raise ZeroDivisionError("staging is gone")

    with pytest.raises(ZeroDivisionError, match="staging is gone"):
        bank.load(target, "transaction", breaking(bank.transaction(1, 2, 3)), "2024-03")
    with pytest.raises(ZeroDivisionError, match="staging is gone"):
        breaking_defects = breaking(bank.defect("transaction", "2024-03", "8"))
        bank.load(target, "transaction", bank.transaction(5), "2024-03", defects=breaking_defects)
    assert (bank.stored(target, "transaction"), target.recorded_batches(), target.defect_counts()) == before
    assert bank.load(target, "transaction", bank.transaction(1, 2), "2024-03").loaded == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"source_rows": 3},
        {"source_rows": 3, "rejected": 1},
        {"source_rows": 1},
        {"source_rows": 3, "excluded": 1},
    ],
)
def test_rows_that_are_not_accounted_for_are_refused(target: Target, bank: Any, changes: dict[str, int]) -> None:
    with pytest.raises(MigrationError, match="not every row is accounted for"):
        bank.load(target, "product", bank.product(1, 2), **changes)
    assert (bank.keys(target, "product"), target.recorded_batches()) == ([], [])


def test_a_key_that_comes_twice_is_refused(target: Target, bank: Any) -> None:
    bank.load(target, "product", bank.product(1))
    with pytest.raises(MigrationError, match="a row breaks the constraint"):
        bank.load(target, "product", [bank.product(2, 3), bank.product(3)], source_rows=3)
    assert bank.keys(target, "product") == ["PROD-001"]


@pytest.mark.parametrize(
    "entity_and_batch", [("transaction", "all"), ("transaction", "2024-13"), ("account", "2024-01")]
)
def test_an_unknown_batch_is_refused(target: Target, bank: Any, entity_and_batch: tuple[str, str]) -> None:
    entity, batch = entity_and_batch
    with pytest.raises(MigrationError, match="There is no batch"):
        bank.load(target, entity, getattr(bank, entity)(1), batch)


def test_rows_of_another_form_are_a_programming_error(target: Target, bank: Any) -> None:
    with pytest.raises(TypeError, match="must have the schema"):
        bank.load(target, "product", bank.customer(1))


def test_a_broken_constraint_is_told_without_personal_data(target: Target, bank: Any) -> None:
    target.constrain()
    when = datetime(2025, 1, 1)
    bad = [("CUST-0001", "Ada", "Secretname", "secret-without-at", "555-secret", when)]
    with pytest.raises(MigrationError) as caught:
        bank.load(target, "customer", bank.rows("customer", bad))
    assert "customer_email_check of table customer" in str(caught.value)
    with pytest.raises(MigrationError) as missing:
        bank.load(target, "customer", bank.rows("customer", [("CUST-0001", None, "Secretname", None, None, when)]))
    assert "first_name" in str(missing.value)
    for told in (caught.value, missing.value):
        error: BaseException | None = told
        while error is not None:
            assert "ecret" not in str(error)
            error = error.__cause__ or error.__context__
    assert bank.keys(target, "customer") == []


def test_a_long_batch_is_written_in_parts(target: Target, bank: Any) -> None:
    bank.load_parents(target)
    rows = bank.transaction(*range(150_000))
    assert bank.load(target, "transaction", rows, "2024-03").loaded == 150_000
    changed = bank.transaction(*range(150_000), amount=99)
    assert bank.load(target, "transaction", changed, "2024-03").updated == 150_000
    assert target.control_totals("transaction")[("CREDIT",)]["amount"] == 99 * 150_000


@pytest.mark.parametrize("seed", range(2))
def test_after_any_sequence_of_loads_the_target_is_what_was_loaded_last(target: Target, bank: Any, seed: int) -> None:
    """Keys move between batches, dates between months, and accounts come and go."""
    chance = random.Random(seed)  # noqa: S311  # a test's choice
    batches = ["2024-01", "2024-02", "undated"]
    bank.load_parents(target)

    def drawn(owners: list[int]) -> dict[str, pa.RecordBatch]:
        parts: dict[str, list[pa.RecordBatch]] = {batch: [] for batch in batches}
        for number in chance.sample(range(12), 8):
            when, owner = chance.choice(["2024-01-15", "2024-02-10", "2024-03-05"]), chance.choice(owners)
            row = bank.transaction(number, when=when, account=owner, amount=chance.randint(1, 3))
            parts[chance.choice(batches)].append(row)
        empty = bank.transaction()
        return {batch: pa.Table.from_batches([empty, *rows]).combine_chunks() for batch, rows in parts.items()}

    for turn in range(10):
        snapshot = dataclasses.replace(bank.snapshot, snapshot_id=f"snapshot-{turn // 3}")
        owners = sorted(chance.sample([1, 2, 3], 2))
        bank.load(target, "account", bank.account(*owners), snapshot=snapshot)
        content = drawn(owners)
        for batch in chance.sample(batches, 3):
            table = content[batch]
            bank.load(
                target,
                "transaction",
                table.to_batches(),
                batch,
                snapshot=snapshot,
                source_rows=table.num_rows,
            )
            assert bank.keys(target, "transaction", batch) == sorted(table["transaction_id"].to_pylist())
            refuse_untrue_books(target)
        if turn == 5:
            target.constrain()
        expected = [row for table in content.values() for row in table.to_pylist()]
        assert bank.stored(target, "transaction") == sorted(expected, key=lambda row: row["transaction_id"])
    target.constrain()


def test_reading_an_unprepared_target_says_what_to_do(postgres_url: str) -> None:
    with open_target(postgres_url) as target, pytest.raises(MigrationError, match="migrate into it first"):
        target.counts_by_batch("transaction")


def test_the_place_of_a_load_holds_its_rows_and_no_others(target: Target, bank: Any) -> None:
    bank.load_parents(target)
    for batch, first in (("2024-03", 1), ("2024-04", 20_000), ("2024-05", 40_000)):
        rows = bank.transaction(*range(first, first + 5_000), when=f"{batch}-15 10:00:00")
        loaded = bank.load(target, "transaction", rows, batch)
        assert loaded.place is not None
        found = [key for part in target.scan_place("transaction", loaded.place) for key in part["transaction_id"]]
        assert sorted(map(str, found)) == sorted(f"TXN-{number}" for number in range(first, first + 5_000))


def test_a_load_into_pages_that_were_emptied_before_has_no_place_that_is_wrong(postgres_url: str, bank: Any) -> None:
    """PostgreSQL fills pages that VACUUM has freed first: rows there lie before the end of the table."""
    with open_target(postgres_url) as target:
        target.prepare()
        bank.load_parents(target)
        bank.load(target, "transaction", bank.transaction(*range(1, 30_001), when="2024-03-15 10:00:00"), "2024-03")
        target.session.execute("DELETE FROM \"transaction\" WHERE transaction_id < 'TXN-2'")
        target.session.execute(
            "UPDATE migration_batch SET loaded = (SELECT count(*) FROM \"transaction\") WHERE entity = 'transaction'"
        )
        target.session.execute('VACUUM "transaction"')
        rows = bank.transaction(*range(50_001, 55_001), when="2024-04-15 10:00:00")
        loaded = bank.load(target, "transaction", rows, "2024-04")
        assert (loaded.road, loaded.loaded, loaded.place) == ("insert", 5_000, None)
