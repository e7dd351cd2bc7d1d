"""`accounts-migration defects`: the rows that were left out or changed, as work to be done.

Here: which books are read. Not here: what is listed, and in which order (`accounts_migration.worklist`), and the forms
of the list (`accounts_migration.listings`).
"""

from pathlib import Path

from accounts_migration import listings
from accounts_migration.databases.books import COPY, MIGRATION
from accounts_migration.entities import ENTITIES, PLATFORM_ENTITIES
from accounts_migration.errors import UsageError
from accounts_migration.resources import TargetResource, nothing_recorded
from accounts_migration.settings import Settings
from accounts_migration.worklist import worklist


def refuse_unknown(entity: str | None) -> None:
    """Raise UsageError where there is no entity of that name."""
    if entity is not None and entity not in ENTITIES:
        raise UsageError(
            f"There is no entity {entity!r}",
            why="it is not known",
            remedy=f"Name one of {', '.join(ENTITIES)}",
        )


def run(
    settings: Settings, output: Path | None, *, entity: str | None, of_copy: bool, form: str, show_personal_data: bool
) -> None:
    """List the defects of the last migration into TARGET_DB, or of the last copy into COPY_TO.

    Args:
        settings: The database.
        output: The file that the list goes into; None prints it.
        entity: The entity whose defects are listed; None lists those of all.
        of_copy: Whether those of a copy are listed.
        form: `table`, `csv` or `json`.
        show_personal_data: Whether it stands there unmasked.

    Raises:
        MigrationError: The database cannot be read, holds no migration or copy, or the file cannot be written.
    """
    resource = TargetResource(settings.copy_to, COPY) if of_copy else TargetResource(settings.target_db, MIGRATION)
    entities = PLATFORM_ENTITIES if of_copy else ENTITIES
    with resource.open() as database, listings.destination(output) as file:
        # a migration makes the books of copies, too: empty, they would read as a copy without a defect
        if of_copy and not database.recorded_batches():
            raise nothing_recorded(database, "list the defects of a copy into")
        listings.WRITERS[form](worklist(database, entities, entity, show_personal_data=show_personal_data), file)
