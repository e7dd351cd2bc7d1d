"""Which legacy column becomes which target column, and of which kind it is (contract sections 2, 5 and 6).

Here: the four entities as this account knows them, written out from the contract. Not here: how a cell is read
(`cells`, `columns`), and what is judged over whole rows (`reading`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from accounts_migration.databases.legacy_source import LegacyTable
from accounts_migration.databases.snapshot_rows import Cell
from accounts_migration.second_reading import cells, columns
from accounts_migration.second_reading.cells import Reading, Rules
from accounts_migration.second_reading.columns import MOMENT, Column, Read

REPAIRS = ("TRUNCATED", "DEFAULTED", "SENTINEL_DATE")

Fast = Callable[[pa.Array], Column]

CODES: Mapping[str, Mapping[str, str]] = {
    "product_type": {"CHK": "CHECKING", "CUR": "CURRENT"},
    "account_status": {"A": "ACTIVE", "C": "CLOSED"},
    "transaction_type": {"CR": "CREDIT", "DR": "DEBIT", "FE": "FEE", "IN": "INTEREST"},
}
_ACTIVE_PRODUCT = dict.fromkeys(("1", "Y", "T", "TRUE"), "active")
_ACTIVE_CUSTOMER = {"ACTIVE": "active"}
NEVER_NEGATIVE = ("CREDIT", "INTEREST")


@dataclass(frozen=True, slots=True)
class Field:
    """One target column.

    Args:
        target: Its name.
        legacy: The legacy column.
        read: Reads one cell.
        type_: The type of what is read.
        fast: Reads the certain ones of a whole column.
        prefix: What stands before a key in the target.
        width: The fewest digits of a key.
        as_written: Whether 5 and 5.0 differ.
    """

    target: str
    legacy: str
    read: Read
    type_: pa.DataType
    fast: Fast = columns.uncertain
    prefix: str = ""
    width: int = 0
    as_written: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """One entity.

    Args:
        name: The target table.
        table: The legacy table.
        fields: The columns read from it, in the order of section 5, the key first.
        times: The columns that hold the snapshot's time.
        parents: Parent entity -> the field that refers to it.
        active: The legacy column that says whether a row is active, and the reader of what it says.
    """

    name: str
    table: LegacyTable
    fields: tuple[Field, ...]
    times: tuple[str, ...] = ()
    parents: Mapping[str, str] | None = None
    active: tuple[str, Read] | None = None

    @property
    def key(self) -> Field:
        """The field of the key."""
        return self.fields[0]


def forms(rules: Rules) -> dict[str, Form]:
    """Return the four entities under these policies, parents before children."""
    return {form.name: form for form in (_product(rules), _customer(rules), _account(rules), _transaction(rules))}


def _key(target: str, legacy: str, prefix: str, width: int, rules: Rules) -> Field:
    read = partial(cells.entity_key, rules=rules)
    return Field(target, legacy, read, pa.int64(), columns.entity_keys, prefix, width)


def _code(target: str, legacy: str, kind: str, rules: Rules) -> Field:
    known = {**rules.codes.get(kind, {}), **CODES[kind]}
    return Field(target, legacy, partial(cells.code, known=known, rules=rules), pa.string())


def _money(target: str, legacy: str, rules: Rules) -> Field:
    return Field(target, legacy, partial(cells.money, rules=rules), pa.int64(), columns.cents)


def _text(target: str, legacy: str, read: Callable[..., Reading], fast: Fast, rules: Rules) -> Field:
    return Field(target, legacy, partial(read, rules=rules), pa.string(), fast, as_written=True)


def _dated(fast: Callable[..., Column], rules: Rules) -> Fast:
    return partial(fast, formats=rules.date_formats)


def _day(target: str, legacy: str, read: Callable[..., Reading], rules: Rules) -> Field:
    return Field(target, legacy, partial(read, rules=rules), pa.date32(), _dated(columns.days, rules))


def _product(rules: Rules) -> Form:
    def number(target: str, legacy: str, read: Callable[..., Reading]) -> Field:
        return Field(target, legacy, partial(read, rules=rules), pa.int64())

    return Form(
        name="product",
        table=LegacyTable(
            "legacy_products",
            ("product_code", "product_description", "account_type", "int_rate", "debit_fee", "maint_fee",
             "min_bal_int", "active"),
        ),
        fields=(
            _key("product_id", "product_code", "PROD-", 3, rules),
            _text("product_name", "product_description", cells.name, columns.uncertain, rules),
            _code("product_type", "account_type", "product_type", rules),
            number("interest_rate", "int_rate", cells.rate),
            number("transaction_fee", "debit_fee", cells.fee),
            number("monthly_fee", "maint_fee", cells.fee),
            _money("min_balance_for_interest", "min_bal_int", rules),
        ),
        times=("created_at",),
        active=("active", partial(cells.code, known=_ACTIVE_PRODUCT, rules=rules)),
    )  # fmt: skip


def _customer(rules: Rules) -> Form:
    return Form(
        name="customer",
        table=LegacyTable(
            "legacy_customers",
            ("customer_number", "first_name", "last_name", "email_address", "phone_number", "created_date", "status"),
        ),
        fields=(
            _key("customer_id", "customer_number", "CUST-", 4, rules),
            _text("first_name", "first_name", cells.name, columns.uncertain, rules),
            _text("last_name", "last_name", cells.name, columns.uncertain, rules),
            _text("email", "email_address", cells.email, columns.addresses, rules),
            _text("phone", "phone_number", cells.text, columns.texts, rules),
            Field("created_at", "created_date", partial(_created, rules=rules), MOMENT, _dated(columns.moments, rules)),
        ),
        active=("status", partial(cells.code, known=_ACTIVE_CUSTOMER, rules=rules)),
    )


def _created(cell: Cell, rules: Rules) -> Reading:
    reading = cells.moment(cell, rules)
    return Reading(None, "DEFAULTED") if reading.finding == "MISSING_VALUE" else reading


def _account(rules: Rules) -> Form:
    return Form(
        name="account",
        table=LegacyTable(
            "legacy_accounts",
            ("account_number", "customer_number", "product_code", "account_status", "current_balance", "open_date",
             "close_date"),
        ),
        fields=(
            _key("account_id", "account_number", "ACCT-", 8, rules),
            _key("customer_id", "customer_number", "CUST-", 4, rules),
            _key("product_id", "product_code", "PROD-", 3, rules),
            _code("status", "account_status", "account_status", rules),
            _money("balance", "current_balance", rules),
            _day("opening_date", "open_date", cells.day, rules),
            _day("closing_date", "close_date", cells.closing_day, rules),
        ),
        times=("created_at", "updated_at"),
        parents={"customer": "customer_id", "product": "product_id"},
    )  # fmt: skip


def _transaction(rules: Rules) -> Form:
    key = partial(cells.transaction_key, rules=rules)
    moment = partial(cells.moment, rules=rules)
    return Form(
        name="transaction",
        table=LegacyTable(
            "legacy_transactions",
            ("trans_id", "account_number", "trans_type", "trans_amount", "balance_after", "description", "trans_date"),
            "trans_date",
        ),
        fields=(
            Field("transaction_id", "trans_id", key, pa.string(), columns.transaction_keys, "TXN-"),
            _key("account_id", "account_number", "ACCT-", 8, rules),
            _code("transaction_type", "trans_type", "transaction_type", rules),
            _money("amount", "trans_amount", rules),
            _money("balance_after", "balance_after", rules),
            _text("reference", "description", cells.description, columns.descriptions, rules),
            Field("transaction_date", "trans_date", moment, MOMENT, _dated(columns.moments, rules)),
        ),
        parents={"account": "account_id"},
    )
