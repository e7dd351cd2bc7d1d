"""The findings of an assessment as tables that a person reads: the same on the terminal and in the UI.

Here: which figures stand in which table, and how they are spelled. Not here: colours (`accounts_migration.console`) and
Markdown (`accounts_migration.assets.assessment`). Forms and codes stand in quotes, since blanks count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from accounts_migration.assessment.column_profile import MOST_CODES_KEPT, ColumnProfile
from accounts_migration.assessment.dry_run import DryRun, EntityOutcome, RuleOutcome
from accounts_migration.assessment.forms import NAMED_FORMS
from accounts_migration.assessment.plan import Plan
from accounts_migration.assessment.profile import Profile, TableProfile
from accounts_migration.assessment.volumes import Volumes
from accounts_migration.entities.totals import AT_STAKE
from accounts_migration.reconciliation.amounts import amount

MOST_LINES = 120
FORMS_SHOWN = 5

_CLASSES = ("null", "integer", "real", "text", "blob")


@dataclass(frozen=True, slots=True)
class Listing:
    """A table of texts: `columns` whose name begins with `#` hold figures, which are aligned to the right."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def _listing(title: str, columns: str, lines: Iterable[Sequence[object]]) -> Listing:
    spelled = tuple(tuple(map(_spelled, line)) for line in lines)
    named = tuple(columns.split(" | "))
    if len(spelled) > MOST_LINES:
        further = (f"… {len(spelled) - MOST_LINES:,} more", *[""] * (len(named) - 1))
        spelled = (*spelled[:MOST_LINES], further)
    return Listing(title, named, spelled)


def _spelled(cell: object) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else str(cell)
    # a table of the source may be named anything
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def volume_tables(volumes: Volumes) -> list[Listing]:
    """Return the guide's volumes."""
    lines = [
        ("accounts", volumes.accounts),
        ("active accounts", volumes.active_accounts),
        ("total balance", amount(volumes.total_balance)),
        ("balances that cannot be read", volumes.unreadable_balances),
        ("customers", volumes.customers),
        ("products", volumes.products),
        ("transactions", volumes.transactions),
        ("first transaction", volumes.first_date or "-"),
        ("last transaction", volumes.last_date or "-"),
        ("transaction dates that cannot be read", volumes.unreadable_dates),
    ]
    return [_listing("volumes", "what | #figure", lines)]


def profile_tables(profile: Profile) -> list[Listing]:
    """Return what stands in the columns, in which forms and codes, and keys that are shared or lead nowhere."""
    columns = [(table.table, column) for table in profile.tables for column in table.columns]
    listings = [
        _listing(
            "columns: rows by storage class",
            "table | column | holds | #NULL | #INTEGER | #REAL | #TEXT | #BLOB | #blank | #not UTF-8 | #length",
            [(table, *_column(column)) for table, column in columns],
        ),
        _listing(
            "forms and their rows: digits as 9, letters as x",
            "column | forms",
            [(f"{table}.{column.column}", _forms(column)) for table, column in columns if column.forms],
        ),
        _listing(
            "codes",
            "column | code | class | #rows | read as",
            [line for table, column in columns for line in _codes(f"{table}.{column.column}", column)],
        ),
        _listing(
            "keys: rows",
            "table | #share a key and differ | #are a further copy | refer to nothing",
            map(_keys, profile.tables),
        ),
    ]
    if profile.not_migrated:
        listings.append(
            _listing("not migrated", "what", [(one.removeprefix("not migrated: "),) for one in profile.not_migrated])
        )
    return listings


def _column(column: ColumnProfile) -> tuple[object, ...]:
    length = "" if column.longest is None else f"{column.shortest:,}-{column.longest:,}"
    classes = (column.classes[name] for name in _CLASSES)
    return (column.column, column.kind, *classes, column.blanks, column.invalid_utf8, length)


def _forms(column: ColumnProfile) -> str:
    shown = [f"{_quoted(one.form)} {one.rows:,}" for one in column.forms[:FORMS_SHOWN]]
    further = column.rows_of_further_forms + sum(one.rows for one in column.forms[FORMS_SHOWN:])
    return "; ".join([*shown, *([f"others {further:,}"] if further else [])])


def _quoted(form: str) -> str:
    return form if form in NAMED_FORMS else f'"{form}"'


