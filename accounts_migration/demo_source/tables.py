"""The four legacy tables as an old system declared them.

Here: their columns and types. Not here: what stands in them (`bank`, `movements`).
"""

from collections.abc import Mapping
from types import MappingProxyType

LEGACY_TABLES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "product": {
            "product_code": "INTEGER",
            "product_description": "VARCHAR(60)",
            "account_type": "CHAR(3)",
            "int_rate": "REAL",
            "debit_fee": "DECIMAL(10,2)",
            "maint_fee": "DECIMAL(10,2)",
            "min_bal_int": "DECIMAL(15,2)",
            "active": "SMALLINT",
        },
        "customer": {
            "customer_number": "INTEGER",
            "first_name": "VARCHAR(40)",
            "last_name": "VARCHAR(40)",
            "email_address": "VARCHAR(80)",
            "phone_number": "VARCHAR(20)",
            "created_date": "DATE",
            "status": "VARCHAR(10)",
        },
        "account": {
            "account_number": "INTEGER",
            "customer_number": "INTEGER",
            "product_code": "INTEGER",
            "account_status": "CHAR(1)",
            "current_balance": "DECIMAL(15,2)",
            "open_date": "DATE",
            "close_date": "DATE",
        },
        "transaction": {
            "trans_id": "INTEGER",
            "account_number": "INTEGER",
            "trans_type": "CHAR(2)",
            "trans_amount": "DECIMAL(15,2)",
            "balance_after": "DECIMAL(15,2)",
            "description": "VARCHAR(200)",
            "trans_date": "DATETIME",
        },
    }
)
"""Entity -> columns of its legacy table (contract section 2) with the types an old system declared."""


def key_column(entity: str) -> str:
    """Return the legacy column that holds the entity's key."""
    return next(iter(LEGACY_TABLES[entity]))
