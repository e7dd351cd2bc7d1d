"""The proof of a copy of the other tables: every row of both databases laid side by side, and what keeps them together.

Here: the comparison of one table after the other: rows, exact totals, orphans, the next numbers, what should stand
and does not. Not here: reading rows (`rows`).

Both sides come in about the same order, since a target returns rows as they were written. Chunks that are equal are
done; the rows of the others are parted by their key onto disk, and compared part by part, in whatever order they came.
So memory is bounded. A table without a key is compared as a bag of rows.
"""

import hashlib
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import IO

import pyarrow as pa

from accounts_migration.databases.other_tables.copying import Totals, totals
from accounts_migration.databases.other_tables.finishing import count_orphans
from accounts_migration.databases.other_tables.forms import LARGEST_INTEGER
from accounts_migration.databases.other_tables.origin import Origin
from accounts_migration.databases.other_tables.records import column_names, kind_of_relation, recorded
from accounts_migration.databases.other_tables.rows import (
    ODD,
    LostParents,
    Sieve,
    in_storage_order,
    read_source,
    read_target,
)
from accounts_migration.databases.other_tables.structure import Inventory, OtherTable
from accounts_migration.databases.session import Session
from accounts_migration.databases.sql_text import literal, quoted
from accounts_migration.databases.target_interface import Target
from accounts_migration.streams import read_ahead

MISSING, UNEXPECTED, DIFFERENT = "MISSING_IN_TARGET", "UNEXPECTED_IN_TARGET", "DIFFERENT"
EXAMPLES = 5
_PARTS = 64
_ROWS_PER_WINDOW = 32_768
_LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class RowDiffers:
    """A row that differs: MISSING, UNEXPECTED or DIFFERENT, and its key; None where its table has none.

    The key may be an e-mail or a name: who tells of it masks it.
    """

    kind: str
    key: str | None

    def __str__(self) -> str:
        """Return both, as `DIFFERENT 7`."""
        return f"{self.kind} {'a row of a table without a key' if self.key is None else self.key}"


