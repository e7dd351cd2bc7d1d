"""The fixtures of backups and rollbacks.

For rollbacks a target is migrated once for each engine; each test has a copy of it, and backups and a service of its
own.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.databases.target import open_target
from accounts_migration.operations.backup import list_backups, take_backup
from accounts_migration.settings import Settings
from accounts_migration_tests.operations.api import Api
from accounts_migration_tests.operations.night import Night, make_again
from accounts_migration_tests.operations.rolling_back import RollingBack


@pytest.fixture
def backup_dir(tmp_path: Path) -> Path:
    """Return BACKUP_DIR, which is not there yet."""
    return tmp_path / "backups"


@pytest.fixture
def loaded(target_url: str, bank: Any) -> str:
    """Return a target with 2 products, 2 customers, 3 accounts, 40 transactions and a table of somebody else."""
    with open_target(target_url) as target:
        target.prepare()
        bank.load_parents(target)
        bank.load(target, "transaction", bank.transaction(*range(1, 41)), "2024-03")
        target.constrain()
        target.session.execute("CREATE TABLE note (words text, place int)")
        target.session.execute("INSERT INTO note VALUES ('one', 1), (NULL, NULL)")
    return target_url


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def migrated(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    new_target: Any,
    open_migration: Any,
    copy_postgres: Any,
) -> tuple[Settings, str]:
    """Migrate once and take a backup of it; return the settings, and a copy of the target that nobody touches."""
    folder = tmp_path_factory.mktemp("migrated")
    url = new_target(request.param, folder)
    with open_migration(folder, url) as migration:
        migration.migrate()
    take_backup(url, migration.settings.backups)
    if "://" in url:
        return migration.settings, copy_postgres(url)
    return migration.settings, str(shutil.copy(url, folder / "model"))


@pytest.fixture
def night(migrated: tuple[Settings, str], tmp_path: Path, run_sql: Any) -> Iterator[Night]:
    """Return a migrated target, its two backups for this test alone, and a service that runs."""
    settings, model = migrated
    api = Api(tmp_path / "api")
    shutil.copytree(settings.backups, tmp_path / "backups")
    changed = {"backup_dir": tmp_path / "backups", "log_dir": tmp_path / "logs", **api.settings}
    url = str(settings.target_db)

    def made_again() -> None:
        make_again(url, model, run_sql)

    made_again()
    api.start()
    loaded, before = list_backups(tmp_path / "backups")
    try:
        yield Night(url, settings.model_copy(update=changed), before, loaded, api, run_sql, made_again)
    finally:
        api.end()


@pytest.fixture(scope="session")
def rolling_back() -> Iterator[RollingBack]:
    process = RollingBack()
    try:
        yield process
    finally:
        process.close()
