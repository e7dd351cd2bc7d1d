"""The guide's table of data volumes, at its edges and where accounts and transactions disagree."""

import pytest

from accounts_migration.assessment.tiers import recommendation


@pytest.mark.parametrize(
    ("accounts", "transactions", "tier", "approach", "downtime"),
    [
        (0, 0, "small", "Big Bang", "2-4 hours"),
        (9_999, 99_999, "small", "Big Bang", "2-4 hours"),
        (10_000, 100_000, "medium", "Phased", "4-8 hours"),
        (99_999, 999_999, "medium", "Phased", "4-8 hours"),
        (100_000, 1_000_000, "large", "Parallel Run", "near-zero"),
        (1_000_000, 10_000_000, "large", "Parallel Run", "near-zero"),
        (1_000_001, 10_000_001, "enterprise", "Parallel Run", "zero"),
    ],
)
def test_both_counts_of_one_line_give_that_line(
    accounts: int, transactions: int, tier: str, approach: str, downtime: str
) -> None:
    found = recommendation(accounts, transactions)

    assert (found.tier, found.approach, found.guide_downtime) == (tier, approach, downtime)
    assert found.tier_reason == f"{accounts:,} accounts are {tier}, {transactions:,} transactions are {tier}"


@pytest.mark.parametrize(
    ("accounts", "transactions", "tier", "reason"),
    [
        (500, 250_000, "medium", "500 accounts are small, 250,000 transactions are medium: the larger tier wins"),
        (
            2_000_000,
            5,
            "enterprise",
            "2,000,000 accounts are enterprise, 5 transactions are small: the larger tier wins",
        ),
    ],
)
def test_the_larger_tier_wins_and_says_so(accounts: int, transactions: int, tier: str, reason: str) -> None:
    found = recommendation(accounts, transactions)

    assert (found.tier, found.tier_reason) == (tier, reason)


def test_a_parallel_run_is_not_promised() -> None:
    found = recommendation(1_000_001, 1)

    assert found.approach == "Parallel Run"
    assert found.offered.startswith("phased, which has a downtime")
