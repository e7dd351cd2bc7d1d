"""What backup and rollback ask of a target, whatever engine it is.

Here: the interface. Not here: the two sides of it (`sqlite`, `postgres`), and everything that is alike for both:
manifests, folders, the order of a rollback (`accounts_migration.operations`).
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
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


Way = Literal["switch", "in place"]
"""How a copy is put back: made ready beside the target and switched by name, or restored into it in one transaction."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What is put back: the state that stood in the target, its file (None unless there were tables) and figures."""

    state: State
    file: Path | None
    figures: Figures


@dataclass(frozen=True, slots=True)
class Return:
    """One putting back of a copy, the same one when it is begun again after a kill.

    Args:
        copy: What is put back.
        way: How.
        stamp: Names what is made beside the target, and what is kept of it.
        folder: Where files of this rollback may be written.
    """

    copy: Copy
    way: Way
    stamp: str
    folder: Path


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

    @abstractmethod
    def lock(self) -> AbstractContextManager[None]:
        """Hold the target against every migration and rollback, whether or not it can be read.

        Raises:
            MigrationError: Another process holds it.
        """

    @abstractmethod
    def present(self) -> Figures | None:
        """Return what stands in the target now; None where there is none.

        Raises:
            MigrationError: It cannot be read.
        """

    @abstractmethod
    def export(self, table: str, file: Path) -> None:
        r"""Write all rows of a table as CSV into a new file for its owner alone, one after the other, after a header.

        NULL stands without quotes and an empty text within them; bytes are `\x` and hex digits.

        Args:
            table: Its name, as the figures of `present` have it.
            file: The file; it must not exist.

        Raises:
            MigrationError: The table cannot be read.
            OSError: The file cannot be written.
        """

    @abstractmethod
    def way(self, copy: Copy) -> Way:
        """Return how this copy can be put back here."""

    @abstractmethod
    def make_ready(self, what: Return) -> list[str]:
        """Restore beside the target, and prove what was restored; the target is not touched. May be done again.

        Returns:
            What its reader should know, a sentence each.

        Raises:
            MigrationError: It cannot be restored, or is not what was backed up.
            OSError: A file cannot be written.
        """

    @abstractmethod
    def put_back(self, what: Return) -> str:
        """Keep the target as it is aside, and let the copy take its place. Goes on where it was killed.

        Returns:
            Where the replaced target is kept; empty where there was none.

        Raises:
            MigrationError: It cannot be done. The target is what it was, or `undo` makes it so.
            OSError: The same.
        """

    @abstractmethod
    def undo(self, what: Return) -> None:
        """Make the target what it was before `put_back` began, and remove what is beside it.

        Raises:
            MigrationError: Somebody has put something else into its place.
            OSError: It cannot be done.
        """
