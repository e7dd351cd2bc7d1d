"""Every source row judged a second time: the rows that the target is to hold, and the records it is to keep.

Here: duplicates, parents, exclusions, and the way of the rows. Not here: what a cell becomes (`cells`, `columns`),
which column is of which kind (`forms`), and what all this is held against
(`accounts_migration.reconciliation.second_reading`).

A row of which every cell is certain, and which nothing else concerns, goes the fast way as part of a column. Any other
row is read from the snapshot again, alone and exactly.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.snapshot_rows import Chunk, ExactRow, Source
from accounts_migration.databases.target_schema import canonical_schema
from accounts_migration.second_reading import columns
from accounts_migration.second_reading.cells import Reading, Rules, Value, as_json, month_of, told
from accounts_migration.second_reading.columns import MOMENT, Column, Integers, Mask, settled
from accounts_migration.second_reading.forms import NEVER_NEGATIVE, REPAIRS, Field, Form, forms

WHOLE = "all"
REJECTED, EXCLUDED, REPAIRED = "rejected", "excluded", "repaired"
_UNKNOWN, _LOADED, _REJECTED, _EXCLUDED = range(4)
_KEYS_AT_ONCE = 4_000_000
"""Numbers of keys sorted in memory at once (8 bytes each); more keys take more scans, not more memory."""
_CLOSE_TOGETHER = 1_000_000


class Record(NamedTuple):
    """A record of `migration_defect` as it is to stand there (contract section 6)."""

    entity: str
    batch: str
    source_key: str | None
    source_row_id: int | None
    action: str
    reason: str
    reasons: str
    column: str | None
    old_value: str | None
    new_value: str | None
    source_row: str


@dataclass
class _Twins:
    """The rows of one key: the first of them, and whether all are identical in value and storage class."""

    first: int
    digest: bytes
    rows: int = 1
    are_identical: bool = True


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What an exactly read row becomes; `values` only if it is loaded."""

    row: ExactRow
    batch: str
    fate: int
    key: Value
    values: list[Value] | None
    records: list[Record]


class _Fates:
    """What became of each key of a parent."""

    def __init__(self) -> None:
        self._keys: list[Integers] = []
        self._fates: list[npt.NDArray[np.int8]] = []
        self._close: npt.NDArray[np.int8] | None = None

    def add(self, keys: Integers, fates: npt.NDArray[np.int8]) -> None:
        self._keys.append(keys)
        self._fates.append(fates)

    def close(self) -> None:
        """Index what was added: a table of fates where the keys lie close together, else by binary search."""
        keys = np.concatenate([np.empty(0, np.int64), *self._keys])
        fates = np.concatenate([np.empty(0, np.int8), *self._fates])
        order = np.argsort(keys, kind="stable")
        self._sorted, self._by_key = keys[order], fates[order]
        largest = int(self._sorted[-1]) if len(keys) else 0
        if largest < 8 * len(keys) + _CLOSE_TOGETHER:
            self._close = np.zeros(largest + 2, np.int8)
            self._close[keys] = fates

    def of(self, keys: Integers) -> npt.NDArray[np.int8]:
        """Return the fate of each key of 0 or more."""
        if self._close is not None:
            return np.asarray(self._close[np.minimum(keys, len(self._close) - 1)])
        places = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[places] == keys, self._by_key[places], np.int8(_UNKNOWN))


