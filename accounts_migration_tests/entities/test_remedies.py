"""Every reason code says how its rows are mended (contract sections 4 and 5)."""

import pytest

from accounts_migration.entities.remedies import REMEDIES, remedy
from accounts_migration.entities.values import REASONS


def test_there_is_a_remedy_for_every_reason_and_for_nothing_else() -> None:
    assert tuple(REMEDIES) == REASONS[1:]


@pytest.mark.parametrize("reason", REMEDIES)
def test_a_remedy_is_one_sentence(reason: str) -> None:
    sentence = REMEDIES[reason]
    assert (sentence[0].isupper(), sentence.count(". "), sentence.endswith(".")) == (True, 0, True)


def test_a_row_with_several_reasons_has_all_their_remedies() -> None:
    assert remedy("ZERO_AMOUNT,INVALID_TEXT") == (
        "Enter the amount that was moved, or remove the transaction if nothing was. "
        "Replace the binary data in this column by text."
    )
