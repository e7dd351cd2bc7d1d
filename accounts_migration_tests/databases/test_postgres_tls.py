"""Encrypted connections to PostgreSQL: what `sslmode` and its companions ask for is done, and told where it fails.

The server of the tests comes without TLS: in front of it stands what ends the encryption, as a bank's proxy does.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from accounts_migration.databases.copies.postgres_programs import find_programs, run
from accounts_migration.databases.postgres_target import open_session
from accounts_migration.errors import MigrationError, UsageError
from accounts_migration_tests.operations.servers import write_certificate

_ASKS_FOR_TLS, _ASKS_FOR_GSS = 80877103, 80877104


def _read(connection: socket.socket, number: int) -> bytes:
    found = b""
    while len(found) < number and (more := connection.recv(number - len(found))):
        found += more
    return found


def _forward(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            to.sendall(content)
    for one in (source, to):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _serve(connection: socket.socket, server: str, context: ssl.SSLContext | None) -> None:
    """Answer as a server does whether it encrypts, then hand everything on to the server's socket."""
    with contextlib.suppress(OSError, struct.error):
        head = _read(connection, 8)
        while (asked := struct.unpack("!II", head)[1]) in (_ASKS_FOR_TLS, _ASKS_FOR_GSS):
            agreed = asked == _ASKS_FOR_TLS and context is not None
            connection.sendall(b"S" if agreed else b"N")
            if agreed and context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            head = _read(connection, 8)
        behind = socket.socket(socket.AF_UNIX)
        behind.connect(server)
        behind.sendall(head)
        threading.Thread(target=_forward, args=(behind, connection), daemon=True).start()
        _forward(connection, behind)


@contextlib.contextmanager
def encrypting(server: str, certificate: Path | None) -> Iterator[int]:
    """Stand in front of a server's socket; yields the port on 127.0.0.1. Without a certificate nothing is encrypted."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=_serve, args=(listener.accept()[0], server, context), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a blank in its name; `server.pem` in it is the server's authority, `other.pem` is not."""
    folder = tmp_path_factory.mktemp("of authorities") / "a b"
    folder.mkdir()
    for name in ("server.pem", "other.pem"):
        write_certificate(folder / name)
    return folder


@pytest.fixture(scope="module")
def url(folder: Path, postgres_server: str) -> Iterator[Callable[..., str]]:
    """Return a function (parameters, host) -> the URL of the database behind TLS."""
    behind = unquote(postgres_server.partition("host=")[2])
    with encrypting(f"{behind}/.s.PGSQL.5432", folder / "server.pem") as port:

        def behind_tls(parameters: str, host: str = "127.0.0.1") -> str:
            named = parameters.replace("FOLDER", quote(str(folder)))
            return f"postgresql://postgres@{host}:{port}/accounts?{named}"

        yield behind_tls


@pytest.mark.parametrize(
    ("parameters", "host"),
    [
        ("sslmode=require", "127.0.0.1"),
        ("sslmode=verify-ca&sslrootcert=FOLDER/server.pem", "localhost"),
        ("sslmode=verify-full&sslrootcert=FOLDER/server.pem", "127.0.0.1"),
    ],
)
def test_a_mode_that_is_met_connects(parameters: str, host: str, url: Callable[..., str]) -> None:
    with contextlib.closing(open_session(url(parameters, host))) as session:
        assert session.value("SELECT 1") == 1


@pytest.mark.parametrize(
    ("parameters", "host", "why"),
    [
        ("sslmode=verify-full&sslrootcert=FOLDER/server.pem", "localhost",
         "the server's certificate is for another host name"),
        ("sslmode=verify-full&sslrootcert=FOLDER/other.pem", "127.0.0.1",
         "the server's certificate is of no authority that sslrootcert names"),
        ("sslmode=verify-ca&sslrootcert=FOLDER/other.pem", "127.0.0.1",
         "the server's certificate is of no authority that sslrootcert names"),
        ("sslmode=verify-full&sslrootcert=FOLDER/missing.pem", "127.0.0.1",
         "there is no file of authorities, as sslrootcert names it"),
    ],
)  # fmt: skip
def test_a_mode_that_is_not_met_is_told(parameters: str, host: str, why: str, url: Callable[..., str]) -> None:
    with pytest.raises(MigrationError) as told:
        open_session(url(parameters, host))
    assert told.value.why == why


def test_a_server_without_encryption_is_refused_where_it_is_required(postgres_server: str) -> None:
    behind = unquote(postgres_server.partition("host=")[2])
    with encrypting(f"{behind}/.s.PGSQL.5432", None) as port, pytest.raises(MigrationError) as told:
        open_session(f"postgresql://postgres@127.0.0.1:{port}/accounts?sslmode=require")
    assert told.value.why == "the server offers no encryption"


def test_the_password_of_a_key_reaches_a_program_and_nobody_else(
    url: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, service, program = tmp_path / "arguments", tmp_path / "service", tmp_path / "psql"
    program.write_text(
        f"""#!/bin/sh
echo "$@" >"{arguments}"
cp "$PGSERVICEFILE" "{service}"
stat -c %a "$PGSERVICEFILE" >>"{service}"
exec "{find_programs(18, None).psql}" "$@"
"""
    )
    program.chmod(0o700)
    words = ["--no-psqlrc", "--no-password", "--command=SELECT 1"]
    run(program, words, url("sslmode=prefer&sslpassword=k%20%3D%23%25y"), "Cannot ask")
    assert service.read_text() == "[accounts_migration]\nsslpassword=k =#%y\n600\n"
    assert "sslmode=prefer" in arguments.read_text()
    assert "sslpassword" not in arguments.read_text()
    named = url("sslmode=prefer&service=bank&sslpassword=key")
    with pytest.raises(UsageError, match="Write sslpassword into the file of the service"):
        run(program, words, named, "Cannot ask")
    monkeypatch.setenv("PGSERVICE", "bank")
    with pytest.raises(UsageError, match="Write sslpassword into the file of the service"):
        run(program, words, url("sslmode=prefer&sslpassword=key"), "Cannot ask")


@pytest.mark.parametrize("secret", ["k%0Ahost=elsewhere", "k%0A", "k%0D%0Ay", "k%20", "k%0D", "k%09", "k%00y"])
def test_the_password_of_a_key_that_one_line_cannot_hold_is_refused(
    secret: str, url: Callable[..., str], tmp_path: Path
) -> None:
    """It goes to a program by a line of a file: the rest would be another parameter, or lost."""
    program = tmp_path / "psql"
    program.write_text(f'#!/bin/sh\ntouch "{tmp_path}/begun"\n')
    program.chmod(0o700)
    with pytest.raises(UsageError, match="the password of the client's key holds a line break or") as told:
        run(program, [], url(f"sslmode=prefer&sslpassword={secret}"), "Cannot ask")
    assert ("elsewhere" in str(told.value), (tmp_path / "begun").exists()) == (False, False)


def test_a_program_gets_the_mode_too_and_one_built_without_tls_says_so(url: Callable[..., str]) -> None:
    """Those of the embedded server's package are such."""
    programs = find_programs(18, None)
    words = ["--no-psqlrc", "--no-password", "--command=SELECT 1"]
    run(programs.psql, words, url("sslmode=prefer"), "Cannot ask")
    with pytest.raises(MigrationError) as told:
        run(programs.psql, words, url("sslmode=verify-full&sslrootcert=FOLDER/other.pem"), "Cannot ask")
    assert told.value.why in (
        "psql failed: it was built without TLS",
        "psql failed: the server's certificate is of no authority that sslrootcert names",
    )
