"""The approval of a plan: a small file that says which plan, who and when.

Here: reading it. Not here: whether it approves the present plan (`decisions`).
"""

import json
import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from accounts_migration.preflight.window import moment

_MOST_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Approval:
    """Who approved which plan, and when; the moment has its offset from UTC."""

    plan_digest: str
    approved_by: str
    approved_at: datetime


def read_approval(path: Path) -> Approval:
    """Return the approval in a file: TOML, or JSON where its name ends so; more entries are allowed.

    Raises:
        ValueError: It cannot be read, or an entry is missing or is not what it must be; the message is for a person.
    """
    content = _content(path)
    missing = [name for name in ("plan_digest", "approved_by", "approved_at") if not content.get(name)]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    digest, person = content["plan_digest"], content["approved_by"]
    if not isinstance(digest, str) or not isinstance(person, str) or not person.strip():
        raise ValueError("plan_digest and approved_by must be texts")
    return Approval(digest.strip().lower(), person.strip(), _moment(content["approved_at"]))


def example(plan_digest: str) -> str:
    """Return what an approval of a plan looks like, as TOML in one line for each entry."""
    return f'plan_digest = "{plan_digest}"\napproved_by = "NAME"\napproved_at = 2026-11-27T15:00:00'


def _content(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is far too large for an approval")
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ValueError(str(error.strerror)) from error
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"it is no {'JSON' if path.suffix.lower() == '.json' else 'TOML'}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("it holds no entries")
    return content


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.astimezone()
    try:
        return moment(str(value))
    except ValueError:
        raise ValueError("approved_at must be a date and time of day, as 2026-11-27T15:00:00") from None
