"""Real servers on 127.0.0.1 that the tests of operations start: HTTP that answers as it is told, and SMTP.

Here: servers and what they received. Not here: anything that is asserted.
"""

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

JSON = "application/json"


@dataclass
class Reply:
    """What a path answers; `trickle` sends a byte of the body every tenth of a second."""

    status: int = 200
    body: bytes = b"{}"
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    trickle: bool = False


@dataclass
class WebServer:
    """A running HTTP server: path -> its reply, and the requests it got as (method, path with query, body)."""

    url: str
    replies: dict[str, Reply]
    requests: list[tuple[str, str, bytes]]


@contextmanager
def web_server(replies: dict[str, Reply]) -> Iterator[WebServer]:
    """Run an HTTP server; a path that is not among the replies is answered 404."""
    requests: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            requests.append((self.command, self.path, body))
            reply = replies.get(self.path.partition("?")[0], Reply(404))
            self.send_response(reply.status)
            for name, value in {"Content-Type": reply.content_type, **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            for byte in reply.body if reply.trickle else ():
                time.sleep(0.1)
                self.wfile.write(bytes([byte]))
            if not reply.trickle:
                self.wfile.write(reply.body)

        do_GET = do_POST = answer  # the names that http.server calls

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def handle(self) -> None:
            with suppress(OSError):  # the client gave up
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield WebServer(f"http://127.0.0.1:{server.server_port}", replies, requests)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def silent_server(said: bytes = b"") -> Iterator[int]:
    """Accept connections, say this much at once, and then nothing; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                held.append(connection)
                connection.sendall(said)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


@dataclass
class MailServer:
    """A running SMTP server and the messages it got, with their recipients and whether they came encrypted."""

    port: int
    messages: list[Message]
    recipients: list[list[str]]
    encrypted: list[bool]


@contextmanager
def mail_server(
    *, user: str = "", password: str = "", certificate: Path | None = None, refused: str = "refused@example.com"
) -> Iterator[MailServer]:
    """Run an SMTP server; with a certificate it wants STARTTLS, with a user a login."""
    got = MailServer(0, [], [], [])

    class Handler:
        async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
            if address == refused:
                return "550 no such person as Ada Byron"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
            got.messages.append(message_from_bytes(envelope.content))
            got.recipients.append(list(envelope.rcpt_tos))
            got.encrypted.append(session.ssl is not None)
            return "250 OK"

    def authenticated(server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        is_right = isinstance(given, LoginPassword) and (given.login, given.password) == (
            user.encode(),
            password.encode(),
        )
        return AuthResult(success=is_right, handled=False)

    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(
        Handler(),
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=context is not None,
        authenticator=authenticated if user else None,
        auth_required=bool(user),
        auth_require_tls=context is not None,
    )
    controller.start()
    got.port = port
    try:
        yield got
    finally:
        controller.stop()


def write_certificate(path: Path) -> Path:
    """Write a key and its own certificate for 127.0.0.1; name the file in SSL_CERT_FILE to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
