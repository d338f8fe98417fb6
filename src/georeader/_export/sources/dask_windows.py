"""Windows of a dask array, computed through dask's public API alone."""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from itertools import accumulate, groupby, product
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from georeader._core.dtypes import convert_pixels
from georeader._export.plan.grid import longest
from georeader._export.sources.read_once import Box, CutChunks, Place, shape_of_box, shared, within
from georeader._export.spool import OpenSpool
from georeader.errors import DtypeError, ShapeError

_LOG = logging.getLogger("georeader")

#: Tasks that are held at once; an array that has more is optimised by dask some rows of chunks at a time.
MOST_TASKS = 5_000

#: Windows are read from top to bottom: those of several readers lie in so many neighbouring parts.
_PARTS_HELD = 2

#: Windows that a scheduler of the caller's choice computes at once: one, while the one before is fetched.
_CHOSEN_CONCURRENT = 2

#: Chunks that windows cut are kept in at least so much memory until all of their pixels are read.
LEAST_KEPT_BYTES = 8 * 2**20


class Scheduler(NamedTuple):
    """A scheduler of dask's tasks, as `dask.compute` takes it, and the number of windows to compute at once."""

    get: Callable[..., Any] | str
    concurrent: int


def find_scheduler() -> Scheduler:
    """Return the scheduler that the caller chose, a distributed client included; else one for the threads that read.

    Without a choice each window is computed in the thread that reads it. That keeps what is in memory to the windows
    being read, and GDAL's options of the caller hold for the tasks.
    """
    config = import_module("dask").config
    chosen = import_module("dask.base").get_scheduler()
    if chosen is None and config.get("pool", None) is not None:
        chosen = "threads"
    if chosen is not None:
        return Scheduler(chosen, _CHOSEN_CONCURRENT)
    workers = int(config.get("num_workers", None) or import_module("dask.system").CPU_COUNT)
    return Scheduler("synchronous", workers)


