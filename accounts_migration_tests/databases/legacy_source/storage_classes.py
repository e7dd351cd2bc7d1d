"""Cells of every storage class, for tests that draw them.

Here: the strategy. Not here: what is read of them.
"""

from hypothesis import strategies as st

from accounts_migration.legacy_values import LegacyValue, UndecodableText

BIGGEST = 2**63 - 1
TEXTS_NOT_UTF_8 = st.binary(min_size=1, max_size=8).map(lambda raw: UndecodableText(raw + b"\xff"))
CELLS: st.SearchStrategy[LegacyValue] = st.one_of(
    st.none(),
    st.integers(-(2**63), BIGGEST),
    st.sampled_from([0, -(2**53), 2**53, 2**53 + 1, -(2**53) - 1, BIGGEST, -(2**63)]),
    st.floats(allow_nan=False),
    st.integers(-(10**15), 10**15).map(float),
    st.sampled_from([0.1 + 0.2, 1e300, 5e-324, 2.0**53, 2.0**63, float("inf"), -float("inf")]),
    st.text(max_size=8),
    st.sampled_from(["", "\0", "a\0b", "7", "7.0", "n", "i7,r8", "'", '"', "\ud7ff", "\U0010ffff", " x "]),
    st.binary(max_size=8),
    TEXTS_NOT_UTF_8,
)
