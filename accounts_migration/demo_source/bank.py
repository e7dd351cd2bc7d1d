"""The demo's bank: its products, customers and accounts, who owns what, and since when.

Here: plausible rows without any defect, and what they must agree on. Not here: what moves on the accounts
(`movements`), and the defects (`planting`, `writing`).
"""

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from accounts_migration.demo_source.names import (
    DOMAINS,
    FIRST_MAILS,
    FIRST_NAMES,
    LAST_MAILS,
    LAST_NAMES,
    PRODUCT_AUDIENCES,
    PRODUCT_STYLES,
)
from accounts_migration.demo_source.planting import (
    Int64Array,
    Plan,
    at_random_places,
    free_of,
    planned,
    rejected_with_key,
)

_LAST_DAY = datetime.date(2024, 12, 31)
OLD_SHARE = 0.15
"""Share of the accounts that are older than the first movement."""
_NONE = np.empty(0, np.int64)


class Bank:
    """The bank in memory, as far as its rows must agree: who owns what since when, and what is planted where.

    Holds a few numbers per customer and account, and nothing per transaction, whatever their number.
    """

    def __init__(self, accounts: int, transactions: int, dirt: float, seed: int, years: int, products: int) -> None:
        """Plan the bank; the arguments are those of `write_demo_source`."""
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
            wanted = planned(entity, rows, dirt, {"product": _NONE, "customer": _NONE, **self.rejected}, accounts)
            self.plans[entity] = at_random_places(wanted, rows, self.random("plan", entity))
            self.rejected[entity] = rejected_with_key(self.plans[entity])
        self._open_accounts()

    def random(self, *purpose: str | int) -> np.random.Generator:
        """Return random numbers of their own for each purpose, so that one part does not shift another."""
        words = [part if isinstance(part, int) else int.from_bytes(part.encode()) for part in purpose]
        return np.random.default_rng([self.seed, *words])

    def _open_accounts(self) -> None:
        random = self.random("accounts")
        count = self.rows["account"]
        # a part of the accounts is older than the first movement; the others are opened steadily
        self.opened = np.maximum(0.0, ((np.arange(count) + 0.5) / count - OLD_SHARE) / (1 - OLD_SHARE))
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
        free = free_of(plan, self.rows[parent])
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

    def product_rows(self, start: int, stop: int) -> Iterator[Any]:
        """Return the products of some positions, without defects."""
        random = self.random("products", start)
        for position in range(start, stop):
            style, audience = PRODUCT_STYLES[position % 5], PRODUCT_AUDIENCES[position // 5 % 8]
            generation = f" {position // 40 + 1}" if position >= 40 else ""
            rate, fee, monthly, least = random.integers(0, (17, 5, 7, 5)).tolist()
            code = "CHK" if position % 5 < 3 else "CUR"
            yield (
                int(product_number(position)), f"{audience} {style}{generation}", code,
                rate * 0.25, fee * 0.25, monthly * 1.5, least * 500, 1,
            )  # fmt: skip

    def customer_rows(self, start: int, stop: int) -> Iterator[Any]:
        """Return the customers of some positions, without defects."""
        random = self.random("customers", start)
        count = stop - start
        first = random.integers(0, len(FIRST_NAMES), count).tolist()
        last = random.integers(0, len(LAST_NAMES), count).tolist()
        domains = random.integers(0, len(DOMAINS), count).tolist()
        phones = random.integers(0, 10**8, count).tolist()
        numbers = customer_number(np.arange(start, stop)).tolist()
        created = np.datetime_as_string(self.first_day + self.created_day[start:stop]).tolist()
        for row in range(count):
            phone = phones[row]
            mail = f"{FIRST_MAILS[first[row]]}.{LAST_MAILS[last[row]]}{numbers[row]}@{DOMAINS[domains[row]]}"
            yield (
                numbers[row],
                FIRST_NAMES[first[row]],
                LAST_NAMES[last[row]],
                mail,
                f"0{phone % 900 + 100} {phone // 900:06d}" if phone % 8 else None,
                created[row],
                "ACTIVE",
            )


def product_number(position: Any) -> Any:
    """Return the number of the product (or of each of an array) at this position."""
    return 101 + position + position // 5 * 95


def customer_number(position: Any) -> Any:
    """Return the number of the customer (or of each of an array) at this position."""
    return 1_001 + position + position // 40 * 3


def account_number(position: Any) -> Any:
    """Return the number of the account (or of each of an array) at this position."""
    return 100_001 + position + position // 25 * 2


NUMBERS: dict[str, Callable[[Any], Any]] = {
    "product": product_number,
    "customer": customer_number,
    "account": account_number,
}
"""Entity -> the function that numbers its rows."""
