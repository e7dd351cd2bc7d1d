"""`accounts-migration finish`: what comes after a migration, and the guide's list of it.

Here: the order of the jobs, the list as it is shown, and the command's end. Not here: what is done
(`accounts_migration.assets.post_migration`) and what shows that it is done (`accounts_migration.assets.checklist`).
"""

import json
import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from rich.table import Table

from accounts_migration import logs
from accounts_migration.assets.checklist import BY_HAND, CHECKLIST, ITEMS
from accounts_migration.assets.items import ACKNOWLEDGED, DONE, EVIDENCE, FAILED, STATE
from accounts_migration.assets.post_migration import OPTIMISED
from accounts_migration.console import OUT, plain, show_end, show_problems, show_value
from accounts_migration.databases.target import Target
from accounts_migration.definitions import build_defs, checked_assets
from accounts_migration.instance import open_instance_of
from accounts_migration.jobs import POST_MIGRATION_JOB, REPORT_JOB
from accounts_migration.last_migration import refuse_unproved
from accounts_migration.notices import told_when_raised
from accounts_migration.operations.acknowledgements import read_acknowledgements
from accounts_migration.operations.notification import Notice, notify
from accounts_migration.operations.programs import words_of
from accounts_migration.operations.smoke_tests import smoke_tests
from accounts_migration.resources import LegacyResource, TargetResource
from accounts_migration.runner import RunOutcome, run_job
from accounts_migration.settings import Settings

_COLOURS = {DONE: "green", ACKNOWLEDGED: "green", FAILED: "bold red"}


@dataclass
class _Finish:
    """What the command came to: items by name, each with its state and evidence."""

    target: str = ""
    problems: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    items: dict[str, dict[str, str]] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def success(self) -> bool:
        """Return whether every item stands, apart from a notice that was not delivered."""
        failed = {name for name, item in self.items.items() if item[STATE] == FAILED} - self.warned
        return not self.problems and len(self.items) == len(ITEMS) and not failed

    def take(self, run: RunOutcome) -> None:
        """Add what a run recorded."""
        self.runs.append(run.run_id)
        self.problems += [problem for problem in run.problems if problem not in self.problems]
        for check in run.checks:
            if check.asset == CHECKLIST.to_user_string():
                self.items[check.check] = {name: str(check.metadata[name]) for name in (STATE, EVIDENCE)}
                self.warned |= {check.check} if check.is_warning else set()


def run(settings: Settings, log: Path, summary: Path | None, *, reindex: bool) -> bool:
    """Report, optimise, test, archive, notify, and go through the list; return whether every item stands.

    Raises:
        UsageError: No target is named, or a setting cannot be used.
        MigrationError: The last migration did not end with every check passed, or another one is at work.
    """
    started = time.monotonic()
    done = _Finish()
    _refuse_unusable(settings)
    with told_when_raised(settings, "finish", "REFUSED"):
        _go_through(done, settings, reindex=reindex)
    done.seconds = time.monotonic() - started
    if not done.items:
        # else the list has told it
        notify(settings, Notice("finish", done.target, "FAILED", False, done.problems))
    _show(done, log)
    if summary:
        summary.write_text(_as_json(done))
    return done.success


def _refuse_unusable(settings: Settings) -> None:
    """Raise UsageError for what is wrongly set, before anything is done, not after half of it."""
    smoke_tests(settings)
    read_acknowledgements(settings.acknowledgements, BY_HAND)
    for name in ("configure_application", "clear_caches"):
        command = getattr(settings, name)
        if command is not None:
            words_of(name.upper(), command)


def _go_through(done: _Finish, settings: Settings, *, reindex: bool) -> None:
    legacy = LegacyResource(settings.source_db, settings.backups, settings.migration_home)
    target = TargetResource(settings.target_db)
    with ExitStack() as stack:
        database: Target = stack.enter_context(target.open())
        done.target = database.name
        stack.enter_context(database.lock())
        instance = stack.enter_context(open_instance_of(settings))
        refuse_unproved(database, legacy, target.location or database.name, instance, checked_assets())
        definitions = build_defs(settings=settings)
        # a report that cannot be written is an item that failed: the others are gone through all the same
        reported = run_job(definitions, instance, REPORT_JOB)
        done.runs.append(reported.run_id)
        for problem in reported.problems:
            logs.say(f"no report: {problem}", logging.ERROR)
        done.take(_post_migration(definitions, instance, reindex=reindex))


def _post_migration(definitions: dg.Definitions, instance: dg.DagsterInstance, *, reindex: bool) -> RunOutcome:
    config = {OPTIMISED.to_python_identifier(): {"reindex": reindex}}
    return run_job(definitions, instance, POST_MIGRATION_JOB, config=config)


def _show(done: _Finish, log: Path) -> None:
    table = Table(title="after the migration", title_justify="left")
    table.add_column("item", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("evidence", overflow="fold")
    for name, item in done.items.items():
        state = "warning" if name in done.warned and item[STATE] == FAILED else item[STATE]
        table.add_row(name, f"[{_COLOURS.get(state, 'yellow')}]{state}[/]", plain(item[EVIDENCE]))
    if done.items:
        OUT.print(table)
    show_problems(done.problems)
    show_value("target", done.target)
    show_value("log", log)
    word = "FINISHED" if done.success else "NOT FINISHED" if done.items else "FAILED"
    show_end(word, done.success, done.seconds, done.problems)


def _as_json(done: _Finish) -> str:
    value = {
        "success": done.success,
        "run_id": logs.run_id(),
        "target": done.target,
        "items": [{"item": name, **item} for name, item in done.items.items()],
        "problems": done.problems,
        "runs": done.runs,
        "seconds": round(done.seconds, 3),
    }
    return json.dumps(value, indent=2) + "\n"
