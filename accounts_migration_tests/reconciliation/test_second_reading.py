"""The second reading equals what is loaded and recorded, and what is recorded wrongly is named."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from accounts_migration.demo_source import write_demo_source
from accounts_migration.entities.cleaning import Cleaned
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation.second_reading import plain_rules
from accounts_migration.second_reading.reading import SecondReading
from accounts_migration_tests.entities.judging import SOUND, TAKEN, Row, judge, write_source
from accounts_migration_tests.reconciliation.holding import Difference, differences, has_too_much, held, lacks, tells
from accounts_migration_tests.second_reading.dirty_bank import LENIENT, dirty_bank


@pytest.mark.parametrize("chosen", [{}, LENIENT], ids=["defaults", "lenient"])
def test_nothing_differs_on_rows_of_every_storage_class(
    tmp_path: Path, target_url: str, chosen: dict[str, Any]
) -> None:
    source = write_source(tmp_path / "legacy.db", dirty_bank())
    found = held(source, target_url, Policies(**chosen))
    assert [one.differences for one in found] == [[], [], [], []]
    assert all(one.is_equal and one.judged and one.rows.compared and one.records for one in found)


def test_nothing_differs_on_a_demo_source_full_of_dirt(tmp_path: Path, sqlite_url: str) -> None:
    source = tmp_path / "legacy.db"
    write_demo_source(source, accounts=400, transactions=4000, dirt=0.05, seed=3)
    found = held(source, sqlite_url, Policies(max_reject_rate=1))
    assert [one.differences for one in found] == [[], [], [], []]
    assert [one.judged for one in found] == [20, 280, 400, 4000]


def records_changed(verdict: Cleaned, **values: Any) -> Cleaned:
    """Return what was cleaned with other values in its records."""
    records = [{**record, **values} for record in verdict.defects.to_pylist()]
    return dataclasses.replace(verdict, defects=pa.Table.from_pylist(records, verdict.defects.schema))


@pytest.mark.parametrize(
    ("changed_to", "named"),
    [
        (
            # an orphan that is told as the child of a rejected parent would be mended in the wrong place
            {"reason": "PARENT_REJECTED", "reasons": "PARENT_REJECTED"},
            [lacks("account", "row 1 rejected ORPHAN"), has_too_much("account", "row 1 rejected PARENT_REJECTED")],
        ),
        ({"old_value": "8"}, [tells("account", "row 1 rejected ORPHAN", "old_value", "9", "8")]),
        ({"new_value": "8"}, [tells("account", "row 1 rejected ORPHAN", "new_value", None, "8")]),
        ({"source_key": "11"}, [tells("account", "row 1 rejected ORPHAN", "source_key", "1", "11")]),
        (
            {"column": "customer_number"},
            [tells("account", "row 1 rejected ORPHAN", "column", "product_code", "customer_number")],
        ),
        (
            {"source_row_id": 2},
            [lacks("account", "row 1 rejected ORPHAN"), has_too_much("account", "row 2 rejected ORPHAN")],
        ),
    ],
)
def test_a_record_that_tells_it_wrongly_is_named(
    tmp_path: Path, sqlite_url: str, changed_to: dict[str, Any], named: list[Difference]
) -> None:
    source = write_source(tmp_path / "legacy.db", {"account": [{"product_code": 9}]})
    verdicts = judge(source, Policies())
    verdicts["account"] = records_changed(verdicts["account"], **changed_to)
    assert differences(source, sqlite_url, Policies(), verdicts) == named


def test_personal_data_of_a_record_is_masked(tmp_path: Path, sqlite_url: str) -> None:
    source = write_source(tmp_path / "legacy.db", {"customer": [{"email_address": "Ada Byron"}], "account": []})
    verdicts = judge(source, Policies())
    row = json.dumps({**SOUND["customer"], "email_address": "Eve"})
    verdicts["customer"] = records_changed(verdicts["customer"], old_value="Eve", source_row=row)
    found = differences(source, sqlite_url, Policies(), verdicts)
    assert tells("customer", "row 1 rejected INVALID_EMAIL", "old_value", "xxx xxxxx", "xxx") in found
    assert not any("Eve" in str(one) or "Byron" in str(one) for one in found)


def test_two_errors_that_cancel_each_other_out_are_named(tmp_path: Path, sqlite_url: str) -> None:
    """One row wrongly rejected, another wrongly accepted, for the same reason and with the same money."""
    source = write_source(
        tmp_path / "legacy.db",
        {"transaction": [{"trans_date": "2024-02-30"}, {"trans_id": 2, "trans_date": "2024-02-29"}]},
    )
    verdicts = judge(source, Policies())
    told = verdicts["transaction"]
    [row], [record] = told.rows.to_pylist(), told.defects.to_pylist()
    row |= {"transaction_id": "TXN-1"}
    whole = {**SOUND["transaction"], "trans_id": 2, "trans_date": "2024-02-29"}
    record |= {"source_key": "2", "source_row_id": 2, "old_value": "2024-02-29", "source_row": json.dumps(whole)}
    verdicts["transaction"] = dataclasses.replace(
        told,
        rows=pa.Table.from_pylist([row], told.rows.schema),
        defects=pa.Table.from_pylist([record], told.defects.schema),
    )
    assert differences(source, sqlite_url, Policies(), verdicts) == [
        lacks("transaction", "TXN-2"),
        has_too_much("transaction", "TXN-1"),
        lacks("transaction", "row 1 rejected INVALID_DATE"),
        has_too_much("transaction", "row 2 rejected INVALID_DATE"),
    ]


@pytest.mark.parametrize(("months", "in_order"), [(range(1, 10), True), (range(9, 0, -1), False)])
def test_rows_in_any_order_are_compared(tmp_path: Path, sqlite_url: str, months: range, in_order: bool) -> None:
    rows: list[Row] = [
        {"trans_id": f"{month}-{day}", "trans_date": f"2024-0{month}-0{day}"} for month in months for day in (1, 2)
    ]
    source = write_source(tmp_path / "legacy.db", {"transaction": rows})
    assert SecondReading(source, plain_rules(Policies()), TAKEN).is_in_order("transaction") is in_order
    found = held(source, sqlite_url, Policies())[-1]
    assert (found.differences, found.judged, found.rows.compared) == ([], 18, 18)
