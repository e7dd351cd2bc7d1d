"""MIGRATION_WINDOW: two moments, local time of the machine unless an offset is given."""

import time
from datetime import UTC, datetime

import pytest

from accounts_migration.preflight.window import parse_window


@pytest.fixture
def in_vienna(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine stand in Vienna: UTC+1, in summer UTC+2."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    monkeypatch.delenv("TZ")


@pytest.fixture(autouse=True)
def local_time_again() -> object:
    yield None
    time.tzset()


@pytest.mark.usefixtures("in_vienna")
@pytest.mark.parametrize(
    ("text", "opens", "closes"),
    [
        ("2026-11-28T22:00/2026-11-29T06:00", datetime(2026, 11, 28, 21), datetime(2026, 11, 29, 5)),
        ("2026-07-01 22:00/2026-07-02 06:00:30", datetime(2026, 7, 1, 20), datetime(2026, 7, 2, 4, 0, 30)),
        ("2026-11-28T22:00Z/2026-11-29T06:00+02:00", datetime(2026, 11, 28, 22), datetime(2026, 11, 29, 4)),
        # the clock is put back at 03:00: the night has an hour more
        ("2026-10-25T01:00/2026-10-25T04:00", datetime(2026, 10, 24, 23), datetime(2026, 10, 25, 3)),
    ],
)
def test_a_window_is_two_moments(text: str, opens: datetime, closes: datetime) -> None:
    window = parse_window(text)
    assert (window.opens.astimezone(UTC), window.closes.astimezone(UTC)) == (
        opens.replace(tzinfo=UTC),
        closes.replace(tzinfo=UTC),
    )


@pytest.mark.usefixtures("in_vienna")
def test_a_window_is_told_with_its_offsets() -> None:
    window = parse_window("2026-11-28T22:00/2026-11-29T06:00Z")
    assert str(window) == "2026-11-28T22:00+01:00 to 2026-11-29T06:00+00:00"


@pytest.mark.parametrize(
    "text",
    [
        "tonight",
        "2026-11-28T22:00",
        "2026-11-28T22:00/",
        "2026-11-28/2026-11-29",
        "22:00/06:00",
        "2026-11-28T22:00/2026-11-29T25:00",
        "2026-11-28T22:00/2026-11-29T06:00/2026-11-30T06:00",
        "2026-11-28T22:00-2026-11-29T06:00",
        "",
    ],
)
def test_anything_else_is_no_window(text: str) -> None:
    with pytest.raises(ValueError, match="local time unless an offset is given"):
        parse_window(text)


@pytest.mark.parametrize("closes", ["2026-11-28T22:00", "2026-11-28T06:00"])
def test_a_window_does_not_end_before_it_begins(closes: str) -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        parse_window(f"2026-11-28T22:00/{closes}")
