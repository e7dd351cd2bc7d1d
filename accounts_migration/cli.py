"""The command line: words in, jobs launched, what they recorded out.

Here: arguments and exit statuses (0 done and proved; 1 refused or failed; 2 wrong usage or configuration). Not here:
what happens (`accounts_migration.migration`), how it looks (`accounts_migration.console`), and the process that it
happens in (`accounts_migration.program`).
"""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accounts_migration.errors import UsageError

if TYPE_CHECKING:
    from accounts_migration.outcome import Outcome
    from accounts_migration.settings import Settings

app = typer.Typer(
    help="Moves a legacy bank database into the Account Processing System and proves it to the cent and to the row.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_DATABASE = "A path, sqlite:///... or postgresql://..."

Source = Annotated[str | None, typer.Argument(help="The legacy SQLite file; SOURCE_DB where left out.")]
TargetUrl = Annotated[str | None, typer.Argument(help=f"{_DATABASE}; TARGET_DB where left out.")]
PolicyOption = Annotated[
    list[str] | None,
    typer.Option("--policy", metavar="NAME=VALUE", help="A policy of the contract; several allowed."),
]
ReportFolder = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Where the report goes; MIGRATION_HOME/reports/SNAPSHOT where left out."
    ),
]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the summary as JSON, too.")]


class Format(StrEnum):
    """How `defects` lists."""

    table = "table"
    csv = "csv"
    json = "json"


class Engine(StrEnum):
    """Where the demo migrates to."""

    sqlite = "sqlite"
    postgres = "postgres"


def _policies(words: list[str] | None) -> dict[str, str]:
    chosen = {}
    for word in words or []:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(
                f"Cannot read the policy {word!r}", why="it has no value", remedy="Write --policy NAME=VALUE"
            )
        chosen[name.strip()] = value
    return chosen


def _exit(success: bool) -> typer.Exit:
    """Return the exit status as typer takes it."""
    return typer.Exit(0 if success else 1)


def _ended(outcome: "Outcome", log: Path, verb: str, summary: Path | None) -> typer.Exit:
    """Show the outcome, write the summary if it is wanted, and return the exit status as typer takes it."""
    from accounts_migration import console

    console.show_outcome(outcome, log, verb)
    if summary:
        console.write_json(outcome, summary)
    return _exit(outcome.success)


def _start_log(settings: "Settings", what: str, *, quiet: bool = False) -> Path:
    """Start the command's log with what it is about to do; return the file. Unless quiet, the terminal says it, too."""
    from accounts_migration import logs
    from accounts_migration.resources import TargetResource

    log = logs.start_log(settings.logs, quiet=quiet)
    logs.note_work(what, settings.source_db, TargetResource(settings.target_db).location)
    logs.note(f"policies other than the default: {settings.policies.model_dump_json(exclude_defaults=True)}")
    return log


@app.command()
def assess(
    source: Source = None, target: TargetUrl = None, policy: PolicyOption = None, summary: JsonOption = None
) -> None:
    """Find out what a migration of SOURCE would do, and plan it; nothing is written into SOURCE or TARGET."""
    from accounts_migration import console
    from accounts_migration.commands import assess as command
    from accounts_migration.settings import load_settings

    settings = load_settings(_policies(policy), source_db=source, target_db=target)
    console.refuse_unwritable(summary, "--json", aside=True)
    raise _exit(command.run(settings, _start_log(settings, "assess"), summary))


@app.command()
def migrate(
    source: Source = None,
    target: TargetUrl = None,
    batches: Annotated[
        list[str] | None,
        typer.Option("--batches", metavar="FIRST..LAST", help="Only these months of transactions; several allowed."),
    ] = None,
    policy: PolicyOption = None,
    summary: JsonOption = None,
) -> None:
    """Migrate SOURCE into TARGET: snapshot, clean, judge, load, add constraints, prove."""
    from accounts_migration import console, migration
    from accounts_migration.notices import told
    from accounts_migration.settings import load_settings

    settings = load_settings(_policies(policy), source_db=source, target_db=target)
    console.refuse_unwritable(summary, "--json")
    log = _start_log(settings, "migrate")
    outcome = told(settings, "migrate", "MIGRATED", lambda: migration.migrate(settings, batches or []))
    raise _ended(outcome, log, "MIGRATED", summary)


@app.command()
def preflight(
    source: Source = None, target: TargetUrl = None, policy: PolicyOption = None, summary: JsonOption = None
) -> None:
    """Judge every item of the checklist before a migration; exit status 0 only if none failed. Migrates nothing."""
    from accounts_migration import console
    from accounts_migration.commands import preflight as command
    from accounts_migration.settings import load_settings

    settings = load_settings(_policies(policy), source_db=source, target_db=target)
    console.refuse_unwritable(summary, "--json", aside=True)
    raise _exit(command.run(settings, _start_log(settings, "preflight", quiet=True), summary))


