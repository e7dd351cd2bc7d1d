"""`accounts-migration copy`: an Account Processing System moved to another database.

Here: the command's log, its words at the end. Not here: the copy (`accounts_migration.copying`).
"""

from pathlib import Path

from accounts_migration import console, logs
from accounts_migration.copying import copy
from accounts_migration.notices import told
from accounts_migration.outcome import Outcome
from accounts_migration.resources import PlatformResource, TargetResource
from accounts_migration.settings import Settings


def run(settings: Settings, summary: Path | None, report_folder: Path | None, *, all_tables: bool) -> bool:
    """Copy COPY_FROM into COPY_TO, show what came of it, and return whether everything holds.

    Args:
        settings: Both databases.
        summary: Where the outcome is written as JSON, too.
        report_folder: Where the report goes; None is MIGRATION_HOME/reports/SNAPSHOT.
        all_tables: Whether every other table comes along.

    Raises:
        MigrationError: See `accounts_migration.copying.copy`.
    """
    source = PlatformResource(settings.copy_from, settings.backups, settings.migration_home).location
    log = logs.start_log(settings.logs, quiet=False)
    logs.note_work("copy", source, TargetResource(settings.copy_to).location)
    logs.note(f"policies other than the default: {settings.policies.model_dump_json(exclude_defaults=True)}")

    def work() -> Outcome:
        return copy(settings, all_tables=all_tables, report_folder=report_folder)

    outcome = told(settings, "copy", "COPIED", work, url=settings.copy_to)
    console.show_outcome(outcome, log, "COPIED")
    if summary:
        console.write_json(outcome, summary)
    return outcome.success
