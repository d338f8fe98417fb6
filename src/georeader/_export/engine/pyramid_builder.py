"""Pyramid builder: turns pixels of the full resolution, as they come, into tasks on the blocks of all levels.

Each level to which pixels are passed is divided into blocks. A block can be processed once its pixels are complete, and
those of its neighbours if the resampling method needs a margin. Its result has pixels of the level after next, which
complete other blocks, and so on to the smallest overview. The pixels that wait are those of a few rows of blocks per
level; beyond a limit of memory they are spooled.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.threads import Task
from georeader._core.windows import PixelWindow
from georeader._export.engine.block_tasks import BlockPlan, BlockResult, process_block
from georeader._export.engine.pixel_buffer import BufferedBlock, PixelBuffer
from georeader._export.plan.file_plan import FilePlan
from georeader._export.plan.grid import BlockGrid, BlockIndex
from georeader._export.plan.order_of_work import Work
from georeader._resample.pyramid import Mask


class PyramidBuilder:
    """Builds the pyramid of some bands."""

    def __init__(self, plan: FilePlan, work: Work, bands: range, store: PixelBuffer, *, encodes_base: bool) -> None:
        """Prepare the levels; there are no pixels yet."""
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

    def accept(
        self, level: int, bands: range, window: PixelWindow, pixels: NDArray[Any], mask: Mask
    ) -> Iterator[Task[BlockResult]]:
        """Store pixels, and iterate over the tasks that they complete."""
        for group in self.band_groups:
            if group.start in bands:
                chosen = pixels[group.start - bands.start : group.stop - bands.start]
                yield from self._levels[group, level].accept(window, chosen, mask)


class _BlockLevel:
    """The blocks of one level and of one group of bands."""

    def __init__(self, block_plan: BlockPlan, grid: BlockGrid, store: PixelBuffer) -> None:
        self.block_plan = block_plan
        self.grid = grid
        self._store = store
        self._needs_margin = block_plan.plan.reduction.margin_px > 0 and block_plan.first + 1 < len(
            block_plan.plan.levels
        )
        self._complete: set[BlockIndex] = set()
        #: Blocks in the buffer, with the number of their neighbours that are not processed yet.
        self._users: dict[BlockIndex, int] = {}

    def accept(self, window: PixelWindow, pixels: NDArray[Any], mask: Mask) -> Iterator[Task[BlockResult]]:
        for block in self.grid.touched(window):
            own = self.grid.window(block)
            part = own.intersection(window)
            rows, columns = part.within(window)
            part_mask = None if mask is None else mask[rows, columns]
            if part == own and not self._needs_margin:
                yield self._task(block, own, pixels[:, rows, columns], part_mask)
            elif self._store_part(block, part, pixels[:, rows, columns], part_mask):
                yield from self._completed(block)

    def _store_part(self, block: BlockIndex, part: PixelWindow, pixels: NDArray[Any], mask: Mask) -> bool:
        """Store some pixels of a block; return whether it is complete."""
        own, key = self.grid.window(block), self._key(block)
        if key not in self._store:
            size_px = own.shape[0] * own.shape[1]
            empty = np.empty((len(pixels), *own.shape), pixels.dtype)
            self._store.put(key, BufferedBlock(empty, None if mask is None else np.empty(own.shape, bool), size_px))
        held = self._store.get(key)
        rows, columns = part.within(own)
        held.pixels[:, rows, columns] = pixels
        if held.mask is not None and mask is not None:
            held.mask[rows, columns] = mask
        held.missing_px -= part.shape[0] * part.shape[1]
        return held.missing_px == 0

    def _completed(self, block: BlockIndex) -> Iterator[Task[BlockResult]]:
        if not self._needs_margin:
            held = self._store.pop(self._key(block))
            yield self._task(block, self.grid.window(block), held.pixels, held.mask)
            return
        self._complete.add(block)
        around = list(self.grid.neighbours(block))
        self._users[block] = len(around)
        for target in around:
            if all(other in self._complete for other in self.grid.neighbours(target)):
                yield self._task(target, *self._gathered(target))

    def _gathered(self, target: BlockIndex) -> tuple[PixelWindow, NDArray[Any], Mask]:
        """Copy the pixels that a block needs from the blocks around it, and remove those that no other block needs."""
        needed = self.block_plan.needed(self.grid.window(target))
        pixels: NDArray[Any] | None = None
        mask: Mask = None
        for block in self.grid.neighbours(target):
            own = self.grid.window(block)
            held = self._store.get(self._key(block))
            if pixels is None:
                pixels = np.empty((len(held.pixels), *needed.shape), held.pixels.dtype)
                mask = None if held.mask is None else np.empty(needed.shape, bool)
            part = own.intersection(needed)
            if part.shape[0] > 0 and part.shape[1] > 0:
                pixels[:, *part.within(needed)] = held.pixels[:, *part.within(own)]
                if mask is not None and held.mask is not None:
                    mask[part.within(needed)] = held.mask[part.within(own)]
            self._users[block] -= 1
            if not self._users[block]:
                del self._users[block]
                self._store.pop(self._key(block))
        if pixels is None:
            raise KeyError(target)
        return needed, pixels, mask

    def _key(self, block: BlockIndex) -> tuple[int, int, BlockIndex]:
        return self.block_plan.bands.start, self.block_plan.first, block

    def _task(self, block: BlockIndex, given: PixelWindow, pixels: NDArray[Any], mask: Mask) -> Task[BlockResult]:
        read = partial(_cut, given, pixels, mask)
        return Task(partial(process_block, self.block_plan, read, self.grid.window(block)), pixels.nbytes)


def _cut(given: PixelWindow, pixels: NDArray[Any], mask: Mask, window: PixelWindow) -> tuple[NDArray[Any], Mask]:
    rows, columns = window.within(given)
    return pixels[:, rows, columns], None if mask is None else mask[rows, columns]
