"""Personal data and passwords stand in nothing that a copy says or records, in either direction (contract section 8).

Here: a copy with rejects, repairs and differences, of other tables, too. Not here: the databases, snapshots, backups
and staging files, which hold such data and are their owner's alone.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.other_tables import Inventory, finish
from accounts_migration.databases.sql_text import quoted
from accounts_migration.databases.target import Target
from accounts_migration.entities import PLATFORM_ENTITIES
from accounts_migration.instance import open_instance
from accounts_migration.legacy_values import as_text
from accounts_migration_tests.commands import PASSWORD, Here, change, runs_and_events
from accounts_migration_tests.platform_rows import SOUND, Row, write_platform

RunSql = Callable[..., list[tuple[Any, ...]]]

PERSONAL = "zqperson"
"""Stands in every personal value; long enough never to stand in compressed data by chance."""

PERSON = {
    "first_name": "Zqpersonada",
    "last_name": "Zqpersonbyron",
    "email": "zqperson.ada@example.com",
    "phone": "555-ZQPERSON1",
}
ROWS: dict[str, list[Row]] = {
    "customer": [
        {**PERSON},
        {"customer_id": "CUST-0002", **PERSON, "email": "zqperson.alan@@example.com"},  # repaired
        {"customer_id": "CUST-0003", **PERSON, "created_at": "soon"},  # rejected
    ],
    "account": [{}, {"account_id": "ACCT-00000003", "customer_id": "CUST-0003"}],
    "transaction": [
        {"reference": "zqperson salary"},
        {"transaction_id": "TXN-2", "reference": "zqperson" * 30},  # repaired
        {"transaction_id": "TXN-3", "reference": "zqperson rent", "account_id": "ACCT-00000003"},  # rejected
        {"transaction_id": "TXN-4", "reference": "zqperson fee", "amount": "much"},  # rejected
    ],
}
OTHER = (
    "CREATE TABLE contact (mail varchar(40) PRIMARY KEY, body text, phone varchar(20) UNIQUE)",
    "CREATE TABLE call (caller varchar(40) REFERENCES contact (mail), said text DEFAULT 'zqperson default')",
    "INSERT INTO contact VALUES ('zqperson.zoe@example.com', 'Zqpersonzoe', '555-ZQPERSON9')",
    "INSERT INTO contact VALUES ('zqperson.eve@example.com', NULL, '555-ZQPERSON8')",
    "INSERT INTO call VALUES ('zqperson.zoe@example.com', 'zqperson hello')",
)
UNDECODABLE = "INSERT INTO contact VALUES ('zqperson.bad@example.com', CAST(x'7a71706572736f6eff' AS TEXT), NULL)"
SPOILED = {
    "sqlite": (
        "CREATE TRIGGER spoil AFTER UPDATE ON customer BEGIN UPDATE customer SET last_name = 'Zqpersonspoiled'; END",
    ),
    "postgresql": (
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.last_name := 'Zqpersonspoiled'; RETURN NEW; END $$",
        "CREATE TRIGGER spoil BEFORE UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION spoil()",
    ),
}
"""What makes the rows that stand other than those that were written, so that there is a difference to be told."""


def spoiled(inventory: Inventory, database: Target) -> list[str]:
    """Finish other tables as somebody else writes into one of them."""
    done = finish(inventory, database)
    database.session.execute("UPDATE contact SET body = 'Zqpersonspoiled'")
    return done


def write_server(url: str, run_sql: RunSql) -> str:
    """Write the rows into a PostgreSQL database whose columns are all text, as another program may have made it."""
    statements = []
    for name, entity in PLATFORM_ENTITIES.items():
        columns = ", ".join(f"{column} text" for column in entity.legacy_columns)
        statements.append(f"CREATE TABLE {quoted(name)} ({columns})")
        for row in ROWS.get(name, [{}]):
            cells = [as_text((SOUND[name] | row)[column]) for column in entity.legacy_columns]
            values = ", ".join("NULL" if cell is None else f"'{cell}'" for cell in cells)
            statements.append(f"INSERT INTO {quoted(name)} VALUES ({values})")  # noqa: S608  # our own rows
    run_sql(url, *statements, *OTHER)
    return url


def with_password(url: str) -> str:
    return url.replace("://postgres@", f"://postgres:{PASSWORD}@")


@pytest.fixture(params=["to PostgreSQL", "to SQLite"])
def said(
    request: pytest.FixtureRequest,
    postgres_url: str,
    tmp_path: Path,
    here: Here,
    run_sql: RunSql,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dict[str, str]]:
    """Copy in one direction, with differences, and be refused; yield all that was said and recorded, by place."""
    back = request.param == "to SQLite"
    if back:
        origin, target, engine = with_password(write_server(postgres_url, run_sql)), "to.db", "sqlite"
    else:
        origin, target, engine = "from.db", with_password(postgres_url), "postgresql"
        change(write_platform(tmp_path / origin, ROWS), *(f"{one};" for one in (*OTHER, UNDECODABLE)))
    words = ("copy", origin, target, "--all-tables", "--json", "sum.json", "--policy", "invalid_email=null")
    whole = here(*words, "--policy", "max_reject_rate=0.6")
    assert whole.status == 0, whole
    first = (tmp_path / "sum.json").read_text()
    run_sql(
        target,
        *SPOILED[engine],
        "UPDATE customer SET first_name = 'Zqpersonother', phone = '555-ZQPERSON7'",
        "UPDATE \"transaction\" SET reference = 'zqperson other'",
    )
    monkeypatch.setattr("accounts_migration.assets.platform.other_tables.finish", spoiled)
    different = here(*words, "--policy", "max_reject_rate=0.6")
    assert different.status == 1, different
    second = (tmp_path / "sum.json").read_text()
    refused = here(*words)
    assert refused.status == 1, refused
    recorded = {
        str(path.relative_to(tmp_path)): path.read_bytes().decode("latin-1")
        for path in sorted((tmp_path / "var").rglob("*"))
        if path.is_file() and path.relative_to(tmp_path / "var").parts[0] not in ("backups", "staging")
    }
    with open_instance(tmp_path / "var" / "dagster", is_ours=True) as instance:
        recorded["instance"] = runs_and_events(instance)
    yield recorded | {
        "whole": whole.out + whole.err,
        "different": different.out + different.err,
        "refused": refused.out + refused.err,
        "summaries": first + second + (tmp_path / "sum.json").read_text(),
    }


def test_nobody_is_named_and_no_password_is_told(said: dict[str, str]) -> None:
    markers = (PERSONAL, PERSONAL.encode().hex(), PASSWORD)
    found = {
        (place, marker): text[text.lower().index(marker.lower()) - 80 :][:200]
        for place, text in said.items()
        for marker in markers
        if marker.lower() in text.lower()
    }
    assert found == {}
    # the texts were looked for where they would stand
    recorded = "".join(said.values())
    for reason in ("INVALID_DATE", "INVALID_NUMBER", "PARENT_REJECTED", "TRUNCATED", "INVALID_EMAIL"):
        assert reason in recorded
    assert "| DIFFERENT | all | CUST-0001 | last_name | xxxxxxxxxxxxx | xxxxxxxxxxxxxxx |" in said["instance"]
    assert "contact: DIFFERENT xxxxxxxx.xxx@xxxxxxx.xxx" in said["different"]
    assert {name.split("/")[1] for name in said if name.startswith("var/")} >= {"logs", "dagster", "reports"}
