"""A small bank in canonical form, as cleaning leaves it, and loading it into a target.

Here: rows, and the shortest way to load them and to read them back. Not here: a bank as a source holds it
(`legacy_bank.py`), or anything that is asserted.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from accounts_migration.databases.target import BatchLoaded, BatchToLoad, Snapshot, Target
from accounts_migration.databases.target_schema import canonical_schema


class Bank:
    """A small bank: rows in canonical form, and loading them."""

    snapshot = Snapshot("snapshot-1", "/legacy.db", "ab" * 32, datetime(2025, 1, 2, 3, 4, 5))

    def rows(self, entity: str, values: Iterable[Sequence[object]]) -> pa.RecordBatch:
        """Return rows, columns in the order of contract section 6, money in cents and rates in millionths."""
        schema = canonical_schema(entity)
        columns = list(zip(*values, strict=True)) or [()] * len(schema)
        return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)

    def product(self, *numbers: int, name: str = "Basic") -> pa.RecordBatch:
        """Return products of these numbers."""
        when = self.snapshot.taken_at
        values = [(f"PROD-{n:03d}", name, "CHECKING", 2_500_000, 50, 300, 10_000, when) for n in numbers]
        return self.rows("product", values)

    def customer(self, *numbers: int, name: str = "Ada") -> pa.RecordBatch:
        """Return customers of these numbers."""
        when = self.snapshot.taken_at
        return self.rows("customer", [(f"CUST-{n:04d}", name, "Byron", None, "555", when) for n in numbers])

    def account(self, *numbers: int, customer: int = 1, product: int = 1, balance: int = 100) -> pa.RecordBatch:
        """Return accounts of these numbers."""
        owner, when = (f"CUST-{customer:04d}", f"PROD-{product:03d}"), self.snapshot.taken_at
        opened = date(2020, 1, 2)
        values = [(f"ACCT-{n:08d}", *owner, "ACTIVE", balance, opened, None, when, when) for n in numbers]
        return self.rows("account", values)

    def transaction(
        self, *numbers: int, when: str = "2024-03-05", account: int = 1, amount: int = 1234
    ) -> pa.RecordBatch:
        """Return transactions of these numbers."""
        moment, owner = datetime.fromisoformat(when), f"ACCT-{account:08d}"
        values = [(f"TXN-{n}", owner, "CREDIT", amount, -5, "ref", moment) for n in numbers]
        return self.rows("transaction", values)

    def defect(self, entity: str, batch: str, key: str, *, action: str = "rejected", old: str = "x") -> pa.RecordBatch:
        """Return one defect record."""
        values = [(entity, batch, key, 1, action, "SUB_CENT", "SUB_CENT", "amount", old, None, "{}")]
        return self.rows("migration_defect", values)

    def load(
        self,
        target: Target,
        entity: str,
        rows: pa.RecordBatch | Iterable[pa.RecordBatch],
        batch: str = "all",
        **changes: Any,
    ) -> BatchLoaded:
        """Load a batch; `changes` are fields of BatchToLoad, `source_rows` by default fits the rows."""
        parts = [rows] if isinstance(rows, pa.RecordBatch) else rows
        defects = changes.pop("defects", [])
        to_load = BatchToLoad(
            entity=entity,
            batch=batch,
            snapshot=self.snapshot,
            policies='{"letter_case": "title"}',
            policies_digest="policies-1",
            content_digest="digest",
            source_rows=rows.num_rows if isinstance(rows, pa.RecordBatch) else 0,
            rejected=0,
            excluded=0,
            control_totals="{}",
            rows=parts,
            defects=defects,
        )
        return target.load_batch(dataclasses.replace(to_load, **changes))

    def load_parents(self, target: Target) -> None:
        """Load products 1 and 2, customers 1 and 2, and accounts 1 to 3 of customer 1."""
        self.load(target, "product", self.product(1, 2))
        self.load(target, "customer", self.customer(1, 2))
        self.load(target, "account", self.account(1, 2, 3))

    def stored(self, target: Target, entity: str, batch: str | None = None) -> list[dict[str, Any]]:
        """Return the rows that stand in the target, ordered by key; none may be inexact."""
        rows = [row for part in target.scan(entity, batch) for row in part.to_pylist()]
        assert [row for row in rows if row.pop("inexact") is not None] == []
        return sorted(rows, key=lambda row: str(next(iter(row.values()))))

    def keys(self, target: Target, entity: str, batch: str | None = None) -> list[str]:
        """Return the keys that stand in the target, in order."""
        return [row[f"{entity}_id"] for row in self.stored(target, entity, batch)]
