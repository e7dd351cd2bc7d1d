"""A realistic legacy database to try the migration on: years of banking, some rows with every kind of defect.

Here: what the demo's bank looks like, and `KINDS`, which says for each planted row what the migration must
record of it. Not here: the rules that find the defects (`accounts_migration.entities`); nothing of theirs is
used, so that the demo can show them wrong.

Rows are planted at odd positions only, from 3 on. So the row before a planted one is clean, and can be copied
to make a duplicate.
"""

import datetime
import math
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from accounts_migration.errors import MigrationError
from accounts_migration.legacy_values import LegacyValue, UndecodableText

LEGACY_TABLES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "product": {
            "product_code": "INTEGER",
            "product_description": "VARCHAR(60)",
            "account_type": "CHAR(3)",
            "int_rate": "REAL",
            "debit_fee": "DECIMAL(10,2)",
            "maint_fee": "DECIMAL(10,2)",
            "min_bal_int": "DECIMAL(15,2)",
            "active": "SMALLINT",
        },
        "customer": {
            "customer_number": "INTEGER",
            "first_name": "VARCHAR(40)",
            "last_name": "VARCHAR(40)",
            "email_address": "VARCHAR(80)",
            "phone_number": "VARCHAR(20)",
            "created_date": "DATE",
            "status": "VARCHAR(10)",
        },
        "account": {
            "account_number": "INTEGER",
            "customer_number": "INTEGER",
            "product_code": "INTEGER",
            "account_status": "CHAR(1)",
            "current_balance": "DECIMAL(15,2)",
            "open_date": "DATE",
            "close_date": "DATE",
        },
        "transaction": {
            "trans_id": "INTEGER",
            "account_number": "INTEGER",
            "trans_type": "CHAR(2)",
            "trans_amount": "DECIMAL(15,2)",
            "balance_after": "DECIMAL(15,2)",
            "description": "VARCHAR(200)",
            "trans_date": "DATETIME",
        },
    }
)
"""Entity -> columns of its legacy table (contract section 2) with the types an old system declared."""

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Row = dict[str, LegacyValue]
Change = LegacyValue | Callable[[Row], LegacyValue]
Action = Literal["rejected", "excluded", "repaired", "loaded"]
Plan = dict[int, "Kind"]

_LARGEST_SHARE_REJECTED = 0.008
_SHARE_INACTIVE = 0.01
_LAST_DAY = datetime.date(2024, 12, 31)
_ROWS_AT_ONCE = 100_000  # even: a defect and the row before it are written together
_UNKNOWN_NUMBER = 900_000_001
_UNKNOWN_PRODUCT = 99_901
_NOT_UTF_8 = UndecodableText(b"M\xfcller")  # Latin-1, as an old terminal wrote it
_BLOB = b"\x00\xfe\xff"


@dataclass(frozen=True)
class Kind:
    """One kind of planted row, and what must be recorded of it under the contract's default policies.

    Args:
        name: Its name, unique within the entity.
        entity: The target table's name.
        reason: The contract's reason code; '' for an odd row that is loaded without any record.
        action: What is recorded.
        changes: Legacy column -> the value it gets, or a function of the row that gives it.
        of_row_before: `copy` makes the row equal the one before, `key` gives it only the key of that one.
        rejected_parent: The parent entity, where the row is made to refer to a rejected one.
    """

    name: str
    entity: str
    reason: str
    action: Action
    changes: Mapping[str, Change] = field(default_factory=dict)
    of_row_before: Literal["", "copy", "key"] = ""
    rejected_parent: Literal["", "product", "customer", "account"] = ""

    @property
    def records(self) -> int:
        """Return the number of records that one planted row causes: both rows of a conflict are rejected."""
        return 0 if self.action == "loaded" else 2 if self.of_row_before == "key" else 1

    @property
    def rejected_rows(self) -> int:
        """Return the number of rows that one planted row makes rejected."""
        return self.records if self.action == "rejected" else 0

    @property
    def must_not_be_referred_to(self) -> bool:
        """Return whether a row referring to such a one would be dragged along, or would bring it back."""
        return self.action in ("rejected", "excluded")

    @property
    def leaves_key(self) -> bool:
        """Return whether the row has a key of its own that others can refer to."""
        return not self.of_row_before and _key_column(self.entity) not in self.changes


@dataclass(frozen=True)
class DemoSummary:
    """What was written: rows by entity, and how many were planted by (entity, name of the kind)."""

    rows: Mapping[str, int]
    planted: Mapping[tuple[str, str], int]

    def records(self) -> Counter[tuple[str, str, str]]:
        """Return the records that `migration_defect` must hold, by (entity, action, reason)."""
        expected: Counter[tuple[str, str, str]] = Counter()
        for kind in KINDS:
            count = self.planted.get((kind.entity, kind.name), 0) * kind.records
            if count:
                expected[kind.entity, kind.action, kind.reason] += count
        return expected

    def rejected_rows(self, entity: str) -> int:
        """Return the number of rows of the entity that the migration must reject."""
        return sum(
            self.planted.get((entity, kind.name), 0) * kind.rejected_rows for kind in KINDS if kind.entity == entity
        )


def _key_column(entity: str) -> str:
    return next(iter(LEGACY_TABLES[entity]))


def _rejects(entity: str, column: str, reason: str, **values: Change) -> list[Kind]:
    return [
        Kind(f"{column}: {name.replace('_', ' ')}", entity, reason, "rejected", {column: value})
        for name, value in values.items()
    ]


