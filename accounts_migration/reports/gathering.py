"""Gathering what a report says from the target, the snapshot it was loaded from, and the verdicts of the checks.

Here: figures and their parting by reason. Not here: counting and adding themselves (`accounts_migration.databases`,
`accounts_migration.reconciliation`).
"""

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from importlib.metadata import version
from typing import Any

from accounts_migration.databases.legacy_source import Unmigrated
from accounts_migration.databases.plausibility import Finding
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import ENGINES, RecordedBatch, Target
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.defects import REPAIRED, without_personal_data
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.totals import AT_STAKE
from accounts_migration.reconciliation.accounting import BatchLaw
from accounts_migration.reconciliation.amounts import amount
from accounts_migration.reconciliation.plausibility import MEANINGS
from accounts_migration.reconciliation.promises import OVERALL, ControlTotal, RowMoney, money_of, overall
from accounts_migration.reconciliation.report import Months, Reconciliation, reconcile
from accounts_migration.reports.contents import (
    FAILED,
    NOT_RUN,
    PASSED,
    WARNING,
    Check,
    Conclusion,
    Defects,
    Destination,
    Example,
    Load,
    Money,
    Month,
    OtherTables,
    Plausibility,
    Report,
    Rows,
    Source,
)
from accounts_migration.reports.words import WORDS, Words

EXAMPLES = 3
LONGEST = 60
NAMED = 20


def gather(
    target: Target,
    location: str,
    snapshot: Snapshot,
    checks: Sequence[Check],
    *,
    entities: Mapping[str, Entity] = ENTITIES,
    other_tables: OtherTables | None = None,
    account: Reconciliation | None = None,
) -> Report:
    """Return the report on a target, all but the answers on plausibility; see `answered`.

    Args:
        target: The target, with the books of what is reported: a migration or a copy into it.
        location: How it is named, without its password.
        snapshot: The snapshot that it was loaded from last.
        checks: The last verdict of each check.
        entities: The four entities, as the snapshot holds them; none where other tables alone were copied.
        other_tables: What came along beside them; None for nothing.
        account: The reconciliation with its months, where it was made just now; None makes it.
    """
    others = other_tables or OtherTables()
    words = WORDS[target.books.deed]
    kept = target.recorded_batches()
    # the books of a copy tell of other tables, too; where nothing else was copied, they are all there is
    records = [record for record in kept if record.entity in entities] or kept
    force = _in_force(records, words) if entities else _PoliciesInForce()
    found = account or reconcile(snapshot, force.policies, target, entities=entities, by_month=True)
    piles = [_pile(target, entity, force.policies, found) for entity in entities.values()]
    return Report(
        deed=target.books.deed,
        conclusion=_conclusion(found, others, checks),
        source=_source(snapshot, _left(snapshot, others), words.done),
        target=_destination(target, location, records),
        software=_software(),
        policies=force.told,
        batches_under_other_policies=force.batches_under_others,
        entities=[_rows(line) for line in found.entities],
        batches=[_rows(line) for line in found.batches],
        not_loaded=found.missing,
        totals=_money(found.totals, piles),
        overall=_money(overall(found.totals), piles),
        defects=[line for pile in piles for line in pile.lines()],
        plausibility=[],
        months=_months(snapshot, entities, found.months),
        loads=_loads(records),
        other_tables=others,
        checks=list(checks),
    )


def answered(report: Report, findings: Iterable[Finding]) -> Report:
    """Return a report with the answers to the questions of plausibility, which take as long as all the rest."""
    return replace(report, plausibility=_plausibility(findings))


@dataclass(frozen=True, slots=True)
class _PoliciesInForce:
    """The policies in force, those that are told of, and how many batches were loaded under others.

    Other tables know none: where they alone were copied, the defaults are in force and none is told.
    """

    policies: Policies = field(default_factory=Policies)
    told: dict[str, object] = field(default_factory=dict)
    batches_under_others: int = 0


