"""What is possible and yet strange in the target, counted by SQL (contract section 7, plausibility).

Here: the questions and the SQL that answers them in both engines, money in whole cents. Not here: what follows
from an answer (`accounts_migration.assets.plausibility`). Nothing of it is wrong by the rules: the rows were
moved as the source holds them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_schema import CENTS, key_of

EXAMPLES = 5

_SPLIT = 1_000_000
"""Cents are added in two halves, which 64 bits hold whatever an account went through."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question: rows of `entity` asked, rows found, and the first keys of these."""

    kind: str
    entity: str
    asked: int
    found: int
    examples: tuple[str, ...]


def findings(session: Session, as_of: datetime) -> Iterator[Finding]:
    """Yield the answer to each question, in the order of the contract.

    Args:
        session: The target.
        as_of: The snapshot's time (UTC); what lies after its day is in the future.
    """
    for kind, entity, asked, query in _questions(session, f"'{as_of.date() + timedelta(days=1)}'"):
        rows = session.execute(f"SELECT q.k, count(*) OVER () FROM ({query}) AS q ORDER BY 1 LIMIT {EXAMPLES}")
        yield Finding(
            kind=kind,
            entity=entity,
            asked=int(session.value(f"SELECT count(*) FROM {asked}")),
            found=int(rows[0][1]) if rows else 0,
            examples=tuple(str(key) for key, _ in rows),
        )


def _questions(session: Session, tomorrow: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the kind, the entity, the FROM clause of the rows asked, and the query of the keys `k` found."""
    account = "SELECT account_id AS k FROM account WHERE"
    moved = f"(SELECT DISTINCT account_id FROM {quoted('transaction')}) AS moved"
    closed = "account WHERE status = 'CLOSED'"
    dated = "opening_date IS NOT NULL AND closing_date IS NOT NULL"
    yield "balance_differs_from_last_balance_after", "account", moved, _not_the_last_balance(session)
    yield "balance_differs_from_sum_of_movements", "account", "account", _not_the_sum(session)
    yield "closed_with_balance", "account", closed, f"{account} status = 'CLOSED' AND balance <> 0"
    yield "closed_without_date", "account", closed, f"{account} status = 'CLOSED' AND closing_date IS NULL"
    yield "closing_before_opening", "account", f"account WHERE {dated}", f"{account} closing_date < opening_date"
    yield "duplicate_email", "customer", "customer WHERE email IS NOT NULL", _SHARED_EMAIL
    for entity, dates in _DATES.items():
        yield f"{entity}_in_the_future", entity, quoted(entity), _later(entity, dates, tomorrow)


_SHARED_EMAIL = (
    "SELECT customer_id AS k FROM customer WHERE email IN"
    " (SELECT email FROM customer WHERE email IS NOT NULL GROUP BY email HAVING count(*) > 1)"
)


_DATES = {
    "customer": ("created_at",),
    "account": ("opening_date", "closing_date"),
    "transaction": ("transaction_date",),
}


def _later(entity: str, dates: tuple[str, ...], tomorrow: str) -> str:
    later = " OR ".join(f"{date} >= {tomorrow}" for date in dates)
    return f"SELECT {key_of(entity)} AS k FROM {quoted(entity)} WHERE {later}"


def _not_the_last_balance(session: Session) -> str:
    """Return the query of the accounts whose balance is none that follows their last movement.

    Several movements may share the last moment, and nothing tells which came last: one that fits is enough.
    """
    balance, after = session.units("a.balance", CENTS), session.units("t.balance_after", CENTS)
    return (
        "SELECT a.account_id AS k FROM account AS a"
        f" JOIN (SELECT account_id, max(transaction_date) AS moment FROM {quoted('transaction')} GROUP BY account_id)"
        " AS latest ON latest.account_id = a.account_id"
        f" WHERE NOT EXISTS (SELECT 1 FROM {quoted('transaction')} AS t WHERE t.account_id = a.account_id"
        f" AND t.transaction_date = latest.moment AND {after} = {balance})"
    )


def _not_the_sum(session: Session) -> str:
    """Return the query of the accounts whose balance is not what their movements add up to; without any, that is 0."""
    balance, amount = session.units("a.balance", CENTS), session.units("t.amount", CENTS)
    signed = f"CASE WHEN t.transaction_type IN ('CREDIT', 'INTEREST') THEN {amount} ELSE -{amount} END"
    return (
        "SELECT a.account_id AS k FROM account AS a LEFT JOIN"
        f" (SELECT account_id, sum(cents / {_SPLIT}) AS high, sum(cents % {_SPLIT}) AS low"
        f" FROM (SELECT t.account_id, {signed} AS cents FROM {session.unindexed('transaction')}) AS movements"
        " GROUP BY account_id) AS total ON total.account_id = a.account_id"
        f" WHERE (coalesce(total.high, 0) - {balance} / {_SPLIT}) * {_SPLIT}"
        f" + coalesce(total.low, 0) - {balance} % {_SPLIT} <> 0"
    )
