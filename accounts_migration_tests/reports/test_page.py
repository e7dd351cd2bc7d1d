"""The page of the report: every figure of its JSON twin, as text and never as markup, and nothing from elsewhere."""

import re
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

from accounts_migration_tests.reports.conftest import HOSTILE, Reported


class Tables(HTMLParser):
    """Collects the body rows of each table of a page by the table's id, cells as their text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self._table: list[list[str]] | None = None
        self._cell = self._body = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._table = self.rows.setdefault(str(dict(attrs)["id"]), [])
        elif tag == "tbody":
            self._body = True
        elif tag == "tr" and self._body and self._table is not None:
            self._table.append([])
        elif tag == "td" and self._table:
            self._table[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "tbody":
            self._body = False
        elif tag == "td":
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell and self._table:
            self._table[-1][-1] += data


def written(value: object, *, money: bool = False) -> str:
    """Return a figure of the twin as the page writes it."""
    if value is None:
        return ""
    if money:
        return f"{Decimal(str(value)) / 100:,.2f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if isinstance(value, float) else str(value)


def lines(entries: list[dict[str, Any]], *names: str) -> list[list[str]]:
    """Return entries of the twin as rows of the page; a name that ends with $ is an amount."""
    return [[written(one[name.rstrip("$")], money=name.endswith("$")) for name in names] for one in entries]


LAW = ("source", "loaded", "rejected", "excluded", "unexplained", "repaired")
TOTAL = ("entity", "group", "measure", "source$", "target$", "left_behind$", "unexplained$")


def expected_tables(twin: dict[str, Any]) -> Iterator[tuple[str, list[list[str]]]]:
    yield "entities", lines(twin["entities"], "entity", *LAW)
    yield "batches", lines(twin["batches"], "entity", "batch", *LAW)
    yield "months", lines(twin["months"], "batch", "source_rows", "target_rows", "source_cents$", "target_cents$")
    for name in ("overall", "totals"):
        rows = []
        for one, line in zip(twin[name], lines(twin[name], *TOTAL), strict=True):
            rows.append(line)
            parts = " · ".join(f"{reason} {written(value, money=True)}" for reason, value in one["reasons"].items())
            rows += [["", f"left behind: {parts}"]] if parts else []
        yield name, rows
    yield "loads", lines(twin["loads"], "loaded_at", "entity", "batch", "rows", "seconds", "rows_per_second")
    yield (
        "reasons",
        [
            [*line[:4], line[4], line[5] if line[4] else ""]
            for line in lines(twin["defects"], "entity", "action", "reason", "records", "cents$", "unreadable")
        ],
    )
    yield (
        "plausibility",
        [
            [one["expected"], "warning" if one["found"] else "passed", *line, ", ".join(one["examples"])]
            for one, line in zip(twin["plausibility"], lines(twin["plausibility"], "found", "asked"), strict=True)
        ],
    )
    yield (
        "checks",
        [
            [*line, written(one["batches"] or None), ", ".join(one["batches_failed"])]
            for one, line in zip(twin["checks"], lines(twin["checks"], "asset", "check", "verdict"), strict=True)
        ],
    )


def test_every_figure_of_the_page_is_that_of_the_twin(reported: Reported) -> None:
    shown = Tables(reported.html).rows
    # examples of defects are looked at apart
    shown["reasons"] = [row for row in shown["reasons"] if len(row) > 2]
    found = {name: [[" ".join(cell.split()) for cell in row] for row in rows] for name, rows in shown.items()}
    assert found == dict(expected_tables(reported.json))


def test_the_page_shows_each_example_of_a_defect(reported: Reported) -> None:
    shown = [row[1] for row in Tables(reported.html).rows["reasons"] if len(row) == 2]
    examples = [one for line in reported.json["defects"] for one in line["examples"]]
    assert len(shown) == len(examples)
    for text, one in zip(shown, examples, strict=True):
        assert f"{one['batch']} · key {one['source_key']} · row {one['source_row_id']}" in text
    assert any("close_date: 9999-12-31 became NULL" in text for text in shown)
    assert any("email_address: xx.xxxx@@xxxxxxx.xxx" in text for text in shown)


def test_the_head_of_the_page_adds_up_the_entities(reported: Reported) -> None:
    tiles = re.findall(r"<div><b>([^<]*)</b>", reported.html)
    sums = [
        sum(line[name] for line in reported.json["entities"]) for name in ("source", "loaded", "rejected", "excluded")
    ]
    assert tiles == [*map(str, sums), "0", "0.00", "9", "4"]


def test_what_stands_in_the_databases_is_text_on_the_page_never_markup(reported: Reported) -> None:
    assert HOSTILE not in reported.html
    assert "TXN-&lt;img src=x onerror=alert(1)&gt;" in reported.html


def test_the_page_needs_nothing_else(reported: Reported) -> None:
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)|url\(([^)]*)\)|@import""", reported.html)
    assert [link for pair in links for link in pair if link and not link.startswith("#")] == []
    assert "<script" not in reported.html