def _keys(entity: str, column: str) -> list[Kind]:
    return [
        *_rejects(entity, column, "MISSING_KEY", null=None, blank="  "),
        *_rejects(
            entity, column, "INVALID_KEY", negative=-17, fraction=1042.5, blob=_BLOB, not_UTF_8=_NOT_UTF_8,
            too_large="9223372036854775808",
        ),
    ]  # fmt: skip


def _entity_keys(entity: str, column: str) -> list[Kind]:
    return [
        *_keys(entity, column),
        *_rejects(entity, column, "INVALID_KEY", letters="C-1042", nul="10\x0042"),
    ]


def _amounts(entity: str, column: str) -> list[Kind]:
    return [
        *_rejects(entity, column, "MISSING_VALUE", null=None, blank=" "),
        *_rejects(
            entity, column, "INVALID_NUMBER", word="twelve", comma="1,234.50", not_a_number="NaN",
            infinite=math.inf, blob=_BLOB, not_UTF_8=_NOT_UTF_8,
        ),
    ]  # fmt: skip


def _money(entity: str, column: str) -> list[Kind]:
    return [
        *_amounts(entity, column),
        *_rejects(entity, column, "SUB_CENT", half_a_cent=10.005),
        *_rejects(entity, column, "OUT_OF_RANGE", ten_trillion=1e13),
    ]


def _codes(entity: str, column: str, unknown: str) -> list[Kind]:
    return [
        *_rejects(entity, column, "MISSING_VALUE", null=None, blank=" "),
        *_rejects(entity, column, "UNKNOWN_CODE", unknown=unknown, blob=_BLOB, not_UTF_8=_NOT_UTF_8),
    ]


def _texts(entity: str, column: str) -> list[Kind]:
    return [
        *_rejects(entity, column, "INVALID_TEXT", blob=_BLOB),
        *_rejects(entity, column, "INVALID_ENCODING", not_UTF_8=_NOT_UTF_8),
        *_rejects(entity, column, "NUL_CHARACTER", nul="AN\x00NA"),
    ]


def _required_texts(entity: str, column: str) -> list[Kind]:
    return [
        *_texts(entity, column),
        *_rejects(entity, column, "MISSING_VALUE", null=None, blank=" \u3000\u200b "),
    ]


def _dates(entity: str, column: str) -> list[Kind]:
    return _rejects(
        entity, column, "INVALID_DATE", other_order="31/12/2022", no_such_day="2023-02-30", number=20230401,
        too_early="1899-12-31", too_late="2101-01-01", zone="2023-04-01T10:00:00Z", blob=_BLOB,
        no_such_hour="2023-04-01 24:30:00",
    )  # fmt: skip


def _duplicates(entity: str, **difference: Change) -> list[Kind]:
    return [
        Kind("exact duplicate", entity, "EXACT_DUPLICATE", "excluded", of_row_before="copy"),
        Kind("conflicting duplicate", entity, "DUPLICATE_KEY", "rejected", difference, of_row_before="key"),
    ]


def _inactive(entity: str, **changes: Change) -> list[Kind]:
    return [
        Kind("inactive, nobody refers to it", entity, "INACTIVE", "excluded", changes),
        Kind("inactive, an account refers to it", entity, "KEPT_INACTIVE", "repaired", changes),
    ]


def _repairs(entity: str, column: str, reason: str, **values: Change) -> list[Kind]:
    return [
        Kind(f"{column}: {name.replace('_', ' ')}", entity, reason, "repaired", {column: value})
        for name, value in values.items()
    ]


def _oddities(entity: str, column: str, **values: Change) -> list[Kind]:
    """Return rows that look wrong and are not: normalisation is no defect (contract sections 1 and 4)."""
    return [
        Kind(f"{column}: {name.replace('_', ' ')}", entity, "", "loaded", {column: value})
        for name, value in values.items()
    ]


def _text(row: Row, column: str) -> str:
    return str(row[column])


def _padded(column: str) -> Callable[[Row], LegacyValue]:
    """Return the value as text between no-break spaces, which SQLite does not convert to a number."""
    return lambda row: f"\u00a0{_text(row, column)}\u2003"


def _orphan(entity: str, column: str, number: int) -> Kind:
    return Kind(f"{column}: no such parent", entity, "ORPHAN", "rejected", {column: number})


def _parent_rejected(entity: str, parent: Literal["product", "customer", "account"]) -> Kind:
    return Kind(f"rejected {parent}", entity, "PARENT_REJECTED", "rejected", rejected_parent=parent)


def _of_type(code: str, amount: float) -> dict[str, Change]:
    return {"trans_type": code, "trans_amount": amount}


