"""The process that a command runs in: its streams, its memory, Ctrl-C, and the exit status of what it raises.

Here: what holds for every command. Not here: the commands (`accounts_migration.cli`).
"""

import atexit
import gc
import io
import logging
import os
import signal
import sys
import warnings

from accounts_migration.cli import app
from accounts_migration.errors import MigrationError, UsageError, refused_by_system

_STDERR = 2

# Dagster imports Alembic, and that Mako, which would load the lexers of every language to colour its errors; Pandera
# looks for a library of maps with each column that it judges
_NEEDLESS = ("mako.ext.pygmentplugin", "geopandas")

_CTRL_C = 130
"""The exit status that Typer makes of Ctrl-C."""


def app_main() -> None:
    """Run the command line; a refusal ends with its message and its exit status, never with a traceback."""
    try:
        _run_app()
    except KeyboardInterrupt:
        # also while the libraries are still being imported
        sys.stderr.write("Stopped. What was loaded is whole; run the same command again to go on.\n")
        sys.exit(1)


def _open_streams() -> None:
    """Let the command run where nobody hears it, and where the terminal's code page lacks a letter or a line."""
    # a file that was opened now would get the number of a closed stream, and what is printed would go into it
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run_app() -> None:
    _open_streams()
    warnings.filterwarnings("ignore", message=".*is currently in (beta|preview)")
    for needless in _NEEDLESS:
        sys.modules.setdefault(needless, None)  # type: ignore[arg-type]  # None: it cannot be imported
    # what is imported stays: the collector need not look at it again and again
    gc.disable()
    from accounts_migration import console, logs

    gc.freeze()
    # a run makes many small objects and few circles of them
    gc.set_threshold(50_000, 20, 100)
    gc.enable()
    # what is done by the end is done, and the exit status says so
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    try:
        _run_command()
    except (MigrationError, OSError) as error:
        told = refused_by_system(error) if isinstance(error, OSError) else error
        console.show_error(told)
        logs.note(str(told), logging.ERROR)
        sys.exit(2 if isinstance(told, UsageError) else 1)
    except KeyboardInterrupt:
        logs.note("Stopped", logging.ERROR)
        raise
    finally:
        logs.end_log()
        # the process ends: its objects need not be looked through once more
        gc.freeze()


def _run_command() -> None:
    try:
        app()
    except SystemExit as end:
        if end.code == _CTRL_C:
            raise KeyboardInterrupt from end
        raise
