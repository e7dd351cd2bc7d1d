"""Rolling back, on both targets: the backup in the place of the target, and the service up on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from accounts_migration.databases.target import open_target
from accounts_migration.errors import MigrationError
from accounts_migration.operations.backup import take_backup
from accounts_migration.operations.rollback import rollback
from accounts_migration_tests.commands import content
from accounts_migration_tests.operations.night import (
    CHANGES,
    Night,
    as_owner,
    name_of,
    of_a_file,
    open_elsewhere,
    server_of,
)


def test_the_target_is_what_it_was_before_the_migration_and_the_service_runs(night: Night) -> None:
    loaded = content(night.url)
    done = night.roll_back()
    assert (done.backup, night.rows) == (night.before, None)
    assert (done.health and done.health.status, night.api.runs, night.api.commands) == (200, True, ["stop", "start"])
    assert (done.exported, done.remarks, night.left) == ([], [], [])
    assert 0 < done.out_of_service <= done.seconds < 30
    if night.is_sqlite:
        assert not Path(night.url).exists()
        assert content(done.kept) == loaded
    else:
        assert Path(done.kept).read_bytes()[:5] == b"PGDMP"
    assert {oct(path.stat().st_mode & 0o777) for path in done.folder.iterdir()} == {"0o600"}


def test_a_backup_with_rows_takes_the_place_of_a_target_that_was_changed(night: Night) -> None:
    loaded = content(night.url)
    night.run_sql(night.url, *CHANGES, 'DELETE FROM "transaction"')
    done = night.roll_back(to=night.loaded.backup_id, discard_changes=True)
    assert (content(night.url), night.left) == (loaded, [])
    assert (done.backup, night.api.runs, night.api.commands) == (night.loaded, True, ["stop", "start"])
    kept = done.kept if night.is_sqlite else done.kept.replace("%2F", "/")
    assert night.run_sql(kept, 'SELECT count(*) FROM "transaction"') == [(0,)]


def test_discarded_rows_are_written_into_files_first(night: Night) -> None:
    night.run_sql(night.url, *CHANGES)
    done = night.roll_back(discard_changes=True)
    exported = {path.name: path.read_text() for path in done.exported}
    accounts = "account_id,customer_id,product_id,status,balance,opening_date,closing_date,created_at,updated_at\n"
    transactions = "transaction_id,account_id,transaction_type,amount,balance_after,reference,transaction_date\n"
    when = exported["account-changed.csv"].rpartition(",")[2].strip()
    assert exported == {
        "account-changed.csv": f'{accounts}"ACCT-00000001","CUST-0001","PROD-001","ACTIVE","7.00","2020-01-02",,'
        f"{when},{when}\n",
        "transaction-added.csv": f'{transactions}"TXN-99","ACCT-00000001","CREDIT","3.50","1.00","a ""new"" one",'
        '"2025-01-02 03:04:05.000000"\n',
        "transaction-removed.csv": f'{transactions}"TXN-9","ACCT-00000003","DEBIT","20.00","0.00","zq gone",'
        '"2024-03-06 00:00:00.000000"\n',
    }
    assert {oct(path.stat().st_mode & 0o777) for path in done.exported} == {"0o600"}
    assert (night.rows, night.api.runs) == (None, True)


OTHERS = (
    "CREATE TABLE kept (words text)",
    "CREATE TABLE gone (words text)",
    "CREATE TABLE note (id integer, words text, picture {blob})",
    "INSERT INTO gone VALUES ('a'), ('b')",
    "INSERT INTO note VALUES (1, 'stays', NULL)",
)
CHANGES_OF_OTHERS = (
    "DROP TABLE gone",
    "INSERT INTO note VALUES (2, NULL, {bytes}), (NULL, '', {none}), (3, 'a \"new\", \n one', NULL)",
    'CREATE TABLE "../etc/pass ""wd""" ("a ""b""" text)',
    'INSERT INTO "../etc/pass ""wd""" VALUES (\'7\')',
    'CREATE TABLE "x/y" (n integer)',
    'CREATE TABLE "x y" (n integer)',
    'CREATE TABLE "y\nROLLED BACK" (n integer)',
)


