"""Digests that were seen, in eight bytes each."""

from __future__ import annotations

from array import array

__all__ = ["SeenDigests"]


class SeenDigests:
    """A set of 64-bit digests as a table with open addressing: a tenth of the size of a `set`."""

    def __init__(self) -> None:
        self._size = 1 << 12
        self._table = array("Q", bytes(8 * self._size))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, digest: bytes) -> bool:
        """Add a digest of eight bytes; says whether it is new."""
        value = int.from_bytes(digest, "little") or 1  # 0 marks an empty place
        if not self._put(value):
            return False
        self._count += 1
        if 2 * self._count > self._size:
            old, self._size = self._table, self._size * 2
            self._table = array("Q", bytes(8 * self._size))
            for one in old:
                if one:
                    self._put(one)
        return True

    def _put(self, value: int) -> bool:
        table, mask = self._table, self._size - 1
        at = value & mask
        while table[at]:
            if table[at] == value:
                return False
            at = (at + 1) & mask
        table[at] = value
        return True
