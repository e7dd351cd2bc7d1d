"""Content: two streams of rows compared column by column, whatever their order and however they are cut."""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from accounts_migration.reconciliation import content
from accounts_migration.reconciliation.content import ContentComparison, Difference, compare_content

SCHEMA = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("transaction_type", pa.string()),
        ("amount", pa.int64()),
        ("balance_after", pa.int64()),
        ("reference", pa.string()),
        ("transaction_date", pa.timestamp("us")),
    ]
)
Row = tuple[Any, ...]


def row(number: int, **changes: Any) -> Row:
    month = datetime(2024, 1 + number % 3, 5)
    values = dict(zip(SCHEMA.names, (f"TXN-{number}", "CREDIT", number, -number, "", month), strict=True))
    return tuple((values | changes).values())


def batches(rows: Sequence[Row], *, size: int = 7, labelled: bool = False) -> Iterable[pa.RecordBatch]:
    schema = SCHEMA if not labelled else pa.schema([("batch", pa.string()), *SCHEMA])
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        if labelled:
            part = [(f"{one[-1]:%Y-%m}", *one) for one in part]
        yield pa.record_batch(
            [pa.array(c, f.type) for c, f in zip(zip(*part, strict=True), schema, strict=True)], schema
        )


def compare(expected: Sequence[Row], found: Sequence[Row], *, size: int = 7) -> ContentComparison:
    wanted = batches(expected, size=size, labelled=True)
    return compare_content("transaction", wanted, batches(found, size=size + 2))


def counts(comparison: ContentComparison) -> dict[tuple[str, str], int]:
    return dict(comparison.counts)


ROWS = [row(number) for number in range(1, 31)]


@pytest.fixture(params=["as loaded", "reversed", "shuffled"])
def other_order(request: pytest.FixtureRequest) -> list[Row]:
    rows = list(ROWS)
    if request.param == "reversed":
        rows.reverse()
    if request.param == "shuffled":
        random.Random(1).shuffle(rows)  # noqa: S311  # an order, no secret
    return rows


def test_equal_rows_in_any_order_are_equal(other_order: list[Row]) -> None:
    found = compare(ROWS, other_order)
    assert (found.is_equal, found.compared, found.examples) == (True, 30, [])
    assert found.compared_by_batch == {"2024-01": 10, "2024-02": 10, "2024-03": 10}


def test_the_totals_are_those_of_the_rows_found(other_order: list[Row]) -> None:
    amounts = {month: sum(one[2] for one in ROWS if f"{one[-1]:%Y-%m}" == month) for month in ("2024-01", "2024-03")}
    found = compare(ROWS, other_order).found_totals
    assert found["2024-01"] == {
        "CREDIT": {"rows": 10, "amount": amounts["2024-01"], "balance_after": -amounts["2024-01"]}
    }
    assert found["2024-03"]["CREDIT"]["amount"] == amounts["2024-03"]


def test_differences_are_the_same_in_any_order(other_order: list[Row]) -> None:
    changed = {"TXN-4": row(4, amount=5), "TXN-5": row(5, reference=None), "TXN-6": None}
    found = [changed.get(one[0], one) for one in other_order] + [row(99)]
    result = compare(ROWS, [one for one in found if one is not None])
    assert counts(result) == {
        ("DIFFERENT", "2024-02"): 1,
        ("DIFFERENT", "2024-03"): 1,
        ("MISSING_IN_TARGET", "2024-01"): 1,
        ("UNEXPECTED_IN_TARGET", "2024-01"): 1,
    }
    assert sorted(result.examples, key=lambda one: one.key) == [
        Difference("DIFFERENT", "2024-02", "TXN-4", "amount", "0.04", "0.05"),
        Difference("DIFFERENT", "2024-03", "TXN-5", "reference", "", None),
        Difference("MISSING_IN_TARGET", "2024-01", "TXN-6"),
        Difference("UNEXPECTED_IN_TARGET", "2024-01", "TXN-99"),
    ]
    assert result.compared == 29


@pytest.fixture
def tiny_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make 4 rows a window and 8 unmatched rows enough to go to disk."""
    monkeypatch.setattr(content, "ROWS_PER_WINDOW", 4)
    monkeypatch.setattr(content, "ROWS_CARRIED", 8)


@pytest.fixture
def spilled(tiny_windows: None, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list to which every spill adds the number of rows it puts on disk."""
    added: list[int] = []
    add = content._Spill.add

    def counting(self: Any, expected: pa.Table | None, found: pa.Table | None, key: str) -> None:
        added.append(sum(table.num_rows for table in (expected, found) if table is not None))
        add(self, expected, found, key)

    monkeypatch.setattr(content._Spill, "add", counting)
    return added


def test_rows_far_apart_find_each_other_by_way_of_the_disk(spilled: list[int]) -> None:
    found = compare(ROWS, ROWS[::-1])
    assert (found.is_equal, found.compared) == (True, 30)
    assert max(spilled) > 8


def test_differences_are_found_by_way_of_the_disk(spilled: list[int]) -> None:
    changed = [row(30, balance_after=None), *ROWS[:-1][::-1][1:], row(77)]
    found = compare(ROWS, changed)
    assert spilled
    assert counts(found) == {
        ("DIFFERENT", "2024-01"): 1,
        ("MISSING_IN_TARGET", "2024-03"): 1,
        ("UNEXPECTED_IN_TARGET", "2024-03"): 1,
    }
    assert sorted(one.key for one in found.examples) == ["TXN-29", "TXN-30", "TXN-77"]


