"""The words that name batches: months, ranges, `undated`, several; what cannot be read or found is named."""

import pytest

from accounts_migration.batches import chosen_batches
from accounts_migration.errors import UsageError

KNOWN = ["undated", "2024-06", "2023-12", "2024-01", "2024-03"]


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["2024-03"], ["2024-03"]),
        (["undated"], ["undated"]),
        (["2024-01..2024-06"], ["2024-01", "2024-03", "2024-06"]),
        (["2024-02..2024-05"], ["2024-03"]),
        (["2024-03..2024-03"], ["2024-03"]),
        (["1900-01..2100-12"], ["2023-12", "2024-01", "2024-03", "2024-06"]),
        (["2024-06,undated", "2024-01"], ["2024-01", "2024-06", "undated"]),
        (["2024-06 , 2024-01"], ["2024-01", "2024-06"]),
        (["2024-01..2024-03", "2024-03..2024-06", "2024-03"], ["2024-01", "2024-03", "2024-06"]),
        ([], []),
    ],
)
def test_the_known_batches_that_the_words_name_are_chosen_in_order(words: list[str], chosen: list[str]) -> None:
    assert chosen_batches(words, KNOWN) == chosen


@pytest.mark.parametrize(
    "word",
    [
        "",
        " ",
        "2024",
        "2024-3",
        "2024-13",
        "2024-00",
        "1899-12",
        "2101-01",
        "2024-03-01",
        "March",
        "UNDATED",
        "all",
        "2024-01..",
        "..2024-06",
        "2024-01...2024-06",
        "2024-01..2024-03..2024-06",
        "2024-01-2024-06",
        "2024-06..2024-01",
        "undated..2024-01",
        "2024-01..undated",
        "20\uff12\uff14-03",
        "20\u0662\u0664-03",
        "2024-03\n-",
        "2024-03;2024-04",
        "'; DROP TABLE x",
    ],
)
def test_what_is_no_batch_is_wrong_usage(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        chosen_batches(["2024-03", word], KNOWN)
    assert caught.value.what.startswith("Cannot read the batches ")
    assert caught.value.remedy == "Write --batches 2024-03, --batches 2024-01..2024-06 or --batches undated"


def test_a_trailing_comma_names_nothing() -> None:
    with pytest.raises(UsageError, match="Cannot read the batches ''"):
        chosen_batches(["2024-03,"], KNOWN)


@pytest.mark.parametrize("word", ["2024-02", "2024-04..2024-05", "1999-01..1999-12", "2024-07..2030-01"])
def test_a_batch_that_the_snapshot_lacks_is_named(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        chosen_batches(["2024-03", word], KNOWN)
    assert caught.value.what == f"There is no batch {word}"
    assert caught.value.why == "the snapshot holds 2023-12 to undated"


def test_one_unknown_word_is_enough_to_refuse_all() -> None:
    with pytest.raises(UsageError, match="There is no batch 2024-02"):
        chosen_batches(["2024-03,2024-02"], KNOWN)


def test_a_snapshot_without_transactions_says_so() -> None:
    with pytest.raises(UsageError, match="the snapshot has no transactions"):
        chosen_batches(["2024-03"], [])
