"""`accounts-migration preflight`, and what `migrate` and a phase do not begin without."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import open_target
from accounts_migration.preflight.items import DESCRIPTIONS
from accounts_migration_tests.commands import PASSWORD, Here, verdict, write_bank

WORDS = ("legacy.db", "accounts.db")


def around(now: datetime, hours_before: float, hours_after: float) -> str:
    """Return a window around a moment, in UTC."""
    opens, closes = now - timedelta(hours=hours_before), now + timedelta(hours=hours_after)
    return f"{opens:%Y-%m-%dT%H:%M}Z/{closes:%Y-%m-%dT%H:%M}Z"


def tables(url: str) -> list[str]:
    """Return the names of the tables that stand in a PostgreSQL target."""
    sql = "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
    with open_target(url) as target:
        return sorted(name for (name,) in target.session.execute(sql))


def digest(said: Any) -> str:
    """Return the digest of the plan that `assess` shows."""
    [line] = [line for line in said.lines if line.startswith("plan ")]
    return str(line.split()[1])


def test_assess_approve_preflight_migrate(tmp_path: Path, target_url: str, here: Here) -> None:
    write_bank(tmp_path / "legacy.db")
    settings = {
        "MIGRATION_WINDOW": around(datetime.now(UTC), 1, 1),
        "MIGRATION_APPROVAL_FILE": "approval.toml",
    }
    plan = digest(here("assess", "legacy.db", target_url, **settings))
    refused = here("migrate", "legacy.db", target_url, **settings)
    assert refused.status == 1
    assert "stakeholder_approval: the approval approval.toml cannot be read: No such file or directory" in refused.err
    assert f'plan_digest = "{plan}"' in refused.err, "the remedy is the file to be signed"

    when = datetime.now(UTC).isoformat(timespec="seconds")
    approval = f'plan_digest = "{plan}"\napproved_by = "Ada Byron"\napproved_at = {when}\n'
    (tmp_path / "approval.toml").write_text(approval)
    ready = here("preflight", "legacy.db", target_url, "--json", "ready.json", **settings)
    assert (ready.status, verdict(ready.out)) == (0, "READY"), ready
    assert [line for line in ready.lines if line.startswith("stakeholder_approval passed by Ada Byron")]
    summary = json.loads((tmp_path / "ready.json").read_text())
    verdicts = {item["item"]: item["verdict"] for item in summary["items"]}
    assert (summary["ready"], summary["problems"], verdicts) == (True, [], dict.fromkeys(DESCRIPTIONS, "passed"))

    nothing = not Path(target_url).exists() if target_url.endswith(".db") else tables(target_url) == []
    assert nothing, "neither the refused migration nor the preflight wrote into the target"
    assert here("migrate", "legacy.db", target_url, **settings).status == 0


@pytest.mark.parametrize(
    ("words", "settings", "why"),
    [
        (("migrate",), {"MIGRATION_WINDOW": "2020-01-01T22:00/2020-01-02T06:00"}, "migration_window: 2020-01-01T22:00"),
        (("phase", 1), {"MIGRATION_WINDOW": "2090-01-01T22:00/2090-01-02T06:00"}, "migration_window: 2090-01-01T22:00"),
        (("migrate",), {"MIGRATION_APPROVAL_FILE": "legacy.db"}, "no plan was made for this source and target"),
    ],
)
def test_nothing_is_written_before_the_items_that_matter_hold(
    words: tuple[object, ...], settings: dict[str, str], why: str, tmp_path: Path, here: Here
) -> None:
    write_bank(tmp_path / "legacy.db")
    said = here(*words, *WORDS, **settings)
    assert said.status == 1
    assert "The migration into accounts.db is refused, nothing was written" in said.err
    assert why in said.err
    assert not (tmp_path / "accounts.db").exists()


def test_a_role_without_a_right_on_a_migrated_target_is_refused_before_the_first_write(
    tmp_path: Path, postgres_url: str, run_sql: Callable[..., Any], here: Here, bank: Any
) -> None:
    """It may insert, so that a part would be loaded before a merge misses the right to delete."""
    with open_target(postgres_url) as target:
        target.prepare()
        bank.load_parents(target)
        target.constrain()
    run_sql(
        postgres_url,
        "CREATE ROLE half LOGIN",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO half",
        "REVOKE DELETE ON account FROM half",
    )
    books = run_sql(postgres_url, "SELECT entity, batch, loaded_at FROM migration_batch ORDER BY 1, 2")
    said = here("migrate", write_bank(tmp_path / "legacy.db"), postgres_url.replace("//postgres@", "//half@"))
    assert (said.status, "target_rights: half lacks DELETE on the table account" in said.err) == (1, True), said
    assert run_sql(postgres_url, "SELECT entity, batch, loaded_at FROM migration_batch ORDER BY 1, 2") == books


def test_the_list_is_complete_though_nothing_can_be_reached(tmp_path: Path, here: Here) -> None:
    said = here("preflight", "none.db", f"postgresql://me:{PASSWORD}@127.0.0.1:1/bank")
    assert (said.status, verdict(said.out)) == (1, "NOT")
    verdicts = {line.split()[0]: line.split()[1] for line in said.lines if "_" in line.split(" ")[0]}
    assert [verdicts.get(name) for name in ("source_database_access", "target_rights", "backup_strategy")] == [
        "FAILED"
    ] * 3
    assert "there is no such file" in said.out + said.err
    assert "no server listens there" in said.out
    assert PASSWORD not in said.out + said.err
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("words", "settings", "why"),
    [
        (("preflight",), {}, "SOURCE_DB"),
        (("preflight", "legacy.db"), {}, "TARGET_DB"),
        (("preflight", "legacy.db", "mysql://x/y"), {}, "begins with mysql://"),
        (("preflight", *WORDS), {"MIGRATION_WINDOW": "tonight"}, "local time unless an offset is given"),
        (("migrate", *WORDS), {"MIGRATION_WINDOW": "2026-11-29T06:00/2026-11-28T22:00"}, "ends before it begins"),
    ],
)
def test_wrong_usage_ends_with_2(
    words: tuple[str, ...], settings: dict[str, str], why: str, tmp_path: Path, here: Here
) -> None:
    write_bank(tmp_path / "legacy.db")
    said = here(*words, **settings)
    assert (said.status, why in " ".join(said.err.split())) == (2, True), said.err
    assert not (tmp_path / "accounts.db").exists()
