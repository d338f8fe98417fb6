"""From pixels of the full resolution, as they come, to those of every overview: which cell can be worked at, and when.

Each level that pixels are passed on to is cut into cells. A cell is worked at once its pixels are there, and those of
its neighbours where the resampling method looks at them; its work gives pixels of the level after next, which complete
other cells, and so on to the smallest overview. Pixels wait in memory for a few rows of cells a level, and on disk
beyond the memory that they are given.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.threads import Task
from georeader._export.engine.block_tasks import CellPlan, CellResult, work_cell
from georeader._export.engine.pixel_buffer import Held, PixelStore
from georeader._export.plan.block_grid import Cell, CellGrid, common
from georeader._export.plan.file_plan import StreamPlan
from georeader._export.plan.order_of_work import Work
from georeader._resample.pyramid import Mask, Region


class Cascade:
    """The levels of some bands, on their way from one to the next."""

    def __init__(self, plan: StreamPlan, work: Work, bands: range, store: PixelStore, *, encodes_base: bool) -> None:
        """Begin with no pixels.

        Args:
            plan: The file.
            work: How it is made.
            bands: Of the file, that are read together.
            store: Keeps pixels that wait.
            encodes_base: Encode the full resolution too.
        """
        firsts = range(bands.start, bands.stop, work.cell_bands)
        self.band_groups = tuple(range(first, min(first + work.cell_bands, bands.stop)) for first in firsts)
        self._levels = {
            (group, level.number): _Canvas(
                CellPlan(
                    plan,
                    group,
                    level.number,
                    work.step,
                    encodes_first=encodes_base or level.number > 0,
                    measures=level.number == 0 and plan.with_statistics,
                ),
                CellGrid(level.height_px, level.width_px, work.cell_height_px, work.cell_width_px),
                store,
            )
            for level in plan.levels[:: work.step]
            for group in self.band_groups
        }

    def base(self, group: range) -> tuple[CellPlan, CellGrid]:
        """Give what is to be done with the full resolution, and how it is cut.

        Args:
            group: One of ``band_groups``: bands that are worked at together.
        """
        return self._levels[group, 0].cell_plan, self._levels[group, 0].grid

    def accept(
        self, level: int, bands: range, region: Region, pixels: NDArray[Any], mask: Mask
    ) -> Iterator[Task[CellResult]]:
        """Take pixels, and give the work that can be done now.

        Args:
            level: Number of their level.
            bands: Of the file: all that are read together, or one of ``band_groups``.
            region: Where they lie; no pixel comes twice.
            pixels: (band, row, column).
            mask: (row, column), or None.
        """
        for group in self.band_groups:
            if group.start in bands:
                chosen = pixels[group.start - bands.start : group.stop - bands.start]
                yield from self._levels[group, level].accept(region, chosen, mask)


class _Canvas:
    """One level."""

    def __init__(self, cell_plan: CellPlan, grid: CellGrid, store: PixelStore) -> None:
        self.cell_plan = cell_plan
        self.grid = grid
        self._store = store
        self._looks_around = cell_plan.plan.reduction.margin_px > 0 and cell_plan.first + 1 < len(cell_plan.plan.levels)
        self._complete: set[Cell] = set()
        #: Of cells that lie in the store: how many of their neighbours were not worked at yet.
        self._users: dict[Cell, int] = {}

    def accept(self, region: Region, pixels: NDArray[Any], mask: Mask) -> Iterator[Task[CellResult]]:
        for cell in self.grid.touched(region):
            own = self.grid.region(cell)
            part = common(own, region)
            rows, columns = part.within(region)
            part_mask = None if mask is None else mask[rows, columns]
            if part == own and not self._looks_around:
                yield self._task(cell, own, pixels[:, rows, columns], part_mask)
            elif self._store_part(cell, part, pixels[:, rows, columns], part_mask):
                yield from self._completed(cell)

    def _store_part(self, cell: Cell, part: Region, pixels: NDArray[Any], mask: Mask) -> bool:
        """Keep some pixels of a cell; tell whether it is complete."""
        own, key = self.grid.region(cell), self._key(cell)
        if key not in self._store:
            size_px = own.shape[0] * own.shape[1]
            empty = np.empty((len(pixels), *own.shape), pixels.dtype)
            self._store.put(key, Held(empty, None if mask is None else np.empty(own.shape, bool), size_px))
        held = self._store.get(key)
        rows, columns = part.within(own)
        held.pixels[:, rows, columns] = pixels
        if held.mask is not None and mask is not None:
            held.mask[rows, columns] = mask
        held.missing_px -= part.shape[0] * part.shape[1]
        return held.missing_px == 0

    def _completed(self, cell: Cell) -> Iterator[Task[CellResult]]:
        if not self._looks_around:
            held = self._store.pop(self._key(cell))
            yield self._task(cell, self.grid.region(cell), held.pixels, held.mask)
            return
        self._complete.add(cell)
        around = list(self.grid.neighbours(cell))
        self._users[cell] = len(around)
        for target in around:
            if all(other in self._complete for other in self.grid.neighbours(target)):
                yield self._task(target, *self._gathered(target))

    def _gathered(self, target: Cell) -> tuple[Region, NDArray[Any], Mask]:
        """Copy what a cell's work looks at out of the cells around it, and let go of those that are done with."""
        needed = self.cell_plan.needed(self.grid.region(target))
        pixels: NDArray[Any] | None = None
        mask: Mask = None
        for cell in self.grid.neighbours(target):
            own = self.grid.region(cell)
            held = self._store.get(self._key(cell))
            if pixels is None:
                pixels = np.empty((len(held.pixels), *needed.shape), held.pixels.dtype)
                mask = None if held.mask is None else np.empty(needed.shape, bool)
            part = common(own, needed)
            if part.shape[0] > 0 and part.shape[1] > 0:
                pixels[:, *part.within(needed)] = held.pixels[:, *part.within(own)]
                if mask is not None and held.mask is not None:
                    mask[part.within(needed)] = held.mask[part.within(own)]
            self._users[cell] -= 1
            if not self._users[cell]:
                del self._users[cell]
                self._store.pop(self._key(cell))
        if pixels is None:
            raise KeyError(target)
        return needed, pixels, mask

    def _key(self, cell: Cell) -> tuple[int, int, Cell]:
        return self.cell_plan.bands.start, self.cell_plan.first, cell

    def _task(self, cell: Cell, given: Region, pixels: NDArray[Any], mask: Mask) -> Task[CellResult]:
        read = partial(_cut, given, pixels, mask)
        return Task(partial(work_cell, self.cell_plan, read, self.grid.region(cell)), pixels.nbytes)


def _cut(given: Region, pixels: NDArray[Any], mask: Mask, region: Region) -> tuple[NDArray[Any], Mask]:
    rows, columns = region.within(given)
    return pixels[:, rows, columns], None if mask is None else mask[rows, columns]
