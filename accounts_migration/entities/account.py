"""What a correct account is (contract section 5, account).

Here: its schema, whose checks are named by the contract's reasons, and which legacy column becomes which target column.
Not here: how a value is read (`columns`), and how rows are judged by it (`cleaning`).
"""

import pandera.pandas as pandera
import pyarrow as pa

from accounts_migration.entities import columns
from accounts_migration.entities.entity import Circumstances, Entity, LegacyChunk, ParsedChunk, ParsedField
from accounts_migration.entities.schemas import DUPLICATE, day, faults, moment, text, whole_number

_KEY = ("MISSING_KEY", "INVALID_KEY")

SCHEMA = pandera.DataFrameSchema(
    {
        f"{DUPLICATE}_fault": faults("DUPLICATE_KEY"),
        "account_id_fault": faults(*_KEY),
        "account_id": text(),
        "customer_id_fault": faults(*_KEY),
        "customer_id": text(),
        "product_id_fault": faults(*_KEY),
        "product_id": text(),
        "status_fault": faults("MISSING_VALUE", "UNKNOWN_CODE"),
        "status": text(),
        "balance_fault": faults("MISSING_VALUE", "INVALID_NUMBER", "SUB_CENT", "OUT_OF_RANGE"),
        "balance": whole_number(),
        "opening_date_fault": faults("INVALID_DATE"),
        "opening_date": day(),
        "closing_date_fault": faults("INVALID_DATE"),
        "closing_date": day(),
        "created_at": moment(),
        "updated_at": moment(),
        "customer_fault": faults("ORPHAN", "PARENT_REJECTED"),
        "product_fault": faults("ORPHAN", "PARENT_REJECTED"),
    }
)


def parse(chunk: LegacyChunk, circumstances: Circumstances) -> ParsedChunk:
    """Parse legacy accounts into the columns of the target table `account`."""
    policies = circumstances.policies
    encoding, formats = policies.legacy_encoding, policies.date_formats
    key = columns.entity_key(chunk.column("account_number"), encoding)
    customer = columns.entity_key(chunk.column("customer_number"), encoding)
    product = columns.entity_key(chunk.column("product_code"), encoding)
    time = pa.scalar(circumstances.snapshot_time, pa.timestamp("us"))
    return ParsedChunk(
        fields=[
            ParsedField("account_id", "account_number", key.replaced(columns.padded_id("ACCT-", key.values, 8))),
            ParsedField(
                "customer_id",
                "customer_number",
                customer.replaced(columns.padded_id("CUST-", customer.values, 4)),
            ),
            ParsedField("product_id", "product_code", product.replaced(columns.padded_id("PROD-", product.values, 3))),
            ParsedField(
                "status",
                "account_status",
                columns.code(chunk.column("account_status", as_written=True), policies.account_statuses, encoding),
            ),
            ParsedField("balance", "current_balance", columns.money(chunk.column("current_balance"), encoding)),
            ParsedField(
                "opening_date",
                "open_date",
                columns.calendar_date(chunk.column("open_date"), formats, encoding),
            ),
            ParsedField(
                "closing_date",
                "close_date",
                columns.closing_date(chunk.column("close_date"), formats, encoding),
            ),
        ],
        constants={"created_at": time, "updated_at": time},
        parents={"customer": customer.values, "product": product.values},
        keys=key.values,
    )


ACCOUNT = Entity(
    name="account",
    plural="accounts",
    legacy_table="legacy_accounts",
    legacy_columns=(
        "account_number", "customer_number", "product_code", "account_status", "current_balance", "open_date",
        "close_date",
    ),
    schema=SCHEMA,
    parse=parse,
    parse_keys=columns.entity_key,
    parents={"customer": "customer_number", "product": "product_code"},
)  # fmt: skip
