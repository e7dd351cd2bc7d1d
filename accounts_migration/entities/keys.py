"""Keys of legacy rows across a whole entity: who refers to whom, and which rows share a key (contract section 5).

Here: sets of keys, the fate of a parent's key, and the verdict on duplicates. Not here: the form of one key
(`accounts_migration.entities.values`), and what a rule does with the verdicts (`accounts_migration.entities.cleaning`).
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from accounts_migration.entities.columns import LegacyColumn, ParsedColumn

UNKNOWN, LOADED, REJECTED, EXCLUDED = range(4)

KEY_SCHEMA = pa.schema([pa.field("key", pa.int64()), pa.field("fate", pa.int8())])
DUPLICATE_SCHEMA = pa.schema([pa.field("row", pa.int64()), pa.field("reason", pa.string())])

Int64Array = npt.NDArray[np.int64]
Fates = npt.NDArray[np.int8]
Hashes = npt.NDArray[np.uint64]

KEYS_AT_ONCE = 16_000_000
"""Keys that are sorted in memory at once (8 bytes each); more keys take more scans, not more memory."""


class KeyFates:
    """Which keys of a parent entity exist in the source, and what became of each: LOADED, REJECTED or EXCLUDED."""

    def __init__(self, keys: Int64Array, fates: Fates) -> None:
        """Index the keys; a table of flags where they lie close together, else by binary search."""
        order = np.argsort(keys, kind="stable")
        self._keys, self._fates = keys[order], fates[order]
        highest = int(self._keys[-1]) if len(keys) else 0
        self._flags: Fates | None = None
        if highest < 8 * len(keys) + 1_000_000:
            self._flags = np.zeros(highest + 2, np.int8)
            self._flags[self._keys] = self._fates

    @classmethod
    def from_tables(cls, tables: Iterable[pa.RecordBatch]) -> "KeyFates":
        """Read batches of KEY_SCHEMA."""
        chunks = [(np.asarray(table["key"]), np.asarray(table["fate"])) for table in tables]
        keys = np.concatenate([np.empty(0, np.int64), *(key for key, _ in chunks)])
        fates = np.concatenate([np.empty(0, np.int8), *(fate for _, fate in chunks)])
        return cls(keys, fates)

    def of(self, references: pa.Array) -> Fates:
        """Return the fate of each referred key (int64, may be NULL); UNKNOWN where the source has no such parent."""
        wanted = np.asarray(references.fill_null(-1))
        if self._flags is not None:
            outside = len(self._flags) - 1  # the last flag stays UNKNOWN
            within = (wanted >= 0) & (wanted < outside)
            return np.asarray(self._flags[np.where(within, wanted, outside)])
        places = np.minimum(np.searchsorted(self._keys, wanted), max(len(self._keys) - 1, 0))
        found = self._keys[places] == wanted
        return np.where(found, self._fates[places], np.int8(UNKNOWN)).astype(np.int8)


def referenced_keys(references: Iterable[ParsedColumn]) -> KeyFates:
    """Return the keys that some legacy account refers to, as LOADED; every other key is UNKNOWN."""
    chunks = [np.unique(np.asarray(column.values.drop_null())) for column in references]
    keys = np.unique(np.concatenate([np.empty(0, np.int64), *chunks]))
    return KeyFates(keys, np.full(len(keys), LOADED, np.int8))


def numbered(ids: pa.StringArray, prefix: str, digits: int) -> pa.Int64Array:
    """Return a number for each id, which equal ids alone share: its own where a migration made it.

    Any other id's number is made of its hash, of 62 bits: that two of them share one by chance is as good as
    impossible, and would be found by the target's foreign keys.

    Args:
        ids: Each begins with the prefix; null stays null.
        prefix: As `ACCT-`.
        digits: How many digits an id has at least; longer ones do not begin with 0.
    """
    rest = pc.utf8_slice_codeunits(ids, len(prefix))
    lengths = pc.binary_length(rest)
    long = pc.and_(pc.greater(lengths, digits), pc.invert(pc.starts_with(rest, "0")))
    plain = pc.and_(pc.ascii_is_decimal(rest), pc.or_(pc.equal(lengths, digits), long))
    plain = pc.and_(plain, pc.less_equal(lengths, 18)).fill_null(False)
    numbers = pc.if_else(plain, rest, pa.scalar(None, pa.string())).cast(pa.int64())
    odd = pc.and_(pc.invert(plain), pc.is_valid(ids))
    if not pc.any(odd).as_py():
        return numbers
    hashes = [_text_hash(f"{text}\0") >> 2 | 1 << 62 for text in ids.filter(odd).to_pylist()]
    return pc.replace_with_mask(numbers, odd, pa.array(hashes, pa.int64()))


@dataclass(frozen=True, slots=True)
class KeyChunk:
    """The key column of some legacy rows; `rows` names them."""

    rows: Int64Array
    column: LegacyColumn


ParseKeys = Callable[[LegacyColumn], ParsedColumn]


def rows_sharing_a_key(scan: Callable[[], Iterator[KeyChunk]], count: int, parse: ParseKeys) -> dict[int, str]:
    """Return row -> key, in its one form, of the rows whose key may stand more than once.

    All rows that do are among them, and by chance a few that do not.

    Args:
        scan: Starts a new scan of the key column of the whole table.
        count: The number of rows; it decides how many scans bound the memory.
        parse: The key parser of the entity.
    """
    parts = max(1, -(-count // KEYS_AT_ONCE))
    suspects: dict[int, str] = {}
    for part in range(parts):
        repeated = _repeated(_part(_hashes(chunk, parse)[0], part, parts) for chunk in scan())
        if len(repeated):
            for chunk in scan():
                suspects |= _suspects(chunk, parse, repeated)
    return suspects


def _part(hashes: Hashes, part: int, parts: int) -> Hashes:
    return hashes if parts == 1 else hashes[hashes % parts == part]


def _repeated(hashes: Iterable[Hashes]) -> Hashes:
    everything = np.concatenate([np.empty(0, np.uint64), *hashes])
    everything.sort()
    return np.unique(everything[1:][everything[1:] == everything[:-1]])


def _suspects(chunk: KeyChunk, parse: ParseKeys, repeated: Hashes) -> dict[int, str]:
    hashes, valid = _hashes(chunk, parse)
    places = np.flatnonzero(valid)[np.isin(hashes, repeated)]
    if not len(places):
        return {}
    keys = parse(chunk.column).values.take(pa.array(places)).to_pylist()
    return dict(zip(chunk.rows[places].tolist(), map(str, keys), strict=True))


def _hashes(chunk: KeyChunk, parse: ParseKeys) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """Return a 64-bit number for each valid key (the key itself where it is a number), and which rows are valid."""
    values = chunk.column.values
    if pa.types.is_int64(values.type) and not chunk.column.irregular and not values.null_count:
        numbers = np.asarray(values)
        valid = numbers >= 0
        return numbers[valid].astype(np.uint64), valid
    keys = parse(chunk.column).values
    valid = np.asarray(pc.is_valid(keys))
    keys = keys.drop_null()
    if pa.types.is_int64(keys.type):
        return np.asarray(keys).astype(np.uint64), valid
    return np.fromiter(map(_text_hash, keys.to_pylist()), np.uint64, len(keys)), valid


def _text_hash(key: str) -> int:
    if key.isascii() and key.isdigit():
        return int(key)
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())


def judge_duplicates(rows: Iterable[tuple[int, str, str]]) -> pa.Table:
    """Return the verdict on rows that share a key, as DUPLICATE_SCHEMA sorted by row.

    Args:
        rows: (row, key in its one form, exact encoding of the whole row) of every suspect.

    Of rows identical in value and storage class the first stays, the others are EXACT_DUPLICATE; otherwise nothing
    says which is right, and all are DUPLICATE_KEY.
    """
    groups: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for row, key, encoded in rows:
        groups[key].append((row, hashlib.sha256(encoded.encode()).digest()))
    verdicts: list[tuple[int, str]] = []
    for members in groups.values():
        if len(members) > 1:
            identical = len({digest for _, digest in members}) == 1
            twins = sorted(row for row, _ in members)
            verdicts += (
                [(row, "EXACT_DUPLICATE") for row in twins[1:]]
                if identical
                else [(row, "DUPLICATE_KEY") for row in twins]
            )
    verdicts.sort()
    return pa.table([[row for row, _ in verdicts], [reason for _, reason in verdicts]], schema=DUPLICATE_SCHEMA)
