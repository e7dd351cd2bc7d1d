"""Names of tables, columns, keys and indexes in the target: the source's own, wherever the target can have them.

Here: which names an engine cannot have, and what stands in their place, always the same. Not here: quoting.
"""

import hashlib
import re
from collections.abc import Collection

from accounts_migration.databases.schema_versions.known import VERSION_TABLE
from accounts_migration.databases.target_schema import TABLES

_MOST_BYTES = 63
_DIGITS_OF_DIGEST = 8
_SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


class Names:
    """The names of one name space of the target, given out one after the other.

    PostgreSQL would cut a name off at 63 bytes, and SQLite takes `a` and `A` for one: what cannot stand as it is gets a
    digest of itself at its end.
    """

    def __init__(self, engine: str, taken: Collection[str] = ()) -> None:
        """Begin with the names that are taken already."""
        self._engine = engine
        self._taken = {self._folded(name) for name in taken}

    def take(self, name: str) -> str:
        """Return the name, or what stands in its place, and take it."""
        chosen = name
        attempt = 0
        while not self._can_have(chosen):
            chosen = _with_digest(name, attempt, self._engine)
            attempt += 1
        self._taken.add(self._folded(chosen))
        return chosen

    def _can_have(self, name: str) -> bool:
        if not name or self._folded(name) in self._taken:
            return False
        if self._engine == "sqlite":
            return not name.lower().startswith("sqlite_")
        return len(name.encode()) <= _MOST_BYTES

    def _folded(self, name: str) -> str:
        if self._engine == "postgresql":
            return name
        # SQLite folds ASCII letters alone
        return re.sub("[A-Z]", lambda letter: letter[0].lower(), name)


def relation_names(engine: str, besides: Collection[str]) -> Names:
    """Return the name space of tables and indexes, in which those of some tables of ours are taken.

    Args:
        engine: `sqlite` or `postgresql`.
        besides: The tables that stand there besides those that are to be named.
    """
    ours = [TABLES[name] for name in besides if name in TABLES]
    indexes = [str(index.name) for table in ours for index in table.indexes]
    constraints = [str(one.name) for table in ours for one in table.constraints if one.name]
    return Names(engine, [*besides, f"{VERSION_TABLE}_pkc", *indexes, *constraints])


def column_names(engine: str) -> Names:
    """Return the name space of a table's columns."""
    return Names(engine, _SYSTEM_COLUMNS if engine == "postgresql" else ())


def _with_digest(name: str, attempt: int, engine: str) -> str:
    text = f"{name}{attempt or ''}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS_OF_DIGEST]
    kept = re.sub("(?i)^sqlite_", "_sqlite_", name) if engine == "sqlite" else name
    if engine == "postgresql":
        kept = kept.encode()[: _MOST_BYTES - _DIGITS_OF_DIGEST - 1].decode(errors="ignore")
    return f"{kept}_{digest}"