def in_dialect(night: Night, statements: tuple[str, ...]) -> list[str]:
    words = ("blob", "x'00ff'", "x''") if night.is_sqlite else ("bytea", "'\\x00ff'::bytea", "'\\x'::bytea")
    return [one.format(**dict(zip(("blob", "bytes", "none"), words, strict=True))) for one in statements]


def test_a_table_that_is_none_of_ours_is_exported_whole(night: Night) -> None:
    night.run_sql(night.url, *in_dialect(night, OTHERS))
    backup = take_backup(night.url, night.settings.backups)
    night.run_sql(night.url, *in_dialect(night, CHANGES_OF_OTHERS))
    night.run_sql(night.url, "DELETE FROM note WHERE id = 1")
    told: list[str] = []
    done = rollback(night.settings, night.url, to=backup.backup_id, discard_changes=True, tell=told.append)
    header = '"id","words","picture"' if night.is_sqlite else "id,words,picture"
    n, seven = ('"n"', '"7"') if night.is_sqlite else ("n", "7")
    assert {path.name: path.read_bytes().decode() for path in done.exported} == {
        "other-1-_etc_pass_wd_.csv": f'"a ""b"""\n{seven}\n',
        "other-3-note.csv": f'{header}\n2,,\\x00ff\n,"",\\x\n3,"a ""new"", \n one",\n',
        "other-4-x_y.csv": f"{n}\n",
        "other-5-x_y.csv": f"{n}\n",
        "other-6-y_ROLLED_BACK.csv": f"{n}\n",
    }
    ours = " (none of the migration's tables)"
    assert done.discarded == [
        f'table ../etc/pass "wd" is there, and should not be{ours}: exported whole, 1 rows in'
        " other-1-_etc_pass_wd_.csv",
        f"table gone is missing{ours}: it was dropped since the backup, which holds it with 2 rows",
        f"table note has 3 rows, not 1{ours}: exported whole, 3 rows in other-3-note.csv",
        f"table x y is there, and should not be{ours}: exported whole, 0 rows in other-4-x_y.csv",
        f"table x/y is there, and should not be{ours}: exported whole, 0 rows in other-5-x_y.csv",
        f"table y\\nROLLED BACK is there, and should not be{ours}: exported whole, 0 rows in other-6-y_ROLLED_BACK.csv",
    ]
    assert [line for line in told if line.startswith("discarded: ")] == [f"discarded: {one}" for one in done.discarded]
    assert {path.parent for path in done.exported} == {done.folder}
    assert {oct(path.stat().st_mode & 0o777) for path in done.folder.iterdir()} == {"0o600"}
    assert night.run_sql(night.url, "SELECT words FROM gone ORDER BY 1") == [("a",), ("b",)]


@of_a_file
def test_storage_classes_can_be_told_apart_in_an_exported_table(night: Night) -> None:
    night.run_sql(
        night.url,
        "CREATE TABLE anything (cell, x)",
        "INSERT INTO anything VALUES (7, 1), ('7', 2), (7.0, 3), (0.1, 4), (x'37', 5), ('\\x37', 6), (1e999, 7),"
        " (CAST(x'ff41' AS text), 8), ('a' || char(0) || 'b', 9), (-9223372036854775808, 10)",
    )
    [file] = night.roll_back(discard_changes=True).exported
    assert file.read_bytes() == (
        b'"cell","x"\n7,1\n"7",2\n7.0,3\n0.1,4\n\\x37,5\n"\\x37",6\ninf,7\n"\xffA",8\n"a\0b",9\n-9223372036854775808,10\n'
    )