KINDS: tuple[Kind, ...] = (
    # product
    *_inactive("product", active=0),
    *_duplicates("product", product_description="ANOTHER NAME"),
    *_entity_keys("product", "product_code"),
    *_required_texts("product", "product_description"),
    *_codes("product", "account_type", "SAV"),
    *_amounts("product", "int_rate"),
    *_rejects("product", "int_rate", "SUB_CENT", seventh_decimal=1.1234567),
    *_rejects("product", "int_rate", "OUT_OF_RANGE", above_100=100.5, negative=-0.25),
    *_money("product", "debit_fee"),
    *_rejects("product", "debit_fee", "OUT_OF_RANGE", negative=-1),
    *_money("product", "maint_fee"),
    *_rejects("product", "maint_fee", "OUT_OF_RANGE", negative=-0.01),
    *_money("product", "min_bal_int"),
    *_oddities("product", "active", letter="y", word=" true "),
    *_oddities("product", "int_rate", padded=_padded("int_rate")),
    # customer
    *_inactive("customer", status="CLOSED"),
    *_duplicates("customer", phone_number="000"),
    *_entity_keys("customer", "customer_number"),
    *_required_texts("customer", "first_name"),
    *_required_texts("customer", "last_name"),
    *_texts("customer", "email_address"),
    *_rejects(
        "customer", "email_address", "INVALID_EMAIL", no_at="anna.example.com", nothing_before="@example.com",
        nothing_after="anna@", two_at="anna@home@example.com", blank_within="anna berg@example.com",
        invisible="anna\u200e@example.com",
    ),
    *_texts("customer", "phone_number"),
    *_dates("customer", "created_date"),
    *_repairs("customer", "created_date", "DEFAULTED", null=None, blank=" "),
    *_oddities("customer", "status", padded=" active "),
    *_oddities("customer", "email_address", letter_case="  Anna.Berg@Example.COM ", null=None, blank=" "),
    *_oddities("customer", "last_name", padded="\ufeff d'ANGELO\u200b "),
    *_oddities("customer", "phone_number", blank="   "),
    *_oddities("customer", "created_date", with_time="2021-06-30T08:15"),
    # account
    *_duplicates("account", open_date="2001-01-01"),
    *_entity_keys("account", "account_number"),
    *_entity_keys("account", "customer_number"),
    *_entity_keys("account", "product_code"),
    *_codes("account", "account_status", "F"),
    *_money("account", "current_balance"),
    *_dates("account", "open_date"),
    *_dates("account", "close_date"),
    _orphan("account", "customer_number", _UNKNOWN_NUMBER),
    _orphan("account", "product_code", _UNKNOWN_PRODUCT),
    _parent_rejected("account", "customer"),
    _parent_rejected("account", "product"),
    *_repairs("account", "open_date", "TRUNCATED", with_time="2019-05-01 14:30:00"),
    *_repairs("account", "close_date", "TRUNCATED", with_time="2023-08-31T16:00:00.5"),
    *_repairs(
        "account", "close_date", "SENTINEL_DATE", end_of_time="9999-12-31", beginning_of_time="0001-01-01",
        zeros="0000-00-00 00:00:00",
    ),
    *_oddities("account", "account_status", padded=" a "),
    *_oddities("account", "current_balance", padded=_padded("current_balance"), exponent="\u20031.25e3"),
    *_oddities("account", "open_date", null=None, at_midnight="2019-05-01 00:00:00"),
    *_oddities("account", "close_date", blank=" "),
    # transaction
    *_duplicates("transaction", description="ANOTHER TEXT"),
    *_keys("transaction", "trans_id"),
    *_rejects("transaction", "trans_id", "INVALID_KEY", too_long="X" * 65, nul="WEB\x00-1"),
    *_entity_keys("transaction", "account_number"),
    *_codes("transaction", "trans_type", "RV"),
    *_money("transaction", "trans_amount"),
    *_rejects("transaction", "trans_amount", "ZERO_AMOUNT", zero=0),
    Kind("negative credit", "transaction", "SIGN_CONFLICT", "rejected", _of_type("CR", -12.5)),
    Kind("negative interest", "transaction", "SIGN_CONFLICT", "rejected", _of_type("IN", -0.01)),
    *_money("transaction", "balance_after"),
    *_texts("transaction", "description"),
    *_rejects("transaction", "trans_date", "MISSING_VALUE", null=None, blank=""),
    *_dates("transaction", "trans_date"),
    *_rejects("transaction", "trans_date", "INVALID_DATE", month_13="2023-13-01 10:00:00"),
    _orphan("transaction", "account_number", _UNKNOWN_NUMBER),
    _parent_rejected("transaction", "account"),
    *_repairs(
        "transaction", "description", "TRUNCATED",
        too_long=lambda row: f"{_text(row, 'description')} \u20ac" * 30,
    ),
    *_oddities("transaction", "trans_id", letters=lambda row: f" WEB-{_text(row, 'trans_id')} "),
    *_oddities("transaction", "account_number", padded=_padded("account_number")),
    *_oddities("transaction", "trans_type", padded=lambda row: f" {_text(row, 'trans_type').lower()} "),
    *_oddities("transaction", "trans_amount", padded=_padded("trans_amount")),
    *_oddities("transaction", "description", null=None, empty="", untrimmed="  CASH  "),
    *_oddities(
        "transaction", "trans_date", fraction="2023-03-31T23:59:59.25", day_alone="2022-02-28",
        undated=lambda row: f" {_text(row, 'trans_date')}",
    ),
)  # fmt: skip
"""Every kind of row that is planted; see `Kind`."""


