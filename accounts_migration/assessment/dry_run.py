"""A dry run of the cleaning: what a migration of this snapshot would load, reject, exclude and repair.

Here: the same reading and cleaning that a migration does, of which only counts are kept: not a row is staged. Not here:
any rule (`accounts_migration.entities`).
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from accounts_migration.databases.legacy_source import read_keys, read_rows
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.duplicates import duplicates_of
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.cleaning import Cleaned, clean
from accounts_migration.entities.columns import ParsedColumn
from accounts_migration.entities.defects import EXCLUDED, REJECTED, REPAIRED
from accounts_migration.entities.entity import Circumstances, LegacyChunk
from accounts_migration.entities.keys import KeyFates, referenced_keys
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.totals import AT_STAKE
from accounts_migration.reconciliation.accounting import BatchLaw
from accounts_migration.reconciliation.promises import money_of
from accounts_migration.resources import legacy_table
from accounts_migration.streams import joined, read_ahead


@dataclass(frozen=True, slots=True)
class EntityOutcome:
    """What would become of an entity's source rows: `source` = `loaded` + `rejected` + `excluded` (contract section 1).

    `repaired` counts records, as the migration's own account does. `money_at_stake` in cents, without sign, over rows
    rejected or excluded whose amount can be read; `unreadable` counts the others. `is_accepted`: the rejects are within
    the policy max_reject_rate.
    """

    entity: str
    source: int
    loaded: int
    rejected: int
    excluded: int
    repaired: int
    money_at_stake: int
    unreadable: int
    is_accepted: bool


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """How many rows a rule would reject or exclude, how many values it would repair.

    `rows` counts the rows whose first reason it is, so they add up; `broken` all rows that break it. `money_at_stake`
    (cents, without sign) and `unreadable` are those of `rows`; a repaired row is loaded and puts no money at stake.
    """

    entity: str
    action: str
    reason: str
    rows: int
    broken: int
    money_at_stake: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a migration would come to.

    Attributes:
        source_sha256: The snapshot.
        policies_digest: The policies.
        entities: By entity, in the order of loading.
        rules: By entity, action and reason, most rows first within an entity.
        batches: The account of each batch of transactions.
        rows: How many rows were read and cleaned.
        seconds: How long that took.
    """

    source_sha256: str
    policies_digest: str
    entities: tuple[EntityOutcome, ...]
    rules: tuple[RuleOutcome, ...]
    batches: tuple[BatchLaw, ...]
    rows: int
    seconds: float


@dataclass
class _Account:
    """What was counted of an entity so far; defects by (action, reason), money in cents."""

    loaded: Counter[str] = field(default_factory=Counter)
    actions: Counter[tuple[str, str]] = field(default_factory=Counter)
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    broken: Counter[tuple[str, str]] = field(default_factory=Counter)
    money: Counter[tuple[str, str]] = field(default_factory=Counter)
    unreadable: Counter[tuple[str, str]] = field(default_factory=Counter)
    keys: list[pa.Table] = field(default_factory=list)

    def add(self, entity: Entity, cleaned: Cleaned, policies: Policies) -> None:
        for counted in cleaned.rows["batch"].value_counts().to_pylist():
            self.loaded[counted["values"]] += counted["counts"]
        self.keys.append(cleaned.keys.drop_columns(["batch"]))
        columns = ("batch", "action", "reason", "reasons", "source_row")
        for batch, action, reason, reasons, row in zip(*(cleaned.defects[c].to_pylist() for c in columns), strict=True):
            self.actions[batch, action] += 1
            self.rows[action, reason] += 1
            self.broken.update((action, one) for one in reasons.split(","))
            if action != REPAIRED and entity.name in AT_STAKE:
                self._add_money((action, reason), entity, row, policies)

    def _add_money(self, rule: tuple[str, str], entity: Entity, row: str, policies: Policies) -> None:
        money = money_of(entity, row, policies)
        cents = money.cents[AT_STAKE[entity.name]] if money else None
        if cents is None:
            self.unreadable[rule] += 1
        else:
            self.money[rule] += abs(cents)


