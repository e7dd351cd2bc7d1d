"""Smoke tests of the API against a real HTTP server: what is a failure, and that nothing waits for ever."""

import time
from typing import Any

import pytest

from accounts_migration.errors import UsageError
from accounts_migration.operations.smoke_tests import SmokeTest, probe, smoke_tests
from accounts_migration.settings import Settings
from accounts_migration_tests.commands import PASSWORD
from accounts_migration_tests.operations.servers import JSON, Reply, silent_server, web_server

HTML = "text/html"


def settings(**values: Any) -> Settings:
    return Settings(**{"service_stop": "", "service_start": "", "service_health_url": "", **values})


def test_the_health_url_comes_first_and_each_url_answers_json_unless_it_names_another_type() -> None:
    chosen = settings(
        service_health_url="http://127.0.0.1:6600/api/health",
        smoke_test_urls=" http://127.0.0.1:6600/api/accounts/ACCT-00000001?key=secret\n http://localhost/|Text/HTML",
    )
    found = smoke_tests(chosen)
    assert found == [
        SmokeTest("http://127.0.0.1:6600/api/health", None),
        SmokeTest("http://127.0.0.1:6600/api/accounts/ACCT-00000001?key=secret", JSON),
        SmokeTest("http://localhost/", HTML),
    ]
    assert [test.shown for test in found] == [
        "http://127.0.0.1:6600/api/health",
        "http://127.0.0.1:6600/api/accounts/ACCT-00000001",
        "http://localhost/",
    ]
    assert smoke_tests(settings()) == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "accounts", "http://", "http://me:" + PASSWORD + "@h/", "http://[/"]
)
def test_what_is_no_url_of_http_or_holds_a_password_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError, match="number 2 is no URL of HTTP, or holds a user") as refused:
        smoke_tests(settings(smoke_test_urls=f"http://ok/ {url}"))
    assert PASSWORD not in str(refused.value)


REPLIES = {
    "/good": Reply(body=b'{"accounts": 2}'),
    "/page": Reply(body=b"<p>", content_type="text/html; charset=utf-8"),
    "/error": Reply(500),
    "/gone": Reply(404),
    "/login": Reply(302, headers={"Location": "/good"}),
    "/broken": Reply(body=b"<p>500 but polite"),
    "/trickle": Reply(body=b'{"long": "' + b"x" * 100 + b'"}', trickle=True),
}
PROBLEMS = {
    ("/good", JSON): None,
    ("/page", HTML): None,
    ("/page", JSON): "its content is text/html, not application/json",
    ("/good", HTML): "its content is application/json, not text/html",
    ("/error", JSON): "HTTP 500",
    ("/error", None): "HTTP 500",
    ("/gone", JSON): "HTTP 404",
    ("/login", JSON): "HTTP 302",
    ("/broken", JSON): "its content is no JSON",
    ("/broken", None): None,
}


def test_an_error_a_redirect_and_the_wrong_content_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is not asked: the service is ours."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with web_server(REPLIES) as server:
        found = {(path, kind): probe(SmokeTest(server.url + path, kind), 10) for path, kind in PROBLEMS}
    assert {test: one.problem for test, one in found.items()} == PROBLEMS
    assert [one for one in found.values() if one.milliseconds is None or not 0 < one.milliseconds < 10_000] == []


def test_a_server_that_says_nothing_or_too_slowly_fails_in_time() -> None:
    started = time.monotonic()
    with web_server(REPLIES) as server, silent_server() as silent, silent_server(b"HTTP/1.1 200 OK\r\n") as slow:
        urls = [f"{server.url}/trickle", f"http://127.0.0.1:{silent}/", f"http://127.0.0.1:{slow}/"]
        found = [probe(SmokeTest(url, JSON), 0.3) for url in urls]
    assert [(one.milliseconds, one.problem) for one in found] == [(None, "no whole answer within 0.3 s")] * 3
    assert time.monotonic() - started < 5


def test_where_no_server_is_or_no_http_comes_back_it_says_so() -> None:
    with silent_server() as port:
        pass
    assert probe(SmokeTest(f"http://127.0.0.1:{port}/", JSON), 5).problem == "Connection refused"
    with silent_server(b"220 mail.example.com ESMTP\r\n\r\n") as port:
        problem = probe(SmokeTest(f"http://127.0.0.1:{port}/", JSON), 5).problem
    assert problem == "what came back is no HTTP (BadStatusLine)"
