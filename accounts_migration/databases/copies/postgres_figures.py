"""What stands in a PostgreSQL database, counted: the figures that a backup and what it restores are held against.

Here: the SQL of counting, in a session, in a script for psql and in a dump that is read through. Not here: dumping and
restoring (`postgres`), and what figures are (`figures`).
"""

import re
import tempfile
from collections import Counter
from pathlib import Path

from accounts_migration.databases.books import FAMILIES
from accounts_migration.databases.copies.figures import MEASURES, Figures, Migrated, TableFigures
from accounts_migration.databases.copies.postgres_programs import Programs, run
from accounts_migration.databases.postgres_session import PostgresSession
from accounts_migration.databases.sql_text import literal, quoted
from accounts_migration.databases.target_schema import ENTITIES

# tables and filled materialized views, ours by their bare name; not those that an extension brings
_TABLES = """
SELECT CASE WHEN n.nspname = {schema} THEN c.relname::text ELSE n.nspname || '.' || c.relname END,
    format('%I.%I', n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ({kinds}) AND c.relispopulated AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT 1 FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""
_PLACE = re.compile(r'("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^" ]+)')
SET_ALIKE = (
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'iso_8601'",
    "SET extra_float_digits = 1",
)
"""Statements by which texts of values do not depend on who asks."""

# a copy's other tables have loads of their own
_LATEST = """
WITH load AS (SELECT * FROM {table} WHERE entity IN ({entities}))
SELECT loaded_at, snapshot_id, policies_digest,
    (SELECT to_char(min(f.loaded_at), 'YYYY-MM-DD HH24:MI:SS.US') FROM load AS f
        WHERE f.snapshot_id = l.snapshot_id AND f.policies_digest = l.policies_digest),
    '{deed}'
FROM load AS l ORDER BY loaded_at DESC, entity DESC LIMIT 1
"""


def count(session: PostgresSession, schema: str | None = None) -> Figures:
    """Return what stands in the database that the session is in, as its snapshot sees it.

    Args:
        session: In the database.
        schema: The schema of our tables; the first of the search path where None.
    """
    for statement in SET_ALIKE:
        session.execute(statement)
    found = tables(session, schema)
    return Figures(
        {name: _figures_of(session, name, place) for name, place in found.items()},
        _latest(session, found),
    )


def _latest(session: PostgresSession, found: dict[str, str]) -> Migrated | None:
    entities = ", ".join(map(literal, ENTITIES))
    loads = [
        row
        for books in FAMILIES.values()
        if books.batch in found
        for row in session.execute(_LATEST.format(table=found[books.batch], entities=entities, deed=books.deed))
    ]
    return Migrated(*map(str, max(loads)[1:])) if loads else None


def tables(session: PostgresSession, schema: str | None = None, kind: str = "rm") -> dict[str, str]:
    """Return the tables and filled materialized views, or those of one kind: name -> name as SQL takes it."""
    ours = "current_schema()" if schema is None else literal(schema)
    return dict(session.execute(_TABLES.format(schema=ours, kinds=", ".join(map(literal, kind)))))


def schema_of(session: PostgresSession) -> str:
    """Return the schema that comes first in the session's search path."""
    return str(session.value("SELECT current_schema()"))


def _figures_of(session: PostgresSession, name: str, place: str) -> TableFigures:
    measures = MEASURES.get(name)
    if measures is not None:
        columns = {
            column
            for (column,) in session.execute(
                f"SELECT attname::text FROM pg_attribute WHERE attrelid = {literal(place)}::regclass"
                " AND attnum > 0 AND NOT attisdropped"
            )
        }
        if set(measures) <= columns:
            sums = [session.sums(column, scale) for column, scale in measures.items()]
            row = session.execute(f"SELECT {', '.join(['count(*)', *sums])} FROM {place}")[0]
            totals = {column: session.read_sum(total) for column, total in zip(measures, row[1:], strict=True)}
            return TableFigures(int(row[0]), totals)
    rows, digest = session.execute(
        "SELECT count(*), coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0)::text"
        f" FROM {place} AS t"
    )[0]
    return TableFigures(int(rows), {}, str(digest))


def rows_told(programs: Programs, file: Path, session: PostgresSession, folder: Path) -> Figures:
    """Read a dump through and count the rows of each table; a materialized view has none of its own in it."""
    schema = schema_of(session)
    rows: Counter[str] = Counter()
    with tempfile.TemporaryFile(dir=folder) as script:
        words = ["--data-only", "--no-owner", "--file=-", str(file)]
        run(programs.restore, words, None, f"Cannot read {file}", into=script)
        script.seek(0)
        table = ""
        for line in script:
            if table and line == b"\\.\n":
                table = ""
            elif table:
                rows[table] += 1
            elif line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
                table = _name_of(line.removeprefix(b"COPY ").decode(), schema)
                rows[table] += 0
    return Figures({name: TableFigures(number) for name, number in rows.items()})


def proving(figures: Figures, schema: str) -> str:
    """Return the SQL that fails, within the transaction, unless every table of a schema holds what was backed up."""
    lines = []
    for name, one in figures.here.tables.items():
        place = f"{quoted(schema)}.{quoted(name)}"
        sums = [
            f"coalesce(sum({column}) * {MEASURES[name][column]}, 0) = {total}" for column, total in one.totals.items()
        ]
        lines.append(
            f"DO $$ BEGIN IF NOT (SELECT {' AND '.join([f'count(*) = {one.rows}', *sums])} FROM {place}) THEN"
            " RAISE EXCEPTION 'accounts_migration: table % does not hold what was backed up',"
            f" {literal(name)}; END IF; END $$;"
        )
    return "\n".join(["", *lines, ""])


def _name_of(words: str, schema: str) -> str:
    """Return the name of a table as figures have it, of words that begin with its schema and name as SQL has them."""
    match = _PLACE.match(words)
    named, table = (part.replace('""', '"').strip('"') for part in match.groups()) if match else ("", words)
    return table if named == schema else f"{named}.{table}"
