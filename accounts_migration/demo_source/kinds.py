"""The kinds of rows that are planted, and what the migration must record of each.

Here: `KINDS`, built entity by entity, column by column. Not here: how many of them are planted, and where (`planting`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from accounts_migration.demo_source.tables import key_column
from accounts_migration.legacy_values import LegacyValue, UndecodableText

Row = dict[str, LegacyValue]
Change = LegacyValue | Callable[[Row], LegacyValue]
Action = Literal["rejected", "excluded", "repaired", "loaded"]
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
        return not self.of_row_before and key_column(self.entity) not in self.changes


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
