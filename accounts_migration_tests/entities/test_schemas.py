"""The Pandera schemas say the rules: their named checks are reason codes, and they hold for cleaned rows alone."""

from pathlib import Path

import pandera.pandas as pandera
import pyarrow as pa
import pytest

from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.entities.schemas import as_frame
from accounts_migration.entities.values import REASONS
from accounts_migration_tests.entities.judging import judged_rows

TARGET = {
    "product": [
        "product_id", "product_name", "product_type", "interest_rate", "transaction_fee", "monthly_fee",
        "min_balance_for_interest", "created_at",
    ],
    "customer": ["customer_id", "first_name", "last_name", "email", "phone", "created_at"],
    "account": [
        "account_id", "customer_id", "product_id", "status", "balance", "opening_date", "closing_date", "created_at",
        "updated_at",
    ],
    "transaction": [
        "transaction_id", "account_id", "transaction_type", "amount", "balance_after", "reference", "transaction_date",
    ],
}  # fmt: skip
NULLABLE = {"email", "phone", "opening_date", "closing_date"}


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_cleaned_row_has_the_columns_of_the_contract(entity: str) -> None:
    assert ENTITIES[entity].target_columns == TARGET[entity]
    assert ENTITIES[entity].row_schema.names == ["batch", *TARGET[entity]]


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_check_is_named_by_a_reason_code(entity: str) -> None:
    names = {check.name for column in ENTITIES[entity].schema.columns.values() for check in column.checks}
    assert names
    assert names <= set(REASONS[1:])


@pytest.mark.parametrize("entity", ENTITIES)
def test_only_what_the_contract_lets_be_null_is_nullable(entity: str) -> None:
    schema = ENTITIES[entity].schema
    assert {name for name in TARGET[entity] if schema.columns[name].nullable} == NULLABLE & set(TARGET[entity])


@pytest.mark.parametrize("entity", ENTITIES)
def test_cleaned_rows_satisfy_the_schema_and_a_null_does_not(tmp_path: Path, entity: str) -> None:
    rows = judged_rows(tmp_path, {entity: [{}]}, Policies())[entity].rows.drop_columns(["batch"])
    ENTITIES[entity].schema.validate(as_frame(rows), lazy=True)
    for place, name in enumerate(rows.column_names):
        field = rows.schema.field(name)
        spoilt = as_frame(rows.set_column(place, field, pa.nulls(1, field.type)))
        if name in NULLABLE:
            ENTITIES[entity].schema.validate(spoilt, lazy=True)
        else:
            with pytest.raises(pandera.errors.SchemaErrors):
                ENTITIES[entity].schema.validate(spoilt, lazy=True)


@pytest.mark.parametrize(
    ("entity", "column", "value", "reason"),
    [
        ("product", "transaction_fee", -1, "OUT_OF_RANGE"),
        ("product", "monthly_fee", -1, "OUT_OF_RANGE"),
        ("transaction", "amount", 0, "ZERO_AMOUNT"),
        ("transaction", "amount", -1, "ZERO_AMOUNT"),
    ],
)
def test_a_rule_on_a_value_holds_for_stored_rows_too(
    tmp_path: Path, entity: str, column: str, value: int, reason: str
) -> None:
    rows = judged_rows(tmp_path, {entity: [{}]}, Policies())[entity].rows.drop_columns(["batch"])
    place = rows.column_names.index(column)
    spoilt = rows.set_column(place, rows.schema.field(column), pa.array([value], pa.int64()))
    with pytest.raises(pandera.errors.SchemaErrors) as caught:
        ENTITIES[entity].schema.validate(as_frame(spoilt), lazy=True)
    assert caught.value.failure_cases[["column", "check"]].to_numpy().tolist() == [[column, reason]]
