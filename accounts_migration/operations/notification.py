"""Telling people and programs how a migration went: by webhook and by e-mail (guide, "Notify stakeholders").

Here: what a notice says, and sending it. That one cannot be sent is told and stops nothing. Not here: when there is
something to tell. No personal data is in a notice, and of a webhook's address only the host is ever shown: the rest of
it is a secret.
"""

import json
import logging
import smtplib
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from urllib.parse import urlsplit

from accounts_migration import logs
from accounts_migration.operations.deadlines import within
from accounts_migration.operations.http_requests import NoAnswerError, send
from accounts_migration.settings import Settings

PROBLEMS_TOLD = 10
SECONDS_FOR_AN_ANSWER = 10.0
PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told.

    Args:
        what: The command, as `migrate`.
        where: The target, without its password.
        verdict: The word that the command ends with, as `MIGRATED` or `FAILED`.
        succeeded: Whether it is good news.
        problems: Why it is not, a sentence for each, without personal data.
    """

    what: str
    where: str
    verdict: str
    succeeded: bool
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a notice fared on one channel; `problem` is None where it was delivered."""

    channel: str
    problem: str | None

    def __str__(self) -> str:
        """Return a sentence about it."""
        return (
            f"{self.channel}: delivered" if self.problem is None else f"{self.channel}: NOT delivered, {self.problem}"
        )


def notify(settings: Settings, notice: Notice) -> list[Delivery]:
    """Send a notice on each channel that is configured, say so in the log, return how each fared; raise nothing."""
    channels: list[tuple[str, Callable[[], None]]] = []
    if settings.notify_webhook:
        channels.append(
            (f"webhook {_host(settings.notify_webhook)}", lambda: _post(str(settings.notify_webhook), notice))
        )
    if settings.notify_email:
        channels.append(
            (f"e-mail by {settings.smtp_host}", lambda: within(SECONDS_FOR_AN_ANSWER, lambda: _mail(settings, notice)))
        )
    deliveries = [Delivery(name, _problem(work)) for name, work in channels]
    for delivery in deliveries:
        tell, level = (logs.note, logging.INFO) if delivery.problem is None else (logs.say, logging.WARNING)
        tell(f"notice of {notice.verdict}: {delivery}", level)
    return deliveries


def _problem(work: Callable[[], None]) -> str | None:
    try:
        work()
    except TimeoutError:
        return f"no answer within {SECONDS_FOR_AN_ANSWER:g} s"
    except NoAnswerError as error:
        return str(error)
    except smtplib.SMTPException as error:
        return _of_mail(error)
    except ssl.SSLCertVerificationError as error:
        return f"its certificate was not accepted: {error.verify_message}"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or type(error).__name__
    return None


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "without a host"
    except ValueError:
        return "without a host"


def _told(notice: Notice) -> dict[str, object]:
    return {
        **asdict(notice),
        "problems": [problem[:500] for problem in notice.problems[:PROBLEMS_TOLD]],
        "run_id": logs.run_id(),
        "host": socket.gethostname(),
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        # what Slack, Mattermost and Teams show
        "text": _subject(notice),
    }


def _subject(notice: Notice) -> str:
    return f"accounts-migration {notice.what}: {notice.verdict}, {notice.where}"


def _post(url: str, notice: Notice) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise NoAnswerError("NOTIFY_WEBHOOK is no URL of HTTP")
    body = json.dumps(_told(notice)).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "accounts-migration"}
    answer = send(url, timeout=SECONDS_FOR_AN_ANSWER, body=body, headers=headers, by_proxy=True)
    if not 200 <= answer.status < 300:
        raise NoAnswerError(f"it answered HTTP {answer.status}")


def _mail(settings: Settings, notice: Notice) -> None:
    message = EmailMessage()
    message["Subject"] = " ".join(_subject(notice).split())
    message["From"] = settings.notify_from or f"accounts-migration@{socket.gethostname()}"
    message["To"] = str(settings.notify_email)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=socket.gethostname())
    told = _told(notice)
    lines = [f"{name}: {told[name]}" for name in ("verdict", "what", "where", "run_id", "host", "at")]
    message.set_content("\n".join([*lines, "", *(f"- {problem}" for problem in _list(told["problems"]))]) + "\n")
    if settings.smtp_user and settings.smtp_security == "none":
        raise NoAnswerError("no password is sent without encryption; see SMTP_SECURITY")
    # without a context smtplib would accept every certificate
    context = ssl.create_default_context()
    port = settings.smtp_port or PORTS[settings.smtp_security]
    if settings.smtp_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            settings.smtp_host, port, timeout=SECONDS_FOR_AN_ANSWER, context=context
        )
    else:
        server = smtplib.SMTP(settings.smtp_host, port, timeout=SECONDS_FOR_AN_ANSWER)
    with server:
        if settings.smtp_security == "starttls":
            server.starttls(context=context)
        if settings.smtp_user:
            server.login(settings.smtp_user, settings.smtp_password or "")
        if refused := server.send_message(message):
            raise NoAnswerError(f"the server refuses {len(refused)} of the addresses of NOTIFY_EMAIL")


def _list(value: object) -> list[str]:
    return value if isinstance(value, list) else []


def _of_mail(error: smtplib.SMTPException) -> str:
    """Return what may be told: never the server's sentence, which may quote an address."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "the server does not accept SMTP_USER and SMTP_PASSWORD"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "the server offers no STARTTLS, or no login; see SMTP_SECURITY"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "the server refuses every address of NOTIFY_EMAIL"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the server answered {error.smtp_code}"
    return f"the server broke off ({type(error).__name__})"
