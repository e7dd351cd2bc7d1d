"""The forms of values: what a person learns of a column without seeing a value of it."""

import math

import pyarrow as pa
import pytest

from accounts_migration.assessment.forms import MOST_FORMS_KEPT, Form, Forms, form_of
from accounts_migration.entities.defects import masked
from accounts_migration.legacy_values import LegacyValue, UndecodableText


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (7, "INTEGER"),
        (7.0, "REAL, whole"),
        (-7.25, "REAL, up to 2 decimals"),
        (0.1 + 0.2, "REAL, up to 2 decimals"),
        (1.005, "REAL, more than 2 decimals"),
        (1e-7, "REAL, more than 2 decimals"),
        (1e300, "REAL, whole"),
        (math.inf, "REAL, not finite"),
        (b"7", "BLOB"),
        (UndecodableText(b"\xff"), "TEXT, invalid UTF-8"),
        ("", ""),
        (" 12.50 ", " 99.99 "),
        ("1,000.00-", "9,999.99-"),
        ("2024-01-31T10:00:00Z", "9999-99-99x99:99:99x"),
        ("31. Jänner", "99. xxxxxx"),
        ("\u0661\u0662", "99"),
        ("a\x00\u200b\n", "xxxx"),
        ("7" * 41, "9" * 40 + "…"),
    ],
)
def test_the_form_of_a_value(value: LegacyValue, form: str) -> None:
    assert form_of(value) == form


TEXTS = [
    "",
    " ",
    "2024-01-31",
    "\u00e9t\u00e9 2024",
    "x" * 40,
    "x" * 41,
    "\u20ac" * 15,
    "12.50\x00",
    "\U0001f600",
    "-1",
]


@pytest.mark.parametrize("offset", [0, 3])
def test_a_chunk_of_texts_has_the_forms_of_its_texts(offset: int) -> None:
    forms = Forms()
    forms.add_regular(pa.array(["not", "of", "it", *TEXTS, None]).slice(offset))

    expected = [form_of(text) for text in (["not", "of", "it", *TEXTS])[offset:]]
    assert {one.form: one.rows for one in forms.most_frequent(99)} == {form: expected.count(form) for form in expected}
    assert all(one.form.rstrip("…") == masked(one.form.rstrip("…")) for one in forms.most_frequent(99))


def test_a_chunk_of_reals_has_the_forms_of_its_reals() -> None:
    numbers = [1.0, -2.0, 0.5, 12.34, 0.1 + 0.2, 1.005, 2.0**60, 1e308, math.inf, -math.inf, 4503599627370495.5]
    forms = Forms()
    forms.add_regular(pa.array([*numbers, None]))

    expected = [form_of(number) for number in numbers]
    assert {one.form: one.rows for one in forms.most_frequent(99)} == {form: expected.count(form) for form in expected}


def test_the_most_frequent_come_first_and_the_others_are_counted() -> None:
    forms = Forms()
    forms.add_regular(pa.array(["1", "2", "33", "44", "55", "a"]))
    forms.add_value("1-1")
    forms.add_value(None)

    assert forms.most_frequent(2) == (Form("99", 3), Form("9", 2))
    assert forms.rows_beyond(2) == 2
    assert forms.rows_beyond(9) == 0


def test_a_column_of_ever_new_forms_takes_no_ever_more_memory() -> None:
    forms = Forms()
    for number in range(MOST_FORMS_KEPT + 100):
        forms.add(f"{number:b}".replace("0", "-"), 1)
    forms.add("1", 5)

    assert forms.most_frequent(1) == (Form("1", 6),)
    assert forms.rows_beyond(1) == MOST_FORMS_KEPT + 99
