"""The defects of a target as work to be done: the money at stake, how to mend the row, the most money first.

Here: the fields of the list and its order. Not here: how it is written (`accounts_migration.listings`), the remedies
and the masking (`accounts_migration.entities`).

Memory is bounded: a database of SQLite's in a temporary file sorts the list; nobody else can open it, and it goes with
the command. Personal data is masked before it gets there.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import groupby

from accounts_migration.databases.target import Target
from accounts_migration.entities import Entity
from accounts_migration.entities.defects import REJECTED, without_personal_data, without_values
from accounts_migration.entities.remedies import remedy
from accounts_migration.entities.values import entity_key, money, text
from accounts_migration.errors import MigrationError
from accounts_migration.legacy_values import LegacyValue, read_source_row
from accounts_migration.reconciliation.amounts import amount

FIELDS = (
    *("entity", "batch", "source_key", "source_row_id", "action", "reason", "reasons", "column", "old_value"),
    *("new_value", "money_at_stake", "remedy", "source_row"),
)
"""The fields of a line. `money_at_stake` is an amount with two decimals, None where it cannot be read."""

_MONEY = {
    "legacy_accounts": "current_balance",
    "legacy_transactions": "trans_amount",
    "account": "balance",
    "transaction": "amount",
}
"""Source table -> the column of the money at stake."""

_ROWS_AT_ONCE = 4096

_RECORDED = tuple(name for name in FIELDS if name not in ("money_at_stake", "remedy"))
_COLUMNS = ", ".join(f'"{name}"' for name in _RECORDED)
_TABLES = f"""
CREATE TABLE defect ({_COLUMNS}, stake TEXT, own_key);
CREATE INDEX defect_own_key ON defect (entity, own_key) WHERE own_key IS NOT NULL;
CREATE TABLE held_back (parent TEXT, parent_key, cents INTEGER);
"""

_Row = dict[str, LegacyValue]


def worklist(
    target: Target, entities: Mapping[str, Entity], entity: str | None, *, show_personal_data: bool
) -> Iterator[_Row]:
    """Yield the defects of all entities or of one, those with the most money at stake first.

    At stake are the balance of an account and the amount of a transaction, without sign, as contract section 4 reads
    them; of a rejected customer or product the balances of the accounts that are rejected with it (PARENT_REJECTED).
    With all entities come the other tables that a copy carried; nothing is known to be at stake in them.

    Args:
        target: The target, opened with the books of what was done: a migration or a copy.
        entities: The four entities as the source of that holds them.
        entity: The name of one of them; None for all.
        show_personal_data: Whether personal data is not masked.

    Yields:
        Lines with FIELDS.

    Raises:
        MigrationError: The target cannot be read, or there is no room for temporary files.
    """
    names = list(entities) if entity is None else [entity]
    held_back = entities["account"]
    try:
        with closing(sqlite3.connect("", isolation_level=None)) as spool:
            spool.executescript(_TABLES + "BEGIN;")
            for name in names:
                _spool(spool, target, entities[name], show_personal_data)
            if entity is None:
                _spool_others(spool, target, entities, show_personal_data)
            if held_back.parents.keys() & set(names):
                _add_what_is_held_back(spool, target, held_back)
            yield from _in_order(spool)
    except sqlite3.Error as error:
        raise MigrationError(
            "Cannot sort the defects",
            why=f"their temporary file cannot be used: {error}",
            remedy="Free some space for temporary files, or name another folder for them in SQLITE_TMPDIR",
        ) from error


def _spool_others(
    spool: sqlite3.Connection, target: Target, entities: Mapping[str, Entity], show_personal_data: bool
) -> None:
    others = {name for name, _, _ in target.defect_counts()} - entities.keys()
    for part in target.defects() if others else ():
        for start in range(0, part.num_rows, _ROWS_AT_ONCE):
            records = part.slice(start, _ROWS_AT_ONCE).drop_columns(["inexact"]).to_pylist()
            found = [record for record in records if record["entity"] in others]
            _insert(spool, ((one if show_personal_data else without_values(one), 0, None) for one in found))


def _insert(spool: sqlite3.Connection, lines: Iterable[tuple[_Row, int | None, int | str | None]]) -> None:
    """Add lines: the record as it is shown, the money at stake in cents, the row's own key as its children write it."""
    marks = ", ".join("?" * (len(_RECORDED) + 2))
    spool.executemany(
        f"INSERT INTO defect VALUES ({marks})",  # noqa: S608  # as many marks as columns
        ((*(shown[name] for name in _RECORDED), _sortable(cents), key) for shown, cents, key in lines),
    )


