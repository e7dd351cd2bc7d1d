"""How a refusal reaches the person in the UI."""

from pathlib import Path

import dagster as dg
import pytest

from accounts_migration.assets.failures import failing_clearly


def test_what_the_system_refuses_is_told_as_a_refusal_and_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(dg.Failure) as failure, failing_clearly():
        tmp_path.read_bytes()
    assert failure.value.description == (
        f"Cannot use {tmp_path}: Is a directory. Look at the disk, and at the rights of this user to it and to the "
        "folders above it; then run again"
    )
    assert not failure.value.allow_retries
