"""What the source promises: control totals by SQL on the snapshot, and the money left behind in rows not loaded.

Here: both sides of `source = target + left behind`, in cents, by the target's groups (contract section 7). Not here:
the totals of the target. Nothing of the cleaned frames is used, so that an error in cleaning cannot hide itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from accounts_migration.databases.legacy_source import LegacyTable
from accounts_migration.databases.legacy_totals import SourceTotal, source_totals
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import Entity, values
from accounts_migration.entities.defects import REPAIRED
from accounts_migration.entities.policies import ACCOUNT_STATUSES, TRANSACTION_TYPES, Policies, of_targets
from accounts_migration.entities.totals import Totals, added
from accounts_migration.legacy_values import LegacyValue, read_source_row
from accounts_migration.reconciliation.amounts import amount

UNREADABLE = "?"
"""The group of rows whose code or key has no target value."""

OVERALL = "overall"
"""The group of all rows."""


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


def _platform_account_group(codes: tuple[LegacyValue, ...], policies: Policies) -> str:
    product = values.text(codes[0], policies.legacy_encoding).value
    status = values.code(codes[1], of_targets(ACCOUNT_STATUSES), policies.legacy_encoding).value
    return f"{product or UNREADABLE}/{status or UNREADABLE}"


def _platform_transaction_group(codes: tuple[LegacyValue, ...], policies: Policies) -> str:
    return values.code(codes[0], of_targets(TRANSACTION_TYPES), policies.legacy_encoding).value or UNREADABLE


# by the table that the rows come from
_MONEY = {
    "legacy_accounts": _Money({"current_balance": "balance"}, (), ("product_code", "account_status"), _account_group),
    "legacy_transactions": _Money(
        {"trans_amount": "amount", "balance_after": "balance_after"},
        ("trans_amount",),
        ("trans_type",),
        _transaction_group,
    ),
    "account": _Money({"balance": "balance"}, (), ("product_id", "status"), _platform_account_group),
    "transaction": _Money(
        {"amount": "amount", "balance_after": "balance_after"}, (), ("transaction_type",), _platform_transaction_group
    ),
}


@dataclass(frozen=True, slots=True)
class Promises:
    """What a snapshot promises: entity -> group -> {measure: cents}; `months` by batch, where they were asked for."""

    snapshot_id: str
    totals: dict[str, Totals]
    months: dict[str, Totals] | None


def promises_of(
    snapshot: Snapshot,
    policies: Policies,
    entities: Mapping[str, Entity],
    by_month: bool,
    batches: Mapping[str, Sequence[str] | None] | None = None,
) -> Promises:
    """Add up every readable amount of a snapshot, by SQL.

    Args:
        snapshot: The source.
        policies: Those that say how a cell is read.
        entities: The four entities, as the snapshot's source holds them.
        by_month: Whether the entity that moves in batches is added up for each of its batches.
        batches: Entity -> only the rows of these batches; None or nothing named for all.
    """
    chosen = batches or {}
    totals: dict[str, Totals] = {}
    months: dict[str, Totals] | None = None
    for name, entity in entities.items():
        if by_month and entity.batch_column:
            months = promised_by_batch(entity, snapshot, policies)
            wanted = chosen.get(name)
            totals[name] = added(months.get(batch, {}) for batch in (months if wanted is None else wanted))
        else:
            totals[name] = promised(entity, snapshot, policies, chosen.get(name))
    return Promises(snapshot.snapshot_id, totals, months)


def promised(entity: Entity, snapshot: Snapshot, policies: Policies, batches: Sequence[str] | None = None) -> Totals:
    """Return group -> {measure: cents} over every readable amount of the batches (None: all), by SQL."""
    found: Totals = {}
    for total in _source_totals(entity, snapshot, policies, batches):
        _add(found, *_in_target_words(entity, total, policies))
    return found


def promised_by_batch(entity: Entity, snapshot: Snapshot, policies: Policies) -> dict[str, Totals]:
    """Return batch -> what `promised` returns of it; the table is read once."""
    found: dict[str, Totals] = {}
    for total in _source_totals(entity, snapshot, policies, by_batch=True):
        _add(found.setdefault(str(total.batch), {}), *_in_target_words(entity, total, policies))
    return dict(sorted(found.items()))


def _source_totals(
    entity: Entity,
    snapshot: Snapshot,
    policies: Policies,
    batches: Sequence[str] | None = None,
    *,
    by_batch: bool = False,
) -> Iterator[SourceTotal]:
    money = _MONEY.get(entity.legacy_table)
    if money is None:
        return
    yield from source_totals(
        snapshot.path,
        LegacyTable(entity.legacy_table, entity.legacy_columns, entity.batch_column),
        money.groups,
        list(money.measures),
        lambda text: values.money(text, policies.legacy_encoding).value,
        money.unsigned,
        batches,
        by_batch,
    )


def _in_target_words(entity: Entity, total: SourceTotal, policies: Policies) -> tuple[str, dict[str, int]]:
    money = _MONEY[entity.legacy_table]
    amounts = {money.measures[name]: cents for name, cents in total.sums.items()}
    return money.group(total.codes, policies), amounts


def left_behind(entity: Entity, defects: Iterable[pa.RecordBatch], policies: Policies) -> Totals:
    """Return group -> {measure: cents} over the rejected and excluded rows that the defect table keeps."""
    found: Totals = {}
    for batch in defects:
        for action, text in zip(batch["action"].to_pylist(), batch["source_row"].to_pylist(), strict=True):
            money = money_of(entity, text, policies) if action != REPAIRED else None
            if money is not None:
                _add(found, money.group, {name: cents or 0 for name, cents in money.cents.items()})
    return found


@dataclass(frozen=True, slots=True)
class RowMoney:
    """The money of one legacy row: its group, and the cents of each measure; None where they cannot be read."""

    group: str
    cents: dict[str, int | None]


def money_of(entity: Entity, source_row: str, policies: Policies) -> RowMoney | None:
    """Return the money in the `source_row` of a defect; None for an entity without money."""
    money = _MONEY.get(entity.legacy_table)
    if money is None:
        return None
    row = read_source_row(source_row)
    cents = {
        measure: _cents(row[column], column in money.unsigned, policies) for column, measure in money.measures.items()
    }
    return RowMoney(money.group(tuple(row[name] for name in money.groups), policies), cents)


def _cents(value: LegacyValue, unsigned: bool, policies: Policies) -> int | None:
    cents = values.money(value, policies.legacy_encoding).value
    return abs(cents) if unsigned and cents is not None else cents


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

    def __str__(self) -> str:
        """Return how much of it is unexplained."""
        return f"{self.entity} {self.group} {self.measure}: {amount(self.unexplained)}"


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


def overall(totals: Iterable[ControlTotal]) -> list[ControlTotal]:
    """Return the control totals over all groups, one for each entity and measure."""
    sums: dict[tuple[str, str], ControlTotal] = {}
    for one in totals:
        so_far = sums.get((one.entity, one.measure), ControlTotal(one.entity, OVERALL, one.measure, 0, 0, 0))
        sums[one.entity, one.measure] = replace(
            so_far,
            source=so_far.source + one.source,
            target=so_far.target + one.target,
            left_behind=so_far.left_behind + one.left_behind,
        )
    return list(sums.values())
