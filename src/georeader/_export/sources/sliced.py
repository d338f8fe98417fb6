"""Arrays other than numpy's that are read by slicing: of zarr, h5py and others, and of dask by its public API."""

from __future__ import annotations

import logging
import sys
import threading
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
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
from georeader._export.sources.geodata import Subject, attrs_of, check_pixels, describe, shape_of
from georeader._export.sources.handles import CACHE_BYTES, GdalEnvironment
from georeader._export.sources.protocol import Source, SourceWrapper
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

#: Chunks that are read before a save, to find out how values are stored, of all bands.
_FIRST_CHUNKS = 16

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

    def spread(self, plane: Any) -> Any:
        """Return a view of a (row, column) plane, of numpy or dask, that broadcasts to the array's shape."""
        ordered = plane if self.row < self.column else plane.T
        return ordered[tuple(slice(None) if axis in (self.row, self.column) else None for axis in range(self.count))]

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


def find_scheduler(array: Any) -> Scheduler:
    """Return the scheduler that the caller chose, a distributed client included; else the threads that read compute.

    That keeps what is in memory to the windows being read, and GDAL's options of the caller hold for the tasks.

    Within a task of a distributed worker, the cluster computes only if the caller chose its client, by
    ``Client.as_current``, or chunks are persisted there: the task occupies its thread while it waits, and where all
    threads of a cluster do, nothing is ever computed.
    """
    config = import_module("dask").config
    chosen = None
    if not in_dask_task() or _chose_in_task() or import_module("distributed").futures_of(array):
        chosen = import_module("dask.base").get_scheduler()
    if chosen is None and config.get("pool", None) is not None:
        chosen = "threads"
    if chosen is not None:
        return Scheduler(chosen, _CHOSEN_CONCURRENT)
    workers = int(config.get("num_workers", None) or import_module("dask.system").CPU_COUNT)
    return Scheduler("synchronous", workers)


def in_dask_task() -> bool:
    """Return whether this thread runs a task of a worker of distributed, which is not imported for that."""
    distributed = sys.modules.get("distributed")
    try:
        return distributed is not None and distributed.get_worker() is not None
    except ValueError:
        return False


def _chose_in_task() -> bool:
    """Return whether the caller chose a scheduler; the client that a worker makes is in the configuration, too."""
    if import_module("dask").config.get("scheduler", None) not in (None, "distributed", "dask.distributed"):
        return True
    try:
        return import_module("distributed").Client.current(allow_global=False) is not None
    except ValueError:
        return False


class ChunkedWindows(ABC):
    """Windows of an array that is computed in chunks."""

    chunk_copies = 1
    share_work = True
    concurrent_reads = 1

    def __init__(self, edges: list[tuple[int, ...]], dtype: np.dtype[Any], *, is_masked: bool) -> None:
        self.edges, self.dtype, self.is_masked = edges, dtype, is_masked

    def touched(self, key: Box) -> dict[Place, Box]:
        """Return the chunks that a window touches, and what it needs of each, as a box in the chunk."""
        places = product(
            *(
                range(bisect_right(edges, cut.start) - 1, bisect_left(edges, cut.stop))
                for edges, cut in zip(self.edges, key, strict=True)
            )
        )
        return {place: within(shared(key, box), box) for place in places for box in [self.box(place)]}

    def cut(self, key: Box) -> Any:
        """Compute a window, masked where the array is; chunks of another shape or kind are refused."""
        pieces = self._pieces(self.touched(key))
        if len(pieces) == 1:
            return next(iter(pieces.values()))
        empty = np.ma.empty if self.is_masked else np.empty
        window = empty(shape_of_box(key), self.dtype)
        for place, piece in pieces.items():
            window[within(shared(key, self.box(place)), key)] = piece
        return window

    def box(self, place: Place) -> Box:
        """Return where a chunk lies in the array."""
        return tuple(slice(edges[at], edges[at + 1]) for edges, at in zip(self.edges, place, strict=True))

    @abstractmethod
    def _pieces(self, wanted: Mapping[Place, Box]) -> dict[Place, Any]:
        """Return the pixels of boxes in chunks."""

    @abstractmethod
    def close(self) -> None:
        """Drop what is held; the array is its owner's."""

    def checked(self, place: Place, chunk: Any) -> Any:
        """Check a chunk against the array's shape and dtype: dask does not check what a function returns."""
        expected = shape_of_box(self.box(place))
        pixels = np.asanyarray(chunk)
        where = f"chunk {place} of the dask array"
        if pixels.shape != expected:
            raise ShapeError(f"{where} is of {pixels.shape}, but the array declares {expected}")
        if pixels.dtype == self.dtype:
            return pixels
        if pixels.dtype.kind in "fc" and self.dtype.kind not in "fc":
            raise DtypeError(
                f"{where} is {pixels.dtype}, but the array declares {self.dtype}; pass dtype= where it is made"
            )
        return convert_pixels(pixels, self.dtype)


