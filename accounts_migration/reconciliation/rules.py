"""The rules held against a second account of them: source rows counted by SQL, records and rows of the target.

Here: the comparison, for each entity, of how many rows break each rule and how many have each code. Not here: counting
the source, without any code of the cleaning (`accounts_migration.databases.legacy_census`).
"""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.census_cells import Rules
from accounts_migration.databases.legacy_census import LOADED, Census, Fate
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.defects import REPAIRED
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation.target_totals import counts_and_totals

NAMED = 5
"""The source rows named of each side of a difference."""

_FIRST = " first"

Finding = tuple[str, str]
"""(action, reason) of rows left out or repaired; (`loaded`, target value of the code) of rows loaded."""


@dataclass(frozen=True, slots=True)
class RuleDifference:
    """A finding of which source and target tell different numbers, and rows that only one of them names.

    `action` is `rejected first` where the reason is the first of a row's reasons.
    """

    entity: str
    action: str
    reason: str
    expected: int
    found: int
    only_expected: tuple[str, ...] = ()
    only_found: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RulesHeld:
    """What the comparison of an entity came to: source rows judged, numbers compared, those that differ."""

    entity: str
    rows: int
    compared: int
    differences: list[RuleDifference]

    @property
    def hold(self) -> bool:
        """Return whether every rule was applied as often as the source breaks it."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Scope:
    """Which batches are compared: those of the source that are loaded, and all of the target but those `waiting`.

    What waits was loaded from another snapshot, and to be replaced from the present one.
    """

    loaded: Sequence[str]
    is_everything: bool
    waiting: Collection[str]


def plain_rules(policies: Policies) -> Rules:
    """Return the policies as plain values: of the codes only those that the bank added."""
    return Rules(
        inactive_parents=policies.inactive_parents,
        invalid_email=policies.invalid_email,
        date_formats=policies.date_formats,
        legacy_encoding=policies.legacy_encoding,
        codes={
            "product_type": policies.product_type,
            "account_status": policies.account_status,
            "transaction_type": policies.transaction_type,
        },
    )


def scope_of(entity: str, snapshot: Snapshot, target: Target, *, of_any_snapshot: bool = False) -> Scope:
    """Return which batches of an entity are compared; `of_any_snapshot` counts every recorded batch as loaded."""
    records = [record for record in target.recorded_batches() if record.entity == entity]
    here = {record.batch for record in records if of_any_snapshot or record.snapshot_id == snapshot.snapshot_id}
    batches = snapshot.tables[ENTITIES[entity].legacy_table].batches
    loaded = [batch for batch in sorted(batches) if batch in here]
    return Scope(loaded, len(loaded) == len(batches), {record.batch for record in records} - here)


def compare_rules(entity: str, census: Census, target: Target, scope: Scope) -> RulesHeld:
    """Compare the number of rows of each finding in the source with those that the target tells."""
    batches = None if scope.is_everything else scope.loaded
    fates = census.count(entity, batches)
    expected: Counter[Finding] = Counter()
    for fate, rows in fates.items():
        for finding in _findings(fate):
            expected[finding] += rows
    found = _told(entity, target, scope)
    differences = [
        RuleDifference(
            entity, *finding, expected[finding], found[finding], *_examples(entity, finding, census, target, scope)
        )
        for finding in sorted({*expected, *found})
        if expected[finding] != found[finding]
    ]
    return RulesHeld(entity, fates.total(), len({*expected, *found}), differences)


def _findings(fate: Fate) -> Iterator[Finding]:
    if fate.action == LOADED:
        yield LOADED, fate.code
        yield from ((REPAIRED, reason) for reason in fate.reasons)
    else:
        yield from ((fate.action, reason) for reason in fate.reasons)
        yield fate.action + _FIRST, fate.reasons[0]


def _told(entity: str, target: Target, scope: Scope) -> Counter[Finding]:
    told: Counter[Finding] = Counter()
    for (batch, action, first, reasons), records in target.defect_reasons(entity).items():
        if batch in scope.waiting:
            continue
        for reason in reasons.split(","):
            told[action, reason] += records
        if action != REPAIRED:
            told[action + _FIRST, first] += records
    for code, rows in _loaded_by_code(entity, target, scope).items():
        told[LOADED, code] += rows
    return told


def _loaded_by_code(entity: str, target: Target, scope: Scope) -> Counter[str]:
    counted: Counter[str] = Counter()
    figures = counts_and_totals(target, entity)
    standing = [batch for batch in figures.rows if batch not in scope.waiting]
    if entity == "product":
        counted.update(target.counts_by_value(entity, "product_type") if standing else {})
    elif entity == "customer":
        counted[""] = sum(figures.rows[batch] for batch in standing)
    else:
        for group, values in figures.of(standing).items():
            counted[group.rpartition("/")[2]] += values["rows"]
    return +counted


# -- which rows: asked only where numbers differ


_CODE = {"product": "product_type", "account": "status", "transaction": "transaction_type"}
_ID = {"product": "PROD-{:03d}", "customer": "CUST-{:04d}", "account": "ACCT-{:08d}", "transaction": "TXN-{}"}


def _examples(
    entity: str, finding: Finding, census: Census, target: Target, scope: Scope
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the first rows that only the source names, and those that only the target does."""
    expected = _named_by_source(entity, finding, census, scope)
    found = (
        _loaded_rows(entity, finding, target)
        if finding[0] == LOADED
        else _recorded_rows(entity, finding, target, scope)
    )
    with closing(sqlite3.connect("")) as scratch:  # a file of its own that SQLite removes: memory stays bounded
        for table, names in (("expected", expected), ("found", found)):
            scratch.execute(f"CREATE TABLE {table} (name TEXT)")
            scratch.executemany(f"INSERT INTO {table} VALUES (?)", ((name,) for name in names))  # noqa: S608  # our names
        query = "SELECT name FROM (SELECT name FROM {} EXCEPT SELECT name FROM {}) ORDER BY length(name), name LIMIT ?"
        sides = [
            scratch.execute(query.format(*pair), (NAMED,)) for pair in (("expected", "found"), ("found", "expected"))
        ]
        only_expected, only_found = (tuple(name for (name,) in side) for side in sides)
    return only_expected, only_found


def _named_by_source(entity: str, finding: Finding, census: Census, scope: Scope) -> Iterator[str]:
    for judged in census.rows(entity, None if scope.is_everything else scope.loaded):
        if finding in _findings(judged.fate):
            if finding[0] == LOADED:
                yield _ID[entity].format(judged.key)
            elif judged.row is not None:
                yield f"row {judged.row}"


def _loaded_rows(entity: str, finding: Finding, target: Target) -> Iterator[str]:
    for part in target.scan(entity):
        chosen = part.filter(pc.equal(part[_CODE[entity]], finding[1])) if entity in _CODE else part
        yield from chosen[f"{entity}_id"].to_pylist()


def _recorded_rows(entity: str, finding: Finding, target: Target, scope: Scope) -> Iterator[str]:
    action, reason = finding
    for record in _records(target.defects(entity)):
        named = [record["reason"]] if action.endswith(_FIRST) else record["reasons"].split(",")
        is_meant = record["action"] == action.removesuffix(_FIRST) and reason in named
        if is_meant and record["batch"] not in scope.waiting and record["source_row_id"] is not None:
            yield f"row {record['source_row_id']}"


def _records(parts: Iterable[pa.RecordBatch]) -> Iterator[dict[str, str]]:
    for part in parts:
        yield from part.select(["batch", "source_row_id", "action", "reason", "reasons"]).to_pylist()
