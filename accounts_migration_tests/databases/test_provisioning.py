"""What a target is asked before a migration: what it is, what its user may do, how fast it takes bytes."""

import contextlib
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.postgres_target import why_no_connection
from accounts_migration.databases.target import Target, open_target
from accounts_migration.errors import MigrationError
from accounts_migration_tests.commands import Here, write_bank

_ROLES = count(1)


@pytest.fixture
def as_role(postgres_url: str, run_sql: Callable[..., Any]) -> Callable[..., str]:
    """Return a function that makes a role, runs statements about it (`{role}`), and returns its URL."""

    def made(*statements: str) -> str:
        role = f"role_{os.getpid()}_{next(_ROLES)}"
        run_sql(postgres_url, f"CREATE ROLE {role} LOGIN", *(text.replace("{role}", role) for text in statements))
        return postgres_url.replace("//postgres@", f"//{role}@")

    return made


def denied(url: str) -> list[str]:
    """Return what the role may not do, its name left out."""
    with open_target(url) as target:
        role = url.partition("//")[2].partition("@")[0]
        return [text.replace(f"{role} ", "") for text in target.denied()]


ALL = ("GRANT CREATE ON SCHEMA public TO {role}",)


def test_an_empty_target_of_our_own_wants_and_denies_nothing(target_url: str) -> None:
    with open_target(target_url) as target:
        assert (target.provisioning().wanting, target.denied()) == ((), [])
    assert not target_url.endswith(".db") or not Path(target_url).exists(), "asking makes no file"


def test_a_migrated_target_of_our_own_wants_and_denies_nothing(target: Target, bank: Any) -> None:
    bank.load_parents(target)
    target.constrain()
    assert (target.provisioning().wanting, target.denied()) == ((), [])


def test_throughput_is_measured_and_leaves_nothing(target: Target) -> None:
    before = target.size()
    found = target.throughput()
    assert found.sent == 1024 * 1024
    assert 0 < found.round_trip < 1
    assert found.bytes_per_second > 100_000
    assert target.throughput().sent == found.sent, "it can be measured again"
    assert target.size() - before < 200_000


def test_a_file_that_another_program_writes_to_is_denied(tmp_path: Path) -> None:
    with open_target(str(tmp_path / "target.db")) as target:
        target.prepare()
        with open_target(str(tmp_path / "target.db")) as other, other.session.transaction():
            assert target.denied() == ["another program is writing to it"]
        assert target.denied() == []


def test_facts_of_a_server(postgres_url: str) -> None:
    with open_target(postgres_url) as target:
        facts = target.provisioning().facts
    assert (str(facts["version"]).partition(" ")[0], facts["encoding"]) == ("PostgreSQL", "UTF8")
    assert 6 <= int(facts["free connections"]) <= 100


def test_a_role_with_the_rights_to_create_may_do_all(as_role: Callable[..., str]) -> None:
    url = as_role(*ALL)
    assert denied(url) == []
    with open_target(url) as target:
        target.prepare()
        target.constrain()
    assert denied(url) == []


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((), ["lacks CREATE on the schema public"]),
        (
            (*ALL, "DO $$BEGIN EXECUTE 'REVOKE TEMPORARY ON DATABASE ' || current_database() || ' FROM public'; END$$"),
            ["lacks TEMPORARY on the database"],
        ),
        (
            ("ALTER ROLE {role} SET search_path = nowhere",),
            ["no schema is selected: the one that search_path names does not exist, or may not be used"],
        ),
    ],
    ids=["no CREATE", "no TEMPORARY", "no schema"],
)
def test_rights_that_lack_in_an_empty_database(
    statements: tuple[str, ...], expected: list[str], as_role: Callable[..., str]
) -> None:
    assert denied(as_role(*statements)) == expected


