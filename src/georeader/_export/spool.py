"""A file on disk for what does not fit in memory, and the places in it that are free again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Spool(Protocol):
    """A file that nobody else sees, gone when it is closed."""

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write bytes, one piece after the other, from an offset on."""
        ...

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Read bytes at an offset."""
        ...


#: Opens a spool, which another object owns and closes.
OpenSpool = Callable[[], Spool]


class SpoolPlaces:
    """A spool, opened when it is first needed, in which places are given out and taken back.

    Attributes:
        size_bytes: Length of the spool so far.

    Example:
        >>> places = SpoolPlaces(lambda: None)
        >>> first = places.take(100)
        >>> places.give_back(first, 100)
        >>> places.take(50), places.take(100), places.size_bytes
        (100, 0, 150)
    """

    def __init__(self, open_spool: Callable[[], Spool]) -> None:
        """Begin without a spool.

        Args:
            open_spool: Opens it; its owner closes it.
        """
        self.size_bytes = 0
        self._open_spool = open_spool
        self._spool: Spool | None = None
        self._free: dict[int, list[int]] = {}

    def take(self, size_bytes: int) -> int:
        """Give the offset of a free place: one that was given back, or a new one at the end."""
        free = self._free.get(size_bytes)
        if free:
            return free.pop()
        offset_bytes = self.size_bytes
        self.size_bytes += size_bytes
        return offset_bytes

    def give_back(self, offset_bytes: int, size_bytes: int) -> None:
        """Let a place be used again, by something of the same size."""
        self._free.setdefault(size_bytes, []).append(offset_bytes)

    def put(self, *pieces: bytes | memoryview) -> int:
        """Write pieces to a place and give its offset.

        Raises:
            WriteError: The spool's disk is full.
        """
        if self._spool is None:
            self._spool = self._open_spool()
        offset_bytes = self.take(sum(map(len, pieces)))
        self._spool.write_at(offset_bytes, *pieces)
        return offset_bytes

    def get(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Read what was put.

        Raises:
            WriteError: The system can't give it back.
        """
        return b"" if self._spool is None else self._spool.read_at(offset_bytes, size_bytes)
