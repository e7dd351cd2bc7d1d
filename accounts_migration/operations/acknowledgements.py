"""What people did after a migration that no program can see: who says so, when, and what it was.

Here: the TOML file in which they acknowledge it. Not here: which items of the guide's list want it
(`accounts_migration.assets.checklist`).

    [update_documentation]
    by = "J. Doe"
    on = 2026-11-29
    note = "runbook and data dictionary"
"""

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from accounts_migration.errors import UsageError

FILE = "acknowledgements.toml"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who acknowledges an item, of which day (as the file says it), and what was done."""

    by: str
    on: date
    note: str

    def __str__(self) -> str:
        """Return it as a sentence."""
        return f"acknowledged by {self.by} on {self.on.isoformat()}{': ' if self.note else ''}{self.note}"


def read_acknowledgements(path: Path | None, items: Collection[str]) -> dict[str, Acknowledgement]:
    """Return item -> its acknowledgement.

    Args:
        path: The file; None is FILE in the working folder, where there is one.
        items: Those that may be acknowledged.

    Raises:
        UsageError: The file cannot be read, names something else, or does not say who and when.
    """
    path = path or (Path(FILE) if Path(FILE).exists() else None)
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return {item: _acknowledgement(item, value, items) for item, value in content.items()}
    except (OSError, ValueError) as error:
        raise UsageError(
            f"Cannot read the acknowledgements in {path}",
            why=getattr(error, "strerror", None) or str(error),
            remedy='Write a table for each item: [update_documentation] by = "NAME" on = 2026-11-29 note = "..."',
        ) from error


def _acknowledgement(item: str, value: object, items: Collection[str]) -> Acknowledgement:
    if item not in items:
        raise ValueError(f"there is no item {item}; it may name {', '.join(items)}")
    if not isinstance(value, dict) or set(value) - {"by", "on", "note"}:
        raise ValueError(f"{item} is no table of by, on and note")
    by, on, note = value.get("by"), value.get("on"), value.get("note", "")
    if not isinstance(by, str) or not by.strip():
        raise ValueError(f"{item} does not say by whom")
    if not isinstance(on, date):
        raise ValueError(f"{item} does not say on which day, as on = 2026-11-29")
    if not isinstance(note, str):
        raise ValueError(f"the note of {item} is no text")
    return Acknowledgement(by.strip(), on.date() if isinstance(on, datetime) else on, " ".join(note.split()))
