"""Which rows of the demo get which defect.

Here: the plan of each entity, made before any row. Not here: the kinds themselves (`kinds`), and the change of the
rows (`writing`).

Rows are planted at odd positions only, from 3 on. So the row before a planted one is clean, and can be copied to make a
duplicate.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from accounts_migration.demo_source.kinds import KINDS, Kind

Int64Array = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Plan = dict[int, Kind]
"""Position -> what is planted there."""

_LARGEST_SHARE_REJECTED = 0.008
_SHARE_INACTIVE = 0.01


def _by_turns(kinds: Iterable[Kind]) -> list[Kind]:
    """Return the kinds so that each reason has its turn before any has its second."""
    turns: Counter[tuple[str, str]] = Counter()
    placed = []
    for kind in kinds:
        placed.append((turns[kind.action, kind.reason], kind))
        turns[kind.action, kind.reason] += 1
    return [kind for _, kind in sorted(placed, key=lambda one: one[0])]


def planned(entity: str, rows: int, dirt: float, rejected: Mapping[str, Int64Array], accounts: int) -> list[Kind]:
    """Return the kinds to plant, one for each row to be planted.

    Args:
        entity: Whose rows.
        rows: Their number.
        dirt: Share of rows to spoil.
        rejected: Parent entity -> its rejected rows, as far as they are planned.
        accounts: Number of accounts; half of them are clean for sure and can refer to a row that needs it.
    """
    kinds = _by_turns(
        kind
        for kind in KINDS
        if kind.entity == entity and (not kind.rejected_parent or len(rejected[kind.rejected_parent]))
    )
    if not dirt:
        return []
    may_reject = int(rows * max(dirt, _LARGEST_SHARE_REJECTED))
    may_need_account = accounts // 2
    chosen: list[Kind] = []
    for turn in range(max(1, round(dirt * rows / len(kinds)), round(_SHARE_INACTIVE * rows))):
        for kind in kinds:
            share = max(dirt / len(kinds), _SHARE_INACTIVE if kind.reason in ("INACTIVE", "KEPT_INACTIVE") else 0)
            if turn and turn >= round(share * rows):
                continue
            if kind.rejected_rows > may_reject or (kind.reason == "KEPT_INACTIVE" and not may_need_account):
                continue
            may_reject -= kind.rejected_rows
            may_need_account -= kind.reason == "KEPT_INACTIVE"
            chosen.append(kind)
    return chosen


def at_random_places(kinds: Sequence[Kind], rows: int, random: np.random.Generator) -> Plan:
    """Return position -> kind; the positions are odd, from 3 on."""
    room = max(0, (rows - 2) // 2)
    kinds = kinds[:room]
    places = 3 + 2 * random.choice(room, len(kinds), replace=False, shuffle=True) if kinds else np.empty(0, np.int64)
    return dict(zip(places.tolist(), kinds, strict=True))


def free_of(plan: Plan, rows: int) -> Mask:
    """Return which positions may be referred to without any consequence."""
    free = np.ones(rows, np.bool_)
    for position, kind in plan.items():
        if kind.must_not_be_referred_to:
            free[position] = False
            free[position - 1] &= kind.of_row_before != "key"
    return free


def rejected_with_key(plan: Plan) -> Int64Array:
    """Return the positions of rejected rows that others can name."""
    return np.array(sorted(p for p, kind in plan.items() if kind.action == "rejected" and kind.leaves_key), np.int64)