class SecondReading:
    """The reading of one snapshot; entities are read in the order of `forms`, each to its end."""

    def __init__(self, path: Path, rules: Rules, taken_at: datetime) -> None:
        """Keep the snapshot's file, the policies as plain values, and the time that stands for the snapshot's."""
        self._path, self._rules, self._taken_at = path, rules, taken_at
        self._forms = forms(rules)
        self._fates: dict[str, _Fates] = {}
        self._referenced: dict[str, Integers] = {}
        self.judged: dict[str, Counter[str]] = {name: Counter() for name in self._forms}
        """Entity -> how many source rows of each batch were judged."""

    def rows(self, entity: str, keep: Callable[[list[Record]], None]) -> Iterator[pa.RecordBatch]:
        """Yield the rows that the target is to hold, in the source's order.

        Args:
            entity: The entity.
            keep: Is given the records that the target is to keep.

        Yields:
            Record batches of the canonical schema, with a further column `batch` (string).

        Raises:
            MigrationError: The snapshot cannot be read.
        """
        form = self._forms[entity]
        fates = self._fates[entity] = _Fates()
        with Source(self._path, form.table) as source:
            repeated = self._repeated(source, form.key)
            twins = self._twins(source, form.key, repeated) if len(repeated) else {}
            for chunk in source.chunks():
                yield self._chunk(form, source, chunk, repeated, twins, fates, keep)
        fates.close()

    def is_in_order(self, entity: str) -> bool:
        """Return whether the source's rows stand about batch after batch, as a target is loaded."""
        table = self._forms[entity].table
        if table.batch_column is None:
            return True
        with Source(self._path, table) as source:
            return source.looks_sorted(table.batch_column)

    # -- what is known before a row is judged

    def _numbered(self, source: Source, field: Field) -> Iterator[tuple[Chunk, Integers, Mask]]:
        """Yield all rows with a number for each key, equal for equal keys, and which rows have a readable one."""
        for chunk in source.chunks([field.legacy]):
            column = self._settled(chunk, field, field.fast(chunk.columns[field.legacy]), ~chunk.odd)
            readable = column.certain & ~chunk.odd
            numbers, open_ = _numbers_of(column.values, readable), np.flatnonzero(~readable)
            for place, row in zip(open_, source.exactly(chunk, open_), strict=True):
                key = field.read(row.cells[field.legacy]).value
                if key is not None:
                    numbers[place], readable[place] = _number_of(key), True
            yield chunk, numbers, readable

    def _repeated(self, source: Source, key: Field) -> Integers:
        """Return the numbers of the keys that stand more than once, in order."""
        parts = -(-source.rows // _KEYS_AT_ONCE)
        found = [np.empty(0, np.int64)]
        for part in range(parts):
            # filled and sorted where they stand: parts put together and a sorted copy were three times as large
            all_, filled = np.empty(source.rows, np.int64), 0
            for _, numbers, readable in self._numbered(source, key):
                chosen = numbers[readable & (numbers % parts == part)]
                all_[filled : filled + len(chosen)] = chosen
                filled += len(chosen)
            keys = all_[:filled]
            keys.sort()
            found.append(np.unique(keys[1:][keys[1:] == keys[:-1]]))
        return np.unique(np.concatenate(found))

    def _twins(self, source: Source, key: Field, repeated: Integers) -> dict[Value, _Twins]:
        twins: dict[Value, _Twins] = {}
        for chunk, numbers, readable in self._numbered(source, key):
            wanted = np.flatnonzero(readable & np.isin(numbers, repeated))
            for row in source.exactly(chunk, wanted):
                value = key.read(row.cells[key.legacy]).value
                whole = [(type(cell).__name__, cell) for cell in row.cells.values()]
                digest = blake2b(repr(whole).encode(), digest_size=16).digest()
                known = twins.setdefault(value, _Twins(row.place, digest, rows=0))
                known.rows += 1
                known.are_identical = known.are_identical and digest == known.digest
        return {value: found for value, found in twins.items() if found.rows > 1}

    def _is_referenced(self, form: Form, key: Value) -> bool:
        """Return whether some legacy account refers to a product or customer, whatever becomes of that account."""
        if self._rules.inactive_parents != "referenced" or not isinstance(key, int):
            return False
        if form.name not in self._referenced:
            account = self._forms["account"]
            field = next(field for field in account.fields if field.legacy == form.key.legacy)
            with Source(self._path, account.table) as source:
                found = [np.unique(keys[readable]) for _, keys, readable in self._numbered(source, field)]
            self._referenced[form.name] = np.unique(np.concatenate([np.empty(0, np.int64), *found]))
        references = self._referenced[form.name]
        place = int(np.searchsorted(references, key))
        return place < len(references) and int(references[place]) == key

    # -- rows by columns

    def _settled(self, chunk: Chunk, field: Field, plain: Column, certain: Mask) -> Column:
        cells = chunk.columns[field.legacy]
        if field.as_written and pa.types.is_floating(cells.type):
            return plain  # whether a number was an INTEGER shows in its row alone
        return settled(cells, plain, field.read, field.type_, ~certain)

    def _chunk(
        self,
        form: Form,
        source: Source,
        chunk: Chunk,
        repeated: Integers,
        twins: dict[Value, _Twins],
        fates: _Fates,
        keep: Callable[[list[Record]], None],
    ) -> pa.RecordBatch:
        certain = ~chunk.odd
        found: dict[str, pa.Array] = {}
        labels = pa.repeat(pa.scalar(WHOLE, pa.string()), len(chunk))
        for field in form.fields:
            plain = field.fast(chunk.columns[field.legacy])
            if field.legacy == form.table.batch_column:
                labels = columns.batches(chunk.columns[field.legacy])
            column = self._settled(chunk, field, plain, certain)
            found[field.target] = column.values
            certain = certain & column.certain
        certain &= self._is_plain(form, chunk, found, certain, repeated)
        keys = found[form.key.target]
        if pa.types.is_integer(keys.type):
            loaded = np.asarray(keys.fill_null(0))[certain]
            fates.add(loaded, np.full(len(loaded), _LOADED, np.int8))
        fast = self._shown(form, found, labels)
        if certain.all():
            self.judged[form.name].update(_counted(labels))
            return fast
        sure = pa.array(certain)
        self.judged[form.name].update(_counted(labels.filter(sure)))
        verdicts = [self._judge(form, row, twins) for row in source.exactly(chunk, np.flatnonzero(~certain))]
        self._note(form, verdicts, fates, keep)
        return self._in_order(form, fast.filter(sure), chunk.places[certain], verdicts)

    def _is_plain(
        self, form: Form, chunk: Chunk, found: dict[str, pa.Array], certain: Mask, repeated: Integers
    ) -> Mask:
        """Return which rows nothing but their own cells concerns: active, no duplicates, with their parents loaded."""
        plain = np.ones(len(chunk), np.bool_)
        if len(repeated):
            plain &= ~np.isin(_numbers_of(found[form.key.target], certain), repeated)
        for parent, reference in (form.parents or {}).items():
            plain &= self._fates[parent].of(np.maximum(found[reference].fill_null(0), 0)) == _LOADED
        if form.active is not None:
            cells, read = chunk.columns[form.active[0]], form.active[1]
            plain &= settled(cells, columns.uncertain(cells), read, pa.string(), ~certain).certain
        if "amount" in found:
            cents = np.asarray(found["amount"].fill_null(0))
            is_credit = np.asarray(pc.is_in(found["transaction_type"], pa.array(NEVER_NEGATIVE)))
            plain &= (cents > 0) | (cents < 0) & ~is_credit
            found["amount"] = pa.array(np.abs(cents))
        return plain

    def _shown(self, form: Form, found: dict[str, pa.Array], labels: pa.Array) -> pa.RecordBatch:
        shown = {field.target: _as_id(found[field.target], field) for field in form.fields}
        for name in form.times:
            shown[name] = pa.repeat(pa.scalar(self._taken_at, MOMENT), len(labels))
        schema = _schema(form.name)
        return pa.RecordBatch.from_arrays([*(shown[name] for name in schema.names[:-1]), labels], schema=schema)

    def _in_order(
        self, form: Form, fast: pa.RecordBatch, places: Integers, verdicts: Sequence[_Verdict]
    ) -> pa.RecordBatch:
        """Put the rows that were read alone and are loaded among the others, by their places in the source."""
        loaded = [verdict for verdict in verdicts if verdict.values is not None]
        if not loaded:
            return fast
        by_field = zip(*(verdict.values or [] for verdict in loaded), strict=True)
        found = {
            field.target: pa.array(values, field.type_) for field, values in zip(form.fields, by_field, strict=True)
        }
        slow = self._shown(form, found, pa.array([verdict.batch for verdict in loaded], pa.string()))
        order = np.argsort(np.concatenate([places, [verdict.row.place for verdict in loaded]]), kind="stable")
        return pa.concat_batches([fast, slow]).take(pa.array(order))

    def _note(
        self, form: Form, verdicts: Sequence[_Verdict], fates: _Fates, keep: Callable[[list[Record]], None]
    ) -> None:
        self.judged[form.name].update(verdict.batch for verdict in verdicts)
        keep([record for verdict in verdicts for record in verdict.records])
        telling = [verdict for verdict in verdicts if verdict.fate != _UNKNOWN and isinstance(verdict.key, int)]
        keys = np.array([verdict.key for verdict in telling], np.int64)
        fates.add(keys, np.array([verdict.fate for verdict in telling], np.int8))

    # -- a row alone

    def _judge(self, form: Form, row: ExactRow, twins: dict[Value, _Twins]) -> _Verdict:
        """Judge a row: duplicates first, then what is left out on purpose, then the rules, parents last."""
        batch = month_of(row.cells[form.table.batch_column]) if form.table.batch_column else WHOLE
        readings = {field.target: field.read(row.cells[field.legacy]) for field in form.fields}
        key = readings[form.key.target].value
        twin = twins.get(key)

        def left_out(fate: int, action: str, reasons: list[str], column: str | None) -> _Verdict:
            record = _record(form, row, batch, action, list(dict.fromkeys(reasons)), column)
            return _Verdict(row, batch, fate, key, None, [record])

        if twin is not None and twin.are_identical and row.place != twin.first:
            return left_out(_UNKNOWN, EXCLUDED, ["EXACT_DUPLICATE"], None)
        is_duplicate = twin is not None and not twin.are_identical
        is_inactive = form.active is not None and bool(form.active[1](row.cells[form.active[0]]).finding)
        parents = self._parents(form, readings)
        if not is_duplicate and "PARENT_EXCLUDED" in [reason for reason, _ in parents]:
            return left_out(_EXCLUDED, EXCLUDED, ["PARENT_EXCLUDED"], None)
        if not is_duplicate and is_inactive and form.active and not self._is_referenced(form, key):
            return left_out(_EXCLUDED, EXCLUDED, ["INACTIVE"], form.active[0])
        if "amount" in readings:
            readings["amount"] = _amount(readings["amount"], readings["transaction_type"].value)
        broken = [("DUPLICATE_KEY", form.key.legacy)] * is_duplicate
        broken += [
            (finding, field.legacy)
            for field in form.fields
            if (finding := readings[field.target].finding) and not self._is_repair(finding)
        ]
        broken += [(reason, legacy) for reason, legacy in parents if reason != "PARENT_EXCLUDED"]
        if broken:
            return left_out(_REJECTED, REJECTED, [reason for reason, _ in broken], broken[0][1])
        return self._loaded(form, row, batch, readings, is_inactive)

    def _parents(self, form: Form, readings: dict[str, Reading]) -> list[tuple[str, str]]:
        """Return what is wrong with the row's parents: (reason, legacy column)."""
        found = []
        for parent, target in (form.parents or {}).items():
            reference = readings[target].value
            if isinstance(reference, int):
                fate = int(self._fates[parent].of(np.array([reference]))[0])
                reason = {_UNKNOWN: "ORPHAN", _REJECTED: "PARENT_REJECTED", _EXCLUDED: "PARENT_EXCLUDED"}.get(fate)
                legacy = next(field.legacy for field in form.fields if field.target == target)
                found += [(reason, legacy)] if reason else []
        return found

    def _is_repair(self, finding: str) -> bool:
        return finding in REPAIRS or (finding == "INVALID_EMAIL" and self._rules.invalid_email == "null")

    def _loaded(
        self, form: Form, row: ExactRow, batch: str, readings: dict[str, Reading], is_inactive: bool
    ) -> _Verdict:
        records = []
        if is_inactive and form.active is not None:
            records.append(_record(form, row, batch, REPAIRED, ["KEPT_INACTIVE"], form.active[0]))
        values: list[Value] = []
        for field in form.fields:
            value, repair = readings[field.target]
            value = self._taken_at if repair == "DEFAULTED" else value
            values.append(value)
            if repair:
                new = None if value is None else str(value)
                records.append(_record(form, row, batch, REPAIRED, [repair], field.legacy, new))
        return _Verdict(row, batch, _LOADED, readings[form.key.target].value, values, records)


def _amount(reading: Reading, kind: Value) -> Reading:
    if not isinstance(reading.value, int):
        return reading
    if reading.value == 0:
        return Reading(None, "ZERO_AMOUNT")
    return (
        Reading(None, "SIGN_CONFLICT") if reading.value < 0 and kind in NEVER_NEGATIVE else Reading(abs(reading.value))
    )


def _record(
    form: Form,
    row: ExactRow,
    batch: str,
    action: str,
    reasons: list[str],
    column: str | None,
    new_value: str | None = None,
) -> Record:
    return Record(
        entity=form.name,
        batch=batch,
        source_key=told(row.cells[form.key.legacy]),
        source_row_id=row.row_id,
        action=action,
        reason=reasons[0],
        reasons=",".join(reasons),
        column=column,
        old_value=told(row.cells[column]) if column else None,
        new_value=new_value,
        source_row=json.dumps({name: as_json(cell) for name, cell in row.cells.items()}),
    )


def _schema(entity: str) -> pa.Schema:
    return canonical_schema(entity).append(pa.field("batch", pa.string()))


def _as_id(values: pa.Array, field: Field) -> pa.Array:
    if not field.prefix:
        return values
    texts = values.cast(pa.string())
    if field.width:
        texts = pc.utf8_lpad(texts, field.width, "0")
    return pc.binary_join_element_wise(pa.scalar(field.prefix), texts, pa.scalar(""))


def _numbers_of(keys: pa.Array, readable: Mask) -> Integers:
    """Return a number for each key: the key itself where it is one, else a hash; 0 where there is none."""
    if pa.types.is_integer(keys.type):
        return np.array(keys.fill_null(0))
    texts = pc.if_else(pa.array(readable), keys, "0")
    digits = pc.match_substring_regex(texts, r"\A[0-9]{1,18}\z")
    numbers = np.array(pc.if_else(digits, texts, "0").cast(pa.int64()))
    others = np.flatnonzero(~np.asarray(digits))
    numbers[others] = [_number_of(text) for text in texts.take(pa.array(others)).to_pylist()]
    return numbers


def _number_of(key: Value) -> int:
    if isinstance(key, str):
        return int(key) if key.isascii() and key.isdigit() else hash(key)
    return key if isinstance(key, int) else 0


def _counted(labels: pa.Array) -> dict[str, int]:
    return {row["values"]: row["counts"] for row in labels.value_counts().to_pylist()}
