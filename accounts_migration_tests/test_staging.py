"""Staging: a batch is replaced whole or not at all, private to its owner, and damage is never read as rows."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from upath import UPath

from accounts_migration.errors import MigrationError
from accounts_migration.staging import Staged, StagedOutput, StagingWriter, Tables, staged_size

SCHEMA = pa.schema([pa.field("number", pa.int64()), pa.field("text", pa.string())])
Rows = Iterable[tuple[str, int]]


def chunk(rows: Rows) -> Tables:
    """Return one chunk of (batch, number) rows."""
    labels, numbers = zip(*rows, strict=True)
    return {"rows": pa.table({"batch": labels, "number": pa.array(numbers, pa.int64()), "text": map(str, numbers)})}


def output(
    batches: Sequence[str], chunks: Iterable[Rows], summary: Mapping[str, Any] | None = None, snapshot: str = "s1"
) -> StagedOutput:
    return StagedOutput(
        snapshot_id=snapshot,
        schemas={"rows": SCHEMA, "defects": SCHEMA},
        batches=batches,
        chunks=map(chunk, chunks),
        summary=lambda _: summary or {},
    )


def write(folder: UPath, batches: Sequence[str], *chunks: Rows) -> dict[str, dict[str, Any]]:
    return StagingWriter(folder, output(batches, chunks)).write()


def numbers(folder: UPath, *batches: str) -> list[tuple[str, int]]:
    """Return the staged (batch, number) rows; the text beside each must be its number's."""
    rows = [row for part in Staged(folder, batches).scan("rows") for row in part.to_pylist()]
    assert [row["text"] for row in rows] == [str(row["number"]) for row in rows]
    return [(row["batch"], row["number"]) for row in rows]


