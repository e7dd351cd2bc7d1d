"""One HTTP request with a deadline, and what came back.

Here: which URL can be asked; sending a request, without following redirects; telling in words why there is no answer.
Not here: what an answer must be (`smoke_tests`, `notification`). Neither a URL's password nor its query is in any text:
they may hold a token.
"""

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import IO
from urllib.parse import urlsplit

from accounts_migration.operations.deadlines import within

MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: its status, its content type in small letters, at most MOST_BYTES of it, and the milliseconds."""

    status: int
    content_type: str
    body: bytes
    milliseconds: float


class NoAnswerError(Exception):
    """Nothing, or no HTTP, came back in time; its text says why, without URL and without values."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for the answer: a service that sends to its login page has not answered."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Follow nothing."""


def is_http(url: str) -> bool:
    """Return whether a URL is one of HTTP or HTTPS that can be asked."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def send(
    url: str,
    *,
    timeout: float,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    by_proxy: bool = False,
) -> Answer:
    """Send a GET, or a POST where there is a body, and return the answer, whatever its status is.

    Args:
        url: Of HTTP or HTTPS; the certificate is verified.
        timeout: Seconds for all of it, until the last byte.
        body: What to post.
        headers: Of the request.
        by_proxy: Whether a proxy that the environment names is used; a service on this machine is not asked by one.

    Raises:
        NoAnswerError: There is none.
    """
    proxies = [] if by_proxy else [urllib.request.ProxyHandler({})]
    opener = urllib.request.build_opener(_NoRedirects(), *proxies)
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}))  # noqa: S310  # refused elsewhere
    started = time.monotonic()

    def ask() -> Answer:
        try:
            answer = opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            content = answer.read(MOST_BYTES)
            kind = answer.headers.get_content_type()
            return Answer(answer.status, kind, content, round((time.monotonic() - started) * 1000, 3))

    try:
        return within(timeout, ask)
    except TimeoutError:
        raise NoAnswerError(f"no whole answer within {timeout:g} s") from None
    except urllib.error.URLError as error:
        raise NoAnswerError(_reason(error.reason, timeout)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswerError(_reason(error, timeout)) from None


def _reason(error: object, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no whole answer within {timeout:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was not accepted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"what came back is no HTTP ({type(error).__name__})"
