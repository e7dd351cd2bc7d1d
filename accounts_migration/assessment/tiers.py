"""The guide's table of data volumes: which approach it recommends for how much data, and the downtime it expects.

Here: the table (guide, "Recommended Approach by Data Volume") and what it says of a bank, and what this tool offers for
each approach. Not here: counting (`volumes`) and the downtime measured on this machine (`estimate`).
"""

from dataclasses import dataclass

BIG_BANG, PHASED, PARALLEL_RUN = "Big Bang", "Phased", "Parallel Run"


@dataclass(frozen=True, slots=True)
class Tier:
    """A line of the table: the least accounts and transactions of it, and what the guide says of it."""

    name: str
    accounts: int
    transactions: int
    approach: str
    downtime: str


TIERS = (
    Tier("small", 0, 0, BIG_BANG, "2-4 hours"),
    Tier("medium", 10_000, 100_000, PHASED, "4-8 hours"),
    Tier("large", 100_000, 1_000_000, PARALLEL_RUN, "near-zero"),
    # "> 1M": a million is large still
    Tier("enterprise", 1_000_001, 10_000_001, PARALLEL_RUN, "zero"),
)

_REASONS = {
    BIG_BANG: "everything moves in one go, within one downtime",
    PHASED: "too much for one evening without a stop: reference data, accounts and history are moved and validated one "
    "after the other, the recent months last",
    PARALLEL_RUN: "the guide wants both systems run side by side and kept in step",
}

_OFFERED = {
    BIG_BANG: "big bang: everything in order, stopping at the first gate that fails",
    PHASED: "phased: each phase starts once the one before it has passed its checks",
    PARALLEL_RUN: "phased, which has a downtime: this tool does not keep two systems in step, so it promises neither "
    "near-zero nor zero",
}


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the table says of a bank: `tier_reason` and `approach_reason` say why, `offered` what this tool runs."""

    tier: str
    tier_reason: str
    approach: str
    approach_reason: str
    offered: str
    guide_downtime: str


def recommendation(accounts: int, transactions: int) -> Recommendation:
    """Return what the guide recommends; where accounts and transactions disagree, the larger tier wins."""
    by_accounts = max(tier for tier in range(len(TIERS)) if accounts >= TIERS[tier].accounts)
    by_transactions = max(tier for tier in range(len(TIERS)) if transactions >= TIERS[tier].transactions)
    chosen = TIERS[max(by_accounts, by_transactions)]
    counted = f"{accounts:,} accounts are {TIERS[by_accounts].name}"
    counted += f", {transactions:,} transactions are {TIERS[by_transactions].name}"
    return Recommendation(
        tier=chosen.name,
        tier_reason=counted if by_accounts == by_transactions else f"{counted}: the larger tier wins",
        approach=chosen.approach,
        approach_reason=_REASONS[chosen.approach],
        offered=_OFFERED[chosen.approach],
        guide_downtime=chosen.downtime,
    )
