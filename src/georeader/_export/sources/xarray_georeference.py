"""Georeference of an xarray.DataArray: rioxarray's answers, and what rioxarray does not answer.

rioxarray keeps a CRS and a transform in the attributes of a scalar coordinate, which CF calls a grid mapping (CF
Conventions 1.11, section 5.6).

The stored transform is that of the raster as it was opened: a selection moves the coordinates alone, so they take
precedence, and the stored numbers are used where both agree. Coordinates are those of pixel centres, unless they lie on
the pixel corners of a stored transform: stackstac writes corners, beside its transform in ``attrs``.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.rpc import RPC

from georeader._core.reporting import warn_at_caller
from georeader.errors import GeoreferenceError, MetadataWarning, ShapeError
from georeader.ground_control import GroundControlPoints
from georeader.window_utils import normalise_crs, normalise_transform, pixel_to_crs, regrid

#: How far a pixel may be misplaced along an axis, in pixels, for its coordinates to be evenly spaced.
_EVEN_PX = 0.05

#: How far coordinates may lie from a stored transform, in pixels, for it to be theirs.
_SAME_PX = 1e-3

#: Names of dimensions along (rows, columns) that rioxarray does not know.
_DIM_NAMES = (("lat", "lon"), ("y", "x"), ("latitude", "longitude"))


class Georeference(NamedTuple):
    """CRS, transform (pixel column and row to CRS x and y), ground control points and rational polynomials."""

    crs: CRS | None
    transform: Affine
    gcps: GroundControlPoints | None
    rpcs: RPC | None


class Axis(NamedTuple):
    """Where pixels lie along an axis."""

    start: float  #: outer edge of the first pixel
    step: float  #: from one pixel to the next; negative where coordinates fall


class Registration(NamedTuple):
    """The point of a stored grid's pixels that coordinates refer to.

    It is the "centre" or the "corner" (of the smallest row and column), or "either": centres of pixels averaged from an
    even number of the grid's, or corners of every second, fourth... pixel of it.
    """

    point: str
    stride: int  #: pixels of the grid from one coordinate to the next


def outline_of(array: Any) -> Any:
    """Return a DataArray with the labels, attributes and encoding of another one, without its pixels.

    In the caller's array rioxarray's accessor would stay, with outdated answers and a reference to the pixels.
    """
    large = [name for name, coordinate in array.coords.items() if coordinate.ndim > 1]
    pixels = np.broadcast_to(np.zeros((), array.dtype), array.shape)
    outline = array.drop_vars(large).copy(deep=False, data=pixels)
    name = grid_mapping_name(array)
    outline.encoding["grid_mapping"] = name
    if name in outline.coords:
        attrs = outline.coords[name].attrs.items()
        outline.coords[name].attrs = {
            key: value for key, value in attrs if not (isinstance(value, str) and not value.strip())
        }
    return outline


def accessor_in_use(array: Any) -> Any:
    """Return the accessor ``rio`` if the caller has used it, and may have set its dimensions or nodata; else None.

    xarray has no public test for this, and ``array.rio`` would create one.
    """
    kind = import_module("rioxarray.raster_array").RasterArray
    caches = (held for held in gc.get_referents(array) if isinstance(held, dict))
    return next((held for cache in caches for held in cache.values() if isinstance(held, kind)), None)


def spatial_dims(array: Any) -> tuple[Hashable, Hashable]:
    """Return the names of the dimensions along rows and columns.

    Those that were set by ``.rio.set_spatial_dims``, or that rioxarray finds; else those of zarr's
    ``spatial:dimensions``; else those of `_DIM_NAMES`, in any case.
    """
    if len(array.dims) < 2:
        raise ShapeError(f"data_save has the dimensions {tuple(array.dims)}; a raster has rows and columns")
    missing = import_module("rioxarray.exceptions").MissingSpatialDimensionError
    for accessor in filter(None, (accessor_in_use(array), outline_of(array).rio)):
        with suppress(missing):
            return accessor.y_dim, accessor.x_dim
    declared = array.attrs.get("spatial:dimensions") if _declares(array, "spatial:") else None
    candidates = [tuple(declared[-2:])] if isinstance(declared, (list, tuple)) and len(declared) >= 2 else []
    by_name = {str(dim).lower(): dim for dim in array.dims}
    candidates += [(by_name.get(rows), by_name.get(columns)) for rows, columns in _DIM_NAMES]
    for rows, columns in candidates:
        if rows in array.dims and columns in array.dims:
            return rows, columns
    raise GeoreferenceError(
        f"none of the dimensions {tuple(array.dims)} are known to be rows and columns; rename them, as in "
        f"array.rename({{{array.dims[-2]!r}: 'y', {array.dims[-1]!r}: 'x'}}), or set attrs['axis'] = 'Y' "
        "and 'X' of their coordinates"
    )


def georeference_of(array: Any, rows: Hashable, columns: Hashable) -> Georeference:
    """Return the georeference of a DataArray, whose dimensions along rows and columns are known."""
    mapping = _grid_mapping(array)
    outline = outline_of(array)
    crs = _crs(outline, mapping)
    gcps, rpcs = _control_points(outline, crs), _rational_polynomials(mapping)
    stored = _stored_transform(array, mapping)
    if stored is None and (gcps is not None or rpcs is not None):
        stored = Affine.identity()
    if stored is not None and (stored.b or stored.d):
        return Georeference(crs, _turned(array, stored, rows, columns), gcps, rpcs)
    places = [
        values_of(array, dim) if dim in array.coords and array.coords[dim].dims == (dim,) else None
        for dim in (rows, columns)
    ]
    grids, corners = _corner_grids(array, places, stored, is_written="GeoTransform" in mapping)
    down, across = map(_axis, places, (str(rows), str(columns)), grids, corners)
    return Georeference(crs, Affine(across.step, 0.0, across.start, 0.0, down.step, down.start), gcps, rpcs)


def grid_mapping_name(array: Any) -> str:
    """Return the name of the grid mapping coordinate, which need not be there."""
    declared = array.encoding.get("grid_mapping", array.attrs.get("grid_mapping"))
    return "spatial_ref" if declared is None else str(declared).partition(":")[0].strip()


def _grid_mapping(array: Any) -> Mapping[str, Any]:
    """Return the attributes of the grid mapping coordinate."""
    name = grid_mapping_name(array)
    if name in array.coords:
        attrs: Mapping[str, Any] = array.coords[name].attrs
        return attrs
    if name != "spatial_ref":
        warn_at_caller(
            f"the DataArray's grid mapping {name!r} is none of its coordinates, so its CRS is not known; open the file "
            "with decode_coords='all'",
            MetadataWarning,
        )
    return {}


def _crs(outline: Any, mapping: Mapping[str, Any]) -> CRS | None:
    """Return the CRS that rioxarray finds, or that zarr's convention declares."""
    try:
        crs = outline.rio.crs
    except (CRSError, import_module("pyproj.exceptions").CRSError) as error:
        raise GeoreferenceError(f"the CRS of data_save is not a CRS that PROJ knows: {error}") from error
    if crs is None and _declares(outline, "proj:"):
        declared = (outline.attrs.get(f"proj:{name}") for name in ("wkt2", "code", "projjson"))
        crs = next((value for value in declared if value), None)
    if crs is None and "grid_mapping_name" in mapping:
        raise GeoreferenceError(
            f"the grid mapping {mapping['grid_mapping_name']!r} is not a CRS that pyproj knows; set attrs['crs_wkt'] "
            "of its coordinate, for instance by array.rio.write_crs(...)"
        )
    return normalise_crs(crs)


