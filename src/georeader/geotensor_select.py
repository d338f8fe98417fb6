"""Parts of GeoTensors, and GeoTensors of parts: each result's transform follows its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from rasterio.windows import Window

from georeader import band_attrs
from georeader.errors import GeoreferenceError, IndexingError, ShapeError
from georeader.window_utils import overlap, regrid, whole_pixel_window, window_transform

if TYPE_CHECKING:
    from georeader.geotensor import GeoTensor


def slice_transform(transform: Affine, rows: slice, columns: slice, shape: tuple[int, int]) -> Affine:
    """Give the transform of ``array[rows, columns]``, steps and negative steps included.

    A step of n makes pixels n times as large, with the first pixel's corner in place; a step of -1
    mirrors the axis.

    Args:
        transform: Transform of the whole array.
        rows: Any numpy slice along rows.
        columns: Any numpy slice along columns.
        shape: (rows, columns) of the whole array.
    """
    row, _, row_step = rows.indices(shape[0])
    column, _, column_step = columns.indices(shape[1])
    return regrid(transform, column + (column_step < 0), row + (row_step < 0), column_step, row_step)


def isel(tensor: GeoTensor, sel: Mapping[str, Any]) -> GeoTensor:
    """Select by axis name; see `GeoTensor.isel`."""
    for name in sel:
        if name not in tensor.dims:
            raise IndexingError(f"axis {name!r} is not there; this GeoTensor has {', '.join(tensor.dims)}")
    rows, columns = (_spatial_slice(name, sel.get(name, slice(None))) for name in ("y", "x"))
    index = (*(sel.get(name, slice(None)) for name in tensor.dims[:-2]), rows, columns)
    attrs = tensor.attrs
    if "band" in sel:
        bands = np.atleast_1d(np.arange(tensor.count)[_plain(sel["band"])])
        attrs = band_attrs.select_bands(attrs, tensor.count, bands.tolist())
    transform = slice_transform(tensor.transform, rows, columns, tensor.shape[-2:])
    return tensor.like(tensor.values[tuple(_plain(one) for one in index)], transform=transform, attrs=attrs)


def _spatial_slice(name: str, index: Any) -> slice:
    if not isinstance(index, slice):
        raise IndexingError(
            f"axis {name!r} takes slices only (got {index!r}), so that the result keeps rows and columns; "
            "use .values[...] for single rows, columns or pixels"
        )
    return index


def _plain(index: Any) -> Any:
    return np.asarray(index) if isinstance(index, np.ndarray) else index


def getitem(tensor: GeoTensor, key: Any) -> Any:
    """``tensor[key]``: slices keep the place; a mask of the tensor's shape gives a plain array.

    Raises:
        IndexingError: ``None`` or ``...`` in the key, or a spatial index that is not a slice.
    """
    is_mask = isinstance(key, np.ndarray) and key.dtype == bool
    if is_mask and key.shape == tensor.shape:
        return tensor.values[np.asarray(key)]
    keys = key if isinstance(key, tuple) else (key,)
    if any(one is None for one in keys):
        raise IndexingError("adding an axis by None is not possible in a GeoTensor; use expand_dims(axis)")
    if any(one is Ellipsis for one in keys):
        raise IndexingError("'...' is not possible in a GeoTensor; name each axis, use isel(), or index .values")
    if len(keys) > tensor.ndim:
        raise IndexingError(f"{len(keys)} indices for {tensor.ndim} axes ({', '.join(tensor.dims)})")
    return isel(tensor, dict(zip(tensor.dims, keys, strict=False)))


def read_from_window(tensor: GeoTensor, window: Window, boundless: bool) -> GeoTensor:
    """Give the pixels of a window; see `GeoTensor.read_from_window`."""
    window = whole_pixel_window(window)
    source, target = overlap(window, tensor.height, tensor.width)
    transform = window_transform(window, tensor.transform)
    inside = tensor.values[(..., *source)]
    if inside.shape[-2:] == (window.height, window.width):
        return tensor.like(inside, transform=transform)
    if not boundless:
        if 0 in inside.shape[-2:]:
            raise IndexingError(f"{window} lies outside the raster of {tensor.height} x {tensor.width} pixels")
        return isel(tensor, {"y": source[0], "x": source[1]})
    fill = 0 if tensor.fill_value_default is None else tensor.fill_value_default
    padded = np.full((*tensor.shape[:-2], window.height, window.width), fill, dtype=tensor.dtype)
    padded[(..., *target)] = inside
    return tensor.like(padded, transform=transform)


def _not_spatial(axis: int, ndim: int, what: str) -> int:
    position = axis + ndim if axis < 0 else axis
    if not 0 <= position < ndim - 2:
        raise IndexingError(f"{what}: axis {axis} is spatial or not there; the last two axes stay (row, column)")
    return position


def squeeze(tensor: GeoTensor, axis: Any) -> GeoTensor:
    """Drop axes of length one before the spatial ones."""
    if axis is None:
        axes = tuple(one for one in range(tensor.ndim - 2) if tensor.shape[one] == 1)
    else:
        given = axis if isinstance(axis, tuple) else (axis,)
        axes = tuple(_not_spatial(one, tensor.ndim, "squeeze") for one in given)
    return tensor.like(np.squeeze(tensor.values, axis=axes))


def expand_dims(tensor: GeoTensor, axis: int) -> GeoTensor:
    """Add an axis of length one before the spatial ones."""
    return tensor.like(np.expand_dims(tensor.values, _not_spatial(axis, tensor.ndim + 1, "expand_dims")))


def transpose(tensor: GeoTensor, axes: tuple[Any, ...]) -> GeoTensor:
    """Reorder the axes before the spatial ones."""
    ndim = tensor.ndim
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], Sequence)):
        axes = tuple(axes[0] or ())
    order = axes or (*reversed(range(ndim - 2)), ndim - 2, ndim - 1)
    if tuple(one % ndim for one in order[-2:]) != (ndim - 2, ndim - 1):
        raise IndexingError(f"transpose{order}: the last two axes stay (row, column); transpose .values to swap them")
    attrs = tensor.attrs if order[-3:] == tuple(range(ndim))[-3:] else band_attrs.without_bands(tensor.attrs)
    return tensor.like(tensor.values.transpose(order), attrs=attrs)


def _check_alike(geotensors: Sequence[GeoTensor], what: str) -> None:
    if not geotensors:
        raise ShapeError(f"{what}: the list of GeoTensors is empty")
    first = geotensors[0]
    for position, other in enumerate(geotensors[1:], start=1):
        if not first.same_extent(other):
            raise GeoreferenceError(
                f"{what}: element {position} lies on another grid than element 0 "
                f"({tuple(other.shape[-2:])} at {tuple(other.transform[:6])} in {other.crs}, not "
                f"{tuple(first.shape[-2:])} at {tuple(first.transform[:6])} in {first.crs})"
            )
        a, b = first.fill_value_default, other.fill_value_default
        if a != b and not (a != a and b != b):
            raise GeoreferenceError(
                f"{what}: element {position} has fill_value_default {b}, element 0 has {a}; bring them to one value"
            )


def stack(geotensors: Sequence[GeoTensor]) -> GeoTensor:
    """Stack along a new first axis: (row, column) tensors become bands, (band, row, column) ones times."""
    _check_alike(geotensors, "stack")
    first = geotensors[0]
    shapes = {tensor.shape for tensor in geotensors}
    if len(shapes) > 1:
        raise ShapeError(f"stack: the GeoTensors differ in shape: {sorted(shapes)}")
    attrs = first.attrs
    if first.ndim == 2:
        attrs = band_attrs.merge_bands([(tensor.attrs, 1) for tensor in geotensors])
    return first.like(np.stack([tensor.values for tensor in geotensors]), attrs=attrs)


def concatenate(geotensors: Sequence[GeoTensor], axis: int) -> GeoTensor:
    """Join along an axis that is not spatial."""
    _check_alike(geotensors, "concatenate")
    first = geotensors[0]
    position = _not_spatial(axis, first.ndim, "concatenate")
    try:
        joined = np.concatenate([tensor.values for tensor in geotensors], axis=position)
    except ValueError as error:
        shapes = [tensor.shape for tensor in geotensors]
        raise ShapeError(f"concatenate: the GeoTensors differ in shape beyond axis {axis}: {shapes}") from error
    attrs = first.attrs
    if position == first.ndim - 3:
        attrs = band_attrs.merge_bands([(tensor.attrs, tensor.count) for tensor in geotensors])
    return first.like(joined, attrs=attrs)
