"""Smoke tests of the service's API: a few URLs that must answer, with the right kind of content.

Here: which URLs, and what is a failure (guide, "Post-Migration Checklist": "Run smoke tests on API"). Not here: sending
the requests (`http_requests`), and questions put to the database (`accounts_migration.databases.workflows`).
"""

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from accounts_migration.errors import UsageError
from accounts_migration.operations.http_requests import NoAnswerError, is_http, send
from accounts_migration.operations.service import Service, shown_url
from accounts_migration.settings import Settings

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """A URL, and the content type it must answer with; None where any will do."""

    url: str
    content_type: str | None

    @property
    def shown(self) -> str:
        """Return the URL without user, password and query."""
        return shown_url(self.url)


@dataclass(frozen=True, slots=True)
class Probed:
    """What a smoke test came to: the milliseconds until the last byte, and what is wrong; None where there is none."""

    shown: str
    milliseconds: float | None
    problem: str | None


def smoke_tests(settings: Settings) -> list[SmokeTest]:
    """Return the service's health URL and those of SMOKE_TEST_URLS; none where nobody named one.

    Raises:
        UsageError: A URL cannot be used.
    """
    words = (settings.smoke_test_urls or "").split()
    health = Service.of(settings).health_url
    tests = [SmokeTest(health, None)] if health else []
    for number, word in enumerate(words, start=1):
        url, _, content_type = word.partition("|")
        _refuse_unusable(url, number)
        tests.append(SmokeTest(url, content_type.lower() or JSON))
    return tests


def probe(test: SmokeTest, timeout: float) -> Probed:
    """Ask the URL once; seconds for the whole answer."""
    try:
        answer = send(test.url, timeout=timeout, headers={"Accept": test.content_type or "*/*"})
    except NoAnswerError as error:
        return Probed(test.shown, None, str(error))
    problem = None
    if not 200 <= answer.status < 300:
        problem = f"HTTP {answer.status}"
    elif test.content_type and answer.content_type != test.content_type:
        problem = f"its content is {answer.content_type}, not {test.content_type}"
    elif test.content_type == JSON and not _is_json(answer.body):
        problem = "its content is no JSON"
    return Probed(test.shown, answer.milliseconds, problem)


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _refuse_unusable(url: str, number: int) -> None:
    if not is_http(url) or urlsplit(url).username:
        # not the URL itself: it may hold a password
        raise UsageError(
            "Cannot read SMOKE_TEST_URLS",
            why=f"number {number} is no URL of HTTP, or holds a user",
            remedy="Write URLs with blanks between them, each with |TYPE behind it where it does not answer"
            f" {JSON}: http://127.0.0.1:6600/api/products http://127.0.0.1:6600/|text/html",
        )
