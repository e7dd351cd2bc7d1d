"""What backup and rollback ask of a target, whatever engine it is.

Here: the interface. Not here: the two sides of it (`sqlite`, `postgres`), and everything that is alike for both:
manifests, folders, the order of a rollback (`accounts_migration.operations`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from accounts_migration.databases.copies.figures import Figures

State = Literal["nothing", "empty", "data"]
"""What stood in a target: no file at all, a database without a table, or tables."""


@dataclass(frozen=True, slots=True)
class Dump:
    """What was dumped: `file` is None where there was nothing to dump; `version` is the engine's own."""

    state: State
    file: Path | None
    figures: Figures
    version: str


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What restoring a dump gave; `restored` is False where it could only be read through, and `remark` says why."""

    figures: Figures
    restored: bool = True
    remark: str = ""


class Engine(ABC):
    """A target as a thing to be copied and put back."""

    kind: Literal["sqlite", "postgresql"]
    name: str
    """How the target is shown: its path or URL without any password."""

    @abstractmethod
    def dump(self, folder: Path) -> Dump:
        """Write one consistent state into a new file in the folder, and count that very state.

        Raises:
            MigrationError: The target cannot be read, or its tools are missing.
            OSError: The folder cannot be written.
        """

    @abstractmethod
    def rehearse(self, file: Path, folder: Path) -> Rehearsal:
        """Restore a dump to a scratch place, prove it whole, count what stands there, and remove it.

        Args:
            file: The dump.
            folder: Where a scratch file may be written; it is gone afterwards.

        Raises:
            MigrationError: It cannot be restored, or is damaged.
            OSError: The folder cannot be written.
        """
