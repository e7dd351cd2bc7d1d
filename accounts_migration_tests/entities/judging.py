"""Legacy rows of any storage class, written to a real SQLite file, read as a migration reads them, and judged.

Here: what the tests of all entities share. Not here: what a verdict should be.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from accounts_migration.databases import legacy_source
from accounts_migration.databases.legacy_source import LegacyTable
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.cleaning import Cleaned, clean
from accounts_migration.entities.columns import LegacyColumn, ParsedColumn
from accounts_migration.entities.entity import Circumstances, LegacyChunk
from accounts_migration.entities.keys import (
    KeyChunk,
    KeyFates,
    judge_duplicates,
    referenced_keys,
    rows_sharing_a_key,
)
from accounts_migration.entities.policies import Policies
from accounts_migration.legacy_values import LegacyValue, UndecodableText, real_as_text

TAKEN = datetime(2025, 1, 15, 12, 0)

Row = dict[str, LegacyValue]

SOUND: dict[str, dict[str, LegacyValue]] = {
    "product": {
        "product_code": 1, "product_description": "BASIC CHECKING", "account_type": "CHK", "int_rate": 1.5,
        "debit_fee": 0.5, "maint_fee": 3, "min_bal_int": 100, "active": 1,
    },
    "customer": {
        "customer_number": 1, "first_name": "ADA", "last_name": "O'NEIL", "email_address": "Ada@Example.org",
        "phone_number": "555-0100", "created_date": "2020-01-02 03:04:05", "status": "ACTIVE",
    },
    "account": {
        "account_number": 1, "customer_number": 1, "product_code": 1, "account_status": "A", "current_balance": -12.5,
        "open_date": "2020-01-02", "close_date": None,
    },
    "transaction": {
        "trans_id": 1, "account_number": 1, "trans_type": "DR", "trans_amount": -12.34, "balance_after": 5,
        "description": "Rent", "trans_date": "2024-03-05 10:11:12",
    },
}  # fmt: skip
"""A legacy row of each entity that breaks no rule; the three parents refer to each other."""


def write_source(path: Path, rows: Mapping[str, Sequence[Row]]) -> Path:
    """Write a legacy database; a row says what differs from the sound one, an entity left out has the sound row."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for entity in ENTITIES.values():
            table, columns = entity.legacy_table, ", ".join(entity.legacy_columns)
            connection.execute(f"CREATE TABLE {table} ({columns})")
            for row in rows.get(entity.name, [{}] if entity.name != "transaction" else []):
                cells = [(SOUND[entity.name] | row)[column] for column in entity.legacy_columns]
                marks = ", ".join("CAST(? AS TEXT)" if isinstance(cell, UndecodableText) else "?" for cell in cells)
                values = [cell.raw if isinstance(cell, UndecodableText) else cell for cell in cells]
                connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608  # our own names
        connection.commit()
    return path


def judged(
    folder: Path, *, policies: Policies | None = None, rows_per_chunk: int | None = None, **rows: Sequence[Row]
) -> dict[str, Cleaned]:
    """Write the rows (entity=rows) into a new legacy database and judge them, as far as the last entity named."""
    return judged_rows(folder, rows, policies or Policies(), rows_per_chunk)


def judged_rows(
    folder: Path, rows: Mapping[str, Sequence[Row]], policies: Policies, rows_per_chunk: int | None = None
) -> dict[str, Cleaned]:
    """Do the same for rows in a mapping."""
    path = write_source(folder / f"legacy-{len(list(folder.iterdir()))}.db", rows)
    last = max(list(ENTITIES).index(entity) for entity in rows)
    return judge(path, policies, rows_per_chunk, list(ENTITIES.values())[: last + 1])


def judge(
    path: Path, policies: Policies, rows_per_chunk: int | None = None, entities: Iterable[Entity] | None = None
) -> dict[str, Cleaned]:
    """Judge all rows of a database by the rules of the entities, without Dagster and without a target.

    Args:
        path: The database: a legacy one, or for entities of the platform one of its own.
        policies: The policies.
        rows_per_chunk: How many rows are cleaned at once; None takes all.
        entities: Parents first; None takes the legacy ones.
    """
    verdicts: dict[str, Cleaned] = {}
    for entity in ENTITIES.values() if entities is None else entities:
        circumstances = Circumstances(
            policies=policies,
            snapshot_time=TAKEN,
            duplicates=duplicates(path, entity, policies),
            parents={name: KeyFates.from_tables(verdicts[name].keys.to_batches()) for name in entity.parents},
            referenced=referenced_keys(_references(path, entity, policies)) if _may_be_inactive(entity) else None,
        )
        rows = chunk_of(path, entity).rows
        step = rows_per_chunk or max(1, len(rows))
        chunks = [rows.slice(start, step) for start in range(0, max(1, len(rows)), step)]
        parts = [clean(entity, LegacyChunk(chunk, entity.legacy_columns, True), circumstances) for chunk in chunks]
        verdicts[entity.name] = Cleaned(
            pa.concat_tables(part.rows for part in parts),
            pa.concat_tables(part.defects for part in parts),
            pa.concat_tables(part.keys for part in parts),
        )
    return verdicts