def _declares(array: Any, convention: str) -> bool:
    """Return whether the attributes declare one of zarr's conventions."""
    declared = array.attrs.get("zarr_conventions")
    entries = declared if isinstance(declared, (list, tuple)) else ()
    return any(isinstance(entry, Mapping) and entry.get("name") == convention for entry in entries)


def _control_points(outline: Any, crs: CRS | None) -> GroundControlPoints | None:
    """Return the ground control points, which rioxarray keeps as GeoJSON."""
    try:
        points = outline.rio.get_gcps()
    except (KeyError, TypeError, ValueError) as error:
        raise GeoreferenceError("the ground control points of the grid mapping are not rioxarray's GeoJSON") from error
    return GroundControlPoints(tuple(points), crs) if points else None


def _rational_polynomials(mapping: Mapping[str, Any]) -> RPC | None:
    try:
        return RPC(**json.loads(mapping["rpcs"])) if "rpcs" in mapping else None
    except (TypeError, ValueError) as error:
        raise GeoreferenceError("the rational polynomials of the grid mapping are not rioxarray's JSON") from error


# The transform, from what was stored and from coordinates.


def _stored_transform(array: Any, mapping: Mapping[str, Any]) -> Affine | None:
    """Return the transform of the raster as it was opened."""
    if "GeoTransform" in mapping:
        declared = mapping["GeoTransform"]
        numbers = declared.split() if isinstance(declared, str) else np.ravel(declared).tolist()
        try:
            return normalise_transform(Affine.from_gdal(*(float(number) for number in numbers)))
        except (TypeError, ValueError) as error:
            raise GeoreferenceError(f"GeoTransform={declared!r} of the grid mapping is not six numbers") from error
    if _declares(array, "spatial:") and array.attrs.get("spatial:transform") is not None:
        return normalise_transform(array.attrs["spatial:transform"])
    legacy = array.attrs.get("transform")
    return None if legacy is None else normalise_transform(tuple(legacy)[:6])


