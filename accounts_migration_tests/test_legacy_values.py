"""One legacy value in any storage class: its JSON restores it exactly, its text is what a person reads."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts_migration.legacy_values import (
    LegacyValue,
    UndecodableText,
    as_text,
    read_source_row,
    real_as_text,
    source_row_json,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES: st.SearchStrategy[LegacyValue] = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.sampled_from([math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 2.0**53]),
    TEXT,
    st.sampled_from(['{"blob": "00"}', "\0", "\ufeff", "\u2028", "null", "1"]),
    st.binary(),
    st.binary().map(lambda raw: UndecodableText(raw + b"\xff")),
)


def exactly(row: dict[str, LegacyValue]) -> list[tuple[str, type, str]]:
    """Return a row with storage classes and the signs of zeros."""
    return [(column, type(value), repr(value)) for column, value in row.items()]


@given(st.dictionaries(TEXT, VALUES, max_size=8))
@settings(max_examples=300, deadline=None)
def test_a_source_row_is_restored_exactly(row: dict[str, LegacyValue]) -> None:
    assert exactly(read_source_row(source_row_json(row))) == exactly(row)


@given(st.dictionaries(TEXT, VALUES, max_size=8))
@settings(deadline=None)
def test_a_source_row_is_json_for_every_reader(row: dict[str, LegacyValue]) -> None:
    def refused(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    text = source_row_json(row)
    json.loads(text, parse_constant=refused)
    assert "\0" not in text
    assert text.encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (7, "7"),
        (7.0, "7.0"),
        (2**63 - 1, "9223372036854775807"),
        ("é\0", '"é\\u0000"'),
        (b"\x00\xff", '{"blob": "00ff"}'),
        (b"", '{"blob": ""}'),
        (UndecodableText(b"\xe9"), '{"text": "e9"}'),
        (math.inf, '{"real": "inf"}'),
        (-math.inf, '{"real": "-inf"}'),
    ],
)
def test_the_json_of_each_storage_class(value: LegacyValue, expected: str) -> None:
    assert source_row_json({"x": value}) == f'{{"x": {expected}}}'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", ""),
        (" Ada\0", " Ada\0"),
        (7, "7"),
        (-(2**63), "-9223372036854775808"),
        (7.0, "7.0"),
        (0.1 + 0.2, "0.3"),
        (1e20, "1.0e+20"),
        (-1.5e-7, "-1.5e-07"),
        (math.inf, "Inf"),
        (-math.inf, "-Inf"),
        (b"\x00\xff", "00ff"),
        (b"", ""),
        (UndecodableText(b"Zo\xeb"), "5a6feb"),
    ],
)
def test_the_text_of_each_storage_class(value: LegacyValue, expected: str | None) -> None:
    assert as_text(value) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_real_is_the_number_at_fifteen_digits(value: float) -> None:
    text = real_as_text(value)
    assert float(text) == float(f"{value:.15g}")
    assert "." in text
