"""Masks of pixels, and the entries of ``attrs`` that refer to rows and columns (mask, gcps, rpcs); text of reprs.

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

from georeader._core.windows import MaskedPixels
from georeader.abstract_reader import declared_nodata
from georeader.errors import DtypeError, OptionError
from georeader.ground_control import as_control_points, regrid_rpcs
from georeader.window_utils import describe_crs, overlap

Attrs = dict[str, Any]


def mask_of(attrs: Mapping[str, Any], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return the mask of a raster of a (..., row, column) shape, True where its pixels are valid, or None."""
    mask = attrs.get("mask")
    return mask if isinstance(mask, np.ndarray) and mask.shape == tuple(shape[-2:]) else None


def validity_of(attrs: Mapping[str, Any], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return the mask of a raster, as `mask_of` does, for calculations; it must be bool."""
    mask = mask_of(attrs, shape)
    if mask is not None:
        check_bool(mask)
    return mask


def check_bool(mask: NDArray[Any]) -> None:
    """Raise a DtypeError for a mask that is not bool, so that the meaning of its numbers is unknown."""
    if mask.dtype != bool:
        raise DtypeError(
            f"attrs['mask'] is {mask.dtype} {mask.shape}; pass a bool array, True where pixels are valid, "
            "as in mask != 0"
        )


def with_mask(attrs: Mapping[str, Any], mask: NDArray[np.bool_] | None) -> Attrs:
    """Return metadata with another mask; None: without a mask."""
    others = {key: value for key, value in attrs.items() if key != "mask"}
    return others if mask is None else {**others, "mask": mask}


def hide_more(attrs: Mapping[str, Any], mask: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> Attrs:
    """Return metadata whose mask also hides the pixels that a second (row, column) mask hides; None hides none."""
    if mask is None:
        return dict(attrs)
    own = validity_of(attrs, shape)
    return with_mask(attrs, mask if own is None else own & mask)


def regrid_georeference(
    attrs: Mapping[str, Any], column: float, row: float, column_step: float = 1, row_step: float = 1
) -> Attrs:
    """Return metadata with control points and polynomials on a new grid, as `georeader.window_utils.regrid`."""
    moved = dict(attrs)
    gcps, rpcs = as_control_points(attrs.get("gcps")), attrs.get("rpcs")
    if gcps is not None:
        moved["gcps"] = gcps.regrid(column, row, column_step, row_step)
    if isinstance(rpcs, RPC):
        moved["rpcs"] = regrid_rpcs(rpcs, column, row, column_step, row_step)
    return moved


def place_of_slices(rows: slice, columns: slice, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return (column, row, column_step, row_step) of ``array[..., rows, columns]``, as `regrid` takes them.

    A step of n makes pixels n times as large, each with the origin of the picked one; a step of -1 mirrors the axis.
    """
    row, _, row_step = rows.indices(shape[-2])
    column, _, column_step = columns.indices(shape[-1])
    return column + (column_step < 0), row + (row_step < 0), column_step, row_step


def select_pixels(attrs: Mapping[str, Any], rows: slice, columns: slice, shape: tuple[int, ...]) -> Attrs:
    """Return the metadata of ``array[..., rows, columns]``, for any slices; ``shape`` is that of the array."""
    moved = regrid_georeference(attrs, *place_of_slices(rows, columns, shape))
    mask = mask_of(attrs, shape)
    return moved if mask is None else with_mask(moved, mask[rows, columns])


def select_window(attrs: Mapping[str, Any], window: Window, shape: tuple[int, ...]) -> Attrs:
    """Return the metadata of a window on whole pixels; if the raster has a mask, pixels beyond its edge are masked."""
    moved = regrid_georeference(attrs, window.col_off, window.row_off)
    mask = mask_of(attrs, shape)
    if mask is None:
        return moved
    rows, columns = shape[-2:]
    source, _ = overlap(window, rows, columns)
    return with_mask(moved, pad(mask[source], window, (rows, columns), fill=False))


def pad(inside: NDArray[Any], window: Window, shape: tuple[int, int], fill: Any) -> NDArray[Any]:
    """Pad the (..., row, column) part of a window that lies inside a raster to the size of the window.

    If the whole window lies inside, the part itself is returned. ``shape`` is (rows, columns) of the raster.
    """
    size = int(window.height), int(window.width)
    if inside.shape[-2:] == size:
        return inside
    _, target = overlap(window, *shape)
    padded = np.full((*inside.shape[:-2], *size), fill, inside.dtype)
    padded[(..., *target)] = inside
    return padded


def join(attrs: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], shape: tuple[int, ...]) -> Attrs:
    """Return the metadata of numbers computed from rasters on one grid: valid where all are, without contradictions."""
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
    """Return whether rasters on one grid all have the same mask, or none."""
    first, *others = [mask_of(part, shape) for part in parts]
    return all(
        mask is first or (mask is not None and first is not None and np.array_equal(mask, first)) for mask in others
    )


def to_ndarray(values: Any) -> NDArray[Any]:
    """Return array-like pixels as a numpy array, not copied; masked pixels raise, since numpy would drop the mask."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        hidden = int(np.ma.getmaskarray(values).sum())
        raise OptionError(
            f"{hidden} of {values.size} pixels are masked, and only the pixels are taken here; pass "
            "values.filled(nodata), and that nodata as fill_value_default, or GeoTensor(values, ...), which keeps masks"
        )
    return np.asarray(values)


def split_mask(values: Any) -> MaskedPixels:
    """Return (..., row, column) pixels, not copied, and the (row, column) mask that all bands share, or None."""
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


def _describe_pixel_attrs(raster: Any) -> dict[str, str]:
    """Return a line each about the mask, the ground control points and the rational polynomials of a raster."""
    attrs = raster.attrs
    mask, gcps = mask_of(attrs, raster.shape), as_control_points(attrs.get("gcps"))
    facts: dict[str, str] = {}
    if mask is not None:
        facts["mask"] = f"hides {mask.size - int(np.count_nonzero(mask))} of {mask.size} pixels"
    elif getattr(raster, "has_mask", False):
        facts["mask"] = "yes, read by load()"
    if gcps is not None:
        facts["gcps"] = f"{len(gcps.points)} ground control points in {describe_crs(gcps.crs)}"
    if isinstance(attrs.get("rpcs"), RPC):
        facts["rpcs"] = "yes"
    return facts


def describe_grid(raster: Any, **extra: Any) -> str:
    """Return the repr of a GeoTensor or a reader: a heading line and one line per fact; those of None are left out."""
    axes = " x ".join(str(size) for size in raster.shape)
    names = ", ".join({"y": "row", "x": "column"}.get(name, name) for name in raster.dims)
    left, bottom, right, top = raster.bounds
    width, height = raster.res
    nodata = declared_nodata(raster, raster.dtype)
    facts: dict[str, Any] = {
        "crs": describe_crs(raster.crs),
        "pixel": f"{width:g} x {height:g}",
        "bounds": f"({left:.10g}, {bottom:.10g}, {right:.10g}, {top:.10g})",
        "no data": "none" if nodata is None else nodata,
        **_describe_pixel_attrs(raster),
        **extra,
    }
    lines = [f"{type(raster).__name__} {axes} ({names}) {raster.dtype}"]
    lines += [f"  {name:<9}{value}" for name, value in facts.items() if value is not None]
    return "\n".join(lines)