def test_rights_that_lack_on_tables_that_stand(postgres_url: str, as_role: Callable[..., str]) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
    url = as_role(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        "REVOKE DELETE, UPDATE ON customer FROM {role}",
    )
    unowned = "does not own the table {}, whose keys and indexes are still to be added"
    assert denied(url) == [
        "lacks CREATE on the schema public",
        "lacks REFERENCES on the table account",
        unowned.format("account"),
        "lacks UPDATE, DELETE, REFERENCES on the table customer",
        unowned.format("customer"),
        "lacks REFERENCES on the table product",
        unowned.format("product"),
        unowned.format("transaction"),
    ]
    with open_target(postgres_url) as target:
        target.constrain()
    assert denied(url) == ["lacks UPDATE, DELETE on the table customer"], "nothing is left to be added"


def test_an_owner_who_may_not_create_cannot_add_the_indexes(postgres_url: str, as_role: Callable[..., str]) -> None:
    with open_target(postgres_url) as target:
        target.prepare()
    names = ("product", "customer", "account", "transaction")
    url = as_role(
        *(f"ALTER TABLE {name} OWNER TO {{role}}" for name in names),
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    )
    assert denied(url) == ["lacks CREATE on the schema public"]
    with open_target(url) as target, pytest.raises(MigrationError, match="this role lacks a right"):
        target.constrain()


@pytest.mark.parametrize(
    ("statements", "wanting"),
    [
        (("ALTER ROLE {role} CONNECTION LIMIT 5",), ["5 connections are free for this role, and a migration uses 6"]),
        (("ALTER ROLE {role} CONNECTION LIMIT 6",), []),
        (("ALTER ROLE {role} SET default_transaction_read_only = on",), ["it is read-only for this role"]),
    ],
    ids=["few connections", "enough connections", "read-only"],
)
def test_what_a_server_wants(statements: tuple[str, ...], wanting: list[str], as_role: Callable[..., str]) -> None:
    with open_target(as_role(*statements)) as target:
        assert list(target.provisioning().wanting) == wanting


def test_a_migration_does_with_as_many_connections_as_it_asks_for(
    tmp_path: Path, as_role: Callable[..., str], here: Here
) -> None:
    url = as_role(*ALL, "ALTER ROLE {role} CONNECTION LIMIT 6")
    source = write_bank(tmp_path / "legacy.db")
    assert [here("migrate", source, url).status for _ in range(2)] == [0, 0]


def test_a_database_without_free_connections_cannot_be_opened(as_role: Callable[..., str]) -> None:
    url = as_role("ALTER ROLE {role} CONNECTION LIMIT 1")
    with open_target(url), pytest.raises(MigrationError, match="the server has no free connection"):
        open_target(url)


def test_a_role_whose_statements_end_before_they_begin_is_told_so() -> None:
    said = "Failed to query type information: ERROR:  canceling statement due to statement timeout"
    assert (
        why_no_connection(said) == "the server cut the first question short: this role's statement_timeout is too low"
    )


@contextlib.contextmanager
def asking_for_a_password(url: str, role: str, run_sql: Callable[..., Any]) -> Iterator[None]:
    """Let the server ask one role for its password."""
    [(path,)] = run_sql(url, "SELECT current_setting('hba_file')")
    rules = Path(path).read_text()
    try:
        Path(path).write_text(f"local all {role} scram-sha-256\n{rules}")
        run_sql(url, "SELECT pg_reload_conf()")
        yield
    finally:
        Path(path).write_text(rules)
        run_sql(url, "SELECT pg_reload_conf()")


def test_a_wrong_password_is_told_and_not_shown(
    postgres_url: str, as_role: Callable[..., str], run_sql: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = as_role(*ALL, "ALTER ROLE {role} PASSWORD 'right-0815'")
    role = url.partition("//")[2].partition("@")[0]
    with asking_for_a_password(postgres_url, role, run_sql):
        monkeypatch.setenv("PGPASSWORD", "wrong-4711")
        with pytest.raises(MigrationError, match="the password or the user is wrong") as refused:
            open_target(url)
        assert "4711" not in str(refused.value)
        monkeypatch.setenv("PGPASSWORD", "right-0815")
        assert denied(url) == []
