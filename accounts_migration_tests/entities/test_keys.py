"""Keys across a whole table: who refers to whom, what became of a parent, and rows that share a key."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pytest

from accounts_migration.entities import columns
from accounts_migration.entities.columns import LegacyColumn
from accounts_migration.entities.keys import (
    EXCLUDED,
    KEY_SCHEMA,
    KEYS_AT_ONCE,
    LOADED,
    REJECTED,
    UNKNOWN,
    KeyChunk,
    KeyFates,
    judge_duplicates,
    referenced_keys,
    rows_sharing_a_key,
)

LARGEST = 2**63 - 1


def fates(*chunks: Sequence[tuple[int, int]]) -> KeyFates:
    return KeyFates.from_tables(
        pa.record_batch([[key for key, _ in chunk], [fate for _, fate in chunk]], schema=KEY_SCHEMA) for chunk in chunks
    )


@pytest.mark.parametrize("farthest", [4, 2_000_000, LARGEST], ids=["dense", "sparse", "largest"])
def test_what_became_of_each_key(farthest: int) -> None:
    known = fates([(farthest, EXCLUDED), (0, LOADED)], [], [(2, REJECTED)])
    asked = pa.array([0, 1, 2, 3, farthest, None, LARGEST - 1], pa.int64())
    assert known.of(asked).tolist() == [LOADED, UNKNOWN, REJECTED, UNKNOWN, EXCLUDED, UNKNOWN, UNKNOWN]


def test_without_parents_every_key_is_unknown() -> None:
    assert fates().of(pa.array([0, 7, LARGEST, None], pa.int64())).tolist() == [UNKNOWN] * 4
    assert fates([(1, LOADED)]).of(pa.array([], pa.int64())).tolist() == []


def test_referenced_keys_are_those_that_could_be_read_each_once() -> None:
    chunks = [LegacyColumn(pa.array(["7", "x", None, "007"])), LegacyColumn(pa.array([7.0, 8.5, float(2**40)]))]
    found = referenced_keys(map(columns.entity_key, chunks))
    asked = pa.array([7, 8, 2**40, None], pa.int64())
    assert found.of(asked).tolist() == [LOADED, UNKNOWN, LOADED, UNKNOWN]


def sharing(*chunks: LegacyColumn, count: int | None = None) -> dict[int, str]:
    """Return the rows (numbered from 10 on) that share a transaction key."""

    def scan() -> Iterator[KeyChunk]:
        start = 10
        for column in chunks:
            yield KeyChunk(np.arange(start, start + len(column.values)), column)
            start += len(column.values)

    return rows_sharing_a_key(scan, count or sum(len(column.values) for column in chunks), columns.transaction_key)


def test_rows_share_a_key_in_its_one_form_across_chunks_and_storage_classes() -> None:
    found = sharing(
        LegacyColumn(pa.array([7, -1, 8, 9])),
        LegacyColumn(pa.array(["A", "007", None, "-1", "a"]), {2: 9.0}),
        LegacyColumn(pa.array([" A ", "b", "", "-1"])),
    )
    assert found == {10: "7", 13: "9", 14: "A", 15: "7", 16: "9", 17: "-1", 19: "A", 22: "-1"}


def test_missing_and_malformed_keys_are_shared_by_nobody() -> None:
    assert sharing(LegacyColumn(pa.array(["", None, "", "\0", "\0", "x" * 65, "x" * 65]), {1: b"1"})) == {}
    assert sharing(LegacyColumn(pa.array([-1, -1, -5, -5]))) == {}
    assert sharing() == {}


@pytest.mark.parametrize("scans", [1, 2, 5])
def test_more_scans_find_the_same_rows(scans: int) -> None:
    keys = [*range(50), *range(20, 30), *map(str, range(60, 70)), "65", "x", "y", "x", LARGEST, str(LARGEST)]
    found = sharing(LegacyColumn(pa.array(list(map(str, keys)))), count=scans * KEYS_AT_ONCE)
    pairs = {str(key) for key in keys if list(map(str, keys)).count(str(key)) == 2}
    assert set(found.values()) == pairs == {*map(str, range(20, 30)), "65", "x", str(LARGEST)}
    assert len(found) == 2 * len(pairs)


def test_a_key_beyond_32_bits_is_not_taken_for_another() -> None:
    assert sharing(LegacyColumn(pa.array([1, 2**32 + 1, 2**62, LARGEST, 0]))) == {}


def test_of_identical_rows_the_first_stays_and_of_others_none() -> None:
    rows = [(5, "7", "i7,tA"), (2, "7", "i7,tA"), (9, "7", "i7,tA"), (3, "8", "i8"), (4, "8", "r8.0"), (1, "6", "i6")]
    assert judge_duplicates(rows).to_pylist() == [
        {"row": 3, "reason": "DUPLICATE_KEY"},
        {"row": 4, "reason": "DUPLICATE_KEY"},
        {"row": 5, "reason": "EXACT_DUPLICATE"},
        {"row": 9, "reason": "EXACT_DUPLICATE"},
    ]


def test_one_row_that_differs_makes_all_of_its_key_doubtful() -> None:
    rows = [(1, "7", "i7"), (2, "7", "i7"), (3, "7", "t37")]
    assert judge_duplicates(rows)["reason"].to_pylist() == ["DUPLICATE_KEY"] * 3


def test_no_suspects_no_verdicts() -> None:
    assert judge_duplicates([]).to_pylist() == []
