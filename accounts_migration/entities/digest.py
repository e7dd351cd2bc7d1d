"""The content digest of cleaned rows: equal digests, equal rows in equal order, however they were cut into chunks.

Not here: what the digest is used for (the target's bookkeeping).
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class ContentDigest:
    """Digests rows column by column, so that no row is ever touched one by one."""

    def __init__(self) -> None:
        """Start with no rows."""
        self._columns: dict[str, hashlib.blake2b] = {}

    def add(self, rows: pa.Table) -> None:
        """Add rows; all calls give the same columns."""
        for name in rows.column_names:
            hasher = self._columns.setdefault(name, hashlib.blake2b(name.encode(), digest_size=32))
            for chunk in rows[name].chunks:
                _feed(hasher, chunk)

    def hexdigest(self) -> str:
        """Return the digest of all rows so far."""
        return hashlib.sha256(b"".join(hasher.digest() for hasher in self._columns.values())).hexdigest()


def _feed(hasher: "hashlib.blake2b", chunk: pa.Array) -> None:
    """Feed one row after the other in a form without chunk borders: length (or -1 for NULL) and value bytes apart."""
    if pa.types.is_string(chunk.type):
        binary = chunk.cast(pa.binary())
        lengths = pc.binary_length(binary).fill_null(-1)
        # lengths and bytes go to one hasher in alternation of rows, not of chunks: a joined text keeps that so
        hasher.update(_row_wise(lengths, binary))
        return
    numbers = chunk.cast(pa.int32()) if pa.types.is_date32(chunk.type) else chunk
    numbers = numbers.cast(pa.int64())
    hasher.update(np.asarray(numbers.fill_null(-(2**63))).tobytes())


def _row_wise(lengths: pa.Array, binary: pa.Array) -> bytes:
    marks = lengths.cast(pa.string())
    joined = pc.binary_join_element_wise(
        marks.cast(pa.binary()), binary.fill_null(b""), pa.scalar(b":", pa.binary()), null_handling="replace"
    )
    first, last = joined.offset, joined.offset + len(joined)
    offsets = np.frombuffer(joined.buffers()[1], np.int32)
    return memoryview(joined.buffers()[2])[offsets[first] : offsets[last]].tobytes() if len(joined) else b""
