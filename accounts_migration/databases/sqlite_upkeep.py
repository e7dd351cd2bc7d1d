"""The upkeep of a SQLite target after its last load (guide, "Performance Optimization").

Here: its steps: integrity_check, REINDEX, VACUUM, ANALYZE. Not here: when they are taken (`target_interface`). VACUUM
writes the whole database a second time into a temporary file, and then into the log; statistics come last, of the rows
as they then lie.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from accounts_migration.databases.session import Session
from accounts_migration.databases.upkeep import Work
from accounts_migration.errors import MigrationError

_MEBIBYTE = 1024 * 1024
_DAMAGE_NAMED = 3


def works(session: Session, path: Path, empty_log: Callable[[], None]) -> Iterable[Work]:
    """Return the steps.

    Args:
        session: The target.
        path: Its file.
        empty_log: Writes what the log holds into the file.
    """
    return (
        ("integrity_check", lambda: _refuse_damage(session, path)),
        ("REINDEX", lambda: session.execute("REINDEX")),
        ("VACUUM", lambda: _vacuum(session, path, empty_log)),
        ("ANALYZE", lambda: _analyze(session)),
    )


def _refuse_damage(session: Session, path: Path) -> None:
    found = [str(line) for (line,) in session.execute(f"PRAGMA integrity_check({_DAMAGE_NAMED})")]
    if found != ["ok"]:
        raise MigrationError(
            f"The target {path} is damaged",
            why=f"integrity_check found: {'; '.join(found)}",
            remedy="Roll back to the backup, or migrate into a new file; then check the disk",
        )


def _vacuum(session: Session, path: Path, empty_log: Callable[[], None]) -> None:
    needed = session.size()
    _refuse_little_space(path, needed)
    try:
        session.execute("VACUUM")
        empty_log()
    except MigrationError as error:
        raise MigrationError(
            f"Cannot vacuum {path}",
            why=error.why,
            remedy=f"Its rows are as they were. VACUUM needs about {_mebibytes(needed)} in {path.parent} and as much in"
            f" {_temporary_folder()} (SQLITE_TMPDIR names another folder); see that no other program uses the file,"
            " then run again",
        ) from error


def _analyze(session: Session) -> None:
    session.execute("PRAGMA analysis_limit = 0")
    session.execute("ANALYZE")


def _refuse_little_space(path: Path, needed: int) -> None:
    temporary = _temporary_folder()
    on_one_disk = temporary.stat().st_dev == path.parent.stat().st_dev
    wanted = {path.parent: 2 * needed} if on_one_disk else {path.parent: needed, temporary: needed}
    for folder, space in wanted.items():
        free = shutil.disk_usage(folder).free
        if free < space:
            raise MigrationError(
                f"Cannot vacuum {path}",
                why=f"{folder} has {_mebibytes(free)} free and VACUUM needs {_mebibytes(space)} there",
                remedy="Its rows are as they were. Free some space, or name another folder in SQLITE_TMPDIR for the"
                " temporary half of it; then run again",
            )


def _temporary_folder() -> Path:
    """Return the folder that SQLite takes for temporary files (its documentation, "Temporary Files", section 5)."""
    named = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp", ".")  # noqa: S108
    return next(Path(one) for one in named if one and Path(one).is_dir() and os.access(one, os.W_OK | os.X_OK))


def _mebibytes(size: int) -> str:
    return f"{-(-size // _MEBIBYTE):,} MiB"