def _codes(name: str, column: ColumnProfile) -> Iterable[tuple[object, ...]]:
    for code in column.codes:
        yield name, _quoted(code.code), code.storage_class, code.rows, code.reading
    further = (column.distinct_codes or 0) - len(column.codes)
    if further:
        or_more = " or more" if column.distinct_codes == MOST_CODES_KEPT else ""
        yield name, f"{further:,} further codes{or_more}", "", "", ""


def _keys(table: TableProfile) -> tuple[object, ...]:
    orphans = "; ".join(f"{one.column} {one.rows:,} ({one.keys:,} keys)" for one in table.orphans)
    return table.table, table.rows_of_duplicate_keys, table.exact_duplicates, orphans


def dry_run_tables(dry: DryRun) -> list[Listing]:
    """Return what would become of the rows: by entity, and by rule."""
    entities = [
        (
            *(one.entity, one.source, one.loaded, one.rejected, one.excluded, one.repaired),
            *_money(one),
            "yes" if one.is_accepted else "NO",
        )
        for one in dry.entities
    ]
    rules = [(one.entity, one.action, one.reason, one.rows, one.broken, *_money(one)) for one in dry.rules]
    return [
        _listing(
            "dry run: source rows = loaded + rejected + excluded",
            "entity | #source | #loaded | #rejected | #excluded | #repaired | #money at stake | #unreadable |"
            " within max_reject_rate",
            entities,
        ),
        _listing(
            "dry run by rule: rows by their first reason; rows that break it at all",
            "entity | action | reason | #rows | #break it | #money at stake | #unreadable",
            rules,
        ),
    ]


def _money(outcome: EntityOutcome | RuleOutcome) -> tuple[str, str]:
    """Return the money at stake and how many amounts cannot be read; nothing for an entity without money."""
    if outcome.entity not in AT_STAKE:
        return "", ""
    return amount(outcome.money_at_stake), f"{outcome.unreadable:,}"


def plan_tables(plan: Plan) -> list[Listing]:
    """Return the recommendation, the time and the space that it needs, and the batches."""
    advice = plan.recommendation
    return [
        _listing(
            "plan",
            "what | answer",
            [
                ("data volume", f"{advice.tier}: {advice.tier_reason}"),
                ("the guide recommends", f"{advice.approach}: {advice.approach_reason}"),
                ("this tool offers", advice.offered),
                ("downtime by the guide", advice.guide_downtime),
                ("downtime measured here", duration(plan.estimated_seconds)),
                ("target", plan.target or "none named: measured with SQLite"),
                ("digest to approve", plan.digest),
            ],
        ),
        _listing(
            "downtime, measured on this machine",
            "stage | #seconds | by what",
            [
                *((stage.name, f"{stage.seconds:,.1f}", stage.basis) for stage in plan.stages),
                ("all", f"{plan.estimated_seconds:,.1f}", ""),
            ],
        ),
        _listing(
            "disk space",
            "for | folder | #needed | #free",
            [
                (
                    need.purpose,
                    need.folder,
                    size(need.needed),
                    "not seen from here" if need.free is None else size(need.free),
                )
                for need in plan.disk
            ],
        ),
        _listing(
            "batches of transactions: rows of each month",
            "year | #all | " + " | ".join(f"#{month:02}" for month in range(1, 13)),
            _calendar(plan.batches),
        ),
    ]


def _calendar(batches: Mapping[str, int]) -> Iterable[tuple[object, ...]]:
    """Yield a line for each year that has a batch, its sum first, and one for the batch without a date."""
    for year in dict.fromkeys(batch.partition("-")[0] for batch in batches):
        whole = sum(rows for batch, rows in batches.items() if batch.partition("-")[0] == year)
        yield year, whole, *(batches.get(f"{year}-{month:02}", "") for month in range(1, 13))


def duration(seconds: float) -> str:
    """Return a time as a person says it, rounded up: 27 s, 3 min 20 s, 1 h 5 min."""
    whole = -int(-seconds // 1)
    minutes, rest = divmod(whole, 60)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(-(-whole // 60), 60)
    return f"{hours} h {minutes} min"


def size(count: int) -> str:
    """Return bytes as a person says them: 0.1 MB is the least."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{max(count, 1e5 if count else 0) / 1e6:,.1f} MB"
