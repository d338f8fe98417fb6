"""Objects of the GeoData protocol: arrays in memory, arrays that map a file, and objects that return windows."""

from __future__ import annotations

import inspect
import mmap
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader._arrays.pixel_attrs import split_mask
from georeader._core.windows import PixelWindow
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import SourceTraits, free_windows
from georeader._export.sources.described import attrs_of, check_mask, check_pixels, describe
from georeader._resample.pyramid import Mask
from georeader.geotensor import GeoTensor

#: (band, row, column) pixels and their (row, column) mask.
Loaded = tuple[NDArray[Any], Mask]

#: Modes of numpy.memmap whose pages are those of the file: dropping them loses nothing.
_SHARED_MODES = ("r", "r+", "w+")


@dataclass
class ArraySource:
    """An array, or an object that returns one when its pixels are first read.

    Attributes:
        name: Subject of messages.
        spec: Description of the raster.
        load: Returns all pixels and the mask; called once.
    """

    name: str
    spec: SourceSpec
    load: Callable[[], Loaded]
    traits: SourceTraits = field(default=SourceTraits(is_in_memory=True), init=False)
    _loaded: Loaded | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def read(self, region: PixelWindow, bands: range) -> Loaded:
        """Return a view of a window.

        Raises:
            Exception: Any error of the object while it loads its pixels.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = self.load()
        pixels, mask = self._loaded
        rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
        return pixels[bands.start : bands.stop, rows, columns], None if mask is None else mask[rows, columns]

    def close(self) -> None:
        """Release the pixels."""
        self._loaded = None


@dataclass
class MappedSource:
    """An array whose pixels lie in a mapped file.

    Pages that were read count as memory of this process, so each read drops them (madvise(2), MADV_DONTNEED); they stay
    in the system's cache, from which other users of the array read them again. Pages of a copy-on-write mapping (mode
    "c") hold what was written to it, and are kept.

    Attributes:
        name: Subject of messages.
        spec: Description of the raster.
        pixels: (band, row, column).
        mask: (row, column), or None.
        mapping: Mapping whose pages may be dropped, or None.
    """

    name: str
    spec: SourceSpec
    pixels: NDArray[Any]
    mask: Mask
    mapping: mmap.mmap | None
    traits: SourceTraits = field(default=SourceTraits(concurrent_reads=2), init=False)

    def read(self, region: PixelWindow, bands: range) -> Loaded:
        """Copy a window out of the mapping."""
        rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
        pixels = np.array(self.pixels[bands.start : bands.stop, rows, columns])
        if self.mapping is not None and hasattr(self.mapping, "madvise"):
            self.mapping.madvise(mmap.MADV_DONTNEED)
        return pixels, None if self.mask is None else self.mask[rows, columns]

    def close(self) -> None:
        """Do nothing: the mapping belongs to the caller."""


@dataclass
class WindowedSource:
    """An object with ``read_from_window``; its ``values`` and its own ``load`` are never used.

    Attributes:
        name: Subject of messages.
        spec: Description of the raster.
        data: The object.
        traits: One thread reads, since the object may not be thread-safe.
    """

    name: str
    spec: SourceSpec
    data: Any
    traits: SourceTraits

    def read(self, region: PixelWindow, bands: range) -> Loaded:
        """Read a window of all bands, and return some of them.

        Raises:
            GeoreaderError: The window does not have the shape, dtype or kind that the object declares.
        """
        height_px, width_px = region.shape
        part = self.data.read_from_window(Window(region.column_start, region.row_start, width_px, height_px))
        pixels, mask = check_pixels(self.data, self.spec, *take(part), size=region.shape)
        return pixels[bands.start : bands.stop], mask

    def close(self) -> None:
        """Do nothing: the object belongs to the caller."""


def open_array(data: Any) -> ArraySource:
    """Open an object with ``values`` or ``load()`` as a source.

    If the object declares its dtype, its pixels are loaded when the first of them are read. Memory: the whole raster,
    or nothing beyond the array that the object holds already.

    Args:
        data: GeoTensor or object of the GeoData protocol.

    Raises:
        GeoreaderError: As `describe` does, and `check_pixels` for the loaded pixels.
    """
    name, dtype = type(data).__name__, getattr(data, "dtype", None)
    if dtype is None:
        pixels, mask = take(data)
        spec = describe(data, dtype=pixels.dtype, has_mask=mask is not None)
        loaded = check_pixels(data, spec, pixels, mask)
        return ArraySource(name, spec, lambda: loaded)
    spec = describe(data, dtype=dtype, has_mask=declares_mask(data))
    return ArraySource(name, spec, lambda: check_pixels(data, spec, *take(data)))


def open_windowed(data: Any) -> WindowedSource:
    """Open an object with ``read_from_window`` as a source; one pixel is read if the object declares no dtype.

    Raises:
        GeoreaderError: As `describe` does.
    """
    dtype = getattr(data, "dtype", None)
    if dtype is None:
        dtype = take(data.read_from_window(Window(0, 0, 1, 1)))[0].dtype
    spec = describe(data, dtype=dtype, has_mask=declares_mask(data))
    # Windows come with all bands: bands that are not asked for would be read in vain.
    return WindowedSource(type(data).__name__, spec, data, SourceTraits(chunks=free_windows(spec.count)))


def source_of_pixels(name: str, spec: SourceSpec, pixels: NDArray[Any], mask: Mask) -> ArraySource | MappedSource:
    """Return a source of (band, row, column) pixels in memory or in a mapped file, and of their mask."""
    mapping, mode = _mapping_of(pixels)
    if mapping is None:
        return ArraySource(name, spec, lambda: (pixels, mask))
    return MappedSource(name, spec, pixels, mask, mapping if mode in _SHARED_MODES else None)


def take(data: Any) -> Loaded:
    """Load the pixels of an object and its mask, once."""
    own = getattr(data, "attrs", None)
    if isinstance(data, np.ndarray) and not isinstance(data, GeoTensor):
        values, loaded_attrs = data, None
    elif isinstance(data, GeoTensor) or not hasattr(data, "load"):
        values, loaded_attrs = data.values, own
    else:
        # The values of a lazy reader may be read anew at each access; load() reads them once by the protocol.
        loaded = data.load()
        values, loaded_attrs = getattr(loaded, "values", loaded), getattr(loaded, "attrs", None)
    pixels, mask = split_mask(values)
    for attrs in (loaded_attrs, own):
        other = attrs.get("mask") if isinstance(attrs, Mapping) else None
        if other is not None:
            check_mask(other, pixels.shape[-2:])
            return pixels, other if mask is None else other & mask
    return pixels, mask


def declares_mask(data: Any) -> bool:
    """Return whether an object has a mask, by its attributes and by pixels that are in memory; nothing is read."""
    in_memory = getattr(data, "__dict__", {}).get("values")
    is_masked = isinstance(in_memory, np.ma.MaskedArray) and split_mask(in_memory)[1] is not None
    return attrs_of(data).get("mask") is not None or bool(getattr(data, "has_mask", False)) or is_masked


def returns_windows(data: Any) -> bool:
    """Return whether an object has a method ``read_from_window``, without accessing its pixels."""
    return callable(inspect.getattr_static(type(data), "read_from_window", None)) or callable(
        getattr(data, "__dict__", {}).get("read_from_window")
    )


def is_mapped(values: Any) -> bool:
    """Return whether an array is a view of a mapped file."""
    return _mapping_of(values)[0] is not None


def _mapping_of(values: Any) -> tuple[mmap.mmap | None, str | None]:
    """Return the mapping that an array is a view of, and its mode."""
    mode = None
    while isinstance(values, (np.ndarray, memoryview)):
        mode = getattr(values, "mode", mode) if isinstance(values, np.memmap) else mode
        values = values.base if isinstance(values, np.ndarray) else values.obj
    return (values, mode) if isinstance(values, mmap.mmap) else (None, None)
