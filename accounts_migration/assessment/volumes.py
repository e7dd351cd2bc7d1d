"""The guide's volumes: how many accounts and transactions there are, the total balance, the first and the last date.

Here: counting them in the snapshot (guide, "Assessment Phase"). Not here: what becomes of the rows (`dry_run`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from accounts_migration.databases.legacy_source import read_keys
from accounts_migration.databases.legacy_totals import source_totals
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.entities import ENTITIES, columns, values
from accounts_migration.entities.columns import ParsedColumn
from accounts_migration.entities.entity import LegacyChunk
from accounts_migration.entities.policies import Policies
from accounts_migration.resources import legacy_table


@dataclass(frozen=True, slots=True)
class Volumes:
    """Rows of the source as they stand, before any rule; `total_balance` in cents over the readable balances alone.

    `first_date` and `last_date` (ISO 8601) are those of the transactions whose date can be read; None without any.
    """

    source_sha256: str
    policies_digest: str
    products: int
    customers: int
    accounts: int
    active_accounts: int
    total_balance: int
    unreadable_balances: int
    transactions: int
    first_date: str | None
    last_date: str | None
    unreadable_dates: int


def count_volumes(snapshot: Snapshot, policies: Policies) -> Volumes:
    """Count the volumes; codes, amounts and dates are read as the cleaning reads them (contract section 4).

    Raises:
        MigrationError: The snapshot cannot be read.
    """
    rows = {name: snapshot.tables[entity.legacy_table].rows for name, entity in ENTITIES.items()}
    active = balance = readable = 0
    for total in source_totals(
        snapshot.path,
        legacy_table(ENTITIES["account"]),
        ["account_status"],
        ["current_balance"],
        lambda value: values.money(value, policies.legacy_encoding).value,
    ):
        status = values.code(total.codes[0], policies.account_statuses, policies.legacy_encoding).value
        active += total.rows if status == "ACTIVE" else 0
        balance += total.sums["current_balance"]
        readable += total.readable["current_balance"]
    dates = [
        (pc.min(date.values).as_py(), pc.max(date.values).as_py(), date.values.null_count)
        for date in _dates(snapshot, policies)
    ]
    found = [date for first, last, _ in dates for date in (first, last) if date is not None]
    return Volumes(
        source_sha256=snapshot.sha256,
        policies_digest=policies.digest,
        products=rows["product"],
        customers=rows["customer"],
        accounts=rows["account"],
        active_accounts=active,
        total_balance=balance,
        unreadable_balances=rows["account"] - readable,
        transactions=rows["transaction"],
        first_date=min(found).isoformat(sep=" ") if found else None,
        last_date=max(found).isoformat(sep=" ") if found else None,
        unreadable_dates=sum(unreadable for _, _, unreadable in dates),
    )


def _dates(snapshot: Snapshot, policies: Policies) -> Iterator[ParsedColumn]:
    entity, column = ENTITIES["transaction"], "trans_date"
    manifest = snapshot.tables[entity.legacy_table]
    for rows in read_keys(snapshot.path, legacy_table(entity), column, manifest.classes, manifest.row_id):
        chunk = LegacyChunk(rows, (column,), manifest.row_id is not None)
        yield columns.date_time(chunk.column(column), policies.date_formats, policies.legacy_encoding)
