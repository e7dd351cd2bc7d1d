"""The building blocks of the entities' Pandera schemas: typed columns, and checks named by reason codes.

Here: what all schemas share. Not here: the schema of an entity (its own file) and the forms of values
(`accounts_migration.entities.values`).

A parser's verdicts stand beside the value in a column `<name>_fault` (int8, an index into REASONS), so that a form that
could not be read is a named check like every other rule. Cleaned rows are stored without these columns; the same schema
then holds for them.
"""

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.entities.columns import ParsedColumn
from accounts_migration.entities.values import REASONS

FAULT_SUFFIX = "_fault"
DUPLICATE = "duplicate"

_FAULT_TYPE = np.dtype("int8")


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Return the frame that Pandera judges: Arrow types, but plain numbers for verdicts, never NULL."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=lambda kind: None if kind == pa.int8() else pd.ArrowDtype(kind))
    return frame


def faults(*reasons: str) -> pandera.Column:
    """Return the schema column of a parser's verdicts: one named check for each reason, in the contract's order."""
    return pandera.Column(
        _FAULT_TYPE,
        [_is_not(reason) for reason in reasons],
        required=False,
    )


def _is_not(reason: str) -> pandera.Check:
    code = REASONS.index(reason)
    return pandera.Check(lambda verdict: verdict != code, name=reason)


def text(*, nullable: bool = False) -> pandera.Column:
    """Return the schema column of a text."""
    return pandera.Column(pd.ArrowDtype(pa.string()), nullable=nullable)


def whole_number(*checks: pandera.Check, nullable: bool = False, required: bool = True) -> pandera.Column:
    """Return the schema column of money (cents) or a rate (millionths of a percent)."""
    return pandera.Column(pd.ArrowDtype(pa.int64()), list(checks), nullable=nullable, required=required)


def moment(*, nullable: bool = False) -> pandera.Column:
    """Return the schema column of a date-time."""
    return pandera.Column(pd.ArrowDtype(pa.timestamp("us")), nullable=nullable)


def day(*, nullable: bool = True) -> pandera.Column:
    """Return the schema column of a date."""
    return pandera.Column(pd.ArrowDtype(pa.date32()), nullable=nullable)


def at_least(lowest: int, reason: str) -> pandera.Check:
    """Return the rule that a number is at least `lowest`."""
    return pandera.Check(lambda number: number >= lowest, name=reason)


def required(column: ParsedColumn) -> ParsedColumn:
    """Return the column with MISSING_VALUE where it is blank."""
    missing = np.asarray(pc.is_null(column.values)) & (column.faults == 0)
    return ParsedColumn(
        column.values,
        np.where(missing, np.int8(REASONS.index("MISSING_VALUE")), column.faults),
        column.repairs,
    )
