"""`validation/content` and `validation/second_reading`: every row of the target compared with both accounts of it.

Here: the two assets and their checks; in one step, since both read the whole target, and once is enough. Not here: the
comparisons (`accounts_migration.reconciliation`) and the reading (`accounts_migration.second_reading`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa

from accounts_migration.assets.ahead import Ahead
from accounts_migration.assets.constraints import CONSTRAINTS
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.links import cleaned_key, is_in_run
from accounts_migration.assets.reconciling import RECONCILIATION, reconciled
from accounts_migration.assets.snapshot import SNAPSHOT
from accounts_migration.assets.verdicts import content_metadata, examples_of, told
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration.io_managers import StagingIOManager
from accounts_migration.reconciliation.content import DIFFERENT, MISSING, UNEXPECTED
from accounts_migration.reconciliation.report import Reconciliation
from accounts_migration.reconciliation.second_reading import Held, Scope, hold_against, plain_rules, scope_of
from accounts_migration.reconciliation.target_content import compare_found
from accounts_migration.resources import LegacyResource, TargetResource, recorded_policies
from accounts_migration.second_reading.reading import SecondReading
from accounts_migration.staging import WHOLE
from accounts_migration.streams import give_memory_back, in_common

CONTENT = dg.AssetKey(["validation", "content"])
SECOND_READING = dg.AssetKey(["validation", "second_reading"])

Rows = Iterable[pa.RecordBatch]


class _Account(ABC):
    """One account of what the target is to hold, and what its comparison with each table came to."""

    asset: dg.AssetKey

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.checks: list[dg.AssetCheckResult] = []

    @abstractmethod
    def prepare(self, entity: Entity) -> bool:
        """Find out what is compared of an entity; return whether that is the whole table."""

    @abstractmethod
    def compare(self, entity: Entity, found: Rows | None) -> Sequence[str]:
        """Compare the rows found, None if it reads them itself; return what the log is to say. May run in a thread."""

    def result(self) -> dg.MaterializeResult[None]:
        """Return what is recorded of the comparison."""
        return dg.MaterializeResult(asset_key=self.asset, metadata=dict(self.rows), check_results=self.checks)


class _Content(_Account):
    """The cleaned rows."""

    asset = CONTENT

    def __init__(self, snapshot: Snapshot, staging_io: StagingIOManager) -> None:
        super().__init__()
        self._snapshot, self._staging_io = snapshot, staging_io

    def prepare(self, entity: Entity) -> bool:
        return True

    def compare(self, entity: Entity, found: Rows | None) -> Sequence[str]:
        name = entity.name
        staged = self._staging_io.staged(cleaned_key(entity))
        batches = tuple(self._snapshot.tables[entity.legacy_table].batches) if entity.batch_column else (WHOLE,)
        expected = sum(staged.manifest(batch)["cleaned"] for batch in batches)
        comparison = compare_found(entity, staged.of(batches), found or [])
        self.rows[f"rows of {name} compared"] = comparison.compared
        self.checks.append(
            dg.AssetCheckResult(
                asset_key=CONTENT,
                check_name=name,
                passed=comparison.is_equal and bool(comparison.compared or not expected),
                metadata=content_metadata(comparison),
            )
        )
        differences = sum(comparison.counts.values())
        return [
            f"{name}: {comparison.compared:,} rows compared, {differences:,} differences",
            *(told(name, one) for one in comparison.examples),
        ]


class _SecondReading(_Account):
    """The second reading of the snapshot."""

    asset = SECOND_READING

    def __init__(self, database: Target, legacy: LegacyResource, policies: Policies) -> None:
        super().__init__()
        self._database, self._of_any_snapshot = database, legacy.is_verification
        self._snapshot, in_force = _judged_by(database, legacy, policies)
        self._reading = SecondReading(self._snapshot.path, plain_rules(in_force), self._snapshot.time)
        self._scopes: dict[str, Scope] = {}

    def prepare(self, entity: Entity) -> bool:
        scope = scope_of(entity.name, self._snapshot, self._database, of_any_snapshot=self._of_any_snapshot)
        self._scopes[entity.name] = scope
        return not scope.waiting

    def compare(self, entity: Entity, found: Rows | None) -> Sequence[str]:
        name, scope = entity.name, self._scopes[entity.name]
        held = hold_against(name, self._reading, self._database, scope, found)
        self.rows[f"rows of {name} judged"] = held.judged
        self.checks.append(_check(held, scope))
        differences = sum(held.count(kind) for kind in (MISSING, UNEXPECTED, DIFFERENT))
        return [
            f"{name}: {held.judged:,} source rows judged again, {differences:,} differences",
            *(told(name, one) for one in held.differences),
        ]


@dg.multi_asset(
    name="validation__comparisons",
    specs=[
        dg.AssetSpec(
            CONTENT,
            deps=[SNAPSHOT, CONSTRAINTS],
            group_name="validation",
            description="Every row of the target, of all batches, read back and compared with the cleaned rows of the"
            " present snapshot.",
        ),
        dg.AssetSpec(
            SECOND_READING,
            deps=[CONSTRAINTS],
            group_name="validation",
            description="Every source row read and judged a second time, without the cleaning, and held against the"
            " target.",
        ),
    ],
    check_specs=[
        dg.AssetCheckSpec(entity, asset=asset, description=f"Every row of {entity} {sentence}")
        for asset, sentence in (
            (CONTENT, "equals its cleaned row."),
            (SECOND_READING, "and every record of its defects is as a second reading of the snapshot has it."),
        )
        for entity in ENTITIES
    ],
    can_subset=True,
)
def comparisons(
    context: dg.AssetExecutionContext,
    policies: dg.ResourceParam[Policies],
    legacy: dg.ResourceParam[LegacyResource],
    target: dg.ResourceParam[TargetResource],
    staging_io: dg.ResourceParam[StagingIOManager],
    reconciling: dg.ResourceParam[Ahead[Reconciliation]],
) -> Iterator[dg.MaterializeResult[None]]:
    """Compare the whole target with what was cleaned, with a second reading of the snapshot, or with both at once."""
    give_memory_back()
    with failing_clearly(), target.open() as database:
        accounts: list[_Account] = []
        if CONTENT in context.selected_asset_keys:
            snapshot = legacy.snapshot()
            accounts.append(_Content(snapshot, staging_io))
            if is_in_run(context, RECONCILIATION):
                # the databases add up while rows are compared here
                of_any_snapshot = legacy.is_verification
                reconciling.begin(
                    context.run.run_id,
                    lambda: reconciled(snapshot, policies, target, of_any_snapshot=of_any_snapshot),
                )
        if SECOND_READING in context.selected_asset_keys:
            accounts.append(_SecondReading(database, legacy, policies))
        for entity in ENTITIES.values():
            for line in _compared(entity, accounts, database):
                context.log.info(line)
    for account in accounts:
        yield account.result()


def _compared(entity: Entity, accounts: Sequence[_Account], database: Target) -> Iterator[str]:
    whole = [account for account in accounts if account.prepare(entity)]
    sentences = in_common(database.scan(entity.name), [partial(account.compare, entity) for account in whole])
    sentences += [account.compare(entity, None) for account in accounts if account not in whole]
    for lines in sentences:
        yield from lines


def _judged_by(database: Target, legacy: LegacyResource, policies: Policies) -> tuple[Snapshot, Policies]:
    """Return the snapshot and the policies to hold the target against: those it recorded, unless it is verified."""
    if legacy.is_verification:
        return legacy.snapshot(), policies
    recorded = database.latest_snapshot()
    if recorded is None:
        raise MigrationError(
            f"Cannot hold {database.name} against its source",
            why="no migration has been recorded in it",
            remedy="Migrate into it first, or name the right target",
        )
    return legacy.snapshot_of(recorded), recorded_policies(database)


def _check(held: Held, scope: Scope) -> dg.AssetCheckResult:
    # what could not be compared is no pass; that nothing is loaded yet is no error either
    is_compared = bool(scope.loaded) or scope.is_everything
    is_good = held.is_equal and held.judged == scope.rows
    metadata: dict[str, Any] = {
        "batches compared": len(scope.loaded),
        "source rows judged": held.judged,
        "rows compared": held.rows.compared,
        "records compared": held.records,
        **{kind: held.count(kind) for kind in (MISSING, UNEXPECTED, DIFFERENT)},
        **examples_of(held.differences),
    }
    return dg.AssetCheckResult(
        asset_key=SECOND_READING,
        check_name=held.entity,
        passed=is_good and is_compared,
        severity=dg.AssetCheckSeverity.WARN if is_good and not is_compared else dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
    )
