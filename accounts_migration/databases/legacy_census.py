"""A second, independent account of the rules: what becomes of every source row, counted by SQL on the snapshot.

Here: which cell is of which kind (contract section 5), duplicates, parents and exclusions, and the counting. Not here:
the kinds of cells (`accounts_migration.databases.census_cells`) and what the counts are compared with
(`accounts_migration.reconciliation.rules`). Nothing of `accounts_migration.entities` is used, so that a rule that is
missing or wrong there cannot hide itself.

SQL gives each row one number, five bits for each of its findings. Nearly all rows have one of a few numbers, those of
sound rows, and SQL counts these; the others are tallied one by one. What a number means is then read once.
"""

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from accounts_migration.databases import census_cells as cells
from accounts_migration.databases.census_cells import FIRST_CODE, REASONS, VALUES, Rules
from accounts_migration.databases.legacy_source import LegacyTable, in_batches, open_read_only, quoted, row_id_name

LOADED, REJECTED, EXCLUDED = "loaded", "rejected", "excluded"

_BITS = 5
_MASK = (1 << _BITS) - 1
_DIFFERENT, _IDENTICAL = 1, 2
_IDLE, _KEPT = 1, 2
_REPAIRS = ("TRUNCATED", "DEFAULTED", "SENTINEL_DATE")
_SOUND = range(5)
"""The numbers of rows without any finding: no code, or one of up to four."""

_SIZE = "(SELECT nullif(size, 0) FROM shared.duplicate WHERE key = k)"
"""How often an identical row stands; NULL for a row that no other is identical to."""


class Fate(NamedTuple):
    """What becomes of a row: its action, the target value of its code if it is loaded, and the reasons in their order.

    The reasons of a loaded row are those of its repairs, one for each record.
    """

    action: str
    code: str = ""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgedRow:
    """One source row: its rowid where the table has one, its key in its one form (below 0: none), and its fate."""

    row: int | None
    key: int | str
    fate: Fate


@dataclass(frozen=True)
class _Form:
    """How the rows of an entity are judged.

    Args:
        table: The legacy table.
        key: The SQL of the key in its one form.
        findings: The SQL of each finding, in the order of contract section 5; it may use the key as `k`.
        cells: Name -> SQL of what is needed more than once; the findings use the names.
        kind: The kind of code in the cell `code`.
        parents: Parent -> the cell that holds its key.
        is_parent: Whether others refer to it, by a column of this name in `legacy_accounts`; empty for none.
    """

    table: LegacyTable
    key: str
    findings: tuple[str, ...]
    cells: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    parents: Mapping[str, str] = field(default_factory=dict)
    referring: str = ""


def _cell(column: str) -> str:
    # neither an affinity nor a collation that the column declares may change a comparison
    return f"(+{quoted(column)} COLLATE BINARY)"


def _outcome_of_code(code: str) -> str:
    return f"iif({code} >= {FIRST_CODE}, 0, {code})"


def _fee(money: str) -> str:
    return f"CASE {money} WHEN {cells.NEGATIVE} THEN {cells.OUT_OF_RANGE} WHEN {cells.ZERO} THEN 0 ELSE {money} END"


def _of_any_sign(money: str) -> str:
    return f"iif({money} >= {cells.NEGATIVE}, 0, {money})"


def _never_negative(money: str, code: str, values: Sequence[str]) -> str:
    codes = ", ".join(str(FIRST_CODE + VALUES["transaction_type"].index(value)) for value in values)
    return (
        f"CASE {money} WHEN {cells.NEGATIVE} THEN iif({code} IN ({codes}), {cells.SIGN_CONFLICT}, 0)"
        f" WHEN {cells.ZERO} THEN {cells.ZERO_AMOUNT} ELSE {money} END"
    )


