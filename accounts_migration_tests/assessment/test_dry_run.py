"""The dry run tells exactly what a migration then records, by row, rule and cent; it writes nothing."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.assessment.dry_run import DryRun, EntityOutcome, RuleOutcome, dry_run
from accounts_migration.databases.snapshot import Snapshot, take_snapshot
from accounts_migration.databases.target import Target, open_target
from accounts_migration.demo_source import write_demo_source
from accounts_migration.entities import ENTITIES
from accounts_migration.entities.policies import Policies
from accounts_migration.reconciliation.accounting import BatchLaw
from accounts_migration.resources import LEGACY_TABLES
from accounts_migration.worklist import worklist
from accounts_migration_tests.commands import Here

Rows = dict[str, list[tuple[Any, ...]]]
NUL, LONG = "zq\0", "z" * 201


def dirty(rows: Rows) -> Rows:
    """Add rows that break several rules at once, in storage classes of every kind."""
    rows["legacy_products"] += [
        (None, "Lost", "CHK", 0, 0, 0, 0, 1),
        (4, "Steep", "SAV", 101, -1, "1e1", 1.001, " true "),
        (5.0, b"\x00", "chk", 0, 0, 0, 0, None),
    ]
    rows["legacy_customers"] += [
        ("005", "Zqeve", NUL, " ZQ@X.ORG ", 5551234, "2020-02-30", "active"),
        (4.5, "Zqno", "", "a b@c", b"1", None, 1),
    ]
    rows["legacy_accounts"] += [
        (5, 4, 3, "A", 12.34, None, None),
        ("6", 99, 88, "F", "1,000.00", "01/02/2020", "0000-00-00"),
        (7, "x", None, None, None, 20200101, "2020-01-01 10:00"),
        (8, 1, 4, "C", 10**14, "2020-01-01", None),
        (9, 1, 1, "A", 0.1 + 0.2, "2020-01-01", None),
        (9, 1, 1, "A", 0.3, "2020-01-01", None),
    ]
    rows["legacy_transactions"] += [
        ("A-1", 1, "RV", "12.34", 0, LONG, "2024-03-07"),
        (13, 5, "CR", -7, None, NUL, "2024-03-08"),
        (14, 9, "FE", 0, 0, None, "2024-03-09"),
        (None, None, None, b"1", float("inf"), b"z", b"2024-03"),
        (15, 1, "IN", 99.99, 0, LONG, "2024-03-10"),
    ]
    return rows


def recorded(target: Target) -> dict[str, Any]:
    """Return what a migration left in its books, in the words of a dry run."""
    batches = {
        (one.entity, one.batch): (one.source_rows, one.loaded, one.rejected, one.excluded)
        for one in target.recorded_batches()
    }
    rows, broken = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for entity in ENTITIES:
        for record in (record for part in target.defects(entity) for record in part.to_pylist()):
            rows[entity, record["action"], record["reason"]] += 1
            broken.update((entity, record["action"], one) for one in record["reasons"].split(","))
    money: Counter[str] = Counter()
    unreadable: Counter[str] = Counter()
    for line in worklist(target, ENTITIES, None, show_personal_data=False):
        if line["entity"] in ("account", "transaction") and line["action"] != "repaired":
            stake = line["money_at_stake"]
            money[str(line["entity"])] += 0 if stake is None else int(Decimal(str(stake)) * 100)
            unreadable[str(line["entity"])] += stake is None
    return {"batches": batches, "rows": +rows, "broken": +broken, "money": +money, "unreadable": +unreadable}


def foretold(dry: DryRun) -> dict[str, Any]:
    """Return the same of a dry run."""
    whole = [(one.entity, "all", one) for one in dry.entities if one.entity != "transaction"]
    batches: dict[tuple[str, str], tuple[int, ...]] = {
        (entity, batch): (one.source, one.loaded, one.rejected, one.excluded) for entity, batch, one in whole
    }
    batches |= {("transaction", one.batch): (one.source, one.loaded, one.rejected, one.excluded) for one in dry.batches}
    names = ("account", "transaction")
    return {
        "batches": batches,
        "rows": +Counter({(rule.entity, rule.action, rule.reason): rule.rows for rule in dry.rules}),
        "broken": Counter({(rule.entity, rule.action, rule.reason): rule.broken for rule in dry.rules}),
        "money": +Counter({one.entity: one.money_at_stake for one in dry.entities if one.entity in names}),
        "unreadable": +Counter({one.entity: one.unreadable for one in dry.entities}),
    }


def snapshot_of(path: Path, folder: Path) -> Snapshot:
    return take_snapshot(path, folder / "backups", LEGACY_TABLES)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_dirty_source_becomes_what_was_foretold(
    engine: str,
    tmp_path: Path,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
    new_legacy_rows: Callable[[], Rows],
) -> None:
    # under two policies at once, the other ones than the default
    policies = {"max_reject_rate": 1, "invalid_email": "null", "inactive_parents": "exclude"}
    with open_migration(tmp_path, new_target(engine, tmp_path), dirty(new_legacy_rows()), **policies) as migration:
        dry = dry_run(snapshot_of(tmp_path / "legacy.db", tmp_path), migration.settings.policies)
        migration.migrate()
        with open_target(migration.settings.target_db) as target:
            found = recorded(target)

    assert foretold(dry) == found
    assert sum(found["unreadable"].values()) > 0


def test_the_demo_becomes_what_was_foretold(tmp_path: Path, here: Here) -> None:
    write_demo_source(tmp_path / "demo.db", accounts=200, transactions=1500, dirt=0.02, seed=5)

    dry = dry_run(snapshot_of(tmp_path / "demo.db", tmp_path), Policies(max_reject_rate=1))

    assert here("migrate", "demo.db", "accounts.db", "--policy", "max_reject_rate=1").status == 0
    with open_target(str(tmp_path / "accounts.db")) as target:
        assert foretold(dry) == recorded(target)
    assert len(dry.rules) > 25


def test_every_row_rule_and_cent_is_told(
    tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    snapshot = snapshot_of(write_legacy(tmp_path / "legacy.db", new_legacy_rows()), tmp_path)

    dry = dry_run(snapshot, Policies(max_reject_rate=0.25))

    assert dry.entities == (
        EntityOutcome("product", 3, 2, 0, 1, 0, 0, 0, True),
        EntityOutcome("customer", 4, 2, 1, 1, 1, 0, 0, True),
        EntityOutcome("account", 4, 3, 1, 0, 1, 70_00, 0, True),
        # 70 of the account that waits for its owner, 20 twice, 3 undated; 1.005 cannot be read as cents
        EntityOutcome("transaction", 12, 8, 3, 1, 0, 93_00, 1, True),
    )
    assert dry.rules == (
        RuleOutcome("product", "excluded", "INACTIVE", 1, 1, 0, 0),
        RuleOutcome("customer", "excluded", "INACTIVE", 1, 1, 0, 0),
        RuleOutcome("customer", "rejected", "INVALID_EMAIL", 1, 1, 0, 0),
        RuleOutcome("customer", "repaired", "DEFAULTED", 1, 1, 0, 0),
        RuleOutcome("account", "rejected", "PARENT_REJECTED", 1, 1, 70_00, 0),
        RuleOutcome("account", "repaired", "SENTINEL_DATE", 1, 1, 0, 0),
        RuleOutcome("transaction", "excluded", "EXACT_DUPLICATE", 1, 1, 20_00, 0),
        RuleOutcome("transaction", "rejected", "INVALID_DATE", 1, 1, 3_00, 0),
        RuleOutcome("transaction", "rejected", "PARENT_REJECTED", 1, 1, 70_00, 0),
        RuleOutcome("transaction", "rejected", "SUB_CENT", 1, 1, 0, 1),
    )
    assert dry.batches == (
        BatchLaw("transaction", "2024-01", 3, 3, 0, 0, 0),
        BatchLaw("transaction", "2024-02", 4, 2, 1, 1, 0),
        BatchLaw("transaction", "2024-03", 3, 2, 1, 0, 0),
        BatchLaw("transaction", "undated", 2, 1, 1, 0, 0),
    )
    assert (dry.source_sha256, dry.policies_digest, dry.rows) == (
        snapshot.sha256,
        Policies(max_reject_rate=0.25).digest,
        23,
    )
    # the folder holds the source and its snapshot, and nothing else
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backups", "legacy.db"]


def test_a_row_that_breaks_several_rules_counts_once_and_breaks_each(
    tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    rows = new_legacy_rows()
    rows["legacy_accounts"].append((5, 1, 1, "F", "much", "soon", None))
    snapshot = snapshot_of(write_legacy(tmp_path / "legacy.db", rows), tmp_path)

    dry = dry_run(snapshot, Policies())

    rules = {rule.reason: (rule.rows, rule.broken) for rule in dry.rules if rule.entity == "account"}
    assert rules["UNKNOWN_CODE"] == (1, 1)
    assert rules["INVALID_NUMBER"] == rules["INVALID_DATE"] == (0, 1)
    assert sum(rule.rows for rule in dry.rules if (rule.entity, rule.action) == ("account", "rejected")) == 2


def test_at_max_reject_rate_0_one_bad_row_is_one_too_many(
    tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Rows]
) -> None:
    snapshot = snapshot_of(write_legacy(tmp_path / "legacy.db", new_legacy_rows()), tmp_path)

    accepted = {one.entity: one.is_accepted for one in dry_run(snapshot, Policies()).entities}

    assert accepted == {"product": True, "customer": False, "account": False, "transaction": False}


def test_empty_tables_have_nothing_to_tell(tmp_path: Path, write_legacy: Callable[..., Path]) -> None:
    nothing: Rows = {entity.legacy_table: [] for entity in ENTITIES.values()}
    snapshot = snapshot_of(write_legacy(tmp_path / "legacy.db", nothing), tmp_path)

    dry = dry_run(snapshot, Policies())

    assert [(one.source, one.loaded, one.is_accepted) for one in dry.entities] == [(0, 0, True)] * 4
    assert (dry.rules, dry.batches, dry.rows) == ((), (), 0)
