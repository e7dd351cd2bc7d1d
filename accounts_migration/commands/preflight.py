"""`accounts-migration preflight`: the guide's checklist, judged and printed.

Here: running it and showing the list. Not here: how an item is judged (`accounts_migration.preflight`).
"""

import json
import time
from pathlib import Path
from typing import Any

from rich.table import Table

from accounts_migration.assets.preflight import PREFLIGHT
from accounts_migration.assets.target_backup import TARGET_BACKUP
from accounts_migration.console import OUT, plain, show_line, show_problems, show_value, show_verdict
from accounts_migration.definitions import build_defs
from accounts_migration.instance import open_instance_of
from accounts_migration.jobs import BACKUP_JOB, PREFLIGHT_JOB, SNAPSHOT_JOB
from accounts_migration.listings import destination
from accounts_migration.preflight.items import Verdict
from accounts_migration.resources import LegacyResource, TargetResource
from accounts_migration.runner import CheckVerdict, run_job, snapshot_taken
from accounts_migration.settings import Settings

_STYLES = {
    Verdict.passed: "green",
    Verdict.failed: "bold red",
    Verdict.warning: "yellow",
    Verdict.not_configured: "yellow",
}


def run(settings: Settings, log: Path, summary: Path | None) -> bool:
    """Take the snapshot and a backup of the target, judge every item, print the list; return whether none failed.

    The snapshot goes into BACKUP_DIR as always, and does not become the present one. What cannot be
    taken is told, and its items fail; the list is complete all the same.

    Raises:
        UsageError: No source or no target is named, or the target's URL cannot be read.
        MigrationError: Somebody stopped it, nothing can be recorded, or the summary cannot be written.
    """
    started = time.monotonic()
    legacy = LegacyResource(settings.source_db, settings.backups, None)
    legacy.refuse_unnamed()
    target = TargetResource(settings.target_db)
    location = target.url and target.location
    definitions = build_defs(settings=settings, resource_overrides={"legacy": legacy})
    with open_instance_of(settings) as instance:
        snapshot = run_job(definitions, instance, SNAPSHOT_JOB)
        taken = [snapshot, run_job(definitions, instance, BACKUP_JOB, assets=[TARGET_BACKUP])]
        reads = (legacy, snapshot_taken(snapshot, legacy)) if snapshot.success else None
        run = run_job(definitions, instance, PREFLIGHT_JOB, assets=[PREFLIGHT], reads=reads)
    OUT.print(_list(run.checks))
    problems = dict.fromkeys(problem for one in (*taken, run) for problem in one.problems)
    show_problems(problems)
    for check in run.checks:
        if check.metadata["verdict"] == Verdict.failed:
            show_line(f"[bold red]{check.check}[/]: {plain(str(check.metadata.get('what to do', '')))}")
    show_value("target", location)
    show_value("log", log)
    passed = run.success and all(one.success for one in taken)
    if summary:
        with destination(summary) as file:
            file.write(json.dumps(_as_json(run.checks, list(problems), ready=passed), indent=2) + "\n")
    show_verdict("READY" if passed else "NOT READY", passed, time.monotonic() - started)
    return passed


def _as_json(checks: list[CheckVerdict], problems: list[str], *, ready: bool) -> dict[str, Any]:
    listed = [{"item": check.check, **check.metadata} for check in checks]
    return {"ready": ready, "items": listed, "problems": problems}


def _list(checks: list[CheckVerdict]) -> Table:
    table = Table(title="preflight", title_justify="left")
    for name in ("item", "verdict", "finding"):
        table.add_column(name, overflow="fold")
    for check in checks:
        verdict = Verdict(str(check.metadata["verdict"]))
        table.add_row(check.check, f"[{_STYLES[verdict]}]{verdict}[/]", plain(str(check.metadata["finding"])))
    return table
