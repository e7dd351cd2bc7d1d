"""How long a migration should take on this machine, and the disk space it needs.

Here: the load on trial, the stages made of it, the space in each folder. Not here: the guide's own figures (`tiers`).

The time is measured, not looked up: the snapshot's own, the dry run's, which reads and cleans every row, and a load of
the first rows on trial, in a transaction of the target that is rolled back, or into a scratch file where the target is
one of SQLite. What the trial cannot show (writing staging, constraints, reading back and comparing, the control totals)
is put in proportion to it, as measured with whole migrations of 250,000 and 1,000,000 transactions into both engines.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from accounts_migration.assessment.dry_run import DryRun
from accounts_migration.assessment.plan import DiskNeed, Stage
from accounts_migration.assessment.sample import read_sample
from accounts_migration.databases.files import nearest_standing
from accounts_migration.databases.loads import Rehearsal
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import ENGINES, Target, open_target, target_location, target_path
from accounts_migration.entities import ENTITIES, Entity
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration.settings import Settings
from accounts_migration.staging import staged_size

STARTING_SECONDS = 4.0
SECONDS_PER_BATCH = 0.03
BACKUP_BYTES_PER_SECOND = 30_000_000
STAGING_SHARE = 0.35
PROOF_SHARE = 2.0
RESERVE_SHARE = 0.5

_SCRATCH = "scratch-"


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured with the first rows of each entity.

    Attributes:
        engine: The engine that was loaded.
        load: Of the entity with the most rows; None where the source has no rows.
        staged_size: Bytes of staging for all rows, raw and cleaned.
        target_size: Bytes that the target fills already; 0 before the first migration.
    """

    engine: str
    load: Rehearsal | None
    staged_size: int
    target_size: int


def rehearse(snapshot: Snapshot, settings: Settings) -> Trial:
    """Load the first rows of the largest table on trial; nothing of it stays.

    Without a target the trial is SQLite's.

    Raises:
        MigrationError: The snapshot cannot be read, or the target cannot be used.
    """
    largest = max(ENTITIES.values(), key=lambda entity: snapshot.tables[entity.legacy_table].rows)
    # one sample at a time is in memory: the rows of the largest table are read again to be loaded
    staged = sum(_staged_size(entity, snapshot, settings.policies) for entity in ENTITIES.values())
    rows = read_sample(largest, snapshot, settings.policies).rows
    with _on_trial(settings) as target:
        load = target.rehearse(largest.name, rows) if any(part.num_rows for part in rows) else None
        return Trial(target.engine, load, staged, _present_size(settings, target))


def stages_of(snapshot: Snapshot, dry: DryRun, trial: Trial) -> tuple[Stage, ...]:
    """Return where the time of a migration of these rows should go, from the first second to the last."""
    batches = len(dry.batches)
    loading = _per_row(trial, lambda load: load.seconds) * dry.rows
    measured = [
        Stage(
            "start",
            STARTING_SECONDS + batches * SECONDS_PER_BATCH,
            f"{STARTING_SECONDS:g} s, and {SECONDS_PER_BATCH:g} s for each of {batches} batches",
        ),
        Stage("snapshot", snapshot.seconds, "measured when it was taken"),
        Stage(
            "backup of the target",
            trial.target_size / BACKUP_BYTES_PER_SECOND,
            f"{trial.target_size:,} bytes, copied and proved at {BACKUP_BYTES_PER_SECOND:,} bytes/s",
        ),
        Stage("read and clean", dry.seconds, f"the dry run: {dry.rows:,} rows"),
        Stage("write staging", dry.seconds * STAGING_SHARE, f"{STAGING_SHARE:.0%} of the dry run"),
        Stage("load", loading, _trial_in_words(trial)),
        Stage("constraints and proof", loading * PROOF_SHARE, f"{PROOF_SHARE:g} times the load"),
    ]
    reserve = sum(stage.seconds for stage in measured) * RESERVE_SHARE
    return (*measured, Stage("reserve", reserve, f"{RESERVE_SHARE:.0%} of all these"))


