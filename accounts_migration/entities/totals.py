"""Control totals of cleaned rows: exact sums of cents and counts (contract section 7).

Here: the totals by which source and target are compared, and their addition. Not here: the same totals by SQL
(`accounts_migration.databases`).
"""

from collections.abc import Iterable

import pyarrow as pa

Totals = dict[str, dict[str, int]]
"""Group -> measure -> cents (and `rows`); for accounts the group is `PROD-001/ACTIVE`, for transactions `CREDIT`."""

GROUPS: dict[str, tuple[str, ...]] = {
    "account": ("product_id", "status"),
    "transaction": ("transaction_type",),
}
MEASURES: dict[str, tuple[str, ...]] = {"account": ("balance",), "transaction": ("amount", "balance_after")}

AT_STAKE = {"account": "balance", "transaction": "amount"}
"""Entity -> the measure of the money that is at stake where a row of it is left behind."""

_SPLIT = 10**6
"""Cents are added in two halves: a sum of very large amounts would leave 64 bits in silence."""


def control_totals(entity: str, rows: pa.Table) -> Totals:
    """Return the totals of some rows; an entity without money gives none."""
    if entity not in GROUPS or rows.num_rows == 0:
        return {}
    groups, measures = GROUPS[entity], MEASURES[entity]
    columns = {name: rows[name] for name in groups}
    for name in measures:
        cents = rows[name].to_numpy()
        columns[f"{name}_high"] = pa.array(cents // _SPLIT)
        columns[f"{name}_low"] = pa.array(cents % _SPLIT)
    halves = [(f"{name}_{half}", "sum") for name in measures for half in ("high", "low")]
    summed = pa.table(columns).group_by(list(groups)).aggregate([([], "count_all"), *halves]).to_pylist()
    return {
        "/".join(row[name] for name in groups): {
            "rows": row["count_all"],
            **{name: row[f"{name}_high_sum"] * _SPLIT + row[f"{name}_low_sum"] for name in measures},
        }
        for row in summed
    }


def added(parts: Iterable[Totals]) -> Totals:
    """Return the totals of all parts together, groups in order."""
    result: Totals = {}
    for part in parts:
        for group, measures in part.items():
            into = result.setdefault(group, {})
            for name, value in measures.items():
                into[name] = into.get(name, 0) + value
    return {group: result[group] for group in sorted(result)}