def _in_force(records: Sequence[RecordedBatch], words: Words) -> _PoliciesInForce:
    """Return the policies of the batch that was loaded last."""
    last = max(records, key=lambda record: record.loaded_at)
    policies = Policies.model_validate_json(last.policies)
    others = sum(record.policies_digest != last.policies_digest for record in records)
    return _PoliciesInForce(policies, policies.model_dump(mode="json", include=set(words.policies)), others)


def _software() -> dict[str, str]:
    return {
        "accounts_migration": version("accounts-migration"),
        "Python": platform.python_version(),
        "Dagster": version("dagster"),
    }


def _left(snapshot: Snapshot, others: OtherTables) -> list[Unmigrated]:
    carried = {one.table for one in others.carried}
    return [item for item in snapshot.unmigrated if item.column or item.table not in carried]


def _source(snapshot: Snapshot, left: Iterable[Unmigrated], done: str) -> Source:
    return Source(
        path=snapshot.source,
        snapshot_id=snapshot.snapshot_id,
        sha256=snapshot.sha256,
        bytes=snapshot.size,
        taken_at=f"{snapshot.time:%Y-%m-%d %H:%M:%S}",
        integrity_check=snapshot.integrity,
        rows={name: table.rows for name, table in snapshot.tables.items()},
        not_migrated=[f"not {done}: {item.what}" for item in left],
    )


def _destination(target: Target, location: str, records: Sequence[RecordedBatch]) -> Destination:
    return Destination(
        name=location,
        engine=ENGINES[target.engine],
        version=target.server_version(),
        loaded_from=_moment(min(record.loaded_at for record in records)),
        loaded_until=_moment(max(record.loaded_at for record in records)),
    )


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _rows(line: BatchLaw) -> Rows:
    return Rows(
        line.entity,
        line.batch,
        line.source,
        line.loaded,
        line.rejected,
        line.excluded,
        line.repaired,
        line.unexplained,
    )


@dataclass
class _Pile:
    """The defects of one entity, added up while they stream by."""

    entity: Entity
    records: Counter[tuple[str, str]] = field(default_factory=Counter)
    cents: Counter[tuple[str, str]] = field(default_factory=Counter)
    unreadable: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[Example]] = field(default_factory=dict)
    left: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a record."""
        key = (row["action"], row["reason"])
        self.records[key] += 1
        examples = self.examples.setdefault(key, [])
        if len(examples) < EXAMPLES:
            examples.append(_example(row))

    def add_money(self, row: Mapping[str, Any], money: RowMoney, *, is_left: bool) -> None:
        """Add the money of a record's row; `is_left` where it counts among what was left behind."""
        key = (row["action"], row["reason"])
        cents = money.cents[AT_STAKE[self.entity.name]]
        self.cents[key] += cents or 0
        self.unreadable[key] += cents is None
        for measure, value in money.cents.items() if is_left else ():
            for group in (money.group, OVERALL):
                self.left.setdefault((group, measure), Counter())[row["reason"]] += value or 0

    def lines(self) -> list[Defects]:
        """Return a line for each action and reason."""
        has_money = self.entity.name in AT_STAKE
        return [
            Defects(
                entity=self.entity.name,
                action=action,
                reason=reason,
                records=records,
                cents=self.cents[action, reason] if has_money else None,
                unreadable=self.unreadable[action, reason],
                examples=self.examples[action, reason],
            )
            for (action, reason), records in sorted(self.records.items())
        ]


def _pile(target: Target, entity: Entity, policies: Policies, found: Reconciliation) -> _Pile:
    """Return the defects of an entity; money left behind is that of the batches that are reconciled."""
    reconciled = {line.batch for line in found.batches if line.entity == entity.name}
    pile = _Pile(entity)
    for part in target.defects(entity.name):
        for row in part.drop_columns(["inexact"]).to_pylist():
            pile.add(row)
            if money := money_of(entity, row["source_row"], policies):
                pile.add_money(row, money, is_left=row["action"] != REPAIRED and row["batch"] in reconciled)
    return pile


