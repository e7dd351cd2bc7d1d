"""`accounts-migration phase`: a phase a command, each of them a process that knows nothing but what was recorded."""

from pathlib import Path

import pytest

from accounts_migration_tests.commands import Here, command, verdict, write_bank

WORDS = ("legacy.db", "accounts.db")


def test_four_commands_are_a_migration(tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db")
    refused = here("phase", 2, *WORDS)
    assert (refused.status, "what to do: Run phase 1 first" in refused.err) == (1, True)
    another_process = command(tmp_path, "phase", 1, *WORDS)
    assert (another_process.returncode, "PHASE 1 PASSED" in another_process.stdout) == (0, True), another_process
    again = here("phase", 3, *WORDS)
    assert (again.status, "Phase 3 is refused" in again.err, "account all is not loaded" in again.err) == (
        1,
        True,
        True,
    )
    for number, word in enumerate(("accounts", "phase_3_history", "4"), start=2):
        said = here("phase", word, *WORDS, RECENT_FROM="2024-03")
        assert (said.status, f"PHASE {number} PASSED" in said.out) == (0, True), said
        assert (f"next: phase {number + 1}, phase_{number + 1}_" in said.out) == (number < 4)
    assert "validation/reconciliation complete passed" in said.lines


def test_a_phase_with_rejects_ends_with_1_and_lists_them(tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db", "UPDATE legacy_customers SET last_name = NULL WHERE customer_number = 2")
    said = here("phase", 1, *WORDS)
    assert (said.status, verdict(said.out)) == (1, "REFUSED")
    assert "customer all 2 2 MISSING_VALUE last_name" in said.lines
    assert not (tmp_path / "accounts.db").exists()


@pytest.mark.parametrize("word", ["0", "5", "phase", "referenc", ""])
def test_an_unknown_phase_ends_with_2(word: str, tmp_path: Path, here: Here) -> None:
    write_bank(tmp_path / "legacy.db")
    said = here("phase", word, *WORDS)
    assert (said.status, "There is no phase" in said.err, "phase_1_reference" in said.err) == (2, True, True)


@pytest.mark.parametrize("month", ["2024-13", "March", "2024", "202403"])
def test_recent_from_is_a_month(month: str, tmp_path: Path, here: Here) -> None:
    said = here("phase", 1, *WORDS, RECENT_FROM=month)
    assert (said.status, "recent_from" in said.err) == (2, True)
