"""Taking backups, in a process of its own too.

Here: what the tests of backups share. Not here: what a backup should hold.
"""

from pathlib import Path

TAKE = """
import sys
from pathlib import Path
from accounts_migration.errors import MigrationError
from accounts_migration.operations.backup import take_backup
try:
    take_backup(sys.argv[1], Path(sys.argv[2]), pg_dump=Path(sys.argv[3]) if sys.argv[3:] else None)
except MigrationError as error:
    sys.exit(str(error))
"""
"""A program that takes one: its arguments are the target, BACKUP_DIR and, if it is named, pg_dump."""


def names(folder: Path) -> list[str]:
    """Return what stands in a folder; nothing where there is none."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
