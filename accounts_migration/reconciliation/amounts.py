"""Cents and rates as a person reads them.

Here: the one spelling of an amount, and that of a rate. Not here: any arithmetic.
"""

from decimal import Decimal

_DECIMALS_OF_RATE = 6


def amount(cents: int) -> str:
    """Return cents as an amount with two decimals, exact: -1,234.05."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100:,}.{abs(cents) % 100:02d}"


def percentage(millionths: int) -> str:
    """Return a rate in millionths of a percent as percent, exact, with as many decimals as it needs: 2.5."""
    return f"{Decimal(millionths).scaleb(-_DECIMALS_OF_RATE).normalize():f}"
