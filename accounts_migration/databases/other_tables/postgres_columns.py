"""What a column of a PostgreSQL table holds, and what it can therefore become (the table in `forms`).

Here: a column as the catalogue has it, the questions of its scan, and the choices that their answers leave. Not here:
asking them (`postgres_origin`), and how cells are read (`postgres_cells`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from accounts_migration.databases.other_tables import postgres_cells
from accounts_migration.databases.other_tables.forms import EXACT_DIGITS, ColumnType, Form, Reading
from accounts_migration.databases.other_tables.structure import Choice
from accounts_migration.databases.sql_text import quoted

_FORMS = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), Form.INTEGER),
    **dict.fromkeys(("float4", "float8"), Form.REAL),
    "bool": Form.BOOLEAN,
    "numeric": Form.DECIMAL,
    "bytea": Form.BYTES,
    "date": Form.DATE,
    "timestamp": Form.MOMENT,
}
_PLAIN_TEXT = ("text", "varchar", "name")
_AS_TEXT = {
    # a cast would drop the blanks at its end
    "bpchar": "CASE WHEN {0} IS NOT NULL THEN concat({0}) END",
    "money": "{0}::numeric::text",
    "timestamptz": "to_char({0}, CASE WHEN {0} = date_trunc('second', {0}) THEN 'YYYY-MM-DD HH24:MI:SS'"
    " ELSE 'YYYY-MM-DD HH24:MI:SS.US' END) || '+00'",
}
_QUESTIONS = {
    "numeric": {
        "no number": "count(*) FILTER (WHERE {0} IS NOT NULL AND scale({0}) IS NULL)",
        "decimals": "max(scale(trim_scale({0})))",
        "digits": r"max(length(regexp_replace(trim_scale(abs({0}))::text, '^0\.?0*|\.', '', 'g')))",
    },
    **{name: {"no number": "count(*) FILTER (WHERE {0} = 'NaN')"} for name in ("float4", "float8")},
    **{
        name: {"beyond": f"count(*) FILTER (WHERE {postgres_cells.BEYOND})"}
        for name in ("date", "timestamp", "timestamptz")
    },
    **{name: {"longest": "max(octet_length({0}))"} for name in ("text", "varchar", "bpchar", "bytea")},
    **{name: {} for name in ("int2", "int4", "int8", "oid", "bool", "time", "uuid")},
}
_QUESTIONS_OF_OTHERS = {"longest": "max(octet_length({0}::text))"}


@dataclass(frozen=True, slots=True)
class Declared:
    """A column as the catalogue has it; `base` is the name of its type, that of a domain seen through."""

    name: str
    type: str
    base: str
    sizes: int
    not_null: bool
    is_generated: bool
    sequence: str | None
    default: str | None

    @property
    def decimal(self) -> tuple[int | None, int]:
        """Precision and scale of a numeric; (None, 0) without."""
        if self.base != "numeric" or self.sizes < 0:
            return None, 0
        precision, scale = (self.sizes - 4) >> 16, (self.sizes - 4) & 0x7FF
        return (precision, scale) if scale <= precision else (None, 0)

    @property
    def length(self) -> int | None:
        """The characters of a varchar(n)."""
        return self.sizes - 4 if self.base == "varchar" and self.sizes > 4 else None

    @property
    def is_integer(self) -> bool:
        """Whether it holds integers, as what a sequence numbers does."""
        return _FORMS.get(self.base) is Form.INTEGER


def questions(declared: Declared) -> dict[str, str]:
    """Return what must be known of a column to choose its form: name -> aggregate."""
    asked = _QUESTIONS.get(declared.base, _QUESTIONS_OF_OTHERS)
    return {name: sql.format(quoted(declared.name)) for name, sql in asked.items()}


def choices(declared: Declared, answers: Mapping[str, int]) -> Iterator[Choice]:
    """Yield what a column may become, the best first; text is always possible."""
    column, kind = quoted(declared.name), _best(declared, answers)
    if kind is not None:
        yield Choice(kind, postgres_cells.reading(column, kind))
        if kind.form is Form.TEXT:
            return
    beyond = answers.get("beyond", 0)
    value = "{0}::text" if beyond else _AS_TEXT.get(declared.base, "{0}::text")
    note = "as PostgreSQL writes it"
    if beyond:
        note = f"{beyond:,} values are infinite or outside the years 1 to 9999: {note}"
    elif answers.get("no number"):
        note = f"{answers['no number']:,} values are no number: {note}"
    elif declared.base == "numeric":
        note = f"values have more than {EXACT_DIGITS} digits: every digit, as text"
    yield Choice(ColumnType(Form.TEXT), Reading(value.format(column)), note)


def _best(declared: Declared, answers: Mapping[str, int]) -> ColumnType | None:
    """Return the type that holds every value as it is; None where only text does."""
    if declared.base in _PLAIN_TEXT:
        return ColumnType(Form.TEXT, length=declared.length)
    form = _FORMS.get(declared.base)
    if form is None or answers.get("beyond") or answers.get("no number"):
        return None
    if form is not Form.DECIMAL:
        return ColumnType(form)
    precision, scale = declared.decimal
    decimals = answers["decimals"]
    if answers["digits"] > EXACT_DIGITS or decimals > EXACT_DIGITS:
        return None
    if precision is not None and scale <= EXACT_DIGITS:
        return ColumnType(form, precision, scale)
    return ColumnType(form, None, decimals)
