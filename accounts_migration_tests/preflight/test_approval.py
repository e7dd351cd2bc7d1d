"""The file of an approval: which plan, who, when."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from accounts_migration.preflight.approval import example, read_approval

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    "when",
    ["2026-11-27T15:00:00+01:00", '"2026-11-27T15:00+01:00"', "2026-11-27 15:00:00+01:00", '"2026-11-27 15:00+01:00"'],
)
def test_toml(when: str, tmp_path: Path) -> None:
    path = tmp_path / "approval.toml"
    path.write_text(
        f'plan_digest = "{DIGEST.upper()}"\napproved_by = " Ada Byron "\napproved_at = {when}\nticket = 7\n'
    )
    approval = read_approval(path)
    assert (approval.plan_digest, approval.approved_by) == (DIGEST, "Ada Byron")
    assert approval.approved_at == datetime(2026, 11, 27, 15, tzinfo=timezone(timedelta(hours=1)))


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "approval.JSON"
    path.write_text(json.dumps({"plan_digest": DIGEST, "approved_by": "Ada", "approved_at": "2026-11-27T15:00"}))
    assert read_approval(path).approved_at == datetime(2026, 11, 27, 15).astimezone(), "local time of the machine"


def test_the_example_is_an_approval(tmp_path: Path) -> None:
    path = tmp_path / "approval.toml"
    path.write_text(example(DIGEST))
    assert read_approval(path).plan_digest == DIGEST


WRONG = {
    "no entries": ("", "it lacks plan_digest, approved_by, approved_at"),
    "not TOML": ("plan_digest: 7", "it is no TOML"),
    "no digest": ('approved_by = "x"\napproved_at = 2026-11-27T15:00:00', "it lacks plan_digest"),
    "nobody": (f'plan_digest = "{DIGEST}"\napproved_by = " "\napproved_at = 2026-11-27T15:00:00', "must be texts"),
    "a number": (f'plan_digest = 7\napproved_by = "{DIGEST}"\napproved_at = 2026-11-27T15:00:00', "must be texts"),
    "a date alone": (f'plan_digest = "{DIGEST}"\napproved_by = "x"\napproved_at = 2026-11-27', "date and time of day"),
    "no moment": (f'plan_digest = "{DIGEST}"\napproved_by = "x"\napproved_at = "soon"', "date and time of day"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_approval(case: str, tmp_path: Path) -> None:
    text, why = WRONG[case]
    path = tmp_path / "approval.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=why):
        read_approval(path)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        read_approval(tmp_path / "missing.toml")
    with pytest.raises(ValueError, match="Is a directory"):
        read_approval(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# B\xf6rse")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_approval(tmp_path / "latin.toml")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ValueError, match="holds no entries"):
        read_approval(tmp_path / "list.json")
    (tmp_path / "dump.toml").write_text("#" * 200_000)
    with pytest.raises(ValueError, match="far too large"):
        read_approval(tmp_path / "dump.toml")
