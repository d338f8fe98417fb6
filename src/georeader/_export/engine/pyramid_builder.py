"""Pyramid builder: turns pixels of the full resolution, as they come, into tasks on the blocks of all levels.

A block can be processed once its pixels are complete, and those of its neighbours if the resampling method needs a
margin. Its result has pixels of the level after next, which complete other blocks, and so on to the smallest overview.
Pixels of a few rows of blocks per level wait; beyond a limit of memory they are spooled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.tiles import EncodedTiles, TileEncoder, join_tiles
from georeader._core.threads import Task
from georeader._core.windows import Mask, PixelWindow, ReadWindow
from georeader._export.engine.buffers import PixelBuffer, WindowPixels
from georeader._export.plan.file_plan import FilePlan
from georeader._export.plan.grid import BlockGrid, BlockIndex, Level
from georeader._export.plan.order_of_work import Work
from georeader._export.statistics import BandStatistics, band_statistics
from georeader._resample.pyramid import Reduction, reduce_twice
from georeader.errors import ReadError, TileError, WriteError

#: (level, plane, row of tiles, column of tiles)
TileKey = tuple[int, int, int, int]

#: (row, column) of a tile, and the statistics of its pixels, one per band.
TileStatistics = tuple[tuple[int, int], tuple[BandStatistics, ...]]


@dataclass(frozen=True)
class BlockPlan:
    """The task for blocks of one level."""

    plan: FilePlan
    bands: range  #: Bands of the file in a block
    first: int  #: Number of the level
    step: int  #: Levels to encode: this one, and the next where it is 2
    encodes_first: bool  #: Encode this level too; False: only those made of it
    measures: bool  #: Compute statistics of this level's pixels

    @property
    def levels(self) -> tuple[Level, ...]:
        """This level, and those to which its pixels are reduced."""
        return self.plan.levels[self.first : self.first + self.step + 1]

    @property
    def reduction(self) -> Reduction:
        """Reduction of these bands."""
        whole = self.plan.reduction
        return replace(whole, methods=whole.methods[self.bands.start : self.bands.stop])

    def smallest(self, window: PixelWindow) -> PixelWindow:
        """Return the window of a block in the last of its levels."""
        factor = 2 ** (len(self.levels) - 1)
        return PixelWindow(*(-(-edge // factor) for edge in window))

    def needed(self, window: PixelWindow) -> PixelWindow:
        """Return the window of the pixels that a block needs, margins included."""
        needed = self.smallest(window)
        for level in reversed(self.levels[:-1]):
            needed = self.plan.reduction.source_window(needed, level.shape)
        return needed


@dataclass(frozen=True)
class BlockResult:
    """The result of one block."""

    bands: range  #: Bands of the file in the block
    tiles: tuple[tuple[TileKey, EncodedTiles], ...]
    passed: tuple[int, WindowPixels] | None  #: Number and pixels of the level of which the next ones are made
    statistics: tuple[TileStatistics, ...] = ()


def process_block(block: BlockPlan, read: ReadWindow, window: PixelWindow) -> BlockResult:
    """Encode the tiles of a block and of the next level, and reduce its pixels to those of the level after."""
    statistics: tuple[TileStatistics, ...] = ()
    tiles: list[tuple[TileKey, EncodedTiles]] = []
    passed = None
    first, *following = block.levels
    if block.measures or block.encodes_first:
        pixels = WindowPixels(window, *read(window))
        if block.measures:
            statistics = tuple(_measure(first, block.reduction, pixels))
        if block.encodes_first:
            tiles += _encode(first, block, pixels)
    if following:
        shapes = tuple(level.shape for level in block.levels)
        reduced = reduce_twice(read, block.reduction, shapes, block.smallest(window))
        for level, pixels in zip(following, map(WindowPixels._make, reduced), strict=True):
            if level.number == block.first + block.step:
                passed = (level.number, pixels)
            else:
                tiles += _encode(level, block, pixels)
    return BlockResult(block.bands, tuple(tiles), passed, statistics)


def _encode(level: Level, block: BlockPlan, pixels: WindowPixels) -> Iterator[tuple[TileKey, EncodedTiles]]:
    """Encode the tiles of a window that begins where a tile begins; of planar tiles, masks are a plane of their own."""
    encoder, has_planes = block.plan.encoders[level.number], level.planes > 1
    planes = [(band, slice(at, at + 1)) for at, band in enumerate(block.bands)] if has_planes else [(0, slice(None))]
    for place in level.tiles.touched(pixels.window):
        values, mask = pixels.cut(level.tiles.window(place))
        for plane, chosen in planes:
            key = (level.number, plane, *place)
            yield key, encode_one(encoder, values[chosen], None if has_planes else mask, key).compact()
        if mask is not None and has_planes:
            key = (level.number, level.planes, *place)
            yield key, encode_one(encoder, None, mask, key).compact()


def encode_one(encoder: TileEncoder, pixels: NDArray[Any] | None, mask: Mask, key: TileKey) -> EncodedTiles:
    """Encode one tile, its mask behind it; either may be missing."""
    parts = []
    try:
        if pixels is not None:
            parts.append(encoder.encode_tile(pixels))
        if mask is not None:
            parts.append((encoder.encode_mask(mask), ()))
    except (WriteError, ReadError) as error:
        level, plane, row, column = key
        name = "full resolution" if level == 0 else f"overview {level} (1:{2**level})"
        raise TileError(f"{name}, plane {plane}: the tile at row {row}, column {column}: {error}") from error
    return join_tiles(parts, is_framed=encoder.is_framed)


def _measure(level: Level, reduction: Reduction, pixels: WindowPixels) -> Iterator[TileStatistics]:
    """Iterate over statistics of tiles, whose digits do not depend on the size of blocks."""
    for place in level.tiles.touched(pixels.window):
        tile, mask = pixels.cut(level.tiles.window(place))
        valid = [_valid(tile, mask, reduction, band) for band in range(len(tile))]
        yield place, tuple(map(band_statistics, tile, valid))


def _valid(pixels: NDArray[Any], mask: Mask, reduction: Reduction, band: int) -> Mask:
    """Return where pixels of a band are valid, as for overviews; None: everywhere."""
    is_valid, nodata = reduction.validity(pixels, mask, band)
    parts = [is_valid] if is_valid is not None else []
    if pixels.dtype.kind in "fc":
        parts.append(~np.isnan(pixels[band]))
    if nodata is not None and nodata == nodata:
        parts.append(pixels[band] != nodata)
    return np.logical_and.reduce(parts) if parts else None


class PyramidBuilder:
    """Builds the pyramid of some bands, which are read together."""

    def __init__(self, plan: FilePlan, work: Work, bands: range, store: PixelBuffer, *, encodes_base: bool) -> None:
        firsts = range(bands.start, bands.stop, work.block_bands)
        self.band_groups = tuple(range(first, min(first + work.block_bands, bands.stop)) for first in firsts)
        self._levels = {
            (group, level.number): _BlockLevel(
                BlockPlan(
                    plan,
                    group,
                    level.number,
                    work.step,
                    encodes_first=encodes_base or level.number > 0,
                    measures=level.number == 0 and plan.spec.statistics,
                ),
                BlockGrid(level.height_px, level.width_px, work.block_height_px, work.block_width_px),
                store,
            )
            for level in plan.levels[:: work.step]
            for group in self.band_groups
        }

    def base(self, group: range) -> tuple[BlockPlan, BlockGrid]:
        """Return the task of the full resolution, and its blocks."""
        return self._levels[group, 0].block_plan, self._levels[group, 0].grid

    def accept(self, level: int, bands: range, given: WindowPixels) -> Iterator[Task[BlockResult]]:
        """Store pixels, each once, of all bands or of one group, and iterate over tasks that they complete."""
        for group in self.band_groups:
            if group.start in bands:
                chosen = given.pixels[group.start - bands.start : group.stop - bands.start]
                yield from self._levels[group, level].accept(given._replace(pixels=chosen))


class _BlockLevel:
    """The blocks of one level and of one group of bands."""

    def __init__(self, block_plan: BlockPlan, grid: BlockGrid, store: PixelBuffer) -> None:
        self.block_plan = block_plan
        self.grid = grid
        self._store = store
        self._needs_margin = block_plan.plan.reduction.margin_px > 0 and len(block_plan.levels) > 1
        #: Blocks in the buffer of which pixels are missing.
        self._missing_px: dict[BlockIndex, int] = {}
        self._complete: set[BlockIndex] = set()
        #: Blocks in the buffer, with the number of their neighbours that are not processed yet.
        self._users: dict[BlockIndex, int] = {}

    def accept(self, given: WindowPixels) -> Iterator[Task[BlockResult]]:
        for block in self.grid.touched(given.window):
            window = self.grid.window(block).intersection(given.window)
            part = WindowPixels(window, *given.cut(window))
            if window == self.grid.window(block) and not self._needs_margin:
                yield self._task(block, part)
            elif self._store_part(block, part):
                yield from self._completed(block)

    def _store_part(self, block: BlockIndex, part: WindowPixels) -> bool:
        """Store some pixels of a block; return whether it is complete."""
        own, key = self.grid.window(block), self._key(block)
        if key not in self._store:
            self._store.put(key, self._empty(own))
            self._missing_px[block] = math.prod(own.shape)
        _copy(part, self._store.get(key), part.window)
        self._missing_px[block] -= math.prod(part.window.shape)
        return not self._missing_px[block]

    def _completed(self, block: BlockIndex) -> Iterator[Task[BlockResult]]:
        del self._missing_px[block]
        if not self._needs_margin:
            yield self._task(block, self._store.pop(self._key(block)))
            return
        self._complete.add(block)
        around = list(self.grid.neighbours(block))
        self._users[block] = len(around)
        for target in around:
            if self._complete.issuperset(self.grid.neighbours(target)):
                yield self._task(target, self._gathered(target))

    def _gathered(self, target: BlockIndex) -> WindowPixels:
        """Copy the pixels that a block needs from the blocks around it, and remove those that no other block needs."""
        needed = self.block_plan.needed(self.grid.window(target))
        gathered = self._empty(needed)
        for block in self.grid.neighbours(target):
            held = self._store.get(self._key(block))
            _copy(held, gathered, held.window.intersection(needed))
            self._users[block] -= 1
            if not self._users[block]:
                del self._users[block]
                self._store.pop(self._key(block))
        return gathered

    def _empty(self, window: PixelWindow) -> WindowPixels:
        spec = self.block_plan.plan.spec
        pixels = np.empty((len(self.block_plan.bands), *window.shape), spec.dtype)
        return WindowPixels(window, pixels, None if spec.mask is None else np.empty(window.shape, bool))

    def _key(self, block: BlockIndex) -> tuple[int, int, BlockIndex]:
        return self.block_plan.bands.start, self.block_plan.first, block

    def _task(self, block: BlockIndex, given: WindowPixels) -> Task[BlockResult]:
        work = partial(process_block, self.block_plan, given.cut, self.grid.window(block))
        return Task(work, given.pixels.nbytes)


def _copy(source: WindowPixels, target: WindowPixels, window: PixelWindow) -> None:
    """Copy the pixels of a window from one to the other; nothing if it is empty."""
    if min(window.shape) > 0:
        values, mask = source.cut(window)
        target.pixels[:, *window.within(target.window)] = values
        if mask is not None and target.mask is not None:
            target.mask[window.within(target.window)] = mask