@pytest.mark.parametrize("migrated", ["postgresql"], indirect=True)
def test_tables_of_other_schemas_and_materialized_views_are_exported_too(night: Night) -> None:
    night.run_sql(
        night.url,
        "CREATE SCHEMA audit",
        'CREATE TABLE audit."Entry" (at timestamptz, part numrange, words text[])',
        "INSERT INTO audit.\"Entry\" VALUES ('2024-01-02 03:04:05+02', '[1,2)', ARRAY['a', NULL, ''])",
        "CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one",
    )
    done = night.roll_back(to=night.loaded.backup_id, discard_changes=True)
    assert {path.name: path.read_text() for path in done.exported} == {
        "other-1-audit_Entry.csv": 'at,part,words\n2024-01-02 01:04:05+00,"[1,2)","{a,NULL,""""}"\n',
        "other-2-seen.csv": "one\n1\n",
    }


@of_a_file
def test_a_service_that_does_not_become_healthy_is_told_and_the_same_command_goes_on(night: Night) -> None:
    stop = f"sh -c 'kill {(night.api.folder / 'pid').read_text()}'"
    told = night.under(service_timeout=0.5, service_stop=stop, service_start="true").refused()
    assert (told.what, "nothing answers at http://127.0.0.1:" in told.why) == ("The service is not healthy", True)
    assert f"The target is rolled back to {night.before.backup_id}, whole; kept: " in told.remedy
    assert night.rows is None
    done = night.roll_back()
    assert (done.backup, done.kept != "", night.api.runs) == (night.before, True, True)
    assert night.api.commands == ["start"]


@of_a_file
def test_a_service_that_cannot_be_started_is_told_with_what_the_target_is(night: Night) -> None:
    told = night.under(service_start="false").refused(to=night.loaded.backup_id)
    assert told.what == "Cannot start the service"
    assert f"The target is rolled back to {night.loaded.backup_id}, whole" in told.remedy


@of_a_file
def test_a_migration_over_a_rollback_whose_service_did_not_come_up_is_rolled_back_anew(
    night: Night,
) -> None:
    """The old rollback is history: it must not pass for one of what was migrated since."""
    night.under(service_start="false").refused()
    assert night.rows is None
    night.made_again()
    assert night.rows is not None
    assert (night.roll_back().backup, night.rows) == (night.before, None)


def test_a_rollback_given_twice_does_not_bring_the_migration_back(night: Night) -> None:
    night.roll_back()
    told = night.refused()
    assert told.what.startswith("There is nothing to roll back in ")
    assert told.why == (
        f"it holds neither a migration nor a copy, as after a rollback; the newest backup, {night.loaded.backup_id} of"
        f" {night.loaded.taken}, would bring a migration back: {night.loaded}"
    )
    assert f"give --to {night.loaded.backup_id}; what was written after that is not in it" in told.remedy
    assert (night.rows, night.api.runs, night.api.commands) == (None, True, ["stop", "start"])


def test_a_target_that_was_deleted_comes_back_where_its_backup_is_named(night: Night) -> None:
    loaded = content(night.url)
    if night.is_sqlite:
        Path(night.url).unlink()
    else:
        night.run_sql(server_of(night.url), f"DROP DATABASE {name_of(night.url)}")
    assert night.loaded.backup_id in night.refused().remedy
    done = night.roll_back(to=night.loaded.backup_id)
    assert (done.backup, done.kept, content(night.url)) == (night.loaded, "", loaded)


