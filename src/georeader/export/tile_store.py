"""Encoded tiles that wait for their place in the file: in memory, and beyond a limit in a spool on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from georeader.export.tiles import EncodedTiles

#: (level, plane, row of tiles, column of tiles)
TileKey = tuple[int, int, int, int]


class Spool(Protocol):
    """A file that nobody else sees, gone when it is closed."""

    def write_at(self, offset_bytes: int, *pieces: bytes) -> None:
        """Write bytes, one piece after the other, from an offset on."""
        ...

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Read bytes at an offset."""
        ...


class TileStore:
    """Keeps tiles by their place until they are asked for, each once.

    Attributes:
        total_bytes: Length of all tiles that were put in.

    Example:
        >>> store = TileStore(limit_bytes=100, open_spool=lambda: None)
        >>> store.put([((1, 0, 0, 0), EncodedTiles((b"tile",), (4,)))])
        >>> store.pop((1, 0, 0, 0)).pieces
        (b'tile',)
    """

    def __init__(self, limit_bytes: int, open_spool: Callable[[], Spool]) -> None:
        """Begin empty.

        Args:
            limit_bytes: Tiles may take so much memory.
            open_spool: Opens the spool, when it is first needed; its owner closes it.
        """
        self.total_bytes = 0
        self._limit_bytes = limit_bytes
        self._open_spool = open_spool
        self._spool: Spool | None = None
        self._spooled_bytes = 0
        self._held_bytes = 0
        self._tiles: dict[TileKey, EncodedTiles] = {}
        self._places: dict[TileKey, tuple[int, int]] = {}

    def put(self, tiles: Iterable[tuple[TileKey, EncodedTiles]]) -> None:
        """Take tiles.

        Raises:
            WriteError: The spool's disk is full.
        """
        for key, tile in tiles:
            size_bytes = tile.total_bytes
            self.total_bytes += size_bytes
            if self._held_bytes + size_bytes > self._limit_bytes:
                self._tiles[key] = self._spool_away(key, tile)
                continue
            self._held_bytes += size_bytes
            self._tiles[key] = tile

    def pop(self, key: TileKey) -> EncodedTiles:
        """Give a tile and forget it."""
        tile = self._tiles.pop(key)
        place = self._places.pop(key, None)
        if place is None or self._spool is None:
            self._held_bytes -= tile.total_bytes
            return tile
        return replace(tile, pieces=(self._spool.read_at(*place),))

    def _spool_away(self, key: TileKey, tile: EncodedTiles) -> EncodedTiles:
        if self._spool is None:
            self._spool = self._open_spool()
        self._spool.write_at(self._spooled_bytes, *tile.pieces)
        self._places[key] = (self._spooled_bytes, tile.total_bytes)
        self._spooled_bytes += tile.total_bytes
        return replace(tile, pieces=())
