"""What a person sees at the end of a command, literally, whatever stands in it."""

from pathlib import Path

import pytest

from accounts_migration.console import show_outcome
from accounts_migration.outcome import Outcome


def test_brackets_in_a_path_are_shown_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    """To the terminal's library they mean a colour, and would be gone from what is to be copied into a shell."""
    show_outcome(Outcome(target="/bank[red].db", backup="/b[bold]/target-1"), Path("/logs[old]/one.log"), "MIGRATED")
    assert capsys.readouterr().out.splitlines() == [
        "target    /bank[red].db",
        "backup    /b[bold]/target-1",
        "log       /logs[old]/one.log",
        "REFUSED in 0.0 s",
    ]
