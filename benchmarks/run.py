"""`python -m benchmarks.run`: times the whole command beside the floor, the guide's way and pgloader.

The ways take turns. Each runs as a process of its own; of `--repeat` runs the median counts. The command is
timed from its start to its end, the floor and the guide's way without the start of Python. PostgreSQL is the
embedded server with its stock settings, durable. Sources and prepared rows stay in var/benchmark for the next
run; all else there is removed.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

from accounts_migration.databases.embedded_postgres import embedded_postgres
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import MigrationError
from accounts_migration.settings import PostgresSettings, Settings
from benchmarks.bars import SMALL_ACCOUNTS, SMALL_TRANSACTIONS, Bar, bars
from benchmarks.processes import Measured, measured

FOLDER = Path("var/benchmark")
PARTS = ("command", "floor", "guide", "pgloader", "copy")
ENGINES = ("postgres", "sqlite")
OUT = Console()
Turn = Callable[[], None]


@dataclass
class Figures:
    """What was measured: way -> seconds of each run, and way -> largest peak memory in megabytes."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    megabytes: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, way: str, seconds: float, megabytes: float) -> None:
        """Keep one run."""
        self.seconds[way].append(seconds)
        self.megabytes[way] = max(self.megabytes[way], megabytes)
        OUT.print(f"  {way}: {seconds:.2f} s, {megabytes:.0f} MB")

    def medians(self) -> dict[str, float]:
        """Return way -> median seconds."""
        return {way: statistics.median(runs) for way, runs in self.seconds.items()}


class Failed(Exception):
    """A way that did not come to its end; the text says where its output is."""


