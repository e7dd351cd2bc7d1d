"""Work of a later asset that begins while an earlier one of the same run keeps one core busy.

Here: handing its result over. Not here: the work. Within a run Dagster's in-process executor takes one asset after the
other; an asset that runs alone does its work itself.
"""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Generic, TypeVar

from accounts_migration.beside import begun_beside
from accounts_migration.errors import MigrationError

_Result = TypeVar("_Result")


class Ahead(Generic[_Result]):
    """The result of one asset, perhaps begun by another one of the same run."""

    def __init__(self) -> None:
        """Begin nothing."""
        self._begun: tuple[str, Future[_Result]] | None = None
        self._done: tuple[str, _Result] | None = None

    def begin(self, run_id: str, work: Callable[[], _Result]) -> None:
        """Begin the work for a run. It only reads; see `begun_beside`: nobody waits for it who does not ask."""
        self._begun = (run_id, begun_beside(work))

    def begun(self, run_id: str) -> Callable[[], _Result] | None:
        """Return what waits for the result of the work that was begun for a run; None where nothing was.

        It raises MigrationError where the work failed.
        """
        begun = self._begun
        return begun[1].result if begun is not None and begun[0] == run_id else None

    def result(self, run_id: str, work: Callable[[], _Result]) -> _Result:
        """Return what was begun for the run, or do the work now: also where what it met beside the other asset failed.

        Raises:
            MigrationError: The work failed.
        """
        begun, self._begun = self._begun, None
        result: _Result | None = None
        if begun is not None and begun[0] == run_id:
            with suppress(MigrationError):
                result = begun[1].result()
        self._done = (run_id, work() if result is None else result)
        return self._done[1]

    def known(self, run_id: str) -> _Result | None:
        """Return what an earlier asset of the run has come to; None where there was none."""
        return self._done[1] if self._done is not None and self._done[0] == run_id else None
