"""The fixtures of whole migrations that are validated."""

from collections.abc import Iterator

import dagster as dg
import pytest


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """Record the validations in memory: what is stored of a run is shown elsewhere."""
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened
