"""The policies of contract section 8, and their defaults.

Here: which choices a bank has, and which values are allowed. Not here: where they are read from
(`accounts_migration.settings`) and what they do (the entity files).
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

PRODUCT_TYPES: Mapping[str, str] = MappingProxyType({"CHK": "CHECKING", "CUR": "CURRENT"})
ACCOUNT_STATUSES: Mapping[str, str] = MappingProxyType({"A": "ACTIVE", "C": "CLOSED"})
TRANSACTION_TYPES: Mapping[str, str] = MappingProxyType({"CR": "CREDIT", "DR": "DEBIT", "FE": "FEE", "IN": "INTEREST"})


def of_targets(codes: Mapping[str, str]) -> Mapping[str, str]:
    """Return the codes of the platform's own tables, where each value of the target stands for itself."""
    return {target: target for target in codes.values()}


def _known_encoding(name: str) -> str:
    try:
        "".encode(name)  # a code page of text: `hex` and `zlib` are codecs, too
    except (LookupError, ValueError) as error:
        raise ValueError(f"unknown code page {name!r}; try utf-8, cp1252, latin-1 or cp850") from error
    return name


def _as_mapping(value: object) -> object:
    """Accept `SAV=CHECKING,LOAN=CURRENT` as the command line and the environment write it."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not middle for _, middle, _ in pairs):
        raise ValueError("write additional codes as CODE=VALUE,CODE=VALUE")
    return {code.strip(): target.strip() for code, _, target in pairs}


def _as_formats(value: object) -> object:
    """Accept `%d/%m/%Y;%Y%m%d` as the command line and the environment write it."""
    return [part for part in value.split(";") if part] if isinstance(value, str) else value


def _only_targets(known: Mapping[str, str]) -> AfterValidator:
    def check(codes: dict[str, str]) -> dict[str, str]:
        wrong = sorted(set(codes.values()) - set(known.values()))
        if wrong:
            raise ValueError(f"codes may only map to {', '.join(sorted(set(known.values())))}; not to {wrong[0]!r}")
        added: dict[str, str] = {}
        for written, target in codes.items():
            code = written.strip().upper()
            if not code:
                raise ValueError("a code is empty; write CODE=VALUE")
            if known.get(code, target) != target:
                raise ValueError(f"the code {code!r} is {known[code]} already")
            if added.setdefault(code, target) != target:
                raise ValueError(f"the code {code!r} is given twice")
        return dict(sorted(added.items()))  # in one order: the policies have a digest

    return AfterValidator(check)


def _usable_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    for text in formats:
        directives = text.replace("%%", "")
        if not any(year in directives for year in ("%Y", "%y", "%c", "%x")):
            raise ValueError(f"the date format {text!r} names no year")
        if "%z" in directives or "%Z" in directives:
            raise ValueError(f"the date format {text!r} names a zone, and a date of the target has none")
        _refuse_unknown_directive(text)
    return formats


def _refuse_unknown_directive(text: str) -> None:
    try:
        datetime.strptime("", text)  # only the format is of interest
    except ValueError as error:
        if "does not match" not in str(error):
            raise ValueError(f"the date format {text!r} cannot be used: {error}") from error


class Policies(BaseModel):
    """What the bank decided (contract section 8); frozen, and recorded with every batch it was applied to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_reject_rate: float = Field(default=0.0, ge=0, le=1, description="share of source rows that may be rejected")
    inactive_parents: Literal["referenced", "exclude"] = "referenced"
    invalid_email: Literal["reject", "null"] = "reject"
    letter_case: Literal["title", "keep"] = "title"
    date_formats: Annotated[tuple[str, ...], BeforeValidator(_as_formats), AfterValidator(_usable_formats)] = ()
    legacy_encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    product_type: Annotated[dict[str, str], BeforeValidator(_as_mapping), _only_targets(PRODUCT_TYPES)] = {}
    account_status: Annotated[dict[str, str], BeforeValidator(_as_mapping), _only_targets(ACCOUNT_STATUSES)] = {}
    transaction_type: Annotated[dict[str, str], BeforeValidator(_as_mapping), _only_targets(TRANSACTION_TYPES)] = {}

    @property
    def product_types(self) -> Mapping[str, str]:
        """Return legacy code -> product_type of the target."""
        return {**self.product_type, **PRODUCT_TYPES}

    @property
    def account_statuses(self) -> Mapping[str, str]:
        """Return legacy code -> account status of the target."""
        return {**self.account_status, **ACCOUNT_STATUSES}

    @property
    def transaction_types(self) -> Mapping[str, str]:
        """Return legacy code -> transaction_type of the target."""
        return {**self.transaction_type, **TRANSACTION_TYPES}

    def allows(self, rejected: int, rows: int) -> bool:
        """Return whether so many of the rows may be rejected."""
        return rejected <= self.most_rejects(rows)

    def most_rejects(self, rows: int) -> int:
        """Return how many of the rows may be rejected, counted exactly (contract section 8)."""
        return int(Decimal(str(self.max_reject_rate)) * rows)

    @property
    def digest(self) -> str:
        """Return the sha256 of the policies: rows accepted under one digest are not accepted under another."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()

    def as_json(self) -> str:
        """Return the policies as JSON, as the target's bookkeeping keeps them."""
        return self.model_dump_json()
