"""What is possible and yet strange in the target, counted by SQL (contract section 7, plausibility).

Here: the questions and the SQL that answers them in both engines, money in whole cents. Not here: what follows
from an answer (`accounts_migration.assets.plausibility`). Nothing of it is wrong by the rules: the rows were
moved as the source holds them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

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
    yield from _of_movements(session)
    for kind, entity, asked, query in _questions(f"'{as_of.date() + timedelta(days=1)}'"):
        rows = session.execute(_first(query))
        yield _finding(kind, entity, session.value(f"SELECT count(*) FROM {asked}"), rows)


def _first(query: str) -> str:
    """Return the query of the first keys `k` of another one, each with the number of all."""
    return f"SELECT q.k AS k, count(*) OVER () AS found FROM ({query}) AS q ORDER BY 1 LIMIT {EXAMPLES}"


def _finding(kind: str, entity: str, asked: Any, rows: Sequence[Sequence[Any]]) -> Finding:
    """Return the answer, from the rows of `_first`."""
    found = int(rows[0][1]) if rows else 0
    return Finding(kind, entity, int(asked), found, tuple(str(key) for key, _ in rows))


def _of_movements(session: Session) -> Iterator[Finding]:
    """Answer both questions on the movements of an account by one statement, which goes through them once."""
    questions = {
        "balance_differs_from_last_balance_after": ("moved", _not_the_last_balance(session)),
        "balance_differs_from_sum_of_movements": ("account", _not_the_sum(session)),
    }
    parts = []
    for kind, (asked, query) in questions.items():
        parts.append(f"SELECT '{kind}', 0, '', count(*) FROM {asked}")
        parts.append(f"SELECT '{kind}', 1, f.k, f.found FROM ({_first(query)}) AS f")
    rows = session.execute(
        f"WITH moved AS MATERIALIZED ({_moved(session)}) {' UNION ALL '.join(parts)} ORDER BY 1, 2, 3"
    )
    for kind in questions:
        (_, asked), *found = [(key, number) for name, _, key, number in rows if name == kind]
        yield _finding(kind, "account", asked, found)


def _moved(session: Session) -> str:
    """Return the query of each account that was moved: its last moment, and what all movements come to, in cents."""
    amount = session.units("t.amount", CENTS)
    signed = f"CASE WHEN t.transaction_type IN ('CREDIT', 'INTEREST') THEN {amount} ELSE -{amount} END"
    return (
        f"SELECT m.account_id AS account_id, max(m.moment) AS moment,"
        f" sum(m.cents / {_SPLIT}) AS high, sum(m.cents % {_SPLIT}) AS low"
        f" FROM (SELECT t.account_id, t.transaction_date AS moment, {signed} AS cents"
        f" FROM {session.unindexed('transaction')}) AS m GROUP BY m.account_id"
    )


def _questions(tomorrow: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the kind, the entity, the FROM clause of the rows asked, and the query of the keys `k` found."""
    account = "SELECT account_id AS k FROM account WHERE"
    closed = "account WHERE status = 'CLOSED'"
    dated = "opening_date IS NOT NULL AND closing_date IS NOT NULL"
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
        "SELECT a.account_id AS k FROM account AS a JOIN moved ON moved.account_id = a.account_id"
        f" WHERE NOT EXISTS (SELECT 1 FROM {quoted('transaction')} AS t WHERE t.account_id = a.account_id"
        f" AND t.transaction_date = moved.moment AND {after} = {balance})"
    )


def _not_the_sum(session: Session) -> str:
    """Return the query of the accounts whose balance is not what their movements add up to; without any, that is 0."""
    balance = session.units("a.balance", CENTS)
    return (
        "SELECT a.account_id AS k FROM account AS a LEFT JOIN moved ON moved.account_id = a.account_id"
        f" WHERE (coalesce(moved.high, 0) - {balance} / {_SPLIT}) * {_SPLIT}"
        f" + coalesce(moved.low, 0) - {balance} % {_SPLIT} <> 0"
    )
