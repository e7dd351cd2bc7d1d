"""A program of its own: copy a SQLite file by the online backup API, tell what stands in it, or export a table.

Here: what must not happen within a process that has the target open. There, only ADBC's own SQLite may touch the file:
a second SQLite library would drop its locks (see `accounts_migration.databases.sqlite_opening`). So this file is run by
`python -I -S`, imports the standard library alone, reads its task as JSON from standard input and answers as JSON.
Not here: what the answer means (`accounts_migration.databases.copies.sqlite`).
"""

import hashlib
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any
from urllib.parse import quote

_BUSY_SECONDS = 10.0
_UNTOUCHED = "mode=ro&immutable=1"
_MOST_DAMAGE_NAMED = 3
_ABOUT_VALUES = ("NULL value in", "CHECK constraint failed in", "TEXT value in", "NUMERIC value in")
# a copy's other tables have loads of their own
_LATEST = """
WITH load AS (
    SELECT * FROM {deed}_batch WHERE entity IN ('product', 'customer', 'account', 'transaction')
)
SELECT loaded_at, snapshot_id, policies_digest,
    (SELECT min(f.loaded_at) FROM load AS f
        WHERE f.snapshot_id = l.snapshot_id AND f.policies_digest = l.policies_digest),
    '{deed}'
FROM load AS l ORDER BY loaded_at DESC, entity DESC LIMIT 1
"""


def main() -> None:
    """Do the task; an error of SQLite or of the system is an answer, too."""
    task = json.load(sys.stdin)
    try:
        answer = _ACTIONS[task.pop("action")](**task)
    except sqlite3.Error as error:
        answer = {"error": getattr(error, "sqlite_errorname", type(error).__name__), "text": str(error)}
    except OSError as error:
        answer = {"error": "OSError", "text": str(error.strerror)}
    json.dump(answer, sys.stdout)


def copy(source: str, copy: str, sums: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Copy the database in one consistent state, and count that very state in the source.

    Args:
        source: The database's path.
        copy: The file to write; it must not exist.
        sums: Table -> column -> SQL of its exact sum; other tables than these are digested, `{}` is only counted.
    """
    os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(_opened(source, "mode=rw")) as origin:
        # a read transaction of our own: what is counted is what is copied, whoever writes meanwhile
        origin.execute("BEGIN")
        figures = _figures(origin, sums)
        with closing(sqlite3.connect(copy)) as duplicate:
            duplicate.execute("PRAGMA synchronous = OFF")
            origin.backup(duplicate)
    with open(copy, "rb+") as file:  # noqa: PTH123  (pathlib would cost a third of this program's time)
        os.fsync(file.fileno())
    return figures


def count(source: str, sums: dict[str, dict[str, str]], immutable: bool) -> dict[str, Any]:
    """Count what stands in a database; `immutable` where nobody writes and no file may appear beside it."""
    with closing(_opened(source, _UNTOUCHED if immutable else "mode=rw")) as origin:
        origin.execute("BEGIN")
        return _figures(origin, sums)


def check(source: str) -> dict[str, Any]:
    """Return what `integrity_check` finds of damage in a file that nobody writes; values are not its business."""
    with closing(_opened(source, _UNTOUCHED)) as origin:
        lines = [line.decode("utf-8", "replace") for (line,) in origin.execute("PRAGMA integrity_check(1000000)")]
    damage = [line for line in lines if line != "ok" and not line.startswith(_ABOUT_VALUES)]
    return {"damage": damage[:_MOST_DAMAGE_NAMED]}


def export(source: str, table: str, file: str) -> dict[str, Any]:
    """Write the rows of a table as CSV, texts byte by byte as they stand; storage classes can be told apart.

    Args:
        source: The database's path.
        table: The table's name.
        file: The file to write; it must not exist.
    """
    with (
        os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as to,
        closing(_opened(source, "mode=rw")) as origin,
    ):
        # a blob arrives as bytes whatever the factory of texts
        origin.text_factory = _Text
        rows = origin.execute(f"SELECT * FROM {_quoted(table)}")
        to.write(_line(_Text(name.encode()) for name, *_ in rows.description))
        for row in rows:
            to.write(_line(row))
    return {}


_ACTIONS: dict[str, Callable[..., dict[str, Any]]] = {"copy": copy, "count": count, "check": check, "export": export}


class _Text(bytes):
    """A cell of TEXT, which need not be UTF-8."""


def _line(cells: Iterable[object]) -> bytes:
    return b",".join(map(_csv, cells)) + b"\n"


def _csv(cell: object) -> bytes:
    if cell is None:
        return b""
    if isinstance(cell, _Text):
        return b'"' + cell.replace(b'"', b'""') + b'"'
    return b"\\x" + cell.hex().encode() if isinstance(cell, bytes) else repr(cell).encode()


def _opened(path: str, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(path)}?{mode}", uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = bytes
    return connection


def _figures(origin: sqlite3.Connection, sums: dict[str, dict[str, str]]) -> dict[str, Any]:
    rows = origin.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        " AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    ).fetchall()
    names = [name.decode() for (name,) in rows]
    tables = {name: _figures_of(origin, name, sums.get(name)) for name in names}
    deeds = [deed for deed in ("migration", "copy") if f"{deed}_batch" in tables]
    latest = max((row for deed in deeds for row in origin.execute(_LATEST.format(deed=deed))), default=None)
    objects = origin.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return {"tables": tables, "latest": latest and [value.decode() for value in latest[1:]], "objects": objects}


def _figures_of(origin: sqlite3.Connection, table: str, sums: dict[str, str] | None) -> dict[str, Any]:
    columns = {name.decode() for (name,) in origin.execute("SELECT name FROM pragma_table_xinfo(?)", (table,))}
    if sums is None or not set(sums) <= columns:
        return _digested(origin, table)
    row = origin.execute(f"SELECT {', '.join(['count(*)', *sums.values()])} FROM {_quoted(table)}").fetchone()
    values = [value.decode() if isinstance(value, bytes) else value for value in row[1:]]
    return {"rows": row[0], "sums": dict(zip(sums, values, strict=True)), "digest": None}


def _digested(origin: sqlite3.Connection, table: str) -> dict[str, Any]:
    """Add up a digest of each row: the order of the rows does not show in it."""
    rows = total = 0
    for row in origin.execute(f"SELECT * FROM {_quoted(table)}"):
        rows += 1
        total += int.from_bytes(hashlib.sha256(repr(row).encode()).digest()[:8], "big")
    return {"rows": rows, "sums": {}, "digest": f"{total % 2**64:016x}"}


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


if __name__ == "__main__":
    main()