def _stackstac_transform(array: Any) -> Affine | None:
    """Return the transform of the grid that stackstac made, whose coordinates are corners by default."""
    attrs = array.attrs
    declared = attrs.get("transform")
    if declared is None or not ("resolution" in attrs or "resolution_xy" in attrs):
        declared = getattr(attrs.get("spec"), "transform", None)
    return None if declared is None else normalise_transform(tuple(declared)[:6])


def _corner_grids(
    array: Any, places: Sequence[NDArray[Any] | None], stored: Affine | None, *, is_written: bool
) -> tuple[Sequence[Axis | None], Sequence[bool]]:
    """Return the stored grid that the coordinates belong to, and whether they are corners of its pixels, by axis.

    stackstac's own grid comes first. Where a transform was written to the grid mapping since (``is_written``), it
    counts only for coordinates that have its pixel size and lie on its corners. ``places`` are the coordinates.
    """

    def registered(transform: Affine) -> tuple[Sequence[Axis], Sequence[Registration | None]]:
        grids = Axis(transform.f, transform.e), Axis(transform.c, transform.a)
        return grids, [
            None if each is None else registration_of(each, grid) for each, grid in zip(places, grids, strict=True)
        ]

    own = _stackstac_transform(array)
    if own is not None and not (own.b or own.d):
        grids, found = registered(own)
        is_own = all(one is not None and (one.stride == 1 and one.point == "corner") for one in found)
        if is_own or not is_written:
            return grids, _are_corners(found, ambiguous=True)
    if stored is None:
        return (None, None), (False, False)
    grids, found = registered(stored)
    return grids, _are_corners(found, ambiguous=False)


def _are_corners(found: Sequence[Registration | None], *, ambiguous: bool) -> Sequence[bool]:
    """Return whether coordinates of rows and columns are corners; ambiguous ones follow a certain other axis."""
    certain = {one.point for one in found if one is not None} - {"either"}
    either = certain == {"corner"} if certain else ambiguous
    return [one is not None and (one.point == "corner" or (one.point == "either" and either)) for one in found]


