"""`target/<entity>`: accepted rows loaded batch by batch, then counted and read back.

Here: the asset, when it refuses to load, and its checks. Not here: SQL (`accounts_migration.databases`), the comparison
(`accounts_migration.reconciliation`).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pyarrow as pa

from accounts_migration.assets.ahead import Ahead
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.judging import refuse_unless_same_policies, reject_rate
from accounts_migration.assets.links import (
    add_metadata,
    ancestors,
    backfill_policy_of,
    batches_of,
    cleaned_key,
    column_schema,
    partitions_of,
    target_key,
)
from accounts_migration.assets.preflight import PREFLIGHT, refuse_undecided
from accounts_migration.assets.reconciling import RECONCILIATION, begin_promises
from accounts_migration.assets.snapshot import SNAPSHOT
from accounts_migration.assets.target_backup import TARGET_BACKUP
from accounts_migration.assets.verdicts import Verdict, check_results, content_metadata
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import BatchLoaded, BatchToLoad, Target
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.defects import DEFECT_SCHEMA
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration.io_managers import StagingIOManager
from accounts_migration.reconciliation.accounting import laws
from accounts_migration.reconciliation.content import ContentComparison
from accounts_migration.reconciliation.promises import Promises
from accounts_migration.reconciliation.target_content import ReadBack, compare_entity
from accounts_migration.resources import BackupResource, TargetResource, as_recorded
from accounts_migration.settings import Settings
from accounts_migration.snapshots_of_runs import begun_at
from accounts_migration.staging import Staged

ACCOUNTING_CHECK, TOTALS_CHECK, CONTENT_CHECK = "accounting_law", "control_totals", "content"

_DESCRIPTIONS = {
    ACCOUNTING_CHECK: "source rows = loaded + rejected + excluded, counted in snapshot and target (contract 1).",
    TOTALS_CHECK: "Control totals of the rows read back are those of the cleaned rows, to the cent (contract 7).",
    CONTENT_CHECK: "Every loaded row read back equals the cleaned row in every column (contract section 7).",
}


def target_asset(entity: Entity) -> dg.AssetsDefinition:
    """Return the asset that loads an entity, with its checks."""
    key = target_key(entity)

    @dg.asset(
        key=key,
        group_name="target",
        kinds={"sql"},
        ins={"snapshot": dg.AssetIn(SNAPSHOT), "rows": dg.AssetIn(cleaned_key(entity))},
        deps=[PREFLIGHT, TARGET_BACKUP, *(target_key(ENTITIES[parent]) for parent in entity.parents)],
        pool="target",
        check_specs=load_check_specs(entity),
        metadata={"dagster/column_schema": column_schema(entity)},
        description=f"Table {entity.name} of the target; one database transaction for each batch.",
        partitions_def=partitions_of(entity),
        backfill_policy=backfill_policy_of(entity),
    )
    def load(
        context: dg.AssetExecutionContext,
        snapshot: Snapshot,
        rows: Staged,
        policies: dg.ResourceParam[Policies],
        target: dg.ResourceParam[TargetResource],
        staging_io: dg.ResourceParam[StagingIOManager],
        backups: dg.ResourceParam[BackupResource],
        settings: dg.ResourceParam[Settings],
        promising: dg.ResourceParam[Ahead[Promises]],
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        with failing_clearly():
            refuse_undecided(context, f"The load of {entity.name} is refused", settings, snapshot)
            refuse_unaccepted(entity, rows, snapshot, policies, staging_io)
            begin_promises(context, entity, RECONCILIATION, promising, snapshot, policies)
            with target.open() as database, database.lock():
                # a load that somebody chose alone in the UI does not wait for the asset
                if backup := backups.take_first():
                    context.log.info(f"backup {backup.backup_id}: {backup}")
                verdicts = load_and_read_back(context, entity, database, rows, snapshot, policies)
        yield from loaded_and_judged(context, entity, verdicts)

    return load


def load_check_specs(entity: Entity) -> list[dg.AssetCheckSpec]:
    """Return the checks of a loaded table."""
    return [
        dg.AssetCheckSpec(name, asset=target_key(entity), description=description)
        for name, description in _DESCRIPTIONS.items()
    ]


def load_and_read_back(
    context: dg.AssetExecutionContext,
    entity: Entity,
    database: Target,
    rows: Staged,
    snapshot: Snapshot,
    policies: Policies,
) -> dict[str, dict[str, Verdict]]:
    """Load the batches of the run into the locked database and read all of them back.

    Returns:
        Check -> batch -> verdict.

    Raises:
        MigrationError: The run was overtaken; see also `Target.prepare`, `Target.load_batch`.
    """
    database.prepare()
    database.refuse_foreign_rows([entity.name])
    batches = batches_of(context, entity)
    _refuse_overtaken(context, entity, database, batches, snapshot)
    content = _load_all(context, entity, database, batches, rows, snapshot, policies)
    return _verdicts(entity, database, snapshot, rows, content)


def loaded_and_judged(
    context: dg.AssetExecutionContext, entity: Entity, verdicts: Mapping[str, Mapping[str, Verdict]]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Yield what is recorded of a load: its materialization first, since the verdicts are on it."""
    yield dg.MaterializeResult()
    for name, by_batch in verdicts.items():
        yield from check_results(context, target_key(entity), name, by_batch)


