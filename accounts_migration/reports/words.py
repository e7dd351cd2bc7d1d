"""The words of the page that depend on what a report tells of: a migration, or a copy from platform to platform.

Here: these words, chosen in one place. Not here: the page (`templates/report.html`), and the figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from accounts_migration.databases.books import COPY, MIGRATION
from accounts_migration.entities.policies import Policies


@dataclass(frozen=True, slots=True)
class Words:
    """How a deed is spoken of.

    Args:
        title: The name of the report.
        deed: What was done, a noun.
        done: What happened to the rows, a participle.
        source: What the snapshot was taken of.
        personal: The texts that are masked.
        defects: The command that lists all records.
        proving: The command that runs what was not run.
        proved: What that is.
        policies: Those that a deed goes by.
    """

    title: str
    deed: str
    done: str
    source: str
    personal: str
    defects: str
    proving: str
    proved: str
    policies: tuple[str, ...]


WORDS: Mapping[str, Words] = {
    MIGRATION.deed: Words(
        title="Migration report",
        deed="migration",
        done="migrated",
        source="file",
        personal="Names, e-mail, phone and descriptions",
        defects="accounts-migration defects TARGET",
        proving="accounts-migration verify SOURCE TARGET",
        proved="validation/content",
        policies=tuple(Policies.model_fields),
    ),
    COPY.deed: Words(
        title="Copy report",
        deed="copy",
        done="copied",
        source="database",
        personal="Names, e-mail, phone and references",
        defects="accounts-migration defects --copy TO",
        proving="accounts-migration copy FROM TO",
        proved="all of them (platform/other_tables with --all-tables), and loads only what differs",
        # what the platform holds is copied as it was written
        policies=("max_reject_rate", "invalid_email", "date_formats", "legacy_encoding"),
    ),
}
"""`Report.deed` -> its words."""
