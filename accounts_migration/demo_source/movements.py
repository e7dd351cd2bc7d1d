"""What moves on the accounts of the demo's bank, in the order of time, and the balances that it leaves.

Here: the transactions, and the accounts as these leave them. Not here: whose account it is, and since when it is open
(`bank`).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from accounts_migration.demo_source.bank import OLD_SHARE, Bank, account_number, customer_number, product_number
from accounts_migration.demo_source.names import COMPANIES
from accounts_migration.demo_source.planting import Int64Array, Mask, free_of

FloatArray = npt.NDArray[np.float64]
_FIRST_TRANSACTION = 1_000_001
_CR, _DR, _FE, _IN = range(4)
_TRANSACTION_CODES = np.array(["CR", "DR", "FE", "IN"], object)
_TEXTS_OF_A_TYPE = 4_096
_FEES = np.array([50, 100, 150, 300, 500, 750, 1_200, 2_500])


class Movements:
    """The transactions, made chunk by chunk in the order of time; between chunks only balances are kept."""

    def __init__(self, bank: Bank) -> None:
        """Open the accounts of the bank, all of them empty."""
        self.bank = bank
        accounts = bank.rows["account"]
        self.balance = np.zeros(accounts, np.int64)  # cents
        self.closed_day = np.full(accounts, -1, np.int64)
        self._moved = np.zeros(accounts, np.bool_)
        # defective accounts have no movements of their own
        self._usable = np.flatnonzero(free_of(bank.plans["account"], accounts))
        self._usable_opened = bank.opened[self._usable]
        self._choose_closings(bank.random("closings"))
        self._texts = _transaction_texts(bank.random("texts"))
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
        random = self.bank.random("movements", start)
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
            account_number(account).tolist(),
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

    def account_rows(self, start: int, stop: int) -> Iterator[Any]:
        """Return the accounts of some positions, without defects, as all the movements left them."""
        bank = self.bank
        part = slice(start, stop)
        closed_day = self.closed_day[part]
        closed = closed_day >= 0
        closing = np.full(stop - start, None, object)
        closing[closed] = np.datetime_as_string(bank.first_day + closed_day[closed])
        return zip(
            account_number(np.arange(start, stop)).tolist(),
            customer_number(bank.owner[part]).tolist(),
            product_number(bank.product[part]).tolist(),
            np.where(closed, "C", "A").tolist(),
            (self.balance[part] / 100).tolist(),
            np.datetime_as_string(bank.first_day + bank.open_day[part]).tolist(),
            closing.tolist(),
            strict=True,
        )


def _starts(groups: Int64Array) -> Mask:
    """Return where a new group begins in sorted values."""
    begins = np.ones(len(groups), np.bool_)
    begins[1:] = groups[1:] != groups[:-1]
    return begins


def _time_of_position(places: Int64Array, total: int) -> FloatArray:
    """Return when (0 to 1) each movement happens; their number grows with the open accounts."""
    part = (places + 0.5) / total * (OLD_SHARE + (1 - OLD_SHARE) / 2)
    return (np.sqrt(OLD_SHARE**2 + 2 * (1 - OLD_SHARE) * part) - OLD_SHARE) / (1 - OLD_SHARE)


def _position_of_time(time: FloatArray, total: int) -> FloatArray:
    """Return the inverse of `_time_of_position`."""
    part = (OLD_SHARE * time + (1 - OLD_SHARE) * time**2 / 2) / (OLD_SHARE + (1 - OLD_SHARE) / 2)
    return part * total


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
        (("SALARY", "TRANSFER FROM", "CASH DEPOSIT", "REFUND", "PENSION"), COMPANIES),
        (("CARD PURCHASE", "DIRECT DEBIT", "ATM WITHDRAWAL", "STANDING ORDER", "Transfer to"), COMPANIES),
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
