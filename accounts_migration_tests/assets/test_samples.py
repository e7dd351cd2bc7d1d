"""The few cleaned rows that the UI shows: amounts and rates exactly, personal values masked (contract section 8)."""

import pyarrow as pa
import pytest

from accounts_migration.assets.samples import sample_of


@pytest.mark.parametrize(
    ("millionths", "shown"),
    [(12_345_678, "12.345678"), (2_500_000, "2.5"), (100_000_000, "100"), (1, "0.000001"), (0, "0")],
)
def test_a_rate_is_shown_to_its_last_decimal(millionths: int, shown: str) -> None:
    assert sample_of(pa.table({"interest_rate": [millionths]})) == [{"interest_rate": shown}]


def test_amounts_have_their_cents_and_names_are_masked() -> None:
    rows = pa.table({"balance": [-123_405], "first_name": ["Ada 1"], "email": pa.array([None], pa.string())})
    assert sample_of(rows) == [{"balance": "-1,234.05", "first_name": "xxx 9", "email": ""}]
