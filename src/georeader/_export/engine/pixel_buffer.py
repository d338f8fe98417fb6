"""Buffer of pixels by block: in memory, and beyond a limit in a spool on disk."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._export.spool import Spool, SpoolPlaces
from georeader._resample.pyramid import Mask


@dataclass
class BufferedBlock:
    """Pixels of a block."""

    pixels: NDArray[Any]  #: (band, row, column), contiguous
    mask: Mask  #: (row, column), or None
    missing_px: int  #: Pixels of the block that are not written yet

    @property
    def size_bytes(self) -> int:
        """Memory of pixels and mask."""
        return self.pixels.nbytes + (0 if self.mask is None else self.mask.nbytes)


@dataclass(frozen=True)
class _Spooled:
    """Offsets, shape and dtype of a spooled block."""

    pixels_bytes: int
    mask_bytes: int | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    missing_px: int


class PixelBuffer:
    """Blocks by their keys; the least recently used are spooled.

    Example:
        >>> store = PixelBuffer(1000, lambda: None)
        >>> store.put("block", BufferedBlock(np.ones((1, 2, 2)), None, 0))
        >>> "block" in store, store.held_bytes, store.pop("block").pixels.sum()
        (True, 32, np.float64(4.0))
    """

    def __init__(self, limit_bytes: int, open_spool: Callable[[], Spool]) -> None:
        """Begin without blocks."""
        self.held_bytes = 0
        self._limit_bytes = limit_bytes
        self._places = SpoolPlaces(open_spool)
        self._held: OrderedDict[Hashable, BufferedBlock] = OrderedDict()
        self._spooled: dict[Hashable, _Spooled] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._held or key in self._spooled

    def put(self, key: Hashable, block: BufferedBlock) -> None:
        """Add a block that is not there yet."""
        self._held[key] = block
        self.held_bytes += block.size_bytes
        while self.held_bytes > self._limit_bytes and len(self._held) > 1:
            self._spool(*self._held.popitem(last=False))

    def get(self, key: Hashable) -> BufferedBlock:
        """Return a block, which may be written to until the next call."""
        if key in self._held:
            self._held.move_to_end(key)
        else:
            self.put(key, self._unspool(key))
        return self._held[key]

    def look(self, key: Hashable) -> BufferedBlock:
        """Return a block to read from, which stays where it is."""
        return self._held[key] if key in self._held else self._read(self._spooled[key])

    def pop(self, key: Hashable) -> BufferedBlock:
        """Remove and return a block."""
        if key not in self._held:
            return self._unspool(key)
        block = self._held.pop(key)
        self.held_bytes -= block.size_bytes
        return block

    def _spool(self, key: Hashable, block: BufferedBlock) -> None:
        mask = block.mask
        self._spooled[key] = _Spooled(
            self._places.put(block.pixels.reshape(-1).view(np.uint8).data),
            None if mask is None else self._places.put(mask.reshape(-1).view(np.uint8).data),
            block.pixels.shape,
            block.pixels.dtype,
            block.missing_px,
        )
        self.held_bytes -= block.size_bytes

    def _unspool(self, key: Hashable) -> BufferedBlock:
        place = self._spooled.pop(key)
        block = self._read(place)
        self._places.give_back(place.pixels_bytes, block.pixels.nbytes)
        if place.mask_bytes is not None and block.mask is not None:
            self._places.give_back(place.mask_bytes, block.mask.nbytes)
        return block

    def _read(self, place: _Spooled) -> BufferedBlock:
        count = math.prod(place.shape)
        pixels = np.frombuffer(
            bytearray(self._places.get(place.pixels_bytes, count * place.dtype.itemsize)), place.dtype
        )
        mask = None
        if place.mask_bytes is not None:
            size_px = math.prod(place.shape[1:])
            mask = np.frombuffer(bytearray(self._places.get(place.mask_bytes, size_px)), bool).reshape(place.shape[1:])
        return BufferedBlock(pixels.reshape(place.shape), mask, place.missing_px)