@dataclass
class TableCompared:
    """What was found of one table.

    Args:
        table: Its name in the target.
        rows_in_source: The rows read from the source.
        rows_in_target: The rows read from the target.
        rejected: Those of the source that the target cannot hold, found again while reading.
        compared: The rows of the target that are equal to one of the source, or differ from that of the same key.
        differences: MISSING, UNEXPECTED or DIFFERENT -> rows.
        examples: Some of them.
        totals_in_source: Exact sums of the numbers in the rows that should stand.
        totals_in_target: The same of the rows that do.
        orphans: Foreign key -> rows without a parent in the source and in the target.
        faults: What else is wrong, a sentence for each.
    """

    table: str
    rows_in_source: int = 0
    rows_in_target: int = 0
    rejected: int = 0
    compared: int = 0
    differences: Counter[str] = field(default_factory=Counter)
    examples: list[RowDiffers] = field(default_factory=list)
    totals_in_source: Totals = field(default_factory=dict)
    totals_in_target: Totals = field(default_factory=dict)
    orphans: dict[str, tuple[int, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether everything stands as it should; a comparison that could not be made is none."""
        return not self.differences and not self.faults

    def note(self, kind: str, key: str | None) -> None:
        """Record a row that differs."""
        self.differences[kind] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(RowDiffers(kind, key))


def compare(
    inventory: Inventory, origin: Origin, target: Target, lost: Mapping[str, LostParents] | None = None
) -> list[TableCompared]:
    """Compare every table of the inventory with the target, row by row; nothing is written.

    Args:
        inventory: The tables.
        origin: Where they come from.
        target: Where they were copied to.
        lost: Table -> the rejected parents whose children were rejected with them.

    Raises:
        MigrationError: A database fails.
    """
    with origin.open() as source, in_storage_order(target.session):
        return [_Comparison(table, source, target, (lost or {}).get(table.name)).made() for table in inventory.tables]


class _Comparison:
    """The comparison of one table."""

    def __init__(self, table: OtherTable, source: Session, target: Target, lost: LostParents | None) -> None:
        self._table, self._source, self._lost = table, source, lost
        self._target, self._session = target, target.session
        self._found = TableCompared(table.name)

    def made(self) -> TableCompared:
        if kind_of_relation(self._session, self._target.engine, self._table.name) != "table":
            self._found.faults.append("the table does not stand in the target")
            return self._found
        missing = set(self._table.schema.names) - column_names(self._session, self._target.engine, self._table.name)
        if missing:
            self._found.faults.append(f"columns are missing in the target: {', '.join(sorted(missing))}")
            return self._found
        self._compare_rows()
        self._compare_books()
        self._compare_structure()
        return self._found

    # -- rows

    def _compare_rows(self) -> None:
        found = self._found
        with ExitStack() as stack:
            sieve = stack.enter_context(Sieve(self._table, self._target.engine, 0, self._lost))
            parted = _Parted(stack, self._table)
            source = sieve.passed(read_ahead(read_source(self._source, self._table)))
            target = read_ahead(read_target(self._session, self._target.engine, self._table))
            for expected, held in zip_longest(_windows(self._table, source), _windows(self._table, target)):
                found.rows_in_target += held.num_rows if held is not None else 0
                _add(found.totals_in_source, expected)
                _add(found.totals_in_target, held)
                if expected is not None and held is not None and expected.equals(held):
                    found.compared += held.num_rows
                else:
                    parted.add(0, expected)
                    parted.add(1, held)
            parted.compare(found)
            found.rows_in_source, found.rejected = sieve.seen, sieve.rejected
        if found.totals_in_source != found.totals_in_target:
            names = [n for n, total in found.totals_in_source.items() if found.totals_in_target.get(n) != total]
            found.faults.append(f"totals differ: {', '.join(names)}")
        if found.rows_in_source != found.rejected + found.rows_in_target:
            found.faults.append(
                f"{found.rows_in_target:,} rows stand in the target, {found.rows_in_source - found.rejected:,} should"
            )

    def _compare_books(self) -> None:
        record = recorded(self._session, self._table.name)
        if record is None:
            self._found.faults.append("the copy's books do not know the table")
        elif (record.loaded, record.rejected) != (self._found.rows_in_target, self._found.rejected):
            self._found.faults.append(
                f"the books say {record.loaded:,} loaded and {record.rejected:,} rejected, "
                f"not {self._found.rows_in_target:,} and {self._found.rejected:,}"
            )

    # -- what keeps them together

    def _compare_structure(self) -> None:
        found = self._found
        for reference in self._table.references:
            before = int(self._source.value(reference.in_source))
            after = count_orphans(self._session, self._table, reference)
            found.orphans[reference.name] = (before, after)
            # one that had none in the source may be rejected itself
            if not 0 <= before - after <= found.rejected:
                found.faults.append(
                    f"foreign key {reference.name}: {before:,} rows have no parent in the source, "
                    f"{after:,} in the target"
                )
        standing = self._standing()
        wanted = [key.name for key in self._table.keys if key.kind == "index" or self._target.engine == "postgresql"]
        if self._target.engine == "postgresql":
            wanted += [reference.name for reference in self._table.references]
        found.faults += [f"{name} does not stand in the target" for name in wanted if name not in standing]
        self._compare_identity()

    def _standing(self) -> set[str]:
        """Return the names of the constraints and indexes of the table."""
        if self._target.engine == "sqlite":
            query = "SELECT name FROM pragma_index_list($1)"
        else:
            query = (
                "SELECT conname::text FROM pg_constraint WHERE conrelid = quote_ident($1)::regclass UNION"
                " SELECT relname::text FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid"
                f" WHERE indrelid = {literal(quoted(self._table.name))}::regclass"
            )
        return {name for (name,) in self._session.execute(query, (self._table.name,))}

    def _compare_identity(self) -> None:
        identity = self._table.identity
        if identity is None:
            return
        wanted = min(identity.next, LARGEST_INTEGER + 1)
        if self._target.engine == "sqlite":
            last = self._session.value("SELECT seq FROM sqlite_sequence WHERE name = $1", (self._table.name,))
            following = (last or 0) + 1
        else:
            sequence = self._session.value(
                "SELECT pg_get_serial_sequence(quote_ident($1), $2)", (self._table.name, identity.column)
            )
            if sequence is None:
                self._found.faults.append(f"no sequence gives the numbers of {identity.column}")
                return
            following = self._session.value(f"SELECT last_value + is_called::int::numeric FROM {sequence}")
        if int(following) != wanted:
            self._found.faults.append(f"the next number of {identity.column} is {int(following)}, not {wanted}")


def _windows(table: OtherTable, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield rows in chunks that are cut alike on both sides, with their column ODD."""
    size = max(1, min(_ROWS_PER_WINDOW, table.rows_at_once))
    schema = table.schema.append(pa.field(ODD, pa.int64()))
    pending = schema.empty_table()
    for batch in batches:
        columns = [*batch.columns] if ODD in batch.schema.names else [*batch.columns, _zeros(batch.num_rows)]
        pending = pa.concat_tables([pending, pa.table(columns, schema)])
        while pending.num_rows >= size:
            yield pending.slice(0, size)
            pending = pending.slice(size)
    if pending.num_rows:
        yield pending


def _zeros(rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(0, pa.int64()), rows)


def _add(sums: Totals, rows: pa.Table | None) -> None:
    for batch in [] if rows is None else rows.drop_columns(ODD).to_batches():
        for name, total in totals(batch).items():
            sums[name] = sums.get(name, Decimal(0)) + total


class _Parted:
    """Rows of both sides, parted by key into files: a line of digests of key and row, and the key itself."""

    def __init__(self, stack: ExitStack, table: OtherTable) -> None:
        self._stack, self._key = stack, table.primary_key
        self._files: dict[tuple[int, int], IO[str]] = {}
        self._folder: Path | None = None

    def add(self, side: int, rows: pa.Table | None) -> None:
        """Put rows of the source (0) or the target (1) aside."""
        for row in [] if rows is None else rows.to_pylist():
            whole = _digest([_plain(cell) for cell in row.values()])
            key = [row[name] for name in self._key]
            digest = _digest([_plain(cell) for cell in key]) if key else whole
            shown = ", ".join(map(str, key))[:_LONGEST_KEY] if key else None
            file = self._file(side, int(digest[:4], 16) % _PARTS)
            file.write(f"{digest} {whole} {json.dumps(shown)}\n")

    def compare(self, found: TableCompared) -> None:
        """Find the partners of the rows."""
        for part in range(_PARTS):
            expected, held = self._read(0, part), self._read(1, part)
            for key in {**expected, **held}:
                _compare_key(found, expected.get(key, []), held.get(key, []))

    def _file(self, side: int, part: int) -> IO[str]:
        if (side, part) not in self._files:
            if self._folder is None:
                self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="copy-")))
            file = (self._folder / f"{side}-{part}").open("w+", encoding="utf-8")
            self._files[side, part] = self._stack.enter_context(closing(file))
        return self._files[side, part]

    def _read(self, side: int, part: int) -> dict[str, list[tuple[str, str | None]]]:
        rows: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
        file = self._files.get((side, part))
        if file is not None:
            file.seek(0)
            for line in file:
                key, whole, shown = line.split(" ", 2)
                rows[key].append((whole, json.loads(shown)))
        return rows


def _compare_key(
    found: TableCompared, expected: list[tuple[str, str | None]], held: list[tuple[str, str | None]]
) -> None:
    """Compare the rows of one key: of equal ones, each has one partner."""
    wanted, present = Counter(whole for whole, _ in expected), Counter(whole for whole, _ in held)
    gone, new = wanted - present, present - wanted
    pairs = min(gone.total(), new.total())
    found.compared += (wanted & present).total() + pairs
    shown = dict([*held, *expected])
    for kind, number, rows in (
        (DIFFERENT, pairs, gone),
        (MISSING, gone.total() - pairs, gone),
        (UNEXPECTED, new.total() - pairs, new),
    ):
        for whole in list(rows.elements())[:number]:
            found.note(kind, shown[whole])


def _digest(cells: list[object]) -> str:
    return hashlib.blake2b(repr(cells).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _plain(cell: object) -> object:
    """Return a number in one form: zero has no sign; the decimals of a column have one scale on both sides."""
    if isinstance(cell, float):
        return cell + 0.0
    return str(cell) if isinstance(cell, Decimal) else cell