@app.command()
def phase(
    which: Annotated[str, typer.Argument(help="1 to 4, or reference, accounts, history, recent.")],
    source: Source = None,
    target: TargetUrl = None,
    policy: PolicyOption = None,
    summary: JsonOption = None,
) -> None:
    """Run one phase of a phased migration; refused while the phases before it have not passed."""
    from accounts_migration import console
    from accounts_migration.commands import phase as command
    from accounts_migration.settings import load_settings

    settings = load_settings(_policies(policy), source_db=source, target_db=target)
    console.refuse_unwritable(summary, "--json")
    raise _exit(command.run(settings, which, _start_log(settings, f"phase {which}"), summary))


@app.command()
def verify(
    source: Source = None, target: TargetUrl = None, policy: PolicyOption = None, summary: JsonOption = None
) -> None:
    """Compare every row of TARGET with SOURCE; exit status 0 only if everything holds."""
    from accounts_migration import console, migration
    from accounts_migration.settings import load_settings

    settings = load_settings(_policies(policy), source_db=source, target_db=target)
    console.refuse_unwritable(summary, "--json")
    log = _start_log(settings, "verify")
    outcome = migration.verify(settings, keep_policies=bool(policy))
    raise _ended(outcome, log, "VERIFIED", summary)


@app.command()
def report(
    target: TargetUrl = None,
    folder: ReportFolder = None,
) -> None:
    """Write the report on TARGET, one HTML page and its JSON twin, to be read and signed."""
    from accounts_migration import console, migration
    from accounts_migration.settings import load_settings

    settings = load_settings(target_db=target)
    console.refuse_unwritable_folder(folder)
    log = _start_log(settings, "report")
    outcome = migration.report(settings, folder)
    console.show_report(outcome, log)
    raise _exit(outcome.success)


@app.command()
def backup(
    target: TargetUrl = None,
    list_them: Annotated[bool, typer.Option("--list", help="Take none; list those of TARGET.")] = False,
) -> None:
    """Take a backup of TARGET and prove it by restoring it; delete those older than BACKUP_RETENTION_DAYS."""
    from accounts_migration.commands import backup as command
    from accounts_migration.settings import load_settings

    settings = load_settings(target_db=target)
    if list_them:
        command.show(settings)
        return
    raise _exit(command.run(settings, _start_log(settings, "backup")))


