"""The content digest of rows: equal digests, equal rows in equal order, however they were cut into chunks.

Here: the digest of a stream of chunks, of cleaned rows and of any table's. Not here: what it is used for (the target's
bookkeeping).
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NULL = -(2**63)


class ContentDigest:
    """Digests rows column by column, so that no row is ever touched one by one."""

    def __init__(self) -> None:
        """Start with no rows."""
        self._parts: dict[str, hashlib.blake2b] = {}

    def add(self, rows: pa.Table) -> None:
        """Add rows; all calls give the same columns."""
        for name in rows.column_names:
            for chunk in rows[name].chunks:
                self._add(name, chunk)

    def hexdigest(self) -> str:
        """Return the digest of all rows so far."""
        return hashlib.sha256(b"".join(part.digest() for part in self._parts.values())).hexdigest()

    def _add(self, name: str, chunk: pa.Array) -> None:
        """Feed lengths (-1 for NULL) and bytes of a text to two hashers: then no chunk border shows in either."""
        if pa.types.is_decimal(chunk.type):
            self._add(name, chunk.cast(pa.string()))
        elif pa.types.is_string(chunk.type) or pa.types.is_binary(chunk.type):
            lengths = pc.binary_length(chunk).fill_null(-1)
            self._hasher(f"{name} lengths").update(np.ascontiguousarray(lengths).data)
            self._hasher(f"{name} bytes").update(_bytes_of(chunk))
        else:
            numbers = chunk.cast(pa.int32()) if pa.types.is_date32(chunk.type) else chunk
            numbers = numbers.view(pa.int64()) if pa.types.is_float64(numbers.type) else numbers
            self._hasher(name).update(np.ascontiguousarray(numbers.cast(pa.int64()).fill_null(_NULL)).data)

    def _hasher(self, part: str) -> "hashlib.blake2b":
        if part not in self._parts:
            self._parts[part] = hashlib.blake2b(part.encode(), digest_size=32)
        return self._parts[part]


def _bytes_of(chunk: pa.Array) -> memoryview:
    """Return the characters of all values; what stands under a NULL is nobody's value and left out."""
    texts = chunk.drop_null() if chunk.null_count else chunk
    if not len(texts) or texts.buffers()[2] is None:
        return memoryview(b"")
    offsets = np.frombuffer(texts.buffers()[1], np.int32)
    return memoryview(texts.buffers()[2])[offsets[texts.offset] : offsets[texts.offset + len(texts)]]
