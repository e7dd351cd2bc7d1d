"""The second reading makes of any rows what the cleaning makes of them; the two share no code."""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from accounts_migration.entities import ENTITIES
from accounts_migration.entities.cleaning import Cleaned
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.values import REASONS
from accounts_migration.reconciliation.second_reading import plain_rules
from accounts_migration.second_reading.reading import Record, SecondReading
from accounts_migration_tests.entities.judging import TAKEN, Row, judge, write_source
from accounts_migration_tests.entities.test_cleaning import POLICIES, WITHOUT_SHRINKING, legacy_databases
from accounts_migration_tests.reconciliation.holding import held
from accounts_migration_tests.second_reading.dirty_bank import LENIENT, dirty_bank


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("dirty") / "legacy.db", dirty_bank())


def test_every_reason_of_the_contract_is_found(dirty: Path) -> None:
    found: set[str] = set()
    for chosen in ({}, LENIENT):
        reading = SecondReading(dirty, plain_rules(Policies(**chosen)), TAKEN)
        for entity in ENTITIES:
            found |= {reason for record in records_of(reading, entity) for reason in record.reasons.split(",")}
    assert found == {reason for reason in REASONS if reason}


def records_of(reading: SecondReading, entity: str) -> list[Record]:
    """Return the records of an entity, having read it to its end."""
    records: list[Record] = []
    for _ in reading.rows(entity, records.extend):
        pass
    return records


def as_read(reading: SecondReading, entity: str) -> tuple[list[Row], list[list[Any]]]:
    """Return the rows by key, and the records, of a second reading."""
    records: list[Record] = []
    rows = [row for part in reading.rows(entity, records.extend) for row in part.to_pylist()]
    return sorted(rows, key=lambda row: str(row[f"{entity}_id"])), in_order(map(list, records))


def as_cleaned(verdict: Cleaned, entity: str) -> tuple[list[Row], list[list[Any]]]:
    """Return the same of the cleaning."""
    records = [list(record.values()) for record in verdict.defects.to_pylist()]
    for record in records:
        record[-1] = json.dumps(json.loads(record[-1]))
    return sorted(verdict.rows.to_pylist(), key=lambda row: str(row[f"{entity}_id"])), in_order(records)


def in_order(records: Iterable[list[Any]]) -> list[list[Any]]:
    return sorted(records, key=lambda record: list(map(str, record)))


@given(rows=legacy_databases(most=12), policies=POLICIES)
@settings(parent=WITHOUT_SHRINKING, max_examples=25)
def test_both_readings_make_the_same_of_any_rows(rows: dict[str, list[Row]], policies: Policies) -> None:
    """Every value of every row, and every word of every record."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_source(Path(folder) / "legacy.db", rows)
        verdicts = judge(path, policies)
        reading = SecondReading(path, plain_rules(policies), TAKEN)
        for entity in ENTITIES:
            assert as_read(reading, entity) == as_cleaned(verdicts[entity], entity)


def test_keys_are_known_to_stand_twice_however_many_scans_it_takes(
    dirty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = plain_rules(Policies())
    at_once = [as_read(reading, entity) for reading in [SecondReading(dirty, rules, TAKEN)] for entity in ENTITIES]
    monkeypatch.setattr("accounts_migration.second_reading.reading._KEYS_AT_ONCE", 20)
    in_parts = [as_read(reading, entity) for reading in [SecondReading(dirty, rules, TAKEN)] for entity in ENTITIES]
    assert in_parts == at_once


@pytest.mark.parametrize("make", ["CREATE VIEW {0} AS SELECT * FROM kept", "CREATE TABLE {0} ({1}) WITHOUT ROWID"])
def test_a_table_without_rowids_is_read_alike(dirty: Path, tmp_path: Path, make: str) -> None:
    source = Path(shutil.copy(dirty, tmp_path / "legacy.db"))
    columns = ENTITIES["transaction"].legacy_columns
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("ALTER TABLE legacy_transactions RENAME TO kept")
        keyed = ", ".join([*columns, "place INTEGER PRIMARY KEY"])
        connection.execute(make.format("legacy_transactions", keyed))
        if "VIEW" not in make:
            names = ", ".join(columns)
            connection.execute(
                f"INSERT INTO legacy_transactions ({names}, place) SELECT {names}, rowid FROM kept"  # noqa: S608  # ours
            )
    rules = plain_rules(Policies())
    usual, without = SecondReading(dirty, rules, TAKEN), SecondReading(source, rules, TAKEN)
    for entity in ENTITIES:
        (rows, records), (same_rows, same_records) = as_read(usual, entity), as_read(without, entity)
        assert rows == same_rows
        row_id = Record._fields.index("source_row_id")
        for record in records if entity == "transaction" else []:
            record[row_id] = None
        assert in_order(records) == same_records


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_text_in_utf_16_is_read_alike(tmp_path: Path, sqlite_url: str, encoding: str) -> None:
    source = tmp_path / "legacy.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute("CREATE TABLE first (a)")
        connection.commit()
    odd: list[Row] = [
        {"trans_id": "k\u00e9y", "trans_type": "\u0131n", "description": "\u00e9" * 201, "trans_amount": "1e2"},
        {"trans_id": "0002", "description": "a\0b", "trans_date": "2024-01-02T10:00", "trans_amount": "\u0663"},
    ]
    write_source(source, {"transaction": odd})
    assert [one.differences for one in held(source, sqlite_url, Policies())] == [[], [], [], []]
    reading = SecondReading(source, plain_rules(Policies()), TAKEN)
    reasons = [record.reasons for entity in ENTITIES for record in records_of(reading, entity)]
    assert reasons == ["TRUNCATED", "INVALID_NUMBER,NUL_CHARACTER"]
