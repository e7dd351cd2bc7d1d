"""The page in a real browser: no error, no request but itself, and no wider than a desk's or a telephone's screen.

It takes Chromium: `apt-get install chromium`, or any Chromium or Chrome named by the environment variable CHROMIUM.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from accounts_migration_tests.reports.conftest import Reported

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def browser() -> Iterator[Browser]:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.fail(
            "There is no Chromium to show the report in. Debian: apt-get install chromium. Elsewhere install Chromium"
            " or Chrome and name its program in the environment variable CHROMIUM"
        )
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_asks_for_nothing(browser: Browser, reported: Reported, tmp_path: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    address = (reported.folder / "report.html").as_uri()
    page.goto(address)
    page.screenshot(path=tmp_path / f"report_{width}.png", full_page=True)
    inner, needed = page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
    assert inner == width
    assert needed <= inner
    assert errors == []
    assert requests == [address]
    assert page.locator("svg").count() == 3
    assert page.locator("#conclusion strong").inner_text() == "EVERYTHING IS ACCOUNTED FOR"
    page.close()


def test_all_of_it_is_printed_on_a4(browser: Browser, reported: Reported, tmp_path: Path) -> None:
    """Nothing is cut off: what scrolls or is folded on the screen stands on paper at full length."""
    page = browser.new_page(viewport={"width": 696, "height": 1000})  # A4 within its margins
    page.goto((reported.folder / "report.html").as_uri())
    page.locator("summary").first.click()
    page.emulate_media(media="print")
    cut = """[...document.querySelectorAll('.scroll, figure')].filter(
        one => one.scrollHeight > one.clientHeight + 1 || one.scrollWidth > one.clientWidth + 1).length"""
    assert page.evaluate(cut) == 0
    assert page.evaluate("document.querySelector('#batches').getBoundingClientRect().height") > 100
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert b"/MediaBox [0 0 594" in (tmp_path / "report.pdf").read_bytes()
    page.close()
