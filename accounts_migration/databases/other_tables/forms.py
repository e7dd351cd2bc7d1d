r"""What a column of any table holds, apart from any engine: its form, and how its cells travel.

Here: the forms, their Arrow types between the databases, and the column types of both engines in one table. Not here:
which form a column has (`sqlite_columns`, `postgres_columns`), and how an engine reads and stores one (`sqlite_cells`,
`postgres_cells`).

| what the source holds | form | in PostgreSQL | in SQLite |
| --- | --- | --- | --- |
| integers | INTEGER | bigint | BIGINT; INTEGER PRIMARY KEY where numbers are given out |
| 0 and 1 in a column declared BOOL; boolean | BOOLEAN | boolean | BOOLEAN, 0 and 1 |
| decimals, or integers beside fractions, all exact at 15 digits | DECIMAL | numeric(p,s), numeric | NUMERIC |
| REAL, float, decimals that 15 digits do not tell; infinity | REAL | double precision | REAL |
| text | TEXT | varchar(n) where declared and none is longer, else text | VARCHAR(n), TEXT |
| text declared DATE, all `YYYY-MM-DD`; date | DATE | date | DATE, that text |
| text declared DATETIME, all `YYYY-MM-DD HH:MM:SS[.ffffff]`; timestamp | MOMENT | timestamp | TIMESTAMP, that text |
| blobs; bytea | BYTES | bytea | BLOB |
| text or blobs beside other storage classes | TEXT | text: numbers as SQLite writes them, blobs as \x and hex | TEXT |
| numeric beyond 15 digits, NaN or infinity in it; NaN in a float | TEXT | text | TEXT, every digit |
| a date or timestamp column with infinity, BC or years above 9999 | TEXT | text | TEXT, as PostgreSQL writes it |
| timestamptz | TEXT | text | TEXT in UTC, `YYYY-MM-DD HH:MM:SS[.ffffff]+00` |
| interval | TEXT | text | TEXT, ISO 8601 |
| money | TEXT | text | TEXT, its amount |
| char(n) | TEXT | text | TEXT with its blanks |
| array, json, jsonb, uuid, enum, time, inet, xml, range and any other | TEXT | text | TEXT, as PostgreSQL writes it |
| a domain | that of its type | | |
| text that is not UTF-8 | none | the row is rejected | the row is rejected |
| text with U+0000 | TEXT | the row is rejected | TEXT |

Numbers are equal where their value is: 5 and 5.0, 1.5 and 1.50, and zero with either sign are one number.
"""

from dataclasses import dataclass
from enum import Enum

import pyarrow as pa

MOST_DIGITS = 38
EXACT_DIGITS = 15
LARGEST_EXACT_REAL = 2**53
LARGEST_INTEGER = 2**63 - 1


class Form(Enum):
    """What a column holds."""

    INTEGER = "integer"
    BOOLEAN = "boolean"
    DECIMAL = "decimal"
    REAL = "real"
    TEXT = "text"
    DATE = "date"
    MOMENT = "date and time"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A form and its sizes.

    Args:
        form: What the column holds.
        precision: The digits of a decimal that its declaration allows; None for any.
        scale: The decimals of a decimal: as declared, or as many as any value has.
        length: The characters that a text's declaration allows; None for any.
    """

    form: Form
    precision: int | None = None
    scale: int = 0
    length: int | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        """The type in which cells travel: 0 and 1 for a boolean, ISO text for dates."""
        if self.form is Form.DECIMAL:
            return pa.decimal128(MOST_DIGITS, self.scale)
        return _ARROW_TYPES[self.form]

    @property
    def read_type(self) -> pa.DataType:
        """The type in which a query gives the cells: that in which they travel, but text for a decimal."""
        return pa.string() if self.form is Form.DECIMAL else self.arrow_type


_ARROW_TYPES = {
    Form.INTEGER: pa.int64(),
    Form.BOOLEAN: pa.int64(),
    Form.REAL: pa.float64(),
    Form.TEXT: pa.string(),
    Form.DATE: pa.string(),
    Form.MOMENT: pa.string(),
    Form.BYTES: pa.binary(),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """The SQL that reads a cell.

    Args:
        value: The cell in its `ColumnType.read_type`.
        odd: The condition, 0 or 1, that something else stands there, which `value` does not tell.
    """

    value: str
    odd: str = "0"
