"""`pg_dump`, `pg_restore` and `psql`: finding them in the right version, and running them without telling a password.

Here: the programs. Not here: what is dumped and restored (`accounts_migration.databases.copies.postgres`).
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from accounts_migration.databases.embedded_postgres import client_programs
from accounts_migration.databases.postgres_target import why_no_connection
from accounts_migration.databases.postgres_url import display_name, parameter, password_of, with_parameter
from accounts_migration.errors import MigrationError, UsageError

_INSTALLED = Path("/usr/lib/postgresql")
_SECONDS_TO_CONNECT = "10"
_SERVICE = "accounts_migration"
# libpq cuts these off the end of a line of its service file
_BLANKS = " \t\n\v\f\r"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")

# what may be told of the programs' own words: they quote rows of the database
_KNOWN_FAILURES = (
    (r"server closed the connection|terminating connection|connection .*lost", "the connection was lost"),
    (r"No space left on device", "the disk is full"),
    (r"permission denied for \w+ [\w.\"]+", ""),
    (r"cannot drop table [\w.\"]+ because other objects depend on it", ""),
    (r"must be (?:owner|member|able)[\w .\"]*", ""),
    (r"server version mismatch", "the program is older than the server"),
    (r"(?:relation|schema|role|extension|function|type) \"[^\"]*\" (?:already exists|does not exist)", ""),
    (r"(?:unrecognized configuration parameter|extension) \"[^\"]*\"[\w ]*", ""),
    (r"could not read from input file|unexpected end of file|corrupt|not appear to be a valid", "the file is damaged"),
    (r"accounts_migration: table [\w.\"]+ does not hold what was backed up", ""),
)


@dataclass(frozen=True, slots=True)
class Programs:
    """The client programs of one version, in one folder."""

    folder: Path
    dump: Path
    version: int

    @property
    def restore(self) -> Path:
        """Return `pg_restore`, of the same version."""
        return self.folder / "pg_restore"

    @property
    def psql(self) -> Path:
        """Return `psql`, of the same version."""
        return self.folder / "psql"


def find_programs(server: int, setting: Path | None) -> Programs:
    """Return the programs of the server's major version, or else of the next newer one that is here.

    Looked for, in this order: PG_DUMP, which alone is taken where it is set; /usr/lib/postgresql/*/bin; PATH; the wheel
    of the embedded server.

    Raises:
        UsageError: PG_DUMP names no usable pg_dump.
        MigrationError: None of this version or a newer one is here; names the version that is needed.
    """
    if setting is not None:
        # not resolved: Debian's pg_dump is a link to a program that looks at its name
        program = Path(shutil.which(setting) or setting).absolute()
        version = _version_of(program)
        if version is None or version < server:
            found = "it is no pg_dump that runs" if version is None else f"it is of version {version}"
            raise UsageError(
                f"Cannot use PG_DUMP={setting}",
                why=f"{found}, and the server is PostgreSQL {server}",
                remedy=f"Name a pg_dump of version {server} or newer",
            )
        return Programs(program.parent, program, version)
    found_here = {version: path for path in reversed([*_candidates()]) if (version := _version_of(path)) is not None}
    usable = [version for version in found_here if version >= server]
    if not usable:
        here = ", ".join(f"{path} ({version})" for version, path in sorted(found_here.items())) or "none at all"
        raise MigrationError(
            f"There is no pg_dump for PostgreSQL {server}",
            why=f"an older one refuses such a server, and found was {here}",
            remedy=f"Install the client programs of version {server} (postgresql-client-{server}), or name one of"
            " that version or newer in PG_DUMP",
        )
    path = found_here[min(usable)]
    return Programs(path.parent, path, min(usable))


def run(program: Path, words: Sequence[str], url: str | None, what: str, *, into: IO[bytes] | None = None) -> None:
    """Run a program against a database, and wait for its end.

    Args:
        program: One of the programs.
        words: Its arguments; none may hold a secret.
        url: The database; a password in it goes by way of the environment, that of the client's key by way of a file.
            None where none is needed.
        what: What cannot be done if it fails.
        into: Where its output goes.

    Raises:
        UsageError: The URL names a service and the password of a key, which cannot go together, or no line of a file
            can hold that password.
        MigrationError: It failed; tells only what quotes no row.
    """
    with _connection(url) as (where, secrets):
        try:
            done = subprocess.run(  # noqa: S603  # a program of PostgreSQL, without a shell
                [str(program), *words, *where],
                stdin=subprocess.DEVNULL,
                stdout=into or subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={
                    "PGCONNECT_TIMEOUT": _SECONDS_TO_CONNECT,
                    **os.environ,
                    "PGAPPNAME": "accounts-migration",
                    **secrets,
                },
                check=False,
            )
        except OSError as error:
            raise MigrationError(what, why=f"{program}: {error.strerror}", remedy="Check PG_DUMP") from error
    if done.returncode:
        raise MigrationError(
            what, why=f"{program.name} {_failure(done.returncode, done.stderr)}", remedy=_remedy(done.returncode)
        )


@contextmanager
def _connection(url: str | None) -> Iterator[tuple[list[str], Mapping[str, str]]]:
    """Yield the argument that names the database, without a secret, and what the environment says besides."""
    if url is None:
        yield [], {}
        return
    shown, password, key_password = display_name(url), password_of(url), parameter(url, "sslpassword")
    secrets = {"PGPASSWORD": password} if password else {}
    if not key_password:
        yield [f"--dbname={shown}"], secrets
        return
    if parameter(url, "service") or "PGSERVICE" in os.environ:
        raise UsageError(
            f"Cannot let a program connect to {shown}",
            why="both a service and the password of the client's key are named, and that password goes by a service",
            remedy="Write sslpassword into the file of the service, instead of into the URL",
        )
    _refuse_no_line(key_password, shown)
    # libpq reads it from no variable of the environment
    with tempfile.TemporaryDirectory(prefix="service-") as folder:
        file = Path(folder, "pg_service.conf")
        file.touch(mode=0o600)
        file.write_text(f"[{_SERVICE}]\nsslpassword={key_password}\n", encoding="utf-8")
        named = with_parameter(shown, "service", _SERVICE)
        yield [f"--dbname={named}"], {**secrets, "PGSERVICEFILE": str(file)}


def _refuse_no_line(key_password: str, shown: str) -> None:
    """Raise UsageError where a line of a file cannot hold the password: the rest would become another parameter."""
    if key_password != key_password.rstrip(_BLANKS) or any(sign in key_password for sign in "\n\0"):
        raise UsageError(
            f"Cannot let a program connect to {shown}",
            why="the password of the client's key holds a line break or U+0000, or ends in a blank, and a program reads"
            " it from a line of a file",
            remedy="Give the client's key another password",
        )


def _candidates() -> Iterator[Path]:
    yield from sorted(_INSTALLED.glob("*/bin/pg_dump"), reverse=True)
    found = shutil.which("pg_dump")
    if found:
        yield Path(found)
    wheel = client_programs()
    if wheel:
        yield wheel / "pg_dump"


@cache
def _version_of(program: Path) -> int | None:
    try:
        done = subprocess.run(  # noqa: S603  # a program that is asked for its version
            [str(program), "--version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(done.stdout)
    return int(match[1]) if match and done.returncode == 0 else None


def _failure(status: int, said: bytes) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    text = said.decode(errors="replace")
    for sign, meaning in _KNOWN_FAILURES:
        match = re.search(sign, text)
        if match:
            return f"failed: {meaning or match[0]}"
    why = why_no_connection(text)
    return f"failed: {why}" if why else f"failed with status {status}"


def _remedy(status: int) -> str:
    if status == -signal.SIGXFSZ:
        return "The file grew larger than this user may write: raise the limit, or free disk space"
    return "Run it by hand with the same URL to see more; then run again"
