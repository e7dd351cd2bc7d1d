"""`accounts-migration backup`: a proved backup of the target now, and the list of those there are.

Here: the job that is launched, and what is shown. Not here: how a backup is taken
(`accounts_migration.operations.backup`).
"""

import os
import time
from pathlib import Path

from rich.table import Table

from accounts_migration import console
from accounts_migration.assets.target_backup import BACKUP_RETENTION, TARGET_BACKUP
from accounts_migration.databases.target import target_location, target_path
from accounts_migration.definitions import build_defs
from accounts_migration.errors import MigrationError
from accounts_migration.instance import open_instance_of
from accounts_migration.jobs import BACKUP_JOB
from accounts_migration.operations.backup import list_backups
from accounts_migration.resources import TargetResource
from accounts_migration.runner import run_job
from accounts_migration.settings import Settings

_SHOWN = ("backup", "folder", "holds", "sha256", "proved by")


def run(settings: Settings, log: Path) -> bool:
    """Take a backup of the target, delete those that are too old, and return whether it was done.

    Raises:
        MigrationError: There is no target, or the run cannot be recorded.
    """
    began = time.monotonic()
    url = TargetResource(settings.target_db).url
    path = target_path(url)
    if path is not None and not path.exists():
        raise MigrationError(f"Cannot back up {path}", why="there is no such file", remedy="Check the path of TARGET")
    with open_instance_of(settings) as instance:
        outcome = run_job(build_defs(settings=settings), instance, BACKUP_JOB)
    console.show_problems(outcome.problems)
    taken = outcome.metadata.get(TARGET_BACKUP.to_user_string(), {})
    for name in _SHOWN:
        if name in taken:
            console.show_value(name, taken[name])
    deleted = outcome.metadata.get(BACKUP_RETENTION.to_user_string(), {}).get("deleted", 0)
    if deleted:
        console.show_value("deleted", f"{deleted} older than {settings.backup_retention_days} days")
    console.show_value("log", log)
    console.show_verdict("BACKED UP" if outcome.success else "FAILED", outcome.success, time.monotonic() - began)
    return outcome.success


def show(settings: Settings) -> None:
    """Print the backups of the target, newest first.

    Raises:
        MigrationError: This user may not look into BACKUP_DIR: none shown would read as none there.
    """
    if settings.backups.exists() and not os.access(settings.backups, os.R_OK | os.X_OK):
        raise MigrationError(
            f"Cannot list the backups in {settings.backups}",
            why="this user may not read it",
            remedy="Give this user the right, or name another folder in BACKUP_DIR",
        )
    location = target_location(TargetResource(settings.target_db).url)
    backups = list_backups(settings.backups, location)
    table = Table(title=f"backups of {location} in {settings.backups}", title_justify="left")
    # the word that --to wants, in one piece
    table.add_column("backup", no_wrap=True)
    for name in ("taken at", "holds", "written by", "proved by"):
        table.add_column(name, overflow="fold")
    for one in backups:
        written = one.figures.migrated
        deed = f"{written.deed} of {written.snapshot_id}" if written else "none"
        proof = "restoring it" if one.restored else "reading it through"
        table.add_row(one.backup_id, one.taken, str(one), deed, proof)
    console.OUT.print(table)
