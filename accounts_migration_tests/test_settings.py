"""Settings: where each is read from, which of two counts, and that a wrong one is named and no password with it."""

from pathlib import Path
from typing import Any

import pytest

from accounts_migration.entities.policies import Policies
from accounts_migration.errors import UsageError
from accounts_migration.settings import PostgresSettings, load_settings
from accounts_migration_tests.commands import SETTING_NAMES

SECRET = "postgresql://clerk:s3cret@bank.example/accounts"  # noqa: S105  # of nobody


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin in an empty folder with none of our variables set."""
    monkeypatch.chdir(tmp_path)
    for name in SETTING_NAMES:
        monkeypatch.delenv(name, raising=False)


def refusal(policies: dict[str, Any] | None = None, **values: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load_settings(policies, **values)
    assert caught.value.remedy
    return caught.value


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert (settings.source_db, settings.target_db) == (None, None)
    assert settings.policies == Policies(), "whose values `entities/test_policies` names"


def test_all_state_stands_below_the_home_unless_it_is_placed_elsewhere(tmp_path: Path) -> None:
    settings = load_settings(migration_home="home")
    assert settings.backups == Path("home/backups")
    assert settings.logs == Path("home/logs")
    assert settings.instance_folder == Path("home/dagster")
    assert settings.staging_location == str(tmp_path / "home" / "staging")
    settings = load_settings(backup_dir="b", log_dir="l", dagster_home="d", staging="memory://s")
    assert (settings.backups, settings.logs, settings.instance_folder) == (Path("b"), Path("l"), Path("d"))
    assert settings.staging_location == "memory://s"


def test_a_setting_comes_from_the_command_then_the_environment_then_dot_env(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("SOURCE_DB=dot-env.db\n")
    assert load_settings().source_db == Path("dot-env.db")
    monkeypatch.setenv("SOURCE_DB", "environment.db")
    assert load_settings().source_db == Path("environment.db")
    assert load_settings(source_db=None).source_db == Path("environment.db")
    assert load_settings(source_db="command.db").source_db == Path("command.db")


def test_a_policy_comes_from_the_command_then_the_environment_then_dot_env_then_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "migration.toml").write_text("[policies]\nmax_reject_rate = 0.1\nletter_case = 'keep'\n")
    assert load_settings().policies == Policies(max_reject_rate=0.1, letter_case="keep")
    (tmp_path / ".env").write_text("MAX_REJECT_RATE=0.2\n")
    assert load_settings().policies == Policies(max_reject_rate=0.2, letter_case="keep")
    monkeypatch.setenv("MAX_REJECT_RATE", "0.3")
    assert load_settings().policies == Policies(max_reject_rate=0.3, letter_case="keep")
    assert load_settings({"max_reject_rate": "0.4"}).policies == Policies(max_reject_rate=0.4, letter_case="keep")


def test_a_blank_variable_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("SOURCE_DB=dot-env.db\nTARGET_DB=\nLETTER_CASE=keep\nMAX_REJECT_RATE=\n")
    for name in ("SOURCE_DB", "DAGSTER_HOME", "MIGRATION_POLICIES", "LETTER_CASE", "INVALID_EMAIL"):
        monkeypatch.setenv(name, "")
    settings = load_settings()
    assert (settings.source_db, settings.target_db) == (Path("dot-env.db"), None)
    assert settings.instance_folder == Path("var/dagster")
    assert settings.policies == Policies(letter_case="keep")


def test_another_file_of_policies_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "migration.toml").write_text("[policies]\nletter_case = 'keep'\n")
    (tmp_path / "bank.toml").write_text("[policies]\ninvalid_email = 'null'\n")
    monkeypatch.setenv("MIGRATION_POLICIES", "bank.toml")
    assert load_settings().policies == Policies(invalid_email="null")


def test_every_policy_may_be_written_in_a_line_or_in_toml(tmp_path: Path) -> None:
    (tmp_path / "migration.toml").write_text(
        '[policies]\ndate_formats = ["%d/%m/%Y", "%Y%m%d"]\nlegacy_encoding = "cp1252"\ninactive_parents = "exclude"\n'
        'product_type = {SAV = "CHECKING", loan = "CURRENT"}\n'
    )
    in_toml = load_settings().policies
    (tmp_path / "migration.toml").unlink()
    in_a_line = load_settings(
        {
            "date_formats": "%d/%m/%Y;%Y%m%d",
            "legacy_encoding": "cp1252",
            "inactive_parents": "exclude",
            "product_type": "SAV=CHECKING, loan = CURRENT",
        }
    ).policies
    assert in_a_line == in_toml
    assert in_toml.date_formats == ("%d/%m/%Y", "%Y%m%d")
    assert in_toml.product_types == {"CHK": "CHECKING", "CUR": "CURRENT", "SAV": "CHECKING", "LOAN": "CURRENT"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_reject_rate", "1.01"),
        ("max_reject_rate", "-0.1"),
        ("max_reject_rate", "nan"),
        ("max_reject_rate", "5%"),
        ("inactive_parents", "include"),
        ("invalid_email", "NULL"),
        ("letter_case", "upper"),
        ("date_formats", "%d.%m."),
        ("date_formats", "%Y-%Q"),
        ("legacy_encoding", "cp9999"),
        ("legacy_encoding", "rot13"),
        ("legacy_encoding", "hex"),
        ("product_type", "SAV"),
        ("product_type", "SAV=SAVINGS"),
        ("account_status", "D=DORMANT"),
        ("transaction_type", "XX=TRANSFER"),
        ("max_rejects", "0.1"),
    ],
)
def test_a_wrong_policy_is_named_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert name in refusal({name: value}).why
    (tmp_path / "migration.toml").write_text(f'[policies]\n{name} = "{value}"\n')
    assert name in refusal().why
    (tmp_path / "migration.toml").unlink()
    if name in Policies.model_fields:
        monkeypatch.setenv(name.upper(), value)
        assert name in refusal().why


def test_all_wrong_policies_are_named_at_once() -> None:
    why = refusal({"max_reject_rate": "2", "letter_case": "upper"}).why
    assert "max_reject_rate" in why
    assert "letter_case" in why


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[policies\n", "Cannot read the policies in migration.toml"),
        (b"policies = 3\n", "Cannot read the policies in migration.toml"),
        (b"max_reject_rate = 0.1\n", "it holds max_reject_rate"),
        (b"[policy]\nmax_reject_rate = 0.1\n", "it holds policy"),
        (b'[policies]\nletter_case = "\xff"\n', "Cannot read the policies in migration.toml"),
    ],
)
def test_a_file_of_policies_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "migration.toml").write_bytes(content)
    assert told in str(refusal())


def test_a_named_file_of_policies_must_exist() -> None:
    assert refusal(migration_policies="none.toml").what == "Cannot read the policies in none.toml"


def test_an_empty_file_of_policies_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "migration.toml").write_text("")
    assert load_settings().policies == Policies()


@pytest.mark.parametrize("where", ["command", "environment", "dot-env"])
def test_no_password_shows_in_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    if where == "environment":
        monkeypatch.setenv("TARGET_DB", SECRET)
    if where == "dot-env":
        (tmp_path / ".env").write_text(f"TARGET_DB={SECRET}\n")
    values: dict[str, Any] = {"target_db": SECRET} if where == "command" else {}
    monkeypatch.setenv("MAX_REJECT_RATE", "2")
    assert "s3cret" not in str(refusal(**values))
    monkeypatch.setenv("POLICIES", "nonsense")
    assert "s3cret" not in str(refusal(**values))


def test_a_password_does_not_show_where_settings_are_printed() -> None:
    settings = load_settings(target_db=SECRET)
    assert settings.target_db == SECRET
    assert "s3cret" not in f"{settings} {settings!r}"


def test_a_target_of_the_wrong_type_is_refused_without_its_text() -> None:
    error = refusal(target_db=[SECRET])
    assert "target_db" in error.why
    assert "s3cret" not in str(error)


def test_settings_and_policies_cannot_be_changed_afterwards() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.target_db = "other.db"
    with pytest.raises(ValueError, match="frozen"):
        settings.policies.max_reject_rate = 1


def test_policies_that_differ_have_another_digest() -> None:
    digests = [
        Policies().digest,
        Policies(max_reject_rate=0.1).digest,
        Policies(letter_case="keep").digest,
        Policies(product_type={"SAV": "CHECKING"}).digest,
        Policies(date_formats=("%d/%m/%Y", "%m/%d/%Y")).digest,
        Policies(date_formats=("%m/%d/%Y", "%d/%m/%Y")).digest,
    ]
    assert len(set(digests)) == len(digests)
    assert Policies().digest == Policies(max_reject_rate=0).digest


def test_what_may_hold_a_password_or_a_token_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hush-4711"  # noqa: S105  # of nobody
    for name in ("SMTP_PASSWORD", "CONFIGURE_APPLICATION", "CLEAR_CACHES"):
        monkeypatch.setenv(name, secret)
    for name in ("TARGET_DB", "SERVICE_HEALTH_URL", "SMOKE_TEST_URLS", "NOTIFY_WEBHOOK"):
        monkeypatch.setenv(name, f"https://me:{secret}@bank.example/?key={secret}")
    settings = load_settings()
    assert settings.smtp_password == secret
    assert secret not in repr(settings) + str(settings)


def test_a_wrong_setting_of_a_mail_server_is_named() -> None:
    assert "smtp_port" in refusal(smtp_port=0).why
    assert "'starttls', 'tls' or 'none'" in refusal(smtp_security="ssl").why
    assert "command_timeout" in refusal(command_timeout=0).why


def test_the_word_postgresql_is_the_database_that_its_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("POSTGRES_HOST", "db.example")
    monkeypatch.setenv("POSTGRES_PASSWORD", "p@ss w:rd")
    (tmp_path / ".env").write_text(
        "POSTGRES_PORT=5433\nPOSTGRES_USER=clerk\nPOSTGRES_DATABASE=bank\nPOSTGRES_SSLMODE=verify-full\n"
        "POSTGRES_SSLROOTCERT=ca.pem\nPOSTGRES_SSLCERT=\n"
    )
    url = f"postgresql://clerk:p%40ss%20w%3Ard@db.example:5433/bank?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem"
    settings = load_settings(target_db="postgresql", copy_from="postgresql", copy_to="other.db")
    assert (settings.target_db, settings.copy_from, settings.copy_to) == (url, url, "other.db")
    monkeypatch.setenv("TARGET_DB", "postgresql")
    assert load_settings().target_db == url
    assert "p@ss" not in repr(load_settings()) + repr(PostgresSettings())


def test_without_settings_the_word_postgresql_leaves_everything_to_libpq() -> None:
    assert load_settings(target_db="postgresql").target_db == "postgresql://"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("PORT", "tcp://10.0.0.1:5432", "Input should be a valid integer, unable to parse string as an integer"),
        ("PORT", "65536", "Input should be less than or equal to 65535"),
        (
            "SSLMODE",
            "full",
            "Input should be 'disable', 'allow', 'prefer', 'require', 'verify-ca' or 'verify-full'",
        ),
        ("SSLROOTCERT", "missing.pem", "there is no such file"),
        ("SSLKEY", "missing.pem", "there is no such file"),
        (
            "HOST",
            "db.example:5432",
            "a name, an address or the folder of a socket is wanted, without port and user",
        ),
    ],
)
def test_a_postgres_setting_of_the_wrong_form_is_named_where_it_is_used_and_only_there(
    name: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"POSTGRES_{name}", value)
    monkeypatch.setenv("POSTGRES_PASSWORD", "s3cret")
    assert load_settings(target_db="accounts.db").target_db == "accounts.db"
    error = refusal(target_db="postgresql")
    assert error.why == f"postgres_{name.lower()}: {why}"
    assert "s3cret" not in str(error)
