"""The law of contract section 1: source rows = loaded + rejected + excluded, for every entity and batch."""

import pytest

from accounts_migration.reconciliation.accounting import BatchLaw, laws, total
from accounts_migration.reconciliation.amounts import amount


@pytest.mark.parametrize(
    ("counts", "unexplained"),
    [((10, 7, 2, 1), 0), ((0, 0, 0, 0), 0), ((10, 6, 2, 1), 1), ((10, 8, 2, 1), -1), ((0, 1, 0, 0), -1)],
)
def test_the_law_holds_where_nothing_is_unexplained(counts: tuple[int, int, int, int], unexplained: int) -> None:
    law = BatchLaw("account", "all", *counts)
    assert (law.unexplained, law.holds) == (unexplained, unexplained == 0)


def test_repaired_rows_are_loaded_rows_and_do_not_count_twice() -> None:
    assert BatchLaw("account", "all", 5, 5, 0, 0, repaired=3).holds


def test_each_batch_has_its_own_account() -> None:
    found = laws(
        "transaction",
        {"2024-01": 5, "2024-02": 4},
        {"2024-01": 3, "2024-02": 4},
        {
            ("transaction", "2024-01", "rejected"): 1,
            ("transaction", "2024-01", "excluded"): 1,
            ("transaction", "2024-02", "repaired"): 2,
            ("account", "2024-01", "rejected"): 9,
        },
        ["2024-01", "2024-02"],
    )
    assert found == [
        BatchLaw("transaction", "2024-01", 5, 3, 1, 1, 0),
        BatchLaw("transaction", "2024-02", 4, 4, 0, 0, 2),
    ]


def test_a_batch_that_the_source_lacks_must_be_empty() -> None:
    [empty, full] = laws("transaction", {}, {"2024-02": 1}, {}, ["2024-01", "2024-02"])
    assert (empty.holds, full.unexplained) == (True, -1)


def test_faults_of_two_batches_show_in_each_though_they_cancel_in_the_total() -> None:
    lines = [BatchLaw("transaction", "2024-01", 5, 4, 0, 0), BatchLaw("transaction", "2024-02", 5, 6, 0, 0)]
    assert [line.holds for line in lines] == [False, False]
    assert total("transaction", lines) == BatchLaw("transaction", "all", 10, 10, 0, 0)


def test_the_total_of_no_batch_is_nothing() -> None:
    assert total("transaction", []) == BatchLaw("transaction", "all", 0, 0, 0, 0, 0)


def test_the_total_adds_every_column() -> None:
    lines = [BatchLaw("account", "a", 1, 2, 3, 4, 5), BatchLaw("account", "b", 10, 20, 30, 40, 50)]
    assert total("account", lines) == BatchLaw("account", "all", 11, 22, 33, 44, 55)


@pytest.mark.parametrize(
    ("cents", "shown"),
    [
        (0, "0.00"),
        (5, "0.05"),
        (-5, "-0.05"),
        (-100, "-1.00"),
        (123_405, "1,234.05"),
        (-123_450, "-1,234.50"),
        (10**21 + 1, "10,000,000,000,000,000,000.01"),
    ],
)
def test_an_amount_is_shown_to_the_cent(cents: int, shown: str) -> None:
    assert amount(cents) == shown
