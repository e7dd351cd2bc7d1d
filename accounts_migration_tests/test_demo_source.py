"""The demo's legacy database: its sizes, its plausibility, and that the rules find what was planted."""

import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.demo_source import KINDS, LEGACY_TABLES, DemoSummary, write_demo_source
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.cleaning import Cleaned
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration_tests.entities.judging import judge


def asked(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        return connection.execute(query).fetchall()


def cleaned(path: Path) -> dict[str, Cleaned]:
    return judge(path, Policies())


def records(verdicts: dict[str, Cleaned]) -> Counter[tuple[str, str, str]]:
    return Counter(
        (row["entity"], row["action"], row["reason"]) for each in verdicts.values() for row in each.defects.to_pylist()
    )


def written(folder: Path, **numbers: Any) -> tuple[Path, DemoSummary]:
    path = folder / "legacy.db"
    return path, write_demo_source(
        path, **{"accounts": 2_000, "transactions": 20_000, "dirt": 0.001, "seed": 1} | numbers
    )


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DemoSummary]:
    """Return a source large and dirty enough for every kind."""
    return written(tmp_path_factory.mktemp("every_kind"), dirt=0.3, products=500)


def test_the_same_seed_gives_the_same_rows(tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        path = tmp_path / name
        write_demo_source(path, accounts=300, transactions=3_000, dirt=0.01, seed=seed)
        rows = [row for entity in LEGACY_TABLES for row in asked(path, f"SELECT * FROM legacy_{entity}s")]  # noqa: S608
        digests.append(hashlib.sha256(repr(rows).encode()).hexdigest())
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


@pytest.mark.parametrize(
    ("accounts", "transactions", "dirt"),
    [
        (1, 0, 0.0),
        (1, 1, 1.0),
        (2, 10, 1.0),
        (3, 7, 0.5),
        (50, 0, 0.1),
        (100, 100_001, 0.001),
        (7_000, 300, 0.02),
    ],
)
def test_sizes_are_as_asked(tmp_path: Path, accounts: int, transactions: int, dirt: float) -> None:
    path, summary = written(tmp_path, accounts=accounts, transactions=transactions, dirt=dirt)
    assert summary.rows["account"] == accounts
    assert summary.rows["transaction"] == transactions
    for entity, rows in summary.rows.items():
        assert asked(path, f"SELECT count(*) FROM legacy_{entity}s") == [(rows,)]  # noqa: S608
    assert records(cleaned(path)) == summary.records()


def test_columns_are_those_of_the_contract(tmp_path: Path) -> None:
    path, _ = written(tmp_path, accounts=1, transactions=0)
    for entity in ENTITIES.values():
        found = asked(path, f"SELECT name FROM pragma_table_info('{entity.legacy_table}')")  # noqa: S608
        assert tuple(name.decode() for (name,) in found) == entity.legacy_columns == tuple(LEGACY_TABLES[entity.name])


def test_a_clean_source_is_loaded_whole(tmp_path: Path) -> None:
    path, summary = written(tmp_path, dirt=0)
    verdicts = cleaned(path)
    assert {entity: each.rows.num_rows for entity, each in verdicts.items()} == summary.rows
    assert not records(verdicts)
    assert not summary.records()


def test_every_kind_is_planted_once_the_rows_allow(every_kind: tuple[Path, DemoSummary]) -> None:
    _, summary = every_kind
    assert {(kind.entity, kind.name) for kind in KINDS} == set(summary.planted)
    assert len(summary.planted) == len(KINDS)


def test_the_rules_record_exactly_what_was_planted(every_kind: tuple[Path, DemoSummary]) -> None:
    path, summary = every_kind
    assert records(cleaned(path)) == summary.records()


def test_every_rejected_row_breaks_one_rule_alone(every_kind: tuple[Path, DemoSummary]) -> None:
    path, _ = every_kind
    defects = [row for each in cleaned(path).values() for row in each.defects.to_pylist()]
    assert [row for row in defects if row["reasons"] != row["reason"]] == []


def test_every_reason_of_each_entity_is_planted() -> None:
    planted = {(kind.entity, kind.reason) for kind in KINDS}
    for entity in ENTITIES.values():
        for reason in ("DUPLICATE_KEY", "EXACT_DUPLICATE", "MISSING_KEY", "INVALID_KEY"):
            assert (entity.name, reason) in planted
    by_schema = {
        (entity.name, check.name)
        for entity in ENTITIES.values()
        for column in entity.schema.columns.values()
        for check in column.checks
        if check.name
    }
    assert by_schema <= planted


def test_the_demo_rejects_less_than_1_percent_of_each_entity(tmp_path: Path) -> None:
    path, summary = written(tmp_path, accounts=10_000, transactions=250_000)
    assert records(cleaned(path)) == summary.records()
    for entity, rows in summary.rows.items():
        assert summary.rejected_rows(entity) <= 0.008 * rows
    assert summary.rejected_rows("product") == 0
    unplanted = {(kind.entity, kind.name) for kind in KINDS} - set(summary.planted)
    assert {entity for entity, _ in unplanted} == {"product", "account"}
    assert [name for entity, name in unplanted if entity == "account"] == ["rejected product"]
    spoilt = sum(count for (entity, _), count in summary.planted.items() if entity == "transaction")
    assert 0.0005 <= spoilt / summary.rows["transaction"] <= 0.0015


def test_balances_follow_the_movements_in_the_order_of_time(tmp_path: Path) -> None:
    path, _ = written(tmp_path, accounts=700, transactions=210_000, dirt=0)
    balances = {}
    moved: Counter[int] = Counter()
    last = b""
    columns = "account_number, trans_type, trans_amount, balance_after, trans_date"
    movements = asked(path, f"SELECT {columns} FROM legacy_transactions ORDER BY rowid")  # noqa: S608
    for account, kind, amount, after, date in movements:
        moved[account] += round(abs(amount) * 100) * (1 if kind in (b"CR", b"IN") else -1)
        balances[account] = after
        assert moved[account] == round(after * 100)
        assert date >= last
        last = date
    accounts = asked(path, "SELECT account_number, current_balance, account_status, close_date FROM legacy_accounts")
    assert [number for number, balance, *_ in accounts if balance != balances.get(number, 0)] == []
    closed = [(balance, date) for _, balance, status, date in accounts if status == b"C"]
    assert closed
    assert all(balance == 0 and date is not None for balance, date in closed)


def test_movements_cover_the_years_and_grow(tmp_path: Path) -> None:
    path, _ = written(tmp_path, dirt=0, years=3)
    counts = asked(path, "SELECT substr(trans_date, 1, 4), count(*) FROM legacy_transactions GROUP BY 1 ORDER BY 1")
    assert [year for year, _ in counts] == [b"2022", b"2023", b"2024"]
    assert [count for _, count in counts] == sorted(count for _, count in counts)


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "legacy.db"
    path.write_text("precious")
    with pytest.raises(MigrationError, match="the file exists"):
        write_demo_source(path, accounts=1, transactions=1, dirt=0, seed=1)
    assert path.read_text() == "precious"


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="there is no folder"):
        write_demo_source(tmp_path / "no" / "legacy.db", accounts=1, transactions=1, dirt=0, seed=1)


@pytest.mark.parametrize("wrong", [{"accounts": 0}, {"transactions": -1}, {"dirt": 1.5}, {"years": 0}, {"products": 0}])
def test_impossible_numbers_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(MigrationError, match="Change these numbers"):
        written(tmp_path, **wrong)
    assert list(tmp_path.iterdir()) == []
