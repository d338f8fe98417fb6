"""Buffers of pixels by block, and of encoded tiles: in memory, and beyond a limit in a spool on disk."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.tiles import EncodedTiles
from georeader._core.windows import Mask, PixelWindow
from georeader._export.spool import OpenSpool, SpoolPlaces
from georeader._tiff.cog_layout import FRAME_BYTES

_ABSENT, _HELD = -1, -2

#: Memory of a buffered tile beside its bytes: Python objects, and an entry in a table.
ENTRY_BYTES = 250


class WindowPixels(NamedTuple):
    """The (band, row, column) pixels of a window, and their (row, column) mask."""

    window: PixelWindow
    pixels: NDArray[Any]
    mask: Mask

    @property
    def size_bytes(self) -> int:
        """Memory of pixels and mask."""
        return self.pixels.nbytes + (0 if self.mask is None else self.mask.nbytes)

    def cut(self, window: PixelWindow) -> tuple[NDArray[Any], Mask]:
        """Return pixels and mask of a window within this one."""
        rows, columns = window.within(self.window)
        return self.pixels[:, rows, columns], None if self.mask is None else self.mask[rows, columns]


class _Spooled(NamedTuple):
    """A block in the spool, its mask behind its pixels."""

    offset_bytes: int
    size_bytes: int
    window: PixelWindow
    dtype: np.dtype[Any]
    has_mask: bool


class PixelBuffer:
    """Blocks by their keys; the least recently used are spooled. One block is always held in memory."""

    def __init__(self, limit_bytes: int, open_spool: OpenSpool) -> None:
        self.held_bytes = 0
        self._limit_bytes = limit_bytes
        self._places = SpoolPlaces(open_spool)
        self._held: OrderedDict[Hashable, WindowPixels] = OrderedDict()
        self._spooled: dict[Hashable, _Spooled] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._held or key in self._spooled

    def put(self, key: Hashable, block: WindowPixels) -> None:
        """Add a block that is not there yet."""
        self._held[key] = block
        self.held_bytes += block.size_bytes
        while self.held_bytes > self._limit_bytes and len(self._held) > 1:
            oldest = next(iter(self._held))
            self._spool(oldest, self._held[oldest])
            del self._held[oldest]  # once it is spooled: the disk may be full

    def get(self, key: Hashable) -> WindowPixels:
        """Return a block, which may be written to until the next call."""
        if key in self._held:
            self._held.move_to_end(key)
        else:
            self.put(key, self._unspool(key))
        return self._held[key]

    def look(self, key: Hashable) -> WindowPixels:
        """Return a block to read from, which stays where it is."""
        return self._held[key] if key in self._held else self._read(self._spooled[key])

    def pop(self, key: Hashable) -> WindowPixels:
        """Remove and return a block."""
        if key not in self._held:
            return self._unspool(key)
        block = self._held.pop(key)
        self.held_bytes -= block.size_bytes
        return block

    def discard(self, key: Hashable) -> None:
        """Remove a block, if it is there, without reading it."""
        if key in self._held:
            self.held_bytes -= self._held.pop(key).size_bytes
        elif key in self._spooled:
            place = self._spooled.pop(key)
            self._places.give_back(place.offset_bytes, place.size_bytes)

    def _spool(self, key: Hashable, block: WindowPixels) -> None:
        arrays = [block.pixels] if block.mask is None else [block.pixels, block.mask]
        offset_bytes = self._places.put(*(array.reshape(-1).view(np.uint8).data for array in arrays))
        size_bytes, has_mask = block.size_bytes, block.mask is not None
        self._spooled[key] = _Spooled(offset_bytes, size_bytes, block.window, block.pixels.dtype, has_mask)
        self.held_bytes -= size_bytes

    def _unspool(self, key: Hashable) -> WindowPixels:
        place = self._spooled.pop(key)
        block = self._read(place)
        self._places.give_back(place.offset_bytes, place.size_bytes)
        return block

    def _read(self, place: _Spooled) -> WindowPixels:
        data = bytearray(self._places.get(place.offset_bytes, place.size_bytes))
        mask_bytes = math.prod(place.window.shape) if place.has_mask else 0
        pixels = np.frombuffer(data, place.dtype, (len(data) - mask_bytes) // place.dtype.itemsize)
        mask = np.frombuffer(data, bool, offset=pixels.nbytes).reshape(place.window.shape) if place.has_mask else None
        return WindowPixels(place.window, pixels.reshape(-1, *place.window.shape), mask)


class TileBuffer:
    """Tiles of each level by their position in the file's order, until each is taken once.

    A tile and the mask that follows it count as one: then a position has two parts. The limit of memory includes
    `ENTRY_BYTES` for each tile. Beyond it: 8 bytes for each tile of the file, and 4 for the size of each tile and mask.
    """

    def __init__(
        self, tile_counts: Sequence[int], parts: int, *, limit_bytes: int, open_spool: OpenSpool, is_framed: bool = True
    ) -> None:
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
        """Remove and return neighbouring tiles: from a position on, up to the first that is missing.

        No tile follows after ``most_bytes``. Returns functions that read the tiles as they lie in the file, piece by
        piece, on any thread, and the (tile, part) sizes without frames.
        """
        offsets_bytes, sizes_bytes = self._offsets_bytes[level], self._sizes_bytes[level]
        pieces: list[Callable[[], bytes]] = []
        run = range(0)  # of the spool's bytes, which is read at once
        position = first
        while position < stop and most_bytes > 0 and offsets_bytes[position] != _ABSENT:
            offset_bytes = int(offsets_bytes[position])
            total_bytes = sum(size + self._frame_bytes for size in sizes_bytes[position].tolist() if size)
            if total_bytes and offset_bytes == _HELD:
                pieces += [*self._read(run), partial(bytes, self._held.pop((level, position)))]
                run = range(0)
                self._held_bytes -= total_bytes + ENTRY_BYTES
            elif total_bytes and offset_bytes == run.stop:
                run = range(run.start, run.stop + total_bytes)
            elif total_bytes:
                pieces += self._read(run)
                run = range(offset_bytes, offset_bytes + total_bytes)
            most_bytes -= total_bytes
            position += 1
        offsets_bytes[first:position] = _ABSENT
        return pieces + self._read(run), sizes_bytes[first:position]

    def _read(self, run: range) -> list[Callable[[], bytes]]:
        return [partial(self._places.get, run.start, len(run))] if run else []
