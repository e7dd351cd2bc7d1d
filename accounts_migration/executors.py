"""The executor of all jobs: Dagster's own that runs the steps in one process, with a log file for each run.

Here: that each run which Dagster launches has its log in LOG_DIR, whoever launched it and with whatever configuration.
A logger would be left out of each run that is not configured to have it, such as the materialization of an asset by
hand. Not here: what stands in the log (`accounts_migration.logs`). The runs of a command do without this executor:
they share the command's log (`accounts_migration.runner`).
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor

from accounts_migration import logs
from accounts_migration.jobs import RUN_TAG
from accounts_migration.runner import problem_of

Work = tuple[Path | str | None, str | None]
"""The source of a run, and where its target is, both without a password; None where it is not set."""


def logged_executor(folder: Path, work_of: Callable[[dg.DagsterRun], Work]) -> dg.ExecutorDefinition:
    """Return the executor; there is nothing to configure.

    Args:
        folder: LOG_DIR.
        work_of: What a run works on.
    """

    def begin(run: dg.DagsterRun) -> None:
        # a run that a command launched and somebody launches again still bears the command's id
        logs.start_log(folder, quiet=False, run=run.tags.get(RUN_TAG, run.run_id))
        logs.note_work(run.job_name, *work_of(run))

    @dg.executor(name="in_process_with_log")
    def in_process_with_log(_: dg.InitExecutorContext) -> dg.Executor:
        return _Logged(begin)

    return in_process_with_log


class _Logged(InProcessExecutor):
    """Keeps the log of the run that it executes."""

    def __init__(self, begin: Callable[[dg.DagsterRun], None]) -> None:
        super().__init__(RetryMode.ENABLED)
        self._begin = begin

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        run = plan_context.dagster_run
        self._begin(run)
        # this run has begun already, and Dagster itself shows on the terminal what it says
        logs.note(f'Started execution of run for "{run.job_name}". Dagster run {run.run_id}')
        logs.hear(plan_context.instance, run.run_id, logs.note)
        for event in super().execute(plan_context, execution_plan):
            problem = problem_of(event)
            if problem is not None:
                logs.note(problem, logging.ERROR)
            yield event
