"""A raster that has no pixels yet: its grid, said outright or taken from another raster."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import numpy as np

from georeader.errors import DtypeError, GeoreferenceError, ShapeError
from georeader.export.dtypes import storage_dtype
from georeader.export.metadata import metadata_from_attrs
from georeader.export.sources import open_source
from georeader.export.spec import SourceSpec
from georeader.window_utils import normalise_crs, normalise_transform


def blank_spec(
    like: Any = None,
    *,
    shape: tuple[int, ...] | None = None,
    dtype: Any = None,
    transform: Any = None,
    crs: Any = None,
) -> SourceSpec:
    """Say what a raster will be.

    Args:
        like: What `open_source` takes, whose grid it gets; None: all the rest is said.
        shape: (row, column) or (band, row, column).
        dtype: numpy dtype.
        transform: Pixel (column, row) to CRS (x, y).
        crs: Any CRS input.

    Returns:
        The spec; nodata and metadata of ``like`` are in it only where dtype and number of bands are its own.

    Raises:
        ShapeError: The shape is none, or nobody says it.
        DtypeError: The same of the dtype; or a GeoTIFF does not hold it.
        GeoreferenceError: The same of transform or CRS.
    """
    if like is None:
        return _said(shape, dtype, transform, crs)
    source = open_source(like)
    try:
        spec = replace(source.spec, has_mask=False)
    finally:
        source.close()
    whole = _shape(shape, spec.count) if shape is not None else (spec.count, spec.height_px, spec.width_px)
    numbers = spec.dtype if dtype is None else _dtype(dtype)
    if (whole[0], numbers) != (spec.count, spec.dtype):
        bare = metadata_from_attrs({}, whole[0])
        spec = replace(spec, metadata=bare, fill_value=None, fill_value_was_said=False)
    elif transform is not None:
        # They say where another raster lies.
        spec = replace(spec, metadata=replace(spec.metadata, gcps=None, rpcs=None))
    return replace(
        spec,
        count=whole[0],
        height_px=whole[1],
        width_px=whole[2],
        dtype=numbers,
        crs=spec.crs if crs is None else normalise_crs(crs),
        transform=spec.transform if transform is None else normalise_transform(transform),
    )


def _said(shape: Any, dtype: Any, transform: Any, crs: Any) -> SourceSpec:
    for name, value, kind in (("shape", shape, ShapeError), ("dtype", dtype, DtypeError)):
        if value is None:
            raise kind(f"neither like nor {name} says what the raster is; pass {name}=")
    if transform is None:
        raise GeoreferenceError("neither like nor transform says where the raster lies; pass transform=")
    count, height_px, width_px = _shape(shape, 1)
    return SourceSpec(
        count=count,
        height_px=height_px,
        width_px=width_px,
        dtype=_dtype(dtype),
        crs=normalise_crs(crs),
        transform=normalise_transform(transform),
        fill_value=None,
        fill_value_was_said=False,
        metadata=metadata_from_attrs({}, count),
    )


def _shape(shape: Any, count: int) -> tuple[int, int, int]:
    """Give (band, row, column); of two numbers, the bands are those of ``like``."""
    message = f"shape={shape!r} is no raster; pass (row, column) or (band, row, column)"
    try:
        sides = tuple(operator.index(side) for side in shape)
    except TypeError as error:
        raise ShapeError(message) from error
    if len(sides) not in (2, 3) or min(sides) < 1:
        raise ShapeError(message)
    return (count, *sides[-2:]) if len(sides) == 2 else (sides[0], sides[1], sides[2])


def _dtype(dtype: Any) -> np.dtype[Any]:
    try:
        numbers: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"dtype={dtype!r} is no numpy dtype") from error
    storage_dtype(numbers)
    return numbers
