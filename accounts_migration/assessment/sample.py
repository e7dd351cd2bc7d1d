"""Some rows of the source in the target's form: what a load on trial is made with.

Here: reading the first rows of a table and parsing them. They are not judged, so nothing may be concluded from them but
how long they take and how much space. Not here: the load (`accounts_migration.databases`).
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.databases.legacy_source import read_rows
from accounts_migration.databases.snapshot import Snapshot
from accounts_migration.databases.target_schema import canonical_schema
from accounts_migration.entities import Entity
from accounts_migration.entities.entity import Circumstances, LegacyChunk
from accounts_migration.entities.keys import DUPLICATE_SCHEMA
from accounts_migration.entities.policies import Policies
from accounts_migration.resources import legacy_table
from accounts_migration.streams import joined

CHUNKS = 2
"""At most about 130,000 rows: a load of them takes long enough to be timed, and no longer than it need."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The first rows of an entity, as the raw asset stages them and in the target's canonical form; maybe none."""

    raw: pa.Table
    rows: list[pa.RecordBatch]


def read_sample(entity: Entity, snapshot: Snapshot, policies: Policies) -> Sample:
    """Return the first rows of an entity; rows that lack a required value are left out of `rows`.

    Raises:
        MigrationError: The snapshot cannot be read.
    """
    manifest = snapshot.tables[entity.legacy_table]
    circumstances = Circumstances(policies, snapshot.time, DUPLICATE_SCHEMA.empty_table())
    raw = list(_first_chunks(entity, snapshot))
    chunks = (LegacyChunk(chunk, entity.legacy_columns, manifest.row_id is not None) for chunk in raw)
    rows = [_canonical(entity, chunk, circumstances) for chunk in chunks]
    return Sample(pa.Table.from_batches(raw), rows)


def _first_chunks(entity: Entity, snapshot: Snapshot) -> Iterator[pa.RecordBatch]:
    manifest = snapshot.tables[entity.legacy_table]
    read = read_rows(snapshot.path, legacy_table(entity), manifest.classes, manifest.row_id)
    with closing(read):  # type: ignore[type-var]  # it is a generator, whose threads are to end
        # of a table without rows, one chunk without rows
        yield from islice(joined(read), CHUNKS)


def _canonical(entity: Entity, chunk: LegacyChunk, circumstances: Circumstances) -> pa.RecordBatch:
    parsed = entity.parse(chunk, circumstances)
    columns = {one.target: one.column.values for one in parsed.fields}
    columns |= {name: pa.repeat(value, len(chunk)) for name, value in parsed.constants.items()}
    schema = canonical_schema(entity.name)
    whole = np.ones(len(chunk), np.bool_)
    for name in schema.names:
        if not entity.schema.columns[name].nullable:
            whole &= np.asarray(pc.is_valid(columns[name]))
    rows = pa.record_batch([columns[name] for name in schema.names], schema=schema)
    return rows.filter(pa.array(whole))
