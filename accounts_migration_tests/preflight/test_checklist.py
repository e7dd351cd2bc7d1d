"""The items of the checklist: each passing and failing, on real databases, files and disks."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.assessment.dry_run import dry_run
from accounts_migration.assessment.plan import PLAN, Plan
from accounts_migration.assessment.planning import make_plan
from accounts_migration.assessment.records import findings_folder, write_finding
from accounts_migration.assessment.volumes import count_volumes
from accounts_migration.databases.target import open_target
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration.preflight import decisions, items
from accounts_migration.preflight.checklist import refuse_failed, space, whole_checklist
from accounts_migration.preflight.items import DESCRIPTIONS, Item, Verdict
from accounts_migration.preflight.situation import Situation, situation
from accounts_migration.resources import BackupResource, LegacyResource, TargetResource
from accounts_migration.settings import Settings


class Ready:
    """A source, an empty target, a snapshot and a plan; the source's defects are allowed."""

    def __init__(self, folder: Path, target: str, source: Path) -> None:
        allowing = Policies(max_reject_rate=1)
        self.settings = Settings(source_db=source, target_db=target, migration_home=folder / "home", policies=allowing)
        self.legacy = LegacyResource(source, self.settings.backups, self.settings.migration_home)
        self.target = TargetResource(target)
        self.backups = BackupResource(self.target, self.settings.backups, None, 30)

    def assess(self) -> Plan:
        """Take the snapshot, and make and record the plan."""
        snapshot = self.legacy.take_snapshot()
        policies = self.settings.policies
        found = dry_run(snapshot, policies)
        plan = make_plan(snapshot, count_volumes(snapshot, policies), found, self.settings)
        write_finding(findings_folder(self.settings), PLAN, plan)
        return plan

    @property
    def situation(self) -> Situation:
        return situation(self.settings, self.legacy.snapshot())

    def judged(self) -> dict[str, Item]:
        """Return every item by its name."""
        found = list(whole_checklist(self.settings, self.legacy, self.target, self.backups))
        assert [item.name for item in found] == list(DESCRIPTIONS)
        return {item.name: item for item in found}

    def verdicts(self) -> dict[str, str]:
        """Return the verdicts that are not `passed`."""
        return {name: str(item.verdict) for name, item in self.judged().items() if item.verdict is not Verdict.passed}


NOT_CONFIGURED = {items.WINDOW: "not configured", items.APPROVAL: "not configured"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, write_legacy: Callable[..., Path], new_legacy_rows: Any) -> Ready:
    """Ready for a migration into SQLite; the tests change nothing of it."""
    folder = tmp_path_factory.mktemp("ready")
    made = Ready(folder, str(folder / "target.db"), write_legacy(folder / "legacy.db", new_legacy_rows()))
    made.assess()
    made.backups.take()
    return made


@pytest.fixture
def fresh(tmp_path: Path, target_url: str, write_legacy: Callable[..., Path], new_legacy_rows: Any) -> Ready:
    """A source and an empty target of either engine, and nothing done yet."""
    return Ready(tmp_path, target_url, write_legacy(tmp_path / "legacy.db", new_legacy_rows()))


def test_an_empty_target_from_nothing_to_ready(fresh: Ready) -> None:
    nothing = fresh.judged()
    failed = {name for name, item in nothing.items() if item.blocks}
    undone = {items.SOURCE, items.VOLUME, items.WINDOW, items.APPROVAL, items.ROLLBACK, items.BACKUP, items.DISK}
    assert failed == undone, "without a snapshot nothing that speaks of one can be judged"
    assert "none was taken yet" in nothing[items.SOURCE].finding
    fresh.assess()
    fresh.backups.take()
    assert fresh.verdicts() == NOT_CONFIGURED
    evidence = {name: item.evidence for name, item in fresh.judged().items()}
    assert evidence[items.SOURCE]["rows of legacy_transactions"] == 12
    assert evidence[items.BANDWIDTH]["bytes sent"] == 1024 * 1024
    assert evidence[items.SCHEMA] == {"rows": 0}
    assert [str(word) for word in evidence[items.TARGET]] in (["file"], ["version", "encoding", "free connections"])