def _refuse_overtaken(
    context: dg.AssetExecutionContext, entity: Entity, database: Target, batches: list[str], snapshot: Snapshot
) -> None:
    """Raise MigrationError where a batch was loaded from another snapshot since the run began with its own.

    Each run reads one snapshot to its end, so that a slow one could else put an older state in the place of a newer.
    """
    others = [
        record
        for record in database.recorded_batches()
        if record.entity == entity.name and record.batch in batches and record.snapshot_id != snapshot.snapshot_id
    ]
    if not others:
        return
    begun = begun_at(context.instance, context.run)
    for record in others:
        if record.loaded_at > begun:
            raise MigrationError(
                f"The load of {entity.name} is refused",
                why=f"batch {record.batch} was loaded from the snapshot {record.snapshot_id}"
                f" since this run began with {snapshot.snapshot_id}",
                remedy="Launch a new run, which reads the present snapshot, if anything is left to be loaded",
            )


def _load_all(
    context: dg.AssetExecutionContext,
    entity: Entity,
    database: Target,
    batches: list[str],
    rows: Staged,
    snapshot: Snapshot,
    policies: Policies,
) -> ContentComparison:
    """Load the batches that changed, keep the others, and read all of them back."""

    def load(batch: str, *, keep: bool) -> BatchLoaded:
        to_load = _batch_to_load(entity, batch, rows, snapshot, policies)
        loaded = database.keep_batch(to_load) if keep else database.load_batch(to_load)
        add_metadata(context, target_key(entity), entity, batch, _metadata(loaded))
        return loaded

    unchanged = database.unchanged(entity.name, {batch: rows.manifest(batch)["content_digest"] for batch in batches})
    everything = _is_everything(entity, database, batches)
    with ReadBack(entity, rows, database) as read_back:
        for place, batch in enumerate(batches, start=1):
            loaded = load(batch, keep=batch in unchanged)
            read_back.add(loaded)
            context.log.info(f"{entity.name} {batch}: {_sentence(loaded)} ({place} of {len(batches)})")
        content = read_back.result(everything=everything)
    # equal in digest and number, yet somebody changed them since: these are loaded after all
    altered = [batch for batch in batches if batch in unchanged and content.differences_of(batch)]
    for batch in altered:
        context.log.info(f"{entity.name} {batch}: changed by somebody since, {_sentence(load(batch, keep=False))}")
    return compare_entity(entity, rows, database, everything=everything) if altered else content


def refuse_unaccepted(
    entity: Entity, rows: Staged, snapshot: Snapshot, policies: Policies, staging: StagingIOManager
) -> None:
    """Raise MigrationError unless the rows and those of all their parents passed their blocking checks.

    A blocking check stops what follows in its own run only; this holds in a later run, too.
    """
    for link in [*ancestors(entity), entity]:
        staged = rows if link is entity else staging.staged(cleaned_key(link))
        refuse_unless_same_policies(staged, policies)
        for batch in staged.batches:
            manifest = staged.manifest(batch)
            if not manifest["accounted_for"] or manifest["schema_failures"]:
                raise MigrationError(
                    f"The load of {entity.name} is refused",
                    why=f"{staged.name}, batch {batch}, did not pass its checks",
                    remedy=f"See the checks of {staged.name}, and materialize it again",
                )
        rate = reject_rate(link, staged, snapshot, policies)
        if not rate.within:
            raise MigrationError(
                f"The load of {entity.name} is refused",
                why=f"{rate.rejected:,} of {rate.rows:,} rows of {link.legacy_table} are rejected, "
                f"and max_reject_rate is {policies.max_reject_rate}",
                remedy="Mend the source and take a new snapshot, or raise the policy max_reject_rate",
            )


