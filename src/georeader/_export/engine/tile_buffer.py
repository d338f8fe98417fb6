"""Buffer of encoded tiles: in memory, and beyond a limit in a spool on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.tiles import EncodedTiles
from georeader._export.spool import Spool, SpoolPlaces
from georeader._tiff.cog_layout import FRAME_BYTES

_ABSENT, _HELD = -1, -2

#: Memory of a buffered tile beside its bytes: Python objects, and an entry in a table.
ENTRY_BYTES = 250

#: Tiles that are examined at once when neighbours are collected.
_LOOK_AHEAD = 256


class TileBuffer:
    """Tiles of each level by their position in the file's order, until each is taken once.

    Memory, beyond the limit: 8 bytes for each tile of the file, and 4 for the size of each tile and mask.

    Example:
        >>> store = TileBuffer([4], 1, limit_bytes=1000, open_spool=lambda: None)
        >>> store.put(0, 1, EncodedTiles((b"leader", b"tile", b"trailer"), (4,)))
        >>> pieces, sizes_bytes = store.take(0, 1, 4, 1000)
        >>> store.size_bytes(0), [piece() for piece in pieces], sizes_bytes.tolist()
        (17, [b'leadertiletrailer'], [[4]])
    """

    def __init__(
        self,
        tile_counts: Sequence[int],
        parts: int,
        *,
        limit_bytes: int,
        open_spool: Callable[[], Spool],
        is_framed: bool = True,
    ) -> None:
        """Begin without tiles."""
        self._frame_bytes = FRAME_BYTES * is_framed
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._places = SpoolPlaces(open_spool)
        self._held: dict[tuple[int, int], bytes] = {}
        self._offsets_bytes = [np.full(count, _ABSENT, np.int64) for count in tile_counts]
        self._sizes_bytes = [np.zeros((count, parts), np.uint32) for count in tile_counts]
        self._level_bytes = [0] * len(tile_counts)

    def put(self, level: int, position: int, tiles: EncodedTiles) -> None:
        """Add a tile, with its mask where masks follow tiles."""
        size_bytes = tiles.total_bytes
        self._level_bytes[level] += size_bytes
        self._sizes_bytes[level][position] = tiles.sizes_bytes
        if size_bytes and self._held_bytes + size_bytes + ENTRY_BYTES > self._limit_bytes:
            self._offsets_bytes[level][position] = self._places.put(*tiles.pieces)
            return
        self._offsets_bytes[level][position] = _HELD
        if size_bytes:
            self._held_bytes += size_bytes + ENTRY_BYTES
            self._held[level, position] = b"".join(tiles.pieces)

    def size_bytes(self, level: int) -> int:
        """Return the length of all tiles of a level that were added, frames included."""
        return self._level_bytes[level]

    def take(
        self, level: int, first: int, stop: int, most_bytes: int
    ) -> tuple[list[Callable[[], bytes]], NDArray[np.uint32]]:
        """Remove and return neighbouring tiles: from a position on, up to the first that is missing."""
        last = self._last(level, first, stop, most_bytes)
        sizes_bytes = self._sizes_bytes[level][first:last]
        offsets_bytes = self._offsets_bytes[level][first:last].tolist()
        totals_bytes = framed_bytes(sizes_bytes, self._frame_bytes).sum(axis=1).tolist()
        self._offsets_bytes[level][first:last] = _ABSENT
        pieces: list[Callable[[], bytes]] = []
        run = range(0)  # of the spool's bytes, which is read at once
        for position, offset_bytes, total_bytes in zip(range(first, last), offsets_bytes, totals_bytes, strict=True):
            if not total_bytes:
                continue
            if run and offset_bytes == run.stop:
                run = range(run.start, run.stop + total_bytes)
                continue
            pieces += self._read(run)
            run = range(0)
            if offset_bytes == _HELD:
                pieces.append(partial(bytes, self._held.pop((level, position))))
                self._held_bytes -= total_bytes + ENTRY_BYTES
            else:
                run = range(offset_bytes, offset_bytes + total_bytes)
        return pieces + self._read(run), sizes_bytes

    def _read(self, run: range) -> list[Callable[[], bytes]]:
        return [partial(self._places.get, run.start, len(run))] if run else []

    def _last(self, level: int, first: int, stop: int, most_bytes: int) -> int:
        """Return the position before which the tiles end that are there and fit."""
        last = first
        while last < stop and most_bytes > 0:
            there = self._offsets_bytes[level][last : min(stop, last + _LOOK_AHEAD)] != _ABSENT
            count = len(there) if there.all() else int(np.argmin(there))
            sizes_bytes = self._sizes_bytes[level][last : last + count]
            sums_bytes = np.cumsum(framed_bytes(sizes_bytes, self._frame_bytes).sum(axis=1))
            fitting = min(count, int(np.searchsorted(sums_bytes, most_bytes)) + 1)
            last += fitting
            if fitting < len(there):
                break
            most_bytes -= int(sums_bytes[-1])
        return last


def framed_bytes(sizes_bytes: NDArray[np.uint32], frame_bytes: int) -> NDArray[np.int64]:
    """Return the bytes that tiles take in the file: their frames included, none for sparse tiles.

    Example:
        >>> framed_bytes(np.array([10, 0], "uint32"), 8)
        array([18,  0])
    """
    return np.where(sizes_bytes > 0, sizes_bytes.astype(np.int64) + frame_bytes, 0)
