"""Personal data and passwords stand in no event, log line, check result or report on the instance (contract 8)."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from accounts_migration.entities.cleaning import Cleaned, clean
from accounts_migration_tests.commands import runs_and_events

PASSWORD = "zq-s3cret-pw"  # noqa: S105  # given in a URL, to be looked for
BROKEN = (5, "ZQFIVE", "ZQFIVE\0", b"\x00zqblob", 5551234567891, "ZQNEVER", "ACTIVE")


def everything_stored(instance: dg.DagsterInstance, folder: Path) -> str:
    """Return all that the runs left on the instance as one text: its storage as objects, and all its files as bytes."""
    files = [path.read_bytes().decode("latin-1") for path in sorted(folder.rglob("*")) if path.is_file()]
    return "\n".join([runs_and_events(instance), *files])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stored(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
    new_legacy_rows: Callable[[], Any],
    run_sql: Callable[..., Any],
) -> Iterator[str]:
    """Migrate rows with defects, tamper with the target, assess, verify, and be refused; return all that was stored."""
    folder = tmp_path_factory.mktemp("personal")
    rows = new_legacy_rows()
    rows["legacy_customers"].append(BROKEN)
    rows["legacy_transactions"].append((12, 1, "XX", "zqnumber", None, "zq secret\0", "2024-02-09"))
    url = new_target(request.param, folder)
    if request.param == "postgresql":
        url = url.replace("://postgres@", f"://postgres:{PASSWORD}@")
        assert PASSWORD in url
    with open_migration(folder, url, rows, max_reject_rate=0.5) as migration:
        migration.migrate()
        run_sql(
            url,
            "UPDATE customer SET first_name = 'Zqother', email = 'zq.other@example.com', phone = '555-ZQ9'",
            """UPDATE "transaction" SET reference = 'zq other'""",
        )
        assert migration.run(job="assess").success
        assert migration.run(job="verify").success
        assert migration.checks("validation/content")["customer", None] == "FAILED"
        assert not migration.under(letter_case="keep").run("target/customer").success
        assert not migration.under(max_reject_rate=0.1).run("cleaned/products", "cleaned/customers").success
        yield everything_stored(migration.instance, folder / "dagster")


@pytest.mark.parametrize(
    "marker",
    [
        *("ZQADA", "ZQBYRON", "zqgrace", "zqhopper", "zqalan", "zqturing", "zqidle", "zqhands", "zqfive", "zqother"),
        *("zq.ada", "zq.alan", "zq.idle", "zq.other", "example.com"),
        *("555-ZQ", "5551234567891"),
        *("zq salary", "zq fee", "zq sub-cent", "zq twice", "zq orphaned", "zq blank", "zq undated", "zq secret"),
        *("zq other", "zqblob", b"zqblob".hex()),
        PASSWORD,
    ],
)
def test_what_names_or_reaches_a_person_is_not_stored(stored: str, marker: str) -> None:
    assert marker.lower() not in stored.lower()


def test_what_is_masked_keeps_its_shape(stored: str) -> None:
    """The texts were searched where the examples stand, and a difference shows how long a value is."""
    assert "| DIFFERENT | all | CUST-0001 | first_name | xxxxx | xxxxxxx |" in stored
    assert "INVALID_EMAIL" in stored


def test_a_server_that_cannot_be_reached_is_told_without_the_password(
    tmp_path: Path, open_migration: Callable[..., Any]
) -> None:
    with open_migration(tmp_path, f"postgresql://zquser:{PASSWORD}@127.0.0.1:1/bank?connect_timeout=2") as migration:
        assert migration.run("legacy/snapshot").success
        assert migration.run("legacy/duplicates", "legacy/accounts", "legacy/products", "cleaned/products").success
        refusals = migration.refusals(migration.run("target/product"))
        assert list(refusals) == ["target__product"]
        assert "127.0.0.1" in refusals["target__product"]
        assert PASSWORD not in everything_stored(migration.instance, tmp_path / "dagster")


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_row_that_the_target_itself_refuses_is_not_quoted(
    engine: str,
    tmp_path: Path,
    open_migration: Callable[..., Any],
    new_target: Callable[[str, Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL names the failing row with all its values; nothing of that may reach the instance."""

    def unruly(*arguments: Any) -> Cleaned:
        cleaned = clean(*arguments)
        place = cleaned.rows.schema.get_field_index("email")
        emails = pa.chunked_array([pa.array(["zq.bad@@example.com"] * cleaned.rows.num_rows)])
        return dataclasses.replace(cleaned, rows=cleaned.rows.set_column(place, cleaned.rows.field(place), emails))

    monkeypatch.setattr("accounts_migration.assets.judging.clean", unruly)
    with open_migration(tmp_path, new_target(engine, tmp_path)) as migration:
        assert migration.run("legacy/snapshot").success
        for entity in ("accounts", "customers"):
            assert migration.run("legacy/duplicates", f"legacy/{entity}").success
        assert migration.run("cleaned/customers").success
        # the constraints of PostgreSQL come after the rows, else the load itself would fail
        run = migration.run("target/customer", "target/constraints")
        assert not run.success
        stored = everything_stored(migration.instance, tmp_path / "dagster").lower()
        assert [marker for marker in ("zqada", "zq.bad", "555-zq") if marker in stored] == []
