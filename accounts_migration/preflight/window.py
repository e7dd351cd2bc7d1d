"""The migration window: from when to when the target may be written.

Here: what MIGRATION_WINDOW means. Not here: whether a migration fits into it (`decisions`).
"""

from dataclasses import dataclass
from datetime import datetime

_EXAMPLE = "2026-11-28T22:00/2026-11-29T06:00"


@dataclass(frozen=True, slots=True)
class Window:
    """Two moments, each with its offset from UTC; the second is not in the window any more."""

    opens: datetime
    closes: datetime

    def __str__(self) -> str:
        """Return both with their offsets."""
        return f"{self.opens.isoformat(timespec='minutes')} to {self.closes.isoformat(timespec='minutes')}"


def parse_window(text: str) -> Window:
    """Return the window that a text means.

    Args:
        text: Two ISO 8601 date-times with a slash between; one without an offset is local time of this machine.

    Raises:
        ValueError: It is none; the message is for a person.
    """
    words = text.split("/")
    try:
        # two, not one and not three
        opens, closes = (moment(word) for word in words)
    except ValueError:
        raise ValueError(f"a window is written {_EXAMPLE}, local time unless an offset is given") from None
    if closes <= opens:
        raise ValueError("the window ends before it begins")
    return Window(opens, closes)


def checked_window(text: str) -> str:
    """Return the text as it is, if it is a window.

    Raises:
        ValueError: It is none.
    """
    parse_window(text)
    return text


def moment(text: str) -> datetime:
    """Return an ISO 8601 date-time with its offset; without one it is local time of this machine.

    Raises:
        ValueError: It is none, or a date without a time of day.
    """
    stripped = text.strip()
    if len(stripped) <= len("2026-11-28"):
        raise ValueError(f"{stripped!r} has no time of day")
    found = datetime.fromisoformat(stripped)
    return found if found.tzinfo else found.astimezone()
