"""What a migration, a verification or a copy came to.

Here: what the runs recorded, put together, and the rows counted where they recorded nothing. Not here: which runs there
are (`accounts_migration.migration`, `accounts_migration.copying`), and how the outcome is shown
(`accounts_migration.console`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import dagster as dg
import pyarrow.compute as pc

from accounts_migration.assets.links import cleaned_key
from accounts_migration.assets.platform.backup import COPY_BACKUP
from accounts_migration.assets.platform.other_tables import NOT_CARRIED, OTHER_TABLES, TABLES
from accounts_migration.assets.platform.proof import PROOF
from accounts_migration.assets.reconciling import RECONCILIATION
from accounts_migration.assets.target_backup import TARGET_BACKUP
from accounts_migration.assets.validation import ACCOUNT
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.defects import REJECTED
from accounts_migration.errors import MigrationError
from accounts_migration.io_managers import staging_folder
from accounts_migration.logs import run_id
from accounts_migration.reconciliation.accounting import BatchLaw, laws, total
from accounts_migration.reconciliation.promises import ControlTotal
from accounts_migration.runner import CheckVerdict, RunOutcome
from accounts_migration.settings import Settings
from accounts_migration.staging import WHOLE, Staged

_REJECTS_SHOWN = 20


@dataclass
class Outcome:
    """What a command came to; rows and totals as counted in the target, or as cleaned where nothing was loaded."""

    success: bool = False
    snapshot: Snapshot | None = None
    batches: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    checks: list[CheckVerdict] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    entities: list[BatchLaw] = field(default_factory=list)
    totals: list[ControlTotal] = field(default_factory=list)
    defects: list[dict[str, Any]] = field(default_factory=list)
    loaded: bool = False
    backup: str = ""
    seconds: float = 0.0
    target: str = ""
    report: Mapping[str, object] = field(default_factory=dict)
    is_copy: bool = False
    other_tables: list[dict[str, Any]] = field(default_factory=list)
    not_carried: list[dict[str, Any]] = field(default_factory=list)
    run_id: str | None = field(default_factory=run_id)

    def take(self, run: RunOutcome) -> bool:
        """Add what a run recorded; return whether it succeeded."""
        self.runs.append(run.run_id)
        self.problems += [problem for problem in run.problems if problem not in self.problems]
        self.checks += run.checks
        for asset in (TARGET_BACKUP, COPY_BACKUP):
            self.backup = str(run.metadata.get(asset.to_user_string(), {}).get("folder", self.backup))
        for account in _accounts(run):
            self.entities = [BatchLaw(**_known(BatchLaw, line)) for line in account["entities"]]
            self.totals = [ControlTotal(**_known(ControlTotal, one)) for one in account["totals in cents"]]
        others = run.metadata.get(OTHER_TABLES.to_user_string(), {})
        self.other_tables += _records(others.get(TABLES))
        self.not_carried += _records(others.get(NOT_CARRIED))
        return run.success

    @property
    def all_passed(self) -> bool:
        """Return whether no check failed; a warning tells of what was not asked for, and is no failure."""
        return all(check.passed or check.is_warning for check in self.checks)


def _accounts(run: RunOutcome) -> Iterator[dict[str, Any]]:
    for asset in (RECONCILIATION, PROOF):
        account = run.metadata.get(asset.to_user_string(), {}).get(ACCOUNT)
        if isinstance(account, dict):
            yield account


def _records(table: object) -> list[dict[str, Any]]:
    """Return the rows of a table among the metadata; a text stands there where it would have none."""
    return [dict(record.data) for record in table.records] if isinstance(table, dg.TableMetadataValue) else []


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def account_for(
    outcome: Outcome,
    settings: Settings,
    database: Target,
    entities: Mapping[str, Entity] = ENTITIES,
) -> None:
    """Fill in the accounting table: what the reconciliation recorded.

    Else the databases, else staging, as far as it got.
    """
    if outcome.snapshot is None or outcome.entities or not outcome.snapshot.tables:
        return
    try:
        _count(outcome, outcome.snapshot, settings, database, entities)
    except MigrationError:
        # a load that failed may leave nothing to count: no table, no server. Why is told already
        if not outcome.problems:
            raise


def _count(
    outcome: Outcome,
    snapshot: Snapshot,
    settings: Settings,
    database: Target,
    entities: Mapping[str, Entity],
) -> None:
    for entity in entities.values():
        source = snapshot.tables[entity.legacy_table].batches
        batches = outcome.batches if entity.batch_column else [WHOLE]
        if outcome.loaded:
            lines = laws(entity.name, source, database.counts_by_batch(entity.name), database.defect_counts(), batches)
        else:
            folder = staging_folder(settings.staging_location, snapshot.snapshot_id, cleaned_key(entity))
            staged = Staged(folder, tuple(batches))
            # an earlier command, under other policies, may have staged what this one did not get to
            lines = [
                _cleaned_law(entity.name, batch, staged)
                for batch in staged.staged_batches()
                if batch in batches and staged.manifest(batch)["policies_digest"] == settings.policies.digest
            ]
            outcome.defects += _rejected(staged, lines)
        outcome.entities.append(total(entity.name, lines))


def _cleaned_law(entity: str, batch: str, staged: Staged) -> BatchLaw:
    manifest = staged.manifest(batch)
    counts = [manifest[name] for name in ("source_rows", "cleaned", "rejected", "excluded", "repaired")]
    return BatchLaw(entity, batch, *counts)


def _rejected(staged: Staged, lines: Sequence[BatchLaw]) -> list[dict[str, Any]]:
    """Return some rejected rows of a refused entity: first those that are wrong themselves, not by their parent."""
    wrong: list[dict[str, Any]] = []
    following: list[dict[str, Any]] = []
    for line in lines:
        for defects in staged.scan("defects", [line.batch]) if line.rejected else ():
            rejected = defects.filter(pc.equal(defects["action"], REJECTED))
            follows = pc.equal(rejected["reason"], "PARENT_REJECTED")
            for found, chosen in ((wrong, pc.invert(follows)), (following, follows)):
                found += rejected.filter(chosen).slice(0, _REJECTS_SHOWN - len(found)).to_pylist()
        if len(wrong) == _REJECTS_SHOWN:
            break
    return (wrong + following)[:_REJECTS_SHOWN]