def _example(defect: Mapping[str, Any]) -> Example:
    shown: Mapping[str, Any] = without_personal_data(defect)
    return Example(**{one.name: _short(shown[one.name]) for one in fields(Example)})


def _short(value: Any) -> Any:
    return f"{value[:LONGEST]}…" if isinstance(value, str) and len(value) > LONGEST else value


def _money(totals: Iterable[ControlTotal], piles: Iterable[_Pile]) -> list[Money]:
    """Return control totals with what was left behind of each parted by reason."""
    left = {pile.entity.name: pile.left for pile in piles}
    return [
        Money(
            entity=total.entity,
            group=total.group,
            measure=total.measure,
            source=total.source,
            target=total.target,
            left_behind=total.left_behind,
            unexplained=total.unexplained,
            reasons=_reasons(left[total.entity].get((total.group, total.measure), {})),
        )
        for total in totals
    ]


def _reasons(cents: Mapping[str, int]) -> dict[str, int]:
    return {reason: value for reason, value in sorted(cents.items()) if value}


def _plausibility(findings: Iterable[Finding]) -> list[Plausibility]:
    return [
        Plausibility(one.kind, MEANINGS[one.kind], one.entity, one.asked, one.found, list(one.examples))
        for one in findings
    ]


def _months(snapshot: Snapshot, entities: Mapping[str, Entity], found: Months | None) -> list[Month]:
    if found is None:
        return []
    rows = snapshot.tables[entities["transaction"].legacy_table].batches
    standing = found.standing
    return [
        Month(
            batch=batch,
            source_rows=rows.get(batch, 0),
            target_rows=standing.rows.get(batch, 0),
            source_cents=sum(group["amount"] for group in found.promised.get(batch, {}).values()),
            target_cents=sum(group["amount"] for group in standing.totals.get(batch, {}).values()),
        )
        for batch in sorted({*rows, *standing.rows})
    ]


def _loads(records: Iterable[RecordedBatch]) -> list[Load]:
    ordered = sorted(records, key=lambda record: record.loaded_at)
    loads = []
    for before, record in zip([None, *ordered], ordered, strict=False):
        seconds = None if before is None else round((record.loaded_at - before.loaded_at).total_seconds(), 3)
        loads.append(
            Load(
                entity=record.entity,
                batch=record.batch,
                loaded_at=_moment(record.loaded_at),
                rows=record.loaded,
                seconds=seconds,
                rows_per_second=round(record.loaded / seconds) if seconds else None,
            )
        )
    return loads


def _conclusion(found: Reconciliation, others: OtherTables, checks: Sequence[Check]) -> Conclusion:
    rows = sum(abs(line.unexplained) for line in found.batches)
    cents = sum(abs(total.unexplained) for total in found.totals)
    by_verdict: dict[str, list[str]] = {FAILED: [], WARNING: [], NOT_RUN: [], PASSED: []}
    for check in checks:
        by_verdict[check.verdict].append(f"{check.asset} {check.check}")
    problems = []
    if rows:
        broken = [f"{line.entity} {line.batch}" for line in found.batches if line.unexplained]
        problems.append(f"{rows:,} rows are unexplained, in {', '.join(broken[:NAMED])}")
    if cents:
        problems.append(f"{amount(cents)} of control totals are unexplained")
    if found.missing:
        problems.append(f"{len(found.missing)} batches are not loaded: {', '.join(found.missing[:NAMED])}")
    if differing := [one.table for one in others.carried if not one.holds]:
        problems.append(f"other tables differ or were not compared: {', '.join(differing[:NAMED])}")
    if by_verdict[FAILED]:
        problems.append(f"checks failed: {', '.join(by_verdict[FAILED][:NAMED])}")
    return Conclusion(not problems, rows, cents, problems, by_verdict[WARNING], by_verdict[NOT_RUN])
