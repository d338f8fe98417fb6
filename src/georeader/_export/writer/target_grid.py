"""Target grid: spec of a raster without pixels, from arguments or from another raster."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from georeader._core.dtypes import storage_dtype
from georeader._export.plan.metadata import metadata_from_attrs, pick_bands
from georeader._export.plan.spec import SourceSpec
from georeader._export.sources import open_source
from georeader._export.writer.window_checks import band_positions
from georeader.errors import DtypeError, GeoreferenceError, OptionError, ShapeError
from georeader.window_utils import normalise_crs, normalise_transform


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
        bands = band_positions(grid.indexes, spec.count, "like")
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
        return count, like.height_px, like.width_px
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
    try:
        numbers: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"dtype={dtype!r} is not a numpy dtype") from error
    storage_dtype(numbers)
    return numbers
