"""Values that the cleaning gets wrong where all else agrees, all of them in one migration."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from accounts_migration.entities import ENTITIES, columns, policies
from accounts_migration.entities.cleaning import Cleaned, clean
from accounts_migration.entities.columns import ParsedColumn
from accounts_migration_tests.reconciliation.validating import (
    SECOND_READING,
    Checks,
    Named,
    different,
    evaluations,
    failed,
    named,
    stands_on_one_side,
)

ADDITIONAL: dict[str, list[tuple[Any, ...]]] = {
    "legacy_products": [(4, "ZQ GOLD", "CHK", 2.25, 4.44, 5.55, 777.7, 1)],
    "legacy_customers": [(5, "ZQMARY-ANN", "Zqeve", "ZQ.five@example.com", "555 ZQ5", "2021-03-04", "ACTIVE")],
    "legacy_accounts": [
        (5, 5, 4, "A", 12.12, "2021-05-06", "2022-01-02"),
        (6, 5, 4, "A", -12.12, "2021-05-07", None),
        (7, 1, 1, "A", 0, "2021-05-08", None),
    ],
    "legacy_transactions": [
        (12, 5, "DR", 1, 13.13, "zq", "2024-03-07 08:00:00"),
        (13, 5, "DR", 1, -13.13, "zq cut reference", "2024-03-09"),
        (14, 1, "DR", 1, 5, "zq", "2024-03-10"),
        (15, 5, "DR", 2, 5, "zq", "2024-02-30"),
        (16, 5, "DR", 2, 5, "zq", "2024-02-28"),
    ],
}

MISREAD: dict[str, dict[Any, Any]] = {
    "title_case_column": {"Zqmary-Ann": "Zqmary-ann"},
    "name": {"555 ZQ5": "555ZQ5"},
    "email": {"zq.five@example.com": "ZQ.five@example.com"},
    "rate": {2_250_000: 225_000},
    "money": {444: 445, 555: 565, 77_770: 77_700, 1212: -1212, -1212: 1212, 1313: -1313, -1313: 1313},
    "date_time": {
        datetime(2021, 3, 4): datetime(2021, 4, 3),
        datetime(2024, 3, 7, 8): datetime(2024, 3, 8, 8),
    },
    "calendar_date": {date(2021, 5, 6): date(2021, 6, 5)},
    "closing_date": {date(2022, 1, 2): date(2022, 2, 1)},
    "description": {"zq cut reference": "zq cut referenc"},
}
"""Parser of the cleaning -> values that it reads and what it makes of them."""

REPLACED: dict[str, list[tuple[str, str, Any]]] = {
    "product": [("PROD-004", "created_at", datetime(2021, 1, 1))],
    "account": [
        ("ACCT-00000006", "customer_id", "CUST-0001"),
        ("ACCT-00000007", "product_id", "PROD-002"),
        ("ACCT-00000007", "updated_at", datetime(2021, 1, 1)),
    ],
    "transaction": [("TXN-14", "account_id", "ACCT-00000003"), ("TXN-16", "transaction_id", "TXN-15")],
}
"""Entity -> (key, column, value) that the cleaning puts in place of the right one."""

PLANTED = {
    "letter case": [different("CUST-0005", "first_name", "xxxxxx-xxx", "xxxxxx-xxx")],
    "a phone number": [different("CUST-0005", "phone", "999 xx9", "999xx9")],
    "an e-mail address": [different("CUST-0005", "email", "xx.xxxx@xxxxxxx.xxx", "xx.xxxx@xxxxxxx.xxx")],
    "a rate": [different("PROD-004", "interest_rate", "2.250000", "0.225000")],
    "fees": [
        different("PROD-004", "transaction_fee", "4.44", "4.45"),
        different("PROD-004", "monthly_fee", "5.55", "5.65"),
    ],
    "the least balance": [different("PROD-004", "min_balance_for_interest", "777.70", "777.00")],
    "the sign of two balances": [
        different("ACCT-00000005", "balance", "12.12", "-12.12"),
        different("ACCT-00000006", "balance", "-12.12", "12.12"),
        different("TXN-12", "balance_after", "13.13", "-13.13"),
        different("TXN-13", "balance_after", "-13.13", "13.13"),
    ],
    "a date read as another": [
        different("CUST-0005", "created_at", "2021-03-04 00:00:00", "2021-04-03 00:00:00"),
        different("ACCT-00000005", "opening_date", "2021-05-06", "2021-06-05"),
        different("ACCT-00000005", "closing_date", "2022-01-02", "2022-02-01"),
        different("TXN-12", "transaction_date", "2024-03-07 08:00:00", "2024-03-08 08:00:00"),
    ],
    "a reference cut": [different("TXN-13", "reference", "xx xxx xxxxxxxxx", "xx xxx xxxxxxxx")],
    "the time of the snapshot": [
        different("PROD-004", "created_at", "TAKEN", "2021-01-01 00:00:00"),
        different("ACCT-00000007", "updated_at", "TAKEN", "2021-01-01 00:00:00"),
    ],
    "a parent that is another's": [
        different("ACCT-00000006", "customer_id", "CUST-0005", "CUST-0001"),
        different("ACCT-00000007", "product_id", "PROD-001", "PROD-002"),
        different("TXN-14", "account_id", "ACCT-00000001", "ACCT-00000003"),
    ],
    "a code": [different("TXN-3", "transaction_type", "FEE", "DEBIT")],
    "errors that cancel each other out": [
        stands_on_one_side("MISSING_IN_TARGET", "TXN-16"),
        stands_on_one_side("UNEXPECTED_IN_TARGET", "TXN-15"),
        stands_on_one_side("MISSING_IN_TARGET", "row 16 rejected INVALID_DATE"),
        stands_on_one_side("UNEXPECTED_IN_TARGET", "row 17 rejected INVALID_DATE"),
    ],
}


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put every fault into the cleaning."""
    for parser, wrong in MISREAD.items():
        monkeypatch.setattr(columns, parser, misreading(getattr(columns, parser), wrong))
    monkeypatch.setattr("accounts_migration.assets.judging.clean", cleaning_wrongly)
    monkeypatch.setattr(policies, "TRANSACTION_TYPES", {**policies.TRANSACTION_TYPES, "FE": "DEBIT"})


