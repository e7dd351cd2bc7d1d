"""`accounts-migration copy` with a role that may not do all that it has to: refused before anything is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accounts_migration_tests.commands import Here, change
from accounts_migration_tests.platform_rows import ODD, write_platform

RunSql = Callable[..., list[tuple[Any, ...]]]


def test_what_the_role_lacks_is_named_before_the_source_is_read(
    postgres_url: str, tmp_path: Path, here: Here, run_sql: RunSql
) -> None:
    source = write_platform(tmp_path / "accounts.db", ODD)
    change(source, "CREATE TABLE note (words text); CREATE TABLE memo (words text)")
    assert here("copy", source, postgres_url, "--all-tables").status == 0
    change(source, "UPDATE account SET balance = balance + 1; INSERT INTO note VALUES ('new')")
    backups = tmp_path / "var" / "backups"
    kept = sorted(backups.iterdir())
    role = f"copying_{postgres_url.partition('//postgres@/')[2].partition('?')[0]}"

    def lacking(*options: str) -> str:
        said = here("copy", source, postgres_url.replace("//postgres@", f"//{role}@"), *options)
        assert (said.status, "is refused, nothing was written" in said.err) == (1, True), said
        assert "Grant these rights, or copy as the owner of the database" in said.err
        assert sorted(backups.iterdir()) == kept, "not even a snapshot is taken"
        [line] = [line for line in said.err.splitlines() if "target_rights: " in line]
        return line.partition("target_rights: ")[2].replace(f"{role} ", "")

    run_sql(
        postgres_url,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        f"REVOKE DELETE, UPDATE ON account FROM {role}",
        f"REVOKE INSERT ON copy_defect FROM {role}",
        f"ALTER TABLE memo OWNER TO {role}",
    )
    by_itself = "lacks UPDATE, DELETE on the table account; lacks INSERT on the table copy_defect"
    others = "lacks CREATE on the schema public; does not own the table note, which an earlier copy brought"
    assert lacking() == by_itself
    assert lacking("--all-tables") == f"{by_itself}; {others}"
