"""Settings: the environment, `.env` and a TOML file -> typed values. The only place that reads the environment.

Here: names, defaults and forms of settings. Not here: what a policy does (`accounts_migration.entities.policies`).
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from accounts_migration.databases.postgres_url import postgres_url
from accounts_migration.entities.policies import Policies
from accounts_migration.errors import UsageError
from accounts_migration.preflight.window import checked_window

_POLICY_FILE = "migration.toml"
_EMPTY_MEANS_NONE = ("SERVICE_STOP", "SERVICE_START", "SERVICE_HEALTH_URL")
_MONTH = r"^(19[0-9]{2}|20[0-9]{2}|2100)-(0[1-9]|1[0-2])$"

# the word that stands for a URL in these settings: that of the database which the settings POSTGRES_... name
_POSTGRES = "postgresql"
_ADDRESSES = ("target_db", "copy_from", "copy_to")


def _checked_host(text: str) -> str:
    if re.search(r"[\s@?#]|//", text) or (text.count(":") == 1 and not text.startswith("/")):
        raise ValueError("a name, an address or the folder of a socket is wanted, without port and user")
    return text


def _checked_file(path: Path) -> Path:
    if not path.expanduser().is_file():
        raise ValueError("there is no such file")
    return path.expanduser().absolute()


def _checked_authorities(text: str) -> str:
    return text if text == "system" else str(_checked_file(Path(text)))


_File = Annotated[Path, AfterValidator(_checked_file)]


class PostgresSettings(BaseSettings):
    """The database that the word `postgresql` means, each field read from POSTGRES_ and its name in capitals.

    They are read when the word is used, and not before: other programs set variables of these names. What is not set is
    found by libpq, as in PGHOST, PGPASSWORD, .pgpass or a service file.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_prefix="POSTGRES_", env_ignore_empty=True, extra="ignore", frozen=True
    )

    host: Annotated[str, AfterValidator(_checked_host)] | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    database: str | None = None
    user: str | None = None
    password: str | None = Field(default=None, repr=False)
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    sslrootcert: Annotated[str, AfterValidator(_checked_authorities)] | None = None
    sslcert: _File | None = None
    sslkey: _File | None = None

    @property
    def url(self) -> str:
        """Return the database's URL; it may hold the password."""
        ways = {name: getattr(self, name) for name in ("sslmode", "sslrootcert", "sslcert", "sslkey")}
        return postgres_url(
            host=self.host,
            port=self.port,
            database=self.database,
            user=self.user,
            password=self.password,
            **{name: str(value) for name, value in ways.items() if value is not None},
        )


