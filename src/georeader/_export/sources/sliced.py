"""Arrays other than numpy's that are read by slicing: of zarr, h5py and others, and of dask by its public API."""

from __future__ import annotations

import logging
import sys
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import accumulate, groupby, product
from math import prod
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from georeader._arrays.pixel_attrs import split_mask
from georeader._core.dtypes import convert_pixels
from georeader._core.windows import Mask, MaskedPixels, PixelWindow
from georeader._export.plan.grid import even_edges, longest
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import Chunks, SourceTraits
from georeader._export.sources.geodata import attrs_of, check_pixels, describe, shape_of
from georeader._export.sources.handles import CACHE_BYTES, GdalEnvironment
from georeader._export.sources.read_once import Box, CutChunks, Place, shape_of_box, shared, within
from georeader._export.spool import OpenSpool
from georeader.errors import DtypeError, ShapeError

#: What GDAL may keep for each thread, where an array's windows come from it.
_READER_BYTES = 8 * 2**20

#: Threads that read from a store which allows for several.
_CONCURRENT_READS = 4

#: Tasks that are held at once; an array that has more is optimised by dask some rows of chunks at a time.
MOST_TASKS = 5_000

#: Windows are read from top to bottom: those of several readers lie in so many neighbouring parts.
_PARTS_HELD = 2

#: Windows that a scheduler of the caller's choice computes at once: one, while the one before is fetched.
_CHOSEN_CONCURRENT = 2

#: Chunks that windows cut are kept in at least so much memory until all of their pixels are read.
LEAST_KEPT_BYTES = 8 * 2**20

_LOG = logging.getLogger("georeader")


