"""What the source promises: control totals by SQL on the snapshot, and the money left behind in rows not loaded.

Here: both sides of `source = target + left behind`, in cents, by the target's groups (contract section 7). Not here:
the totals of the target. Nothing of the cleaned frames is used, so that an error in cleaning cannot hide itself.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from accounts_migration.databases.legacy_source import LegacyTable
from accounts_migration.databases.legacy_totals import source_totals
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import Entity, values
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.totals import Totals
from accounts_migration.legacy_values import LegacyValue, read_source_row

UNREADABLE = "?"
"""The group of rows whose code or key has no target value."""


@dataclass(frozen=True, slots=True)
class _Money:
    """Where an entity's money stands: legacy column -> measure, and how its groups are named."""

    measures: dict[str, str]
    unsigned: tuple[str, ...]
    groups: tuple[str, ...]
    group: Callable[[tuple[LegacyValue, ...], Policies], str]


def _account_group(codes: tuple[LegacyValue, ...], policies: Policies) -> str:
    product = values.entity_key(codes[0], policies.legacy_encoding).value
    status = values.code(codes[1], policies.account_statuses, policies.legacy_encoding).value
    return f"{UNREADABLE if product is None else f'PROD-{product:03d}'}/{status or UNREADABLE}"


def _transaction_group(codes: tuple[LegacyValue, ...], policies: Policies) -> str:
    return values.code(codes[0], policies.transaction_types, policies.legacy_encoding).value or UNREADABLE


_MONEY = {
    "account": _Money({"current_balance": "balance"}, (), ("product_code", "account_status"), _account_group),
    "transaction": _Money(
        {"trans_amount": "amount", "balance_after": "balance_after"},
        ("trans_amount",),
        ("trans_type",),
        _transaction_group,
    ),
}


def promised(entity: Entity, snapshot: Snapshot, policies: Policies, batches: Sequence[str] | None = None) -> Totals:
    """Return group -> {measure: cents} over every readable amount of the batches (None: all), by SQL."""
    money = _MONEY.get(entity.name)
    if money is None:
        return {}
    table = LegacyTable(entity.legacy_table, entity.legacy_columns, entity.batch_column)
    found: Totals = {}
    for total in source_totals(
        snapshot.path,
        table,
        money.groups,
        list(money.measures),
        lambda text: values.money(text, policies.legacy_encoding).value,
        money.unsigned,
        batches,
    ):
        _add(
            found,
            money.group(total.codes, policies),
            {money.measures[name]: cents for name, cents in total.sums.items()},
        )
    return found


def left_behind(entity: Entity, defects: Iterable[pa.RecordBatch], policies: Policies) -> Totals:
    """Return group -> {measure: cents} over the rejected and excluded rows that the defect table keeps."""
    money = _MONEY.get(entity.name)
    found: Totals = {}
    for batch in defects if money else ():
        for action, text in zip(batch["action"].to_pylist(), batch["source_row"].to_pylist(), strict=True):
            if money and action != "repaired":
                row = read_source_row(text)
                amounts = {
                    measure: _cents(row[column], column in money.unsigned, policies)
                    for column, measure in money.measures.items()
                }
                _add(found, money.group(tuple(row[name] for name in money.groups), policies), amounts)
    return found


def _cents(value: LegacyValue, unsigned: bool, policies: Policies) -> int:
    cents = values.money(value, policies.legacy_encoding).value or 0
    return abs(cents) if unsigned else cents


def _add(totals: Totals, group: str, amounts: dict[str, int]) -> None:
    into = totals.setdefault(group, dict.fromkeys(amounts, 0))
    for measure, cents in amounts.items():
        into[measure] += cents


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """One control total in cents; `unexplained` must be 0."""

    entity: str
    group: str
    measure: str
    source: int
    target: int
    left_behind: int

    @property
    def unexplained(self) -> int:
        """Return what neither the target nor the rows left behind account for."""
        return self.source - self.target - self.left_behind


def control_totals(entity: str, source: Totals, target: Totals, left: Totals) -> list[ControlTotal]:
    """Return every control total of an entity in its three columns, groups in order."""
    groups = sorted({*source, *target, *left})
    measures = dict.fromkeys(
        name for totals in (source, target, left) for values_ in totals.values() for name in values_ if name != "rows"
    )
    return [
        ControlTotal(
            entity,
            group,
            measure,
            *(totals.get(group, {}).get(measure, 0) for totals in (source, target, left)),
        )
        for group in groups
        for measure in measures
    ]
