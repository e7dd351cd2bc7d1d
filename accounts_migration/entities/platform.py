"""What a correct row is when an Account Processing System is copied to another database (contract sections 4 to 6).

Here: the same four entities, read from the tables of section 6 instead of the legacy ones. What the service wrote
arrives as it was written: no letter case, no trimming, no id made anew. A value that the target's column cannot hold is
a defect with the reason that section 4 gives it. Not here: the legacy tables (the entities' own files), how a value is
read (`columns`), and how rows are judged (`cleaning`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.entities import account, columns, customer, product, transaction
from accounts_migration.entities.columns import LegacyColumn, ParsedColumn
from accounts_migration.entities.entity import Circumstances, Entity, LegacyChunk, ParsedChunk, ParsedField
from accounts_migration.entities.keys import numbered
from accounts_migration.entities.policies import (
    ACCOUNT_STATUSES,
    PRODUCT_TYPES,
    TRANSACTION_TYPES,
    Policies,
    of_targets,
)
from accounts_migration.entities.schemas import FAULT_SUFFIX, at_least, faults, required, whole_number
from accounts_migration.entities.values import BLANKS

_PREFIX = {"product": "PROD-", "customer": "CUST-", "account": "ACCT-", "transaction": "TXN-"}
# behind the prefix: at least so many characters, in digits where the migration made the id
_SHORTEST = {"product": 3, "customer": 4, "account": 8, "transaction": 1}
_LONGEST_TRANSACTION_ID = 68

Codes = Mapping[str, str]


_TYPES_OF_PRODUCT, _STATUSES, _TYPES = map(of_targets, (PRODUCT_TYPES, ACCOUNT_STATUSES, TRANSACTION_TYPES))


class _Row:
    """The columns of a chunk, each read as the kind that the target holds."""

    def __init__(self, chunk: LegacyChunk, policies: Policies) -> None:
        self._chunk, self._policies = chunk, policies
        self._encoding = policies.legacy_encoding

    def id_of(self, entity: str) -> ParsedField:
        name = f"{entity}_id"
        return ParsedField(name, name, _identifier(entity, self._chunk.column(name), self._encoding))

    def text(self, name: str) -> ParsedField:
        """Read a text that must not be empty."""
        found = columns.text(self._chunk.column(name, as_written=True), self._encoding)
        empty = pc.equal(found.values, "").fill_null(False)
        return ParsedField(
            name, name, required(found.replaced(pc.if_else(empty, pa.scalar(None, pa.string()), found.values)))
        )

    def phone(self) -> ParsedField:
        """Read a text whose blanks are NULL, which is normalisation (contract section 1)."""
        found = columns.text(self._chunk.column("phone", as_written=True), self._encoding)
        blank = pc.equal(pc.utf8_trim(found.values, BLANKS), "").fill_null(False)
        return ParsedField(
            "phone", "phone", found.replaced(pc.if_else(blank, pa.scalar(None, pa.string()), found.values))
        )

    def email(self) -> ParsedField:
        found = columns.written_email(self._chunk.column("email", as_written=True), self._encoding)
        return ParsedField("email", "email", customer.under_policy(found, self._policies))

    def code(self, name: str, codes: Codes) -> ParsedField:
        found = columns.code(self._chunk.column(name, as_written=True), codes, self._encoding)
        return ParsedField(name, name, found)

    def money(self, name: str) -> ParsedField:
        return ParsedField(name, name, columns.money(self._chunk.column(name), self._encoding))

    def rate(self, name: str) -> ParsedField:
        return ParsedField(name, name, columns.rate(self._chunk.column(name), self._encoding))

    def moment(self, name: str) -> ParsedField:
        found = columns.date_time(self._chunk.column(name), self._policies.date_formats, self._encoding)
        return ParsedField(name, name, found)

    def day(self, name: str) -> ParsedField:
        found = columns.calendar_date(self._chunk.column(name), self._policies.date_formats, self._encoding)
        return ParsedField(name, name, found)

    def reference(self) -> ParsedField:
        found = columns.description(self._chunk.column("reference", as_written=True), self._encoding)
        return ParsedField("reference", "reference", found)


def _identifier(entity: str, column: LegacyColumn, encoding: str) -> ParsedColumn:
    prefix = _PREFIX[entity]
    longest = _LONGEST_TRANSACTION_ID if entity == "transaction" else None
    return columns.identifier(column, prefix, len(prefix) + _SHORTEST[entity], longest, encoding)


def _numbers(field: ParsedField, entity: str) -> pa.Int64Array:
    return numbered(field.column.values, _PREFIX[entity], _SHORTEST[entity])


def _parse_product(chunk: LegacyChunk, circumstances: Circumstances) -> ParsedChunk:
    row = _Row(chunk, circumstances.policies)
    key = row.id_of("product")
    fields = [
        key,
        row.text("product_name"),
        row.code("product_type", _TYPES_OF_PRODUCT),
        row.rate("interest_rate"),
        row.money("transaction_fee"),
        row.money("monthly_fee"),
        row.money("min_balance_for_interest"),
        row.moment("created_at"),
    ]
    return ParsedChunk(fields, keys=_numbers(key, "product"))


def _parse_customer(chunk: LegacyChunk, circumstances: Circumstances) -> ParsedChunk:
    row = _Row(chunk, circumstances.policies)
    key = row.id_of("customer")
    fields = [
        key,
        row.text("first_name"),
        row.text("last_name"),
        row.email(),
        row.phone(),
        row.moment("created_at"),
    ]
    return ParsedChunk(fields, keys=_numbers(key, "customer"))


def _parse_account(chunk: LegacyChunk, circumstances: Circumstances) -> ParsedChunk:
    row = _Row(chunk, circumstances.policies)
    key, customer_id, product_id = row.id_of("account"), row.id_of("customer"), row.id_of("product")
    fields = [
        key,
        customer_id,
        product_id,
        row.code("status", _STATUSES),
        row.money("balance"),
        row.day("opening_date"),
        row.day("closing_date"),
        row.moment("created_at"),
        row.moment("updated_at"),
    ]
    parents = {"customer": _numbers(customer_id, "customer"), "product": _numbers(product_id, "product")}
    return ParsedChunk(fields, parents=parents, keys=_numbers(key, "account"))


def _parse_transaction(chunk: LegacyChunk, circumstances: Circumstances) -> ParsedChunk:
    row = _Row(chunk, circumstances.policies)
    account_id = row.id_of("account")
    fields = [
        row.id_of("transaction"),
        account_id,
        row.code("transaction_type", _TYPES),
        row.money("amount"),
        row.money("balance_after"),
        row.reference(),
        row.moment("transaction_date"),
    ]
    return ParsedChunk(fields, parents={"account": _numbers(account_id, "account")})


_REQUIRED_MOMENT = faults("MISSING_VALUE", "INVALID_DATE")
_NOT_ZERO = pandera.Check(lambda cents: cents != 0, name="ZERO_AMOUNT")


def _schema(of_legacy: pandera.DataFrameSchema, **changed: pandera.Column) -> pandera.DataFrameSchema:
    """Return the schema of a legacy entity with some columns judged otherwise, in the same order.

    What the migration sets itself (`created_at`) is a source's value here, so it has verdicts beside it.
    """
    judged: dict[str, pandera.Column] = {}
    for name, column in of_legacy.columns.items():
        if name in ("created_at", "updated_at"):
            judged[name + FAULT_SUFFIX] = _REQUIRED_MOMENT
        judged[name] = changed.get(name, column)
    return pandera.DataFrameSchema(judged)


def _entity(
    of_legacy: Entity,
    parse: Callable[[LegacyChunk, Circumstances], ParsedChunk],
    schema: pandera.DataFrameSchema,
    batch_column: str | None = None,
) -> Entity:
    name = of_legacy.name
    entity = replace(
        of_legacy,
        origin="platform",
        legacy_table=name,
        schema=schema,
        parse=parse,
        parse_keys=lambda column, encoding: _identifier(name, column, encoding),
        parents={parent: f"{parent}_id" for parent in of_legacy.parents},
        batch_column=batch_column,
    )
    return replace(entity, legacy_columns=tuple(entity.target_columns))


_OF_TRANSACTION = {name: column for name, column in transaction.SCHEMA.columns.items() if name != "signed_credit"}

PLATFORM_PRODUCT = _entity(product.PRODUCT, _parse_product, _schema(product.SCHEMA))
PLATFORM_CUSTOMER = _entity(customer.CUSTOMER, _parse_customer, _schema(customer.SCHEMA))
PLATFORM_ACCOUNT = _entity(account.ACCOUNT, _parse_account, _schema(account.SCHEMA))
PLATFORM_TRANSACTION = _entity(
    transaction.TRANSACTION,
    _parse_transaction,
    _schema(
        pandera.DataFrameSchema(_OF_TRANSACTION),
        amount=whole_number(_NOT_ZERO, at_least(0, "OUT_OF_RANGE")),
    ),
    batch_column="transaction_date",
)
