"""Georeference of an xarray.DataArray: rioxarray's answers, and what rioxarray does not answer.

rioxarray keeps a CRS and a transform in the attributes of a scalar coordinate, which CF calls a grid mapping (CF
Conventions 1.11, section 5.6). Its accessor names the spatial dimensions, the CRS and the ground control points. Read
here are the stored transform, stackstac's grid, rational polynomials, zarr's conventions and further dimension names.

The stored transform is that of the raster as it was opened: a selection moves the coordinates alone, so they take
precedence, and the stored numbers are used where both agree. Coordinates are those of pixel centres, unless they lie on
the pixel corners of a stored transform: stackstac writes corners, beside its transform in ``attrs``.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.rpc import RPC

from georeader._core.reporting import warn_at_caller
from georeader._export.sources.pixel_centres import Axis, Registration, axis_of_centres, registration_of, shifted
from georeader.errors import GeoreferenceError, MetadataWarning, ShapeError
from georeader.ground_control import GroundControlPoints
from georeader.window_utils import normalise_crs, normalise_transform

#: Names of dimensions along (rows, columns) that rioxarray does not know.
_DIM_NAMES = (("lat", "lon"), ("y", "x"), ("latitude", "longitude"))


@dataclass(frozen=True)
class Georeference:
    """CRS, transform and control points of a raster.

    Attributes:
        crs: CRS, or None.
        transform: Pixel (column, row) to CRS (x, y).
        gcps: Ground control points, or None.
        rpcs: Rational polynomials, or None.
    """

    crs: CRS | None
    transform: Affine
    gcps: GroundControlPoints | None
    rpcs: RPC | None


def outline_of(array: Any) -> Any:
    """Return a DataArray with the labels, attributes and encoding of another one, without its pixels.

    rioxarray is asked about it instead of the caller's array, where its accessor would stay, with answers that later
    changes of the attributes do not reach, and a reference that keeps the pixels until the next garbage collection.
    """
    large = [name for name, coordinate in array.coords.items() if coordinate.ndim > 1]
    pixels = np.broadcast_to(np.zeros((), array.dtype), array.shape)
    outline = array.drop_vars(large).copy(deep=False, data=pixels)
    name = grid_mapping_name(array)
    outline.encoding["grid_mapping"] = name
    if name in outline.coords:
        attrs = outline.coords[name].attrs
        outline.coords[name].attrs = {key: value for key, value in attrs.items() if not _is_empty_text(value)}
    return outline


def accessor_in_use(array: Any) -> Any:
    """Return the accessor ``rio`` of an array if the caller has used it, and may have set its dimensions or nodata.

    Otherwise ``array.rio`` would create one, whose cycle of references keeps the pixels until the next garbage
    collection.
    """
    kind = import_module("rioxarray.raster_array").RasterArray
    caches = (held for held in gc.get_referents(array) if isinstance(held, dict))
    return next((held for cache in caches for held in cache.values() if isinstance(held, kind)), None)


def _is_empty_text(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def spatial_dims(array: Any) -> tuple[Hashable, Hashable]:
    """Return the names of the dimensions along rows and columns.

    Those that were set by ``.rio.set_spatial_dims``, or that rioxarray finds: y and x, latitude and longitude, or by
    CF's ``axis`` and ``standard_name``; else those of zarr's ``spatial:dimensions``; else lat and lon; else any of
    these in capitals.

    Raises:
        GeoreferenceError: There are none.
        ShapeError: There are fewer than two dimensions.
    """
    outline = outline_of(array)
    if len(array.dims) < 2:
        raise ShapeError(f"data_save has the dimensions {tuple(array.dims)}; a raster has rows and columns")
    missing = import_module("rioxarray.exceptions").MissingSpatialDimensionError
    for accessor in filter(None, (accessor_in_use(array), outline.rio)):
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
        f"array.rename({{{array.dims[-2]!r}: 'y', {array.dims[-1]!r}: 'x'}}), or give their coordinates "
        "attrs['axis'] = 'Y' and 'X'"
    )


def georeference_of(array: Any, rows: Hashable, columns: Hashable) -> Georeference:
    """Return the georeference of a DataArray.

    Args:
        array: The DataArray.
        rows: Its dimension along rows.
        columns: Its dimension along columns.

    Raises:
        GeoreferenceError: It has none, or its coordinates are not evenly spaced.
    """
    mapping = _grid_mapping(array)
    outline = outline_of(array)
    crs = _crs(outline, mapping)
    gcps, rpcs = _control_points(outline, crs), _rational_polynomials(mapping)
    stored = _stored_transform(array, mapping)
    if stored is None and (gcps is not None or rpcs is not None):
        stored = Affine.identity()
    if stored is not None and (stored.b or stored.d):
        return Georeference(crs, _turned(array, stored, rows, columns), gcps, rpcs)
    grids, corners = _corner_grids(array, (rows, columns), stored, is_written="GeoTransform" in mapping)
    down, across = (
        _axis(array, dim, grid, is_corner) for dim, grid, is_corner in zip((rows, columns), grids, corners, strict=True)
    )
    return Georeference(crs, Affine(across.step, 0.0, across.start, 0.0, down.step, down.start), gcps, rpcs)


def _corner_grids(
    array: Any, dims: tuple[Hashable, Hashable], stored: Affine | None, *, is_written: bool
) -> tuple[tuple[Axis | None, Axis | None], tuple[bool, bool]]:
    """Return the stored grid that the coordinates belong to, and whether they are corners of its pixels, by axis.

    stackstac's own grid comes first. Where a transform was written since, by rioxarray from those coordinates or of a
    raster that was resampled, it counts only for coordinates that have its pixel size and lie on its corners.

    Args:
        array: The DataArray.
        dims: Its dimensions along rows and columns.
        stored: First stored transform, or None.
        is_written: It is that of the grid mapping.
    """
    own = _stackstac_transform(array)
    if own is not None and not (own.b or own.d):
        grids = _axes_of(own)
        found = _registrations(array, dims, grids)
        is_own = all(one is not None and (one.stride == 1 and one.point == "corner") for one in found)
        if is_own or not is_written:
            return grids, _are_corners(found, ambiguous=True)
    if stored is None:
        return (None, None), (False, False)
    grids = _axes_of(stored)
    return grids, _are_corners(_registrations(array, dims, grids), ambiguous=False)


def _axes_of(transform: Affine) -> tuple[Axis, Axis]:
    return Axis(transform.f, transform.e), Axis(transform.c, transform.a)


def _registrations(
    array: Any, dims: tuple[Hashable, Hashable], grids: tuple[Axis, Axis]
) -> tuple[Registration | None, Registration | None]:
    down, across = (
        registration_of(values_of(array, dim), grid) if _has_coordinates(array, dim) else None
        for dim, grid in zip(dims, grids, strict=True)
    )
    return down, across


def _are_corners(found: Sequence[Registration | None], *, ambiguous: bool) -> tuple[bool, bool]:
    """Return for rows and columns whether their coordinates are corners.

    Args:
        found: Along rows and along columns.
        ambiguous: What those are that may be either, unless the other axis is certain.
    """
    certain = {one.point for one in found if one is not None} - {"either"}
    either = certain == {"corner"} if certain else ambiguous
    down, across = (one is not None and (one.point == "corner" or (one.point == "either" and either)) for one in found)
    return down, across


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
    """Return the CRS that rioxarray finds, or that zarr's convention declares.

    Raises:
        GeoreferenceError: The CRS is not known to PROJ.
    """
    try:
        crs = outline.rio.crs
    except (CRSError, import_module("pyproj.exceptions").CRSError) as error:
        raise GeoreferenceError(f"the CRS of data_save is not a CRS that PROJ knows: {error}") from error
    if crs is None and _declares(outline, "proj:"):
        declared = (outline.attrs.get(f"proj:{name}") for name in ("wkt2", "code", "projjson"))
        crs = next((value for value in declared if value), None)
    if crs is None and "grid_mapping_name" in mapping:
        raise GeoreferenceError(
            f"the grid mapping {mapping['grid_mapping_name']!r} is not a CRS that pyproj knows; give its coordinate "
            "attrs['crs_wkt'], for instance by array.rio.write_crs(...)"
        )
    return normalise_crs(crs)


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


def _has_coordinates(array: Any, dim: Hashable) -> bool:
    return dim in array.coords and array.coords[dim].dims == (dim,)


def _axis(array: Any, dim: Hashable, stored: Axis | None, is_corner: bool) -> Axis:
    """Return where pixels lie along a dimension."""
    if _has_coordinates(array, dim):
        places = values_of(array, dim)
        if is_corner and stored is not None:
            places = places + stored.step / 2
        return axis_of_centres(places, stored, str(dim))
    if stored is None:
        raise GeoreferenceError(
            f"the DataArray has no coordinates along {dim!r} and no transform; give it some, for instance by "
            "array.rio.write_transform(affine.Affine(...)), or resample it first where they are two-dimensional"
        )
    return stored


def _turned(array: Any, stored: Affine, rows: Hashable, columns: Hashable) -> Affine:
    """Move a rotated transform to where the first pixel is, by the two-dimensional coordinates rioxarray gives it."""
    if any(name not in array.coords or set(array.coords[name].dims) != {rows, columns} for name in ("xc", "yc")):
        return stored
    corners = [{rows: row, columns: column} for row, column in ((0, 0), (0, -1), (-1, 0))]
    centres = [[values_of(array, name, corner) for name in ("xc", "yc")] for corner in corners]
    last_row, last_column = array.sizes[rows] - 1, array.sizes[columns] - 1
    return shifted(stored, [(float(x), float(y)) for x, y in centres], last_row, last_column)


def values_of(array: Any, name: Hashable, where: Mapping[Hashable, int] | None = None) -> Any:
    """Return the values of a coordinate; those of a lazy one are not kept in the array."""
    return array.coords[name].variable.isel(where or {})[...].values


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
    if "rpcs" not in mapping:
        return None
    try:
        return RPC(**json.loads(mapping["rpcs"]))
    except (TypeError, ValueError) as error:
        raise GeoreferenceError("the rational polynomials of the grid mapping are not rioxarray's JSON") from error
