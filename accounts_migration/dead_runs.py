"""Runs whose command was killed: a process that is gone can no longer tell Dagster that its run has ended.

Here: marking a run with its process, and ending it when that is gone. Not here: runs that the UI launches, which
Dagster's own run monitoring watches.
"""

import os
import socket

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

PROCESS_TAG = "accounts_migration/process"
"""The tag that tells which process runs it, as `pid@host`."""


def this_process() -> str:
    """Return the value of the tag for this process."""
    return f"{os.getpid()}@{socket.gethostname()}"


def end_dead_runs(instance: dg.DagsterInstance) -> None:
    """Record as failed the runs of this machine's commands that still count as going on, though nobody runs them."""
    for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES)):
        process = run.tags.get(PROCESS_TAG)
        if process is not None and _is_gone(process):
            instance.report_run_failed(run, "The command that ran it was killed. Run the command again to go on.")


def _is_gone(process: str) -> bool:
    pid, _, host = process.partition("@")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's, and alive
    return False
