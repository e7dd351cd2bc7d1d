"""Dagster's way to staging: single partitions and ranges are written and read alike, each below its snapshot."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.errors import MigrationError
from accounts_migration.io_managers import SnapshotIOManager, StagingIOManager, staging_folder
from accounts_migration.partitions import BATCHES, register_batches
from accounts_migration.resources import LegacyResource
from accounts_migration.staging import Staged, StagedOutput

pytestmark = pytest.mark.filterwarnings("ignore:.*is currently in beta")
SCHEMA = pa.schema([pa.field("number", pa.int64())])
MONTHS = ["2024-01", "2024-02", "2024-03"]
Numbers = dict[str, list[int]]


def output(snapshot_id: str, numbers: Numbers, batches: list[str]) -> StagedOutput:
    rows = [(batch, number) for batch, found in numbers.items() if batch in batches for number in found]
    table = pa.table({"batch": [batch for batch, _ in rows], "number": pa.array([n for _, n in rows], pa.int64())})
    return StagedOutput(snapshot_id, {"rows": SCHEMA}, batches, [{"rows": table}], lambda _: {})


class Chain:
    """Two partitioned assets and one without partitions, staged as the migration's own are."""

    def __init__(self, location: str, legacy: LegacyResource) -> None:
        """Prepare an instance that knows the batches."""
        self.numbers: Numbers = {"2024-01": [1], "2024-02": [2, 3], "2024-03": []}
        self.seen: list[tuple[str, int]] = []
        self.asked: tuple[str, ...] = ()
        self.before_reading: Callable[[Staged], None] = lambda _: None
        self.legacy = legacy
        self.manager = StagingIOManager(location, legacy)
        self.instance = dg.DagsterInstance.ephemeral()
        register_batches(self.instance, MONTHS)

    def run(self, *assets: str, batch: str | None = None, span: tuple[str, str] | None = None) -> None:
        """Materialize assets; for one batch, for a range of them, or for none."""
        tags = dict(
            zip((ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG), span, strict=True) if span else ()
        )
        dg.materialize(
            self._assets(),
            selection=[dg.AssetKey.from_user_string(name) for name in assets],
            instance=self.instance,
            partition_key=batch,
            tags=tags,
            resources={"staging_io": self.manager, "snapshot_io": SnapshotIOManager(self.legacy)},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def _assets(self) -> list[dg.AssetsDefinition]:
        policy = dg.BackfillPolicy.single_run()

        @dg.asset(key=["legacy", "snapshot"], io_manager_key="snapshot_io")
        def snapshot() -> Snapshot:
            return self.legacy.take_snapshot()

        @dg.asset(
            key=["raw", "numbers"],
            ins={"snapshot": dg.AssetIn(["legacy", "snapshot"])},
            partitions_def=BATCHES,
            backfill_policy=policy,
            io_manager_key="staging_io",
        )
        def raw(context: dg.AssetExecutionContext, snapshot: Snapshot) -> StagedOutput:
            return output(snapshot.snapshot_id, self.numbers, sorted(context.partition_keys))

        @dg.asset(
            key=["read", "numbers"],
            ins={"raw": dg.AssetIn(["raw", "numbers"])},
            partitions_def=BATCHES,
            backfill_policy=policy,
        )
        def read(raw: Staged) -> None:
            self._look(raw)

        @dg.asset(
            key=["whole", "numbers"],
            ins={"snapshot": dg.AssetIn(["legacy", "snapshot"])},
            io_manager_key="staging_io",
        )
        def whole(snapshot: Snapshot) -> StagedOutput:
            return output(snapshot.snapshot_id, {"all": [7, 8]}, ["all"])

        @dg.asset(key=["read", "whole"], ins={"whole": dg.AssetIn(["whole", "numbers"])})
        def read_whole(whole: Staged) -> None:
            self._look(whole)

        return [snapshot, raw, read, whole, read_whole]

    def _look(self, staged: Staged) -> None:
        self.asked = staged.batches
        self.before_reading(staged)
        self.seen = [(row["batch"], row["number"]) for part in staged.scan("rows") for row in part.to_pylist()]


@pytest.fixture
def legacy(tmp_path: Path, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Any]) -> LegacyResource:
    """Return a legacy database of which no snapshot was taken yet."""
    source = write_legacy(tmp_path / "legacy.db", new_legacy_rows())
    return LegacyResource(source, tmp_path / "backups", tmp_path / "home")


@pytest.fixture
def chain(tmp_path: Path, legacy: LegacyResource) -> Iterator[Chain]:
    """Return the chain, its snapshot taken."""
    made = Chain(str(tmp_path / "staging"), legacy)
    with made.instance:
        made.run("legacy/snapshot")
        yield made