def _may_be_inactive(entity: Entity) -> bool:
    return entity.origin == "legacy" and not entity.parents


def chunk_of(path: Path, entity: Entity) -> LegacyChunk:
    """Read a whole table of the source."""
    table = LegacyTable(entity.legacy_table, entity.legacy_columns, entity.batch_column)
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        classes = legacy_source.dominant_classes(connection, table)
    schema = legacy_source.raw_schema(table, classes)
    batches = list(legacy_source.read_rows(path, table, classes, "rowid"))
    rows = pa.concat_batches(batches) if batches else schema.empty_table().combine_chunks().to_batches()[0]
    return LegacyChunk(rows, entity.legacy_columns, has_row_id=True)


def duplicates(path: Path, entity: Entity, policies: Policies) -> pa.Table:
    """Return the verdict on rows that share a key."""
    chunk = chunk_of(path, entity)
    table = LegacyTable(entity.legacy_table, entity.legacy_columns)

    def scan() -> Iterator[KeyChunk]:
        yield KeyChunk(np.asarray(chunk.rows["row"]), chunk.column(entity.key_column))

    def parse(column: LegacyColumn) -> ParsedColumn:
        return entity.parse_keys(column, policies.legacy_encoding)

    suspects = rows_sharing_a_key(scan, len(chunk), parse)
    whole = legacy_source.read_whole_rows(path, table, "rowid", sorted(suspects)) if suspects else []
    return judge_duplicates((row, suspects[row], encoded) for row, encoded in whole)


def _references(path: Path, entity: Entity, policies: Policies) -> Iterator[ParsedColumn]:
    account = ENTITIES["account"]
    yield entity.parse_keys(chunk_of(path, account).column(account.parents[entity.name]), policies.legacy_encoding)


def records(verdict: Cleaned, *names: str) -> list[tuple[Any, ...]]:
    """Return the defects in the order of the source rows, as tuples of the named columns."""
    found = sorted(verdict.defects.to_pylist(), key=lambda record: record["source_row_id"])
    return [tuple(record[name] for name in names) for record in found]


def as_told(value: LegacyValue) -> str | None:
    """Return an old value as a defect tells it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, UndecodableText):
        return value.raw.hex()
    if isinstance(value, float):
        return real_as_text(value)
    return None if value is None else str(value)


def numbered(entity: str, column: str, values: Sequence[LegacyValue]) -> list[Row]:
    """Return one row for each value of a column, with keys 1, 2, 3 where the column is not the key itself."""
    key = ENTITIES[entity].key_column
    return [{key: number} | {column: value} for number, value in enumerate(values, 1)]


def assert_accepted(folder: Path, entity: str, column: str, target: str, cases: Sequence[tuple[Any, Any]]) -> None:
    """Assert that each legacy value is loaded as the target value beside it, and nothing is recorded."""
    rows = numbered(entity, column, [value for value, _ in cases])
    verdict = judged_rows(folder, {entity: rows}, Policies())[entity]
    assert records(verdict, "reasons", "column", "old_value") == []
    assert verdict.rows[target].to_pylist() == [expected for _, expected in cases]


def assert_rejected(folder: Path, entity: str, column: str, reason: str, values: Sequence[LegacyValue]) -> None:
    """Assert that each legacy value rejects its row for this reason alone, and is told as it was."""
    verdict = judged_rows(folder, {entity: numbered(entity, column, values)}, Policies())[entity]
    found = records(verdict, "action", "reason", "reasons", "column", "old_value", "new_value")
    assert found == [("rejected", reason, reason, column, as_told(value), None) for value in values]
    assert verdict.rows.num_rows == 0


def assert_told_together(folder: Path, entity: str, broken: Sequence[tuple[str, LegacyValue, str]]) -> None:
    """Assert that a row has one record of all its broken rules, in the order of the columns.

    Args:
        folder: Where a legacy database is written.
        entity: The entity.
        broken: (column, a value that breaks a rule, the reason). The first row holds all, each next one fewer.
    """
    key = ENTITIES[entity].key_column
    rows: list[Row] = [
        {key: 100 + first} | {column: value for column, value, _ in broken[first:]} for first in range(len(broken))
    ]
    verdict = judged_rows(folder, {entity: rows}, Policies())[entity]
    assert verdict.rows.num_rows == 0
    assert records(verdict, "reason", "reasons", "column", "old_value") == [
        (reason, ",".join(told for _, _, told in broken[first:]), column, as_told(value))
        for first, (column, value, reason) in enumerate(broken)
    ]


def reasons_of(entity: str) -> set[tuple[str, str]]:
    """Return (target column, reason) of the named checks of an entity's schema."""
    columns = ENTITIES[entity].schema.columns
    return {
        (name.removesuffix("_fault"), str(check.name)) for name, column in columns.items() for check in column.checks
    }
