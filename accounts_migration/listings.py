"""The list of defects as a table, as CSV for a spreadsheet and as JSON; on the terminal or in a file of its own.

Here: the three forms, and the file. Not here: what is listed, and in which order (`accounts_migration.worklist`).
"""

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from accounts_migration.console import OUT, WIDTH, plain
from accounts_migration.databases.files import written_aside
from accounts_migration.entities.remedies import REMEDIES
from accounts_migration.legacy_values import LegacyValue
from accounts_migration.worklist import FIELDS

Rows = Iterable[Mapping[str, LegacyValue]]

ROWS_PER_TABLE = 1000
WIDEST_AMOUNT = len("99999999999999999.99")
_IN_TABLE = tuple(name for name in FIELDS if name not in ("reason", "remedy", "source_row"))

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NEGATIVE_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?")


@contextmanager
def destination(path: Path | None) -> Iterator[TextIO]:
    """Open the file, for its owner alone, or standard output; the file stands under its name when it is complete."""
    if path is None:
        yield sys.stdout
        return
    with written_aside(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield file


def write_csv(rows: Rows, file: TextIO) -> None:
    """Write CSV with a line of FIELDS; no cell becomes a formula where a spreadsheet opens it."""
    _in_utf8(file)
    writer = csv.DictWriter(file, FIELDS)
    writer.writeheader()
    writer.writerows({name: in_spreadsheet(value) for name, value in row.items()} for row in rows)


def _in_utf8(file: TextIO) -> None:
    """Let standard output have the encoding of a file: another program reads it, whatever the terminal shows."""
    if isinstance(file, io.TextIOWrapper):
        file.reconfigure(encoding="utf-8")


def in_spreadsheet(value: LegacyValue) -> LegacyValue:
    """Return a cell that shows what it says: an apostrophe goes before what would be a formula, not before a number."""
    if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA) and not _NEGATIVE_NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def write_json(rows: Rows, file: TextIO) -> None:
    """Write one array, an object with FIELDS on each line."""
    _in_utf8(file)
    before = "[\n"
    for row in rows:
        file.write(before + json.dumps(row, ensure_ascii=False))
        before = ",\n"
    file.write("[]\n" if before == "[\n" else "\n]\n")


def write_table(rows: Rows, file: TextIO) -> None:
    """Write tables of at most ROWS_PER_TABLE rows, and below them what is to be done about each reason in them."""
    out = OUT if file is sys.stdout else Console(file=file, width=WIDTH)
    found: set[str] = set()
    remaining = iter(rows)
    some = list(islice(remaining, ROWS_PER_TABLE))
    while True:
        table = Table(*_IN_TABLE)
        # an amount is never cut, whatever the width
        table.columns[-1].justify, table.columns[-1].no_wrap, table.columns[-1].min_width = "right", True, WIDEST_AMOUNT
        for row in some:
            table.add_row(*("" if row[name] is None else plain(str(row[name])) for name in _IN_TABLE))
            found |= set(str(row["reasons"]).split(","))
        out.print(table)
        some = list(islice(remaining, ROWS_PER_TABLE))
        if not some:
            break
    for reason, remedy in REMEDIES.items():
        if reason in found:
            out.print(f"{reason}: {remedy}", highlight=False, soft_wrap=True)


WRITERS: Mapping[str, Callable[[Rows, TextIO], None]] = {"table": write_table, "csv": write_csv, "json": write_json}
"""Form -> what writes it."""
