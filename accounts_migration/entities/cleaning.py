"""How a chunk of legacy rows becomes cleaned rows and defects, the same way for every entity (contract sections 1, 5).

Here: the order of verdicts (duplicates, exclusions, the rules, parents), the split by Pandera's failure cases, and the
records of what was rejected, excluded and repaired. Not here: any rule of one entity (its own file), and the values
(`accounts_migration.entities.values`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.entities import keys
from accounts_migration.entities.defects import EXCLUDED, REJECTED, REPAIRED, Defect, defect_table
from accounts_migration.entities.entity import Circumstances, Entity, LegacyChunk, Mask, ParsedChunk
from accounts_migration.entities.schemas import DUPLICATE, FAULT_SUFFIX, as_frame
from accounts_migration.entities.values import REASONS
from accounts_migration.legacy_values import as_text, source_row_json

_LABELLED_KEYS = pa.schema([pa.field("batch", pa.string()), *keys.KEY_SCHEMA])


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaned chunk: `rows` (batch and the target's columns), `defects` and, for parents, `keys` with their fates."""

    rows: pa.Table
    defects: pa.Table
    keys: pa.Table


def clean(entity: Entity, chunk: LegacyChunk, circumstances: Circumstances) -> Cleaned:
    """Judge every row of a chunk: each becomes a cleaned row or a rejected or excluded one (contract section 1)."""
    parsed = entity.parse(chunk, circumstances)
    duplicates = _duplicate_verdicts(chunk, circumstances.duplicates)
    fates = {parent: circumstances.parents[parent].of(found) for parent, found in parsed.parents.items()}
    excluded = _exclusions(parsed, duplicates, fates, circumstances)
    judged = np.flatnonzero(excluded == 0)
    failures = _failures(entity, parsed, duplicates, fates, judged)
    loaded = np.ones(len(chunk), np.bool_)
    loaded[np.flatnonzero(excluded)] = False
    loaded[list(failures)] = False
    defects = [
        *_excluded_rows(entity, chunk, parsed, excluded),
        *_rejected_rows(entity, chunk, parsed, failures),
        *_repaired_rows(entity, chunk, parsed, loaded),
    ]
    return Cleaned(
        rows=_rows(entity, chunk, parsed, loaded),
        defects=defect_table(defects),
        keys=_key_fates(chunk, parsed, loaded, excluded),
    )


def _duplicate_verdicts(chunk: LegacyChunk, duplicates: pa.Table) -> npt.NDArray[np.int8]:
    verdicts = np.zeros(len(chunk), np.int8)
    if len(duplicates):
        known = np.asarray(duplicates["row"])
        codes = np.array([REASONS.index(reason) for reason in duplicates["reason"].to_pylist()], np.int8)
        rows = np.asarray(chunk.rows["row"])
        places = np.minimum(np.searchsorted(known, rows), len(known) - 1)
        verdicts = np.where(known[places] == rows, codes[places], np.int8(0))
    return verdicts


def _exclusions(
    parsed: ParsedChunk,
    duplicates: npt.NDArray[np.int8],
    fates: Mapping[str, keys.Fates],
    circumstances: Circumstances,
) -> npt.NDArray[np.int8]:
    """Return the reason code by which each row is left out on purpose; 0 for a row that the rules judge."""
    excluded = np.where(duplicates == REASONS.index("EXACT_DUPLICATE"), duplicates, np.int8(0))
    judged_duplicate = duplicates != 0
    if parsed.inactive is not None:
        _, left_out = parsed.inactive
        if circumstances.policies.inactive_parents == "referenced" and circumstances.referenced is not None:
            left_out = left_out & (circumstances.referenced.of(parsed.keys) == keys.UNKNOWN)
        excluded[left_out & ~judged_duplicate] = REASONS.index("INACTIVE")
    for fate in fates.values():
        excluded[(fate == keys.EXCLUDED) & ~judged_duplicate] = REASONS.index("PARENT_EXCLUDED")
    return excluded


def _failures(
    entity: Entity,
    parsed: ParsedChunk,
    duplicates: npt.NDArray[np.int8],
    fates: Mapping[str, keys.Fates],
    judged: npt.NDArray[np.intp],
) -> dict[int, list[tuple[str, str]]]:
    """Return row -> its broken rules as (schema column, reason), in the schema's order."""
    frame = _judged_frame(entity, parsed, duplicates, fates, judged)
    try:
        entity.schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
    else:
        return {}
    order = {name: place for place, name in enumerate(entity.schema.columns)}
    cases = cases.assign(place=cases["column"].map(order)).sort_values(
        ["index", "place", "check_number"], kind="stable"
    )
    failures: dict[int, list[tuple[str, str]]] = {}
    unnamed: set[int] = set()
    for index, column, check in zip(cases["index"], cases["column"], cases["check"], strict=True):
        if check in REASONS:
            failures.setdefault(int(judged[int(index)]), []).append((column, check))
        elif check == "not_nullable" and index is not None:
            unnamed.add(int(judged[int(index)]))  # the value is missing because its parser named a reason
        else:
            raise TypeError(f"cleaned {entity.name}: column {column} fails {check}, which no row can cause")
    if unnamed - failures.keys():
        raise TypeError(f"cleaned {entity.name}: a required value is missing without a reason")
    return failures


