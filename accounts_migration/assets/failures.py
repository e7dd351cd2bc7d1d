"""How a refusal reaches the person in the UI: as a step failure that says what, why and what to do, without retries.

Here: what every asset runs within. Not here: the refusals themselves.
"""

import contextlib
from collections.abc import Iterator

import dagster as dg

from accounts_migration.errors import MigrationError


@contextlib.contextmanager
def failing_clearly() -> Iterator[None]:
    """Turn a MigrationError into Dagster's Failure; a refusal does not heal by trying again."""
    try:
        yield
    except MigrationError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"what": error.what, "why": error.why, "what to do": error.remedy},
            allow_retries=False,
        ) from error
