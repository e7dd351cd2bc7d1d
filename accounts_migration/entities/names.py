"""Letter case of names under the policy `letter_case` (contract section 5, letter case), for whole columns.

Here: whether a column is changed. Not here: the rule of title case itself (`values.title_case`).
"""

from accounts_migration.entities import columns
from accounts_migration.entities.columns import ParsedColumn
from accounts_migration.entities.policies import Policies


def in_letter_case(names: ParsedColumn, policies: Policies) -> ParsedColumn:
    """Return the names title-cased where nothing is lost, or as they are where the policy says `keep`."""
    if policies.letter_case == "keep":
        return names
    return names.replaced(columns.title_case_column(names.values))