def _batch_to_load(entity: Entity, batch: str, rows: Staged, snapshot: Snapshot, policies: Policies) -> BatchToLoad:
    manifest = rows.manifest(batch)
    return BatchToLoad(
        entity=entity.name,
        batch=batch,
        snapshot=as_recorded(snapshot),
        policies=policies.as_json(),
        policies_digest=policies.digest,
        content_digest=manifest["content_digest"],
        source_rows=manifest["source_rows"],
        rejected=manifest["rejected"],
        excluded=manifest["excluded"],
        control_totals=json.dumps(manifest["control_totals"]),
        rows=(part.drop_columns(["batch"]) for part in rows.scan("rows", [batch])),
        defects=_defects(batch, rows),
    )


def _defects(batch: str, rows: Staged) -> Iterator[pa.RecordBatch]:
    for part in rows.scan("defects", [batch]):
        yield part.select(DEFECT_SCHEMA.names)


def _sentence(loaded: BatchLoaded) -> str:
    if loaded.road == "insert":
        return f"{loaded.loaded:,} rows loaded"
    if loaded.road == "keep":
        return f"{loaded.loaded:,} rows stand, unchanged by their digest: not loaded again"
    written = f"{loaded.inserted:,} inserted, {loaded.updated:,} updated, {loaded.removed:,} removed"
    return f"{loaded.loaded:,} rows stand, {written if loaded.rows_written else 'unchanged'}"


def _metadata(loaded: BatchLoaded) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "rows": loaded.loaded,
        "inserted": loaded.inserted,
        "updated": loaded.updated,
        "removed": loaded.removed,
    }
    if loaded.removed_elsewhere:
        wanting = ", ".join(f"{entity} {batch}" for entity, batch in sorted(loaded.removed_elsewhere)[:20])
        metadata["batches that want loading again"] = wanting
    return metadata


def _is_everything(entity: Entity, database: Target, batches: list[str]) -> bool:
    recorded = {record.batch for record in database.recorded_batches() if record.entity == entity.name}
    return recorded <= set(batches)


def _verdicts(
    entity: Entity, database: Target, snapshot: Snapshot, rows: Staged, content: ContentComparison
) -> dict[str, dict[str, Verdict]]:
    """Return the verdict of each check on each batch; the rows were read back once for all of them."""
    return {
        ACCOUNTING_CHECK: _accounting(entity, database, snapshot, rows, content),
        TOTALS_CHECK: _totals(rows, content),
        CONTENT_CHECK: _content(entity, rows, content),
    }


def _accounting(
    entity: Entity, database: Target, snapshot: Snapshot, rows: Staged, content: ContentComparison
) -> dict[str, Verdict]:
    source = snapshot.tables[entity.legacy_table].batches
    loaded = {batch: content.rows_in_target(batch) for batch in rows.batches}
    return {
        line.batch: Verdict(
            line.holds,
            {
                "source rows": line.source,
                "loaded": line.loaded,
                "rejected": line.rejected,
                "excluded": line.excluded,
                "unexplained": line.unexplained,
            },
        )
        for line in laws(entity.name, source, loaded, database.defect_counts(), rows.batches)
    }


def _totals(rows: Staged, content: ContentComparison) -> dict[str, Verdict]:
    verdicts = {}
    for batch in rows.batches:
        expected, found = rows.manifest(batch)["control_totals"], content.found_totals.get(batch, {})
        wrong = [group for group in {*expected, *found} if expected.get(group) != found.get(group)]
        verdicts[batch] = Verdict(
            not wrong, {"totals compared": len(expected), "different": ", ".join(sorted(wrong)[:20])}
        )
    return verdicts


def _content(entity: Entity, rows: Staged, content: ContentComparison) -> dict[str, Verdict]:
    if entity.batch_column is None or len(rows.batches) == 1:
        expected = sum(rows.manifest(batch)["cleaned"] for batch in rows.batches)
        passed = content.is_equal and bool(content.compared or not expected)
        return {batch: Verdict(passed, content_metadata(content)) for batch in rows.batches}
    verdicts = {}
    for batch in rows.batches:
        compared, different = content.compared_by_batch[batch], content.differences_of(batch)
        passed = different == 0 and compared == rows.manifest(batch)["cleaned"]
        verdicts[batch] = Verdict(passed, {"rows compared": compared, "differences": different})
    stray = {batch for _, batch in content.counts} - set(rows.batches)
    return verdicts | {batch: Verdict(False, {"differences": content.differences_of(batch)}) for batch in stray}