@app.command()
def rollback(
    target: TargetUrl = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="BACKUP", help="One of `backup --list`; else from before the last migration or copy."
        ),
    ] = None,
    discard_changes: Annotated[
        bool,
        typer.Option("--discard-changes", help="Also where TARGET was changed since; the rows go into files first."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask at the terminal.")] = False,
) -> None:
    """Put TARGET back to what it was before its last migration or copy, with the service stopped and started anew."""
    from accounts_migration.commands import rollback as command
    from accounts_migration.settings import load_settings

    settings = load_settings(target_db=target)
    command.run(settings, _start_log(settings, "rollback"), to=to, discard_changes=discard_changes, yes=yes)


schema = typer.Typer(
    help="The version of TARGET's tables: which it is, bringing it up or down, and holding the tables against it.",
    no_args_is_help=True,
)
app.add_typer(schema, name="schema")


@schema.command("upgrade")
def schema_upgrade(
    target: TargetUrl = None,
    revision: Annotated[str, typer.Argument(help="A version, as 0002; the newest where left out.")] = "head",
) -> None:
    """Bring the tables of TARGET up to a version; its rows and records stay as they are."""
    from accounts_migration.commands import schema as command
    from accounts_migration.settings import load_settings

    settings = load_settings(target_db=target)
    command.upgrade(settings, revision, _start_log(settings, "schema upgrade", quiet=True))


@schema.command("downgrade")
def schema_downgrade(
    target: Annotated[str, typer.Argument(help=_DATABASE)],
    revision: Annotated[str, typer.Argument(help="A version, as 0001.")],
) -> None:
    """Bring the tables of TARGET down to an older version; refused where records would be lost."""
    from accounts_migration.commands import schema as command
    from accounts_migration.settings import load_settings

    settings = load_settings(target_db=target)
    command.downgrade(settings, revision, _start_log(settings, "schema downgrade", quiet=True))


@schema.command("current")
def schema_current(target: TargetUrl = None) -> None:
    """Print the version at which the tables of TARGET are."""
    from accounts_migration.commands import schema as command
    from accounts_migration.settings import load_settings

    command.current(load_settings(target_db=target))


@schema.command("check")
def schema_check(target: TargetUrl = None) -> None:
    """Hold the tables of TARGET against the newest version; exit status 0 only if they are the same in everything."""
    from accounts_migration.commands import schema as command
    from accounts_migration.settings import load_settings

    settings = load_settings(target_db=target)
    raise _exit(command.check(settings, _start_log(settings, "schema check", quiet=True)))


@app.command()
def finish(
    target: TargetUrl = None,
    reindex: Annotated[
        bool, typer.Option("--reindex", help="Let PostgreSQL build its indexes anew; SQLite does so always.")
    ] = False,
    summary: JsonOption = None,
) -> None:
    """After a migration into TARGET: optimise, test, archive, notify, and go through the guide's list of 13 items."""
    from accounts_migration import console
    from accounts_migration.commands import finish as command
    from accounts_migration.settings import load_settings

    settings = load_settings(target_db=target)
    console.refuse_unwritable(summary, "--json")
    raise _exit(command.run(settings, _start_log(settings, "finish"), summary, reindex=reindex))


@app.command()
def copy(
    source: Annotated[str | None, typer.Argument(metavar="FROM", help=f"{_DATABASE}; else COPY_FROM.")] = None,
    target: Annotated[str | None, typer.Argument(metavar="TO", help=f"{_DATABASE}; else COPY_TO.")] = None,
    all_tables: Annotated[
        bool, typer.Option("--all-tables", help="Carry every other table of FROM along, as far as TO can hold it.")
    ] = False,
    folder: ReportFolder = None,
    policy: PolicyOption = None,
    summary: JsonOption = None,
) -> None:
    """Copy the Account Processing System FROM one database TO another, SQLite or PostgreSQL, and prove every row."""
    from accounts_migration import console
    from accounts_migration.commands import copy as command
    from accounts_migration.settings import load_settings

    settings = load_settings(_policies(policy), copy_from=source, copy_to=target)
    console.refuse_unwritable(summary, "--json")
    console.refuse_unwritable_folder(folder)
    raise _exit(command.run(settings, summary, folder, all_tables=all_tables))


@app.command()
def defects(
    target: TargetUrl = None,
    entity: Annotated[str | None, typer.Option(help="Only this entity.")] = None,
    of_copy: Annotated[
        bool, typer.Option("--copy", help="Those of the last copy into TARGET (COPY_TO where left out).")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="How to list.")] = Format.table,
    show_personal_data: Annotated[
        bool, typer.Option("--show-personal-data", help="Show names, e-mail, phone and texts unmasked.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write into a file that its owner alone can read."),
    ] = None,
) -> None:
    """List the rejected, excluded and repaired rows of TARGET as work to be done: most money at stake first."""
    from accounts_migration import console
    from accounts_migration.commands import defects as command
    from accounts_migration.settings import load_settings

    command.refuse_unknown(entity)
    console.refuse_unwritable(output, "--output", aside=True)
    settings = load_settings(copy_to=target) if of_copy else load_settings(target_db=target)
    command.run(
        settings, output, entity=entity, of_copy=of_copy, form=form.value, show_personal_data=show_personal_data
    )


@app.command("demo-source")
def demo_source(
    path: Annotated[Path, typer.Argument(help="The SQLite file to write; it must not exist.")],
    accounts: Annotated[int, typer.Option(min=1, help="Number of accounts.")] = 10_000,
    transactions: Annotated[int, typer.Option(min=0, help="Number of transactions.")] = 250_000,
    dirt: Annotated[float, typer.Option(min=0, max=1, help="Share of defective rows.")] = 0.001,
    seed: Annotated[int, typer.Option(help="The same seed gives the same file.")] = 1,
) -> None:
    """Write a realistic legacy database, with defects of every kind."""
    from accounts_migration.demo_source import write_demo_source

    write_demo_source(path, accounts=accounts, transactions=transactions, dirt=dirt, seed=seed)
    typer.echo(f"wrote {path}: {accounts:,} accounts, {transactions:,} transactions, about {dirt:.2%} defective rows")


@app.command()
def demo(
    target: Annotated[Engine, typer.Option(help="The engine of the target.")] = Engine.sqlite,
    accounts: Annotated[int, typer.Option(min=1, help="Number of accounts.")] = 10_000,
    transactions: Annotated[int, typer.Option(min=0, help="Number of transactions.")] = 250_000,
) -> None:
    """Write a demo source with defects and migrate it; a new folder below MIGRATION_HOME/demo each time."""
    from accounts_migration.demo import run_demo

    raise typer.Exit(run_demo(target.value, accounts, transactions))


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1.")] = 3000,
) -> None:
    """Open the Dagster UI with its daemon, on the instance that the command line records its runs on."""
    from accounts_migration.instance import open_instance_of
    from accounts_migration.settings import load_settings

    settings = load_settings()
    # runs of commands that were killed must not be shown as going on
    with open_instance_of(settings) as instance:
        folder = instance.root_directory
    typer.echo(f"Dagster UI on http://127.0.0.1:{port} (instance {folder}); stop it with Ctrl-C")
    program = str(Path(sys.executable).parent / "dagster")
    words = [program, "dev", "-m", "accounts_migration.definitions", "-h", "127.0.0.1", "-p", str(port)]
    os.execv(program, words)  # noqa: S606  (no shell, fixed words)
