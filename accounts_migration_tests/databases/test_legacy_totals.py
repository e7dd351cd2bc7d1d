"""Control totals of the source by SQL: exact to the cent, over what the contract reads as money and nothing else."""

import contextlib
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts_migration.databases.legacy_source import LegacyTable
from accounts_migration.databases.legacy_totals import SourceTotal, source_totals
from accounts_migration.entities.values import money
from accounts_migration.legacy_values import LegacyValue, UndecodableText

MOVES = LegacyTable("moves", ("kind", "amount", "day"), "day")
TYPES = ["", "TEXT", "NUMERIC", "DECIMAL(15,2)", "INTEGER", "REAL", "BLOB"]


def moves(path: Path, rows: Iterable[Sequence[LegacyValue]], declared: str = "", *before: str) -> Path:
    """Write (kind, amount) or (kind, amount, day) rows, storage classes kept where the declared type lets them."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in (*before, f"CREATE TABLE moves (kind, amount {declared}, day)"):
            connection.execute(statement)
        for row in rows:
            cells = [*row, None][:3]
            places = ", ".join("CAST(? AS TEXT)" if isinstance(cell, UndecodableText) else "?" for cell in cells)
            values = [cell.raw if isinstance(cell, UndecodableText) else cell for cell in cells]
            connection.execute(f"INSERT INTO moves VALUES ({places})", values)  # noqa: S608  # question marks alone
    return path


def totals(path: Path, unsigned: bool = False, batches: Sequence[str] | None = None) -> dict[Any, SourceTotal]:
    found = source_totals(
        path,
        MOVES,
        ["kind"],
        ["amount"],
        lambda text: money(text).value,
        ["amount"] if unsigned else [],
        batches,
    )
    return {total.codes[0]: total for total in found}


def cents(path: Path) -> dict[Any, int | None]:
    """Return kind -> the cents of its one amount; None where that amount is not readable."""
    found = {}
    for kind, total in totals(path).items():
        assert (total.rows, total.readable["amount"]) in ((1, 0), (1, 1))
        found[kind] = total.sums["amount"] if total.readable["amount"] else None
        assert found[kind] is not None or total.sums["amount"] == 0
    return found


READABLE: list[tuple[LegacyValue, str]] = [
    (0, "0"),
    (-7, "-7"),
    (9_999_999_999_999, "9999999999999"),
    (-9_999_999_999_999, "-9999999999999"),
    (2.5, "2.50"),
    (7.0, "7"),
    (-0.0, "0"),
    (0.1 + 0.2, "0.30"),
    (-(0.1 + 0.2), "-0.30"),
    (1.1 * 1.1 * 100, "121"),
    (0.07, "0.07"),
    (1.15, "1.15"),
    (4.35, "4.35"),
    (9_999_999_999_999.99, "9999999999999.99"),
    (8_593_165_274_846.935, "8593165274846.93"),
    (-9_842_538_001_190.725, "-9842538001190.72"),
    ("12.34", "12.34"),
    ("-12.34", "-12.34"),
    ("+5", "5"),
    ("-0", "0"),
    ("1e2", "100"),
    ("1E2", "100"),
    ("1.5e+1", "15"),
    ("125e-2", "1.25"),
    ("1000e-3", "1"),
    ("1.500", "1.50"),
    ("1.00000000000000000000", "1"),
    ("00012.10", "12.10"),
    ("0e999999999999999999999", "0"),
    (" 7 ", "7"),
    ("\t7\n", "7"),
    ("\u00a07\u00a0", "7"),
    ("\u200b7\ufeff", "7"),
    ("9999999999999.99", "9999999999999.99"),
    ("-9999999999999.99", "-9999999999999.99"),
    ("4503599627370.49", "4503599627370.49"),
]
UNREADABLE: list[LegacyValue] = [
    None, "", " ", "\u00a0", b"", b"5", b"12.34",
    1.005, 0.001, 1e-300, 5e-324, 1234.5678, "1.005", "1e-3", "0.001", "999999999999.995",
    10**13, -(10**13), 2**53 + 1, 2**63 - 1, -(2**63), 1e13, 1e300, float("inf"), -float("inf"),
    9_999_999_999_999.998, -9_999_999_999_999.998, "1e13", "10000000000000", "9007199254740993", "1e999999999999999999",
    "\u0663", "1_000", "1,000", "1,5", "$5", "5.", ".5", "--1", "+-1", "+ 5", "1 2", "0x10", "inf", "nan", "1e",
    "12\0", "12\x0034", "\x0012", "1.2.3", "12.34.", "\uff11\uff12", UndecodableText(b"12\xff"),
    UndecodableText(b"\xa07"), "9007199254740.993", "90071992547409.93e-1",
]  # fmt: skip


@pytest.mark.parametrize("declared", TYPES)
def test_every_readable_form_of_money_is_exact(tmp_path: Path, declared: str) -> None:
    path = moves(tmp_path / "legacy.db", enumerate(value for value, _ in READABLE), declared)
    assert cents(path) == {n: int(Decimal(expected) * 100) for n, (_, expected) in enumerate(READABLE)}


def test_what_is_no_amount_is_counted_as_a_row_and_not_summed(tmp_path: Path) -> None:
    path = moves(tmp_path / "legacy.db", enumerate(UNREADABLE))
    assert cents(path) == dict.fromkeys(range(len(UNREADABLE)))


def test_amounts_are_summed_by_group(tmp_path: Path) -> None:
    rows: list[tuple[LegacyValue, LegacyValue]] = [
        ("CR", 0.1),
        ("CR", 0.2),
        ("CR", "1.005"),
        ("CR", None),
        ("DR", -5),
        ("DR", "7.25"),
        (None, 1),
        (b"CR", 2),
        (UndecodableText(b"\xff"), 3),
    ]
    found = totals(moves(tmp_path / "legacy.db", rows))
    assert {kind: (t.rows, t.readable["amount"], t.sums["amount"]) for kind, t in found.items()} == {
        "CR": (4, 2, 30),
        "DR": (2, 2, 225),
        None: (1, 1, 100),
        b"CR": (1, 1, 200),
        UndecodableText(b"\xff"): (1, 1, 300),
    }


def test_unsigned_amounts_are_added_without_their_sign(tmp_path: Path) -> None:
    path = moves(tmp_path / "legacy.db", [("DR", -5), ("DR", "7.25"), ("DR", -0.5), ("DR", "-1")])
    assert totals(path)["DR"].sums == {"amount": 75}
    assert totals(path, unsigned=True)["DR"].sums == {"amount": 1375}


def test_only_the_named_batches_are_summed(tmp_path: Path) -> None:
    days = ["2024-01-31", "2024-02-01", "2024-02", " 2024-02-01", b"2024-02-01", None, 202402]
    path = moves(tmp_path / "legacy.db", [("CR", 10**n, day) for n, day in enumerate(days)])
    assert totals(path, batches=["2024-02"])["CR"].sums == {"amount": 110_00}
    assert totals(path, batches=["2024-01", "2024-02"])["CR"].sums == {"amount": 111_00}
    assert totals(path, batches=["undated"])["CR"].sums == {"amount": 1_111_000_00}
    assert totals(path, batches=["2024-03"]) == {}
    assert totals(path)["CR"].sums == {"amount": 1_111_111_00}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_may_leave_64_bits(tmp_path: Path, sign: int) -> None:
    path = moves(tmp_path / "legacy.db", [])
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT"
        connection.execute(f"INSERT INTO moves {many} 'CR', ?, NULL FROM n", (sign * 9_999_999_999_999.99,))
    total = totals(path)["CR"]
    assert total.sums["amount"] == sign * 20_000 * 999_999_999_999_999
    assert abs(total.sums["amount"]) > 2**64


def test_the_encoding_of_the_file_does_not_show(tmp_path: Path) -> None:
    rows: list[tuple[LegacyValue, LegacyValue]] = [("é", "+1.25"), ("é", "2.25"), ("é", "\u00a03 "), ("é", "\u0663")]
    found = totals(moves(tmp_path / "legacy.db", rows, "", "PRAGMA encoding = 'UTF-16le'"))
    assert (found["é"].readable, found["é"].sums) == ({"amount": 3}, {"amount": 650})


def test_the_collations_of_the_legacy_table_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "legacy.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.create_collation("of_the_bank", lambda one, two: (one > two) - (one < two))
        connection.execute("CREATE TABLE moves (kind COLLATE NOCASE, amount COLLATE of_the_bank, day)")
        connection.execute(
            "INSERT INTO moves (kind, amount) VALUES ('CR', '1.25'), ('cr', 2.5), ('CR', '+3'), ('CR', 4)"
        )
    found = totals(path)
    assert {kind: total.sums["amount"] for kind, total in found.items()} == {"CR": 825, "cr": 250}


AMOUNTS: st.SearchStrategy[LegacyValue] = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(10**13) - 2, 10**13 + 2),
    st.floats(allow_nan=False),
    st.floats(-1e13, 1e13),
    st.integers(-(10**15) - 2, 10**15 + 2).map(lambda units: units / 100),
    st.integers(-(10**10), 10**10).map(lambda units: units / 1000),
    st.lists(st.integers(0, 10**7).map(lambda units: units / 100), max_size=5).map(sum),
    st.integers(-(10**16), 10**16).map(lambda units: f"{Decimal(units) / 1000:f}"),
    st.from_regex(r"\A[ \u00a0]?[+-]?[0-9]{1,14}(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?\s?\Z"),
    st.text(alphabet="0123456789.eE+-_, \0\u0663\u00a0", max_size=8),
    st.binary(max_size=5),
    st.binary(max_size=3).map(lambda raw: UndecodableText(raw + b"\xff")),
)


@settings(max_examples=60, deadline=None)
@given(amounts=st.lists(AMOUNTS, max_size=25), declared=st.sampled_from(TYPES))
def test_the_totals_are_those_of_the_reference(amounts: list[LegacyValue], declared: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = moves(Path(folder) / "legacy.db", enumerate(amounts), declared)
        stored = _stored(path)
        assert cents(path) == {kind: money(value).value for kind, value in stored.items()}


def _stored(path: Path) -> dict[int, LegacyValue]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        found: dict[int, LegacyValue] = {}
        for kind, storage_class, value in connection.execute("SELECT kind, typeof(amount), amount FROM moves"):
            found[kind] = _text(value) if storage_class == b"text" else value
    return found


def _text(raw: bytes) -> LegacyValue:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return UndecodableText(raw)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["CR", "DR", None]), st.integers(-(10**14), 10**14), st.sampled_from("irt")),
        max_size=40,
    )
)
def test_sums_of_any_mixture_of_classes_are_exact(rows: list[tuple[str | None, int, str]]) -> None:
    expected: dict[str | None, Fraction] = defaultdict(Fraction)
    written: list[tuple[LegacyValue, LegacyValue]] = []
    for kind, units, storage_class in rows:
        amount = units // 100 * 100 if storage_class == "i" else units
        expected[kind] += Fraction(amount, 100)
        as_stored: dict[str, LegacyValue] = {"i": amount // 100, "r": amount / 100, "t": f"{Decimal(amount) / 100:f}"}
        written.append((kind, as_stored[storage_class]))
    with tempfile.TemporaryDirectory() as folder:
        found = totals(moves(Path(folder) / "legacy.db", written))
    assert {kind: Fraction(total.sums["amount"], 100) for kind, total in found.items()} == expected
    assert sum(total.readable["amount"] for total in found.values()) == len(rows)


def test_each_batch_has_totals_of_its_own_where_they_are_asked_for(tmp_path: Path) -> None:
    """A batch is read off the row as it stands: a blank before the date, a blob or NULL make it undated."""
    rows: list[tuple[LegacyValue, ...]] = [
        ("CR", 1, "2024-01-31"),
        ("CR", 2, "2024-02-01"),
        ("CR", 4, "2024-02-29 10:00"),
        ("DR", 8, "2024-02-01"),
        ("CR", 16, " 2024-02-01"),
        ("CR", 32, b"2024-02-01"),
        ("CR", 64, None),
    ]
    path = moves(tmp_path / "moves.db", rows)
    found = source_totals(path, MOVES, ["kind"], ["amount"], lambda text: money(text).value, by_batch=True)
    assert sorted((one.batch, one.codes[0], one.rows, one.sums["amount"]) for one in found) == [
        ("2024-01", "CR", 1, 100),
        ("2024-02", "CR", 2, 600),
        ("2024-02", "DR", 1, 800),
        ("undated", "CR", 3, 11200),
    ]