def _spool(spool: sqlite3.Connection, target: Target, entity: Entity, show_personal_data: bool) -> None:
    for records in _records(target, entity.name):
        _insert(
            spool,
            (
                (
                    record if show_personal_data else without_personal_data(record),
                    _stake(entity, row, encoding),
                    None if _has_money(entity) else _key(entity, row[entity.key_column], encoding),
                )
                for record, row, encoding in records
            ),
        )


def _has_money(entity: Entity) -> bool:
    return entity.legacy_table in _MONEY


def _key(entity: Entity, value: LegacyValue, encoding: str) -> int | str | None:
    """Return the key of a parent as a source's row or its children write it; None where it is none."""
    return text(value, encoding).value if entity.origin == "platform" else entity_key(value, encoding).value


def _records(target: Target, entity: str) -> Iterator[list[tuple[_Row, Mapping[str, LegacyValue], str]]]:
    """Yield some defects of an entity at a time: (record, its source row, the code page it was read with)."""
    encodings: dict[str, str] = {}
    for part in target.defects(entity):
        encodings = encodings or _encodings(target, entity)
        for start in range(0, part.num_rows, _ROWS_AT_ONCE):
            yield [
                (record, read_source_row(record["source_row"]), encodings[record["batch"]])
                for record in part.slice(start, _ROWS_AT_ONCE).drop_columns(["inexact"]).to_pylist()
            ]


def _encodings(target: Target, entity: str) -> dict[str, str]:
    batches = (recorded for recorded in target.recorded_batches() if recorded.entity == entity)
    return {recorded.batch: json.loads(recorded.policies)["legacy_encoding"] for recorded in batches}


def _stake(entity: Entity, row: Mapping[str, LegacyValue], encoding: str) -> int | None:
    """Return the row's money in cents, without sign; 0 for an entity that holds none, None where it is unreadable."""
    if not _has_money(entity):
        return 0
    cents = money(row[_MONEY[entity.legacy_table]], encoding).value
    return None if cents is None else abs(cents)


def _sortable(cents: int | None) -> str | None:
    """Return cents as a text that sorts as they do: a sum may be larger than SQLite's integers."""
    return None if cents is None else f"{cents:030d}"


def _add_what_is_held_back(spool: sqlite3.Connection, target: Target, held_back: Entity) -> None:
    """Put the balances of accounts rejected with their parent to the parent's record; one may wait for two parents."""
    for records in _records(target, held_back.name):
        spool.executemany(
            "INSERT INTO held_back VALUES (?, ?, ?)",
            (
                (parent, _key(held_back, row[column], encoding), _stake(held_back, row, encoding) or 0)
                for record, row, encoding in records
                if "PARENT_REJECTED" in str(record["reasons"]).split(",")
                for parent, column in held_back.parents.items()
            ),
        )
    rows = spool.execute("SELECT parent, parent_key, cents FROM held_back ORDER BY parent, parent_key")
    for (parent, key), balances in groupby(rows, key=lambda row: row[:2]):
        spool.execute(
            "UPDATE defect SET stake = ? WHERE entity = ? AND own_key = ? AND action = ?",
            (_sortable(sum(cents for _, _, cents in balances)), parent, key, REJECTED),
        )


def _in_order(spool: sqlite3.Connection) -> Iterator[_Row]:
    found = spool.execute(
        f"SELECT {_COLUMNS}, stake FROM defect"  # noqa: S608  # our own names
        " ORDER BY stake IS NULL, stake DESC, entity, batch, source_row_id, rowid"
    )
    for *values, stake in found:
        record = dict(zip(_RECORDED, values, strict=True))
        record["money_at_stake"] = None if stake is None else amount(int(stake)).replace(",", "")
        record["remedy"] = remedy(record["reasons"])
        yield {name: record[name] for name in FIELDS}
