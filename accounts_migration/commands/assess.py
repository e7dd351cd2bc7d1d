"""`accounts-migration assess`: the job `assess`, and its findings as tables and as JSON.

Here: running it and showing what it found. Not here: how anything is found out (`accounts_migration.assessment`).
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from accounts_migration import logs
from accounts_migration.assessment.dry_run import DryRun
from accounts_migration.assessment.plan import Plan
from accounts_migration.assessment.profile import Profile
from accounts_migration.assessment.records import findings_folder, read_finding
from accounts_migration.assessment.tables import (
    Listing,
    dry_run_tables,
    duration,
    plan_tables,
    profile_tables,
    volume_tables,
)
from accounts_migration.assessment.volumes import Volumes
from accounts_migration.console import OUT, plain, show_end, show_line, show_problems, show_value
from accounts_migration.definitions import build_defs
from accounts_migration.instance import open_instance_of
from accounts_migration.jobs import ASSESS_JOB
from accounts_migration.listings import destination
from accounts_migration.resources import LegacyResource
from accounts_migration.runner import RunOutcome, run_job
from accounts_migration.settings import Settings

_FINDINGS: dict[str, tuple[type, Callable[[Any], list[Listing]]]] = {
    "volumes": (Volumes, volume_tables),
    "profile": (Profile, profile_tables),
    "dry_run": (DryRun, dry_run_tables),
    "plan": (Plan, plan_tables),
}


def run(settings: Settings, log: Path, summary: Path | None) -> bool:
    """Assess the source, show everything that was found, write it as JSON where wanted; return whether all was found.

    The snapshot is taken into BACKUP_DIR as always, and does not become the present one.

    Raises:
        UsageError: No source is named, or the target's URL cannot be read.
        MigrationError: Findings cannot be read back, or another file cannot be written.
    """
    started = time.monotonic()
    folder = findings_folder(settings)
    legacy = LegacyResource(settings.source_db, settings.backups, None)
    definitions = build_defs(settings=settings, resource_overrides={"legacy": legacy})
    with open_instance_of(settings) as instance:
        run = run_job(definitions, instance, ASSESS_JOB)
    found = dict(_found(folder, run))
    for name, finding in found.items():
        for listing in _FINDINGS[name][1](finding):
            OUT.print(_table(listing))
    show_problems(run.problems)
    if summary:
        with destination(summary) as file:
            file.write(json.dumps(_summary(found, run), indent=2) + "\n")
    _show_end(found, run, log, time.monotonic() - started)
    return run.success


def _found(folder: Path, run: RunOutcome) -> Iterator[tuple[str, Any]]:
    """Yield the findings that this run made, by name."""
    for name, (kind, _) in _FINDINGS.items():
        if f"assessment/{name}" in run.metadata:
            yield name, read_finding(folder, name, kind)


def _table(listing: Listing) -> Table:
    table = Table(title=listing.title, title_justify="left")
    for name in listing.columns:
        table.add_column(name.removeprefix("#"), justify="right" if name.startswith("#") else "left")
    for line in listing.lines:
        table.add_row(*map(plain, line))
    return table


def _summary(found: dict[str, Any], run: RunOutcome) -> dict[str, Any]:
    """Return everything as JSON; amounts are in cents."""
    findings = {name: asdict(finding) for name, finding in found.items()}
    plan = found.get("plan")
    if plan is not None:
        findings["plan"] |= {
            "digest": plan.digest,
            "estimated_seconds": plan.estimated_seconds,
            "lacking": plan.lacking,
        }
    return {"success": run.success, "run_id": logs.run_id(), **findings, "problems": run.problems, "runs": [run.run_id]}


def _show_end(found: dict[str, Any], run: RunOutcome, log: Path, seconds: float) -> None:
    dry, plan = found.get("dry_run"), found.get("plan")
    if dry is not None and not all(one.is_accepted for one in dry.entities):
        OUT.print("[yellow]A migration would be refused:[/] more rows are rejected than max_reject_rate allows.")
    if plan is not None:
        for one in plan.lacking:
            show_line(f"[yellow]Not enough disk space:[/] {plain(one)}")
        show_value("plan", plan.digest)
        took = duration(plan.estimated_seconds)
        show_value("downtime", f"{took} measured here; the guide says {plan.recommendation.guide_downtime}")
    show_value("log", log)
    show_end("ASSESSED" if run.success else "FAILED", run.success, seconds, run.problems)
