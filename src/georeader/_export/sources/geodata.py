"""Objects of the GeoData protocol: arrays in memory, arrays that map a file, and objects that return windows."""

from __future__ import annotations

import mmap
import operator
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from georeader._arrays.pixel_attrs import check_bool, split_mask
from georeader._core.windows import Mask, MaskedPixels, PixelWindow
from georeader._export.plan.metadata import Metadata, metadata_from_attrs
from georeader._export.plan.spec import SourceSpec, choose_georeference
from georeader._export.plan.traits import SourceTraits, free_windows
from georeader._resample.methods import recorded_resamplings
from georeader.abstract_reader import declared_nodata
from georeader.errors import DtypeError, GeoreferenceError, OptionError, ShapeError
from georeader.geotensor import GeoTensor
from georeader.window_utils import normalise_crs, normalise_transform

#: Modes of numpy.memmap whose pages are those of the file: dropping them loses nothing.
_SHARED_MODES = ("r", "r+", "w+")


@dataclass(frozen=True)
class Declared:
    """What a raster declares, under the names of the GeoData protocol; without pixels."""

    shape: tuple[int, int, int]
    transform: Affine
    crs: CRS | None
    attrs: Mapping[str, Any]
    fill_value_default: Any


def describe(data: Any, *, dtype: Any, has_mask: bool) -> SourceSpec:
    """Read the spec of a raster from an object's attributes: shape, transform, crs, and metadata if there are any."""
    count, height_px, width_px = shape_of(data.shape)
    attrs = attrs_of(data)
    metadata, crs, transform = choose_georeference(
        metadata_from_attrs(attrs, count), normalise_crs(data.crs), normalise_transform(data.transform)
    )
    if attrs.get("mask") is not None:
        check_mask(attrs["mask"], (height_px, width_px))
    try:
        known: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"data_save.dtype={dtype!r} is not a numpy dtype") from error
    return SourceSpec(
        count=count,
        height_px=height_px,
        width_px=width_px,
        dtype=known,
        crs=crs,
        transform=transform,
        fill_value=declared_nodata(data, known),
        # Objects other than GeoTensor have a fill value only if they declare one.
        fill_value_is_explicit=getattr(data, "fill_value_is_explicit", True),
        metadata=metadata,
        has_mask=has_mask,
        overview_resamplings=recorded_resamplings(attrs.get("tags"), count),
    )


def check_place(data: Any) -> None:
    """Raise a GeoreferenceError if an object has no shape, transform or CRS."""
    missing = [name for name in ("shape", "transform", "crs") if not hasattr(data, name)]
    if missing:
        raise GeoreferenceError(
            f"data_save is a {type(data).__name__} without {', '.join(missing)}; "
            "wrap the pixels as GeoTensor(values, transform, crs)"
        )


def shape_of(shape: Any) -> tuple[int, int, int]:
    """Return (bands, rows, columns) of a shape of two or three numbers; others raise a ShapeError."""
    try:
        sides = tuple(operator.index(size) for size in shape)
    except TypeError as error:
        raise ShapeError(f"data_save.shape={shape!r} is not a tuple of integers") from error
    if len(sides) not in (2, 3):
        raise ShapeError(
            f"data_save of shape {sides} has {len(sides)} dimensions; save takes (row, column) or "
            "(band, row, column), so save each time step to its own file"
        )
    if 0 in sides:
        raise ShapeError(f"data_save of shape {sides} has no pixels")
    return (sides[0] if len(sides) == 3 else 1), sides[-2], sides[-1]


def attrs_of(data: Any) -> dict[str, Any]:
    """Return the metadata of an object: its attrs, then attributes of the same names."""
    own = getattr(data, "attrs", None)
    found = dict(own) if isinstance(own, Mapping) else {}
    names = () if isinstance(data, GeoTensor) else (entry.name for entry in fields(Metadata) if entry.name not in found)
    for name in names:
        value = getattr(data, name, None)
        if name == "tags" and callable(value):
            value = value()
        if value is not None and not callable(value):
            found[name] = value
    return found


@dataclass(frozen=True)
class Subject:
    """What messages say of an object: its type, and the shape that it declares."""

    name: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, data: Any) -> Subject:
        """Describe an object."""
        return cls(type(data).__name__, tuple(data.shape))


def check_pixels(
    subject: Subject, spec: SourceSpec, pixels: NDArray[Any], mask: Mask, size: tuple[int, int] | None = None
) -> MaskedPixels:
    """Check the pixels of a window, or of the whole raster, against the spec that their object declares."""
    name = subject.name
    size = spec.shape[1:] if size is None else size
    if pixels.dtype.newbyteorder("=") != spec.dtype.newbyteorder("="):
        raise DtypeError(f"{name} declares {spec.dtype}, but its pixels are {pixels.dtype}")
    if pixels.ndim == 2:
        pixels = pixels[np.newaxis]
    if pixels.shape != (spec.count, *size):
        raise ShapeError(f"{name} declares {subject.shape}, but its pixels are {pixels.shape}")
    if mask is not None:
        check_mask(mask, size)
        if not spec.has_mask:
            raise OptionError(
                f"{name} has masked pixels, but does not declare them before they are loaded; set its attribute "
                "has_mask = True, or pass values.filled(nodata), and that nodata as fill_value_default"
            )
    elif spec.has_mask:
        mask = np.ones(size, dtype=bool)
    return pixels, mask