def misreading(read: Callable[..., Any], wrong: Mapping[Any, Any]) -> Callable[..., Any]:
    def reading(*arguments: Any, **more: Any) -> Any:
        parsed = read(*arguments, **more)
        right = parsed.values if isinstance(parsed, ParsedColumn) else parsed
        values = pa.array([wrong.get(value, value) for value in right.to_pylist()], right.type)
        return parsed.replaced(values) if isinstance(parsed, ParsedColumn) else values

    return reading


def cleaning_wrongly(entity: Any, *arguments: Any) -> Cleaned:
    cleaned = clean(entity, *arguments)
    rows, defects = cleaned.rows.to_pylist(), cleaned.defects.to_pylist()
    for row in rows:
        for key, column, value in REPLACED.get(entity.name, []):
            if row[f"{entity.name}_id"] == key:
                row[column] = value
    for record in defects:
        if record["entity"] == "transaction" and record["source_key"] == "15":
            whole = json.loads(record["source_row"]) | {"trans_id": 16, "trans_date": "2024-02-28"}
            record |= {"source_key": "16", "source_row_id": 17, "old_value": "2024-02-28"}
            record["source_row"] = json.dumps(whole)
    return dataclasses.replace(
        cleaned,
        rows=pa.Table.from_pylist(rows, cleaned.rows.schema),
        defects=pa.Table.from_pylist(defects, cleaned.defects.schema),
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def planted(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
    new_legacy_rows: Callable[[], dict[str, list[tuple[Any, ...]]]],
    instance: dg.DagsterInstance,
) -> Checks:
    """Migrate and verify with all the faults planted, once for each engine."""
    folder = tmp_path_factory.mktemp("planted")
    url = new_target(request.param, folder)
    rows = {table: [*given, *ADDITIONAL[table]] for table, given in new_legacy_rows().items()}
    with pytest.MonkeyPatch.context() as monkeypatch, open_migration(folder, url, rows) as migration:
        plant(monkeypatch)
        migration.migrate()
        return evaluations(migration, instance, url)


def without_time(found: Named) -> Named:
    """Return what was named, with TAKEN for the snapshot's time."""
    kind, key, column, expected, told = found
    is_taken = column in ("created_at", "updated_at") and not expected.startswith("2021")
    return (kind, key, column, "TAKEN" if is_taken else expected, told)


@pytest.mark.parametrize("fault", PLANTED)
def test_a_value_that_the_cleaning_gets_wrong_is_named(planted: Checks, fault: str) -> None:
    found = list(map(without_time, named(planted, SECOND_READING)))
    assert [one for one in PLANTED[fault] if one not in found] == []


def test_nothing_else_sees_the_faults_of_the_cleaning_and_nothing_else_is_named(planted: Checks) -> None:
    assert failed(planted) == {f"{SECOND_READING} {entity}" for entity in ENTITIES}
    assert named(planted) == []
    found = sorted(map(without_time, named(planted, SECOND_READING)))
    assert found == sorted(one for faults in PLANTED.values() for one in faults)
