"""What people acknowledge in a TOML file: by whom, on which day, of an item that there is."""

from datetime import date
from pathlib import Path

import pytest

from accounts_migration.errors import UsageError
from accounts_migration.operations.acknowledgements import Acknowledgement, read_acknowledgements

ITEMS = ("update_documentation", "schedule_backup")
WHOLE = """
[update_documentation]
by = " J. Doe "
on = 2026-11-29
note = "runbook\\nand dictionary"
[schedule_backup]
by = "ops"
on = 2026-11-29T03:00:00Z
"""


def test_an_item_is_acknowledged_by_somebody_on_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "acknowledgements.toml"
    path.write_text(WHOLE)
    found = read_acknowledgements(path, ITEMS)
    assert found == {
        "update_documentation": Acknowledgement("J. Doe", date(2026, 11, 29), "runbook and dictionary"),
        "schedule_backup": Acknowledgement("ops", date(2026, 11, 29), ""),
    }
    assert list(map(str, found.values())) == [
        "acknowledged by J. Doe on 2026-11-29: runbook and dictionary",
        "acknowledged by ops on 2026-11-29",
    ]
    monkeypatch.chdir(tmp_path)
    assert read_acknowledgements(None, ITEMS) == found
    path.unlink()
    assert read_acknowledgements(None, ITEMS) == {}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[fire_dba]\nby = 'x'\non = 2026-11-29", "there is no item fire_dba; it may name update_documentation"),
        ("update_documentation = true", "update_documentation is no table of by, on and note"),
        ("[update_documentation]\nwho = 'x'", "update_documentation is no table of by, on and note"),
        ("[update_documentation]\non = 2026-11-29", "update_documentation does not say by whom"),
        ("[update_documentation]\nby = ' '\non = 2026-11-29", "update_documentation does not say by whom"),
        ("[update_documentation]\nby = 'x'\non = 'today'", "update_documentation does not say on which day"),
        ("[update_documentation]\nby = 'x'\non = 2026-11-29\nnote = 1", "the note of update_documentation is no text"),
        ("[update_documentation", "Expected"),
    ],
)
def test_a_file_that_does_not_say_so_is_wrong_usage(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "acknowledged.toml"
    path.write_text(content)
    with pytest.raises(UsageError) as refused:
        read_acknowledgements(path, ITEMS)
    assert refused.value.what == f"Cannot read the acknowledgements in {path}"
    assert why in refused.value.why


def test_a_file_that_is_named_and_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory"):
        read_acknowledgements(tmp_path / "missing.toml", ITEMS)
