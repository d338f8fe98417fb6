"""Buffer of windows that are written in any order: blocks in memory, and beyond a limit in a spool on disk."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import Mask, PixelWindow
from georeader._export.engine.buffers import PixelBuffer, WindowPixels
from georeader._export.plan.grid import BlockGrid, BlockIndex
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import SourceTraits, regular_chunks
from georeader._export.spool import OpenSpool
from georeader._export.writer.blends import CheckedPixels

#: Smallest height and width of a block, if it holds all bands.
BLOCK_SIDE_PX = 512

#: The same if it does not: a window of all bands touches a block for each of their groups.
MANY_BANDS_BLOCK_SIDE_PX = 256

#: Bytes of a pixel of the bands that share a block.
BLOCK_PIXEL_BYTES = 8


class BlockPart(NamedTuple):
    """The part of a window that lies in one block."""

    key: tuple[BlockIndex, int]  #: The block, and the first of its bands
    block: PixelWindow
    block_bands: int
    bands: list[tuple[int, int]]  #: (position in the window, position in the block)
    in_block: tuple[slice, slice]
    in_window: tuple[slice, slice]


@dataclass
class WindowBuffer:
    """A source whose pixels are written before it is read, from any thread.

    Where two windows overlap, the last one written wins; each window is written as a whole, before or after any other.
    Blocks without written pixels have the fill value, and take neither memory nor disk.
    """

    name: str  #: Subject of messages
    spec: SourceSpec
    fill: int | float  #: Value of pixels that are not written
    tile_shape: tuple[int, int]  #: (rows, columns) of a tile of the file; blocks are whole tiles
    limit_bytes: int  #: Memory for blocks
    open_spool: OpenSpool
    traits: SourceTraits = field(init=False)

    def __post_init__(self) -> None:
        self._bands_per_block, (height_px, width_px) = self._block_layout()
        self._grid = BlockGrid(*self.spec.shape[1:], height_px, width_px)
        self._store = PixelBuffer(self.limit_bytes, self.open_spool)
        self._lock = threading.Lock()
        self.traits = SourceTraits(chunks=regular_chunks(self.spec.shape, (self._bands_per_block, height_px, width_px)))

    def _block_layout(self) -> tuple[int, tuple[int, int]]:
        """Return the bands that share a block, and its (rows, columns)."""
        bands = max(1, BLOCK_PIXEL_BYTES // self.spec.dtype.itemsize)
        least_px = BLOCK_SIDE_PX if self.spec.count <= bands else MANY_BANDS_BLOCK_SIDE_PX
        height_px, width_px = (-(-least_px // side_px) * side_px for side_px in self.tile_shape)
        return bands, (height_px, width_px)

    @property
    def _count(self) -> int:
        """The number of bands of windows."""
        return self.spec.count

    def check(self, given: CheckedPixels) -> None:
        """Raise GeoreaderError if a window does not fit those that were written."""

    def write(self, window: PixelWindow, bands: Sequence[int], given: CheckedPixels) -> None:
        """Copy pixels of the spec's dtype to a window; its bands are in any order."""
        with self._lock:
            for part in self._parts(window, bands):
                held = self._held(part)
                # One band after the other: numpy copies what a list of bands selects.
                for place, band in part.bands:
                    held.pixels[(band, *part.in_block)] = given.pixels[(place, *part.in_window)]

    def read(self, window: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read what was written, the fill value elsewhere."""
        pixels = np.full((len(bands), *window.shape), self.fill, self.spec.dtype)
        with self._lock:
            for part in self._parts(window, bands):
                if part.key in self._store:
                    held = self._store.look(part.key)
                    for place, band in part.bands:
                        pixels[(place, *part.in_window)] = held.pixels[(band, *part.in_block)]
        return pixels, None

    @property
    def block_height_px(self) -> int:
        """Rows of a block."""
        return self._grid.block_height_px

    def free(self, row_start: int, row_stop: int) -> None:
        """Drop the pixels of whole rows of blocks."""
        whole = PixelWindow(row_start, row_stop, 0, self.spec.width_px)
        with self._lock:
            for part in self._parts(whole, range(self._count)):
                for key in self._keys(part.key):
                    self._store.discard(key)

    def _keys(self, key: Hashable) -> Iterable[Hashable]:
        """Return the keys under which a block is stored."""
        return (key,)

    def close(self) -> None:
        """Release the pixels; the owner of the spool closes it."""
        self._store = PixelBuffer(0, self.open_spool)

    def _parts(self, window: PixelWindow, bands: Sequence[int]) -> Iterator[BlockPart]:
        """Iterate over the parts of a window in each block and in each group of bands that share blocks."""
        groups: dict[int, list[tuple[int, int]]] = {}
        for place, band in enumerate(bands):
            first = band - band % self._bands_per_block
            groups.setdefault(first, []).append((place, band - first))
        for block, (first, chosen) in product(self._grid.touched(window), groups.items()):
            own = self._grid.window(block)
            common = own.intersection(window)
            block_bands = min(self._bands_per_block, self._count - first)
            yield BlockPart((block, first), own, block_bands, chosen, common.within(own), common.within(window))

    def _held(self, part: BlockPart) -> WindowPixels:
        if part.key not in self._store:
            pixels = np.full((part.block_bands, *part.block.shape), self.fill, self.spec.dtype)
            self._store.put(part.key, WindowPixels(part.block, pixels, None))
        return self._store.get(part.key)
