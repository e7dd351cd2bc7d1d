"""The word `postgresql` for a database: what its settings name is migrated into, and the password is nowhere."""

from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from accounts_migration.databases.copies.postgres import PostgresEngine
from accounts_migration.databases.copies.postgres_programs import find_programs
from accounts_migration.databases.postgres_target import open_session
from accounts_migration_tests.commands import PASSWORD, Here, verdict, write_bank

ODD = f"{PASSWORD}@:/?#% x"


def watching(folder: Path) -> Path:
    """Write programs that note how all processes were started, and then are PostgreSQL's own; return the pg_dump."""
    folder.mkdir()
    programs = find_programs(18, None)
    for program in (programs.dump, programs.restore, programs.psql):
        place = folder / program.name
        place.write_text(f'#!/bin/sh\nps axww -o args >> "{folder}/ps.txt"\nexec "{program}" "$@"\n')
        place.chmod(0o755)
    return folder / "pg_dump"


def test_its_database_is_migrated_into_and_its_password_is_nowhere(
    tmp_path: Path, here: Here, postgres_url: str, run_sql: Any
) -> None:
    source = write_bank(tmp_path / "legacy.db")
    run_sql(postgres_url, "CREATE TABLE note (words text)")
    name, socket = postgres_url.rpartition("?")[0].rpartition("/")[2], unquote(postgres_url.partition("host=")[2])
    settings = {
        "POSTGRES_HOST": socket,
        "POSTGRES_DATABASE": name,
        "POSTGRES_USER": "postgres",
        "POSTGRES_PASSWORD": ODD,
        "POSTGRES_SSLMODE": "prefer",
        "PG_DUMP": str(watching(tmp_path / "bin")),
    }
    said = here("migrate", source, "postgresql", "--json", "summary.json", **settings)
    assert (said.status, verdict(said.out)) == (0, "MIGRATED")
    assert run_sql(postgres_url, "SELECT count(*) FROM account") == [(2,)]
    listed = here("backup", "--list", postgres_url)
    assert listed.status == 0
    assert "target-" in listed.out, "it is the same target, however it is named"
    assert "pg_dump --format=custom" in (tmp_path / "bin" / "ps.txt").read_text()
    words = [PASSWORD, quote(PASSWORD, safe="")]
    assert [word for word in words if word in said.out + said.err + listed.out] == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files for word in words if word.encode() in path.read_bytes()] == []


def test_a_database_that_a_service_file_names_is_known_by_its_name(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, socket = postgres_url.rpartition("?")[0].rpartition("/")[2], unquote(postgres_url.partition("host=")[2])
    (tmp_path / "services").write_text(f"[bank]\nhost={socket}\nuser=postgres\ndbname={name}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    assert PostgresEngine("postgresql://?service=bank", None).database == name
    monkeypatch.setenv("PGSERVICE", "bank")
    with closing(open_session("postgresql://")) as session:
        assert session.value("SELECT current_database()::text") == name
