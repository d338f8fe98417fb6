"""Arrays other than numpy's that are read by slicing: of dask, zarr, h5py and others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import prod
from numbers import Integral
from typing import Any

import numpy as np

from georeader._arrays.pixel_attrs import split_mask
from georeader._core.windows import Mask, PixelWindow
from georeader._export.plan.grid import even_edges, longest
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import Chunks, SourceTraits
from georeader._export.sources.geodata import attrs_of, check_pixels, check_place, describe, shape_of
from georeader._export.sources.handles import CACHE_BYTES, GdalEnvironment
from georeader._export.sources.protocol import Loaded
from georeader._export.spool import OpenSpool
from georeader.errors import ShapeError

#: What GDAL may keep for each thread, where an array's windows come from it.
_READER_BYTES = 8 * 2**20

#: Threads that read from a store which allows for several.
_CONCURRENT_READS = 4

#: One slice for each axis of an array, of step one.
Key = tuple[slice, ...]


@dataclass(frozen=True)
class Axes:
    """Positions of an array's axes, in any order; those that are none of the three have a length of one.

    Example:
        >>> bands_last = Axes(count=3, band=2, row=0, column=1)
        >>> bands_last.key(PixelWindow(0, 10, 20, 30), range(1, 2))
        (slice(0, 10, None), slice(20, 30, None), slice(1, 2, None))
    """

    count: int
    band: int | None  #: None: there is a single band
    row: int
    column: int

    def shape(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Return (bands, rows, columns) of an array's shape."""
        return (1 if self.band is None else shape[self.band]), shape[self.row], shape[self.column]

    def key(self, region: PixelWindow, bands: range) -> Key:
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

    cut: Callable[[Key], Any]
    edges: Sequence[tuple[int, ...]] | None = None  #: of the array's chunks along each axis; None: unknown
    concurrent_reads: int = 1
    close: Callable[[], None] = lambda: None
    chunk_copies: int = 2  #: how often a chunk is held while it is read
    share_work: bool = False  #: as in `Chunks`
    is_masked: bool = False


@dataclass(frozen=True)
class SlicedSource:
    """An array that is read in windows, and never as a whole."""

    name: str
    spec: SourceSpec
    data: Any  #: the object that has the array
    windows: Windows
    axes: Axes
    mask: Mask = None  #: of the whole raster, besides that of the array's pixels
    environment: GdalEnvironment = field(default_factory=lambda: GdalEnvironment({}))
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
        object.__setattr__(self, "traits", SourceTraits(
            chunks=chunks, concurrent_reads=windows.concurrent_reads, reader_bytes=reader_bytes
        ))  # fmt: skip

    def read(self, region: PixelWindow, bands: range) -> Loaded:
        """Read a window; one of another shape, dtype or kind than the array declares is refused."""
        wanted = range(self.spec.count) if self.spec.has_mask else bands  # a mask is that of all bands
        with self.environment.held():
            self.environment.bound_cache(CACHE_BYTES)
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
        self.environment.release()


def open_sliced(data: Any, values: Any, open_spool: OpenSpool | None = None) -> SlicedSource:
    """Open an object of the GeoData protocol whose ``values`` are read by slicing.

    Args:
        data: With shape, transform and crs; perhaps fill_value_default, attrs and metadata by name.
        values: Its pixels, (row, column) or (band, row, column): an array of dask, zarr or h5py, or anything with a
            shape, a dtype and slices. Chunks that it declares (``chunks``) are read as a whole.
        open_spool: As in `windows_of`.
    """
    check_place(data)
    ndim = len(values.shape)
    windows = windows_of(values, ndim - 2, open_spool)
    if shape_of(values.shape) != shape_of(data.shape):
        raise ShapeError(f"{type(data).__name__} says it is {tuple(data.shape)}, but its pixels are {values.shape}")
    mask = attrs_of(data).get("mask")
    has_mask = windows.is_masked or mask is not None or bool(getattr(data, "has_mask", False))
    spec = describe(data, dtype=values.dtype, has_mask=has_mask)
    axes = Axes(ndim, band=0 if ndim == 3 else None, row=ndim - 2, column=ndim - 1)
    return SlicedSource(type(data).__name__, spec, data, windows, axes, mask)


def windows_of(values: Any, row_axis: int, open_spool: OpenSpool | None = None) -> Windows:
    """Return the access to windows of an array.

    Args:
        values: The array.
        row_axis: Axis along which windows come one after the other.
        open_spool: Opens the spool for computed chunks that have no room in memory; its owner closes it. None: they
            all wait in memory.
    """
    if _is_from("dask.array", "Array", values):
        from georeader._export.sources.dask_windows import DaskWindows

        of_dask = DaskWindows(values, row_axis, open_spool)
        return Windows(
            of_dask.read,
            of_dask.edges,
            of_dask.concurrent_reads,
            of_dask.close,
            chunk_copies=1,
            share_work=True,
            is_masked=of_dask.is_masked,
        )
    edges = _edges(values.shape, getattr(values, "chunks", None))
    return Windows(values.__getitem__, edges, _CONCURRENT_READS if _is_from("zarr", "Array", values) else 1)


def _is_from(module: str, name: str, values: Any) -> bool:
    """Return whether an object is an instance of a class, without importing the module of the class."""
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and isinstance(values, found)


def _edges(shape: tuple[int, ...], chunks: Any) -> list[tuple[int, ...]] | None:
    """Return the edges of chunks given as one length or all lengths along each axis; None if they are neither."""
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