def files(folder: UPath) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["file", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> UPath:
    """Return the folder of an asset, once on the disk and once on an fsspec location."""
    if request.param == "memory":
        return UPath(f"memory://{tmp_path.name}/s1/cleaned/transactions")
    return UPath(tmp_path / "s1" / "cleaned" / "transactions")


def test_what_is_staged_is_read_back_batch_after_batch(folder: UPath) -> None:
    write(folder, ["2024-01", "2024-02"], [("2024-02", 1), ("2024-01", 2)], [("2024-01", 3), ("2024-02", 4)])
    assert numbers(folder, "2024-01", "2024-02") == [("2024-01", 2), ("2024-01", 3), ("2024-02", 1), ("2024-02", 4)]
    assert numbers(folder, "2024-02") == [("2024-02", 1), ("2024-02", 4)]
    [part] = Staged(folder, ("2024-01",)).scan("rows")
    assert part.schema == pa.schema([pa.field("batch", pa.string()), *SCHEMA])


def test_a_batch_that_is_replaced_meanwhile_is_read_as_its_manifest_told_it(folder: UPath) -> None:
    """Else rows that were cleaned under other policies could be loaded under the name of the present ones."""
    write(folder, ["2024-01"], [("2024-01", 1)])
    staged = Staged(folder, ("2024-01",))
    assert staged.manifest("2024-01")["counts"] == {"rows": 1, "defects": 0}
    StagingWriter(folder, output(["2024-01"], [[("2024-01", 2), ("2024-01", 3)]]), lambda: True).write()
    assert staged.manifest("2024-01")["counts"] == {"rows": 1, "defects": 0}
    assert [row["number"] for part in staged.of(["2024-01"]).scan("rows") for row in part.to_pylist()] == [1]
    assert (numbers(folder, "2024-01"), len(files(folder / "2024-01"))) == ([("2024-01", 2), ("2024-01", 3)], 3)
    write(folder, ["2024-01"], [("2024-01", 4)])
    assert (numbers(folder, "2024-01"), len(files(folder / "2024-01"))) == ([("2024-01", 4)], 2)
    with pytest.raises(MigrationError, match="Cannot read the staged file"):
        list(staged.scan("rows"))


def test_single_columns_of_other_batches_may_be_read(folder: UPath) -> None:
    write(folder, ["2024-01", "2024-02"], [("2024-01", 1), ("2024-02", 2)])
    staged = Staged(folder, ("2024-01",))
    [part] = staged.scan("rows", ["2024-02"], columns=["text"])
    assert part.to_pylist() == [{"batch": "2024-02", "text": "2"}]
    assert staged.of(["2024-02"]) == Staged(folder, ("2024-02",))
    assert staged.name == "cleaned/transactions"
    assert staged.staged_batches() == ["2024-01", "2024-02"]


def test_the_manifest_says_what_stands_in_a_batch(folder: UPath) -> None:
    chunks = [[("2024-01", 1), ("2024-02", 2)], [("2024-01", 3)]]
    written = StagingWriter(folder, output(["2024-01", "2024-02"], chunks, {"reasons": {"ORPHAN": 1}})).write()
    manifest = Staged(folder, ()).manifest("2024-01")
    assert manifest == written["2024-01"]
    assert manifest["snapshot_id"] == "s1"
    assert manifest["counts"] == {"rows": 2, "defects": 0}
    assert manifest["reasons"] == {"ORPHAN": 1}
    assert list(manifest["files"]) == ["rows"]


def test_a_batch_without_rows_is_staged_too(folder: UPath) -> None:
    write(folder, ["2024-01", "2024-02"], [("2024-01", 1)])
    assert numbers(folder, "2024-02") == []
    assert Staged(folder, ()).manifest("2024-02")["counts"] == {"rows": 0, "defects": 0}
    assert list(Staged(folder, ("2024-01",)).scan("defects")) == []


def test_a_batch_is_replaced_and_the_others_stay(folder: UPath) -> None:
    write(folder, ["2024-01", "2024-02"], [("2024-01", 1), ("2024-02", 2)])
    write(folder, ["2024-01"], [("2024-01", 7)])
    assert numbers(folder, "2024-01", "2024-02") == [("2024-01", 7), ("2024-02", 2)]
    assert len(files(folder / "2024-01")) == 2
    write(folder, ["2024-01"])
    assert numbers(folder, "2024-01") == []
    assert files(folder / "2024-01") == ["manifest.json"]


def test_a_batch_of_many_bytes_keeps_its_rows_and_their_order(tmp_path: Path) -> None:
    batches = [f"2024-{month:02}" for month in range(1, 9)]
    total, per_chunk = 8_000_000, 800_000
    labels = pa.array(batches * (per_chunk // len(batches)))

    def chunks() -> Iterator[Tables]:
        for start in range(0, total, per_chunk):
            yield {"rows": pa.table({"batch": labels, "number": np.arange(start, start + per_chunk)})}

    folder = UPath(tmp_path / "big")
    schemas = {"rows": pa.schema([pa.field("number", pa.int64())])}
    StagingWriter(folder, StagedOutput("s1", schemas, batches, chunks(), lambda _: {})).write()
    staged = Staged(folder, tuple(batches))
    assert max(len(staged.manifest(batch)["files"]["rows"]) for batch in batches) > 1
    for place, batch in enumerate(batches):
        found = pa.Table.from_batches(staged.scan("rows", [batch]))["number"].to_numpy()
        assert np.array_equal(found, np.arange(place, total, len(batches)))


def test_a_stream_that_fails_leaves_the_old_state(folder: UPath) -> None:
    write(folder, ["2024-01", "2024-02"], [("2024-01", 1), ("2024-02", 2)])
    before = {batch: files(folder / batch) for batch in ("2024-01", "2024-02")}

    def failing() -> Iterator[Rows]:
        yield [("2024-01", 3), ("2024-02", 4)]
        raise RuntimeError("the source went away")

    with pytest.raises(RuntimeError, match="the source went away"):
        StagingWriter(folder, output(["2024-01", "2024-02", "2024-03"], failing())).write()
    assert numbers(folder, "2024-01", "2024-02") == [("2024-01", 1), ("2024-02", 2)]
    assert {batch: files(folder / batch) for batch in ("2024-01", "2024-02")} == before
    assert Staged(folder, ()).staged_batches() == ["2024-01", "2024-02"]


def test_a_refused_batch_of_a_range_leaves_the_old_state_of_all(folder: UPath) -> None:
    write(folder, ["2024-01", "2024-02"], [("2024-01", 1), ("2024-02", 2)])

    def summary(batch: str) -> dict[str, Any]:
        if batch == "2024-02":
            raise MigrationError("Cannot account for every row", why="1 counted, 2 read", remedy="Take a new snapshot")
        return {}

    refused = StagedOutput(
        "s1", {"rows": SCHEMA}, ["2024-01", "2024-02"], [chunk([("2024-01", 3), ("2024-02", 4)])], summary
    )
    with pytest.raises(MigrationError, match="Cannot account for every row"):
        StagingWriter(folder, refused).write()
    assert numbers(folder, "2024-01", "2024-02") == [("2024-01", 1), ("2024-02", 2)]


def test_rows_of_a_batch_that_was_not_announced_are_an_error(folder: UPath) -> None:
    with pytest.raises(ValueError, match="batch 2024-09 was not announced"):
        write(folder, ["2024-01"], [("2024-01", 1), ("2024-09", 2)])
    assert Staged(folder, ()).staged_batches() == []


def test_what_was_never_staged_is_named_with_its_remedy(folder: UPath) -> None:
    with pytest.raises(MigrationError) as caught:
        list(Staged(folder, ("2024-01",)).scan("rows"))
    assert caught.value.what == "Nothing is staged of cleaned/transactions for batch 2024-01"
    assert caught.value.remedy == "Materialize cleaned/transactions (batch 2024-01) first"


def test_the_size_of_rows_is_known_before_they_are_staged(tmp_path: Path) -> None:
    rows = [("2024-01", number) for number in range(1000)]
    write(UPath(tmp_path), ["2024-01"], rows)
    [file] = (tmp_path / "2024-01").glob("*.parquet")
    assert staged_size(chunk(rows)["rows"].drop_columns(["batch"])) == file.stat().st_size


def test_files_and_folders_are_their_owners_alone(tmp_path: Path) -> None:
    write(UPath(tmp_path / "s1" / "legacy" / "accounts"), ["all"], [("all", 1)])
    modes = {path.relative_to(tmp_path): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert len(modes) == 6
    assert {path: oct(mode) for path, mode in modes.items()} == {
        path: "0o600" if path.suffix else "0o700" for path in modes
    }


WRITER = """
import os, resource, signal, sys
import numpy as np
import pyarrow as pa
from upath import UPath
from accounts_migration.errors import MigrationError
from accounts_migration.staging import StagedOutput, StagingWriter

how, folder = sys.argv[1:]
schema = pa.schema([pa.field("number", pa.int64()), pa.field("text", pa.string())])

def chunks():
    labels = pa.repeat("2024-01", 500_000)
    for start in range(0, 5_000_000, 500_000):
        numbers = pa.array(np.arange(start, start + 500_000))
        yield {"rows": pa.table({"batch": labels, "number": numbers, "text": numbers.cast("string")})}
        if how == "killed" and list((UPath(folder) / "2024-01").glob("rows-*-1.parquet")):
            os.kill(os.getpid(), signal.SIGKILL)

def summary(batch):
    if how == "killed-at-the-end":
        os.kill(os.getpid(), signal.SIGKILL)
    return {}

if how == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    StagingWriter(UPath(folder), StagedOutput("s1", {"rows": schema}, ["2024-01"], chunks(), summary)).write()
except MigrationError as error:
    print(error)
"""


def other_writer(how: str, folder: UPath) -> tuple[int, str]:
    """Let another process write, and return its exit status and what it printed."""
    done = subprocess.run([sys.executable, "-c", WRITER, how, str(folder)], capture_output=True, check=False)  # noqa: S603  # our own code
    return done.returncode, done.stdout.decode()


def test_a_killed_writer_leaves_the_old_state_readable(tmp_path: Path) -> None:
    folder = UPath(tmp_path / "s1" / "transactions")
    write(folder, ["2024-01"], [("2024-01", 1)])
    assert other_writer("killed", folder) == (-signal.SIGKILL, "")
    assert len(files(folder / "2024-01")) > 2
    assert numbers(folder, "2024-01") == [("2024-01", 1)]
    write(folder, ["2024-01"], [("2024-01", 2)])
    assert numbers(folder, "2024-01") == [("2024-01", 2)]
    assert len(files(folder / "2024-01")) == 2


def test_a_writer_killed_before_its_first_manifest_has_staged_nothing(tmp_path: Path) -> None:
    folder = UPath(tmp_path / "s1" / "transactions")
    assert other_writer("killed-at-the-end", folder) == (-signal.SIGKILL, "")
    assert len(files(folder / "2024-01")) > 1
    assert Staged(folder, ()).staged_batches() == []
    with pytest.raises(MigrationError, match="Nothing is staged"):
        numbers(folder, "2024-01")


def test_a_full_disk_is_told_and_leaves_the_old_state(tmp_path: Path) -> None:
    folder = UPath(tmp_path / "s1" / "transactions")
    write(folder, ["2024-01"], [("2024-01", 1)])
    before = files(folder / "2024-01")
    status, message = other_writer("full", folder)
    assert (status, message) == (
        0,
        f"Cannot write to staging below {folder}: {os.strerror(27)}."
        " Free disk space or set STAGING to another location, then run again\n",
    )
    assert files(folder / "2024-01") == before
    assert numbers(folder, "2024-01") == [("2024-01", 1)]


def staged_file(folder: UPath) -> Path:
    [file] = (path for path in folder.glob("2024-01/*.parquet"))
    return Path(str(file))


def test_a_staged_file_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = UPath(tmp_path / "s1" / "transactions")
    write(folder, ["2024-01"], [("2024-01", 1)])
    file = staged_file(folder)
    file.unlink()
    with pytest.raises(MigrationError) as caught:
        numbers(folder, "2024-01")
    assert caught.value.what == f"Cannot read the staged file {file.name} of s1/transactions, batch 2024-01"
    assert caught.value.remedy == "Materialize s1/transactions (batch 2024-01) again"


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_staged_file_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    folder = UPath(tmp_path / "s1" / "transactions")
    write(folder, ["2024-01"], [("2024-01", n) for n in range(500)])
    content = staged_file(folder).read_bytes()
    staged_file(folder).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(MigrationError, match="Cannot read the staged file"):
        numbers(folder, "2024-01")


def test_no_changed_byte_of_the_rows_is_read_as_a_row(tmp_path: Path) -> None:
    folder = UPath(tmp_path / "s1" / "transactions")
    rows = [("2024-01", n) for n in range(500)]
    write(folder, ["2024-01"], rows)
    content = staged_file(folder).read_bytes()
    refused = 0
    length_of_rows = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for place in range(0, length_of_rows, 23):
        damaged = bytearray(content)
        damaged[place] ^= 0x11
        staged_file(folder).write_bytes(damaged)
        try:
            assert numbers(folder, "2024-01") == rows
        except MigrationError as error:
            assert str(error).startswith("Cannot read the staged file")
            refused += 1
    assert refused > length_of_rows / 23 * 0.9


@pytest.mark.parametrize("manifest", [b"", b"{", b"\xff", b"[]", b"{}"])
def test_a_damaged_manifest_is_no_manifest(tmp_path: Path, manifest: bytes) -> None:
    folder = UPath(tmp_path / "s1" / "transactions")
    write(folder, ["2024-01"], [("2024-01", 1)])
    (tmp_path / "s1" / "transactions" / "2024-01" / "manifest.json").write_bytes(manifest)
    with pytest.raises(MigrationError, match="Nothing is staged of s1/transactions for batch 2024-01"):
        numbers(folder, "2024-01")