@of_a_file
class TestAFile:
    """What only a SQLite file has: sidecars, an owner, programs that hold it open, and damage."""

    def test_it_keeps_its_owner_and_its_rights(self, night: Night) -> None:
        place = Path(night.url)
        place.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(place, 65534, 65534)
        before = place.stat()
        night.roll_back(to=night.loaded.backup_id)
        after, lock = place.stat(), place.with_name(f"{place.name}.lock").stat()
        assert (lock.st_uid, lock.st_gid) == (before.st_uid, before.st_gid)
        assert after.st_ino != before.st_ino
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)

    def test_a_program_that_has_it_open_stops_the_rollback(self, night: Night) -> None:
        with open_elsewhere(night.url, "SELECT count(*) FROM account"):
            told = night.refused()
        assert (told.what, told.why) == (f"Cannot replace {night.url}", "another program has it open")
        assert "The target is as it was; the service was started (" in told.remedy
        assert (night.rows is not None, night.api.commands, night.api.runs) == (True, ["stop", "start"], True)

    def test_a_damaged_one_is_replaced_and_kept(self, night: Night) -> None:
        loaded = content(night.url)
        Path(night.url).write_bytes(b"no database at all" * 999)
        told = night.refused()
        assert told.what.startswith("Cannot tell which backup undoes the migration of ")
        assert told.remedy == "Name one with --to; `accounts-migration backup --list` shows them"
        told = night.refused(to=night.loaded.backup_id)
        assert "the target cannot be read (it is not a SQLite database); it is kept aside as it is" in told.why
        assert night.api.commands == []
        done = night.roll_back(to=night.loaded.backup_id, discard_changes=True)
        assert (content(night.url), Path(done.kept).read_bytes()) == (loaded, b"no database at all" * 999)

    def test_what_a_killed_service_left_in_its_log_is_seen(self, night: Night) -> None:
        writing = (
            "import os, signal, sqlite3, sys\nconnection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            f"connection.execute({CHANGES[0]!r})\nos.kill(os.getpid(), signal.SIGKILL)"
        )
        killed = subprocess.run([sys.executable, "-c", writing, night.url], check=False)  # noqa: S603
        assert (killed.returncode, Path(f"{night.url}-wal").stat().st_size > 0) == (-9, True)
        assert night.refused().why == "table account: 1 rows changed"


