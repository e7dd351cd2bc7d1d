"""What the command line cannot use: exit status 1 or 2, one clear message, and nothing is touched."""

from collections.abc import Callable
from pathlib import Path

import pytest

from accounts_migration.databases.postgres_url import display_name
from accounts_migration_tests.commands import PASSWORD, Here, change, write_bank

REFUSED: dict[str, tuple[list[str], str]] = {
    "no source": (["no.db", "accounts.db"], "no.db: there is no such file. Check its path; nothing was"),
    "not SQLite": (["text.txt", "accounts.db"], "text.txt: it is not a SQLite database. Name a SQLite 3 file"),
    "damaged structure": (["empty.db", "accounts.db"], "is not complete: missing: table legacy_products, table"),
    "target is text": (["legacy.db", "text.txt"], "it is not a SQLite database"),
    "target's folder is missing": (["legacy.db", "no/accounts.db"], "there is no folder"),
    "foreign rows": (["legacy.db", "foreign.db"], "holds rows that this migration did not write"),
    "incompatible": (["legacy.db", "other.db"], "product_name"),
    "no server": (["legacy.db", f"postgresql://me:{PASSWORD}@127.0.0.1:1/bank"], "no server listens there"),
    "no socket": (["legacy.db", f"postgresql://me@/bank?host=/nowhere&password={PASSWORD}"], "no server listens on"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_ends_with_1_and_one_clear_message(case: str, tmp_path: Path, here: Here) -> None:
    words, message = REFUSED[case]
    write_bank(tmp_path / "legacy.db")
    (tmp_path / "text.txt").write_text("no database at all\n")
    change(tmp_path / "empty.db", "CREATE TABLE something (x)")
    change(tmp_path / "other.db", "CREATE TABLE product (product_id TEXT PRIMARY KEY, product_name INTEGER NOT NULL)")
    change(
        tmp_path / "foreign.db",
        f"CREATE TABLE product (product_id TEXT NOT NULL PRIMARY KEY, {TYPED_COLUMNS})",
        "INSERT INTO product VALUES ('PROD-001', 'x', 'CHECKING', 0, 0, 0, 0, '2024-01-01')",
    )
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    said = here("migrate", *words)
    assert said.status == 1
    assert message in " ".join(said.err.split()).replace(" why: ", ": ").replace(" what to do: ", ". ")
    assert PASSWORD not in said.out + said.err + "".join(path.read_text() for path in tmp_path.glob("var/logs/*"))
    assert {name: (tmp_path / name).read_bytes() for name in before} == before, "nothing was touched"
    assert not [name for name in ("no.db", "accounts.db", "no") if (tmp_path / name).exists()]


TYPED_COLUMNS = (
    "product_name TEXT NOT NULL, product_type TEXT NOT NULL, interest_rate DECIMAL(9, 6) NOT NULL,"
    " transaction_fee DECIMAL(15, 2) NOT NULL, monthly_fee DECIMAL(15, 2) NOT NULL,"
    " min_balance_for_interest DECIMAL(15, 2) NOT NULL, created_at TEXT NOT NULL"
)


WRONG: dict[str, tuple[list[str], str]] = {
    "no command": (["migrat"], "No such command"),
    "no option": (["migrate", "legacy.db", "accounts.db", "--fast"], "No such option"),
    "too many words": (["migrate", "legacy.db", "accounts.db", "third.db"], "unexpected extra argument"),
    "nothing": (["migrate"], "SOURCE_DB"),
    "no target": (["migrate", "legacy.db"], "TARGET_DB"),
    "no target to list": (["defects"], "TARGET_DB"),
    "scheme of the target": (["migrate", "legacy.db", f"mysql://me:{PASSWORD}@host/bank"], "begins with mysql://"),
    "memory": (["migrate", "legacy.db", ":memory:"], "it names no file"),
    "URL": (["migrate", "legacy.db", f"postgresql://me:{PASSWORD}@host/bank#x"], "percent-encoded"),
    "source that is not UTF-8": (["migrate", "legacy\udcff.db", "accounts.db"], "source_db: it is not UTF-8"),
    "target that is not UTF-8": (["migrate", "legacy.db", "sqlite:///t\udcff.db"], "target_db: it is not UTF-8"),
    "copy that is not UTF-8": (["copy", "legacy.db", "t\udcff.db"], "copy_to: it is not UTF-8"),
    "links in a circle": (["migrate", "circle.db", "accounts.db"], "why: its links lead in a circle"),
    "target in a circle": (["migrate", "legacy.db", "circle.db"], "Cannot use circle.db"),
    "home of nobody": (["migrate", "legacy.db", "~nobody-4711/t.db"], "nobody here has a home"),
    "connection string": (["migrate", "legacy.db", f"host=h user=u password={PASSWORD}"], "is not understood here"),
    "itself": (["migrate", "legacy.db", "legacy.db"], "are the same file"),
    "itself, by a link": (["migrate", "legacy.db", "sqlite:///link.db"], "are the same file"),
    "unknown policy": (["migrate", "legacy.db", "accounts.db", "--policy", "colour=red"], "there is no such policy"),
    "policy without value": (["migrate", "legacy.db", "accounts.db", "--policy", "letter_case"], "it has no value"),
    "share": (["migrate", "legacy.db", "accounts.db", "--policy", "max_reject_rate=2"], "less than or equal to 1"),
    "no number": (["migrate", "legacy.db", "accounts.db", "--policy", "max_reject_rate=nan"], "max_reject_rate"),
    "choice": (["migrate", "legacy.db", "accounts.db", "--policy", "letter_case=upper"], "'title' or 'keep'"),
    "code": (["migrate", "legacy.db", "accounts.db", "--policy", "product_type=SAV=SAVINGS"], "not to 'SAVINGS'"),
    "no text": (["migrate", "legacy.db", "accounts.db", "--policy", "legacy_encoding=hex"], "code page 'hex'"),
    "no directive": (["migrate", "legacy.db", "accounts.db", "--policy", "date_formats=%Q%Y"], "cannot be used"),
    "no year": (["migrate", "legacy.db", "accounts.db", "--policy", "date_formats=%d/%m"], "names no year"),
    "summary": (["migrate", "legacy.db", "accounts.db", "--json", "no/such.json"], "its folder is missing"),
    "list": (["defects", "accounts.db", "--output", "no/such.csv"], "its folder is missing"),
    "entity": (["defects", "accounts.db", "--entity", "branch"], "product, customer, account, transaction"),
    "format": (["defects", "accounts.db", "--format", "xml"], "xml"),
    "share of dirt": (["demo-source", "demo.db", "--dirt", "1.5"], "--dirt"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_ends_with_2_and_nothing_is_written(case: str, tmp_path: Path, here: Here) -> None:
    words, message = WRONG[case]
    write_bank(tmp_path / "legacy.db")
    (tmp_path / "link.db").symlink_to("legacy.db")
    (tmp_path / "circle.db").symlink_to("circle.db")
    before = (tmp_path / "legacy.db").read_bytes()
    said = here(*words)
    assert said.status == 2
    assert message in " ".join(said.err.replace("│", " ").split())
    assert PASSWORD not in said.out + said.err
    assert {path.name for path in tmp_path.iterdir()} - {"var"} == {"legacy.db", "link.db", "circle.db"}
    assert (tmp_path / "legacy.db").read_bytes() == before


def test_a_target_without_a_source_ends_with_2(tmp_path: Path, here: Here) -> None:
    said = here("migrate", TARGET_DB="accounts.db")
    assert (said.status, "Set SOURCE_DB, or name SOURCE" in said.err) == (2, True), said
    assert not (tmp_path / "accounts.db").exists()


CONFIGURED: dict[str, tuple[dict[str, str], str, str]] = {
    "not TOML": ({}, "max_reject_rate 0.5", "migration.toml"),
    "no table": ({}, "policies = 3", "a table [policies] is all that is read"),
    "another table": ({}, "[policy]\nmax_reject_rate = 0.5", "a table [policies] is all that is read"),
    "unknown policy": ({}, "[policies]\nmax_rejects = 0.5", "max_rejects: there is no such policy"),
    "file is missing": ({"MIGRATION_POLICIES": "none.toml"}, "", "none.toml"),
    "value in the environment": ({"MAX_REJECT_RATE": "half"}, "", "max_reject_rate"),
    "all policies in one variable": ({"POLICIES": "half"}, "", "policies"),
}


@pytest.mark.parametrize("case", CONFIGURED)
def test_a_wrong_configuration_ends_with_2(case: str, tmp_path: Path, here: Here) -> None:
    settings, toml, message = CONFIGURED[case]
    (tmp_path / "migration.toml").write_text(toml)
    said = here("migrate", write_bank(tmp_path / "legacy.db"), "accounts.db", **settings)
    assert (said.status, message in said.err) == (2, True), said.err


def test_of_many_rejects_those_are_shown_that_are_wrong_themselves(tmp_path: Path, here: Here) -> None:
    """Whatever is rejected with its parent follows when the parent is mended."""
    children = ", ".join(f"({100 + n}, 10, 'CR', 1, 1, NULL, '2024-01-05')" for n in range(30))
    write_bank(
        tmp_path / "legacy.db",
        "UPDATE legacy_accounts SET current_balance = 'much' WHERE account_number = 10",
        f"INSERT INTO legacy_transactions VALUES {children}, (200, 11, 'CR', 1.001, 1, NULL, '2024-03-05')",  # noqa: S608
    )
    said = here("migrate", "legacy.db", "accounts.db")
    assert said.status == 1
    assert (said.out.count("SUB_CENT"), said.out.count("PARENT_REJECTED")) == (1, 19)
    assert said.out.index("SUB_CENT") < said.out.index("PARENT_REJECTED")


def test_a_policy_file_that_is_not_utf_8_is_told(tmp_path: Path, here: Here) -> None:
    (tmp_path / "migration.toml").write_bytes(b"# B\xf6rse\n")
    assert here("migrate", write_bank(tmp_path / "legacy.db"), "accounts.db").status == 2


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("2024-13", "Cannot read the batches '2024-13'"),
        ("2024-03..2024-01", "Cannot read the batches"),
        ("march", "Cannot read the batches 'march'"),
        ("2031-01", "There is no batch 2031-01"),
        ("undated", "There is no batch undated"),
    ],
)
def test_an_unknown_batch_ends_with_2_and_loads_nothing(word: str, message: str, tmp_path: Path, here: Here) -> None:
    said = here("migrate", write_bank(tmp_path / "legacy.db"), "accounts.db", "--batches", word)
    assert (said.status, message in said.err) == (2, True), said.err
    assert not (tmp_path / "accounts.db").exists()
    # what is not even a batch is refused before the source is read
    assert ("snapshot" in said.err) == message.startswith("There is no batch")


@pytest.mark.parametrize(
    ("name", "setting", "why"),
    [
        ("clerk", "", "target_rights: clerk lacks CREATE on the schema public"),
        ("auditor", "SET default_transaction_read_only = on", "it is read-only for this role"),
    ],
)
def test_a_role_that_may_not_create_the_tables_is_told_why(
    name: str, setting: str, why: str, postgres_url: str, run_sql: Callable[..., object], tmp_path: Path, here: Here
) -> None:
    run_sql(postgres_url, f"CREATE ROLE {name} LOGIN", f"ALTER ROLE {name} {setting}")
    said = here("migrate", write_bank(tmp_path / "legacy.db"), postgres_url.replace("//postgres@", f"//{name}@"))
    assert said.status == 1
    target = display_name(postgres_url).replace("postgres@", f"{name}@")
    assert f"The migration into {target} is refused, nothing was written" in said.err
    assert why in said.err
    assert "is missing" not in said.err