def _judged_frame(
    entity: Entity,
    parsed: ParsedChunk,
    duplicates: npt.NDArray[np.int8],
    fates: Mapping[str, keys.Fates],
    judged: npt.NDArray[np.intp],
) -> pd.DataFrame:
    """Return the frame that Pandera judges: target columns and the parsers' verdicts beside them."""
    columns: dict[str, pa.Array] = {DUPLICATE + FAULT_SUFFIX: pa.array(duplicates)}
    for parsed_field in parsed.fields:
        columns[parsed_field.target] = parsed_field.column.values
        columns[parsed_field.target + FAULT_SUFFIX] = pa.array(parsed_field.column.faults)
    columns |= {parsed_field.target: parsed_field.column.values for parsed_field in parsed.checked}
    for parent, fate in fates.items():
        columns[parent + FAULT_SUFFIX] = pa.array(_parent_verdicts(fate, parsed.parents[parent]))
    for name, value in parsed.constants.items():
        columns[name] = pa.repeat(value, len(duplicates))
    table = pa.table(columns)
    if len(judged) < table.num_rows:
        table = table.take(pa.array(judged))
    return as_frame(table)


def _parent_verdicts(fate: keys.Fates, references: pa.Array) -> npt.NDArray[np.int8]:
    """Return ORPHAN or PARENT_REJECTED for each reference that could be read; a malformed one has its own reason."""
    verdicts = np.zeros(len(fate), np.int8)
    verdicts[fate == keys.UNKNOWN] = REASONS.index("ORPHAN")
    verdicts[fate == keys.REJECTED] = REASONS.index("PARENT_REJECTED")
    verdicts[np.asarray(pc.is_null(references))] = 0
    return verdicts


def _rows(entity: Entity, chunk: LegacyChunk, parsed: ParsedChunk, loaded: Mask) -> pa.Table:
    columns: dict[str, pa.Array] = {"batch": chunk.rows["batch"]}
    columns |= {parsed_field.target: parsed_field.column.values for parsed_field in parsed.fields}
    columns |= {name: pa.repeat(value, len(chunk)) for name, value in parsed.constants.items()}
    table = pa.table([columns[name] for name in entity.row_schema.names], schema=entity.row_schema)
    return table if loaded.all() else table.filter(pa.array(loaded))


def _key_fates(chunk: LegacyChunk, parsed: ParsedChunk, loaded: Mask, excluded: npt.NDArray[np.int8]) -> pa.Table:
    """Return what became of each key; of exact duplicates only the row that was kept speaks."""
    if parsed.keys is None:
        return _LABELLED_KEYS.empty_table()
    fates = np.where(loaded, np.int8(keys.LOADED), np.int8(keys.REJECTED))
    fates[excluded != 0] = keys.EXCLUDED
    telling = np.asarray(pc.is_valid(parsed.keys)) & (excluded != REASONS.index("EXACT_DUPLICATE"))
    table = pa.table([chunk.rows["batch"], parsed.keys, pa.array(fates, pa.int8())], schema=_LABELLED_KEYS)
    return table.filter(pa.array(telling))


def _excluded_rows(
    entity: Entity, chunk: LegacyChunk, parsed: ParsedChunk, excluded: npt.NDArray[np.int8]
) -> Iterator[Defect]:
    for place in map(int, np.flatnonzero(excluded)):
        reason = REASONS[excluded[place]]
        column = parsed.inactive[0] if reason == "INACTIVE" and parsed.inactive else None
        yield _defect(entity, chunk, place, EXCLUDED, [reason], column)


def _rejected_rows(
    entity: Entity, chunk: LegacyChunk, parsed: ParsedChunk, failures: Mapping[int, list[tuple[str, str]]]
) -> Iterator[Defect]:
    legacy = {parsed_field.target: parsed_field.legacy for parsed_field in [*parsed.fields, *parsed.checked]}
    legacy |= dict(entity.parents) | {DUPLICATE: entity.key_column}
    for place, broken in failures.items():
        first = broken[0][0].removesuffix(FAULT_SUFFIX)
        reasons = list(dict.fromkeys(reason for _, reason in broken))
        yield _defect(entity, chunk, place, REJECTED, reasons, legacy[first])


def _repaired_rows(entity: Entity, chunk: LegacyChunk, parsed: ParsedChunk, loaded: Mask) -> Iterator[Defect]:
    if parsed.inactive is not None:
        column, inactive = parsed.inactive
        for place in map(int, np.flatnonzero(inactive & loaded)):
            yield _defect(entity, chunk, place, REPAIRED, ["KEPT_INACTIVE"], column)
    for parsed_field in parsed.fields:
        repairs = parsed_field.column.repairs
        for place in map(int, np.flatnonzero((repairs != 0) & loaded)):
            new = parsed_field.column.values[place].as_py()
            yield _defect(
                entity, chunk, place, REPAIRED, [REASONS[repairs[place]]], parsed_field.legacy,
                None if new is None else str(new),
            )  # fmt: skip


def _defect(
    entity: Entity,
    chunk: LegacyChunk,
    place: int,
    action: str,
    reasons: list[str],
    column: str | None,
    new_value: str | None = None,
) -> Defect:
    row = chunk.row(place)
    return Defect(
        entity=entity.name,
        batch=chunk.rows["batch"][place].as_py(),
        source_key=as_text(row[entity.key_column]),
        source_row_id=chunk.rows["row"][place].as_py() if chunk.has_row_id else None,
        action=action,
        reason=reasons[0],
        reasons=",".join(reasons),
        column=column,
        old_value=as_text(row[column]) if column else None,
        new_value=new_value,
        source_row=source_row_json(row),
    )