def _product(rules: Rules) -> _Form:
    columns = (
        "product_code", "product_description", "account_type", "int_rate", "debit_fee", "maint_fee", "min_bal_int",
        "active",
    )  # fmt: skip
    return _Form(
        table=LegacyTable("legacy_products", columns),
        key=cells.entity_key(_cell("product_code")),
        cells={
            "code": cells.code(_cell("account_type"), "product_type", rules),
            "active": cells.code(_cell("active"), "product_active", rules),
            "debit": cells.money(_cell("debit_fee")),
            "maintenance": cells.money(_cell("maint_fee")),
            "least": cells.money(_cell("min_bal_int")),
            "name": cells.name(_cell("product_description"), missing=cells.MISSING_VALUE),
            "rate": cells.rate(_cell("int_rate")),
        },
        findings=(
            cells.key_outcome("k"), "name", _outcome_of_code("code"), "rate", _fee("debit"), _fee("maintenance"),
            _of_any_sign("least"),
        ),
        kind="product_type",
        referring="product_code",
    )  # fmt: skip


def _customer(rules: Rules) -> _Form:
    columns = (
        "customer_number", "first_name", "last_name", "email_address", "phone_number", "created_date", "status",
    )  # fmt: skip
    return _Form(
        table=LegacyTable("legacy_customers", columns),
        key=cells.entity_key(_cell("customer_number")),
        cells={
            "active": cells.code(_cell("status"), "customer_active", rules),
            "first": cells.name(_cell("first_name"), missing=cells.MISSING_VALUE),
            "last": cells.name(_cell("last_name"), missing=cells.MISSING_VALUE),
            "email": cells.email(_cell("email_address")),
            "phone": cells.name(_cell("phone_number")),
            "created": cells.moment(_cell("created_date"), missing=cells.DEFAULTED),
        },
        findings=(cells.key_outcome("k"), "first", "last", "email", "phone", "created"),
        referring="customer_number",
    )


def _account(rules: Rules) -> _Form:
    columns = (
        "account_number", "customer_number", "product_code", "account_status", "current_balance", "open_date",
        "close_date",
    )  # fmt: skip
    return _Form(
        table=LegacyTable("legacy_accounts", columns),
        key=cells.entity_key(_cell("account_number")),
        cells={
            "customer": cells.entity_key(_cell("customer_number")),
            "product": cells.entity_key(_cell("product_code")),
            "code": cells.code(_cell("account_status"), "account_status", rules),
            "balance": cells.money(_cell("current_balance")),
            "opened": cells.day(_cell("open_date"), sentinels=False),
            "closed": cells.day(_cell("close_date"), sentinels=True),
        },
        findings=(
            cells.key_outcome("k"), cells.key_outcome("customer"), cells.key_outcome("product"),
            _outcome_of_code("code"), _of_any_sign("balance"), "opened", "closed",
        ),
        kind="account_status",
        parents={"customer": "customer", "product": "product"},
    )  # fmt: skip


def _transaction(rules: Rules) -> _Form:
    columns = (
        "trans_id", "account_number", "trans_type", "trans_amount", "balance_after", "description", "trans_date",
    )  # fmt: skip
    return _Form(
        table=LegacyTable("legacy_transactions", columns, "trans_date"),
        key=cells.transaction_key(_cell("trans_id")),
        cells={
            "account": cells.entity_key(_cell("account_number")),
            "code": cells.code(_cell("trans_type"), "transaction_type", rules),
            "amount": cells.money(_cell("trans_amount")),
            "balance": cells.money(_cell("balance_after")),
            "reference": cells.description(_cell("description")),
            "moment": cells.moment(_cell("trans_date"), missing=cells.MISSING_VALUE),
        },
        findings=(
            cells.key_outcome("k"), cells.key_outcome("account"), _outcome_of_code("code"),
            _never_negative("amount", "code", ("CREDIT", "INTEREST")), _of_any_sign("balance"), "reference", "moment",
        ),
        kind="transaction_type",
        parents={"account": "account"},
    )  # fmt: skip


