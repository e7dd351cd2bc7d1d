"""`accounts-migration phase`: one phase of a phased migration.

Here: which phase a word names, and the command's end. Not here: what a phase does (`accounts_migration.migration`).
"""

from pathlib import Path

from accounts_migration import console, migration
from accounts_migration.errors import UsageError
from accounts_migration.notices import told
from accounts_migration.phases import PHASES, Phase
from accounts_migration.settings import Settings


def run(settings: Settings, word: str, log: Path, summary: Path | None) -> bool:
    """Run the phase that a word names, show what came of it, also as JSON if wanted, and return whether it passed.

    Raises:
        UsageError: There is no such phase.
        MigrationError: An earlier phase has not passed, or source or target cannot be used.
    """
    phase = named(word)
    verb = f"PHASE {phase.number} PASSED"
    outcome = told(settings, f"phase {phase.number}", verb, lambda: migration.run_phase(settings, phase))
    console.show_outcome(outcome, log, verb)
    if summary:
        console.write_json(outcome, summary)
    following = next((later for later in PHASES if later.number == phase.number + 1), None)
    if outcome.success and following:
        console.OUT.print(f"next: phase {following.number}, {following.name}. {following.description}")
    return outcome.success


def named(word: str) -> Phase:
    """Return the phase of a number, a name or the last part of one: `3`, `phase_3_history`, `history`.

    Raises:
        UsageError: There is no such phase.
    """
    for phase in PHASES:
        if word in (str(phase.number), phase.name, phase.name.rpartition("_")[2]):
            return phase
    raise UsageError(
        f"There is no phase {word!r}",
        why=f"the phases are {', '.join(f'{phase.number} ({phase.name})' for phase in PHASES)}",
        remedy="Write accounts-migration phase 1 SOURCE TARGET",
    )
