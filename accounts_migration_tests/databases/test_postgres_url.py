"""The URL of a PostgreSQL database: put together, taken apart, and shown without a secret, as libpq reads it."""

from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from accounts_migration.databases.postgres_url import display_name, location, password_of, postgres_url, with_database
from accounts_migration.errors import UsageError

ODD = "@:/?#% +&=é\\'\""
NOTHING = dict.fromkeys(("host", "port", "database", "user", "password"))


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "postgresql://"),
        ({"host": "db.example", "port": 5433, "database": "bank", "user": "me"}, "postgresql://me@db.example:5433/bank"),
        ({"host": "::1", "port": 5432}, "postgresql://[::1]:5432"),
        ({"host": "[::1]"}, "postgresql://[::1]"),
        ({"host": "/run/x", "port": 7, "database": "b"}, "postgresql:///b?host=/run/x&port=7"),
        ({"host": "a,b", "user": "me"}, "postgresql://me@?host=a%2Cb"),
        ({"port": 5433}, "postgresql://?port=5433"),
        ({"host": "h", "sslmode": "verify-full", "sslrootcert": "/a b/ca.pem"},
         "postgresql://h?sslmode=verify-full&sslrootcert=/a%20b/ca.pem"),
    ],
)  # fmt: skip
def test_a_url_says_what_is_set_and_leaves_the_rest_to_libpq(given: dict[str, object], url: str) -> None:
    assert postgres_url(**{**NOTHING, **given}) == url  # type: ignore[arg-type]  # the names are those of the parameters
    named = {"dbname" if name == "database" else name: str(value).strip("[]") for name, value in given.items()}
    assert conninfo_to_dict(url) == named


@pytest.mark.parametrize("user", ["clerk", "me@tenant", None])
def test_a_password_of_any_letters_arrives_and_is_not_shown(user: str | None) -> None:
    url = postgres_url(host="h", port=1, database=ODD, user=user, password=ODD)
    understood = conninfo_to_dict(url)
    assert (understood["password"], understood.get("user"), understood["dbname"]) == (ODD, user, ODD)
    assert password_of(url) == ODD
    shown = display_name(url)
    assert conninfo_to_dict(shown) == {name: value for name, value in understood.items() if name != "password"}
    assert quote(ODD, safe="") not in shown.replace(f"/{quote(ODD, safe='')}", "")


@pytest.mark.parametrize("place", ["//u:{}@h/db", "//u@h/db?password={}", "///db?host=h&user=u&password={}"])
def test_a_password_is_found_wherever_it_stands(place: str) -> None:
    url = "postgresql:" + place.format(quote(ODD, safe=""))
    assert (password_of(url), password_of(display_name(url))) == (ODD, None)
    assert password_of("postgresql://h/db?password=a+b") == "a+b"


def test_parameters_are_kept_as_they_were_written() -> None:
    url = "postgresql://h/db?sslrootcert=/a%20b/c+d.pem&options=-csearch_path%3Dbank&sslpassword=x"
    assert display_name(url) == "postgresql://h/db?sslrootcert=/a%20b/c+d.pem&options=-csearch_path%3Dbank"
    assert with_database(f"{url}&dbname=y", "a/b") == url.replace("/db?", "/a%2Fb?")


def test_a_place_is_the_same_however_one_connects_to_it() -> None:
    ways = "sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=3&password=x"
    assert location(f"postgresql://u:p@h:1/db?{ways}") == "postgresql://u@h:1/db"
    assert location(f"postgres:///db?host=/run/x&{ways}&options=-csearch_path%3Db") == (
        "postgresql:///db?host=/run/x&options=-csearch_path%3Db"
    )


@pytest.mark.parametrize(
    "rest",
    ["u:s3/cret@h/db", "u:1?s3cret@h/db", "u:1?a=s3cret@h/db", "u:s3#cret@h/db", "u:s3cret@h:port/db", "h/db?s3cret"],
)
def test_a_url_that_cannot_be_taken_apart_is_wrong_usage_and_not_shown(rest: str) -> None:
    for read in (display_name, location, password_of):
        with pytest.raises(UsageError) as told:
            read(f"postgresql://{rest}")
        assert "s3" not in str(told.value)
