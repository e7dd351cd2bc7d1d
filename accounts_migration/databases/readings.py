"""Counts, sums and references of the target, by SQL (contract section 7).

Here: numbers that the database itself gives, exact, for the checks. Not here: what they are compared with,
and reading back whole rows (`target_interface`).
"""

from typing import Any

from accounts_migration.databases.batches import ALL, DATE_COLUMN, PARTITIONED, UNDATED
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_schema import ENTITIES, TABLES, key_of, kind_of, parents_of, selected

_GROUPS = {"account": ("product_id", "status"), "transaction": ("transaction_type",)}
_AMOUNTS = {"account": ("balance",), "transaction": ("amount", "balance_after")}

Totals = dict[tuple[str, ...], dict[str, int]]
"""By group, `rows` and the sum of each amount column in cents."""


def count_rows(session: Session, entity: str) -> int:
    """Return the number of rows of the table."""
    return int(session.value(f"SELECT count(*) FROM {quoted(entity)}"))  # a name of our schema


def count_by_batch(session: Session, entity: str) -> dict[str, int]:
    """Return the number of rows of each batch that has any; `{'all': n}` for an entity without months."""
    if entity != PARTITIONED:
        return {ALL: count_rows(session, entity)}
    month = session.month(f"t.{DATE_COLUMN}")
    rows = session.execute(f"SELECT {month}, count(*) FROM {quoted(entity)} AS t GROUP BY 1")  # our names
    counts = {label_of(session, date): count for date, count in rows}
    for batch, date, listed in session.execute(
        f"SELECT r.batch, {month}, count(*) FROM {_listed(session, entity)} GROUP BY 1, 2"
    ):
        counts[label_of(session, date)] -= listed
        counts[batch] = counts.get(batch, 0) + listed
    return {batch: count for batch, count in sorted(counts.items()) if count}


def label_of(session: Session, month: object) -> str:
    """Return the batch that a selected month means; a row without a date, never ours, is undated."""
    return session.read_month(month) or UNDATED


def _listed(session: Session, entity: str) -> str:
    return (
        f"{session.books.batch_row} AS r JOIN {quoted(entity)} AS t"
        f" ON t.{quoted(key_of(entity))} = r.target_key AND r.entity = '{entity}'"
    )


def control_totals(session: Session, entity: str, *, by_batch: bool = False) -> Totals:
    """Return exact counts and sums of the money columns.

    Args:
        session: The target.
        entity: `account` (groups: product_id, status) or `transaction` (group: transaction_type).
        by_batch: Put the batch before the group; for `transaction` alone.

    Returns:
        By group: `rows`, and for each money column of section 7 the sum in cents.
    """
    groups, amounts = _GROUPS[entity], _AMOUNTS[entity]
    labels = [f"t.{quoted(column)}" for column in groups]
    sums = [session.sums(f"t.{quoted(c)}", kind_of(TABLES[entity].columns[c]).scale) for c in amounts]
    if not by_batch:
        return _totals(session, labels, sums, amounts, f"{quoted(entity)} AS t")
    month = session.month(f"t.{DATE_COLUMN}")
    # the group first, of which there are few: the rows are then sorted with fewer comparisons of text
    by_month = _totals(session, [*labels, month], sums, amounts, f"{quoted(entity)} AS t")
    totals = {(label_of(session, date), *group): values for (*group, date), values in by_month.items()}
    moved = _totals(session, ["r.batch", month, *labels], sums, amounts, _listed(session, entity))
    for (batch, date, *group), listed in moved.items():
        _add(totals, (label_of(session, date), *group), listed, -1)
        _add(totals, (batch, *group), listed, 1)
    return {group: values for group, values in sorted(totals.items()) if values["rows"]}


def _totals(
    session: Session, labels: list[str], sums: list[str], amounts: tuple[str, ...], source: str
) -> dict[tuple[Any, ...], dict[str, int]]:
    places = ", ".join(str(place) for place in range(1, len(labels) + 1))
    rows = session.execute(
        f"SELECT {', '.join(labels)}, count(*), {', '.join(sums)} FROM {source} GROUP BY {places} ORDER BY {places}"
    )
    totals = {}
    for row in rows:
        label, count, values = row[: len(labels)], row[len(labels)], row[len(labels) + 1 :]
        cents = {name: session.read_sum(value) for name, value in zip(amounts, values, strict=True)}
        totals[label] = {"rows": count} | cents
    return totals


def _add(totals: Totals, group: tuple[str, ...], values: dict[str, int], sign: int) -> None:
    sums = totals.setdefault(group, dict.fromkeys(values, 0))
    for name, value in values.items():
        sums[name] += sign * value


def orphans(session: Session) -> dict[str, int]:
    """Return the number of rows without their parent, by `child->parent`; all are 0 in a sound target."""
    return {
        f"{child}->{parent}": _count_orphans(session, child, column, parent)
        for child in ENTITIES
        for column, parent in parents_of(child)
    }


def _count_orphans(session: Session, child: str, column: str, parent: str) -> int:
    return int(session.value(f"SELECT sum(o.children) FROM ({_orphans(session, child, column, parent)}) AS o") or 0)


def orphan_keys(session: Session, child: str, column: str, parent: str, limit: int) -> list[str]:
    """Return the keys of some rows whose parent does not exist."""
    missing = f"SELECT o.parent FROM ({_orphans(session, child, column, parent)}) AS o"
    rows = session.execute(
        f"SELECT {selected([key_of(child)])} FROM {quoted(child)} WHERE {quoted(column)} IN ({missing})"
        f" ORDER BY 1 LIMIT {limit}"
    )
    return [str(row[0]) for row in rows]


def _orphans(session: Session, child: str, column: str, parent: str) -> str:
    """Return the query of the references `parent` without their row, and how many rows, `children`, each stands for."""
    return (
        f"SELECT c.parent, c.children FROM ({session.references(child, column)}) AS c WHERE NOT EXISTS"
        f" (SELECT 1 FROM {quoted(parent)} AS p WHERE p.{quoted(key_of(parent))} = c.parent)"
    )
