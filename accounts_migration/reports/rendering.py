"""The files of a report: one HTML page, its JSON twin, and the sha256 of both.

Here: how figures look, and writing. Not here: which figures (`accounts_migration.reports.gathering`). The page needs no
network and no script. jinja2 is imported where it is needed, because that takes time.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from accounts_migration.databases.files import write_whole
from accounts_migration.errors import MigrationError
from accounts_migration.reconciliation.amounts import amount
from accounts_migration.reports.contents import Report
from accounts_migration.reports.pictures import Picture
from accounts_migration.reports.words import WORDS

PAGE, TWIN, SUMS = "report.html", "report.json", "report.sha256"


@dataclass(frozen=True, slots=True)
class Written:
    """The folder of a report, and the sha256 of its page and of its twin: what an approval names."""

    folder: Path
    html_sha256: str
    json_sha256: str


def render(report: Report, pictures: list[Picture], json_sha256: str) -> str:
    """Return the page."""
    from jinja2 import Environment, StrictUndefined

    template = resources.files("accounts_migration.reports").joinpath("templates/report.html").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"amount": amount, "count": lambda number: f"{number:,}"}
    drawn = {picture.name: picture for picture in pictures}
    page = environment.from_string(template)
    return page.render(report=report, words=WORDS[report.deed], pictures=drawn, json_sha256=json_sha256)


def write_report(report: Report, pictures: list[Picture], folder: Path) -> Written:
    """Write page, twin and sums into the folder, readable by their owner alone, each whole or not at all.

    Raises:
        MigrationError: The folder cannot be written.
    """
    twin = report.as_json()
    page = render(report, pictures, _sha256(twin))
    written = Written(folder, _sha256(page), _sha256(twin))
    sums = f"{written.html_sha256}  {PAGE}\n{written.json_sha256}  {TWIN}\n"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in ((TWIN, twin), (PAGE, page), (SUMS, sums)):
            write_whole(folder / name, text)
    except OSError as error:
        raise MigrationError(
            f"Cannot write the report into {folder}",
            why=str(error.strerror),
            remedy="Name a folder that this user may write to, with -o",
        ) from error
    return written


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
