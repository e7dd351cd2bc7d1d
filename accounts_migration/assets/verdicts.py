"""Check results, for each partition where there are partitions.

Here: how a check's verdict reaches Dagster from a run over one batch or over a range. Not here: what is checked.

Dagster stores a check's result without a partition, whether the run is over one batch or over a range. So one
evaluation is logged for each batch, else a failure in a range would stand after the batch alone has passed; and one
summary result carries the failure that blocks what comes after.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from accounts_migration.event_log import stored_together
from accounts_migration.reconciliation.content import DIFFERENT, MISSING, UNEXPECTED, ContentComparison, Difference

BATCHES_NAMED = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of one check on one batch; metadata small and without personal data."""

    passed: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)


def check_results(
    context: dg.AssetExecutionContext,
    asset_key: dg.AssetKey,
    check: str,
    verdicts: Mapping[str, Verdict],
    summary: Mapping[str, Any] | None = None,
) -> Iterator[dg.AssetCheckResult]:
    """Report one check: an evaluation for each batch where there are batches, and the result that may block."""
    failed = [batch for batch, verdict in verdicts.items() if not verdict.passed]
    if context.assets_def.partitions_def is not None:
        with stored_together(context.instance):
            for batch, verdict in verdicts.items():
                context.log_event(
                    dg.AssetCheckEvaluation(
                        asset_key=asset_key,
                        check_name=check,
                        passed=verdict.passed,
                        metadata=dict(verdict.metadata),
                        partition=batch,
                    )
                )
    yield dg.AssetCheckResult(
        asset_key=asset_key,
        check_name=check,
        passed=not failed and bool(verdicts),
        metadata={**(summary or {}), **_of_all(verdicts, failed)},
    )


def _of_all(verdicts: Mapping[str, Verdict], failed: Sequence[str]) -> dict[str, Any]:
    """Return what the result says of the verdicts: of a single one its own metadata, of several how many failed."""
    if len(verdicts) <= 1:
        return {name: value for verdict in verdicts.values() for name, value in verdict.metadata.items()}
    named = {"failed": ", ".join(failed[:BATCHES_NAMED])} if failed else {}
    return {"batches": len(verdicts), "batches failed": len(failed), **named}


def content_metadata(comparison: ContentComparison) -> dict[str, Any]:
    """Return what a check says of a comparison: rows compared, differences by name, a few of them."""
    metadata: dict[str, Any] = {"rows compared": comparison.compared}
    metadata |= {kind: comparison.count(kind) for kind in (MISSING, UNEXPECTED, DIFFERENT)}
    return metadata | examples_of(comparison.examples)


def examples_of(differences: Sequence[Difference]) -> dict[str, Any]:
    """Return a few differences as a table among the metadata; nothing where there are none."""
    if not differences:
        return {}
    lines = [
        "| difference | batch | key | column | expected | found |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {one.kind} | {one.batch} | {one.key} | {one.column} | {one.expected} | {one.found} |" for one in differences
    ]
    return {"examples": dg.MetadataValue.md("\n".join(lines))}


def told(entity: str, difference: Difference) -> str:
    """Return a difference as a line of the log: key, column and both values; the key alone where the row itself is."""
    row = f"{difference.kind}: {entity} {difference.key}"
    if not difference.column:
        return row
    return f"{row}, {difference.column}: expected {difference.expected}, found {difference.found}"
