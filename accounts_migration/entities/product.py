"""What a correct product is (contract section 5, product).

Here: its schema, whose checks are named by the contract's reasons, and which legacy column becomes which target column.
Not here: how a value is read (`columns`), and how rows are judged by it (`cleaning`).
"""

import numpy as np
import pandera.pandas as pandera
import pyarrow as pa

from accounts_migration.entities import columns
from accounts_migration.entities.entity import Circumstances, Entity, LegacyChunk, ParsedChunk, ParsedField
from accounts_migration.entities.names import in_letter_case
from accounts_migration.entities.schemas import (
    DUPLICATE,
    at_least,
    faults,
    moment,
    required,
    text,
    whole_number,
)

_ACTIVE_CODES = dict.fromkeys(("1", "Y", "T", "TRUE"), "active")
_MONEY = ("MISSING_VALUE", "INVALID_NUMBER", "SUB_CENT", "OUT_OF_RANGE")

SCHEMA = pandera.DataFrameSchema(
    {
        f"{DUPLICATE}_fault": faults("DUPLICATE_KEY"),
        "product_id_fault": faults("MISSING_KEY", "INVALID_KEY"),
        "product_id": text(),
        "product_name_fault": faults("MISSING_VALUE", "INVALID_TEXT", "INVALID_ENCODING", "NUL_CHARACTER"),
        "product_name": text(),
        "product_type_fault": faults("MISSING_VALUE", "UNKNOWN_CODE"),
        "product_type": text(),
        "interest_rate_fault": faults(*_MONEY),
        "interest_rate": whole_number(),
        "transaction_fee_fault": faults(*_MONEY),
        "transaction_fee": whole_number(at_least(0, "OUT_OF_RANGE")),
        "monthly_fee_fault": faults(*_MONEY),
        "monthly_fee": whole_number(at_least(0, "OUT_OF_RANGE")),
        "min_balance_for_interest_fault": faults(*_MONEY),
        "min_balance_for_interest": whole_number(),
        "created_at": moment(),
    }
)


def parse(chunk: LegacyChunk, circumstances: Circumstances) -> ParsedChunk:
    """Parse legacy products into the columns of the target table `product`."""
    policies = circumstances.policies
    encoding = policies.legacy_encoding
    key = columns.entity_key(chunk.column("product_code"), encoding)
    name = in_letter_case(
        required(columns.name(chunk.column("product_description", as_written=True), encoding)), policies
    )
    active = columns.code(chunk.column("active", as_written=True), _ACTIVE_CODES, encoding)
    return ParsedChunk(
        fields=[
            ParsedField("product_id", "product_code", key.replaced(columns.padded_id("PROD-", key.values, 3))),
            ParsedField("product_name", "product_description", name),
            ParsedField(
                "product_type",
                "account_type",
                columns.code(chunk.column("account_type", as_written=True), policies.product_types, encoding),
            ),
            ParsedField("interest_rate", "int_rate", columns.rate(chunk.column("int_rate"), encoding)),
            ParsedField("transaction_fee", "debit_fee", columns.money(chunk.column("debit_fee"), encoding)),
            ParsedField("monthly_fee", "maint_fee", columns.money(chunk.column("maint_fee"), encoding)),
            ParsedField(
                "min_balance_for_interest",
                "min_bal_int",
                columns.money(chunk.column("min_bal_int"), encoding),
            ),
        ],
        constants={"created_at": pa.scalar(circumstances.snapshot_time, pa.timestamp("us"))},
        keys=key.values,
        inactive=("active", np.asarray(active.values.is_null())),
    )


PRODUCT = Entity(
    name="product",
    plural="products",
    legacy_table="legacy_products",
    legacy_columns=(
        "product_code", "product_description", "account_type", "int_rate", "debit_fee", "maint_fee", "min_bal_int",
        "active",
    ),
    schema=SCHEMA,
    parse=parse,
    parse_keys=columns.entity_key,
)  # fmt: skip
