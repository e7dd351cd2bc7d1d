"""The guide's approaches as jobs of one click: the big bang, and the four phases.

Here: jobs without partitions to choose, each of one step that runs what the command runs, by the very same function:
`big_bang` is `accounts-migration migrate`, `phase_1_reference` and its successors are `accounts-migration phase`. The
step holds the target's lock from the first gate to the last and fails at the first gate that does not open. What it
does are runs of the jobs `snapshot`, `prepare` and `load` on the same instance, with their assets and checks. Not here:
what happens (`accounts_migration.migration`), what a phase is (`accounts_migration.phases`).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from accounts_migration.assets.failures import failing_clearly
from accounts_migration.errors import MigrationError
from accounts_migration.jobs import target_tags
from accounts_migration.logs import note
from accounts_migration.notices import told
from accounts_migration.phases import PHASES, Phase
from accounts_migration.settings import Settings

if TYPE_CHECKING:
    from accounts_migration.outcome import Outcome

BIG_BANG_JOB = "big_bang"

_MOST_TOLD = 5


def build_approaches(target: str | None = None) -> list[dg.JobDefinition]:
    """Return the jobs of the approaches; `target` is where their target is."""
    tags = target_tags(target)
    big_bang = _job(
        BIG_BANG_JOB,
        "The big bang: snapshot, clean and judge all four entities, load, add the constraints, prove. Stops at the "
        "first gate that does not open.",
        _big_bang,
        tags,
    )
    phases = [_job(phase.name, _describe(phase), partial(_phase, phase), tags) for phase in PHASES]
    return [big_bang, *phases]


def _describe(phase: Phase) -> str:
    gate = f" Refused unless phase {phase.number - 1} has passed for the snapshot." if phase.number > 1 else ""
    return f"Phase {phase.number}: {phase.description}{gate} Loaded, tested and validated before the next may start."


def _big_bang(settings: Settings, instance: dg.DagsterInstance) -> "Outcome":
    # it runs the jobs of the definitions, and these hold the present one
    from accounts_migration.migration import migrate

    return told(settings, BIG_BANG_JOB, "MIGRATED", lambda: migrate(settings, [], instance))


def _phase(phase: Phase, settings: Settings, instance: dg.DagsterInstance) -> "Outcome":
    from accounts_migration.migration import run_phase

    return told(settings, phase.name, f"PHASE {phase.number} PASSED", lambda: run_phase(settings, phase, instance))


def _job(
    name: str,
    description: str,
    move: Callable[[Settings, dg.DagsterInstance], "Outcome"],
    tags: Mapping[str, str],
) -> dg.JobDefinition:
    @dg.op(name=f"run_{name}", description=description, out=dg.Out(dg.Nothing), required_resource_keys={"settings"})
    def run(context: dg.OpExecutionContext) -> None:
        settings: Settings = context.resources.settings
        with failing_clearly():
            outcome = move(settings, context.instance)
            note(f"{name}: {'passed' if outcome.success else 'did not pass'}, in {outcome.seconds:.1f} s")
            context.add_output_metadata(_metadata(outcome))
            if not outcome.success:
                raise _failed(name, outcome)

    @dg.job(name=name, description=description, tags=dict(tags))
    def approach() -> None:
        run()

    return approach


def _metadata(outcome: "Outcome") -> dict[str, Any]:
    rows = {
        f"{line.entity}": f"{line.source:,} = {line.loaded:,} loaded + {line.rejected:,} rejected"
        f" + {line.excluded:,} excluded"
        for line in outcome.entities
    }
    snapshot = {"snapshot": outcome.snapshot.snapshot_id} if outcome.snapshot else {}
    passed = sum(check.passed for check in outcome.checks)
    checks = {"checks passed": passed, "checks not passed": len(outcome.checks) - passed}
    return {**snapshot, **rows, **checks, "runs": ", ".join(outcome.runs), "seconds": round(outcome.seconds, 1)}


def _failed(name: str, outcome: "Outcome") -> MigrationError:
    failed = [f"{one.asset}: {one.check}" for one in outcome.checks if not one.passed and not one.is_warning]
    causes = [*outcome.problems, *(f"the check {one} failed" for one in failed)]
    return MigrationError(
        f"{name} did not pass" if outcome.loaded else f"{name} was refused; nothing was written",
        why="; ".join(causes[:_MOST_TOLD]) or "a run failed",
        remedy=f"See the runs {', '.join(outcome.runs)}",
    )
