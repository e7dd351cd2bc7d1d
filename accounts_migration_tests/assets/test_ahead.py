"""Work begun ahead: its result serves the run that began it, and only that one."""

import pytest

from accounts_migration.assets.ahead import Ahead
from accounts_migration.errors import MigrationError


def _refused() -> str:
    raise MigrationError("It cannot be read", why="the file is locked", remedy="Wait")


def test_what_was_begun_is_handed_over_once() -> None:
    ahead: Ahead[str] = Ahead()
    ahead.begin("run", lambda: "begun")
    assert ahead.result("run", lambda: "now") == "begun"
    assert ahead.result("run", lambda: "now") == "now"


def test_what_another_run_began_is_left_alone() -> None:
    ahead: Ahead[str] = Ahead()
    ahead.begin("a run that failed", lambda: "begun")
    assert ahead.result("the next run", lambda: "now") == "now"


def test_nothing_begun_is_done_now() -> None:
    assert Ahead[str]().result("run", lambda: "now") == "now"


def test_what_failed_beside_the_other_work_is_done_again() -> None:
    ahead: Ahead[str] = Ahead()
    ahead.begin("run", _refused)
    assert ahead.result("run", lambda: "now") == "now"


def test_another_asset_may_wait_for_what_was_begun() -> None:
    ahead: Ahead[str] = Ahead()
    assert ahead.begun("run") is None
    ahead.begin("run", lambda: "begun")
    begun = ahead.begun("run")
    assert begun is not None
    assert begun() == "begun"
    assert ahead.begun("the next run") is None


def test_who_waits_for_what_failed_learns_why() -> None:
    ahead: Ahead[str] = Ahead()
    ahead.begin("run", _refused)
    begun = ahead.begun("run")
    assert begun is not None
    with pytest.raises(MigrationError, match="the file is locked"):
        begun()


def test_what_fails_again_is_told() -> None:
    ahead: Ahead[str] = Ahead()
    ahead.begin("run", _refused)
    with pytest.raises(MigrationError, match="the file is locked"):
        ahead.result("run", _refused)
