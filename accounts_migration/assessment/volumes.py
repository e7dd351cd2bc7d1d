"""The guide's volumes: how many accounts and transactions there are, the total balance, the first and the last date.

Here: counting them in the snapshot (guide, "Assessment Phase"). Not here: what becomes of the rows (`dry_run`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Volumes:
    """Rows of the source as they stand, before any rule; `total_balance` in cents over the readable balances alone.

    `first_date` and `last_date` (ISO 8601) are those of the transactions whose date can be read; None without any.
    """

    products: int
    customers: int
    accounts: int
    active_accounts: int
    total_balance: int
    unreadable_balances: int
    transactions: int
    first_date: str | None
    last_date: str | None
    unreadable_dates: int