def test_a_target_that_holds_a_migration(fresh: Ready, bank: Any) -> None:
    fresh.assess()
    fresh.backups.take()
    with fresh.target.open() as target:
        target.prepare()
        bank.load_parents(target)
    judged = fresh.judged()
    assert judged[items.SCHEMA].finding == "it is ours: 7 rows of an earlier migration"
    assert {name for name, item in judged.items() if item.blocks} == {items.BACKUP}
    assert "the target changed since the backup" in judged[items.BACKUP].finding
    fresh.backups.take()
    assert fresh.verdicts() == NOT_CONFIGURED
    restored = fresh.judged()[items.ROLLBACK]
    assert restored.evidence["tables restored and compared"] == 13
    [newest, _] = fresh.backups.all()
    assert newest.path is not None
    newest.path.write_bytes(newest.path.read_bytes()[:-1] + b"?")
    assert "its sha256 is not the one of the manifest" in fresh.judged()[items.BACKUP].finding


@pytest.mark.parametrize(
    ("statements", "finding"),
    [
        (["CREATE TABLE product (product_id TEXT PRIMARY KEY, product_name INTEGER)"], "product.product_name is"),
        (["CREATE VIEW customer AS SELECT 1 AS customer_id"], "customer is a view, not a table"),
    ],
)
def test_a_table_that_cannot_take_our_rows(
    statements: list[str], finding: str, fresh: Ready, run_sql: Callable[..., Any]
) -> None:
    assert fresh.settings.target_db is not None
    if fresh.settings.target_db.endswith(".db"):
        sqlite3.connect(fresh.settings.target_db).close()
        Path(fresh.settings.target_db).touch()
    run_sql(fresh.settings.target_db, *statements)
    item = fresh.judged()[items.SCHEMA]
    assert (item.blocks, finding in item.finding) == (True, True), item.finding


def test_rows_that_are_not_ours(fresh: Ready, bank: Any, run_sql: Callable[..., Any]) -> None:
    with fresh.target.open() as target:
        target.prepare()
        bank.load_parents(target)
    run_sql(
        fresh.settings.target_db,
        "INSERT INTO customer VALUES ('CUST-0099', 'A', 'B', NULL, NULL, '2024-01-01 00:00:00')",
    )
    item = fresh.judged()[items.SCHEMA]
    assert (item.blocks, "rows that this migration did not write" in item.finding) == (True, True), item.finding


def test_a_target_that_another_migration_writes_to(tmp_path: Path, ready: Ready) -> None:
    """As another process does: a lock of the same process would be shared."""
    target = str(tmp_path / "target.db")
    script = "import sys; from accounts_migration.databases.target import open_target\n"
    script += "with open_target(sys.argv[1]) as t, t.lock(): print('held', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", script, target]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:  # noqa: S603
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        at_work = list(whole_checklist(ready.settings, ready.legacy, TargetResource(target), ready.backups))
        other.communicate()
    ended = list(whole_checklist(ready.settings, ready.legacy, TargetResource(target), ready.backups))
    name = items.TARGET
    found = [next(item for item in judged if item.name == name) for judged in (at_work, ended)]
    assert [item.blocks for item in found] == [True, False]
    assert found[0].finding.endswith("another migration or copy is writing to " + target)
    assert not (tmp_path / "target.db").exists()


UNREACHABLE = {
    "stopped server": ("postgresql://me:hush-4711@127.0.0.1:1/bank", "no server listens there"),
    "no folder": ("missing/target.db", "there is no folder"),
    "not a database": ("text.db", "it is not a SQLite database"),
    "a folder": (".", "it is a folder"),
}


