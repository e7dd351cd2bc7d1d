"""Notices by webhook and e-mail, to real servers: what they say, and that none of their failures stops anything."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from accounts_migration import logs
from accounts_migration.operations import notification
from accounts_migration.operations.notification import Notice, notify
from accounts_migration.settings import Settings
from accounts_migration_tests.commands import PASSWORD
from accounts_migration_tests.operations.servers import (
    Reply,
    mail_server,
    silent_server,
    web_server,
    write_certificate,
)

FAILED = Notice("migrate", "/srv/accounts.db", "REFUSED", False, ["Cannot load account: 3 rejects", "another"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("certificate") / "server.pem")


def mailed(port: int, **values: Any) -> Settings:
    return Settings(smtp_host="127.0.0.1", smtp_port=port, notify_email="dba@example.com, ops@example.com", **values)


def problems(settings: Settings) -> list[tuple[str, str | None]]:
    return [(one.channel, one.problem) for one in notify(settings, FAILED)]


def test_nobody_is_told_where_nothing_is_configured() -> None:
    assert notify(Settings(), FAILED) == []


def test_a_webhook_gets_what_where_and_the_verdict_with_the_run_id(tmp_path: Path) -> None:
    logs.start_log(tmp_path, quiet=True)
    run = logs.run_id()
    with web_server({"/hooks/secret-token": Reply(204, b"", "text/plain")}) as server:
        [delivery] = notify(Settings(notify_webhook=f"{server.url}/hooks/secret-token?key=secret"), FAILED)
    logs.end_log()
    [(method, path, body)] = server.requests
    said = json.loads(body)
    assert (method, path) == ("POST", "/hooks/secret-token?key=secret")
    assert (said.pop("host") != "", len(said.pop("at"))) == (True, len("2026-11-28T22:00:00Z"))
    assert said == {
        "what": "migrate",
        "where": "/srv/accounts.db",
        "verdict": "REFUSED",
        "succeeded": False,
        "problems": ["Cannot load account: 3 rejects", "another"],
        "run_id": run,
        "text": "accounts-migration migrate: REFUSED, /srv/accounts.db",
    }
    assert str(delivery) == "webhook 127.0.0.1: delivered"
    [log] = tmp_path.iterdir()
    assert "notice of REFUSED: webhook 127.0.0.1: delivered" in log.read_text()
    assert "secret" not in log.read_text()


def test_an_e_mail_goes_encrypted_and_with_a_login(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(user="bank", password=PASSWORD, certificate=certificate) as server:
        settings = mailed(server.port, smtp_user="bank", smtp_password=PASSWORD, notify_from="migration@example.com")
        assert problems(settings) == [("e-mail by 127.0.0.1", None)]
    [message] = server.messages
    assert (server.recipients, server.encrypted) == ([["dba@example.com", "ops@example.com"]], [True])
    assert message["Subject"] == "accounts-migration migrate: REFUSED, /srv/accounts.db"
    assert message["From"] == "migration@example.com"
    lines = str(message.get_payload()).splitlines()
    assert [line for line in lines if not line.startswith(("host: ", "at: "))] == [
        "verdict: REFUSED",
        "what: migrate",
        "where: /srv/accounts.db",
        "run_id: None",
        "",
        "- Cannot load account: 3 rejects",
        "- another",
    ]


def test_an_e_mail_that_cannot_be_sent_is_told_with_its_reason(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that nobody trusts, a wrong password, no STARTTLS, a password in the clear, a refused address."""
    told = {}
    with mail_server(user="bank", password=PASSWORD, certificate=certificate) as server:
        settings = mailed(server.port, smtp_user="bank", smtp_password="wrong")  # noqa: S106  # of nothing
        told["not trusted"] = problems(settings)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        told["wrong password"] = problems(settings)
    assert server.messages == []
    with mail_server() as server:
        told["no encryption there"] = problems(mailed(server.port))
        told["in the clear"] = problems(mailed(server.port, smtp_security="none", smtp_user="bank"))
        some = mailed(server.port, smtp_security="none").model_copy(
            update={"notify_email": "dba@example.com,refused@example.com"}
        )
        told["some refused"] = problems(some)
        told["all refused"] = problems(some.model_copy(update={"notify_email": "refused@example.com"}))
    assert server.recipients == [["dba@example.com"]]
    assert {name: problem for name, [(_, problem)] in told.items()} == {
        "not trusted": "its certificate was not accepted: self-signed certificate",
        "wrong password": "the server does not accept SMTP_USER and SMTP_PASSWORD",
        "no encryption there": "the server offers no STARTTLS, or no login; see SMTP_SECURITY",
        "in the clear": "no password is sent without encryption; see SMTP_SECURITY",
        "some refused": "the server refuses 1 of the addresses of NOTIFY_EMAIL",
        "all refused": "the server refuses every address of NOTIFY_EMAIL",
    }


def test_a_server_that_is_away_silent_or_answers_an_error_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification, "SECONDS_FOR_AN_ANSWER", 0.5)
    started = time.monotonic()
    with silent_server() as port:
        gone = port
    with web_server({"/hook": Reply(500)}) as web, silent_server() as silent:
        webhooks = [
            f"{web.url}/hook",
            f"http://127.0.0.1:{silent}/hook",
            f"http://127.0.0.1:{gone}/hook",
            "file:///etc/passwd",
        ]
        told = [
            problems(mailed(port, notify_webhook=url))
            for url, port in zip(webhooks, (silent, gone, silent, gone), strict=True)
        ]
    assert [[problem for _, problem in one] for one in told] == [
        ["it answered HTTP 500", "no answer within 0.5 s"],
        ["no whole answer within 0.5 s", "Connection refused"],
        ["Connection refused", "no answer within 0.5 s"],
        ["NOTIFY_WEBHOOK is no URL of HTTP", "Connection refused"],
    ]
    assert time.monotonic() - started < 10