def registration_of(places: NDArray[Any], grid: Axis) -> Registration | None:
    """Return which point of a grid's pixels evenly spaced coordinates are; None where they are not a slice of it."""
    if not places.size or places.dtype.kind not in "iuf":
        return None
    ends = (np.array([places[0], places[-1]], np.float64) - grid.start) / grid.step
    halves = 2 * ends
    allowed = 2 * (_SAME_PX + _rounding(places) / abs(grid.step))
    # Where rounding exceeds an eighth of a pixel, centres and corners cannot be distinguished.
    if not np.isfinite(ends).all() or allowed > 0.25 or (np.abs(halves - np.rint(halves)) > allowed).any():
        return None
    first, last = (int(half) for half in np.rint(halves))
    stride, rest = divmod(abs(last - first), 2 * max(1, len(places) - 1))
    if rest:
        return None
    stride = stride or 1
    if first % 2:
        return Registration("centre", stride)
    is_middle = stride % 2 == 0 and (first // 2) % stride == stride // 2
    return Registration("either" if is_middle else "corner", stride)


def _axis(places: NDArray[Any] | None, name: str, stored: Axis | None, is_corner: bool) -> Axis:
    """Return where pixels with these coordinates, or None, lie along a dimension.

    Where they are a part of a ``stored`` raster, its numbers are taken, which have not been rounded to coordinates.
    """
    if places is None:
        if stored is not None:
            return stored
        raise GeoreferenceError(
            f"the DataArray has no coordinates along {name!r} and no transform; write one, for instance by "
            "array.rio.write_transform(affine.Affine(...)), or resample it first where they are two-dimensional"
        )
    centres = places + stored.step / 2 if is_corner and stored is not None else places
    if centres.dtype.kind not in "iuf" or not np.isfinite(centres).all():
        raise GeoreferenceError(
            f"the coordinates along {name!r} ({centres.dtype}) are not all finite numbers; set numbers in units "
            "of the CRS"
        )
    first, last, rounding = float(centres[0]), float(centres[-1]), _rounding(centres)
    if len(centres) > 1:
        step = (last - first) / (len(centres) - 1)
        _check_even(centres.astype(np.float64), step, rounding, name)
    elif stored is not None:
        step = stored.step
    else:
        raise GeoreferenceError(
            f"there is one pixel along {name!r}, so that its coordinate does not determine its size; write it by "
            "array.rio.write_transform(affine.Affine(...))"
        )
    if stored is not None:
        before = round((first - stored.start) / stored.step - 0.5)
        expected = [stored.start + (before + place + 0.5) * stored.step for place in (0, len(centres) - 1)]
        if max(abs(expected[0] - first), abs(expected[1] - last)) <= _SAME_PX * abs(stored.step) + rounding:
            return Axis(stored.start + before * stored.step if before else stored.start, stored.step)
    return Axis(first - step / 2, step)


def _check_even(places: NDArray[np.float64], step: float, rounding: float, name: str) -> None:
    misplaced = np.abs(places - (places[0] + step * np.arange(len(places))))
    if not step or bool((misplaced > _EVEN_PX * abs(step) + rounding).any()):
        raise GeoreferenceError(
            f"the coordinates along {name!r} are not evenly spaced, but a GeoTIFF's pixels are all of one size; "
            f"resample them first, for instance by array.interp({{{name!r}: numpy.linspace(...)}})"
        )


def _rounding(centres: NDArray[Any]) -> float:
    """Return the error that rounding to the coordinates' dtype may cause."""
    if centres.dtype.kind != "f" or not centres.size:
        return 0.0
    return 2 * float(np.spacing(np.abs(centres).max()))


def _turned(array: Any, stored: Affine, rows: Hashable, columns: Hashable) -> Affine:
    """Move a rotated transform to where the first pixel is, by the two-dimensional coordinates of rioxarray."""
    if any(name not in array.coords or set(array.coords[name].dims) != {rows, columns} for name in ("xc", "yc")):
        return stored
    last_row, last_column = array.sizes[rows] - 1, array.sizes[columns] - 1
    pixels = ((0, 0), (0, last_column), (last_row, 0))
    centres = [
        [float(values_of(array, name, {rows: row, columns: column})) for name in ("xc", "yc")] for row, column in pixels
    ]
    column, row = (round(place - 0.5) for place in pixel_to_crs(~stored, *centres[0]))
    moved = regrid(stored, column, row)
    for (x, y), (row, column) in zip(centres, pixels, strict=True):
        found = pixel_to_crs(~moved, x, y)
        if max(abs(found[0] - column - 0.5), abs(found[1] - row - 0.5)) > _EVEN_PX:
            raise GeoreferenceError(
                "the coordinates xc and yc do not lie on the grid of GeoTransform; write the transform that they have, "
                "by array.rio.write_transform(affine.Affine(...))"
            )
    return moved


def values_of(array: Any, name: Hashable, where: Mapping[Hashable, int] | None = None) -> Any:
    """Return the values of a coordinate; those of a lazy one are not kept in the array."""
    variable = array.coords[name].variable.isel(where or {})[...]
    if getattr(variable.dtype, "tz", None) is not None:  # of pandas; numpy's times have no zone
        return np.asarray(variable.data, dtype=object)
    return variable.values