def write_demo_source(
    path: Path,
    *,
    accounts: int,
    transactions: int,
    dirt: float,
    seed: int,
    years: int = 5,
    products: int = 20,
) -> DemoSummary:
    """Write a legacy SQLite database (contract section 2) of a bank, its movements in the order of time.

    The same arguments give the same rows. About 0.7 customers stand for one account. Without dirt every row
    is correct and active. With it, each kind is planted at least once where the rows allow: at most 0.8
    percent of an entity's rows (or the share `dirt`, if that is more) are made to be rejected, and at most
    every second row is planted; so 20 products have none to reject. No planted parent drags unplanted
    children along.

    Args:
        path: The file to write; it must not exist.
        accounts: Number of accounts, at least 1.
        transactions: Number of transactions.
        dirt: Share of rows to spoil, 0 to 1.
        seed: Chooses the random numbers.
        years: How many years of movements, up to the end of 2024.
        products: Number of products, at least 1.

    Raises:
        MigrationError: The file exists, its folder does not, or a number is not allowed.
    """
    what = f"Cannot write the demo source {path}"
    if accounts < 1 or products < 1 or transactions < 0 or years < 1 or not 0 <= dirt <= 1:
        raise MigrationError(
            what,
            why="it needs at least 1 account, product and year, no negative number, and dirt from 0 to 1",
            remedy="Change these numbers",
        )
    if path.exists():
        raise MigrationError(what, why="the file exists", remedy="Name a file that does not exist, or remove this one")
    if not path.parent.is_dir():
        raise MigrationError(what, why=f"there is no folder {path.parent}", remedy="Create it, or name another path")
    bank = _Bank(accounts, transactions, dirt, seed, years, products)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
            bank.write(connection)
        unfinished.rename(path)
    except (OSError, sqlite3.Error) as error:
        raise MigrationError(what, why=str(error), remedy="Check the folder's rights and its free space") from error
    finally:
        unfinished.unlink(missing_ok=True)
    planted = Counter((kind.entity, kind.name) for plan in bank.plans.values() for kind in plan.values())
    return DemoSummary(rows=bank.rows, planted=planted)


def _by_turns(kinds: Iterable[Kind]) -> list[Kind]:
    """Return the kinds so that each reason has its turn before any has its second."""
    turns: Counter[tuple[str, str]] = Counter()
    placed = []
    for kind in kinds:
        placed.append((turns[kind.action, kind.reason], kind))
        turns[kind.action, kind.reason] += 1
    return [kind for _, kind in sorted(placed, key=lambda one: one[0])]


def _planned(entity: str, rows: int, dirt: float, rejected: Mapping[str, Int64Array], accounts: int) -> list[Kind]:
    """Return the kinds to plant, one for each row to be planted.

    Args:
        entity: Whose rows.
        rows: Their number.
        dirt: Share of rows to spoil.
        rejected: Parent entity -> its rejected rows, as far as they are planned.
        accounts: Number of accounts; half of them are clean for sure and can refer to a row that needs it.
    """
    kinds = _by_turns(
        kind
        for kind in KINDS
        if kind.entity == entity and (not kind.rejected_parent or len(rejected[kind.rejected_parent]))
    )
    if not dirt:
        return []
    may_reject = int(rows * max(dirt, _LARGEST_SHARE_REJECTED))
    may_need_account = accounts // 2
    chosen: list[Kind] = []
    for turn in range(max(1, round(dirt * rows / len(kinds)), round(_SHARE_INACTIVE * rows))):
        for kind in kinds:
            share = max(dirt / len(kinds), _SHARE_INACTIVE if kind.reason in ("INACTIVE", "KEPT_INACTIVE") else 0)
            if turn and turn >= round(share * rows):
                continue
            if kind.rejected_rows > may_reject or (kind.reason == "KEPT_INACTIVE" and not may_need_account):
                continue
            may_reject -= kind.rejected_rows
            may_need_account -= kind.reason == "KEPT_INACTIVE"
            chosen.append(kind)
    return chosen


