"""Pictures: the same bytes for the same figures, small enough for the UI, none where there is nothing to draw."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib
import pytest

from accounts_migration.reports.contents import (
    Conclusion,
    Defects,
    Destination,
    Load,
    Month,
    OtherTables,
    Report,
    Source,
)
from accounts_migration.reports.pictures import Picture, draw
from accounts_migration_tests.reports.conftest import Reported

NAMES = [f"{year}-{month:02}" for year in range(2014, 2024) for month in range(1, 13)]
REASONS = (
    "SUB_CENT", "ORPHAN", "INVALID_DATE", "INACTIVE", "TRUNCATED", "DUPLICATE_KEY", "MISSING_KEY", "INVALID_KEY",
    "NUL_CHARACTER", "INVALID_ENCODING",
)  # fmt: skip
ACTIONS = ("rejected", "excluded", "repaired")

REPORT = Report(
    deed="migration",
    conclusion=Conclusion(True, 0, 0, [], [], []),
    source=Source("/legacy.db", "snapshot-1", "ab" * 32, 1, "2025-01-02 03:04:05", "ok", {}, []),
    target=Destination("/accounts.db", "SQLite", "3.50", "2025-01-02 03:04:05", "2025-01-02 03:04:05"),
    software={},
    policies={},
    batches_under_other_policies=0,
    entities=[],
    batches=[],
    not_loaded=[],
    totals=[],
    overall=[],
    defects=[
        Defects("transaction", action, reason, 10 * place + 1, 0, 0, [])
        for action in ACTIONS
        for place, reason in enumerate(REASONS)
    ],
    plausibility=[],
    months=[Month(name, 100 + place, 99 + place, 10**9 + place, 10**9) for place, name in enumerate(NAMES)],
    loads=[
        Load("transaction", name, "2025-01-02 03:04:05", 100, 0.25 if place else None, 400 + place if place else None)
        for place, name in enumerate(NAMES)
    ],
    other_tables=OtherTables(),
    checks=[],
)
"""Ten years of months, and more reasons than there are."""


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return draw(REPORT)


def test_the_same_figures_give_the_same_bytes_whatever_the_user_set(
    pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 30.0)
    monkeypatch.setitem(matplotlib.rcParams, "svg.hashsalt", "other")
    assert draw(REPORT) == pictures
    assert matplotlib.rcParams["font.size"] == 30.0


def test_other_figures_give_other_pictures(pictures: list[Picture]) -> None:
    changed = draw(replace(REPORT, months=REPORT.months[:-1]))
    assert [one.svg == other.svg for one, other in zip(changed, pictures, strict=True)] == [False, True, True]


def test_a_picture_of_ten_years_is_small_enough_for_the_ui(pictures: list[Picture]) -> None:
    sizes = {picture.name: len(picture.as_markdown()) for picture in pictures}
    assert list(sizes) == ["months", "defects", "throughput"]
    assert [name for name, size in sizes.items() if size > 40_000] == []


def test_each_is_an_element_of_its_own_with_a_name_and_without_a_date(pictures: list[Picture]) -> None:
    for picture in pictures:
        element = ElementTree.fromstring(picture.svg)  # noqa: S314  # our own
        assert element.attrib["aria-label"] == picture.title
        assert "width" not in element.attrib, "it is as wide as there is room"
        assert "metadata" not in picture.svg
    ids = [name for picture in pictures for name in set(re.findall(r'\bid="([^"]*)"', picture.svg))]
    assert len(ids) == len(set(ids)) > 0
    used = {name for picture in pictures for name in re.findall(r'(?:url\(|href=")#([^")]*)', picture.svg)}
    assert used
    assert used <= set(ids)


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw(replace(REPORT, months=[], defects=[], loads=[])) == []


def test_the_page_shows_the_pictures_and_the_ui_the_same(reported: Reported) -> None:
    titles = re.findall(r'role="img" aria-label="([^"]*)"', reported.html)
    metadata = reported.migration.metadata("validation/report")
    assert len(titles) == 3
    for title in titles:
        assert metadata[title].startswith(f"![{title}](data:image/png;base64,iVBORw0KGgo")
        assert len(metadata[title]) < 40_000
