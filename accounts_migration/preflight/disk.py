"""Disk space for backup, staging and target: what is still needed, and what is free.

Here: needs less what stands already, added up by file system. Not here: the verdict (`checklist`). The needs are the
plan's, measured; without a plan they are estimated from the size of the snapshot.
"""

import os
import resource
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from accounts_migration.assessment.plan import Plan
from accounts_migration.assessment.tables import size
from accounts_migration.databases.files import nearest_standing
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target import target_path
from accounts_migration.settings import Settings

STAGING_SHARE, TARGET_SHARE = 1.2, 3.0
"""Of the size of the snapshot, where there is no plan; the demo's bank takes 1.0, and 2.0 and its log."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a purpose still needs in a folder; no folder where the place cannot be seen from here."""

    purpose: str
    folder: Path | None
    needed: int


def needs(settings: Settings, snapshot: Snapshot, plan: Plan | None, target_size: int) -> list[Need]:
    """Return what is still needed: the snapshot stands, and what stands of staging and target is written over.

    Args:
        settings: Where the folders are.
        snapshot: The snapshot that is migrated.
        plan: The plan for it; None where there is none.
        target_size: Bytes that the target fills now.
    """
    if plan is None:
        staging, target = round(snapshot.size * STAGING_SHARE), round(snapshot.size * TARGET_SHARE)
    else:
        staging, target = plan.bytes_needed("staging"), plan.bytes_needed("target")
    place = settings.staging_location
    staged = None if "://" in place else Path(place)
    standing = _size_of(staged / snapshot.snapshot_id) if staged else 0
    file = target_path(settings.target_db or "")
    return [
        # its copy is restored to prove it
        Need("backup", settings.backups, 2 * target_size),
        Need("staging", staged, max(0, staging - standing)),
        Need("target", file.parent if file else None, max(0, target - target_size)),
    ]


def lacking(found: Iterable[Need]) -> Iterator[str]:
    """Yield a sentence for each file system, and each limit of this process, that cannot take what is needed."""
    by_device: dict[int, list[tuple[Need, Path]]] = defaultdict(list)
    for need in found:
        if need.folder is not None:
            folder = nearest_standing(need.folder)
            by_device[folder.stat().st_dev].append((need, folder))
    for wanted in by_device.values():
        needed = sum(need.needed for need, _ in wanted)
        free = shutil.disk_usage(wanted[0][1]).free
        if needed > free:
            purposes = ", ".join(f"{need.purpose} {size(need.needed)}" for need, _ in wanted)
            yield f"{wanted[0][1]} has {size(free)} free, {size(needed)} are needed ({purposes})"
    yield from _limited(found)


def _limited(found: Iterable[Need]) -> Iterator[str]:
    """A file of the target is the one that grows; the others are many."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max((need.needed for need in found if need.purpose != "staging" and need.folder), default=0)
    if limit != resource.RLIM_INFINITY and largest > limit:
        yield f"no file of this process may grow beyond {size(limit)} (ulimit -f), {size(largest)} are needed"


def unwritable(found: Iterable[Need]) -> Iterator[str]:
    """Yield a sentence for each folder that this user may not write to."""
    for need in found:
        if need.folder is not None:
            folder = nearest_standing(need.folder)
            if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
                yield f"{folder} is not writable for {need.purpose}"


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet")) if folder.is_dir() else 0
