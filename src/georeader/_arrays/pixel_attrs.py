"""The entries of ``attrs`` that speak of pixels by row and column (mask, gcps, rpcs), and how they follow the grid.

What is not of its kind, a ``mask`` of another shape, say, is the user's own and stays as it is. All functions are pure.
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
    """Give the mask of a raster, True where its pixels are valid; None: it has none.

    Args:
        attrs: Metadata of the raster.
        shape: Of the raster, the last two (rows, columns).
    """
    mask = attrs.get("mask")
    return mask if isinstance(mask, np.ndarray) and mask.shape == tuple(shape[-2:]) else None


def validity_of(attrs: Mapping[str, Any], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Give the mask of a raster, as `mask_of` does, to calculate with.

    Raises:
        DtypeError: It is not bool: what its numbers mean, it does not say.
    """
    mask = mask_of(attrs, shape)
    if mask is not None:
        check_bool(mask)
    return mask


def check_bool(mask: NDArray[Any]) -> None:
    """Refuse a mask of another dtype than bool.

    Raises:
        DtypeError: See above.
    """
    if mask.dtype != bool:
        raise DtypeError(
            f"attrs['mask'] is {mask.dtype} {mask.shape}; give a bool array, True where pixels are valid, "
            "as in mask != 0"
        )


def with_mask(attrs: Mapping[str, Any], mask: NDArray[np.bool_] | None) -> Attrs:
    """Put a mask in the place of the one that is there; None: there is none now."""
    others = {key: value for key, value in attrs.items() if key != "mask"}
    return others if mask is None else {**others, "mask": mask}


def hide_more(attrs: Mapping[str, Any], mask: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> Attrs:
    """Hide the pixels that a second mask hides too.

    Args:
        attrs: Metadata of a raster.
        mask: (row, column), True where the pixels are valid; None: all are.
        shape: Of the raster, the last two (rows, columns).

    Raises:
        DtypeError: The first one is not bool.
    """
    if mask is None:
        return dict(attrs)
    own = validity_of(attrs, shape)
    return with_mask(attrs, mask if own is None else own & mask)


def regrid_place(
    attrs: Mapping[str, Any], column: float, row: float, column_step: float = 1, row_step: float = 1
) -> Attrs:
    """Give ground control points and rational polynomials in pixels of a grid laid over another one.

    Args:
        attrs: Metadata of a raster on the first grid.
        column: Where the new grid's origin lies, in columns of the first.
        row: The same, in rows.
        column_step: Width of a new pixel in columns of the first; negative mirrors.
        row_step: Height of a new pixel in rows of the first.
    """
    moved = dict(attrs)
    gcps, rpcs = as_control_points(attrs.get("gcps")), attrs.get("rpcs")
    if gcps is not None:
        moved["gcps"] = gcps.regrid(column, row, column_step, row_step)
    if isinstance(rpcs, RPC):
        moved["rpcs"] = regrid_rpcs(rpcs, column, row, column_step, row_step)
    return moved


def select_pixels(attrs: Mapping[str, Any], rows: slice, columns: slice, shape: tuple[int, ...]) -> Attrs:
    """Give the metadata of ``array[..., rows, columns]``, steps and negative steps included.

    Args:
        attrs: Metadata of the array.
        rows: Any numpy slice along rows.
        columns: Any numpy slice along columns.
        shape: Of the array, the last two (rows, columns).
    """
    row, _, row_step = rows.indices(shape[-2])
    column, _, column_step = columns.indices(shape[-1])
    moved = regrid_place(attrs, column + (column_step < 0), row + (row_step < 0), column_step, row_step)
    mask = mask_of(attrs, shape)
    return moved if mask is None else with_mask(moved, mask[rows, columns])


def select_window(attrs: Mapping[str, Any], window: Window, shape: tuple[int, ...]) -> Attrs:
    """Give the metadata of a window, in which what lies outside the raster is masked where the raster has a mask.

    Args:
        attrs: Metadata of the raster.
        window: On whole pixels; it may reach beyond the raster.
        shape: Of the raster, the last two (rows, columns).
    """
    moved = regrid_place(attrs, window.col_off, window.row_off)
    mask = mask_of(attrs, shape)
    if mask is None:
        return moved
    rows, columns = shape[-2:]
    source, _ = overlap(window, rows, columns)
    return with_mask(moved, pad(mask[source], window, (rows, columns), fill=False))


def join(attrs: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], shape: tuple[int, ...]) -> Attrs:
    """Give the metadata of numbers made of several rasters' pixels: valid where all of them are.

    Ground control points and rational polynomials of rasters that contradict each other are dropped.

    Args:
        attrs: What the result has otherwise.
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
    """Drop ground control points and rational polynomials where rasters on one grid say different ones."""
    kept = dict(attrs)
    for key in ("gcps", "rpcs"):
        said = [part[key] for part in parts if part.get(key) is not None]
        if any(_differ(said[0], other) for other in said[1:]):
            kept.pop(key, None)
    return kept


def _differ(one: Any, other: Any) -> bool:
    if one is other:
        return False
    points = as_control_points(one)
    return points != as_control_points(other) if points is not None else bool(one != other)


def have_one_mask(parts: Sequence[Mapping[str, Any]], shape: tuple[int, ...]) -> bool:
    """Tell whether rasters on one grid all have the same mask, or none.

    Args:
        parts: Metadata of the rasters.
        shape: Of the rasters, the last two (rows, columns).
    """
    first, *others = [mask_of(part, shape) for part in parts]
    return all(
        mask is first or (mask is not None and first is not None and np.array_equal(mask, first)) for mask in others
    )


def to_ndarray(values: Any) -> NDArray[Any]:
    """Give array-like pixels as a numpy array, copying only what is none yet.

    Raises:
        OptionError: A masked array with masked pixels: numpy would drop the mask without a word.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        hidden = int(np.ma.getmaskarray(values).sum())
        raise OptionError(
            f"{hidden} of {values.size} pixels are masked, and only the pixels are taken here; pass "
            "values.filled(nodata), and that nodata as fill_value_default, or GeoTensor(values, ...), which keeps masks"
        )
    return np.asarray(values)


def split_mask(values: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Part array-like pixels into a numpy array and the mask that all bands share, copying only what is none yet.

    Args:
        values: Array-like, the last two axes (row, column). Of masked arrays, the numbers below the mask are kept.

    Returns:
        The pixels, and a (row, column) array that is True where they are valid; None where nothing is masked.

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
