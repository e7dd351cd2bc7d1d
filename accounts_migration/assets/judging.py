"""Judging the rows of an entity by the rules, and the blocking checks that let them on.

Here: what `cleaned/<entities>` and `platform/judged/<entity>` have in common: the stream of judged chunks, its account,
and the three checks. Not here: where the rows come from (those assets), and the rules (`accounts_migration.entities`).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg
import pandera.pandas as pandera
import pyarrow as pa

from accounts_migration.assets.accounts_of_batches import EXAMPLES, BatchAccount, EntityAccount
from accounts_migration.assets.links import add_metadata, cleaned_key
from accounts_migration.assets.samples import as_metadata
from accounts_migration.assets.verdicts import Verdict, check_results
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import Entity
from accounts_migration.entities.cleaning import Cleaned, clean
from accounts_migration.entities.defects import DEFECT_SCHEMA, EXCLUDED, REJECTED, REPAIRED
from accounts_migration.entities.entity import Circumstances, LegacyChunk
from accounts_migration.entities.keys import KEY_SCHEMA
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.schemas import as_frame
from accounts_migration.errors import MigrationError
from accounts_migration.io_managers import StagingIOManager
from accounts_migration.staging import Staged, StagedOutput, Tables
from accounts_migration.streams import read_ahead

SCHEMA_CHECK, REJECTS_CHECK, ACCOUNTING_CHECK = "pandera_schema", "rejects_within_policy", "accounting_law"

_DESCRIPTIONS = {
    SCHEMA_CHECK: "Every cleaned row satisfies the entity's Pandera schema.",
    REJECTS_CHECK: "The share of rejected rows is within the policy max_reject_rate.",
    ACCOUNTING_CHECK: "source rows = cleaned + rejected + excluded (contract section 1).",
}


def check_specs(entity: Entity) -> list[dg.AssetCheckSpec]:
    """Return the blocking checks of judged rows."""
    return [
        dg.AssetCheckSpec(name, asset=cleaned_key(entity), blocking=True, description=description)
        for name, description in _DESCRIPTIONS.items()
    ]


def judged(
    context: dg.AssetExecutionContext,
    entity: Entity,
    snapshot: Snapshot,
    circumstances: Circumstances,
    source_rows: dict[str, int],
    rows: Iterable[pa.RecordBatch],
    staging_io: StagingIOManager,
) -> Iterator[dg.Output[StagedOutput] | dg.AssetCheckResult]:
    """Yield the judged rows as what is to be staged, and then the verdicts of the checks.

    Args:
        context: The asset's.
        entity: The entity.
        snapshot: Where the rows come from.
        circumstances: What the rules go by.
        source_rows: Batch -> rows counted in the snapshot; every batch that is judged.
        rows: Raw rows (`databases.legacy_source.raw_schema`), streamed once.
        staging_io: Where the judged rows go.
    """
    key = cleaned_key(entity)
    accounts = EntityAccount(entity, source_rows)
    policies = circumstances.policies

    def finish(batch: str) -> dict[str, Any]:
        account = accounts.batches[batch]
        add_metadata(context, key, entity, batch, _metadata(account))
        return account.as_manifest(policies.digest)

    yield dg.Output(
        StagedOutput(
            snapshot_id=snapshot.snapshot_id,
            schemas=_schemas(entity),
            batches=list(source_rows),
            chunks=_chunks(entity, rows, circumstances, accounts, snapshot),
            summary=finish,
        )
    )
    staged = staging_io.staged(key, tuple(source_rows))
    yield from _checks(context, entity, staged, snapshot, policies, accounts)


def _schemas(entity: Entity) -> dict[str, pa.Schema]:
    rows = entity.row_schema
    defects = DEFECT_SCHEMA.remove(DEFECT_SCHEMA.get_field_index("batch"))
    return {"rows": rows.remove(rows.get_field_index("batch")), "defects": defects, "keys": KEY_SCHEMA}


def _chunks(
    entity: Entity,
    rows: Iterable[pa.RecordBatch],
    circumstances: Circumstances,
    accounts: EntityAccount,
    snapshot: Snapshot,
) -> Iterator[Tables]:
    """Yield the cleaned chunks, which a thread cleans while they are added up and written here."""
    has_row_id = snapshot.tables[entity.legacy_table].row_id is not None
    for cleaned, failures in read_ahead(_cleaned(entity, rows, circumstances, has_row_id)):
        accounts.add(cleaned, failures)
        yield {"rows": cleaned.rows, "defects": cleaned.defects, "keys": cleaned.keys}


def _cleaned(
    entity: Entity, rows: Iterable[pa.RecordBatch], circumstances: Circumstances, has_row_id: bool
) -> Iterator[tuple[Cleaned, dict[str, int]]]:
    for chunk in read_ahead(rows):
        cleaned = clean(entity, LegacyChunk(chunk, entity.legacy_columns, has_row_id), circumstances)
        yield cleaned, _schema_failures(entity, cleaned)


def _schema_failures(entity: Entity, cleaned: Cleaned) -> dict[str, int]:
    """Return the number of cleaned rows in each batch that break the schema.

    The split leaves none, and this proves it.
    """
    frame = as_frame(cleaned.rows.drop_columns(["batch"]))
    try:
        entity.schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        broken = error.failure_cases["index"].dropna().astype(int).unique()
        labels = cleaned.rows["batch"].take(pa.array(broken))
        return {row["values"]: row["counts"] for row in labels.value_counts().to_pylist()} or {"": 1}
    return {}


def _metadata(account: BatchAccount) -> dict[str, Any]:
    return {
        "rows": account.loaded,
        "source rows": account.source_rows,
        "rejected": account.actions[REJECTED],
        "excluded": account.actions[EXCLUDED],
        "repaired": account.actions[REPAIRED],
        "reasons": dict(account.reasons),
        "sample": as_metadata(account.sample),
    }


def _checks(
    context: dg.AssetExecutionContext,
    entity: Entity,
    staged: Staged,
    snapshot: Snapshot,
    policies: Policies,
    accounts: EntityAccount,
) -> Iterator[dg.AssetCheckResult]:
    key = cleaned_key(entity)
    batches = accounts.batches.items()
    schema = {
        batch: Verdict(
            account.schema_failures == 0,
            {"rows compared": account.loaded, "rows that break the schema": account.schema_failures},
        )
        for batch, account in batches
    }
    accounting = {
        batch: Verdict(
            account.is_accounted_for,
            {
                "source rows": account.source_rows,
                "cleaned": account.loaded,
                "rejected": account.actions[REJECTED],
                "excluded": account.actions[EXCLUDED],
            },
        )
        for batch, account in batches
    }
    rate = reject_rate(entity, staged, snapshot, policies)
    rejects = {
        batch: Verdict(rate.within or not account.actions[REJECTED], {"rejected": account.actions[REJECTED]})
        for batch, account in batches
    }
    yield from check_results(context, key, SCHEMA_CHECK, schema)
    yield from check_results(
        context,
        key,
        REJECTS_CHECK,
        rejects,
        {**rate.metadata(), "examples": _examples(accounts.batches.values())},
    )
    yield from check_results(context, key, ACCOUNTING_CHECK, accounting)


class RejectRate:
    """Rejected rows of all batches cleaned so far over all rows of the entity (contract section 8)."""

    def __init__(self, rejected: int, rows: int, policies: Policies) -> None:
        """Keep the two counts and the policies in force."""
        self.rejected, self.rows, self.policies = rejected, rows, policies

    @property
    def within(self) -> bool:
        """Return whether the policy allows it."""
        return self.policies.allows(self.rejected, self.rows)

    def metadata(self) -> dict[str, Any]:
        """Return the figures for the check."""
        return {
            "rejected rows so far": self.rejected,
            "rows of the entity": self.rows,
            "reject rate": self.rejected / self.rows if self.rows else 0.0,
            "max_reject_rate": float(self.policies.max_reject_rate),
        }


def reject_rate(entity: Entity, staged: Staged, snapshot: Snapshot, policies: Policies) -> RejectRate:
    """Return the reject rate over everything that is cleaned for this snapshot under these policies."""
    manifests = map(staged.manifest, staged.staged_batches())
    rejected = sum(one["rejected"] for one in manifests if one["policies_digest"] == policies.digest)
    return RejectRate(rejected, snapshot.tables[entity.legacy_table].rows, policies)


def _examples(accounts: Iterable[BatchAccount]) -> dg.MetadataValue:
    examples = [example for account in accounts for example in account.examples][:EXAMPLES]
    lines = ["| key | row | reasons | column |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {one['source_key']} | {one['source_row_id']} | {one['reasons']} | {one['column']} |" for one in examples
    ]
    return dg.MetadataValue.md("\n".join(lines) if examples else "none")


def refuse_unless_same_policies(staged: Staged, policies: Policies) -> None:
    """Raise MigrationError where staged rows were cleaned under other policies than those in force."""
    for batch in staged.batches:
        if staged.manifest(batch)["policies_digest"] != policies.digest:
            raise MigrationError(
                f"The rows of {staged.name}, batch {batch}, cannot be used",
                why="they were cleaned under other policies than those in force now",
                remedy=f"Materialize {staged.name} again",
            )
