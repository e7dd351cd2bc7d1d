"""A migrated bank with its report, once for each engine."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "hush-4711"  # noqa: S105  # not one of anything

HOSTILE = "<img src=x onerror=alert(1)>"

PLANTED: dict[str, list[tuple[Any, ...]]] = {
    "legacy_customers": [
        (11, "Zqshared", "Zqone", "zq.shared@example.com", "555-ZQ11", "2020-01-02", "ACTIVE"),
        (12, "Zqshared", "Zqtwo", "ZQ.Shared@example.com", "555-ZQ12", "2020-01-02", "ACTIVE"),
        (13, "Zqunborn", "Zqthree", None, None, "2100-01-01", "ACTIVE"),
    ],
    "legacy_accounts": [
        (21, 11, 1, "A", 1, "2020-01-02", None),  # the last balance_after is 2
        (22, 11, 1, "A", 2, "2020-01-02", None),  # the movements add up to 1
        (23, 11, 1, "C", 3, "2020-01-02", "2021-01-02"),  # closed with a balance
        (24, 11, 1, "C", 0, "2020-01-02", None),  # closed without a date
        (25, 11, 1, "C", 0, "2020-01-02", "2020-01-01"),  # closed before it was opened
        (26, 11, 1, "A", 0, "2100-01-01", None),  # opened in the future
        (27, 11, 1, "A", 4, "2020-01-02", None),
    ],
    "legacy_transactions": [
        (31, 21, "CR", 1, 2, "zq last", "2024-03-01"),
        (32, 22, "CR", 1, 2, "zq sum", "2024-03-01"),
        (33, 23, "CR", 3, 3, "zq closed", "2024-03-01"),
        (HOSTILE, 27, "CR", 4, 4, "zq future", "2100-12-31"),
    ],
}
"""Rows that break no rule, one for each plausibility finding; nothing else in them is odd."""


@dataclass(frozen=True)
class ReportFolder:
    """A folder that a report was written into."""

    folder: Path

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return found

    @property
    def html(self) -> str:
        return (self.folder / "report.html").read_text()


@dataclass(frozen=True)
class Reported(ReportFolder):
    """A migration whose report was written twice; `first` are the bytes of the files after the first time."""

    migration: Any
    url: str
    first: dict[str, bytes]

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def reported(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    new_target: Callable[[str, Path], str],
    new_legacy_rows: Callable[[], dict[str, list[tuple[Any, ...]]]],
    open_migration: Callable[..., Any],
) -> Iterator[Reported]:
    """Migrate the sample bank and what is planted, and write the report twice; PostgreSQL's URL holds a password."""
    folder = tmp_path_factory.mktemp("reported")
    url = new_target(request.param, folder).replace("postgres@", f"postgres:{PASSWORD}@")
    rows = {table: [*given, *PLANTED.get(table, [])] for table, given in new_legacy_rows().items()}
    with open_migration(folder, url, rows) as migration:
        migration.migrate()
        assert migration.run(job="report").success
        [written] = (folder / "home" / "reports").iterdir()
        first = {path.name: path.read_bytes() for path in written.iterdir()}
        assert migration.run(job="report").success
        yield Reported(written, migration, url, first)
