"""A few cleaned rows for the UI, with personal values masked (contract section 8).

Here: how a row looks in the metadata of an asset. Not here: what is personal (`accounts_migration.entities.defects`).
"""

import dagster as dg
import pyarrow as pa

from accounts_migration.entities.defects import PERSONAL_TARGET_COLUMNS, masked
from accounts_migration.reconciliation.amounts import amount, percentage

ROWS_SHOWN = 5

_RATES = {"interest_rate"}


def sample_of(rows: pa.Table) -> list[dict[str, str]]:
    """Return the first rows as a person reads them: amounts with decimals, personal values as x and 9."""
    return [{name: _shown(name, value) for name, value in row.items()} for row in rows.slice(0, ROWS_SHOWN).to_pylist()]


def as_metadata(sample: list[dict[str, str]]) -> dg.MetadataValue:
    """Return a sample as a table."""
    if not sample:
        return dg.MetadataValue.md("no rows")
    lines = [[*sample[0]], ["---"] * len(sample[0]), *([*row.values()] for row in sample)]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(cells)} |" for cells in lines))


def _shown(name: str, value: object) -> str:
    if value is None:
        return ""
    if name in PERSONAL_TARGET_COLUMNS:
        return str(masked(str(value))).replace("|", "\\|").replace("\n", " ")
    if isinstance(value, int):
        return percentage(value) if name in _RATES else amount(value)
    return str(value).replace("|", "\\|").replace("\n", " ")