class Benchmark:
    """The ways, each on the same source and on targets that are new each time."""

    def __init__(self, folder: Path, url: str, figures: Figures) -> None:
        """Keep the folder for all that is written, and the URL of the empty PostgreSQL database."""
        self.folder = folder.resolve()
        self.url = url
        self.figures = figures
        self.log = self.folder / "last_output.log"

    def source(self, accounts: int, transactions: int) -> Path:
        """Return a legacy database without defects, written once."""
        path = self.folder / f"legacy_{accounts}_{transactions}.db"
        if not path.exists():
            OUT.print(f"writing the source: {accounts:,} accounts, {transactions:,} transactions")
            numbers = f"--accounts {accounts} --transactions {transactions} --dirt 0 --seed 1".split()
            words: list[str | Path] = [_program("accounts-migration"), "demo-source", path, *numbers]
            self._done(words)
        return path

    def prepared(self, source: Path) -> Path:
        """Return the folder of the prepared rows of a source, written once."""
        folder = source.with_suffix(".prepared")
        if not (folder / "transaction.arrow").exists():
            OUT.print("preparing the rows for the floor")
            folder.mkdir(exist_ok=True)
            self._module("floor", "prepare", source, folder)
        return folder

    def command(self, engine: str, source: Path, name: str) -> None:
        """Time the whole command, with a state folder of its own, and what verifies its target."""
        with self._scratch() as scratch:
            target = self._empty_database() if engine == "postgres" else str(scratch / "target.db")
            for way, word in ((name, "migrate"), (name.replace("command", "verify"), "verify")):
                done = self._command([_program("accounts-migration"), word, source, target], scratch)
                self.figures.add(way, done.seconds, done.megabytes)

    def _command(self, words: Sequence[str | Path], scratch: Path) -> Measured:
        # run elsewhere: a .env or policy file of the working folder must not take part
        environment = _environment() | {"MIGRATION_HOME": str(scratch / "home")}
        return self._done(words, folder=scratch, environment=environment)

    def floor(self, engine: str, source: Path) -> None:
        """Time the floor."""
        with self._scratch() as scratch:
            if engine == "postgres":
                done = self._module("floor", "postgres", self.prepared(source), self._empty_database())
            else:
                done = self._module("floor", "sqlite", source, scratch / "target.db")
            self.figures.add(f"floor {engine}", _seconds(done), done.megabytes)

    def guide(self, source: Path) -> None:
        """Time the guide's two scripts, once."""
        with self._scratch() as scratch:
            target = scratch / "target.db"
            done = self._module("guide", "sqlite", source, target)
            self.figures.add("guide sqlite", _seconds(done), done.megabytes)
            done = self._module("guide", "postgres", target, self._empty_database())
            self.figures.add("guide postgres", _seconds(done), done.megabytes)

    def platform(self, source: Path) -> Path:
        """Return the SQLite target that a source was migrated into, written once."""
        path = source.with_name(source.name.replace("legacy", "platform"))
        if not path.exists():
            OUT.print("migrating the source into the database that is copied")
            with self._scratch() as scratch:
                target = scratch / "target.db"
                self._command([_program("accounts-migration"), "migrate", source, target], scratch)
                target.rename(path)
        return path

    def copies(self, platform: Path) -> None:
        """Time the copy of a platform database from SQLite to PostgreSQL, and the way back."""
        with self._scratch() as scratch:
            there, back = self._empty_database(), scratch / "back.db"
            for way, origin, target in (("copy postgres", platform, there), ("copy sqlite", there, back)):
                done = self._command([_program("accounts-migration"), "copy", origin, target], scratch)
                self.figures.add(way, done.seconds, done.megabytes)

    def pgloader(self, program: str, source: Path, rows: int) -> None:
        """Time pgloader copying the four legacy tables as they are."""
        self._pgloader(program, "pgloader", source, rows, "legacy_transactions")

    def pgloader_of_platform(self, program: str, platform: Path, rows: int) -> None:
        """Time pgloader copying a platform database as it is, with its keys and indexes."""
        self._pgloader(program, "pgloader copy", platform, rows, "transaction")

    def _pgloader(self, program: str, way: str, source: Path, rows: int, table: str) -> None:
        parts = urlsplit(self._empty_database())
        sockets = parse_qs(parts.query)["host"][0]
        target = f"postgresql://{parts.username}@unix:{sockets}:5432{parts.path}"
        done = self._done([program, f"sqlite://{source}", target], folder=self.folder)
        self.figures.add(way, done.seconds, done.megabytes)
        with psycopg.connect(self.url) as connection:
            row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
        copied = row[0] if row else 0
        if copied != rows:
            raise Failed(f"pgloader copied {copied:,} of {rows:,} transactions; see {self.log}")

    def _empty_database(self) -> str:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
            # what earlier runs left to write must not be written during the next
            connection.execute("CHECKPOINT")
        return self.url

    def _module(self, module: str, *words: str | Path) -> Measured:
        return self._done([sys.executable, "-m", f"benchmarks.{module}", *words])

    def _done(
        self,
        words: Sequence[str | Path],
        *,
        folder: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> Measured:
        done = measured(words, self.log, folder=folder, environment=environment)
        if done.status:
            shown = " ".join(map(str, words))
            raise Failed(f"{shown}\nended with status {done.status}:\n{done.output[-3000:]}")
        return done

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _environment() -> dict[str, str]:
    """Return our environment without what would change a migration: its settings and policies."""
    fields = [*Settings.model_fields, *Policies.model_fields]
    names = {name.upper() for name in fields} | {f"POSTGRES_{name.upper()}" for name in PostgresSettings.model_fields}
    return {name: value for name, value in os.environ.items() if name not in names}


def _seconds(done: Measured) -> float:
    return float(json.loads(done.output.splitlines()[-1])["seconds"])


def _turns(benchmark: Benchmark, words: argparse.Namespace, source: Path, pgloader: str | None) -> list[Turn]:
    """Return what one round runs, in its order."""
    turns: list[Turn] = []
    for engine in ENGINES:
        if "command" in words.parts:
            turns.append(partial(benchmark.command, engine, source, f"command {engine}"))
        if "floor" in words.parts:
            turns.append(partial(benchmark.floor, engine, source))
    if pgloader:
        turns.append(partial(benchmark.pgloader, pgloader, source, words.rows))
    if "copy" in words.parts:
        platform = benchmark.platform(source)
        turns.append(partial(benchmark.copies, platform))
        if pgloader:
            turns.append(partial(benchmark.pgloader_of_platform, pgloader, platform, words.rows))
    return turns


def _measure(benchmark: Benchmark, words: argparse.Namespace) -> None:
    source = benchmark.source(max(1, words.rows // 10), words.rows)
    pgloader = shutil.which("pgloader") if "pgloader" in words.parts else None
    if "pgloader" in words.parts and not pgloader:
        OUT.print("pgloader is not installed and is left out")
    if "floor" in words.parts:
        benchmark.prepared(source)
    for round_number in range(1, words.repeat + 1):
        OUT.print(f"round {round_number} of {words.repeat}, {words.rows:,} transactions")
        for turn in _turns(benchmark, words, source, pgloader):
            turn()
    if "command" in words.parts:
        small = benchmark.source(SMALL_ACCOUNTS, SMALL_TRANSACTIONS)
        OUT.print(f"{SMALL_ACCOUNTS:,} accounts, {SMALL_TRANSACTIONS:,} transactions")
        for _ in range(words.repeat):
            for engine in ENGINES:
                benchmark.command(engine, small, f"small command {engine}")
    if "guide" in words.parts:
        OUT.print("the guide's way, once")
        benchmark.guide(source)


def _figures_table(figures: Figures, rows: int) -> Table:
    table = Table("way", "seconds", "of floor", "peak MB", "runs", title=f"{rows:,} transactions")
    medians = figures.medians()
    for way, seconds in medians.items():
        engine = "sqlite" if way.endswith("sqlite") else "postgres"
        floor = None if way.startswith("small") else medians.get(f"floor {engine}")
        ratio = f"{seconds / floor:.2f}" if floor else ""
        runs = " ".join(f"{run:.2f}" for run in figures.seconds[way])
        table.add_row(way, f"{seconds:.2f}", ratio, f"{figures.megabytes[way]:.0f}", runs)
    return table


def _bars_table(found: Sequence[Bar]) -> Table:
    table = Table("bar", "measured", "allowed", "met", title="bars")
    for bar in found:
        measured_text = "not measured" if bar.figure is None else f"{bar.figure:.2f} {bar.unit}"
        limit = f"{'at least' if bar.at_least else 'at most'} {bar.limit:g} {bar.unit}"
        table.add_row(bar.name, measured_text, limit, {True: "yes", False: "NO", None: ""}[bar.met])
    return table


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="transactions; a tenth of it are the accounts")
    parser.add_argument("--repeat", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--quick", action="store_true", help="leave out the guide's way, which is slow")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    words = parser.parse_args()
    words.parts = [part for part in words.parts.split(",") if part != "guide" or not words.quick]
    if set(words.parts) - set(PARTS) or words.rows < 1 or words.repeat < 1:
        parser.error(f"--parts takes {', '.join(PARTS)}; --rows and --repeat take 1 and more")
    return words


def main() -> int:
    """Run the benchmark; the exit status is 0 if it ended and missed no measured bar, else 1."""
    words = _words()
    FOLDER.mkdir(parents=True, exist_ok=True)
    figures = Figures()
    try:
        with embedded_postgres(FOLDER / "postgres") as url:
            _measure(Benchmark(FOLDER, url, figures), words)
    except (Failed, MigrationError) as error:
        OUT.print(str(error), markup=False)
        return 1
    medians = figures.medians()
    found = bars(words.rows, medians, figures.megabytes)
    OUT.print(_figures_table(figures, words.rows))
    OUT.print(_bars_table(found))
    results = {
        "rows": words.rows,
        "seconds": figures.seconds,
        "median_seconds": medians,
        "peak_megabytes": figures.megabytes,
        "bars": [asdict(bar) | {"met": bar.met} for bar in found],
    }
    (FOLDER / "results.json").write_text(json.dumps(results, indent=2))
    OUT.print(f"figures: {FOLDER / 'results.json'}")
    return 1 if any(bar.met is False for bar in found) else 0


if __name__ == "__main__":
    sys.exit(main())
