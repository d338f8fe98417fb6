"""Buffer of windows that are written in any order: blocks in memory, and beyond a limit in a spool on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import PixelWindow
from georeader._export.engine.buffers import BufferedBlock, PixelBuffer
from georeader._export.plan.grid import BlockGrid, BlockIndex
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import SourceTraits, regular_chunks
from georeader._export.spool import Spool
from georeader._resample.pyramid import Mask

#: Smallest height and width of a block, if it holds all bands.
BLOCK_SIDE_PX = 512

#: The same if it does not: a window of all bands touches a block for each of their groups.
MANY_BANDS_BLOCK_SIDE_PX = 256

#: Bytes of a pixel of the bands that share a block.
BLOCK_PIXEL_BYTES = 8


@dataclass
class WindowBuffer:
    """A source whose pixels are written before it is read, from any thread.

    Where two windows overlap, the last one written wins; each window is written as a whole, before or after any other.
    Blocks without written pixels have the fill value, and take neither memory nor disk.
    """

    name: str  #: Subject of messages
    spec: SourceSpec  #: Description of the raster
    fill: int | float  #: Value of pixels that are not written
    tile_shape: tuple[int, int]  #: (rows, columns) of a tile of the file; blocks are whole tiles
    limit_bytes: int  #: Memory for blocks
    open_spool: Callable[[], Spool]  #: Opens the spool when it is first needed; its owner closes it
    traits: SourceTraits = field(init=False)

    def __post_init__(self) -> None:
        """Divide the raster into blocks; nothing is written yet."""
        self._bands_per_block = max(1, BLOCK_PIXEL_BYTES // self.spec.dtype.itemsize)
        least_px = BLOCK_SIDE_PX if self.spec.count <= self._bands_per_block else MANY_BANDS_BLOCK_SIDE_PX
        height_px, width_px = (-(-least_px // side_px) * side_px for side_px in self.tile_shape)
        self._grid = BlockGrid(self.spec.height_px, self.spec.width_px, height_px, width_px)
        self._store = PixelBuffer(self.limit_bytes, self.open_spool)
        self._lock = threading.Lock()
        shape = (self.spec.count, self.spec.height_px, self.spec.width_px)
        self.traits = SourceTraits(chunks=regular_chunks(shape, (self._bands_per_block, height_px, width_px)))

    def write(self, window: PixelWindow, bands: Sequence[int], pixels: NDArray[Any]) -> None:
        """Write some bands of a window."""
        with self._lock:
            for block in self._grid.touched(window):
                own = self._grid.window(block)
                part = own.intersection(window)
                for group, places in self._groups(bands):
                    held = self._block(block, group, own)
                    # One band after the other: numpy copies what a list of bands selects.
                    for place in places:
                        held.pixels[(bands[place] - group.start, *part.within(own))] = pixels[
                            (place, *part.within(window))
                        ]

    def read(self, window: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read what was written, the fill value elsewhere."""
        pixels = np.full((len(bands), *window.shape), self.fill, self.spec.dtype)
        with self._lock:
            for block in self._grid.touched(window):
                own = self._grid.window(block)
                part = own.intersection(window)
                for group, places in self._groups(bands):
                    if (block, group.start) in self._store:
                        held = self._store.look((block, group.start))
                        chosen = slice(bands[places[0]] - group.start, bands[places[-1]] - group.start + 1)
                        pixels[places[0] : places[-1] + 1, *part.within(window)] = held.pixels[
                            chosen, *part.within(own)
                        ]
        return pixels, None

    def close(self) -> None:
        """Release the pixels; the owner of the spool closes it."""
        self._store = PixelBuffer(0, self.open_spool)

    def _groups(self, bands: Sequence[int]) -> Iterator[tuple[range, list[int]]]:
        """Iterate over groups of bands that share blocks, each with the positions of its bands among ``bands``."""
        groups: dict[int, list[int]] = {}
        for place, band in enumerate(bands):
            groups.setdefault(band // self._bands_per_block, []).append(place)
        for number, places in groups.items():
            first = number * self._bands_per_block
            yield range(first, min(first + self._bands_per_block, self.spec.count)), places

    def _block(self, block: BlockIndex, group: range, own: PixelWindow) -> BufferedBlock:
        key = block, group.start
        if key not in self._store:
            self._store.put(key, BufferedBlock(np.full((len(group), *own.shape), self.fill, self.spec.dtype), None))
        return self._store.get(key)
