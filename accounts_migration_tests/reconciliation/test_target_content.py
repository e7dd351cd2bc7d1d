"""Reading a load back: beside the next load where its rows can be found, and the rows that went astray at the end."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from upath import UPath

from accounts_migration.databases.target import BatchLoaded, Target, open_target
from accounts_migration.entities import ENTITIES
from accounts_migration.reconciliation.content import DIFFERENT, MISSING, UNEXPECTED, ContentComparison
from accounts_migration.reconciliation.target_content import ReadBack
from accounts_migration.staging import Staged, StagedOutput, StagingWriter

ROWS = 5_000
# long rows leave gaps at the ends of pages, into which PostgreSQL puts short ones of a later batch
WIDTHS: Mapping[str, Callable[[int], int]] = {
    "2024-01": lambda number: 100,
    "2024-02": lambda number: number % 150,
    "2024-03": lambda number: 10,
}


class Loads:
    """Three batches, staged and loaded into PostgreSQL, some rows of the last one far from the others."""

    def __init__(self, target: Target, bank: Any, folder: Path) -> None:
        self.target = target
        rows = {batch: self._rows(bank, batch, width) for batch, width in WIDTHS.items()}
        self.staged = self._stage(rows, UPath(folder))
        bank.load_parents(target)
        self.loaded: dict[str, BatchLoaded] = {
            batch: bank.load(target, "transaction", part, batch) for batch, part in rows.items()
        }

    @staticmethod
    def _rows(bank: Any, batch: str, width: Callable[[int], int]) -> pa.RecordBatch:
        first, when = int(batch[-1]) * 100_000, datetime.fromisoformat(f"{batch}-15 10:00:00")
        numbers = range(first, first + ROWS)
        values = [(f"TXN-{n}", "ACCT-00000001", "CREDIT", 1234, -5, "r" * width(n), when) for n in numbers]
        rows: pa.RecordBatch = bank.rows("transaction", values)
        return rows

    @staticmethod
    def _stage(rows: Mapping[str, pa.RecordBatch], folder: UPath) -> Staged:
        schema = next(iter(rows.values())).schema
        chunks = [
            {"rows": pa.Table.from_batches([part]).add_column(0, "batch", pa.repeat(pa.scalar(batch), ROWS))}
            for batch, part in rows.items()
        ]
        StagingWriter(
            folder, StagedOutput("s1", {"rows": schema}, list(rows), chunks, lambda _: {"cleaned": ROWS})
        ).write()
        return Staged(folder, tuple(rows))

    def read_back(self) -> ContentComparison:
        with ReadBack(ENTITIES["transaction"], self.staged, self.target) as read_back:
            for loaded in self.loaded.values():
                read_back.add(loaded)
            return read_back.result(everything=True)

    def stray(self) -> str:
        """Return the key of a row of the last batch that stands before all of its place."""
        place = self.loaded["2024-03"].place
        here = {
            str(key) for part in self.target.scan_place("transaction", str(place)) for key in part["transaction_id"]
        }
        return next(key for number in range(300_000, 300_000 + ROWS) if (key := f"TXN-{number}") not in here)


@pytest.fixture
def loads(postgres_url: str, bank: Any, tmp_path: Path) -> Any:
    with open_target(postgres_url) as target:
        target.prepare()
        yield Loads(target, bank, tmp_path / "staged")


def test_rows_that_went_astray_are_found_and_counted_in_their_batch(loads: Loads) -> None:
    strays = {batch: loaded.strays for batch, loaded in loads.loaded.items()}
    assert (strays["2024-01"], strays["2024-02"]) == (0, 0)
    assert 0 < strays["2024-03"] <= 100
    content = loads.read_back()
    assert content.is_equal
    assert dict(content.compared_by_batch) == dict.fromkeys(WIDTHS, ROWS)
    assert content.found_totals["2024-03"]["CREDIT"] == {
        "rows": ROWS,
        "amount": 1234 * ROWS,
        "balance_after": -5 * ROWS,
    }


def test_a_row_astray_that_was_changed_is_a_difference(loads: Loads) -> None:
    key = loads.stray()
    loads.target.session.execute("UPDATE \"transaction\" SET reference = 'x' WHERE transaction_id = $1", (key,))
    content = loads.read_back()
    assert dict(content.counts) == {(DIFFERENT, "2024-03"): 1}
    assert [(one.key, one.column) for one in content.examples] == [(key, "reference")]
    assert content.compared_by_batch["2024-03"] == ROWS


def test_rows_that_are_gone_are_missing_wherever_they_stood(loads: Loads) -> None:
    key = loads.stray()
    for one in (key, "TXN-302500"):
        loads.target.session.execute('DELETE FROM "transaction" WHERE transaction_id = $1', (one,))
    content = loads.read_back()
    assert (content.count(MISSING), content.count(UNEXPECTED), content.count(DIFFERENT)) == (2, 0, 0)
    assert content.compared_by_batch["2024-03"] == ROWS - 2
