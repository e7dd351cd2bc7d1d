"""What a correct transaction is (contract section 5, transaction).

Here: its schema, whose checks are named by the contract's reasons, and which legacy column becomes which target column.
Not here: how a value is read (`columns`), and how rows are judged by it (`cleaning`).
"""

import numpy as np
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.entities import columns
from accounts_migration.entities.columns import ParsedColumn
from accounts_migration.entities.entity import Circumstances, Entity, LegacyChunk, ParsedChunk, ParsedField
from accounts_migration.entities.schemas import DUPLICATE, faults, moment, text, whole_number

_KEY = ("MISSING_KEY", "INVALID_KEY")
_MONEY = ("MISSING_VALUE", "INVALID_NUMBER", "SUB_CENT", "OUT_OF_RANGE")
_NEVER_NEGATIVE = pa.array(["CREDIT", "INTEREST"])

SCHEMA = pandera.DataFrameSchema(
    {
        f"{DUPLICATE}_fault": faults("DUPLICATE_KEY"),
        "transaction_id_fault": faults(*_KEY),
        "transaction_id": text(),
        "account_id_fault": faults(*_KEY),
        "account_id": text(),
        "transaction_type_fault": faults("MISSING_VALUE", "UNKNOWN_CODE"),
        "transaction_type": text(),
        "amount_fault": faults(*_MONEY),
        "amount": whole_number(pandera.Check(lambda cents: cents > 0, name="ZERO_AMOUNT")),
        "signed_credit": whole_number(
            pandera.Check(lambda cents: cents >= 0, name="SIGN_CONFLICT"), nullable=True, required=False
        ),
        "balance_after_fault": faults(*_MONEY),
        "balance_after": whole_number(),
        "reference_fault": faults("INVALID_TEXT", "INVALID_ENCODING", "NUL_CHARACTER"),
        "reference": text(),
        "transaction_date_fault": faults("MISSING_VALUE", "INVALID_DATE"),
        "transaction_date": moment(),
        "account_fault": faults("ORPHAN", "PARENT_REJECTED"),
    }
)


def parse(chunk: LegacyChunk, circumstances: Circumstances) -> ParsedChunk:
    """Parse legacy transactions into the columns of the target table `transaction`."""
    policies = circumstances.policies
    encoding = policies.legacy_encoding
    key = columns.transaction_key(chunk.column("trans_id"), encoding)
    account = columns.entity_key(chunk.column("account_number"), encoding)
    kind = columns.code(chunk.column("trans_type", as_written=True), policies.transaction_types, encoding)
    signed = columns.money(chunk.column("trans_amount"), encoding)
    date = columns.date_time(chunk.column("trans_date"), policies.date_formats, encoding)
    return ParsedChunk(
        fields=[
            ParsedField("transaction_id", "trans_id", key.replaced(columns.prefixed_id("TXN-", key.values))),
            ParsedField(
                "account_id",
                "account_number",
                account.replaced(columns.padded_id("ACCT-", account.values, 8)),
            ),
            ParsedField("transaction_type", "trans_type", kind),
            ParsedField("amount", "trans_amount", signed.replaced(pc.abs(signed.values))),
            ParsedField("balance_after", "balance_after", columns.money(chunk.column("balance_after"), encoding)),
            ParsedField(
                "reference",
                "description",
                columns.description(chunk.column("description", as_written=True), encoding),
            ),
            ParsedField("transaction_date", "trans_date", date),
        ],
        parents={"account": account.values},
        checked=[ParsedField("signed_credit", "trans_amount", _signed_credit(kind, signed))],
    )


def _signed_credit(kind: ParsedColumn, signed: ParsedColumn) -> ParsedColumn:
    """Return the amounts (cents) with their sign on types that are never negative, NULL on the others."""
    never_negative = pc.is_in(kind.values, _NEVER_NEGATIVE)
    values = pc.if_else(never_negative, signed.values, pa.scalar(None, pa.int64()))
    none = np.zeros(len(values), np.int8)
    return ParsedColumn(values, none, none)


TRANSACTION = Entity(
    name="transaction",
    plural="transactions",
    legacy_table="legacy_transactions",
    legacy_columns=(
        "trans_id", "account_number", "trans_type", "trans_amount", "balance_after", "description", "trans_date",
    ),
    schema=SCHEMA,
    parse=parse,
    parse_keys=columns.transaction_key,
    parents={"account": "account_number"},
    batch_column="trans_date",
)  # fmt: skip
