"""`post_migration/…`: what is done to a target and to its service after the last load (guide, "Post-Migration Tasks").

Here: the assets that do something, each with a check that tells whether it was done; what fails is told by its check
and stops none of the others. Not here: the work itself (`accounts_migration.databases`,
`accounts_migration.operations`), the archive (`accounts_migration.assets.archive`), and the list of all items
(`accounts_migration.assets.checklist`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dagster as dg

from accounts_migration.assets.comparisons import CONTENT, SECOND_READING
from accounts_migration.assets.failures import failing_clearly
from accounts_migration.assets.items import DONE, FAILED, NOT_CONFIGURED, Item, check_result
from accounts_migration.assets.reconciling import RECONCILIATION
from accounts_migration.assets.validation import INTEGRITY
from accounts_migration.databases.target import Target
from accounts_migration.databases.upkeep import Optimised
from accounts_migration.databases.workflows import AMOUNTS, WORKFLOWS, Answer, Workflow
from accounts_migration.errors import MigrationError
from accounts_migration.last_migration import refuse_unproved
from accounts_migration.operations.programs import run_program
from accounts_migration.operations.smoke_tests import Probed, probe, smoke_tests
from accounts_migration.reconciliation.amounts import amount
from accounts_migration.resources import LegacyResource, TargetResource
from accounts_migration.settings import Settings

GROUP = "post_migration"
OPTIMISED = dg.AssetKey([GROUP, "optimised"])
APPLICATION = dg.AssetKey([GROUP, "application"])
API = dg.AssetKey([GROUP, "api"])
USER_WORKFLOWS = dg.AssetKey([GROUP, "user_workflows"])

OPTIMISED_CHECK, API_CHECK = "optimised", "every_url_answers"
CONFIGURATION_CHECK, CACHES_CHECK = "configuration_updated", "caches_cleared"
URLS_SHOWN = 50


class OptimiseConfig(dg.Config):
    """How a target is optimised: whether PostgreSQL builds its indexes anew, which a fresh load has no use for."""

    reindex: bool = False


def optimised_asset(checked: Sequence[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    """Return the asset; it refuses where a check of the assets given did not pass in the last migration."""

    @dg.asset(
        key=OPTIMISED,
        group_name=GROUP,
        # whoever materializes everything at once has the proof before what comes after it
        deps=[INTEGRITY, RECONCILIATION, CONTENT, SECOND_READING],
        pool="target",
        kinds={"sql"},
        check_specs=[
            dg.AssetCheckSpec(
                OPTIMISED_CHECK, asset=OPTIMISED, description="The database is whole, compact, and has statistics."
            )
        ],
        description="Proves the database whole, gives back unused space and gathers statistics; seconds and bytes."
        " Refused unless the last migration ended with every blocking check passed.",
    )
    def optimised(
        context: dg.AssetExecutionContext,
        config: OptimiseConfig,
        legacy: dg.ResourceParam[LegacyResource],
        target: dg.ResourceParam[TargetResource],
    ) -> Iterator[dg.MaterializeResult[None]]:
        with failing_clearly(), target.open() as database, database.lock():
            refuse_unproved(database, legacy, target.location or database.name, context.instance, checked)
            item = _optimised(database, reindex=config.reindex)
        _say(context, "optimised", item)
        yield dg.MaterializeResult(
            metadata=item.figures, check_results=[check_result(OPTIMISED, OPTIMISED_CHECK, item)]
        )

    return optimised


def _optimised(database: Target, *, reindex: bool) -> Item:
    try:
        done = database.optimise(reindex=reindex)
    except MigrationError as error:
        return Item(FAILED, str(error))
    steps = ", ".join(f"{step.name} {step.seconds:.1f} s" for step in done.steps)
    return Item(DONE, f"{steps}; {done.bytes_before:,} bytes before, {done.bytes_after:,} after", _figures(done))


def _figures(done: Optimised) -> dict[str, Any]:
    seconds = {f"{step.name} (seconds)": step.seconds for step in done.steps}
    return {**seconds, "bytes before": done.bytes_before, "bytes after": done.bytes_after}


@dg.asset(
    key=APPLICATION,
    group_name=GROUP,
    deps=[OPTIMISED],
    check_specs=[
        dg.AssetCheckSpec(
            CONFIGURATION_CHECK, asset=APPLICATION, description="The command CONFIGURE_APPLICATION ended well."
        ),
        dg.AssetCheckSpec(CACHES_CHECK, asset=APPLICATION, description="The command CLEAR_CACHES ended well."),
    ],
)
def application(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> Iterator[dg.MaterializeResult[None]]:
    """The application is given its new configuration, and its caches are cleared, by the commands that are set."""
    items = {
        CONFIGURATION_CHECK: _commanded("CONFIGURE_APPLICATION", settings.configure_application, settings),
        CACHES_CHECK: _commanded("CLEAR_CACHES", settings.clear_caches, settings),
    }
    for name, item in items.items():
        _say(context, name, item)
    yield dg.MaterializeResult(
        metadata={name: item.evidence for name, item in items.items()},
        check_results=[check_result(APPLICATION, name, item) for name, item in items.items()],
    )


def _commanded(setting: str, command: str | None, settings: Settings) -> Item:
    if not command:
        return Item(NOT_CONFIGURED, f"{setting} is not set")
    try:
        return Item(DONE, run_program(setting, command, settings.command_timeout))
    except MigrationError as error:
        return Item(FAILED, str(error))


@dg.asset(
    key=API,
    group_name=GROUP,
    # the application is tested as it was configured
    deps=[APPLICATION],
    check_specs=[
        dg.AssetCheckSpec(
            API_CHECK, asset=API, description="The health URL and those of SMOKE_TEST_URLS answer, with the right type."
        )
    ],
)
def api(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> Iterator[dg.MaterializeResult[None]]:
    """Smoke tests of the API: each URL is asked once; the milliseconds of each, to be plotted."""
    with failing_clearly():
        probed = [probe(test, settings.smoke_test_timeout) for test in smoke_tests(settings)]
    item = _answers(probed)
    _say(context, "api", item)
    yield dg.MaterializeResult(metadata=item.figures, check_results=[check_result(API, API_CHECK, item)])


def _answers(probed: Sequence[Probed]) -> Item:
    if not probed:
        return Item(NOT_CONFIGURED, "there is no service here, and SMOKE_TEST_URLS is not set")
    latencies = {
        f"{one.shown} (milliseconds)": one.milliseconds for one in probed[:URLS_SHOWN] if one.milliseconds is not None
    }
    problems = [f"{one.shown}: {one.problem}" for one in probed if one.problem]
    if problems:
        return Item(FAILED, f"{len(problems)} of {len(probed)} URLs: {'; '.join(problems[:URLS_SHOWN])}", latencies)
    slowest = max(probed, key=lambda one: one.milliseconds or 0)
    return Item(
        DONE, f"{len(probed)} URLs answer; the slowest in {slowest.milliseconds} ms: {slowest.shown}", latencies
    )


@dg.asset(
    key=USER_WORKFLOWS,
    group_name=GROUP,
    deps=[OPTIMISED],
    kinds={"sql"},
    check_specs=[
        dg.AssetCheckSpec(name, asset=USER_WORKFLOWS, description=meaning) for name, meaning in WORKFLOWS.items()
    ],
)
def user_workflows(
    context: dg.AssetExecutionContext, target: dg.ResourceParam[TargetResource]
) -> Iterator[dg.MaterializeResult[None]]:
    """Key user workflows asked of the database as the service asks them; the milliseconds of each, to be plotted."""
    with failing_clearly(), target.open() as database:
        asked = database.workflows()
    items = {one.name: _answered(one) for one in asked}
    for name, item in items.items():
        _say(context, name, item)
    yield dg.MaterializeResult(
        metadata={f"{one.name} (milliseconds)": one.milliseconds for one in asked},
        check_results=[check_result(USER_WORKFLOWS, name, item) for name, item in items.items()],
    )


def _answered(one: Workflow) -> Item:
    about = f"{one.about}: " if one.about else ""
    figures = {"milliseconds": one.milliseconds}
    if one.passed:
        return Item(DONE, f"{about}{_told(one.found)}, in {one.milliseconds} ms", figures)
    return Item(FAILED, f"{about}expected {_told(one.expected)}; found {_told(one.found)}", figures)


def _told(answer: Answer) -> str:
    return ", ".join(f"{name} {amount(value) if name in AMOUNTS else f'{value:,}'}" for name, value in answer.items())


def _say(context: dg.AssetExecutionContext, name: str, item: Item) -> None:
    say: Callable[[str], None] = context.log.info if item.passed else context.log.error
    say(f"{name}: {item.state}, {item.evidence}")
