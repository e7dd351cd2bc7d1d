"""The bars: how fast and how small the whole command must be, and whether a run's figures meet them.

Here: the numbers to meet and their arithmetic. Not here: measuring (`benchmarks.run`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

MOST_MEGABYTES = 500
LEAST_GAIN_OVER_GUIDE = 5
SMALL_ACCOUNTS, SMALL_TRANSACTIONS, MOST_SECONDS_SMALL = 10_000, 100_000, 12
MOST_TIMES_FLOOR = {1_000_000: {"postgres": 5, "sqlite": 3}, 5_000_000: {"postgres": 3, "sqlite": 2}}

MOST_TIMES_PGLOADER = {"postgres": 1, "sqlite": 1.5}
"""A copy that verifies every row against pgloader's plain one into PostgreSQL; `sqlite` is the way back."""


@dataclass(frozen=True)
class Bar:
    """A bar and the figure held against it; `met` is None where one of its figures was not measured."""

    name: str
    figure: float | None
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Return whether the figure is on the right side of the limit."""
        if self.figure is None:
            return None
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit


def bars(rows: int, seconds: Mapping[str, float], megabytes: Mapping[str, float]) -> list[Bar]:
    """Return the bars for a number of rows.

    Args:
        rows: Number of transactions; below a million there are no bars on ratios.
        seconds: Way -> median seconds; ways are named `command postgres`, `floor sqlite`, `pgloader`.
        megabytes: Way -> peak memory.
    """
    found: list[Bar] = []
    sizes = [size for size in MOST_TIMES_FLOOR if size <= rows]
    for engine, times in MOST_TIMES_FLOOR[max(sizes)].items() if sizes else ():
        command = seconds.get(f"command {engine}")
        found.append(Bar(f"{engine}: command / floor", _ratio(command, seconds.get(f"floor {engine}")), times, "x"))
        gain = _ratio(_guide_seconds(engine, seconds), command)
        found.append(Bar(f"{engine}: guide's way / command", gain, LEAST_GAIN_OVER_GUIDE, "x", at_least=True))
        found.append(Bar(f"{engine}: verify / command", _ratio(seconds.get(f"verify {engine}"), command), 1, "x"))
        for way in ("command", "verify"):
            found.append(Bar(f"{engine}: peak memory, {way}", megabytes.get(f"{way} {engine}"), MOST_MEGABYTES, "MB"))
    if rows >= max(MOST_TIMES_FLOOR):
        ratio = _ratio(seconds.get("command postgres"), seconds.get("pgloader"))
        found.append(Bar("postgres: command / pgloader", ratio, 1, "x"))
    if sizes:
        for engine, most in MOST_TIMES_PGLOADER.items():
            ratio = _ratio(seconds.get(f"copy {engine}"), seconds.get("pgloader copy"))
            found.append(Bar(f"{engine}: copy / pgloader of the same database", ratio, most, "x"))
            found.append(Bar(f"{engine}: peak memory, copy", megabytes.get(f"copy {engine}"), MOST_MEGABYTES, "MB"))
    for engine in ("postgres", "sqlite"):
        small = seconds.get(f"small command {engine}")
        found.append(Bar(f"{engine}: {SMALL_TRANSACTIONS:,} transactions", small, MOST_SECONDS_SMALL, "s"))
    return found


def _guide_seconds(engine: str, seconds: Mapping[str, float]) -> float | None:
    """Return the seconds of the guide's way; it reaches PostgreSQL only through its SQLite target."""
    steps = ["guide sqlite", "guide postgres"] if engine == "postgres" else ["guide sqlite"]
    return sum(seconds[step] for step in steps) if all(step in seconds for step in steps) else None


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None