class Census:
    """The judgement on a snapshot; use `open_census`."""

    def __init__(self, path: Path, rules: Rules, folder: Path) -> None:
        """Keep where the snapshot is, the policies, and a folder for the keys of duplicates and parents."""
        self._path, self._rules, self._folder = path, rules, folder
        self.forms = {
            "product": _product(rules),
            "customer": _customer(rules),
            "account": _account(rules),
            "transaction": _transaction(rules),
        }
        self._shared: set[str] = set()
        with ThreadPoolExecutor(max_workers=1) as beside:
            shared = beside.submit(self._find_duplicates, "transaction")
            for parent in ("product", "customer", "account"):
                self._find_duplicates(parent)
                self._find_fates(parent)
            shared.result()
        self._fate = lru_cache(maxsize=4096)(self._fate_of)

    # -- what is known before a row is judged

    def _find_duplicates(self, entity: str) -> None:
        """Write the keys that stand more than once: how often if the rows are identical, 0 if they are not."""
        form = self.forms[entity]
        with self._connected(entity) as connection:
            connection.execute("CREATE TABLE shared.again (key PRIMARY KEY) WITHOUT ROWID")
            connection.execute("CREATE TABLE shared.duplicate (key PRIMARY KEY, size, first) WITHOUT ROWID")
            connection.execute(
                f"INSERT INTO shared.again SELECT k FROM ({_barred(f'{form.key} AS k', quoted(form.table.name))})"
                " WHERE k >= 0 GROUP BY k HAVING count(*) > 1"
            )
            if connection.execute("SELECT count(*) FROM shared.again").fetchone()[0]:
                self._shared.add(entity)
                row = row_id_name(connection, form.table) or "NULL"
                whole = " || ',' || ".join(
                    f"CASE typeof({name}) WHEN 'text' THEN 't' || hex({name}) ELSE quote({name}) END"
                    for name in map(quoted, form.table.columns)
                )
                connection.execute(
                    f"INSERT INTO shared.duplicate SELECT {form.key} AS k,"
                    f" iif(count(DISTINCT {whole}) = 1, count(*), 0), min({row}) FROM {quoted(form.table.name)}"
                    f" WHERE {form.key} IN (SELECT key FROM shared.again) GROUP BY k"
                )
            connection.commit()

    def _find_fates(self, parent: str) -> None:
        """Write what becomes of each key of a parent: 0 for loaded, else the outcome that it gives its children."""
        form = self.forms[parent]
        with self._connected(parent) as connection:
            connection.execute("CREATE TABLE shared.referred (key PRIMARY KEY) WITHOUT ROWID")
            if form.referring and self._rules.inactive_parents == "referenced":
                self._find_referred(connection, form)
            connection.execute("CREATE TABLE shared.fate (key INTEGER PRIMARY KEY, outcome)")
            connection.create_function("outcome_for_children", 1, lambda number: self._outcome(parent, number))
            connection.execute(
                f"INSERT INTO shared.fate SELECT k, iif(number <= {_SOUND[-1]}, 0, outcome_for_children(number))"
                f" FROM ({self._numbered(parent)}) WHERE k >= 0 ON CONFLICT (key) DO NOTHING"
            )
            connection.commit()

    def _find_referred(self, connection: sqlite3.Connection, form: _Form) -> None:
        connection.execute("CREATE TABLE shared.idle (key PRIMARY KEY) WITHOUT ROWID")
        active = _barred(f"{form.key} AS k, {form.cells['active']} AS active", quoted(form.table.name))
        connection.execute(
            f"INSERT INTO shared.idle SELECT DISTINCT k FROM ({active}) WHERE active <> {FIRST_CODE} AND k >= 0"
        )
        if connection.execute("SELECT count(*) FROM shared.idle").fetchone()[0]:
            references = _barred(f"{cells.entity_key(_cell(form.referring))} AS k", "legacy_accounts")
            connection.execute(
                f"INSERT INTO shared.referred SELECT DISTINCT k FROM ({references})"
                " WHERE k IN (SELECT key FROM shared.idle)"
            )

    def _outcome(self, entity: str, number: int) -> int:
        action = self._fate_of(entity, number).action
        return {LOADED: 0, REJECTED: cells.PARENT_REJECTED, EXCLUDED: cells.PARENT_EXCLUDED}[action]

    @contextmanager
    def _connected(self, entity: str) -> Iterator[sqlite3.Connection]:
        """Open the snapshot with the file of the entity as `shared`, and those of its parents by their names."""
        with open_read_only(self._path, immutable=True) as connection:
            connection.execute("PRAGMA query_only = OFF")
            connection.execute("PRAGMA cache_size = -32768")
            for name, of in {"shared": entity, **{parent: parent for parent in self.forms[entity].parents}}.items():
                connection.execute(f"ATTACH ? AS {name}", (str(self._folder / f"{of}.db"),))
                connection.execute(f"PRAGMA {name}.synchronous = OFF")
            cells.register(connection, self._rules)
            yield connection

    # -- the number of a row

    def _numbered(self, entity: str, condition: str = "", row: str = "") -> str:
        """Return the query of the key `k` and the `number` of each row, and of the rowid as `row` if it is named."""
        form = self.forms[entity]
        columns = [f"{form.key} AS k", *(f"{sql} AS {name}" for name, sql in form.cells.items())]
        named = ", row" if row else ""
        judged = _barred(", ".join([*columns, *([f"{row} AS row"] if row else [])]), quoted(form.table.name), condition)
        number = " | ".join(f"({part} << {place * _BITS})" for place, part in enumerate(self._parts(entity)))
        return _barred(f"k, {number} AS number{named}", f"({judged})")

    def _parts(self, entity: str) -> list[str]:
        form = self.forms[entity]
        code = f"max(code - {FIRST_CODE - 1}, 0)" if form.kind else "0"
        activity = "0"
        if "active" in form.cells:
            activity = (
                f"CASE WHEN active = {FIRST_CODE} THEN 0"
                f" WHEN k IN (SELECT key FROM shared.referred) THEN {_KEPT} ELSE {_IDLE} END"
            )
        duplicate = f"ifnull((SELECT iif(size = 0, {_DIFFERENT}, {_IDENTICAL}) FROM shared.duplicate WHERE key = k), 0)"
        parents = [
            f"iif({cell} < 0, 0, ifnull((SELECT outcome FROM {parent}.fate WHERE key = {cell}), {cells.ORPHAN}))"
            for parent, cell in form.parents.items()
        ]
        return [code, activity, duplicate if entity in self._shared else "0", *form.findings, *parents]

    def _fate_of(self, entity: str, number: int) -> Fate:
        """Read a row's number: duplicates first, then what is left out on purpose, then the rules, parents last."""
        code, activity, duplicate, *outcomes = [
            number >> place * _BITS & _MASK for place in range(len(self._parts(entity)))
        ]
        found = [REASONS[outcome - 1] for outcome in outcomes if outcome]
        if duplicate != _DIFFERENT:
            if "PARENT_EXCLUDED" in found:
                return Fate(EXCLUDED, reasons=("PARENT_EXCLUDED",))
            if activity == _IDLE:
                return Fate(EXCLUDED, reasons=("INACTIVE",))
        repairing = (*_REPAIRS, *(["INVALID_EMAIL"] if self._rules.invalid_email == "null" else []))
        broken = ["DUPLICATE_KEY"] * (duplicate == _DIFFERENT)
        broken += [reason for reason in found if reason not in repairing and reason != "PARENT_EXCLUDED"]
        if broken:
            return Fate(REJECTED, reasons=tuple(dict.fromkeys(broken)))
        repairs = ["KEPT_INACTIVE"] * (activity == _KEPT) + [reason for reason in found if reason in repairing]
        kind = self.forms[entity].kind
        return Fate(LOADED, VALUES[kind][code - 1] if kind else "", tuple(repairs))

    # -- what is asked

    def count(self, entity: str, batches: Sequence[str] | None = None) -> Counter[Fate]:
        """Return the number of source rows of each fate.

        Args:
            entity: The entity.
            batches: Only the rows of these batches; None counts all.
        """
        tallied: Counter[tuple[int, int | None]] = Counter()
        conditions = self._halves(entity, batches)
        with ThreadPoolExecutor(max_workers=len(conditions)) as threads:
            for part in threads.map(lambda condition: self._tally(entity, condition), conditions):
                tallied.update(part)
        fates: Counter[Fate] = Counter()
        for (number, size), rows in tallied.items():
            fates[self._fate(entity, number)] += rows // size if size else rows
            if size:
                # of identical rows one is judged, and all of them are in the same batch
                fates[Fate(EXCLUDED, reasons=("EXACT_DUPLICATE",))] += rows - rows // size
        return +fates

    def _tally(self, entity: str, condition: str) -> Counter[tuple[int, int | None]]:
        tallied: Counter[tuple[int, int | None]] = Counter()

        class Tally:
            def step(self, *found: int) -> None:
                number, size = found
                tallied[number, size] += 1

            def finalize(self) -> int:
                return len(tallied)

        sound = ", ".join(f"sum(number = {number})" for number in _SOUND)
        with self._connected(entity) as connection:
            connection.create_aggregate("tally", 2, Tally)
            query = f"SELECT {sound}, tally(number, {_SIZE}) FILTER (WHERE number > {_SOUND[-1]})"
            *counts, _ = connection.execute(f"{query} FROM ({self._numbered(entity, condition)})").fetchone()
        tallied.update({(number, None): rows for number, rows in zip(_SOUND, counts, strict=True) if rows})
        return tallied

    def _halves(self, entity: str, batches: Sequence[str] | None) -> list[str]:
        """Return the conditions of the parts that are counted at once; one where there is no rowid to part by."""
        table = self.forms[entity].table
        wanted = "" if batches is None else in_batches(table, batches)
        with open_read_only(self._path, immutable=True) as connection:
            row = row_id_name(connection, table)
            if row is None:
                return [wanted]
            bounds = f"SELECT min({row}), max({row}) FROM {quoted(table.name)}"
            lowest, highest = connection.execute(bounds).fetchone()
        if lowest is None:
            return [wanted]
        middle = (lowest + highest) // 2
        halves = [f"{row} <= {middle}", f"{row} > {middle}"]
        return [f"{half} AND {wanted}" if wanted else half for half in halves]

    def rows(self, entity: str, batches: Sequence[str] | None = None) -> Iterator[JudgedRow]:
        """Yield every source row with its fate; of identical rows the first is judged, the others are duplicates."""
        table = self.forms[entity].table
        wanted = "" if batches is None else in_batches(table, batches)
        with self._connected(entity) as connection:
            row_id = row_id_name(connection, table) or "NULL"
            firsts = dict(connection.execute("SELECT key, first FROM shared.duplicate WHERE size > 0"))
            query = f"SELECT k, row, number, {_SIZE} FROM ({self._numbered(entity, wanted, row_id)})"
            for key, row, number, size in connection.execute(query):
                fate = self._fate(entity, number)
                if size and row != firsts[key]:
                    fate = Fate(EXCLUDED, reasons=("EXACT_DUPLICATE",))
                yield JudgedRow(row, key.decode() if isinstance(key, bytes) else key, fate)


def _barred(selected: str, source: str, condition: str = "") -> str:
    """Return a query that SQLite computes once for each row, however often the one around it uses a column."""
    return f"SELECT {selected} FROM {source}{f' WHERE {condition}' if condition else ''} LIMIT -1 OFFSET 0"


@contextmanager
def open_census(path: Path, rules: Rules) -> Iterator[Census]:
    """Judge duplicates and parents of a snapshot; the census then counts. Its scratch files hold keys alone.

    Raises:
        MigrationError: The snapshot cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="accounts-migration-census-") as folder:
        yield Census(path, rules, Path(folder))
