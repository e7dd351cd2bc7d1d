"""The defects of a target as work to be done: the money at stake, how to mend the row, the most money first.

Here: the fields of the list and its order. Not here: how it is written (`accounts_migration.listings`), the remedies
and the masking (`accounts_migration.entities`).

Memory is bounded: a database of SQLite's in a temporary file sorts the list; nobody else can open it, and it goes with
the command. Personal data is masked before it gets there.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import groupby

from accounts_migration.databases.target import Target
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.defects import REJECTED, without_personal_data
from accounts_migration.entities.remedies import remedy
from accounts_migration.entities.values import entity_key, money
from accounts_migration.errors import MigrationError
from accounts_migration.legacy_values import LegacyValue, read_source_row
from accounts_migration.reconciliation.amounts import amount

FIELDS = (
    *("entity", "batch", "source_key", "source_row_id", "action", "reason", "reasons", "column", "old_value"),
    *("new_value", "money_at_stake", "remedy", "source_row"),
)
"""The fields of a line. `money_at_stake` is an amount with two decimals, None where it cannot be read."""

_MONEY = {"account": "current_balance", "transaction": "trans_amount"}
_HELD_BACK = ENTITIES["account"]
_ROWS_AT_ONCE = 4096

_RECORDED = tuple(name for name in FIELDS if name not in ("money_at_stake", "remedy"))
_COLUMNS = ", ".join(f'"{name}"' for name in _RECORDED)
_TABLES = f"""
CREATE TABLE defect ({_COLUMNS}, stake TEXT, own_key INTEGER);
CREATE INDEX defect_own_key ON defect (entity, own_key) WHERE own_key IS NOT NULL;
CREATE TABLE held_back (parent TEXT, parent_key INTEGER, cents INTEGER);
"""

_Row = dict[str, LegacyValue]


def worklist(target: Target, entity: str | None, *, show_personal_data: bool) -> Iterator[_Row]:
    """Yield the defects of all entities or of one, those with the most money at stake first.

    At stake are the balance of an account and the amount of a transaction, without sign, as contract section 4 reads
    them; of a rejected customer or product the balances of the accounts that are rejected with it (PARENT_REJECTED).

    Yields:
        Lines with FIELDS; personal data masked unless shown.

    Raises:
        MigrationError: The target cannot be read, or there is no room for temporary files.
    """
    names = list(ENTITIES) if entity is None else [entity]
    try:
        with closing(sqlite3.connect("", isolation_level=None)) as spool:
            spool.executescript(_TABLES + "BEGIN;")
            for name in names:
                _spool(spool, target, name, show_personal_data)
            if _HELD_BACK.parents.keys() & set(names):
                _add_what_is_held_back(spool, target)
            yield from _in_order(spool)
    except sqlite3.Error as error:
        raise MigrationError(
            "Cannot sort the defects",
            why=f"their temporary file cannot be used: {error}",
            remedy="Free some space for temporary files, or name another folder for them in SQLITE_TMPDIR",
        ) from error


def _spool(spool: sqlite3.Connection, target: Target, entity: str, show_personal_data: bool) -> None:
    marks = ", ".join("?" * (len(_RECORDED) + 2))
    for records in _records(target, entity):
        spool.executemany(
            f"INSERT INTO defect VALUES ({marks})",  # noqa: S608  # as many marks as columns
            (
                (
                    *(shown[name] for name in _RECORDED),
                    _sortable(_stake(entity, row, encoding)),
                    entity_key(row[ENTITIES[entity].key_column], encoding).value if entity not in _MONEY else None,
                )
                for record, row, encoding in records
                for shown in [record if show_personal_data else without_personal_data(record)]
            ),
        )


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


def _stake(entity: str, row: Mapping[str, LegacyValue], encoding: str) -> int | None:
    """Return the row's money in cents, without sign; 0 for an entity that holds none, None where it is unreadable."""
    if entity not in _MONEY:
        return 0
    cents = money(row[_MONEY[entity]], encoding).value
    return None if cents is None else abs(cents)


def _sortable(cents: int | None) -> str | None:
    """Return cents as a text that sorts as they do: a sum may be larger than SQLite's integers."""
    return None if cents is None else f"{cents:030d}"


def _add_what_is_held_back(spool: sqlite3.Connection, target: Target) -> None:
    """Put the balances of accounts rejected with their parent to the parent's record; one may wait for two parents."""
    for records in _records(target, _HELD_BACK.name):
        spool.executemany(
            "INSERT INTO held_back VALUES (?, ?, ?)",
            (
                (parent, entity_key(row[column], encoding).value, _stake(_HELD_BACK.name, row, encoding) or 0)
                for record, row, encoding in records
                if "PARENT_REJECTED" in str(record["reasons"]).split(",")
                for parent, column in _HELD_BACK.parents.items()
            ),
        )
    rows = spool.execute("SELECT parent, parent_key, cents FROM held_back ORDER BY parent, parent_key")
    for (parent, key), held_back in groupby(rows, key=lambda row: row[:2]):
        spool.execute(
            "UPDATE defect SET stake = ? WHERE entity = ? AND own_key = ? AND action = ?",
            (_sortable(sum(cents for _, _, cents in held_back)), parent, key, REJECTED),
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