@pytest.mark.parametrize("migrated", ["postgresql"], indirect=True)
class TestADatabase:
    """What only a database of a server has: settings, grants and sessions, and roles that may not make databases."""

    def test_it_keeps_its_settings_grants_and_owner(self, night: Night) -> None:
        name = name_of(night.url)
        clerk = f"clerk_of_{name}"
        night.run_sql(
            night.url,
            f"DROP ROLE IF EXISTS {clerk}",
            f"CREATE ROLE {clerk} LOGIN",
            f"ALTER DATABASE {name} SET work_mem = '9MB'",
            f'ALTER DATABASE {name} SET search_path = public, "$user"',
            f"ALTER ROLE {clerk} IN DATABASE {name} SET statement_timeout = '7s'",
            f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
            f"GRANT CONNECT, CREATE ON DATABASE {name} TO {clerk}",
            f"GRANT SELECT ON account TO {clerk}",
            f"ALTER DATABASE {name} CONNECTION LIMIT 17",
            f"ALTER DATABASE {name} OWNER TO {clerk}",
        )
        about = (
            "SELECT pg_get_userbyid(datdba)::text, datconnlimit,"
            " (SELECT string_agg(one::text, ';' ORDER BY one::text) FROM unnest(datacl) AS one),"
            " (SELECT string_agg(setrole::regrole || setconfig::text, ';' ORDER BY setrole, setconfig)"
            "  FROM pg_db_role_setting WHERE setdatabase = d.oid)"
            " FROM pg_database AS d WHERE datname = current_database()"
        )
        before = night.run_sql(night.url, about)
        backup = take_backup(night.url, night.settings.backups)
        done = night.roll_back(to=backup.backup_id)
        assert (night.run_sql(night.url, about), done.remarks) == (before, [])
        assert night.run_sql(night.url, f"SELECT has_table_privilege('{clerk}', 'account', 'SELECT')") == [(True,)]

    def test_whoever_is_still_in_it_is_disconnected(self, night: Night) -> None:
        with open_target(night.url) as other:
            assert other.count("account") == 3
            done = night.roll_back(to=night.loaded.backup_id)
            with pytest.raises(MigrationError, match="the connection was lost"):
                other.count("account")
        assert night.rows is not None
        assert done.kept.endswith(Path(done.kept).name)

    @pytest.fixture
    def clerks(self, night: Night) -> Night:
        """Return the night of a role that owns the database and its tables, and may not make databases."""
        name = name_of(night.url)
        clerk = f"owner_of_{name}"
        tables = [
            table
            for (table,) in night.run_sql(
                night.url, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
            )
        ]
        night.run_sql(
            night.url,
            f"DROP ROLE IF EXISTS {clerk}",
            f"CREATE ROLE {clerk} LOGIN",
            f"ALTER DATABASE {name} OWNER TO {clerk}",
            *(f'ALTER TABLE "{table}" OWNER TO {clerk}' for table in tables),
            "CREATE SCHEMA audit",
            "CREATE TABLE audit.entry (words text)",
            f"GRANT USAGE ON SCHEMA audit TO {clerk}",
            f"GRANT SELECT ON audit.entry TO {clerk}",
        )
        url = night.url.replace("postgres@/", f"{clerk}@/")
        settings = night.settings.model_copy(update={"target_db": url})
        loaded = take_backup(url, settings.backups)
        return Night(url, settings, night.before, loaded, night.api, night.run_sql, night.made_again)

    def test_without_the_right_to_make_databases_it_is_restored_in_one_transaction(self, clerks: Night) -> None:
        loaded = content(clerks.url)
        clerks.run_sql(clerks.url, *CHANGES, "CREATE TABLE note (words text)", "DROP TABLE migration_defect")
        # another schema is another's: neither in the way nor lost
        clerks.run_sql(as_owner(clerks), "INSERT INTO audit.entry VALUES ('since')")
        done = clerks.roll_back(to=clerks.loaded.backup_id, discard_changes=True)
        assert content(clerks.url) == loaded
        assert clerks.run_sql(clerks.url, "SELECT count(*) FROM pg_tables WHERE tablename = 'note'") == [(0,)]
        assert clerks.run_sql(clerks.url, "SELECT words FROM audit.entry") == [("since",)]
        assert (Path(done.kept).read_bytes()[:5], clerks.api.commands) == (b"PGDMP", ["stop", "start"])

    def test_a_table_of_another_role_beside_ours_is_told_before_anything_is_stopped(self, clerks: Night) -> None:
        clerks.run_sql(as_owner(clerks), "CREATE TABLE note (words text)", "GRANT SELECT ON note TO PUBLIC")
        told = clerks.refused(to=clerks.loaded.backup_id, discard_changes=True)
        assert (told.why, clerks.api.commands) == ("this role does not own public.note", [])

    def test_what_fails_within_the_transaction_leaves_the_target_as_it_was(self, clerks: Night) -> None:
        clerks.run_sql(clerks.url, "CREATE TABLE note (words text)", "CREATE VIEW words AS SELECT * FROM note")
        before = content(clerks.url)
        told = clerks.refused(to=clerks.loaded.backup_id, discard_changes=True)
        assert told.why.startswith("psql failed: cannot drop table ")
        assert "The target is as it was; the service was started (" in told.remedy
        assert (content(clerks.url), clerks.api.runs) == (before, True)

    def test_figures_that_do_not_hold_undo_the_transaction(self, clerks: Night) -> None:
        """A role that cannot restore to a scratch database has its rows counted; the amounts are proved on the way."""
        manifest = clerks.loaded.folder / "backup.json"
        entries = json.loads(manifest.read_text())
        entries["figures"]["tables"]["transaction"]["totals"]["amount"] += 1
        manifest.write_text(json.dumps(entries))
        before = content(clerks.url)
        told = clerks.refused(to=clerks.loaded.backup_id)
        assert told.why == "psql failed: accounts_migration: table transaction does not hold what was backed up"
        assert (content(clerks.url), clerks.api.runs) == (before, True)
