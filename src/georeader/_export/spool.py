"""Spool: a temporary file for data that does not fit in memory, with reuse of freed places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Spool(Protocol):
    """An anonymous file, removed when it is closed."""

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write bytes, one piece after the other, from an offset on."""
        ...

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Read bytes at an offset."""
        ...


#: Opens a spool, which another object owns and closes.
OpenSpool = Callable[[], Spool]


class SpoolPlaces:
    """A spool, opened when it is first needed, with an allocator of places; the owner of the spool closes it."""

    def __init__(self, open_spool: OpenSpool) -> None:
        self.size_bytes = 0
        self._open_spool = open_spool
        self._spool: Spool | None = None
        self._free: dict[int, list[int]] = {}

    def take(self, size_bytes: int) -> int:
        """Return the offset of a free place: a freed one, or a new one at the end."""
        free = self._free.get(size_bytes)
        if free:
            return free.pop()
        offset_bytes = self.size_bytes
        self.size_bytes += size_bytes
        return offset_bytes

    def give_back(self, offset_bytes: int, size_bytes: int) -> None:
        """Free a place, for later data of the same size."""
        self._free.setdefault(size_bytes, []).append(offset_bytes)

    def put(self, *pieces: bytes | memoryview) -> int:
        """Write pieces to a free place and return its offset."""
        if self._spool is None:
            self._spool = self._open_spool()
        offset_bytes = self.take(sum(map(len, pieces)))
        self._spool.write_at(offset_bytes, *pieces)
        return offset_bytes

    def get(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Read a place."""
        return b"" if self._spool is None else self._spool.read_at(offset_bytes, size_bytes)
