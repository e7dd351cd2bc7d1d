"""The words by which a person names batches: `2024-03`, `2024-01..2024-06`, `undated`, several with commas.

Here: words in, batches out. Not here: the partitions themselves (`accounts_migration.partitions`).
"""

import re
from collections.abc import Iterable, Sequence

from accounts_migration.errors import UsageError

_MONTH = re.compile(r"(19[0-9]{2}|20[0-9]{2}|2100)-(0[1-9]|1[0-2])")


def chosen_batches(words: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return the known batches that the words name, in order.

    Raises:
        UsageError: A word is no batch or range, or names none of the known batches.
    """
    batches = sorted(known)
    chosen: set[str] = set()
    for first, last in named_ranges(words):
        found = [batch for batch in batches if first <= batch <= last]
        if not found:
            raise UsageError(
                f"There is no batch {first if first == last else f'{first}..{last}'}",
                why=f"the snapshot holds {batches[0]} to {batches[-1]}"
                if batches
                else "the snapshot has no transactions",
                remedy="Name batches that the snapshot holds",
            )
        chosen |= set(found)
    return sorted(chosen)


def named_ranges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Return the first and the last batch that each word names: what can be told before the source is read.

    Raises:
        UsageError: A word is no batch or range.
    """
    ranges: list[tuple[str, str]] = []
    for word in (part.strip() for text in words for part in text.split(",")):
        first, dots, last = word.partition("..")
        is_range = _is_month(first) and _is_month(last) and first <= last
        if not (is_range if dots else _is_month(word) or word == "undated"):
            raise UsageError(
                f"Cannot read the batches {word!r}",
                why="a batch is a month, `undated`, or a range of months",
                remedy="Write --batches 2024-03, --batches 2024-01..2024-06 or --batches undated",
            )
        ranges.append((first, last or first))
    return ranges


def _is_month(word: str) -> bool:
    return _MONTH.fullmatch(word) is not None
