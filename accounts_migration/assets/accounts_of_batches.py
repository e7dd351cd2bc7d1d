"""The running account of a batch while it is cleaned: counts, reasons, totals, digest, some masked examples.

Here: adding up chunk by chunk, in bounded memory. Not here: judging rows (`accounts_migration.entities.cleaning`).
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.assets.samples import sample_of
from accounts_migration.content_digest import ContentDigest
from accounts_migration.entities import Entity
from accounts_migration.entities.cleaning import Cleaned
from accounts_migration.entities.defects import EXCLUDED, REJECTED, REPAIRED, without_personal_data
from accounts_migration.entities.totals import Totals, added, control_totals
from accounts_migration.streams import by_batch

EXAMPLES = 20


@dataclass
class BatchAccount:
    """What became of the rows of one batch; counts of rows, totals in cents."""

    source_rows: int
    loaded: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    totals: Totals = field(default_factory=dict)
    schema_failures: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    sample: list[dict[str, str]] = field(default_factory=list)
    digest: ContentDigest = field(default_factory=ContentDigest)

    @property
    def is_accounted_for(self) -> bool:
        """Return whether source rows = cleaned + rejected + excluded (contract section 1)."""
        return self.source_rows == self.loaded + self.actions[REJECTED] + self.actions[EXCLUDED]

    def as_manifest(self, policies_digest: str) -> dict[str, Any]:
        """Return what the staged manifest keeps, and what a later load goes by."""
        return {
            "policies_digest": policies_digest,
            "source_rows": self.source_rows,
            "cleaned": self.loaded,
            "rejected": self.actions[REJECTED],
            "excluded": self.actions[EXCLUDED],
            "repaired": self.actions[REPAIRED],
            "reasons": dict(self.reasons),
            "control_totals": self.totals,
            "content_digest": self.digest.hexdigest(),
            "accounted_for": self.is_accounted_for,
            "schema_failures": self.schema_failures,
        }


class EntityAccount:
    """The accounts of all batches that one run cleans."""

    def __init__(self, entity: Entity, source_rows: dict[str, int]) -> None:
        """Open an account for each batch."""
        self._entity = entity
        self.batches = {batch: BatchAccount(rows) for batch, rows in source_rows.items()}

    def add(self, cleaned: Cleaned, schema_failures: dict[str, int]) -> None:
        """Add a cleaned chunk."""
        for batch, rows in by_batch(cleaned.rows):
            account = self.batches[batch]
            account.loaded += rows.num_rows
            account.sample = account.sample or sample_of(rows)
            account.digest.add(rows)
            account.totals = added([account.totals, control_totals(self._entity.name, rows)])
            account.schema_failures += schema_failures.get(batch, 0)
        for batch, defects in by_batch(cleaned.defects.select(_label_first(cleaned.defects))):
            self.batches[batch].actions.update(_counted(defects["action"]))
            self.batches[batch].reasons.update(_counted(defects["reason"]))
            self._keep_examples(batch, defects)

    def _keep_examples(self, batch: str, defects: pa.Table) -> None:
        examples = self.batches[batch].examples
        rejected = defects.filter(pc.equal(defects["action"], REJECTED)).slice(0, EXAMPLES - len(examples))
        examples += map(without_personal_data, rejected.to_pylist())


def _label_first(table: pa.Table) -> list[str]:
    return ["batch", *(name for name in table.column_names if name != "batch")]


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    return {row["values"]: row["counts"] for row in column.value_counts().to_pylist()}
