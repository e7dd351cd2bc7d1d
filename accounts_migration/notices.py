"""The notice of how a migration, or a phase of one, ended.

Here: which words an end is told in. Not here: sending it (`accounts_migration.operations.notification`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.notification import Notice, notify
from accounts_migration.resources import TargetResource
from accounts_migration.settings import Settings

if TYPE_CHECKING:
    from accounts_migration.outcome import Outcome


def told(
    settings: Settings, what: str, verb: str, work: "Callable[[], Outcome]", *, url: str | None = None
) -> "Outcome":
    """Do the work, tell those who are to know how it ended, and return its outcome.

    Wrong usage is for the person at the keyboard alone, and told to nobody.

    Args:
        settings: Whom to tell, and by which way.
        what: What is done, as `migrate`.
        verb: The word for its success, as `MIGRATED`.
        work: What is done.
        url: The database that it is done to; TARGET_DB where left out.

    Raises:
        MigrationError: What the work raises.
    """
    with told_when_raised(settings, what, url=url):
        outcome = work()
    word = verb if outcome.success else "FAILED" if outcome.loaded else "REFUSED"
    checks = [f"the check {one.check} of {one.asset} failed" for one in outcome.checks if not one.passed]
    problems = [] if outcome.success else [*outcome.problems, *checks]
    notify(settings, Notice(what, _where(settings, url), word, outcome.success, problems))
    return outcome


@contextmanager
def told_when_done(settings: Settings, what: str, word: str) -> Iterator[None]:
    """Tell those who are to know how the block ended: by this word, or with what it raised."""
    with told_when_raised(settings, what):
        yield
    notify(settings, Notice(what, _where(settings), word, True))


@contextmanager
def told_when_raised(settings: Settings, what: str, word: str = "FAILED", *, url: str | None = None) -> Iterator[None]:
    """Tell those who are to know, by this word, when the block does not come to its end, and why.

    `url` is the database that it is done to; TARGET_DB where left out.
    """
    try:
        yield
    except UsageError:
        raise
    except KeyboardInterrupt:
        notify(settings, Notice(what, _where(settings, url), "STOPPED", False))
        raise
    except (MigrationError, OSError) as error:
        notify(settings, Notice(what, _where(settings, url), word, False, [str(error)]))
        raise


def _where(settings: Settings, url: str | None = None) -> str:
    with suppress(UsageError):
        return TargetResource(url or settings.target_db).location or ""
    return ""
