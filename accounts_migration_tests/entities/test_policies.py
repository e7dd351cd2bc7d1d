"""The policies of contract section 8: their defaults, what they accept, and refusals that name the wrong value."""

from typing import Any

import pytest
from pydantic import ValidationError

from accounts_migration.entities.policies import Policies


def test_the_defaults_are_those_of_the_contract() -> None:
    assert Policies().model_dump() == {
        "max_reject_rate": 0.0,
        "inactive_parents": "referenced",
        "invalid_email": "reject",
        "letter_case": "title",
        "date_formats": (),
        "legacy_encoding": "utf-8",
        "product_type": {},
        "account_status": {},
        "transaction_type": {},
    }


def test_the_code_maps_are_those_of_the_contract() -> None:
    policies = Policies()
    assert policies.product_types == {"CHK": "CHECKING", "CUR": "CURRENT"}
    assert policies.account_statuses == {"A": "ACTIVE", "C": "CLOSED"}
    assert policies.transaction_types == {"CR": "CREDIT", "DR": "DEBIT", "FE": "FEE", "IN": "INTEREST"}


@pytest.mark.parametrize(
    "accepted",
    [
        {"max_reject_rate": 0},
        {"max_reject_rate": 1},
        {"max_reject_rate": 0.005},
        {"inactive_parents": "exclude"},
        {"invalid_email": "null"},
        {"letter_case": "keep"},
        {"date_formats": ["%d/%m/%Y", "%d%m%y", "%d %b %Y %H:%M"]},
        {"legacy_encoding": "cp1252"},
        {"legacy_encoding": "latin-1"},
        {"legacy_encoding": "utf-16"},
        {"product_type": {"SAV": "CHECKING"}},
    ],
    ids=str,
)
def test_accepted_values(accepted: dict[str, Any]) -> None:
    kept = Policies(**accepted).model_dump(mode="json")
    assert {name: kept[name] for name in accepted} == accepted


def test_codes_and_formats_may_be_written_in_one_line() -> None:
    policies = Policies.model_validate(
        {"account_status": " dormant = CLOSED, f=ACTIVE,", "transaction_type": "", "date_formats": "%d/%m/%Y;%Y%m%d;"}
    )
    assert policies.account_status == {"DORMANT": "CLOSED", "F": "ACTIVE"}
    assert policies.account_statuses == {"DORMANT": "CLOSED", "F": "ACTIVE", "A": "ACTIVE", "C": "CLOSED"}
    assert policies.transaction_type == {}
    assert policies.date_formats == ("%d/%m/%Y", "%Y%m%d")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("max_reject_rate", -0.01, "greater than or equal to 0"),
        ("max_reject_rate", 1.01, "less than or equal to 1"),
        ("max_reject_rate", float("nan"), "input_value=nan"),
        ("max_reject_rate", "half", "'half'"),
        ("inactive_parents", "drop", "'drop'"),
        ("invalid_email", "NULL", "'NULL'"),
        ("letter_case", "upper", "'upper'"),
        ("date_formats", ("%d/%m",), "'%d/%m' names no year"),
        ("date_formats", ("%%Y-%m",), "'%%Y-%m' names no year"),
        ("date_formats", ("%Y-%m-%d%z",), "'%Y-%m-%d%z' names a zone"),
        ("date_formats", ("%Y-%m-%d", "%Q-%Y"), "'%Q-%Y' cannot be used"),
        ("legacy_encoding", "cp9999", "unknown code page 'cp9999'"),
        ("legacy_encoding", "base64", "unknown code page 'base64'"),
        ("legacy_encoding", "rot13", "unknown code page 'rot13'"),
        ("legacy_encoding", "a\0b", "unknown code page 'a\\x00b'"),
        ("product_type", {"SAV": "SAVINGS"}, "not to 'SAVINGS'"),
        ("account_status", {"D": "DORMANT"}, "ACTIVE, CLOSED; not to 'DORMANT'"),
        ("transaction_type", {"X": "CR"}, "CREDIT, DEBIT, FEE, INTEREST; not to 'CR'"),
        ("transaction_type", "XC", "CODE=VALUE"),
        ("product_type", {"CHK": "CURRENT"}, "'CHK' is CHECKING already"),
        ("transaction_type", {" cr": "DEBIT"}, "'CR' is CREDIT already"),
        ("account_status", {"d": "ACTIVE", " D": "CLOSED"}, "'D' is given twice"),
        ("product_type", {" ": "CURRENT"}, "a code is empty"),
        ("letter_cas", "keep", "Extra inputs"),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: Any, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Policies.model_validate({name: value})
    (error,) = caught.value.errors()
    assert error["loc"][0] == name
    assert told in str(caught.value)


def test_a_standard_code_may_be_repeated_with_its_own_meaning() -> None:
    assert Policies(product_type={"chk": "CHECKING"}).product_types == {"CHK": "CHECKING", "CUR": "CURRENT"}


@pytest.mark.parametrize(
    ("rate", "rejected", "rows", "allowed"),
    [
        (0, 0, 0, True),
        (0, 1, 10**6, False),
        (0.1, 1, 10, True),
        (0.1, 2, 19, False),
        (0.3, 3, 10, True),
        (1, 9, 9, True),
    ],
)
def test_the_share_of_rejects_is_compared_exactly(rate: float, rejected: int, rows: int, allowed: bool) -> None:
    assert Policies(max_reject_rate=rate).allows(rejected, rows) is allowed


def test_policies_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Policies().letter_case = "keep"


@pytest.mark.parametrize(
    "change",
    [
        {"max_reject_rate": 0.1},
        {"inactive_parents": "exclude"},
        {"invalid_email": "null"},
        {"letter_case": "keep"},
        {"date_formats": ("%Y%m%d",)},
        {"legacy_encoding": "cp1252"},
        {"product_type": {"SAV": "CHECKING"}},
        {"account_status": {"D": "CLOSED"}},
        {"transaction_type": {"X": "FEE"}},
    ],
    ids=str,
)
def test_any_other_policy_has_another_digest_and_the_same_one_has_not(change: dict[str, Any]) -> None:
    assert Policies(**change).digest != Policies().digest
    assert Policies(**change).digest == Policies.model_validate_json(Policies(**change).as_json()).digest


def test_the_order_of_formats_counts_and_that_of_codes_does_not() -> None:
    def of_formats(*formats: str) -> str:
        return Policies(date_formats=formats).digest

    assert of_formats("%d/%m/%Y", "%m/%d/%Y") != of_formats("%m/%d/%Y", "%d/%m/%Y")
    one, other = {"X": "FEE", "Y": "DEBIT"}, {"y": "DEBIT", "x": "FEE"}
    assert Policies(transaction_type=one).digest == Policies(transaction_type=other).digest
