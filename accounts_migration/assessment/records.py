"""Where the findings of an assessment stand: JSON below MIGRATION_HOME, a folder for each source and target.

Here: writing and reading them. Not here: what they say. They are readable by their owner alone.
"""

import hashlib
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from accounts_migration.databases.files import write_whole
from accounts_migration.databases.target import target_location
from accounts_migration.errors import MigrationError
from accounts_migration.resources import LegacyResource
from accounts_migration.settings import Settings

Finding = TypeVar("Finding")


def findings_folder(settings: Settings) -> Path:
    """Return the folder of the findings on the settings' source and target, or on the source alone.

    Raises:
        UsageError: No source is set, or the target's URL cannot be read.
    """
    source = LegacyResource(settings.source_db, settings.backups, settings.migration_home).location
    target = target_location(settings.target_db) if settings.target_db else ""
    names = f"{source}\n{target}"
    return settings.migration_home / "assessment" / hashlib.sha256(names.encode()).hexdigest()[:16]


def write_finding(folder: Path, name: str, finding: object) -> None:
    """Write a finding in place of the earlier one, whole or not at all.

    Raises:
        MigrationError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(folder / f"{name}.json", TypeAdapter(type(finding)).dump_json(finding, indent=2))
    except OSError as error:
        raise MigrationError(
            f"Cannot write the assessment into {folder}",
            why=str(error.strerror),
            remedy="Free disk space, or name another folder in MIGRATION_HOME",
        ) from error


def read_finding(folder: Path, name: str, kind: type[Finding]) -> Finding | None:
    """Return a finding; None where there is none.

    Raises:
        MigrationError: What stands there is none, or one of another version of this program.
    """
    path = folder / f"{name}.json"
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise MigrationError(
            f"Cannot read {path}",
            why="it is damaged, or another version of this program wrote it",
            remedy="Assess again: accounts-migration assess SOURCE TARGET",
        ) from error