@pytest.mark.parametrize("case", UNREACHABLE)
def test_a_target_that_cannot_be_reached_fails_all_that_is_asked_of_it(
    case: str, ready: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, why = UNREACHABLE[case]
    monkeypatch.chdir(tmp_path)
    Path("text.db").write_text("no database at all")
    target = TargetResource(url)
    backups = BackupResource(target, ready.settings.backups, None, 30)
    settings = ready.settings.model_copy(update={"target_db": url})
    judged = {item.name: item for item in whole_checklist(settings, ready.legacy, target, backups)}
    of_target = (items.TARGET, items.RIGHTS, items.SCHEMA, items.BANDWIDTH)
    assert [(judged[name].blocks, why in judged[name].finding) for name in of_target] == [(True, True)] * 4
    assert not judged[items.SOURCE].blocks
    assert "4711" not in "".join(f"{item.finding}{item.remedy}{item.evidence}" for item in judged.values())


def test_a_database_in_another_encoding(ready: Ready, postgres_server: str, run_sql: Callable[..., Any]) -> None:
    name = f"latin_{os.getpid()}"
    run_sql(postgres_server, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    target = TargetResource(postgres_server.replace("/accounts?", f"/{name}?"))
    judged = {item.name: item for item in whole_checklist(ready.settings, ready.legacy, target, ready.backups)}
    assert "its encoding is LATIN1" in judged[items.TARGET].finding
    assert judged[items.TARGET].blocks


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(content)


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (Path.unlink, "there is no such file"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "text": (lambda path: path.write_text("no database at all"), "it is not a SQLite database"),
    "damaged": (_damage, "damaged"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_source_that_is_not_whole(case: str, tmp_path: Path, write_legacy: Any, new_legacy_rows: Any) -> None:
    made = Ready(tmp_path, str(tmp_path / "target.db"), write_legacy(tmp_path / "legacy.db", new_legacy_rows()))
    made.assess()
    damage, why = DAMAGED[case]
    damage(tmp_path / "legacy.db")
    item = made.judged()[items.SOURCE]
    assert (item.blocks, why in item.finding) == (True, True), item.finding


def test_a_source_without_a_column(tmp_path: Path, write_legacy: Any, new_legacy_rows: Any) -> None:
    made = Ready(tmp_path, str(tmp_path / "target.db"), write_legacy(tmp_path / "legacy.db", new_legacy_rows()))
    made.assess()
    with closing(sqlite3.connect(tmp_path / "legacy.db")) as connection:
        connection.execute("ALTER TABLE legacy_accounts DROP COLUMN close_date")
    assert "close_date" in made.judged()[items.SOURCE].finding


def test_a_change_of_the_source_or_of_the_policies_makes_the_plan_stale(
    tmp_path: Path, write_legacy: Any, new_legacy_rows: Any
) -> None:
    made = Ready(tmp_path, str(tmp_path / "target.db"), write_legacy(tmp_path / "legacy.db", new_legacy_rows()))
    plan = made.assess()
    made.settings = made.settings.model_copy(
        update={"migration_approval_file": approved(tmp_path, plan.digest, datetime.now(UTC))}
    )
    assert decisions.approval(made.situation).verdict is Verdict.passed
    strict = made.settings.policies.model_copy(update={"letter_case": "keep"})
    other = replace(made.situation, settings=made.settings.model_copy(update={"policies": strict}))
    with closing(sqlite3.connect(tmp_path / "legacy.db")) as connection, connection:
        connection.execute("UPDATE legacy_accounts SET current_balance = 1 WHERE account_number = 3")
    made.legacy.take_snapshot()
    for at, what in ((other, "policies"), (made.situation, "source")):
        assert decisions.volume(at).finding == f"the {what} changed since the plan was made"
        assert decisions.approval(at).finding == f"nothing can be approved: the {what} changed since the plan was made"
        assert (decisions.volume(at).blocks, decisions.approval(at).blocks) == (True, True)


def test_a_plan_of_a_migration_that_would_be_refused_is_not_ready(
    tmp_path: Path, write_legacy: Any, new_legacy_rows: Any
) -> None:
    made = Ready(tmp_path, str(tmp_path / "target.db"), write_legacy(tmp_path / "legacy.db", new_legacy_rows()))
    made.settings = made.settings.model_copy(update={"policies": Policies()})
    made.assess()
    item = decisions.volume(made.situation)
    assert (item.verdict, item.finding) == (
        Verdict.failed,
        "a migration would be refused, more rows are rejected than max_reject_rate allows: "
        "customer 1, account 1, transaction 3",
    )


def test_a_plan_that_cannot_be_read_is_none(tmp_path: Path, write_legacy: Any, new_legacy_rows: Any) -> None:
    made = Ready(tmp_path, str(tmp_path / "target.db"), write_legacy(tmp_path / "legacy.db", new_legacy_rows()))
    made.assess()
    (findings_folder(made.settings) / "plan.json").write_text("{}")
    item = decisions.volume(made.situation)
    assert (item.blocks, item.finding.startswith("Cannot read")) == (True, True), item.finding
    assert decisions.window(made.situation).verdict is Verdict.not_configured, "who set no window needs no plan"


NOW = datetime(2026, 11, 28, 23, tzinfo=UTC)


def in_window(ready: Ready, text: str, **changes: Any) -> Item:
    settings = ready.settings.model_copy(update={"migration_window": text})
    return decisions.window(replace(ready.situation, settings=settings, now=NOW, **changes))


@pytest.mark.parametrize(
    ("text", "verdict", "finding"),
    [
        ("2026-11-28T22:00Z/2026-11-29T06:00Z", Verdict.passed, "is open for another 7 h 0 min, the migration takes"),
        ("2026-11-29T00:30+02:00/2026-11-29T02:00+02:00", Verdict.passed, "is open for another 1 h 0 min"),
        ("2026-11-28T23:20Z/2026-11-29T06:00Z", Verdict.failed, "opens in 20 min 0 s"),
        ("2026-11-28T21:00Z/2026-11-28T22:59Z", Verdict.failed, "closed 1 min 0 s ago"),
        ("2026-11-28T21:00Z/2026-11-28T23:00Z", Verdict.failed, "closed 0 s ago"),
        ("2026-11-28T22:00Z/2026-11-28T23:00:03Z", Verdict.failed, "closes in 3 s, and the migration takes about"),
    ],
    ids=["open", "open elsewhere", "not yet", "over", "over this second", "too short"],
)
def test_the_window(ready: Ready, text: str, verdict: Verdict, finding: str) -> None:
    item = in_window(ready, text)
    assert (item.verdict, finding in item.finding) == (verdict, True), item.finding
    assert str(item.evidence["times without an offset"]).startswith("local time of this machine, ")


def test_a_phase_needs_its_share_of_the_estimate(ready: Ready) -> None:
    plan = ready.situation.plan
    assert plan is not None
    closes = NOW + timedelta(seconds=plan.estimated_seconds * 0.6)
    text = f"2026-11-28T22:00Z/{closes.isoformat()}"
    assert in_window(ready, text).blocks
    assert not in_window(ready, text, share=0.5).blocks


def test_a_window_without_a_plan_is_a_warning_that_it_could_not_be_compared(ready: Ready) -> None:
    item = in_window(ready, "2026-11-28T22:00Z/2026-11-29T06:00Z", recorded=None)
    assert item.verdict is Verdict.warning
    assert item.finding.endswith(
        "how long the migration takes is not known: no plan was made for this source and target"
    )


def approved(folder: Path, digest: str, when: datetime) -> Path:
    path = folder / "approval.toml"
    path.write_text(f'plan_digest = "{digest}"\napproved_by = "Ada Byron"\napproved_at = {when.isoformat()}\n')
    return path


def test_the_approval(ready: Ready, tmp_path: Path) -> None:
    at = ready.situation
    assert at.plan is not None

    def judged(path: Path) -> Item:
        return decisions.approval(
            replace(at, settings=at.settings.model_copy(update={"migration_approval_file": path}))
        )

    passed = judged(approved(tmp_path, at.plan.digest, at.now - timedelta(minutes=1)))
    assert (passed.verdict, passed.evidence["approved by"]) == (Verdict.passed, "Ada Byron")
    future = judged(approved(tmp_path, at.plan.digest, at.now + timedelta(hours=1)))
    assert (future.blocks, "approved in the future" in future.finding) == (True, True)
    another = judged(approved(tmp_path, "ab" * 32, at.now))
    assert (another.blocks, "approves another plan, abababababab…" in another.finding) == (True, True)
    assert f'plan_digest = "{at.plan.digest}"' in another.remedy, "the remedy can be pasted"
    missing = judged(tmp_path / "missing.toml")
    assert (missing.blocks, missing.finding.endswith("cannot be read: No such file or directory")) == (True, True)
    (tmp_path / "approval.toml").write_text("yes")
    malformed = judged(tmp_path / "approval.toml")
    assert (malformed.blocks, "cannot be read: it is no TOML" in malformed.finding) == (True, True)


def test_what_nobody_configured_says_so_and_does_not_block(ready: Ready) -> None:
    judged = [decisions.window(ready.situation), decisions.approval(ready.situation)]
    assert [(item.verdict, item.blocks) for item in judged] == [(Verdict.not_configured, False)] * 2


def test_a_disk_that_is_too_small(ready: Ready, tmp_path: Path) -> None:
    """No disk takes a backup of a target of 8 TB; the file is sparse, so it is there all the same."""
    target = tmp_path / "target.db"
    with open_target(str(target)) as database:
        database.prepare()
        with target.open("r+b") as file:
            file.truncate(8 * 10**12)
        item = space(ready.situation, database)
        estimated = space(replace(ready.situation, recorded=None), database)
    assert (item.blocks, "backup 16,000.0 GB" in item.finding) == (True, True), item.finding
    assert (estimated.verdict, "16,000.0 GB" in estimated.finding) == (Verdict.warning, True), "no more than estimated"


def test_a_disk_without_a_plan_is_judged_by_the_snapshot(ready: Ready) -> None:
    at = replace(ready.situation, recorded=None)
    with ready.target.open() as database:
        item = space(at, database)
    assert (item.verdict, item.evidence["bytes for target"]) == (Verdict.passed, 3 * at.snapshot.size)
    assert str(item.evidence["measured by"]).endswith("no plan was made for this source and target")


def test_what_this_process_may_not_write() -> None:
    """By a process of its own, limited as by `ulimit -f`, and without the rights of root, who may write everywhere."""
    script = """
import os, resource
from pathlib import Path
from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError
from accounts_migration.preflight.disk import Need, lacking, unwritable
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
os.geteuid() or os.setuid(65534)
print(*lacking([Need("target", Path("/"), 2_000_000)]))
print(*unwritable([Need("backup", Path("/usr/backups"), 1)]))
try:
    open_target("/usr/target.db")
except MigrationError as error:
    print(error.why)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.splitlines() == [
        "no file of this process may grow beyond 0.1 MB (ulimit -f), 2.0 MB are needed",
        "/usr is not writable for backup",
        "the folder /usr is not writable",
    ]


def test_a_folder_that_is_a_file(ready: Ready, tmp_path: Path) -> None:
    settings = ready.settings.model_copy(update={"backup_dir": tmp_path / "file" / "backups"})
    (tmp_path / "file").write_text("")
    with ready.target.open() as database:
        item = space(replace(ready.situation, settings=settings), database)
    assert (item.blocks, item.finding) == (True, f"{tmp_path / 'file'} is not writable for backup")


def test_a_refusal_names_every_item_that_failed(ready: Ready) -> None:
    failed = [Item(name, Verdict.failed, f"{name} is bad", "Mend it") for name in (items.WINDOW, items.DISK)]
    warned = [Item(items.RIGHTS, Verdict.warning, "strange"), Item(items.APPROVAL, Verdict.not_configured, "not set")]
    refuse_failed("no reason", warned)
    with pytest.raises(MigrationError) as refused:
        refuse_failed("The migration is refused", [*warned, *failed])
    assert (refused.value.why, refused.value.remedy) == (
        "migration_window: migration_window is bad; disk_space: disk_space is bad",
        "Mend it",
    )