@dataclass(frozen=True)
class Axes:
    """Positions of an array's axes, in any order; those that are none of the three have a length of one."""

    count: int
    band: int | None  #: None: there is a single band
    row: int
    column: int

    def shape(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Return (bands, rows, columns) of an array's shape."""
        return (1 if self.band is None else shape[self.band]), shape[self.row], shape[self.column]

    def key(self, region: PixelWindow, bands: range) -> Box:
        """Return the slices of a window."""
        cuts = [slice(0, 1)] * self.count
        cuts[self.row], cuts[self.column] = region.slices
        if self.band is not None:
            cuts[self.band] = slice(bands.start, bands.stop)
        return tuple(cuts)

    def arrange(self, pixels: Any) -> Any:
        """Return a view of a numpy window with all axes of the array, masked or not, as (band, row, column)."""
        named = [axis for axis in (self.band, self.row, self.column) if axis is not None]
        others = [axis for axis in range(self.count) if axis not in named]
        return pixels.transpose(*others, *named).reshape(self.shape(pixels.shape))


@dataclass(frozen=True)
class Windows:
    """Access to windows of an array."""

    cut: Callable[[Box], Any]
    edges: Sequence[tuple[int, ...]] | None = None  #: of the array's chunks along each axis; None: unknown
    concurrent_reads: int = 1
    chunk_copies: int = 2  #: how often a chunk is held while it is read
    share_work: bool = False  #: as in `Chunks`
    is_masked: bool = False

    def close(self) -> None:
        """Do nothing: the array is its owner's."""


class Scheduler(NamedTuple):
    """A scheduler of dask's tasks, as `dask.compute` takes it, and the number of windows to compute at once."""

    get: Callable[..., Any] | str
    concurrent: int


def find_scheduler() -> Scheduler:
    """Return the scheduler that the caller chose, a distributed client included; else the threads that read compute.

    That keeps what is in memory to the windows being read, and GDAL's options of the caller hold for the tasks.
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

    Tasks that several chunks of a window share run once for the window: one call of `dask.compute` computes them.

    Memory: the chunks that a window touches and the window, for each thread that reads; chunks that windows cut, up to
    the larger of one chunk and `LEAST_KEPT_BYTES`, others wait in a spool; and some 2 KiB for each of up to
    2 x `MOST_TASKS` tasks.
    """

    chunk_copies = 1
    share_work = True

    def __init__(self, array: Any, row_axis: int, open_spool: OpenSpool | None = None) -> None:
        if any(size != size for axis in array.chunks for size in axis):
            raise ShapeError(
                f"the dask array of shape {array.shape} has chunks of unknown size; call its "
                "compute_chunk_sizes() first, or cut it by slices where it was cut by a condition"
            )
        sizes = tuple(tuple(int(size) for size in axis if size) for axis in array.chunks)
        self.edges = [tuple(accumulate(axis, initial=0)) for axis in sizes]
        self.is_masked = isinstance(getattr(array, "_meta", None), np.ma.MaskedArray)
        self._array = array if sizes == array.chunks else array.rechunk(sizes)
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

    def cut(self, key: Box) -> Any:
        """Compute a window, masked where the dask array is; chunks of another shape or kind are refused."""
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
            raise ShapeError(f"{where} is of {pixels.shape}, but the array declares {expected}")
        if pixels.dtype == self._array.dtype:
            return pixels
        if pixels.dtype.kind in "fc" and self._array.dtype.kind not in "fc":
            raise DtypeError(
                f"{where} is {pixels.dtype}, but the array declares {self._array.dtype}; pass dtype= where it is made"
            )
        return convert_pixels(pixels, self._array.dtype)


@dataclass
class SlicedSource:
    """An array that is read in windows, and never as a whole."""

    name: str
    spec: SourceSpec
    data: Any  #: the object that has the array
    windows: Windows | DaskWindows
    axes: Axes
    mask: Mask = None  #: of the whole raster, besides that of the array's pixels
    traits: SourceTraits = field(init=False)

    def __post_init__(self) -> None:
        windows, edges, axes = self.windows, self.windows.edges, self.axes
        chunks, chunk_px = None, 0
        if edges is not None:
            bands = (0, 1) if axes.band is None else edges[axes.band]
            chunks = Chunks(bands, edges[axes.row], edges[axes.column], windows.share_work)
            chunk_px = prod(map(longest, edges))
        # GDAL's cache where GDAL reads the file, or a decoded chunk and its encoded bytes.
        reader_bytes = max(_READER_BYTES, windows.chunk_copies * chunk_px * self.spec.dtype.itemsize)
        self.traits = SourceTraits(chunks=chunks, concurrent_reads=windows.concurrent_reads, reader_bytes=reader_bytes)
        self._environment = GdalEnvironment({})

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window; one of another shape, dtype or kind than the array declares is refused."""
        wanted = range(self.spec.count) if self.spec.has_mask else bands  # a mask is that of all bands
        with self._environment.held():
            self._environment.bound_cache(CACHE_BYTES)
            cut = self.windows.cut(self.axes.key(region, wanted))
        pixels, mask = split_mask(self.axes.arrange(np.asanyarray(cut)))
        if self.mask is not None:
            own = self.mask[region.slices]
            mask = own if mask is None else own & mask
        spec = replace(self.spec, count=len(wanted))
        pixels, mask = check_pixels(self.data, spec, pixels, mask, size=region.shape)
        return (pixels[bands.start : bands.stop] if self.spec.has_mask else pixels), mask

    def close(self) -> None:
        """Release what was kept; the array is its owner's."""
        self.windows.close()
        self._environment.bound_cache(0)


def open_sliced(data: Any, values: Any, open_spool: OpenSpool | None = None) -> SlicedSource:
    """Open an object whose (row, column) or (band, row, column) ``values`` are read by slicing."""
    ndim = len(values.shape)
    windows = windows_of(values, ndim - 2, open_spool)
    if shape_of(values.shape) != shape_of(data.shape):
        raise ShapeError(f"{type(data).__name__} declares {tuple(data.shape)}, but its pixels are {values.shape}")
    mask = attrs_of(data).get("mask")
    has_mask = windows.is_masked or mask is not None or bool(getattr(data, "has_mask", False))
    spec = describe(data, dtype=values.dtype, has_mask=has_mask)
    axes = Axes(ndim, band=0 if ndim == 3 else None, row=ndim - 2, column=ndim - 1)
    return SlicedSource(type(data).__name__, spec, data, windows, axes, mask)


def windows_of(values: Any, row_axis: int, open_spool: OpenSpool | None = None) -> Windows | DaskWindows:
    """Return the access to windows of an array; computed chunks that have no room in memory wait in a spool."""
    if _is_from("dask.array", "Array", values):
        return DaskWindows(values, row_axis, open_spool)
    edges = _edges(values.shape, getattr(values, "chunks", None))
    return Windows(values.__getitem__, edges, _CONCURRENT_READS if _is_from("zarr", "Array", values) else 1)


def _is_from(module: str, name: str, values: Any) -> bool:
    """Return whether an object is an instance of a class, without importing the module of the class."""
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and isinstance(values, found)


def _edges(shape: tuple[int, ...], chunks: Any) -> list[tuple[int, ...]] | None:
    """Return the edges of chunks declared as one length or all lengths along each axis; None if they are neither."""
    if isinstance(chunks, Mapping) or not isinstance(chunks, Sequence) or len(chunks) != len(shape):
        return None
    edges = []
    for size, chunk in zip(shape, chunks, strict=True):
        if isinstance(chunk, Integral) and int(chunk) > 0:
            edges.append(even_edges(size, int(chunk)))
        elif isinstance(chunk, Sequence) and all(isinstance(part, Integral) for part in chunk) and sum(chunk) == size:
            edges.append(tuple(accumulate((int(part) for part in chunk if part), initial=0)))
        else:
            return None
    return edges
