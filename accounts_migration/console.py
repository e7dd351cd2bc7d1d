"""What a person sees of an outcome on the terminal, and the same as JSON.

Here: tables and sentences. Not here: what they report (`accounts_migration.outcome`). No personal data.
"""

import json
import logging
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from accounts_migration import logs
from accounts_migration.databases.files import nearest_standing
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.outcome import Outcome
from accounts_migration.reconciliation.amounts import amount
from accounts_migration.reconciliation.promises import OVERALL, ControlTotal, overall

_GROUPS_SHOWN = 60
_REPORT_FILES = ("page", "twin", "sha256 of the page", "sha256 of the twin")

# a pipe has no width of its own: wide enough there that no figure is cut
WIDTH = 160
OUT = Console(width=None if sys.stdout.isatty() else WIDTH)
ERROR = Console(stderr=True)


def show_error(error: MigrationError) -> None:
    """Print what failed, why and what to do."""
    ERROR.print(f"[bold red]{plain(error.what)}[/]", highlight=False, soft_wrap=True)
    ERROR.print(f"  why: {plain(error.why)}", highlight=False, soft_wrap=True)
    ERROR.print(f"  what to do: {plain(error.remedy)}", highlight=False, soft_wrap=True)


def plain(text: str) -> str:
    """Return the text as rich shows it literally."""
    return text.replace("[", "\\[")


def show_line(text: str) -> None:
    """Print a line in one piece, so that a script can read it and a shell take it; marks of rich in it hold."""
    OUT.print(text, highlight=False, soft_wrap=True)


def show_value(name: str, value: object, width: int = 9) -> None:
    """Print a name and, behind it in a column of its own, what it stands for."""
    show_line(f"{name:<{width}} {plain(str(value))}")


def show_problems(problems: Iterable[str]) -> None:
    """Print why something failed, a sentence on each line."""
    for problem in problems:
        ERROR.print(f"[bold red]{plain(problem)}[/]", highlight=False, soft_wrap=True)


def show_outcome(outcome: Outcome, log: Path, verb: str) -> None:
    """Print the accounting table, control totals, verdicts, and where everything is."""
    if outcome.entities:
        OUT.print(_accounting(outcome))
    if outcome.totals:
        OUT.print(_totals(outcome.totals))
    if outcome.other_tables:
        OUT.print(_listed("other tables: rows read back and compared", outcome.other_tables))
    if outcome.not_carried:
        OUT.print(_listed("not carried", outcome.not_carried))
    if outcome.checks:
        OUT.print(_checks(outcome))
    show_problems(outcome.problems)
    if outcome.defects and not outcome.success:
        OUT.print(_defects(outcome.defects))
        OUT.print("Mend the source, or allow such rows with --policy max_reject_rate=SHARE; nothing was loaded.")
    if outcome.snapshot is not None:
        show_value("snapshot", outcome.snapshot.path)
    show_value("target", outcome.target)
    if outcome.backup:
        show_value("backup", outcome.backup)
    show_value("log", log)
    if outcome.loaded:
        for name, words in _following(outcome):
            show_value(name, words)
    word = verb if outcome.success else "FAILED" if outcome.loaded else "REFUSED"
    show_end(word, outcome.success, outcome.seconds, outcome.problems)


