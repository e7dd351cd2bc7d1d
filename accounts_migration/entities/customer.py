"""What a correct customer is (contract section 5, customer).

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
from accounts_migration.entities.names import in_letter_case
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.schemas import DUPLICATE, faults, moment, required, text
from accounts_migration.entities.values import REASONS

_ACTIVE_CODES = {"ACTIVE": "active"}
_TEXT = ("INVALID_TEXT", "INVALID_ENCODING", "NUL_CHARACTER")
_INVALID_EMAIL, _DEFAULTED, _MISSING = map(REASONS.index, ("INVALID_EMAIL", "DEFAULTED", "MISSING_VALUE"))

SCHEMA = pandera.DataFrameSchema(
    {
        f"{DUPLICATE}_fault": faults("DUPLICATE_KEY"),
        "customer_id_fault": faults("MISSING_KEY", "INVALID_KEY"),
        "customer_id": text(),
        "first_name_fault": faults("MISSING_VALUE", *_TEXT),
        "first_name": text(),
        "last_name_fault": faults("MISSING_VALUE", *_TEXT),
        "last_name": text(),
        "email_fault": faults("INVALID_EMAIL", *_TEXT),
        "email": text(nullable=True),
        "phone_fault": faults(*_TEXT),
        "phone": text(nullable=True),
        "created_at_fault": faults("INVALID_DATE"),
        "created_at": moment(),
    }
)


def parse(chunk: LegacyChunk, circumstances: Circumstances) -> ParsedChunk:
    """Parse legacy customers into the columns of the target table `customer`."""
    policies = circumstances.policies
    encoding = policies.legacy_encoding

    def name(column: str) -> ParsedColumn:
        return in_letter_case(required(columns.name(chunk.column(column, as_written=True), encoding)), policies)

    key = columns.entity_key(chunk.column("customer_number"), encoding)
    status = columns.code(chunk.column("status", as_written=True), _ACTIVE_CODES, encoding)
    return ParsedChunk(
        fields=[
            ParsedField("customer_id", "customer_number", key.replaced(columns.padded_id("CUST-", key.values, 4))),
            ParsedField("first_name", "first_name", name("first_name")),
            ParsedField("last_name", "last_name", name("last_name")),
            ParsedField(
                "email",
                "email_address",
                under_policy(columns.email(chunk.column("email_address", as_written=True), encoding), policies),
            ),
            ParsedField("phone", "phone_number", columns.name(chunk.column("phone_number", as_written=True), encoding)),
            ParsedField(
                "created_at",
                "created_date",
                _defaulted(
                    columns.date_time(chunk.column("created_date"), policies.date_formats, encoding),
                    circumstances,
                ),
            ),
        ],
        keys=key.values,
        inactive=("status", np.asarray(status.values.is_null())),
    )


def under_policy(email: ParsedColumn, policies: Policies) -> ParsedColumn:
    """Return the addresses with an invalid one loaded as NULL, recorded as repaired, where `invalid_email` says so."""
    if policies.invalid_email == "reject":
        return email
    invalid = email.faults == _INVALID_EMAIL
    return ParsedColumn(
        email.values,
        np.where(invalid, np.int8(0), email.faults),
        np.where(invalid, np.int8(_INVALID_EMAIL), email.repairs),
    )


def _defaulted(created: ParsedColumn, circumstances: Circumstances) -> ParsedColumn:
    """Return the dates with the snapshot's time where there was none, recorded as repaired."""
    missing = created.faults == _MISSING
    if not missing.any():
        return created
    time = pa.scalar(circumstances.snapshot_time, pa.timestamp("us"))
    return ParsedColumn(
        pc.if_else(pa.array(missing), time, created.values),
        np.where(missing, np.int8(0), created.faults),
        np.where(missing, np.int8(_DEFAULTED), created.repairs),
    )


CUSTOMER = Entity(
    name="customer",
    plural="customers",
    legacy_table="legacy_customers",
    legacy_columns=(
        "customer_number", "first_name", "last_name", "email_address", "phone_number", "created_date", "status",
    ),
    schema=SCHEMA,
    parse=parse,
    parse_keys=columns.entity_key,
)  # fmt: skip
