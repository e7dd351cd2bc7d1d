"""The demo: a realistic legacy database with defects of every kind, migrated into SQLite or a real PostgreSQL.

Here: the folder of a demo and its engine. Not here: what the source holds (`accounts_migration.demo_source`) and the
migration itself (`accounts_migration.migration`).
"""

from contextlib import ExitStack
from datetime import UTC, datetime

from accounts_migration import console, listings, logs, migration
from accounts_migration.databases.embedded_postgres import embedded_postgres
from accounts_migration.demo_source import write_demo_source
from accounts_migration.entities import ENTITIES
from accounts_migration.resources import TargetResource
from accounts_migration.settings import load_settings
from accounts_migration.worklist import worklist

DIRT = 0.001
MAX_REJECT_RATE = 0.01


def run_demo(engine: str, accounts: int, transactions: int) -> int:
    """Write the demo's source, migrate it, show the outcome; return the exit status.

    Args:
        engine: `sqlite` or `postgres`.
        accounts: Number of accounts.
        transactions: Number of transactions over 5 years.
    """
    home = load_settings().migration_home
    folder = home / "demo" / f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
    folder.mkdir(parents=True, mode=0o700)
    source = folder / "legacy_system.db"
    console.OUT.print(f"Writing a legacy database of {accounts:,} accounts and {transactions:,} transactions: {source}")
    write_demo_source(source, accounts=accounts, transactions=transactions, dirt=DIRT, seed=1)
    console.OUT.print(
        f"About {DIRT:.1%} of its rows are defective, of every kind; so the demo sets max_reject_rate to "
        f"{MAX_REJECT_RATE} (its default is 0: one bad row stops the migration, with the list)."
    )
    with ExitStack() as stack:
        target = str(folder / "accounts.db")
        if engine == "postgres":
            console.OUT.print("Starting an embedded PostgreSQL server")
            target = stack.enter_context(embedded_postgres(folder / "postgres"))
        settings = load_settings(
            {"max_reject_rate": MAX_REJECT_RATE}, source_db=source, target_db=target, migration_home=home
        )
        log = logs.start_log(settings.logs, quiet=False)
        outcome = migration.migrate(settings, [])
        if outcome.loaded:
            # the embedded server stops with the demo, so what it holds of defects is written beside it
            path = folder / "defects.csv"
            with TargetResource(target).open() as database, listings.destination(path) as file:
                listings.write_csv(worklist(database, ENTITIES, None, show_personal_data=False), file)
            console.OUT.print(f"All defects, most money at stake first, personal data masked: {path}", soft_wrap=True)
        console.show_outcome(outcome, log, "MIGRATED")
    if engine == "postgres":
        console.OUT.print(
            f"The embedded server is stopped, its data stays in {folder / 'postgres'}; the two commands above are for a"
            " server that runs, as yours does"
        )
    return 0 if outcome.success else 1