def _following(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """Yield where the report is, or the command that writes it, and the one that lists the defects."""
    target = shlex.quote(outcome.target)
    yield "defects", f"accounts-migration defects {'--copy ' if outcome.is_copy else ''}{target}"
    if outcome.is_copy and outcome.success and not outcome.report:
        yield "report", "none: there is no table in the database that was copied"
    elif outcome.is_copy:
        yield from ((name, str(outcome.report[name])) for name in _REPORT_FILES if name in outcome.report)
    else:
        yield "report", f"accounts-migration report {target}"


def show_report(outcome: Outcome, log: Path) -> None:
    """Print what the report says in a line, where its files are, and their sha256."""
    show_problems(outcome.problems)
    for name in ("accounted for", "unexplained rows", "unexplained amount", "plausibility findings", *_REPORT_FILES):
        if name in outcome.report:
            show_value(name, outcome.report[name], width=22)
    show_value("target", outcome.target, width=22)
    show_value("log", log, width=22)
    show_end("REPORTED" if outcome.success else "FAILED", outcome.success, outcome.seconds, outcome.problems)


def show_verdict(word: str, success: bool, seconds: float) -> None:
    """Print the word that a command ends with, and how long it took."""
    OUT.print(f"[bold {'green' if success else 'red'}]{word}[/] in {seconds:.1f} s")


def show_end(word: str, success: bool, seconds: float, problems: Iterable[str]) -> None:
    """Print the verdict; the log ends with it, too, and with the problems before it."""
    show_verdict(word, success, seconds)
    for problem in problems:
        logs.note(problem, logging.ERROR)
    logs.note(f"{word} in {seconds:.1f} s", logging.INFO if success else logging.ERROR)


def refuse_unwritable_folder(folder: Path | None) -> None:
    """Raise UsageError where a report cannot be written: before the run, not after it."""
    if folder is None:
        return
    standing = nearest_standing(folder)
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        raise UsageError(
            f"Cannot write a report into {folder}",
            why=f"{standing} is no folder, or this user may not write there",
            remedy="Name another folder with -o",
        )


def _accounting(outcome: Outcome) -> Table:
    table = Table(title="source rows = loaded + rejected + excluded", title_justify="left")
    table.add_column("entity")
    for name in (
        "source",
        "loaded" if outcome.loaded else "cleaned",
        "rejected",
        "excluded",
        "repaired",
        "unexplained",
    ):
        table.add_column(name, justify="right")
    for line in outcome.entities:
        numbers = (line.source, line.loaded, line.rejected, line.excluded, line.repaired, line.unexplained)
        table.add_row(line.entity, *(f"{number:,}" for number in numbers))
    return table


def _totals(totals: list[ControlTotal]) -> Table:
    table = Table(title="control totals: source = target + left behind", title_justify="left")
    for name in ("entity", "group", "measure"):
        table.add_column(name)
    for name in ("source", "target", "left behind", "unexplained"):
        table.add_column(name, justify="right")
    for one in [*_few(totals), *overall(totals)]:
        amounts = (one.source, one.target, one.left_behind, one.unexplained)
        style = "bold" if one.group == OVERALL else None
        table.add_row(one.entity, one.group, one.measure, *map(amount, amounts), style=style)
    return table


def _few(totals: list[ControlTotal]) -> list[ControlTotal]:
    """Return all groups where they are few, else those with something unexplained: the others stand in the summary."""
    return totals if len(totals) <= _GROUPS_SHOWN else [one for one in totals if one.unexplained]


def _listed(title: str, rows: Sequence[Mapping[str, object]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name, cell in rows[0].items():
        table.add_column(name, justify="right" if isinstance(cell, int) else "left")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else plain(str(cell)) for cell in row.values()))
    return table


def _checks(outcome: Outcome) -> Table:
    table = Table(title="checks", title_justify="left")
    for name in ("asset", "check", "verdict"):
        table.add_column(name)
    for check in outcome.checks:
        failed = "[yellow]warning[/]" if check.is_warning else "[bold red]FAILED[/]"
        verdict = "[green]passed[/]" if check.passed else failed
        table.add_row(check.asset, check.check, verdict)
    return table


def _defects(defects: list[dict[str, Any]]) -> Table:
    table = Table(title="rejected rows (the first ones)", title_justify="left")
    for name in ("entity", "batch", "source_key", "source_row_id", "reasons", "column"):
        table.add_column(name)
    for row in defects:
        cells = (row[name] for name in ("entity", "batch", "source_key", "source_row_id", "reasons", "column"))
        table.add_row(*("" if cell is None else plain(str(cell)) for cell in cells))
    return table


def refuse_unwritable(path: Path | None, option: str, *, aside: bool = False) -> None:
    """Raise UsageError where the file of the option cannot be written: before the work, not after it.

    Args:
        path: The file; None where it is not wanted.
        option: The option's name.
        aside: Whether it is written beside the path and then named: the folder must be writable even if the file is.
    """
    if path is None:
        return
    places = [path] if path.exists() else [path.parent]
    if aside:
        places.append(path.parent)
    if path.is_dir() or not all(os.access(place, os.W_OK) for place in places):
        raise UsageError(
            f"Cannot write {path}",
            why="it is a folder, its folder is missing, or this user may not write there",
            remedy=f"Name another file with {option}",
        )


def write_json(outcome: Outcome, path: Path) -> None:
    """Write the outcome as JSON: the summary that scripts read. Amounts are in cents."""
    summary = {
        "success": outcome.success,
        "loaded": outcome.loaded,
        "snapshot": None if outcome.snapshot is None else {
            "snapshot_id": outcome.snapshot.snapshot_id,
            "source": outcome.snapshot.source,
            "sha256": outcome.snapshot.sha256,
            "taken_at": outcome.snapshot.taken_at,
            "not_migrated": [str(item) for item in outcome.snapshot.unmigrated],
        },
        "target": outcome.target,
        "backup": outcome.backup or None,
        "report": {name: outcome.report[name] for name in _REPORT_FILES if name in outcome.report} or None,
        "batches": outcome.batches,
        "entities": [{**asdict(line), "unexplained": line.unexplained} for line in outcome.entities],
        "control_totals_in_cents": [{**asdict(one), "unexplained": one.unexplained} for one in outcome.totals],
        "checks": [{"asset": check.asset, "check": check.check, "passed": check.passed} for check in outcome.checks],
        **({"other_tables": outcome.other_tables, "not_carried": outcome.not_carried} if outcome.is_copy else {}),
        "problems": outcome.problems,
        "run_id": outcome.run_id,
        "runs": outcome.runs,
        "seconds": round(outcome.seconds, 3),
    }  # fmt: skip
    path.write_text(json.dumps(summary, indent=2) + "\n")