def check_mask(mask: Any, size: tuple[int, ...]) -> None:
    """Raise a ShapeError or DtypeError unless a mask is a bool array of a raster's (rows, columns)."""
    found = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
    if not isinstance(mask, np.ndarray) or mask.shape != size:
        raise ShapeError(f"attrs['mask'] is {found}; a mask is a bool array of (row, column), here of {size}")
    check_bool(mask)


@dataclass
class ArraySource:
    """An array, or an object that returns one when its pixels are first read."""

    name: str
    spec: SourceSpec
    load: Callable[[], MaskedPixels]  #: returns all pixels and the mask; called once
    traits: SourceTraits = field(default=SourceTraits(is_in_memory=True), init=False)
    _loaded: MaskedPixels | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Return a view of a window."""
        with self._lock:
            if self._loaded is None:
                self._loaded = self.load()
        pixels, mask = self._loaded
        return pixels[bands.start : bands.stop, *region.slices], None if mask is None else mask[region.slices]

    def close(self) -> None:
        """Release the pixels."""
        self._loaded = None


@dataclass
class MappedSource:
    """An array whose pixels lie in a mapped file.

    Pages that were read count as memory of this process, so each read drops them (madvise(2), MADV_DONTNEED); they stay
    in the system's cache, from which other users of the array read them again. Pages of a copy-on-write mapping (mode
    "c") hold what was written to it, and are kept.
    """

    name: str
    spec: SourceSpec
    pixels: NDArray[Any]
    mask: Mask
    mapping: mmap.mmap | None  #: whose pages may be dropped
    traits: SourceTraits = field(default=SourceTraits(concurrent_reads=2), init=False)

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Copy a window out of the mapping."""
        pixels = np.array(self.pixels[bands.start : bands.stop, *region.slices])
        if self.mapping is not None and hasattr(self.mapping, "madvise"):
            self.mapping.madvise(mmap.MADV_DONTNEED)
        return pixels, None if self.mask is None else self.mask[region.slices]

    def close(self) -> None:
        """Do nothing: the mapping belongs to the caller."""


@dataclass
class WindowedSource:
    """An object with ``read_from_window``, read by one thread; its ``values`` and its own ``load`` are never used."""

    name: str
    spec: SourceSpec
    data: Any
    traits: SourceTraits

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window of all bands, and return some of them."""
        height_px, width_px = region.shape
        part = self.data.read_from_window(Window(region.column_start, region.row_start, width_px, height_px))
        pixels, mask = check_pixels(Subject.of(self.data), self.spec, *_take(part), size=region.shape)
        return pixels[bands.start : bands.stop], mask

    def close(self) -> None:
        """Do nothing: the object belongs to the caller."""


def open_array(data: Any, held: Any = None) -> ArraySource | MappedSource:
    """Open an object with ``values`` or ``load()`` as a source; ``held`` are its pixels where it has them already.

    If the object declares its dtype, its pixels are loaded when the first of them are read.
    """
    name, dtype = type(data).__name__, getattr(data, "dtype", None)
    is_mapped = _mapping_of(held)[0] is not None
    if dtype is not None and not is_mapped:
        spec = describe(data, dtype=dtype, has_mask=_declares_mask(data))
        return ArraySource(name, spec, lambda: check_pixels(Subject.of(data), spec, *_take(data)))
    pixels, mask = _take(data)
    has_mask = mask is not None if dtype is None else _declares_mask(data)
    spec = describe(data, dtype=pixels.dtype if dtype is None else dtype, has_mask=has_mask)
    return source_of_pixels(name, spec, *check_pixels(Subject.of(data), spec, pixels, mask))


def open_windowed(data: Any) -> WindowedSource:
    """Open an object with ``read_from_window`` as a source; one pixel is read if the object declares no dtype."""
    dtype = getattr(data, "dtype", None)
    if dtype is None:
        dtype = _take(data.read_from_window(Window(0, 0, 1, 1)))[0].dtype
    spec = describe(data, dtype=dtype, has_mask=_declares_mask(data))
    # Windows come with all bands: bands that are not requested would be read in vain.
    return WindowedSource(type(data).__name__, spec, data, SourceTraits(chunks=free_windows(spec.count)))


def source_of_pixels(name: str, spec: SourceSpec, pixels: NDArray[Any], mask: Mask) -> ArraySource | MappedSource:
    """Return a source of (band, row, column) pixels in memory or in a mapped file, and of their mask."""
    mapping, mode = _mapping_of(pixels)
    if mapping is None:
        return ArraySource(name, spec, lambda: (pixels, mask))
    return MappedSource(name, spec, pixels, mask, mapping if mode in _SHARED_MODES else None)


def _take(data: Any) -> MaskedPixels:
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


def _declares_mask(data: Any) -> bool:
    """Return whether an object has a mask, by its attributes and by pixels that are in memory; nothing is read."""
    in_memory = getattr(data, "__dict__", {}).get("values")
    is_masked = isinstance(in_memory, np.ma.MaskedArray) and split_mask(in_memory)[1] is not None
    return attrs_of(data).get("mask") is not None or bool(getattr(data, "has_mask", False)) or is_masked


def _mapping_of(values: Any) -> tuple[mmap.mmap | None, str | None]:
    """Return the mapping that an array is a view of, and its mode."""
    mode = None
    while isinstance(values, (np.ndarray, memoryview)):
        mode = getattr(values, "mode", mode) if isinstance(values, np.memmap) else mode
        values = values.base if isinstance(values, np.ndarray) else values.obj
    return (values, mode) if isinstance(values, mmap.mmap) else (None, None)