def test_more_than_a_window_missing_and_as_many_unexpected(spilled: list[int]) -> None:
    found = compare(ROWS, [row(number) for number in range(101, 131)])
    assert spilled
    assert (found.compared, found.count("MISSING_IN_TARGET"), found.count("UNEXPECTED_IN_TARGET")) == (0, 30, 30)


def test_real_windows_spill_too() -> None:
    """Twice 200,000 rows in opposite order: more unmatched rows than are carried in memory."""
    keys = [f"TXN-{number}" for number in range(200_000)]
    rows = pa.table({"customer_id": keys, "reference": keys})
    labelled = rows.add_column(0, "batch", pa.array(["2024-01"] * rows.num_rows))
    changed = rows.set_column(1, "reference", pa.array(["x", *keys[1:]])).take(pa.array(range(199_999, -1, -1)))
    found = compare_content("customer", labelled.to_batches(), changed.to_batches())
    assert (found.compared, counts(found)) == (200_000, {("DIFFERENT", "2024-01"): 1})
    assert found.examples == [Difference("DIFFERENT", "2024-01", "TXN-0", "reference", "xxx-9", "x")]


@pytest.mark.parametrize(
    ("column", "wanted", "present", "shown"),
    [
        ("reference", None, "", (None, "")),
        ("reference", "", None, ("", None)),
        ("reference", "Ab 1", "ab 1", ("xx 9", "xx 9")),
        ("reference", "a", "a ", ("x", "x ")),
        ("reference", "\u00e9", "e\u0301", ("x", "xx")),
        ("amount", 0, None, ("0.00", None)),
        ("amount", 1, -1, ("0.01", "-0.01")),
        (
            "transaction_date",
            datetime(2024, 2, 5),
            datetime(2024, 2, 5, 0, 0, 0, 1),
            ("2024-02-05 00:00:00", "2024-02-05 00:00:00.000001"),
        ),
    ],
)
def test_whatever_is_not_the_same_value_is_different(
    column: str, wanted: object, present: object, shown: tuple[str | None, str | None]
) -> None:
    found = compare([row(1, **{column: wanted})], [row(1, **{column: present})])
    assert found.examples == [Difference("DIFFERENT", "2024-02", "TXN-1", column, *shown)]


def test_null_is_null() -> None:
    assert compare([row(1, reference=None)], [row(1, reference=None)]).is_equal


def test_keys_that_differ_in_case_or_blanks_are_two_keys() -> None:
    found = compare([row(1, transaction_id="TXN-a")], [row(1, transaction_id="TXN-A")])
    assert counts(found) == {("MISSING_IN_TARGET", "2024-02"): 1, ("UNEXPECTED_IN_TARGET", "2024-02"): 1}


@pytest.mark.usefixtures("tiny_windows")
@pytest.mark.parametrize("place", [0, 2, 30])
def test_a_key_that_stands_twice_in_the_target_is_unexpected_once(place: int) -> None:
    found = compare(ROWS, [*ROWS[:place], row(3), *ROWS[place:]])
    assert found.compared == 30
    assert counts(found) == {("UNEXPECTED_IN_TARGET", "2024-01"): 1}
    assert found.rows_in_target("2024-01") == 11


@pytest.mark.parametrize("order", [1, -1])
def test_a_key_that_was_cleaned_twice_and_loaded_once_is_missing_once(order: int) -> None:
    found = compare([row(3), row(3), row(1)][::order], [row(3), row(1)])
    assert (found.compared, counts(found)) == (2, {("MISSING_IN_TARGET", "2024-01"): 1})


def test_nothing_against_nothing_is_equal_with_nothing_compared() -> None:
    found = compare([], [])
    assert (found.is_equal, found.compared) == (True, 0)


def test_rows_against_an_empty_table_are_missing() -> None:
    found = compare(ROWS, [])
    assert (found.compared, counts(found)) == (0, {("MISSING_IN_TARGET", f"2024-0{m}"): 10 for m in (1, 2, 3)})


def test_a_table_against_no_rows_is_unexpected() -> None:
    found = compare([], ROWS)
    assert (found.compared, counts(found)) == (0, {("UNEXPECTED_IN_TARGET", f"2024-0{m}"): 10 for m in (1, 2, 3)})


def test_only_a_few_differences_are_kept_but_all_are_counted() -> None:
    rows = [row(number) for number in range(1, 101)]
    found = compare(rows, [row(number, amount=0) for number in range(1, 101)])
    assert (len(found.examples), found.count("DIFFERENT")) == (20, 100)


def test_each_column_of_a_row_that_differs_counts() -> None:
    found = compare([row(1)], [row(1, amount=7, balance_after=8)])
    assert [(one.column, one.expected, one.found) for one in found.examples] == [
        ("amount", "0.01", "0.07"),
        ("balance_after", "-0.01", "0.08"),
    ]
    assert found.differences_of("2024-02") == 2


def test_a_stored_value_that_is_no_exact_amount_is_different() -> None:
    [batch] = batches([row(1)])
    [wanted] = batches([row(1)], labelled=True)
    inexact = batch.append_column("inexact", pa.array(['{"amount": "0.011"}']))
    found = compare_content("transaction", [wanted], [inexact])
    assert found.examples == [Difference("DIFFERENT", "2024-02", "TXN-1", "inexact", None, '{"amount": "0.011"}')]