def staged_batches(chain: Chain) -> list[str]:
    return chain.manager.staged(dg.AssetKey(["raw", "numbers"])).staged_batches()


def test_one_partition_is_written_and_read(chain: Chain) -> None:
    chain.run("raw/numbers", "read/numbers", batch="2024-02")
    assert (chain.asked, chain.seen) == (("2024-02",), [("2024-02", 2), ("2024-02", 3)])
    assert staged_batches(chain) == ["2024-02"]


def test_a_range_is_written_and_read_in_order(chain: Chain) -> None:
    chain.run("raw/numbers", "read/numbers", span=("2024-01", "2024-03"))
    assert (chain.asked, chain.seen) == (tuple(MONTHS), [("2024-01", 1), ("2024-02", 2), ("2024-02", 3)])
    assert staged_batches(chain) == MONTHS


def test_what_a_range_wrote_is_read_by_partition_and_the_other_way_round(chain: Chain) -> None:
    chain.run("raw/numbers", span=("2024-01", "2024-02"))
    chain.run("read/numbers", batch="2024-01")
    assert chain.seen == [("2024-01", 1)]
    chain.numbers["2024-02"] = [9]
    chain.run("raw/numbers", batch="2024-02")
    chain.run("read/numbers", span=("2024-01", "2024-02"))
    assert chain.seen == [("2024-01", 1), ("2024-02", 9)]


def test_what_a_run_reads_stays_until_no_other_run_goes_on(chain: Chain) -> None:
    chain.run("raw/numbers", batch="2024-02")
    folder = Path(str(chain.manager.staged(dg.AssetKey(["raw", "numbers"])).folder)) / "2024-02"

    def replaced_beside(staged: Staged) -> None:
        staged.manifest("2024-02")
        chain.numbers["2024-02"] = [9]
        chain.run("raw/numbers", batch="2024-02")

    chain.before_reading = replaced_beside
    chain.run("read/numbers", batch="2024-02")
    assert (chain.seen, len(list(folder.glob("*.parquet")))) == ([("2024-02", 2), ("2024-02", 3)], 2)
    chain.run("raw/numbers", batch="2024-02")
    assert len(list(folder.glob("*.parquet"))) == 1


def test_a_partition_that_was_not_staged_is_named(chain: Chain) -> None:
    chain.run("raw/numbers", batch="2024-01")
    with pytest.raises(MigrationError, match="Nothing is staged of raw/numbers for batch 2024-02"):
        chain.run("read/numbers", span=("2024-01", "2024-02"))


def test_an_asset_without_partitions_is_one_batch(chain: Chain) -> None:
    chain.run("whole/numbers", "read/whole")
    assert (chain.asked, chain.seen) == (("all",), [("all", 7), ("all", 8)])


def test_what_was_staged_of_another_snapshot_is_not_read(
    chain: Chain, legacy: LegacyResource, write_legacy: Callable[..., Path], new_legacy_rows: Callable[[], Any]
) -> None:
    chain.run("raw/numbers", batch="2024-02")
    before = legacy.snapshot().snapshot_id
    write_legacy(legacy.source, new_legacy_rows() | {"legacy_transactions": []})
    chain.run("legacy/snapshot")
    assert legacy.snapshot().snapshot_id != before
    with pytest.raises(MigrationError, match="Nothing is staged of raw/numbers for batch 2024-02"):
        chain.run("read/numbers", batch="2024-02")


def test_an_asset_stands_below_its_snapshot(tmp_path: Path) -> None:
    folder = staging_folder(str(tmp_path / "staging"), "20250102", dg.AssetKey(["cleaned", "accounts"]))
    assert str(folder) == str(tmp_path / "staging" / "20250102" / "cleaned" / "accounts")


def test_any_fsspec_location_will_do(tmp_path: Path, legacy: LegacyResource) -> None:
    chain = Chain(f"memory://{tmp_path.name}/staging", legacy)
    with chain.instance:
        chain.run("legacy/snapshot")
        chain.run("raw/numbers", "read/numbers", span=("2024-01", "2024-02"))
    assert chain.seen == [("2024-01", 1), ("2024-02", 2), ("2024-02", 3)]
    assert not (tmp_path / "staging").exists()


def test_nothing_can_be_read_before_a_snapshot_was_taken(tmp_path: Path, legacy: LegacyResource) -> None:
    manager = StagingIOManager(str(tmp_path / "staging"), legacy)
    with pytest.raises(MigrationError) as caught:
        manager.staged(dg.AssetKey(["raw", "numbers"]))
    assert caught.value.what == f"There is no snapshot of {legacy.source}"
    assert caught.value.remedy == "Materialize legacy/snapshot first"