def dry_run(snapshot: Snapshot, policies: Policies) -> DryRun:
    """Clean the whole snapshot under the policies and count what becomes of it; nothing is written.

    Raises:
        MigrationError: The snapshot cannot be read.
    """
    started = time.monotonic()
    accounts: dict[str, _Account] = {}
    fates: dict[str, KeyFates] = {}
    for name, entity in ENTITIES.items():
        accounts[name] = _cleaned(entity, snapshot, policies, fates)
        fates[name] = KeyFates.from_tables(batch for keys in accounts[name].keys for batch in keys.to_batches())
    transaction = ENTITIES["transaction"]
    return DryRun(
        source_sha256=snapshot.sha256,
        policies_digest=policies.digest,
        entities=tuple(_outcome(ENTITIES[name], snapshot, policies, one) for name, one in accounts.items()),
        rules=tuple(rule for name, one in accounts.items() for rule in _rules(name, one)),
        batches=tuple(_batches(transaction.name, snapshot.tables[transaction.legacy_table].batches, accounts)),
        rows=sum(snapshot.tables[entity.legacy_table].rows for entity in ENTITIES.values()),
        seconds=time.monotonic() - started,
    )


def _cleaned(entity: Entity, snapshot: Snapshot, policies: Policies, fates: Mapping[str, KeyFates]) -> _Account:
    account = _Account()
    circumstances = Circumstances(
        policies=policies,
        snapshot_time=snapshot.time,
        duplicates=duplicates_of(entity, snapshot, policies),
        parents={parent: fates[parent] for parent in entity.parents},
        referenced=None if entity.parents else referenced_keys(_references(entity, snapshot, policies)),
    )
    manifest = snapshot.tables[entity.legacy_table]
    rows = read_rows(snapshot.path, legacy_table(entity), manifest.classes, manifest.row_id)
    for chunk in read_ahead(joined(rows)):
        legacy = LegacyChunk(chunk, entity.legacy_columns, manifest.row_id is not None)
        account.add(entity, clean(entity, legacy, circumstances), policies)
    return account


def _references(entity: Entity, snapshot: Snapshot, policies: Policies) -> Iterator[ParsedColumn]:
    """Yield the keys by which accounts refer to the entity."""
    account = ENTITIES["account"]
    manifest, column = snapshot.tables[account.legacy_table], account.parents[entity.name]
    for rows in read_keys(snapshot.path, legacy_table(account), column, manifest.classes, manifest.row_id):
        chunk = LegacyChunk(rows, (column,), manifest.row_id is not None)
        yield entity.parse_keys(chunk.column(column), policies.legacy_encoding)


def _outcome(entity: Entity, snapshot: Snapshot, policies: Policies, account: _Account) -> EntityOutcome:
    source = snapshot.tables[entity.legacy_table].rows
    records = Counter[str]()
    for (_, action), count in account.actions.items():
        records[action] += count
    return EntityOutcome(
        entity=entity.name,
        source=source,
        loaded=account.loaded.total(),
        rejected=records[REJECTED],
        excluded=records[EXCLUDED],
        repaired=records[REPAIRED],
        money_at_stake=account.money.total(),
        unreadable=account.unreadable.total(),
        is_accepted=policies.allows(records[REJECTED], source),
    )


def _rules(entity: str, account: _Account) -> list[RuleOutcome]:
    rules = [
        RuleOutcome(
            entity=entity,
            action=action,
            reason=reason,
            rows=account.rows[action, reason],
            broken=broken,
            money_at_stake=account.money[action, reason],
            unreadable=account.unreadable[action, reason],
        )
        for (action, reason), broken in account.broken.items()
    ]
    return sorted(rules, key=lambda rule: (-rule.rows, -rule.broken, rule.action, rule.reason))


def _batches(entity: str, source: Mapping[str, int], accounts: Mapping[str, _Account]) -> Iterator[BatchLaw]:
    account = accounts[entity]
    for batch, rows in source.items():
        records = (account.actions[batch, action] for action in (REJECTED, EXCLUDED, REPAIRED))
        yield BatchLaw(entity, batch, rows, account.loaded[batch], *records)