class HeldChunks(ChunkedWindows):
    """Windows of chunks that were computed, or of parts of them: what a task of a cluster gets of a dask array."""

    def hold(self, parts: Mapping[Place, tuple[Box, Any]]) -> None:
        """Take parts of chunks, each with its box in the chunk."""
        self._parts = parts

    def _pieces(self, wanted: Mapping[Place, Box]) -> dict[Place, Any]:
        return {place: self._parts[place][1][within(box, self._parts[place][0])] for place, box in wanted.items()}

    def close(self) -> None:
        """Do nothing: the chunks are the task's."""


class DaskWindows(ChunkedWindows):
    """Computes windows of a dask array, each chunk once; several threads may read at once.

    Tasks that several chunks of a window share run once for the window: one call of `dask.compute` computes them.
    Pickled, it becomes `HeldChunks`, which holds none yet.

    Memory: the chunks that a window touches and the window, for each thread that reads; chunks that windows cut, up to
    the larger of one chunk and `LEAST_KEPT_BYTES`, others wait in a spool; and some 2 KiB for each of up to
    2 x `MOST_TASKS` tasks.
    """

    def __init__(self, array: Any, row_axis: int, open_spool: OpenSpool | None = None) -> None:
        if any(size != size for axis in array.chunks for size in axis):
            raise ShapeError(
                f"the dask array of shape {array.shape} has chunks of unknown size; call its "
                "compute_chunk_sizes() first, or cut it by slices where it was cut by a condition"
            )
        sizes = tuple(tuple(int(size) for size in axis if size) for axis in array.chunks)
        is_masked = isinstance(getattr(array, "_meta", None), np.ma.MaskedArray)
        super().__init__([tuple(accumulate(axis, initial=0)) for axis in sizes], array.dtype, is_masked=is_masked)
        self.array = _movable(array if sizes == array.chunks else array.rechunk(sizes), is_masked=is_masked)
        self._row_axis = row_axis
        self._scheduler = find_scheduler(array)
        self.concurrent_reads = self._scheduler.concurrent
        rows = len(array.chunks[row_axis])
        self._rows_at_once = max(1, rows * MOST_TASKS // max(MOST_TASKS, len(array.__dask_graph__())))
        pixel_bytes = array.dtype.itemsize + self.is_masked
        kept_bytes = max(LEAST_KEPT_BYTES, prod(map(longest, self.edges)) * pixel_bytes)
        self._cut_chunks = CutChunks(kept_bytes, lambda place: shape_of_box(self.box(place)), pixel_bytes, open_spool)
        self._parts: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._first: list[Any] = []  # futures
        self._has_looked = False
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return partial(HeldChunks, is_masked=self.is_masked), (self.edges, self.dtype)

    def _pieces(self, wanted: Mapping[Place, Box]) -> dict[Place, Any]:
        return self._cut_chunks.get(wanted, self._compute)

    def close(self) -> None:
        """Drop the tasks and what was kept."""
        with self._lock:
            self._parts.clear()
            self._first.clear()
        self._cut_chunks.clear()

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
            found.update(zip(own, self._compute_chunks(wanted), strict=True))
        return [self.checked(place, found[place]) for place in places]

    def _compute_chunks(self, wanted: list[Any]) -> Sequence[Any]:
        """Compute chunks; the first ones stay in the memory of a cluster, which may be asked for them again."""
        client: Any = getattr(self._scheduler.get, "__self__", None)
        computed: Sequence[Any]
        if len(self._first) + len(wanted) <= _FIRST_CHUNKS and _is_from("distributed", "Client", client):
            futures = client.compute(wanted)
            self._first += futures
            computed = client.gather(futures)
        else:
            computed = import_module("dask").compute(*wanted, scheduler=self._scheduler.get)
        return computed

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
                self._parts[number] = (self.array if is_all else self.array[rows]).to_delayed()
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


class Cut(NamedTuple):
    """A box of an array that a window of a source is made of."""

    source: SlicedSource
    key: Box


def _movable(array: Any, *, is_masked: bool) -> Any:
    """Return a dask array whose chunks can move between the processes of a cluster.

    numpy's default fill value of masked integers is 999999, and distributed cannot read chunks of 8 or 16 bits with it.
    """
    if not is_masked or array.dtype.kind not in "iu" or array.dtype.itemsize > 2:
        return array
    return array.map_blocks(_filled_with_zero, dtype=array.dtype)


def _filled_with_zero(chunk: Any) -> Any:
    """Return a masked chunk with 0 as its fill value."""
    return np.ma.MaskedArray(chunk, fill_value=0) if isinstance(chunk, np.ma.MaskedArray) else chunk


@dataclass
class SlicedSource:
    """An array that is read in windows, and never as a whole."""

    name: str
    spec: SourceSpec
    subject: Subject  #: the object that has the array
    windows: Windows | ChunkedWindows
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

    def __reduce__(self) -> Any:
        return SlicedSource, (self.name, self.spec, self.subject, self.windows, self.axes, self.mask)

    def cuts(self, region: PixelWindow, bands: range) -> list[Cut]:
        """Return the box of the array that `read` needs."""
        wanted = range(self.spec.count) if self.spec.has_mask else bands  # a mask is that of all bands
        return [Cut(self, self.axes.key(region, wanted))]

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window; one of another shape, dtype or kind than the array declares is refused."""
        ((_, key),) = self.cuts(region, bands)
        wanted = range(self.spec.count) if self.spec.has_mask else bands
        if isinstance(self.windows, HeldChunks):
            cut = self.windows.cut(key)
        else:  # which GDAL may read
            with self._environment.held():
                self._environment.bound_cache(CACHE_BYTES)
                cut = self.windows.cut(key)
        pixels, mask = split_mask(self.axes.arrange(np.asanyarray(cut)))
        if self.mask is not None:
            own = self.mask[region.slices]
            mask = own if mask is None else own & mask
        spec = replace(self.spec, count=len(wanted))
        pixels, mask = check_pixels(self.subject, spec, pixels, mask, size=region.shape)
        return (pixels[bands.start : bands.stop] if self.spec.has_mask else pixels), mask

    def close(self) -> None:
        """Release what was kept; the array is its owner's."""
        self.windows.close()
        self._environment.bound_cache(0)


def cuts_of(source: Source, region: PixelWindow, bands: range) -> list[Cut]:
    """Return the boxes of arrays that a window of a source is made of; none where it is not read by slicing."""
    while isinstance(source, SourceWrapper):
        source = source.source
    cuts = getattr(source, "cuts", None)
    return [] if cuts is None else list(cuts(region, bands))


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
    return SlicedSource(type(data).__name__, spec, Subject.of(data), windows, axes, mask)


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
