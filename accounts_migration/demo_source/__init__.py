"""A realistic legacy database to try the migration on: years of banking, some rows with every kind of defect.

Here: the way in. `write_demo_source` writes the file, `KINDS` says for each planted row what the migration must record
of it. Not here: the rules that find the defects (`accounts_migration.entities`); nothing of theirs is used, so that the
demo can show them wrong.

The bank itself is plausible and clean (`bank`, `movements`, `names`); which rows get which defect is planned beforehand
(`kinds`, `planting`), and both meet when the file is written (`writing`).
"""

from accounts_migration.demo_source.kinds import KINDS
from accounts_migration.demo_source.tables import LEGACY_TABLES
from accounts_migration.demo_source.writing import DemoSummary, write_demo_source

__all__ = ["KINDS", "LEGACY_TABLES", "DemoSummary", "write_demo_source"]
