"""What a target database is asked before a migration: what it is, what its user may do, how fast it takes bytes.

Here: the form of the answers. Not here: the questions (`sqlite_provisioning`, `postgres_provisioning`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

BYTES_SENT = 1024 * 1024
ROUND_TRIPS = 5


@dataclass(frozen=True, slots=True)
class Provisioning:
    """What the server tells of itself.

    Attributes:
        facts: Name -> what it is, for a person.
        wanting: What stands in a migration's way, a sentence for each; empty where nothing does.
    """

    facts: Mapping[str, str | int] = field(default_factory=dict)
    wanting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was measured: the median of some round trips, and how long it took to send some bytes; seconds."""

    round_trip: float
    sent: int
    seconds: float

    @property
    def bytes_per_second(self) -> float:
        """Return the rate."""
        return self.sent / max(self.seconds, 1e-6)


def incompressible(size: int) -> bytes:
    """Return bytes that no line between can make fewer."""
    return os.urandom(size)
