"""Masks of pixels, and the entries of ``attrs`` that refer to rows and columns (mask, gcps, rpcs).

An entry of another kind, such as a ``mask`` of another shape, is the caller's own and stays unchanged. All functions
are pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.rpc import RPC
from rasterio.windows import Window

from georeader._readers.windows import pad
from georeader.errors import DtypeError, OptionError
from georeader.ground_control import as_control_points, regrid_rpcs
from georeader.window_utils import overlap

Attrs = dict[str, Any]


def mask_of(attrs: Mapping[str, Any], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return the mask of a raster, True where its pixels are valid; None if it has none.

    Args:
        attrs: Metadata of the raster.
        shape: Of the raster, the last two (rows, columns).
    """
    mask = attrs.get("mask")
    return mask if isinstance(mask, np.ndarray) and mask.shape == tuple(shape[-2:]) else None


def validity_of(attrs: Mapping[str, Any], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return the mask of a raster, as `mask_of` does, for calculations.

    Raises:
        DtypeError: It is not bool, so that the meaning of its numbers is unknown.
    """
    mask = mask_of(attrs, shape)
    if mask is not None:
        check_bool(mask)
    return mask


def check_bool(mask: NDArray[Any]) -> None:
    """Check that a mask is bool.

    Raises:
        DtypeError: It is not.
    """
    if mask.dtype != bool:
        raise DtypeError(
            f"attrs['mask'] is {mask.dtype} {mask.shape}; give a bool array, True where pixels are valid, "
            "as in mask != 0"
        )


def with_mask(attrs: Mapping[str, Any], mask: NDArray[np.bool_] | None) -> Attrs:
    """Return metadata with another mask; None: without a mask."""
    others = {key: value for key, value in attrs.items() if key != "mask"}
    return others if mask is None else {**others, "mask": mask}


def hide_more(attrs: Mapping[str, Any], mask: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> Attrs:
    """Return metadata whose mask also hides the pixels that a second mask hides.

    Args:
        attrs: Metadata of a raster.
        mask: The second mask, (row, column), True where the pixels are valid; None: everywhere.
        shape: Of the raster, the last two (rows, columns).

    Raises:
        DtypeError: The first mask is not bool.
    """
    if mask is None:
        return dict(attrs)
    own = validity_of(attrs, shape)
    return with_mask(attrs, mask if own is None else own & mask)


def regrid_georeference(
    attrs: Mapping[str, Any], column: float, row: float, column_step: float = 1, row_step: float = 1
) -> Attrs:
    """Return metadata with ground control points and rational polynomials in pixels of a new grid over the raster's.

    Args:
        attrs: Metadata of the raster.
        column: Origin of the new grid, in columns of the raster.
        row: Origin of the new grid, in rows of the raster.
        column_step: Width of a new pixel in columns of the raster; negative mirrors.
        row_step: Height of a new pixel in rows of the raster.
    """
    moved = dict(attrs)
    gcps, rpcs = as_control_points(attrs.get("gcps")), attrs.get("rpcs")
    if gcps is not None:
        moved["gcps"] = gcps.regrid(column, row, column_step, row_step)
    if isinstance(rpcs, RPC):
        moved["rpcs"] = regrid_rpcs(rpcs, column, row, column_step, row_step)
    return moved


def select_pixels(attrs: Mapping[str, Any], rows: slice, columns: slice, shape: tuple[int, ...]) -> Attrs:
    """Return the metadata of ``array[..., rows, columns]``, steps and negative steps included.

    Args:
        attrs: Metadata of the array.
        rows: Any numpy slice along rows.
        columns: Any numpy slice along columns.
        shape: Of the array, the last two (rows, columns).
    """
    row, _, row_step = rows.indices(shape[-2])
    column, _, column_step = columns.indices(shape[-1])
    moved = regrid_georeference(attrs, column + (column_step < 0), row + (row_step < 0), column_step, row_step)
    mask = mask_of(attrs, shape)
    return moved if mask is None else with_mask(moved, mask[rows, columns])


def select_window(attrs: Mapping[str, Any], window: Window, shape: tuple[int, ...]) -> Attrs:
    """Return the metadata of a window; if the raster has a mask, pixels beyond its edge are masked.

    Args:
        attrs: Metadata of the raster.
        window: On whole pixels; it may reach beyond the raster.
        shape: Of the raster, the last two (rows, columns).
    """
    moved = regrid_georeference(attrs, window.col_off, window.row_off)
    mask = mask_of(attrs, shape)
    if mask is None:
        return moved
    rows, columns = shape[-2:]
    source, _ = overlap(window, rows, columns)
    return with_mask(moved, pad(mask[source], window, (rows, columns), fill=False))


def join(attrs: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], shape: tuple[int, ...]) -> Attrs:
    """Return the metadata of numbers computed from several rasters: valid where the pixels of all rasters are.

    Contradicting ground control points and rational polynomials are dropped.

    Args:
        attrs: Other metadata of the result.
        parts: Metadata of the rasters, which lie on one grid.
        shape: Of the result, the last two (rows, columns).
    """
    joined = without_contradictions(attrs, parts)
    if mask_of(joined, shape) is not None:
        joined = with_mask(joined, None)
    masks = {id(mask): mask for mask in (mask_of(part, shape) for part in parts) if mask is not None}
    if not masks:
        return joined
    first, *others = masks.values()
    return with_mask(joined, np.logical_and.reduce([first, *others]) if others else first)


def without_contradictions(attrs: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> Attrs:
    """Return metadata without the ground control points and rational polynomials that differ between rasters."""
    kept = dict(attrs)
    for key in ("gcps", "rpcs"):
        values = [part[key] for part in parts if part.get(key) is not None]
        if any(_differ(values[0], other) for other in values[1:]):
            kept.pop(key, None)
    return kept


def _differ(one: Any, other: Any) -> bool:
    if one is other:
        return False
    points = as_control_points(one)
    return points != as_control_points(other) if points is not None else bool(one != other)


def have_one_mask(parts: Sequence[Mapping[str, Any]], shape: tuple[int, ...]) -> bool:
    """Return whether rasters on one grid all have the same mask, or none.

    Args:
        parts: Metadata of the rasters.
        shape: Of the rasters, the last two (rows, columns).
    """
    first, *others = [mask_of(part, shape) for part in parts]
    return all(
        mask is first or (mask is not None and first is not None and np.array_equal(mask, first)) for mask in others
    )


def to_ndarray(values: Any) -> NDArray[Any]:
    """Return array-like pixels as a numpy array; an array is not copied.

    Raises:
        OptionError: A masked array with masked pixels, whose mask numpy would drop silently.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        hidden = int(np.ma.getmaskarray(values).sum())
        raise OptionError(
            f"{hidden} of {values.size} pixels are masked, and only the pixels are taken here; pass "
            "values.filled(nodata), and that nodata as fill_value_default, or GeoTensor(values, ...), which keeps masks"
        )
    return np.asarray(values)


def split_mask(values: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return array-like pixels as a numpy array, and the mask that all bands share; an array is not copied.

    Args:
        values: Array-like, the last two axes (row, column). The numbers below the mask of a masked array are kept.

    Returns:
        The pixels, and a (row, column) array that is True where they are valid; None if no pixel is masked.

    Raises:
        OptionError: The bands are masked at different pixels.
    """
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return np.asarray(values), None
    hidden = np.ma.getmaskarray(values)
    planes = hidden.reshape(-1, *hidden.shape[-2:])
    if (planes != planes[0]).any():
        raise OptionError(
            f"{int(hidden.sum())} of {values.size} pixels are masked, not the same ones in each band, and a GeoTIFF "
            "has one mask for all bands; pass values.filled(nodata), and that nodata as fill_value_default"
        )
    return np.asarray(values), ~planes[0]
