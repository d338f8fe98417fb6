"""Requests of a viewer to open a file, and then to show a thumbnail. Pure.

The model is GDAL's /vsicurl with its defaults: a file is read in cached blocks of 16 KiB, and a read that begins where
the last request ended asks for twice as many blocks as that one did. To open a file, its header is read, then each
directory with its values in the order of the chain, without the arrays of tiles. For a thumbnail, the arrays of one
level and of its mask are read, then their tiles (of at most three bands) in file order, those within a block of one
another at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

from georeader._readers.measurement import Extent, MeasuredDirectory, Measurement, ViewerCost, tile_table

#: Blocks in which /vsicurl reads.
BLOCK_BYTES = 16 * 1024

#: Most blocks of one request, and in the cache of /vsicurl.
MAX_BLOCKS = 1000

#: A thumbnail is made of the smallest overview whose longer side has this many pixels.
THUMBNAIL_PX = 256

#: Most bands of a thumbnail.
SHOWN_BANDS = 3


class RequestCounter:
    """Counter of requests and bytes of a reader that reads in blocks."""

    def __init__(self, size_bytes: int) -> None:
        self.requests = 0
        self.bytes_sent = 0
        self._size_bytes = size_bytes
        self._starts: list[int] = []  # runs of cached blocks, in order
        self._stops: list[int] = []
        self._following = -1
        self._blocks = 1

    def read(self, offset_bytes: int, length_bytes: int) -> None:
        """Count a read inside the file."""
        block, stop = offset_bytes // BLOCK_BYTES, -(-(offset_bytes + length_bytes) // BLOCK_BYTES)
        while block < stop:
            run = bisect_right(self._starts, block) - 1
            is_kept = run >= 0 and self._stops[run] > block
            block = self._stops[run] if is_kept else self._request(block, stop, run + 1)

    def read_all(self, extents: Iterable[Extent]) -> None:
        """Count reads one after the other."""
        for extent in extents:
            self.read(extent.offset_bytes, extent.length_bytes)

    def _request(self, block: int, stop: int, run: int) -> int:
        """Request blocks from one on, up to cached ones; return the one behind them."""
        self._blocks = 2 * self._blocks if block == self._following else 1
        self._blocks = min(max(self._blocks, stop - block), MAX_BLOCKS)
        if run < len(self._starts):
            self._blocks = min(self._blocks, self._starts[run] - block)
        self._following = block + self._blocks
        if run and self._stops[run - 1] == block:
            self._stops[run - 1] = self._following
        else:
            self._starts.insert(run, block)
            self._stops.insert(run, self._following)
        self.requests += 1
        self.bytes_sent += max(0, min(self._size_bytes, self._following * BLOCK_BYTES) - block * BLOCK_BYTES)
        return self._following


def viewer_cost(measurement: Measurement) -> ViewerCost | None:
    """Return the requests of a viewer; None if the levels are not known."""
    layouts = [one.layout for one in measurement.images]
    sizes = [(layout.width_px, layout.height_px) for layout in layouts if layout is not None]
    if not sizes or len(sizes) < len(layouts):
        return None
    overviews = range(1, len(sizes)) or range(1)
    large_enough = [level for level in overviews if max(sizes[level]) >= THUMBNAIL_PX]
    level = min(large_enough or overviews, key=lambda level: max(sizes[level]))
    counter = RequestCounter(measurement.size_bytes)
    counter.read(0, measurement.header_bytes)
    for directory in measurement.directories:
        counter.read_all([directory.extent, *directory.values])
    opened = counter.requests, counter.bytes_sent
    shown = [one for one in measurement.directories if one.role.level == level]
    counter.read_all(extent for one in shown for extent in one.arrays)
    counter.read_all(_tiles_of(shown, measurement.size_bytes))
    return ViewerCost(*opened, counter.requests - opened[0], counter.bytes_sent - opened[1], level, *sizes[level])


def _tiles_of(directories: Sequence[MeasuredDirectory], size_bytes: int) -> list[Extent]:
    """Return the extents of the tiles of a thumbnail, those within a block of one another as one."""
    table = tile_table(directories, size_bytes)
    is_shown = np.zeros(len(table), bool)
    for directory in directories:
        if directory.layout is not None:
            shown = SHOWN_BANDS * directory.layout.tiles_across * directory.layout.tiles_down
            is_shown |= (table.directories == directory.number) & (table.tiles < shown)
    table = table.chosen(is_shown)
    if not len(table):
        return []
    ends = np.maximum.accumulate(table.ends)
    is_first = np.append(True, table.starts[1:] > ends[:-1] + BLOCK_BYTES)
    is_last = np.append(is_first[1:], True)
    pairs = zip(table.starts[is_first].tolist(), ends[is_last].tolist(), strict=True)
    return [Extent(start, end - start) for start, end in pairs]
