"""How a refusal reaches the person in the UI: as a step failure that says what, why and what to do, without retries.

Here: what every asset runs within. Not here: the refusals themselves.
"""

import contextlib
from collections.abc import Iterator

import dagster as dg

from accounts_migration.errors import MigrationError, refused_by_system


@contextlib.contextmanager
def failing_clearly() -> Iterator[None]:
    """Turn a MigrationError, or what the system refuses, into Dagster's Failure: neither heals by trying again."""
    try:
        yield
    except (MigrationError, OSError) as error:
        told = refused_by_system(error) if isinstance(error, OSError) else error
        raise dg.Failure(
            description=str(told),
            metadata={"what": told.what, "why": told.why, "what to do": told.remedy},
            allow_retries=False,
        ) from told
