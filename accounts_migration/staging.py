"""Staging: the rows between two databases, as Parquet, one folder for each snapshot, asset and batch.

Here: the files and their manifests. Not here: Dagster (`accounts_migration.io_managers` puts it to use) and what a
row means.

A batch is replaced atomically: its new files get new names, the manifest that lists them is swapped last, and only then
the old files go, unless somebody may be reading them: then with the next replacement. Files are readable by their owner
alone (contract section 8). Any fsspec location will do.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from accounts_migration.errors import MigrationError
from accounts_migration.streams import ROWS_PER_CHUNK, by_batch

WHOLE = "all"
"""The one batch of an entity that does not move in batches."""

MANIFEST = "manifest.json"
BYTES_IN_MEMORY = 24 * 1024 * 1024
BYTES_PER_FILE = 8 * 1024 * 1024

Tables = Mapping[str, pa.Table]


@dataclass(frozen=True)
class StagedOutput:
    """What an asset stages, while it is being made.

    Args:
        snapshot_id: The snapshot the rows come from.
        schemas: Table name -> Arrow schema without the column `batch`.
        batches: Every batch that is replaced, also one without rows.
        chunks: Tables by name, with a column `batch`; consumed once.
        summary: Called for each batch when all chunks are written; what the manifest says besides the files.
    """

    snapshot_id: str
    schemas: Mapping[str, pa.Schema]
    batches: Sequence[str]
    chunks: Iterable[Tables]
    summary: Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True)
class Staged:
    """The staged tables of one asset for some batches, to be read as streams.

    A batch is read as it was when its manifest was first asked for, whoever replaces it meanwhile: its rows are those
    that were judged under the policies that its manifest names.
    """

    folder: UPath
    batches: tuple[str, ...]
    _manifests: dict[str, dict[str, Any]] = field(default_factory=dict, compare=False, repr=False)

    def of(self, batches: Sequence[str]) -> "Staged":
        """Return the same asset for other batches."""
        return Staged(self.folder, tuple(batches), self._manifests)

    def manifest(self, batch: str) -> dict[str, Any]:
        """Return the manifest of a batch.

        Raises:
            MigrationError: The batch was never staged for this snapshot.
        """
        if batch not in self._manifests:
            self._manifests[batch] = self._read_manifest(batch)
        return self._manifests[batch]

    def _read_manifest(self, batch: str) -> dict[str, Any]:
        path = self.folder / batch / MANIFEST
        try:
            manifest = json.loads(path.read_text())
            if not isinstance(manifest, dict) or "files" not in manifest:
                raise ValueError("no manifest")
        except (OSError, ValueError) as error:
            raise MigrationError(
                f"Nothing is staged of {self.name} for batch {batch}",
                why="it was not materialized for this run's snapshot",
                remedy=f"Materialize {self.name} (batch {batch}) first",
            ) from error
        return manifest

    @property
    def name(self) -> str:
        """Return the asset's name, as `cleaned/accounts`."""
        return "/".join(self.folder.parts[-2:])

    def staged_batches(self) -> list[str]:
        """Return every batch of the asset that is staged for this snapshot, also outside `batches`."""
        if not self.folder.exists():
            return []
        return sorted(path.name for path in self.folder.iterdir() if (path / MANIFEST).exists())

    def scan(
        self, table: str, batches: Sequence[str] | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Stream a table, batch after batch, with the column `batch` first; bounded memory."""
        for batch in self.batches if batches is None else batches:
            for file in self.manifest(batch)["files"].get(table, []):
                with self._open(batch, file) as source:
                    reader = pq.ParquetFile(source, page_checksum_verification=True)
                    for rows in reader.iter_batches(ROWS_PER_CHUNK, columns=columns):
                        label = pa.repeat(pa.scalar(batch, pa.string()), rows.num_rows)
                        schema = pa.schema([pa.field("batch", pa.string()), *rows.schema])
                        yield pa.RecordBatch.from_arrays([label, *rows.columns], schema=schema)

    @contextlib.contextmanager
    def _open(self, batch: str, file: str) -> Iterator[Any]:
        try:
            path = self.folder / batch / file
            with pa.OSFile(str(path)) if _is_local(path) else path.open("rb") as source:
                yield source
        except (OSError, pa.ArrowInvalid) as error:
            raise MigrationError(
                f"Cannot read the staged file {file} of {self.name}, batch {batch}",
                why=type(error).__name__,
                remedy=f"Materialize {self.name} (batch {batch}) again",
            ) from error


class StagingWriter:
    """Writes the chunks of one asset, parted by batch, with a bounded number of bytes in memory."""

    def __init__(self, folder: UPath, output: StagedOutput, is_read: Callable[[], bool] = lambda: False) -> None:
        """Prepare the folders of the batches that will be replaced.

        Args:
            folder: The asset's.
            output: What is staged.
            is_read: Tells whether somebody else may be reading what is replaced; asked only where something is.
        """
        self._folder = folder
        self._output = output
        self._is_read = is_read
        self._token = uuid.uuid4().hex[:12]
        self._pending: dict[tuple[str, str], list[pa.Table]] = {}
        self._sizes: dict[tuple[str, str], int] = {}
        self._files: dict[str, dict[str, list[str]]] = {batch: {} for batch in output.batches}
        self._counts: dict[str, dict[str, int]] = {batch: dict.fromkeys(output.schemas, 0) for batch in output.batches}
        self._published: set[str] = set()

    def write(self) -> dict[str, dict[str, Any]]:
        """Write everything and return the manifest of each batch; on any failure the old state stands.

        Raises:
            MigrationError: The staging folder cannot be written to.
        """
        try:
            for chunk in self._output.chunks:
                for name, table in chunk.items():
                    self._take(name, table)
            for place in list(self._pending):
                self._flush(place)
            # all of them before the first is published: a summary may refuse
            manifests = {batch: self._prepare(batch) for batch in self._output.batches}
            for batch in self._output.batches:
                self._publish(batch)
            self._delete_replaced()
            return manifests
        except OSError as error:
            self._discard()
            raise MigrationError(
                f"Cannot write to staging below {self._folder}",
                why=os.strerror(error.errno) if error.errno else type(error).__name__,
                remedy="Free disk space or set STAGING to another location, then run again",
            ) from error
        except BaseException:
            self._discard()
            raise

    def _take(self, name: str, table: pa.Table) -> None:
        for batch, rows in by_batch(table):
            if batch not in self._files:
                raise ValueError(f"batch {batch} was not announced")
            place = (batch, name)
            # a copy: a slice would keep the whole chunk in memory, and a driver's buffers are twice as large as needed
            self._pending.setdefault(place, []).append(rows.take(np.arange(rows.num_rows)))
            self._sizes[place] = self._sizes.get(place, 0) + rows.nbytes
            self._counts[batch][name] += rows.num_rows
            if self._sizes[place] > BYTES_PER_FILE:
                self._flush(place)
        while sum(self._sizes.values()) > BYTES_IN_MEMORY:
            self._flush(max(self._sizes, key=lambda place: self._sizes[place]))

    def _flush(self, place: tuple[str, str]) -> None:
        batch, name = place
        files = self._files[batch].setdefault(name, [])
        file = f"{name}-{self._token}-{len(files)}.parquet"
        files.append(file)
        table = pa.concat_tables(self._pending.pop(place))
        del self._sizes[place]
        with _create(self._folder / batch / file) as target:
            _write(table.cast(self._output.schemas[name]), target)

    def _prepare(self, batch: str) -> dict[str, Any]:
        manifest = {
            **self._output.summary(batch),
            "snapshot_id": self._output.snapshot_id,
            "counts": self._counts[batch],
            "files": self._files[batch],
        }
        with _create(self._partial(batch)) as file:
            file.write(json.dumps(manifest).encode())
        return manifest

    def _partial(self, batch: str) -> UPath:
        return self._folder / batch / f"{MANIFEST}.{self._token}"

    def _publish(self, batch: str) -> None:
        folder = self._folder / batch
        self._partial(batch).rename(folder / MANIFEST)
        self._published.add(batch)

    def _delete_replaced(self) -> None:
        replaced = [
            path
            for batch in self._output.batches
            for path in (self._folder / batch).iterdir()
            if path.name != MANIFEST and self._token not in path.name
        ]
        if replaced and not self._is_read():
            for path in replaced:
                path.unlink(missing_ok=True)

    def _discard(self) -> None:
        for batch in self._files.keys() - self._published:
            folder = self._folder / batch
            for path in folder.glob(f"*{self._token}*") if folder.exists() else []:
                path.unlink(missing_ok=True)


def staged_size(table: pa.Table) -> int:
    """Return the bytes that the rows of a table would fill in staging; nothing is written."""
    counted = pa.MockOutputStream()
    _write(table, counted)
    return int(counted.size())


def _write(table: pa.Table, target: Any) -> None:
    pq.write_table(
        table,
        target,
        row_group_size=ROWS_PER_CHUNK,
        compression="lz4",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )


def _create(path: UPath) -> Any:
    """Create a binary file for its owner alone; on a local disk by its mode, elsewhere by what the location grants.

    A local file is Arrow's own, since every page written by way of Python would be copied.
    """
    if not _is_local(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
    local = Path(str(path))
    _make_private(local.parent)
    os.close(os.open(local, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return pa.OSFile(str(local), "wb")


def _is_local(path: UPath) -> bool:
    return path.protocol in ("", "file")


def _make_private(folder: Path) -> None:
    """Create a folder and its missing parents, each for its owner alone: mkdir gives its mode to the last one only."""
    if not folder.exists():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
