"""Arguments of CogWriter, parsed: the raster to be written, and the bands, place and pixels of its windows."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader._core.dtypes import convert_pixels, replace_nan, storage_dtype
from georeader._core.windows import PixelWindow
from georeader._export.plan.metadata import metadata_from_attrs, pick_bands
from georeader._export.plan.spec import SourceSpec
from georeader._export.sources import open_source
from georeader._export.sources.geodata import check_mask
from georeader._export.writer.blends import CheckedPixels
from georeader.abstract_reader import Georeferenced
from georeader.errors import DtypeError, GeoreferenceError, IndexingError, OptionError, ShapeError
from georeader.window_utils import (
    compare_crs,
    normalise_crs,
    normalise_transform,
    pixel_to_crs,
    same_corners,
    whole_pixel_window,
    window_transform,
)

MASKED_WITHOUT_NODATA = "a masked array, and the file has no nodata; pass nodata"


@dataclass(frozen=True)
class Grid:
    """The arguments that describe a raster to be written; None where one is not passed."""

    shape: Any = None  #: (row, column) or (band, row, column)
    dtype: Any = None
    transform: Any = None
    crs: Any = None
    count: Any = None
    indexes: Any = None  #: Bands of another raster, from 1, that it has


def blank_spec(like: Any, grid: Grid) -> SourceSpec:
    """Return the spec of a raster to be written: that of ``like``, which `open_source` takes, or of arguments alone.

    Nodata and metadata of ``like`` are in it only where dtype and number of bands are its own, or where ``indexes``
    name its bands.
    """
    if grid.indexes is not None and (like is None or grid.count is not None):
        problem = "require like; pass count=" if like is None else "set the number of bands; drop count="
        raise OptionError(f"indexes={grid.indexes!r} {problem}")
    if like is None:
        return _from_arguments(grid)
    source = open_source(like, may_read=False)
    try:
        # Its bits do not limit other values.
        spec = replace(source.spec, has_mask=False, metadata=replace(source.spec.metadata, nbits=None))
    finally:
        source.close()
    if grid.indexes is not None:
        bands = _band_positions(grid.indexes, spec.count, "'like': ")
        methods = tuple(spec.overview_resamplings[band] for band in bands) if spec.overview_resamplings else ()
        spec = replace(spec, count=len(bands), metadata=pick_bands(spec.metadata, bands), overview_resamplings=methods)
    whole = _shape(grid, spec)
    numbers = spec.dtype if grid.dtype is None else _dtype(grid.dtype)
    if (whole[0], numbers) != (spec.count, spec.dtype):
        bare = metadata_from_attrs({}, whole[0])
        spec = replace(spec, metadata=bare, fill_value=None, fill_value_is_explicit=False, overview_resamplings=())
    elif grid.transform is not None:
        # They locate another raster.
        spec = replace(spec, metadata=replace(spec.metadata, gcps=None, rpcs=None))
    return replace(
        spec,
        count=whole[0],
        height_px=whole[1],
        width_px=whole[2],
        dtype=numbers,
        crs=spec.crs if grid.crs is None else normalise_crs(grid.crs),
        transform=spec.transform if grid.transform is None else normalise_transform(grid.transform),
    )


def _from_arguments(grid: Grid) -> SourceSpec:
    for name, value, kind in (("shape", grid.shape, ShapeError), ("dtype", grid.dtype, DtypeError)):
        if value is None:
            raise kind(f"neither like nor {name} is passed; pass {name}=")
    if grid.transform is None:
        raise GeoreferenceError("neither like nor transform is passed; pass transform=")
    count, height_px, width_px = _shape(grid, None)
    return SourceSpec(
        count=count,
        height_px=height_px,
        width_px=width_px,
        dtype=_dtype(grid.dtype),
        crs=normalise_crs(grid.crs),
        transform=normalise_transform(grid.transform),
        fill_value=None,
        fill_value_is_explicit=False,
        metadata=metadata_from_attrs({}, count),
    )


def _shape(grid: Grid, like: SourceSpec | None) -> tuple[int, int, int]:
    """Return (band, row, column): a shape of two numbers gets the bands of ``count`` or ``like``, else one."""
    usual = 1 if like is None else like.count
    count = usual if grid.count is None else _count(grid.count)
    if grid.shape is None and like is not None:
        return count, *like.shape[1:]
    message = f"invalid shape={grid.shape!r}; pass (row, column) or (band, row, column), each at least 1"
    try:
        sides = tuple(operator.index(side) for side in grid.shape)
    except TypeError as error:
        raise ShapeError(message) from error
    if len(sides) not in (2, 3) or min(sides) < 1:
        raise ShapeError(message)
    if len(sides) == 2:
        return (count, *sides)
    for name, value in (("count", grid.count), ("indexes", grid.indexes)):
        if value is not None and sides[0] != count:
            raise ShapeError(
                f"shape={grid.shape!r} has {sides[0]} bands, but {name}={value!r}; pass shape=(row, column)"
            )
    return sides[0], sides[1], sides[2]


def _count(count: Any) -> int:
    number = operator.index(count) if hasattr(count, "__index__") and not isinstance(count, bool) else 0
    if number < 1:
        raise ShapeError(f"count={count!r} is not a number of bands; pass 1 or more")
    return number


def _dtype(dtype: Any) -> np.dtype[Any]:
    storage_dtype(dtype)  # a DtypeError, unless a GeoTIFF can hold it
    numbers: np.dtype[Any] = np.dtype(dtype)
    return numbers


def _band_positions(indexes: Any, count: int, subject: str = "") -> list[int]:
    """Return positions of bands, from 0, of a number from 1, or of several in any order."""
    there = f"there are 1 to {count}"
    try:
        listed = list(indexes) if isinstance(indexes, Iterable) else [indexes]
        bands = [operator.index(index) - 1 for index in listed]
    except TypeError as error:
        raise IndexingError(f"{subject}indexes={indexes!r} are not numbers of bands; {there}") from error
    wrong = [band + 1 for band in bands if not 0 <= band < count]
    if wrong or not bands:
        raise IndexingError(f"{subject}bands {wrong or 'none'} requested; {there}")
    if len(set(bands)) < len(bands):
        raise IndexingError(f"{subject}indexes={indexes!r} name a band twice; {there}")
    return bands


@dataclass(frozen=True)
class WindowRules:
    """Checks the windows of one raster."""

    spec: SourceSpec  #: The raster, as the caller described it
    dtype: np.dtype[Any]  #: Of the file
    missing: int | float | None  #: Value for masked pixels; None: they are refused
    nan_to_nodata: bool = False  #: NaN becomes ``missing``, too

    def bands(self, indexes: Any) -> list[int]:
        """Return `_band_positions`, or for None those of all bands."""
        return list(range(self.spec.count)) if indexes is None else _band_positions(indexes, self.spec.count)

    def window(self, array: Any, window: Window | None) -> PixelWindow:
        """Return the window of an array; by default that of its transform, or the whole raster for a plain array."""
        if window is None:
            window = self._window_of(array)
        if not isinstance(window, Window):
            raise IndexingError(
                f"window={window!r} is not a rasterio.windows.Window; pass Window(column, row, width, "
                "height), and bands as indexes="
            )
        whole = whole_pixel_window(window)
        row_stop, column_stop = whole.row_off + whole.height, whole.col_off + whole.width
        is_inside = 0 <= whole.row_off <= row_stop <= self.spec.height_px
        if not (is_inside and 0 <= whole.col_off <= column_stop <= self.spec.width_px):
            raise IndexingError(
                f"{whole} reaches beyond the raster of {self.spec.height_px} x {self.spec.width_px} "
                "pixels; cut array and window at its edge"
            )
        return PixelWindow(whole.row_off, row_stop, whole.col_off, column_stop)

    @property
    def fill(self) -> int | float:
        """Value of pixels that are not written."""
        return 0 if self.missing is None else self.missing

    def check(self, array: Any, weight: Any, count: int, size: tuple[int, int]) -> CheckedPixels:
        """Check and convert the pixels of a window of (rows, columns), which have so many bands."""
        if weight is not None:
            raise OptionError("weight requires a blend; pass blend='mean' to CogWriter, for instance")
        return CheckedPixels(self.pixels(array, count, size))

    def pixels(self, array: Any, count: int, size: tuple[int, int]) -> NDArray[Any]:
        """Convert (row, column) or (band, row, column) pixels, masked or not, to the file's dtype and shape.

        They must have so many bands, and the (rows, columns) of their window.
        """
        planes, hidden = self.planes(array, count, size)
        if hidden is None:
            return self.stored(planes)
        if self.missing is None:
            raise OptionError(MASKED_WITHOUT_NODATA)
        visible = self.stored(np.where(hidden, planes.dtype.type(0), planes))
        return np.where(hidden, self.dtype.type(self.missing), visible)

    def planes(self, array: Any, count: int, size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return pixels as (band, row, column), in the array's dtype, and which of them are masked; None: none."""
        values = self.numbers(array)
        if values.ndim not in (2, 3):
            raise ShapeError(f"an array of shape {values.shape}; write takes (row, column) or (band, row, column)")
        planes = values[np.newaxis] if values.ndim == 2 else values
        if planes.shape[1:] == size and len(planes) != count:
            raise ShapeError(self._other_bands(values.shape, len(planes), count))
        if planes.shape != (count, *size) and values.shape[:2] == size:
            raise ShapeError(
                f"an array of shape {values.shape} is (row, column, band), and write takes bands, or classes, first; "
                "pass numpy.moveaxis(array, -1, 0)"
            )
        if planes.shape != (count, *size):
            raise ShapeError(
                f"an array of shape {values.shape} does not fit {count} bands of a window of "
                f"{size[0]} x {size[1]} pixels; pass its window, or cut the array"
            )
        return planes, self._hidden(array, planes)

    def _other_bands(self, shape: tuple[int, ...], found: int, count: int) -> str:
        has = f"an array of shape {shape} has {found} band{'s' if found > 1 else ''}"
        if count != self.spec.count:
            return f"{has}, and indexes name {count}; pass as many indexes as bands"
        either = "write some of its bands with write(..., indexes=)" if found < count else "cut the array"
        return f"{has}, and the file {count}; {either}, or make the file with CogWriter(..., count={found})"

    def numbers(self, array: Any) -> NDArray[Any]:
        """Return an array of numbers; raises ShapeError or DtypeError if it is not one."""
        if isinstance(array, Georeferenced) and not hasattr(array, "__array__"):
            raise ShapeError(f"the array is a {type(array).__name__}; pass its pixels, .load()")
        try:
            values = np.asarray(array)
        except (TypeError, ValueError) as error:  # the former by xarray, of a Dataset
            raise ShapeError(f"array is not an array: {error}") from error
        if values.dtype.kind not in "biufc":
            raise DtypeError(f"the array must be of numbers, got {values.dtype}; cast it first")
        return values

    def stored(self, planes: NDArray[Any]) -> NDArray[Any]:
        """Convert pixels to the file's dtype; raises DtypeError for values that it does not hold."""
        is_classes = self.spec.dtype.kind == "b" and planes.dtype.kind != "b"
        if is_classes and not ((planes == 0) | (planes == 1)).all():
            raise DtypeError("dtype bool has only 0 and 1, the array other values; pass array != 0")
        if self.nan_to_nodata and self.missing is not None and planes.dtype.kind in "fc":
            planes = replace_nan(planes, self.missing)
        return convert_pixels(planes, self.dtype)

    def _hidden(self, array: Any, planes: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return which pixels are masked; None if none is."""
        hidden = np.ma.getmaskarray(array).reshape(planes.shape) if isinstance(array, np.ma.MaskedArray) else None
        attrs = getattr(array, "attrs", None)
        valid = attrs.get("mask") if isinstance(attrs, Mapping) and isinstance(array, Georeferenced) else None
        if valid is not None:
            check_mask(valid, planes.shape[1:])
            hidden = np.broadcast_to(~valid, planes.shape)
        return hidden if hidden is not None and hidden.any() else None

    def _window_of(self, array: Any) -> Window:
        if not isinstance(array, Georeferenced):
            return Window(0, 0, self.spec.width_px, self.spec.height_px)
        own, place = self.spec.transform, array.transform
        column, row = pixel_to_crs(~own, place.c, place.f)
        window = Window(round(column), round(row), array.width, array.height)
        is_same = same_corners(window_transform(window, own), place, (array.height, array.width))
        if not is_same or not compare_crs(self.spec.crs, array.crs):
            raise GeoreferenceError("the array is on another grid than the file; resample it, or pass its window")
        return window
