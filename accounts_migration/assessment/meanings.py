"""What a legacy column is meant to hold, and what its codes are read as: asked of the entity itself.

Here: the kind of each column, read off the entity's parser and schema, so that a fifth entity needs nothing here. Not
here: any map of codes and any rule (`accounts_migration.entities`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import pyarrow as pa

from accounts_migration.databases.legacy_source import raw_schema
from accounts_migration.entities import Entity
from accounts_migration.entities.entity import Circumstances, LegacyChunk, ParsedChunk
from accounts_migration.entities.keys import DUPLICATE_SCHEMA
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.schemas import FAULT_SUFFIX
from accounts_migration.entities.values import REASONS
from accounts_migration.legacy_values import LegacyValue, source_row_json
from accounts_migration.resources import legacy_table

_ANY_TIME = datetime(2000, 1, 1)


class Kind(StrEnum):
    """What a legacy column is meant to hold (contract section 4)."""

    key = "key"
    code = "code"
    number = "number"
    date = "date"
    text = "text"


_KIND_OF_REASON = {
    "INVALID_KEY": Kind.key,
    "UNKNOWN_CODE": Kind.code,
    "INVALID_NUMBER": Kind.number,
    "INVALID_DATE": Kind.date,
}


def kinds_of(entity: Entity, policies: Policies) -> dict[str, Kind]:
    """Return what each legacy column of the entity is meant to hold, in the order of contract section 2."""
    parsed = _parsed(entity, {}, policies)
    kinds = dict.fromkeys(entity.legacy_columns, Kind.text)
    for one in parsed.fields:
        faults = entity.schema.columns.get(one.target + FAULT_SUFFIX)
        for check in faults.checks if faults is not None else []:
            kinds[one.legacy] = _KIND_OF_REASON.get(check.name, kinds[one.legacy])
    if parsed.inactive is not None:
        kinds[parsed.inactive[0]] = Kind.code
    return kinds


def _parsed(entity: Entity, cells: Mapping[str, Sequence[LegacyValue]], policies: Policies) -> ParsedChunk:
    """Return what the entity makes of some cells; all other columns are NULL."""
    rows = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    schema = raw_schema(legacy_table(entity), dict.fromkeys(entity.legacy_columns, "text"))
    arrays: dict[str, pa.Array] = {one.name: pa.nulls(len(rows), one.type) for one in schema}
    nothing: dict[str, LegacyValue] = dict.fromkeys(entity.legacy_columns)
    arrays["irregular"] = pa.array([source_row_json(nothing | row) for row in rows], pa.string())
    chunk = LegacyChunk(pa.record_batch(arrays, schema), entity.legacy_columns, has_row_id=True)
    return entity.parse(chunk, Circumstances(policies, _ANY_TIME, DUPLICATE_SCHEMA.empty_table()))


def readings_of(entity: Entity, column: str, codes: Sequence[LegacyValue], policies: Policies) -> list[str]:
    """Return for each code of the column the target's value, or the reason why there is none.

    A code that tells whether a row is active is `active` or `inactive`.
    """
    parsed = _parsed(entity, {column: codes}, policies)
    if parsed.inactive is not None and parsed.inactive[0] == column:
        return ["inactive" if is_inactive else "active" for is_inactive in parsed.inactive[1]]
    [one] = [one.column for one in parsed.fields if one.legacy == column]
    return [
        REASONS[fault] if fault else str(value) for value, fault in zip(one.values.to_pylist(), one.faults, strict=True)
    ]
