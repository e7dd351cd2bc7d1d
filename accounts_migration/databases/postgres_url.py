"""The URL of a PostgreSQL database, as libpq reads it.

Here: putting one together, taking it apart, and showing it without a secret. Not here: connecting (`postgres_target`).
Other than in an address of the web, `+` is a plus sign: parameters are kept as they were written.
"""

import re
from urllib.parse import SplitResult, quote, unquote, urlsplit

from accounts_migration.errors import UsageError

_HOSTS = re.compile(r"((\[[0-9A-Fa-f:.]+\]|[^:,@\[\]]*)(:[0-9]*)?)(,(\[[0-9A-Fa-f:.]+\]|[^:,@\[\]]*)(:[0-9]*)?)*")
_SECRETS = ("password", "sslpassword")
_WHERE = ("host", "hostaddr", "port", "dbname", "user", "service", "servicefile", "options")


def postgres_url(
    *, host: str | None, port: int | None, database: str | None, user: str | None, password: str | None, **ways: str
) -> str:
    """Return the URL of a database; what is None or left out is for libpq to find, as in PGHOST or .pgpass.

    Args:
        host: A name, an address, the folder of a socket, or several with commas between.
        port: Its port; that of all hosts.
        database: Its name.
        user: The role.
        password: Its password.
        ways: Further parameters of libpq, as `sslmode`.
    """
    login = "" if user is None else quote(user, safe="")
    if password is not None and user is not None:
        login += f":{quote(password, safe='')}"
    parameters = dict(ways)
    if password is not None and user is None:
        parameters["password"] = password
    place = ""
    if host is not None and not host.startswith("/") and "," not in host:
        address = host.strip("[]")
        place = f"[{address}]" if ":" in address else quote(address, safe="")
        place += "" if port is None else f":{port}"
    else:
        parameters |= {"host": host} if host is not None else {}
        parameters |= {"port": str(port)} if port is not None else {}
    path = "" if database is None else f"/{quote(database, safe='')}"
    query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in parameters.items())
    return f"postgresql://{login}{'@' if login else ''}{place}{path}{'?' if query else ''}{query}"


def display_name(url: str) -> str:
    """Return the URL without any password.

    Raises:
        UsageError: The URL cannot be taken apart, so that nobody can tell where its password ends.
    """
    parts = _parts(url)
    return _put_together(parts, [one for one in _parameters(parts) if _name(one) not in _SECRETS])


def location(url: str) -> str:
    """Return where the database is: without any password, alike however it is written and however one connects to it.

    Raises:
        UsageError: As by `display_name`.
    """
    parts = _parts(url)
    asked = [(_name(one), unquote(one.partition("=")[2])) for one in _parameters(parts)]
    return _put_together(parts, [f"{name}={quote(value, safe='/')}" for name, value in asked if name in _WHERE])


def password_of(url: str) -> str | None:
    """Return the password in the URL; None where there is none.

    Raises:
        UsageError: As by `display_name`.
    """
    parts = _parts(url)
    asked = [unquote(one.partition("=")[2]) for one in _parameters(parts) if _name(one) == "password"]
    return (asked[-1] if asked else unquote(parts.netloc.rpartition("@")[0].partition(":")[2])) or None


def parameter(url: str, name: str) -> str | None:
    """Return a parameter of the URL; None where it is not there.

    Raises:
        UsageError: As by `display_name`.
    """
    asked = [unquote(one.partition("=")[2]) for one in _parameters(_parts(url)) if _name(one) == name]
    return asked[-1] if asked else None


def with_database(url: str, name: str) -> str:
    """Return the URL of another database of the same server.

    A `dbname` among the parameters would win over the path, so it goes.
    """
    parts = urlsplit(url)
    query = "&".join(one for one in _parameters(parts) if _name(one) != "dbname")
    return f"postgresql://{parts.netloc}/{quote(name, safe='')}{'?' if query else ''}{query}"


def with_parameter(url: str, name: str, value: object) -> str:
    """Return the URL with one more parameter."""
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        login, _, hosts = parts.netloc.rpartition("@")
        whole = (
            _HOSTS.fullmatch(hosts)
            and "@" not in parts.path + login.partition(":")[0]
            # the beginning of a password would be taken for a port
            and not (":" in hosts and not login and "@" in parts.query)
            and not parts.fragment
            and all("=" in one for one in _parameters(parts))
        )
    except ValueError:
        whole = False
    if not whole:
        raise UsageError(
            "Cannot read the URL of the target",
            why="its parts cannot be told apart",
            remedy="Write postgresql://USER@HOST:PORT/DATABASE, with special characters percent-encoded, "
            "and give the password in PGPASSWORD or .pgpass",
        )
    return parts


def _parameters(parts: SplitResult) -> list[str]:
    return parts.query.split("&") if parts.query else []


def _name(parameter: str) -> str:
    return unquote(parameter.partition("=")[0])


def _put_together(parts: SplitResult, parameters: list[str]) -> str:
    login, _, hosts = parts.netloc.rpartition("@")
    user, query = login.partition(":")[0], "&".join(parameters)
    return f"postgresql://{user}{'@' if user else ''}{hosts}{parts.path}{'?' if query else ''}{query}"