def disk_of(snapshot: Snapshot, dry: DryRun, trial: Trial, settings: Settings) -> tuple[DiskNeed, ...]:
    """Return the disk space for backup, staging and target, next to what is free now.

    Backup: the source's snapshot, a backup of what the target holds, and its copy, restored to be verified. Target: the
    rows, their indexes, and the database's own log, which may grow as large.
    """
    target = 2 * _per_row(trial, lambda load: load.size) * dry.rows
    backup = snapshot.size + 2 * trial.target_size
    staging = settings.staging_location
    return (
        _need("backup", backup, settings.backups),
        _need("staging", trial.staged_size, Path(staging) if "://" not in staging else staging),
        _need("target", round(target), _place_of_target(settings)),
    )


def _place_of_target(settings: Settings) -> Path | str:
    if not settings.target_db:
        return settings.migration_home
    path = target_path(settings.target_db)
    return target_location(settings.target_db) if path is None else path.parent


def _per_row(trial: Trial, measure: Callable[[Rehearsal], float]) -> float:
    return measure(trial.load) / trial.load.rows if trial.load is not None and trial.load.rows else 0.0


def _trial_in_words(trial: Trial) -> str:
    if trial.load is None:
        return "there are no rows to load"
    rate = trial.load.rows / trial.load.seconds
    return f"{trial.load.rows:,} rows loaded on trial into {ENGINES[trial.engine]}: {rate:,.0f} rows/s"


@contextmanager
def _on_trial(settings: Settings) -> Iterator[Target]:
    """Open the server of the target; in place of a file, a scratch one below MIGRATION_HOME, which goes again."""
    if settings.target_db and target_path(settings.target_db) is None:
        with open_target(settings.target_db) as target:
            yield target
        return
    home = settings.migration_home / "assessment"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_abandoned(home)
        scratch = tempfile.TemporaryDirectory(prefix=f"{_SCRATCH}{os.getpid()}-", dir=home)
    except OSError as error:
        raise MigrationError(
            f"Cannot write into {home}",
            why=str(error.strerror),
            remedy="Free disk space, or name another folder in MIGRATION_HOME",
        ) from error
    with scratch as folder, open_target(str(Path(folder) / "rehearsal.db")) as target:
        target.prepare()
        yield target


def _remove_abandoned(home: Path) -> None:
    """Remove the scratch files of an assessment that was killed: they hold rows of the bank."""
    for folder in home.glob(f"{_SCRATCH}*"):
        process = folder.name.removeprefix(_SCRATCH).partition("-")[0]
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # it lives, and is another user's; or the folder is none of ours


def _present_size(settings: Settings, target: Target) -> int:
    """Return the bytes that the target itself fills; a file is not opened for that."""
    if not settings.target_db:
        return 0
    path = target_path(settings.target_db)
    if path is None:
        return target.session.size()
    return path.stat().st_size if path.is_file() else 0


def _staged_size(entity: Entity, snapshot: Snapshot, policies: Policies) -> int:
    """Return the bytes of staging for all rows of an entity, in proportion to its first ones."""
    sample = read_sample(entity, snapshot, policies)
    staged: int = staged_size(sample.raw) + staged_size(pa.Table.from_batches(sample.rows))
    rows: int = snapshot.tables[entity.legacy_table].rows
    return staged * rows // max(1, len(sample.raw))


def _need(purpose: str, needed: int, place: Path | str) -> DiskNeed:
    """Return the need of a folder that may not stand yet; a place that is none is not looked at."""
    if isinstance(place, str):
        return DiskNeed(purpose, place, needed, None, None)
    folder = place.resolve()
    standing = nearest_standing(folder)
    return DiskNeed(purpose, str(folder), needed, shutil.disk_usage(standing).free, standing.stat().st_dev)
