"""Cents as a person reads them.

Here: the one spelling of an amount. Not here: any arithmetic.
"""


def amount(cents: int) -> str:
    """Return cents as an amount with two decimals, exact: -1,234.05."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100:,}.{abs(cents) % 100:02d}"