class DaskWindows:
    """Computes windows of a dask array, each chunk once; several threads may read at once.

    The chunks of a window are computed by one call of `dask.compute`, so that tasks that several of them share run once
    for the window. Chunks of different windows are computed apart.

    Memory: the chunks that a window touches and the window, for each thread that reads; chunks that windows cut, up to
    the larger of one chunk and `LEAST_KEPT_BYTES`, others wait in a spool; and some 2 KiB for each of up to
    2 x `MOST_TASKS` tasks.
    """

    def __init__(self, array: Any, row_axis: int, open_spool: OpenSpool | None = None) -> None:
        """Keep an array; its tasks are optimised when the first window is read.

        Args:
            array: A dask array.
            row_axis: Axis along which windows come one after the other.
            open_spool: Opens the spool for chunks that windows cut; None: they all wait in memory.
        """
        self.edges = _chunk_edges(array)
        self.is_masked = isinstance(getattr(array, "_meta", None), np.ma.MaskedArray)
        self._array = _without_empty_chunks(array)
        self._row_axis = row_axis
        self._scheduler = find_scheduler()
        self.concurrent_reads = self._scheduler.concurrent
        rows = len(array.chunks[row_axis])
        self._rows_at_once = max(1, rows * MOST_TASKS // max(MOST_TASKS, len(array.__dask_graph__())))
        pixel_bytes = array.dtype.itemsize + self.is_masked
        kept_bytes = max(LEAST_KEPT_BYTES, prod(map(longest, self.edges)) * pixel_bytes)
        self._cut_chunks = CutChunks(kept_bytes, lambda place: shape_of_box(self._box(place)), pixel_bytes, open_spool)
        self._parts: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._has_looked = False
        self._lock = threading.Lock()

    def read(self, key: Box) -> Any:
        """Compute a window: an array of numpy, masked where the dask array is.

        What a task raises is raised here; a chunk of another shape or kind than the array's is refused.
        """
        touched = product(
            *(
                range(bisect_right(edges, cut.start) - 1, bisect_left(edges, cut.stop))
                for edges, cut in zip(self.edges, key, strict=True)
            )
        )
        parts = {place: shared(key, self._box(place)) for place in touched}
        wanted = {place: within(part, self._box(place)) for place, part in parts.items()}
        pieces = self._cut_chunks.get(wanted, self._compute)
        if len(pieces) == 1:
            return next(iter(pieces.values()))
        empty = np.ma.empty if self.is_masked else np.empty
        window = empty(shape_of_box(key), self._array.dtype)
        for place, part in parts.items():
            window[within(part, key)] = pieces[place]
        return window

    def close(self) -> None:
        """Drop the tasks and what was kept."""
        with self._lock:
            self._parts.clear()
        self._cut_chunks.clear()

    def _box(self, place: Place) -> Box:
        """Return where a chunk lies in the array."""
        return tuple(slice(edges[at], edges[at + 1]) for edges, at in zip(self.edges, place, strict=True))

    def _compute(self, places: list[Place]) -> list[Any]:
        """Compute chunks, those of one part of the array by one call."""
        axis = self._row_axis
        found: dict[Place, Any] = {}

        def part_of(place: Place) -> int:
            return place[axis] // self._rows_at_once

        for number, group in groupby(sorted(places, key=part_of), part_of):
            own = list(group)
            blocks = self._part(number)
            first = number * self._rows_at_once
            wanted = [blocks[(*place[:axis], place[axis] - first, *place[axis + 1 :])] for place in own]
            self._warn_of_wide_tasks(blocks, wanted)
            computed = import_module("dask").compute(*wanted, scheduler=self._scheduler.get)
            found.update(zip(own, computed, strict=True))
        return [self._checked(place, found[place]) for place in places]

    def _part(self, number: int) -> NDArray[Any]:
        """Return the chunks of some rows of chunks, by place, as dask's Delayed, whose tasks dask has optimised."""
        edges = self.edges[self._row_axis]
        first = number * self._rows_at_once
        last = min(first + self._rows_at_once, len(edges) - 1)
        with self._lock:
            if number not in self._parts:
                while len(self._parts) >= _PARTS_HELD:
                    self._parts.popitem(last=False)
                is_all = (first, last) == (0, len(edges) - 1)
                rows = (slice(None),) * self._row_axis + (slice(edges[first], edges[last]),)
                self._parts[number] = (self._array if is_all else self._array[rows]).to_delayed()
            self._parts.move_to_end(number)
            return self._parts[number]

    def _warn_of_wide_tasks(self, blocks: NDArray[Any], wanted: list[Any]) -> None:
        """Log once if windows share most of their tasks, which then run for each of them."""
        if self._has_looked or 8 * len(wanted) > blocks.size:
            return
        self._has_looked = True
        tasks = len(blocks.flat[0].__dask_graph__())
        window_tasks = len(import_module("dask").optimize(*wanted)[0].__dask_graph__())
        if 2 * window_tasks >= tasks:
            _LOG.warning(
                "a window of %d of %d chunks of the dask array needs %d of their %d tasks, which run anew for each "
                "window; compute or persist() what all chunks need, such as a mean, before the save",
                len(wanted), blocks.size, window_tasks, tasks,
            )  # fmt: skip

    def _checked(self, place: Place, chunk: Any) -> Any:
        """Check a chunk against the array's shape and dtype: dask does not check what a function returns."""
        expected = shape_of_box(self._box(place))
        pixels = np.asanyarray(chunk)
        where = f"chunk {place} of the dask array"
        if pixels.shape != expected:
            raise ShapeError(f"{where} is of {pixels.shape}, but the array says it is of {expected}")
        if pixels.dtype == self._array.dtype:
            return pixels
        if pixels.dtype.kind in "fc" and self._array.dtype.kind not in "fc":
            raise DtypeError(
                f"{where} is {pixels.dtype}, but the array says it is {self._array.dtype}; say dtype= where it is made"
            )
        return convert_pixels(pixels, self._array.dtype)


def _chunk_edges(array: Any) -> list[tuple[int, ...]]:
    """Return the edges of a dask array's chunks along each axis."""
    if any(size != size for axis in array.chunks for size in axis):
        raise ShapeError(
            f"the dask array of shape {array.shape} does not know how large its chunks are; call its "
            "compute_chunk_sizes() first, or cut it by slices where it was cut by a condition"
        )
    return [tuple(accumulate((int(size) for size in axis if size), initial=0)) for axis in array.chunks]


def _without_empty_chunks(array: Any) -> Any:
    if all(size for axis in array.chunks for size in axis):
        return array
    return array.rechunk(tuple(tuple(size for size in axis if size) for axis in array.chunks))
