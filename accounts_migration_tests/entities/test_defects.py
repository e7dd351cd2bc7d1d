"""Defect records: their columns, and that no personal value survives masking (contract sections 6 and 8)."""

import json
import string
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts_migration.entities.defects import (
    DEFECT_SCHEMA,
    Defect,
    defect_table,
    masked,
    without_personal_data,
    without_values,
)
from accounts_migration.entities.policies import Policies
from accounts_migration.legacy_values import LegacyValue, UndecodableText
from accounts_migration_tests.entities.judging import Row, as_told, judged_rows, numbered

PERSONAL = {
    "customer": ("first_name", "last_name", "email_address", "phone_number"),
    "transaction": ("description",),
}
SECRETS: list[LegacyValue] = [
    "Müller", "ada.byron@example.org", "+44 20 7946 0018", "S\0ecret", "देवनागरी", "Z\u0308oe\u0301",
    "\U0001f600\U0001f1e9\U0001f1ea", "ⅷ ²",
    5550100, 5550.25, b"Secret", b"", UndecodableText(b"Zo\xeb"),
]  # fmt: skip


def shown(folder: Path, entity: str, rows: Sequence[Row]) -> list[dict[str, LegacyValue]]:
    """Return the masked defects of some rows."""
    verdict = judged_rows(folder, {entity: rows}, Policies())[entity]
    return [without_personal_data(record) for record in verdict.defects.to_pylist()]


@pytest.mark.parametrize(("entity", "column"), [(entity, name) for entity, names in PERSONAL.items() for name in names])
def test_no_personal_value_survives_in_any_column(tmp_path: Path, entity: str, column: str) -> None:
    broken: Row = {"created_date": 5} if entity == "customer" else {"trans_date": None}
    found = shown(tmp_path, entity, [row | broken for row in numbered(entity, column, SECRETS)])
    assert len(found) == len(SECRETS)
    for record in found:
        secret = SECRETS[int(str(record["source_key"])) - 1]
        hidden = json.loads(str(record["source_row"]))[column]
        assert hidden == (masked(secret) if isinstance(secret, str) else "masked")
        everything = json.dumps(list(record.values()), ensure_ascii=False)
        assert [part for part in str(as_told(secret)).split() if len(part) > 1 and part in everything] == []


@pytest.mark.parametrize("secret", ["ada byron@example.org", b"Secret", UndecodableText(b"Zo\xeb"), 5550100])
def test_the_old_value_of_a_personal_column_is_masked(tmp_path: Path, secret: LegacyValue) -> None:
    (record,) = shown(tmp_path, "customer", [{"email_address": secret}])
    assert record["column"] == "email_address"
    assert (
        record["old_value"]
        == {
            "ada byron@example.org": "xxx xxxxx@xxxxxxx.xxx",
            b"Secret": "999999999999",
            UndecodableText(b"Zo\xeb"): "9x9xxx",
            5550100: "9999999",
        }[secret]
    )


def test_the_new_value_of_a_personal_column_is_masked(tmp_path: Path) -> None:
    (record,) = shown(tmp_path, "transaction", [{"description": "Rent 7 " + "y" * 200}])
    assert (record["reason"], record["column"]) == ("TRUNCATED", "description")
    assert record["old_value"] == "xxxx 9 " + "x" * 200
    assert record["new_value"] == "xxxx 9 " + "x" * 193


@pytest.mark.parametrize("column", ["first_name", "last_name", "email", "phone", "reference"])
def test_personal_columns_of_the_platform_are_masked_too(column: str) -> None:
    """A copy reads them as its source."""
    row = {column: "Ada 1", "created_at": "2020-01-02"}
    record: dict[str, LegacyValue] = dict.fromkeys(DEFECT_SCHEMA.names) | {
        "column": column, "old_value": "Ada 1", "new_value": "Ada", "source_row": json.dumps(row),
    }  # fmt: skip
    hidden = without_personal_data(record)
    assert (hidden["old_value"], hidden["new_value"]) == ("xxx 9", "xxx")
    assert json.loads(str(hidden["source_row"])) == {column: "xxx 9", "created_at": "2020-01-02"}


@pytest.mark.parametrize(("key", "shown"), [("17", "17"), ("zoe@x", "xxx@x"), ("row 5", "xxx 9"), (None, None)])
def test_of_a_table_that_nobody_knows_every_value_is_masked(key: str | None, shown: str | None) -> None:
    record: dict[str, LegacyValue] = dict.fromkeys(DEFECT_SCHEMA.names) | {
        "source_key": key, "column": "town", "old_value": "Ulm 1", "source_row": '{"town": "Ulm 1", "size": 7}',
    }  # fmt: skip
    hidden = without_values(record)
    assert (hidden["source_key"], hidden["old_value"]) == (shown, "xxx 9")
    assert json.loads(str(hidden["source_row"])) == {"town": "xxx 9", "size": "masked"}


def test_what_is_not_personal_is_shown(tmp_path: Path) -> None:
    (record,) = shown(tmp_path, "customer", [{"created_date": "soon", "phone_number": None}])
    assert (record["source_key"], record["column"], record["old_value"]) == ("1", "created_date", "soon")
    assert json.loads(str(record["source_row"])) == {
        "customer_number": 1,
        "first_name": "xxx",
        "last_name": "x'xxxx",
        "email_address": "xxx@xxxxxxx.xxx",
        "phone_number": None,
        "created_date": "soon",
        "status": "ACTIVE",
    }


def test_masking_leaves_the_record_itself_alone() -> None:
    record: dict[str, LegacyValue] = dict.fromkeys(DEFECT_SCHEMA.names) | {
        "column": "first_name", "old_value": "Ada", "source_row": '{"first_name": "Ada"}',
    }  # fmt: skip
    assert without_personal_data(record)["old_value"] == "xxx"
    assert record["old_value"] == "Ada"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", ""),
        ("Ada O'Neil-Byron", "xxx x'xxxx-xxxxx"),
        ("ada.b+c@example.org", "xxx.x+x@xxxxxxx.xxx"),
        ("+44 (0)20", "+99 (9)99"),
        ("Müller", "xxxxxx"),
        ("\u0967\u0968", "99"),
        ("देवी", "xxxx"),
        ("Z\u0308", "xx"),
        ("\U0001f600 \u00b2", "x 9"),
        ("a\0b", "xxx"),
    ],
)
def test_only_the_shape_of_a_masked_value_is_left(value: str | None, expected: str | None) -> None:
    assert masked(value) == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_masked_value_holds_no_letter_mark_digit_or_symbol_of_its_own(value: str) -> None:
    text = masked(value)
    assert text is not None
    assert len(text) == len(value)
    left = {sign for sign in text if sign not in "x9"}
    assert left <= set(string.punctuation + " ")


def test_defects_become_a_table_of_the_schema() -> None:
    defect = Defect("customer", "all", None, None, "rejected", "MISSING_KEY", "MISSING_KEY", "c", None, None, "{}")
    assert defect_table([]).schema == DEFECT_SCHEMA
    assert defect_table([defect, defect]).to_pylist() == [
        {
            "entity": "customer", "batch": "all", "source_key": None, "source_row_id": None, "action": "rejected",
            "reason": "MISSING_KEY", "reasons": "MISSING_KEY", "column": "c", "old_value": None, "new_value": None,
            "source_row": "{}",
        }
    ] * 2  # fmt: skip