def _at_random_places(kinds: Sequence[Kind], rows: int, random: np.random.Generator) -> Plan:
    """Return position -> kind; the positions are odd, from 3 on."""
    room = max(0, (rows - 2) // 2)
    kinds = kinds[:room]
    places = 3 + 2 * random.choice(room, len(kinds), replace=False, shuffle=True) if kinds else np.empty(0, np.int64)
    return dict(zip(places.tolist(), kinds, strict=True))


def _free_of(plan: Plan, rows: int) -> Mask:
    """Return which positions may be referred to without any consequence."""
    free = np.ones(rows, np.bool_)
    for position, kind in plan.items():
        if kind.must_not_be_referred_to:
            free[position] = False
            free[position - 1] &= kind.of_row_before != "key"
    return free


def _rejected_with_key(plan: Plan) -> Int64Array:
    """Return the positions of rejected rows that others can name."""
    return np.array(sorted(p for p, kind in plan.items() if kind.action == "rejected" and kind.leaves_key), np.int64)


class _Bank:
    """The bank in memory, as far as its rows must agree: who owns what, what was planted where, and balances.

    Holds a few numbers per customer and account, and nothing per transaction, whatever their number.
    """

    def __init__(self, accounts: int, transactions: int, dirt: float, seed: int, years: int, products: int) -> None:
        self.seed = seed % 2**63
        self.rows = {
            "product": products,
            "customer": max(1, round(0.7 * accounts)),
            "account": accounts,
            "transaction": transactions,
        }
        self.first_day = np.datetime64(_LAST_DAY.replace(year=_LAST_DAY.year - years), "D") + 1
        self.days = int((np.datetime64(_LAST_DAY, "D") + 1 - self.first_day).astype(int))
        self.plans: dict[str, Plan] = {}
        self.rejected: dict[str, Int64Array] = {}
        for entity, rows in self.rows.items():
            wanted = _planned(entity, rows, dirt, {"product": _NONE, "customer": _NONE, **self.rejected}, accounts)
            self.plans[entity] = _at_random_places(wanted, rows, self._random("plan", entity))
            self.rejected[entity] = _rejected_with_key(self.plans[entity])
        self._open_accounts()
        self.movements = _Movements(self)

    def _random(self, *purpose: str | int) -> np.random.Generator:
        """Return random numbers of their own for each purpose, so that one part does not shift another."""
        words = [part if isinstance(part, int) else int.from_bytes(part.encode()) for part in purpose]
        return np.random.default_rng([self.seed, *words])

    def _open_accounts(self) -> None:
        random = self._random("accounts")
        count = self.rows["account"]
        # a part of the accounts is older than the first movement; the others are opened steadily
        self.opened = np.maximum(0.0, ((np.arange(count) + 0.5) / count - _OLD_SHARE) / (1 - _OLD_SHARE))
        day = np.floor(self.opened * self.days).astype(np.int64)
        self.open_day = np.where(self.opened > 0, day, -random.integers(1, 3650, count))
        self.owner = self._referred("customer", random, spread=0.8)
        self.product = self._referred("product", random, spread=1.0)
        first = np.full(self.rows["customer"], self.days, np.int64)
        np.minimum.at(first, self.owner, self.open_day)
        owns = np.bincount(self.owner, minlength=len(first)) > 0
        anyday = random.integers(-3650, self.days, len(first))
        self.created_day = np.where(owns, first - random.integers(0, 30, len(first)), anyday)

    def _referred(self, parent: str, random: np.random.Generator, spread: float) -> Int64Array:
        """Return the parent's position for each account: each parent once, then at random."""
        plan = self.plans[parent]
        free = _free_of(plan, self.rows[parent])
        needed = np.array(sorted(p for p, kind in plan.items() if kind.reason == "KEPT_INACTIVE"), np.int64)
        others = np.setdiff1d(np.flatnonzero(free & (random.random(len(free)) < spread)), needed)
        candidates = np.concatenate([needed, random.permutation(others)])
        candidates = candidates if len(candidates) else np.zeros(1, np.int64)
        count = self.rows["account"]
        referred = candidates[random.integers(0, len(candidates), count)]
        clean = np.setdiff1d(np.arange(count), np.array(list(self.plans["account"]), np.int64))
        once = min(len(clean), len(candidates))
        referred[clean[:once]] = candidates[:once]
        return referred

    def write(self, connection: sqlite3.Connection) -> None:
        """Create and fill the four tables; accounts last, with the balances that their movements left."""
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for entity, columns in LEGACY_TABLES.items():
            declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            connection.execute(f"CREATE TABLE legacy_{entity}s ({declared})")
        for entity, rows_of in (
            ("product", self._products),
            ("customer", self._customers),
            ("transaction", self.movements.rows),
            ("account", self._accounts),
        ):
            self._fill(connection, entity, rows_of)
        connection.execute("COMMIT")

    def _fill(self, connection: sqlite3.Connection, entity: str, rows_of: Callable[[int, int], Iterator[Any]]) -> None:
        marks = ", ".join("?" * len(LEGACY_TABLES[entity]))
        insert = f"INSERT INTO legacy_{entity}s VALUES ({marks})"  # noqa: S608  # names from our own table
        plan, total = self.plans[entity], self.rows[entity]
        planted: dict[int, tuple[int, ...]] = dict.fromkeys(range(0, total, _ROWS_AT_ONCE), ())
        planted |= {
            start: tuple(places) for start, places in groupby(sorted(plan), lambda place: place - place % _ROWS_AT_ONCE)
        }
        for start, places in planted.items():
            stop = min(total, start + _ROWS_AT_ONCE)
            rows = rows_of(start, stop)
            if places:
                rows = iter(self._spoiled(entity, list(rows), start, places))
            connection.executemany(insert, rows)
            for position in places:
                self._make_undecodable(connection, entity, position)

    def _spoiled(self, entity: str, rows: list[Any], start: int, places: Sequence[int]) -> list[Any]:
        columns = tuple(LEGACY_TABLES[entity])
        for position in places:
            kind = self.plans[entity][position]
            before, row = (dict(zip(columns, rows[p - start], strict=True)) for p in (position - 1, position))
            if kind.of_row_before == "copy":
                row = before
            if kind.of_row_before == "key":
                row[columns[0]] = before[columns[0]]
            if kind.rejected_parent:
                row |= self._rejected_reference(kind.rejected_parent, position)
            row |= {column: change(row) if callable(change) else change for column, change in kind.changes.items()}
            rows[position - start] = tuple(
                value.raw if isinstance(value, UndecodableText) else value for value in row.values()
            )
        return rows

    def _rejected_reference(self, parent: str, position: int) -> Row:
        candidates = self.rejected[parent]
        return {_key_column(parent): int(_NUMBERS[parent](candidates[position % len(candidates)]))}

    def _make_undecodable(self, connection: sqlite3.Connection, entity: str, position: int) -> None:
        """Turn a blob into TEXT of the same bytes: Python cannot write TEXT that is not UTF-8 directly."""
        for column, change in self.plans[entity][position].changes.items():
            if isinstance(change, UndecodableText):
                connection.execute(
                    f"UPDATE legacy_{entity}s SET {column} = CAST({column} AS TEXT) WHERE rowid = ?",  # noqa: S608
                    (position + 1,),
                )

    def _products(self, start: int, stop: int) -> Iterator[Any]:
        random = self._random("products", start)
        for position in range(start, stop):
            style, audience = _PRODUCT_STYLES[position % 5], _PRODUCT_AUDIENCES[position // 5 % 8]
            generation = f" {position // 40 + 1}" if position >= 40 else ""
            rate, fee, monthly, least = random.integers(0, (17, 5, 7, 5)).tolist()
            code = "CHK" if position % 5 < 3 else "CUR"
            yield (
                int(_product_number(position)), f"{audience} {style}{generation}", code,
                rate * 0.25, fee * 0.25, monthly * 1.5, least * 500, 1,
            )  # fmt: skip

    def _customers(self, start: int, stop: int) -> Iterator[Any]:
        random = self._random("customers", start)
        count = stop - start
        first = random.integers(0, len(_FIRST_NAMES), count).tolist()
        last = random.integers(0, len(_LAST_NAMES), count).tolist()
        domains = random.integers(0, len(_DOMAINS), count).tolist()
        phones = random.integers(0, 10**8, count).tolist()
        numbers = _customer_number(np.arange(start, stop)).tolist()
        created = np.datetime_as_string(self.first_day + self.created_day[start:stop]).tolist()
        for row in range(count):
            phone = phones[row]
            mail = f"{_FIRST_MAILS[first[row]]}.{_LAST_MAILS[last[row]]}{numbers[row]}@{_DOMAINS[domains[row]]}"
            yield (
                numbers[row],
                _FIRST_NAMES[first[row]],
                _LAST_NAMES[last[row]],
                mail,
                f"0{phone % 900 + 100} {phone // 900:06d}" if phone % 8 else None,
                created[row],
                "ACTIVE",
            )

    def _accounts(self, start: int, stop: int) -> Iterator[Any]:
        part = slice(start, stop)
        closed_day = self.movements.closed_day[part]
        closed = closed_day >= 0
        closing = np.full(stop - start, None, object)
        closing[closed] = np.datetime_as_string(self.first_day + closed_day[closed])
        return zip(
            _account_number(np.arange(start, stop)).tolist(),
            _customer_number(self.owner[part]).tolist(),
            _product_number(self.product[part]).tolist(),
            np.where(closed, "C", "A").tolist(),
            (self.movements.balance[part] / 100).tolist(),
            np.datetime_as_string(self.first_day + self.open_day[part]).tolist(),
            closing.tolist(),
            strict=True,
        )


class _Movements:
    """The transactions, made chunk by chunk in the order of time; between chunks only balances are kept."""

    def __init__(self, bank: _Bank) -> None:
        self.bank = bank
        accounts = bank.rows["account"]
        self.balance = np.zeros(accounts, np.int64)  # cents
        self.closed_day = np.full(accounts, -1, np.int64)
        self._moved = np.zeros(accounts, np.bool_)
        # defective accounts have no movements of their own
        self._usable = np.flatnonzero(_free_of(bank.plans["account"], accounts))
        self._usable_opened = bank.opened[self._usable]
        self._choose_closings(bank._random("closings"))
        self._texts = _transaction_texts(bank._random("texts"))
        self._dates = np.array(
            [f"{day} " for day in np.datetime_as_string(bank.first_day + np.arange(bank.days))], object
        )
        self._clock = np.array([f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(86_400)], object)

    def _choose_closings(self, random: np.random.Generator) -> None:
        """Choose the accounts to be closed, each with the (even) position of the movement that clears it."""
        total, count = self.bank.rows["transaction"], len(self._usable)
        closes = random.random(count) < 0.05
        closes[0] = False
        closes[1:] &= ~closes[:-1]  # its neighbour takes over whatever would have come later
        chosen = np.flatnonzero(closes)
        first = _position_of_time(self._usable_opened[chosen], total)
        places = (first + random.random(len(chosen)) * (total - first)).astype(np.int64) // 2 * 2
        places, kept = np.unique(places, return_index=True)
        self._closing_places, self._closing_accounts = places, chosen[kept]
        self._last_place = np.full(count, total, np.int64)
        self._last_place[chosen[kept]] = places

    def rows(self, start: int, stop: int) -> Iterator[Any]:
        """Return the rows of some positions; the chunks must be asked for in order."""
        random = self.bank._random("movements", start)
        places = np.arange(start, stop)
        days, seconds = self._moments(places)
        usable, closings = self._chosen_accounts(places, random)
        account = self._usable[usable]
        code, cents = _movement_amounts(random, len(places))
        text = random.integers(0, _TEXTS_OF_A_TYPE, len(places))
        order = np.argsort(account, kind="stable")
        opening = self._opening_deposits(account, order, random, code, cents)
        closings = closings[self._moved[account[closings]]]
        signed = np.where((code == _CR) | (code == _IN), cents, -cents)
        signed[closings] = 0
        signed[self._copies(places)] = 0
        after = self._balances(account, order, signed)
        closings = closings[after[closings] != 0]
        code[closings] = np.where(after[closings] > 0, _DR, _CR)
        cents[closings] = np.abs(after[closings])
        after[closings] = 0
        self.balance[account[closings]] = 0
        self.closed_day[account[closings]] = days[closings]
        texts = self._texts[code, text]
        texts[opening] = np.where(self.bank.opened[account[opening]] > 0, "OPENING DEPOSIT", "BALANCE BROUGHT FORWARD")
        texts[closings] = "ACCOUNT CLOSED"
        # the system of the first years wrote debits and fees with a minus sign
        written = np.where((days < self.bank.days // 3) & ((code == _DR) | (code == _FE)), -cents, cents)
        return zip(
            (places + _FIRST_TRANSACTION).tolist(),
            _account_number(account).tolist(),
            _TRANSACTION_CODES[code].tolist(),
            (written / 100).tolist(),
            (after / 100).tolist(),
            texts.tolist(),
            (self._dates[days] + self._clock[seconds]).tolist(),
            strict=True,
        )

    def _moments(self, places: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return the day (since the first) and the second of the day (06:00 to 23:00) of each position."""
        days = _time_of_position(places, self.bank.rows["transaction"]) * self.bank.days
        day = np.minimum(np.floor(days).astype(np.int64), self.bank.days - 1)
        return day, (21_600 + (days - day) * 61_199).astype(np.int64)

    def _chosen_accounts(self, places: Int64Array, random: np.random.Generator) -> tuple[Int64Array, Int64Array]:
        """Return an open account for each position, and the places (in the chunk) of closing movements."""
        time = _time_of_position(places, self.bank.rows["transaction"])
        open_accounts = np.maximum(1, np.searchsorted(self._usable_opened, time, side="right"))
        chosen = (random.random(len(places)) * open_accounts).astype(np.int64)
        chosen -= self._last_place[chosen] <= places
        low, high = np.searchsorted(self._closing_places, (places[0], places[-1] + 1))
        closings = self._closing_places[low:high] - places[0]
        chosen[closings] = self._closing_accounts[low:high]
        return chosen, closings

    def _opening_deposits(
        self,
        account: Int64Array,
        order: Int64Array,
        random: np.random.Generator,
        code: Int64Array,
        cents: Int64Array,
    ) -> Int64Array:
        """Make the first movement of each account a deposit (in place), and return where these stand."""
        first = order[_starts(account[order])]
        opening = first[~self._moved[account[first]]]
        self._moved[account] = True
        code[opening] = _CR
        cents[opening] = random.integers(10, 2_500, len(opening)) * 1_000
        return opening

    def _copies(self, places: Int64Array) -> Int64Array:
        """Return the places that a duplicate will take, and which therefore move no money."""
        plan = self.bank.plans["transaction"]
        low, high = int(places[0]), int(places[-1])
        return np.array(
            [place - low for place, kind in plan.items() if kind.of_row_before and low <= place <= high],
            np.int64,
        )

    def _balances(self, account: Int64Array, order: Int64Array, signed: Int64Array) -> Int64Array:
        """Return the balance (cents) after each movement, and keep the last ones."""
        accounts = account[order]
        begins = _starts(accounts)
        group = np.cumsum(begins) - 1
        running = np.cumsum(signed[order])
        before_group = (running - signed[order])[begins]
        after = np.empty(len(account), np.int64)
        after[order] = running - before_group[group] + self.balance[accounts]
        self.balance[account] = after  # of several movements of one account the last one stays
        return after


def _starts(groups: Int64Array) -> Mask:
    """Return where a new group begins in sorted values."""
    begins = np.ones(len(groups), np.bool_)
    begins[1:] = groups[1:] != groups[:-1]
    return begins


_OLD_SHARE = 0.15


def _time_of_position(places: Int64Array, total: int) -> FloatArray:
    """Return when (0 to 1) each movement happens; their number grows with the open accounts."""
    part = (places + 0.5) / total * (_OLD_SHARE + (1 - _OLD_SHARE) / 2)
    return (np.sqrt(_OLD_SHARE**2 + 2 * (1 - _OLD_SHARE) * part) - _OLD_SHARE) / (1 - _OLD_SHARE)


def _position_of_time(time: FloatArray, total: int) -> FloatArray:
    """Return the inverse of `_time_of_position`."""
    part = (_OLD_SHARE * time + (1 - _OLD_SHARE) * time**2 / 2) / (_OLD_SHARE + (1 - _OLD_SHARE) / 2)
    return part * total


_FIRST_TRANSACTION = 1_000_001
_NONE = np.empty(0, np.int64)


def _product_number(position: Any) -> Any:
    return 101 + position + position // 5 * 95


def _customer_number(position: Any) -> Any:
    return 1_001 + position + position // 40 * 3


def _account_number(position: Any) -> Any:
    return 100_001 + position + position // 25 * 2


_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "product": _product_number,
    "customer": _customer_number,
    "account": _account_number,
}

_CR, _DR, _FE, _IN = range(4)
_TRANSACTION_CODES = np.array(["CR", "DR", "FE", "IN"], object)
_TEXTS_OF_A_TYPE = 4_096
_FEES = np.array([50, 100, 150, 300, 500, 750, 1_200, 2_500])


def _movement_amounts(random: np.random.Generator, count: int) -> tuple[Int64Array, Int64Array]:
    """Return the type and the amount (cents, above 0) of some movements."""
    code = np.searchsorted([0.24, 0.90, 0.96], random.random(count), side="right")
    spread = random.standard_normal(count)
    cents = np.exp(np.choose(code, (10.13 + 0.9 * spread, 8.29 + 1.1 * spread, spread, 5.7 + spread)))
    cents = np.clip(cents, 1, 50_000_000).astype(np.int64)
    fees = code == _FE
    cents[fees] = _FEES[random.integers(0, len(_FEES), int(fees.sum()))]
    return code.astype(np.int64), cents


def _transaction_texts(random: np.random.Generator) -> npt.NDArray[np.object_]:
    """Return a pool of descriptions, by type and number."""
    pools: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
        (("SALARY", "TRANSFER FROM", "CASH DEPOSIT", "REFUND", "PENSION"), _COMPANIES),
        (("CARD PURCHASE", "DIRECT DEBIT", "ATM WITHDRAWAL", "STANDING ORDER", "Transfer to"), _COMPANIES),
        (("MONTHLY ACCOUNT FEE", "CARD FEE", "OVERDRAFT FEE", "FOREIGN EXCHANGE FEE"), ("",)),
        (("INTEREST CREDIT", "INTEREST FOR THE MONTH", "BONUS INTEREST"), ("",)),
    )
    texts = np.empty((len(pools), _TEXTS_OF_A_TYPE), object)
    for number, (starts, names) in enumerate(pools):
        choices = random.integers(0, (len(starts), len(names), 1_000_000), (_TEXTS_OF_A_TYPE, 3)).tolist()
        texts[number] = [
            " ".join(filter(None, (starts[start], names[name], f"REF {reference:06d}")))
            for start, name, reference in choices
        ]
    return texts


def _mail_name(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "".join(letter for letter in letters if letter.isalpha()) or "client"


_PRODUCT_STYLES = (
    "BASIC CHECKING",
    "PLUS CHECKING",
    "PREMIUM CHECKING",
    "CURRENT ACCOUNT",
    "Current Account GOLD",
)
_PRODUCT_AUDIENCES = (
    "PERSONAL", "STUDENT", "WOMEN'S", "SENIOR", "SMALL BUSINESS", "FARMERS'", "USA Saver", "NON-RESIDENT",
)  # fmt: skip
_FIRST_NAMES = (
    "ANNA", "JAMES", "MARY", "JOHN", "PATRICIA", "ROBERT", "LINDA", "MICHAEL", "ELIZABETH", "DAVID",
    "SUSAN", "JEAN-PIERRE", "MARIE-CLAIRE", "JOSÉ", "MARÍA", "JÜRGEN", "BJÖRN", "ÅSA", "ŁUKASZ",
    "ZOFIA", "ŞULE", "ÇAĞLA", "Siobhán", "Niamh", "DeShawn", "LaToya", "AOIFE", "FRANÇOIS", "ANDRÉ",
    "INÊS", "JOÃO", "ĐORĐE", "ŽELJKA", "ΣΟΦΊΑ", "ΓΙΏΡΓΟΣ", "ДМИТРИЙ", "ОЛЬГА", "Ирина", "محمد",
    "فاطمة", "דוד", "שרה", "伟", "秀英", "さくら", "지훈", "อรุณ", "PRIYA", "ARJUN", "NGUYỄN", "thomas",
    "julia", "Peter", "Helen", "Jo Ann", "J. R.", "MARY ANN", "OLUWASEUN",
)  # fmt: skip
_LAST_NAMES = (
    "SMITH", "JONES", "TAYLOR", "BROWN", "WILSON", "MÜLLER", "SCHÄFER", "GROSS", "O'NEIL",
    "O\u2019BRIEN", "D'ANGELO", "McDonald", "MacLeod", "MCCARTHY", "de la Cruz", "van der Berg",
    "von Trapp", "DI STEFANO", "SMITH-JONES", "ST. JOHN", "GARCÍA", "FERNÁNDEZ", "MUÑOZ", "GONÇALVES",
    "LEFÈVRE", "DUPRÉ", "ØSTERGAARD", "ÅKESSON", "HALLDÓRSSON", "KOWALSKI", "WIŚNIEWSKA", "NOVÁK",
    "DVOŘÁK", "NAGY", "IONESCU", "ŞAHIN", "YILMAZ", "ПЕТРОВ", "Иванова", "ΠΑΠΑΔΌΠΟΥΛΟΣ", "الخطيب",
    "כהן", "王", "李", "佐藤", "김", "PATEL", "SINGH", "TRẦN", "OKONKWO", "MENSAH", "kelly", "murphy",
    "Da Silva", "Le Roux", "FitzGerald", "L'ÉCUYER", "BEN-DAVID", "Abd al-Rahman", "ROSSI",
)  # fmt: skip
_FIRST_MAILS = tuple(map(_mail_name, _FIRST_NAMES))
_LAST_MAILS = tuple(map(_mail_name, _LAST_NAMES))
_DOMAINS = ("example.com", "example.org", "example.net", "mail.example", "post.example", "firma.example")
_COMPANIES = (
    "ACME STORES", "CORNER BAKERY", "CITY TRANSPORT", "GREEN GROCER", "WATER & POWER", "TELECOM PLUS",
    "BOOKS & MORE", "CAFÉ CENTRAL", "MÜNCHEN HBF", "PHARMACY 24", "NORTH INSURANCE", "SUNNY TRAVEL",
    "O'MALLEY'S", "TOWN COUNCIL", "HARDWARE DEPOT", "FILM CLUB", "GYM ONE", "SCHOOL FUND",
)  # fmt: skip
