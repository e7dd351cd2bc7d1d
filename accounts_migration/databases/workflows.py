"""What the users of the service do all day, asked of the target as the service asks it: by key and by index.

Here: the questions, their answers, how long each took, and the answers that are right. These come from another road:
tables read whole, without an index, and the migration's own books. So a damaged index, a row that is gone or came too
much, and an amount that was changed since the load are found. Not here: whether rows are what the source says
(`accounts_migration.reconciliation`).

Amounts are in cents. Names, e-mail addresses and phone numbers are not read.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from accounts_migration.databases.batches import month_bounds
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target_schema import CENTS

Answer = dict[str, int]
"""Numbers by name; amounts in cents."""

AMOUNTS = frozenset({"balances", "balance", "in", "out", "amounts"})
"""The numbers that are amounts."""

CUSTOMER, STATEMENT, BALANCE, TOTALS = "customer_with_accounts", "statement_of_a_month", "balance", "totals"

WORKFLOWS = {
    CUSTOMER: "The customer with the most accounts is found with all of them, their products and balances.",
    STATEMENT: "The statement of the account that moved most in the latest month has every line.",
    BALANCE: "The account with the largest balance is found by its number, with this balance.",
    TOTALS: "All balances and all amounts add up to what the migration recorded when it loaded them.",
}
"""The workflows in their order: name -> what must hold."""

_IN = ("CREDIT", "INTEREST")
# before all dates: where there is no transaction, nothing is asked
_NO_MONTH = ("1900-01-01", "1900-01-01")


@dataclass(frozen=True, slots=True)
class Workflow:
    """A question of the service: about what, the right answer, the answer, and the milliseconds it took."""

    name: str
    about: str
    expected: Answer
    found: Answer
    milliseconds: float

    @property
    def passed(self) -> bool:
        """Return whether the answer is the right one."""
        return self.expected == self.found


def workflows(session: Session) -> Iterator[Workflow]:
    """Ask the questions in the order of WORKFLOWS; where there is nothing to ask about, the answer is none."""
    yield _customer(session)
    yield _statement(session)
    yield _balance(session)
    yield _totals(session)


def _asked(name: str, about: str, expected: Answer, ask: Callable[[], Answer]) -> Workflow:
    started = time.monotonic()
    found = ask()
    return Workflow(name, about, expected, found, round((time.monotonic() - started) * 1000, 3))


def _customer(session: Session) -> Workflow:
    # an expression instead of the column: no index answers it
    [(customer, accounts, balances)] = session.execute(
        f"SELECT max(customer_id), count(*), {session.sums('balance', CENTS)} FROM account"
        " GROUP BY customer_id || '' ORDER BY 2 DESC, 1 LIMIT 1"
    ) or [("", 0, None)]

    def ask() -> Answer:
        rows = session.execute(
            f"SELECT a.account_id, p.product_name, {session.units('a.balance', CENTS)} FROM customer AS c"
            " JOIN account AS a ON a.customer_id = c.customer_id JOIN product AS p ON p.product_id = a.product_id"
            " WHERE c.customer_id = $1 ORDER BY a.account_id",
            (customer,),
        )
        return {"accounts": len(rows), "balances": sum(cents for _, _, cents in rows)}

    return _asked(CUSTOMER, customer, {"accounts": accounts, "balances": session.read_sum(balances)}, ask)


def _statement(session: Session) -> Workflow:
    # no index has the amount, so the table itself is read
    latest = f'SELECT {session.month("max(transaction_date)")} FROM "transaction" WHERE amount > 0'
    month = session.read_month(session.value(latest)) or ""
    first, following = (session.moment(f"'{day} 00:00:00'") for day in month_bounds(month) or _NO_MONTH)
    incoming = " OR ".join(f"transaction_type = '{kind}'" for kind in _IN)
    into_it = session.sums(f"CASE WHEN {incoming} THEN amount ELSE 0 END", CENTS)
    out_of_it = session.sums(f"CASE WHEN {incoming} THEN 0 ELSE amount END", CENTS)
    [(account, lines, into, out)] = session.execute(
        f'SELECT max(account_id), count(*), {into_it}, {out_of_it} FROM "transaction"'
        f" WHERE {session.month('transaction_date')} = {session.month(first)}"
        " GROUP BY account_id || '' ORDER BY 2 DESC, 1 LIMIT 1"
    ) or [("", 0, None, None)]

    def ask() -> Answer:
        rows = session.execute(
            f"SELECT t.transaction_type, {session.units('t.amount', CENTS)}, t.transaction_date"
            ' FROM account AS a JOIN "transaction" AS t ON t.account_id = a.account_id'
            f" WHERE a.account_id = $1 AND t.transaction_date >= {first} AND t.transaction_date < {following}"
            " ORDER BY t.transaction_date, t.transaction_id",
            (account,),
        )
        return {
            "lines": len(rows),
            "in": sum(cents for kind, cents, _ in rows if kind in _IN),
            "out": sum(cents for kind, cents, _ in rows if kind not in _IN),
        }

    expected = {"lines": lines, "in": session.read_sum(into), "out": session.read_sum(out)}
    return _asked(STATEMENT, f"{account} in {month}" if account else "", expected, ask)


def _balance(session: Session) -> Workflow:
    balance = session.units("balance", CENTS)
    [(account, cents)] = session.execute(
        f"SELECT account_id, {balance} FROM account ORDER BY abs({balance}) DESC, account_id || '' LIMIT 1"
    ) or [("", 0)]

    def ask() -> Answer:
        rows = session.execute(f"SELECT {balance} FROM account WHERE account_id = $1", (account,))
        return {"accounts": len(rows), "balance": sum(cents for (cents,) in rows)}

    return _asked(BALANCE, account, {"accounts": 1 if account else 0, "balance": cents}, ask)


def _totals(session: Session) -> Workflow:
    expected = {"accounts": 0, "balances": 0, "transactions": 0, "amounts": 0}
    names = {"account": ("accounts", "balances", "balance"), "transaction": ("transactions", "amounts", "amount")}
    books = (
        f"SELECT entity, loaded, control_totals FROM {session.books.batch}"
        " WHERE entity = 'account' OR entity = 'transaction'"
    )
    for entity, loaded, totals in session.execute(books):
        rows, sums, measure = names[entity]
        groups: dict[str, dict[str, Any]] = json.loads(totals)
        expected[rows] += loaded
        expected[sums] += sum(group[measure] for group in groups.values())

    def ask() -> Answer:
        found: Answer = {}
        for entity, (rows, sums, measure) in names.items():
            [(count, total)] = session.execute(f"SELECT count(*), {session.sums(measure, CENTS)} FROM {quoted(entity)}")
            found |= {rows: count, sums: session.read_sum(total)}
        return found

    return _asked(TOTALS, "all accounts and transactions", expected, ask)