class Settings(BaseSettings):
    """Where things are; each field is read from the environment variable of its name in capitals."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    # repr=False: what may hold a password or a token is not printed
    source_db: Path | None = Field(default=None, description="the legacy SQLite file")
    target_db: str | None = Field(default=None, repr=False, description="a path, sqlite:///... or postgresql://...")
    copy_from: str | None = Field(default=None, repr=False, description="the database that is copied, as TARGET_DB")
    copy_to: str | None = Field(default=None, repr=False, description="the one that is copied into, as TARGET_DB")
    migration_home: Path = Field(default=Path("var"), description="state: instance, staging, locks")
    backup_dir: Path | None = Field(default=None, description="snapshots and backups; default MIGRATION_HOME/backups")
    log_dir: Path | None = Field(default=None, description="log of each run; default MIGRATION_HOME/logs")
    staging: str | None = Field(default=None, description="folder or fsspec URL; default MIGRATION_HOME/staging")
    dagster_home: Path | None = Field(default=None, description="default MIGRATION_HOME/dagster")
    migration_policies: Path | None = Field(default=None, description="TOML file with a table [policies]")
    pg_dump: Path | None = Field(default=None, description="the program; default found by the server's version")
    backup_retention_days: int = Field(default=30, ge=1, description="older backups of the target are deleted")
    service_stop: str | None = Field(default=None, description="stops the service; default by systemctl, '' for none")
    service_start: str | None = Field(default=None, description="starts the service; default by systemctl")
    service_health_url: str | None = Field(default=None, repr=False, description="default port 6600, /api/health")
    service_timeout: float = Field(default=60, gt=0, description="seconds to stop, to start, to become healthy")
    migration_window: Annotated[str, AfterValidator(checked_window)] | None = Field(
        default=None, description="when the target may be written: 2026-11-28T22:00/2026-11-29T06:00"
    )
    migration_approval_file: Path | None = Field(default=None, description="says which plan, who and when")
    recent_from: Annotated[str, Field(pattern=_MONTH)] | None = Field(
        default=None, description="first month of phase 4; default the 12 latest months of the snapshot"
    )
    smoke_test_urls: str | None = Field(
        default=None, repr=False, description="URLs that must answer, with blanks between"
    )
    smoke_test_timeout: float = Field(default=10, gt=0, description="seconds that a whole answer may take")
    configure_application: str | None = Field(default=None, repr=False, description="command run by finish")
    clear_caches: str | None = Field(default=None, repr=False, description="command run by finish")
    command_timeout: float = Field(default=300, gt=0, description="seconds that such a command may take")
    notify_webhook: str | None = Field(default=None, repr=False, description="URL to post notices to")
    notify_email: str | None = Field(default=None, description="addresses to mail notices to, with commas between")
    notify_from: str | None = Field(default=None, description="their sender; default accounts-migration@HOST")
    smtp_host: str = Field(default="localhost", description="the mail server")
    smtp_port: int | None = Field(default=None, ge=1, le=65535, description="default 587, 465 or 25 by SMTP_SECURITY")
    smtp_security: Literal["starttls", "tls", "none"] = Field(default="starttls", description="starttls, tls or none")
    smtp_user: str | None = Field(default=None, description="login at the mail server; none where it is not set")
    smtp_password: str | None = Field(default=None, repr=False, description="its password")
    archive_dir: Path | None = Field(default=None, description="archives; default MIGRATION_HOME/archive")
    acknowledgements: Path | None = Field(default=None, description="TOML file; default acknowledgements.toml if any")
    policies: Policies = Field(default_factory=Policies)

    @field_validator("*")
    @classmethod
    def _in_utf_8(cls, value: Any) -> Any:
        """Refuse a name that no log and no record can hold: Python has each byte that is not UTF-8 as a surrogate."""
        if any("\ud800" <= letter <= "\udfff" for letter in str(value)):
            raise ValueError("it is not UTF-8, so that no record can name it; rename it, or give a link to it")
        return value

    @property
    def archives(self) -> Path:
        """Return the folder of the archives."""
        return self.archive_dir or self.migration_home / "archive"

    @property
    def backups(self) -> Path:
        """Return the folder of the snapshots and backups."""
        return self.backup_dir or self.migration_home / "backups"

    @property
    def logs(self) -> Path:
        """Return the folder of the run logs."""
        return self.log_dir or self.migration_home / "logs"

    @property
    def staging_location(self) -> str:
        """Return the staging location."""
        return self.staging or str((self.migration_home / "staging").resolve())

    @property
    def instance_folder(self) -> Path:
        """Return the folder of the Dagster instance."""
        return self.dagster_home or self.migration_home / "dagster"


def load_settings(policies: Mapping[str, Any] | None = None, **values: Any) -> Settings:
    """Return the settings: explicit values first, then the environment, `.env`, the TOML file, the defaults.

    Args:
        policies: Policies given on the command line, by name.
        values: Settings given on the command line, by field name; None means not given.

    Raises:
        UsageError: A value is not allowed; the message names the setting, never a password.
    """
    given = {name: value for name, value in values.items() if value is not None}
    try:
        base = _with_addresses(Settings(**(_set_to_nothing() | given)))
        chosen = {**_policies_of_file(base.migration_policies), **_policies_of_environment(), **(policies or {})}
        return base.model_copy(update={"policies": Policies(**chosen)})
    except ValidationError as error:
        raise _not_allowed(error) from error
    except (SettingsError, UnicodeDecodeError) as error:
        raise UsageError(
            "Cannot read the settings",
            why=str(error),
            remedy="Check the environment and .env; POLICIES is none of them",
        ) from error


def _not_allowed(error: ValidationError) -> UsageError:
    prefix = PostgresSettings.model_config["env_prefix"] if error.title == PostgresSettings.__name__ else ""
    problems = (
        f"{prefix.lower()}{'.'.join(str(part) for part in problem['loc'])}: {_fault(problem)}"
        for problem in error.errors()
    )
    return UsageError(
        "A setting is not allowed",
        why="; ".join(problems),
        remedy="See the tables of settings and policies in the README",
    )


def _fault(problem: ErrorDetails) -> str:
    """Return what is wrong with a value; settings of other programs stand beside ours, policies are ours alone."""
    if problem["type"] == "extra_forbidden":
        return "there is no such policy"
    # pydantic's own word before what our validators say
    return problem["msg"].removeprefix("Value error, ")


def _with_addresses(settings: Settings) -> Settings:
    """Return the settings with a URL in the place of the word that stands for one."""
    named = [name for name in _ADDRESSES if getattr(settings, name) == _POSTGRES]
    return settings.model_copy(update=dict.fromkeys(named, PostgresSettings().url)) if named else settings


def _dot_env() -> dict[str, str | None]:
    # pydantic reads it, too, but keeps to itself what is no field, and what is blank
    from dotenv import dotenv_values

    return dotenv_values(".env")


def _policies_of_environment() -> dict[str, str]:
    """Return the policies that the environment or `.env` sets, each by its name in capitals; blank is not set."""
    in_file = _dot_env()
    found = {name: os.environ.get(name.upper()) or in_file.get(name.upper()) for name in Policies.model_fields}
    return {name: value for name, value in found.items() if value}


def _set_to_nothing() -> dict[str, str]:
    """Return the settings that are set to nothing and mean it: "there is no service here"."""
    found = {**_dot_env(), **os.environ}
    return {name.lower(): "" for name in _EMPTY_MEANS_NONE if found.get(name) == ""}


def _policies_of_file(path: Path | None) -> dict[str, Any]:
    path = path or (Path(_POLICY_FILE) if Path(_POLICY_FILE).exists() else None)
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        if set(content) - {"policies"} or not isinstance(content.get("policies", {}), dict):
            raise ValueError(f"it holds {', '.join(content)}; a table [policies] is all that is read")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"Cannot read the policies in {path}",
            why=str(error),
            remedy="Write a TOML file with a table [policies]",
        ) from error
    policies: dict[str, Any] = content.get("policies", {})
    return policies
