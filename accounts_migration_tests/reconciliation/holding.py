"""A source that is cleaned, loaded and held against the second reading, without Dagster.

Here: what the tests of the second reading share. Not here: what it should find.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow.compute as pc

from accounts_migration.databases.target import BatchToLoad, Snapshot, Target, open_target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.cleaning import Cleaned
from accounts_migration.entities.defects import DEFECT_SCHEMA, EXCLUDED, REJECTED
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation.second_reading import Held, Scope, hold_against, plain_rules
from accounts_migration.second_reading.reading import SecondReading
from accounts_migration_tests.entities.judging import TAKEN, judge

EVERYTHING = Scope([], is_everything=True, waiting=(), rows=0)

Difference = tuple[str, str, str, str, str | None, str | None]
"""(entity, difference, key, column, expected, found)"""


def load(target: Target, verdicts: Mapping[str, Cleaned], policies: Policies) -> None:
    """Load what was cleaned into an empty target, with its records, a batch at a time."""
    snapshot = Snapshot("one", "legacy.db", "ab" * 32, TAKEN)
    target.prepare()
    for entity, verdict in verdicts.items():
        batches = {*verdict.rows["batch"].to_pylist(), *verdict.defects["batch"].to_pylist()}
        for batch in sorted(batches):
            rows = verdict.rows.filter(pc.equal(verdict.rows["batch"], batch)).drop_columns(["batch"])
            defects = verdict.defects.filter(pc.equal(verdict.defects["batch"], batch))
            actions = Counter(defects["action"].to_pylist())
            target.load_batch(
                BatchToLoad(
                    entity=entity,
                    batch=batch,
                    snapshot=snapshot,
                    policies=policies.as_json(),
                    policies_digest=policies.digest,
                    content_digest="",
                    source_rows=len(rows) + actions[REJECTED] + actions[EXCLUDED],
                    rejected=actions[REJECTED],
                    excluded=actions[EXCLUDED],
                    control_totals="{}",
                    rows=rows.combine_chunks().to_batches(),
                    defects=defects.select(DEFECT_SCHEMA.names).combine_chunks().to_batches(),
                )
            )


def held(source: Path, url: str, policies: Policies, verdicts: Mapping[str, Cleaned] | None = None) -> list[Held]:
    """Load a source as it is cleaned, or as given, and hold it against the second reading."""
    reading = SecondReading(source, plain_rules(policies), TAKEN)
    with open_target(url) as target:
        load(target, verdicts or judge(source, policies), policies)
        return [hold_against(entity, reading, target, EVERYTHING) for entity in ENTITIES]


def differences(
    source: Path, url: str, policies: Policies, verdicts: Mapping[str, Cleaned] | None = None
) -> list[Difference]:
    """Return what the second reading finds."""
    return [
        (one.entity, told.kind, told.key, told.column, told.expected, told.found)
        for one in held(source, url, policies, verdicts)
        for told in one.differences
    ]


def lacks(entity: str, key: str) -> Difference:
    """Return what is told of a row, or a record, that the target lacks."""
    return (entity, "MISSING_IN_TARGET", key, "", None, None)


def has_too_much(entity: str, key: str) -> Difference:
    """Return what is told of a row, or a record, that the target should not have."""
    return (entity, "UNEXPECTED_IN_TARGET", key, "", None, None)


def tells(entity: str, key: str, column: str, expected: str | None, found: str | None) -> Difference:
    """Return what is told of a value, in a row or a record, that is not the right one."""
    return (entity, "DIFFERENT", key, column, expected, found)
