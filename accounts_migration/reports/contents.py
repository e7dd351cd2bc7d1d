"""What a report says, as plain data: all of it, and in the order in which it is read.

Here: the dataclass tree; its JSON form is `report.json`. Amounts are in cents, times are UTC. Nothing in it depends on
when the report was made. Not here: where the figures come from (`accounts_migration.reports.gathering`) and how they
look (`accounts_migration.reports.rendering`).
"""

import json
from dataclasses import asdict, dataclass, field

PASSED, WARNING, FAILED, NOT_RUN = "passed", "warning", "failed", "not run"
"""The verdicts on a check."""


@dataclass(frozen=True, slots=True)
class Source:
    """The snapshot that everything was read from; `rows` by its table, `not_migrated` what was left behind."""

    path: str
    snapshot_id: str
    sha256: str
    bytes: int
    taken_at: str
    integrity_check: str
    rows: dict[str, int]
    not_migrated: list[str]


@dataclass(frozen=True, slots=True)
class Destination:
    """The target, without its password, and its software; the times of the first and last batch that stand in it."""

    name: str
    engine: str
    version: str
    loaded_from: str
    loaded_until: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The law for one entity or batch: source = loaded + rejected + excluded + unexplained."""

    entity: str
    batch: str
    source: int
    loaded: int
    rejected: int
    excluded: int
    repaired: int
    unexplained: int


@dataclass(frozen=True, slots=True)
class Money:
    """One control total in cents: source = target + left_behind + unexplained; `reasons` parts what was left behind."""

    entity: str
    group: str
    measure: str
    source: int
    target: int
    left_behind: int
    unexplained: int
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class Example:
    """One defect, personal values masked."""

    batch: str
    source_key: str | None
    source_row_id: int | None
    column: str | None
    old_value: str | None
    new_value: str | None


@dataclass(frozen=True, slots=True)
class Defects:
    """The defects of one entity, action and reason.

    `cents` is the money of these rows (balance or amount; None for an entity without money), as far as it can be read:
    `unreadable` counts the other rows. The money of repaired rows stands in the target.
    """

    entity: str
    action: str
    reason: str
    records: int
    cents: int | None
    unreadable: int
    examples: list[Example]


@dataclass(frozen=True, slots=True)
class Plausibility:
    """One plausibility question: rows asked, rows found, keys of the first ones."""

    kind: str
    expected: str
    entity: str
    asked: int
    found: int
    examples: list[str]


@dataclass(frozen=True, slots=True)
class Month:
    """Transactions of one batch: rows, and the sum of their amounts in cents, in both databases."""

    batch: str
    source_rows: int
    target_rows: int
    source_cents: int
    target_cents: int


@dataclass(frozen=True, slots=True)
class Load:
    """When a batch was loaded; `seconds` since the batch before it, everything included, None for the first one."""

    entity: str
    batch: str
    loaded_at: str
    rows: int
    seconds: float | None
    rows_per_second: int | None


@dataclass(frozen=True, slots=True)
class OtherTable:
    """A table beside the four entities' that came along.

    Its rows in both databases, those of the target that were compared, those that the target cannot hold, the unequal.
    """

    table: str
    source_rows: int
    target_rows: int
    compared: int
    rejected: int
    differences: int

    @property
    def holds(self) -> bool:
        """Return whether every row is accounted for and compared, and none differs; not compared is no pass."""
        is_accounted_for = self.source_rows == self.target_rows + self.rejected
        return is_accounted_for and self.compared == self.target_rows and not self.differences


@dataclass(frozen=True, slots=True)
class NotCarried:
    """Something that could not come along, as a view or a trigger, and why."""

    kind: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class OtherTables:
    """What stands beside the four entities: the tables that came along, and what could not."""

    carried: list[OtherTable] = field(default_factory=list)
    not_carried: list[NotCarried] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Check:
    """The last verdict of a check: `passed`, `warning`, `failed` or `not run`; over `batches` where it has batches."""

    asset: str
    check: str
    verdict: str
    batches: int
    batches_failed: list[str]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What it all comes to; `problems` are sentences, none where everything is accounted for.

    `unexplained_cents` adds up the differences of all control totals without their signs.
    """

    accounted_for: bool
    unexplained_rows: int
    unexplained_cents: int
    problems: list[str]
    warnings: list[str]
    not_run: list[str]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report; `deed` is what it tells of, `migration` or `copy`."""

    deed: str
    conclusion: Conclusion
    source: Source
    target: Destination
    software: dict[str, str]
    policies: dict[str, object]
    batches_under_other_policies: int
    entities: list[Rows]
    batches: list[Rows]
    not_loaded: list[str]
    totals: list[Money]
    overall: list[Money]
    defects: list[Defects]
    plausibility: list[Plausibility]
    months: list[Month]
    loads: list[Load]
    other_tables: OtherTables
    checks: list[Check]

    def as_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
