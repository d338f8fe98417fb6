"""Conversion of a raster to an xarray.DataArray, by the conventions of rioxarray.open_rasterio."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from rasterio.rpc import RPC

from georeader._core import band_attrs
from georeader._core.data_array_attrs import MASK_ATTRS, MASK_COORDINATE, NO_TAG_PREFIXES, NO_TAGS, carry
from georeader._core.reporting import import_extra
from georeader.errors import GeoreferenceError
from georeader.ground_control import as_control_points
from georeader.window_utils import counts_pixels, normalise_crs

if TYPE_CHECKING:
    from xarray import DataArray

#: Entries of a GeoTensor's attributes that become others of a DataArray's; all others stay.
_CONVERTED = frozenset({
    *band_attrs.PER_BAND_KEYS, "colormap", "photometric", "nbits", "tags", "namespaces", "acquired", "mask", "gcps",
    "rpcs",
})  # fmt: skip


@dataclass(frozen=True)
class RasterParts:
    """A raster whose pixels, of numpy or xarray's lazy ones, may be read later."""

    pixels: Any
    dims: tuple[str, ...]
    transform: Affine
    crs: Any
    nodata: Any  #: None: every pixel is data
    attrs: Mapping[str, Any]  #: under the keys of `GeoTensor.attrs`
    mask: Any  #: (row, column), True where pixels are valid; or None
    encoding: Mapping[str, Any]
    grid: Affine  #: of which the raster is a window; coordinates of windows of one grid are equal
    offset_px: tuple[int, int] = (0, 0)  #: (column, row) of the window in the grid

    @property
    def count(self) -> int:
        """Number of bands."""
        return int(self.pixels.shape[self.dims.index("band")]) if "band" in self.dims else 1


def import_xarray() -> Any:
    """Import xarray, and rioxarray, which registers the accessor ``rio``; or raise a MissingExtraError."""
    xarray = import_extra("xarray", extra="xarray", purpose="to_xarray()")
    import_extra("rioxarray", extra="xarray", purpose="to_xarray()")
    return xarray


def to_data_array(parts: RasterParts) -> DataArray:
    """Return a raster as a DataArray, which shares its pixels.

    Raises:
        MissingExtraError: xarray or rioxarray is not installed.
        GeoreferenceError: PROJ does not know the CRS.
        MetadataError: Metadata of bands have not one entry for each band.
    """
    xarray = import_xarray()
    _check_counts(parts)
    gcps = as_control_points(parts.attrs.get("gcps"))
    coords: dict[str, Any] = {"band": np.arange(1, parts.count + 1)} if "band" in parts.dims else {}
    if gcps is None:  # else rioxarray makes no coordinates
        coords |= _places(parts)
    if parts.mask is not None:
        coords[MASK_COORDINATE] = (("y", "x"), parts.mask, dict(MASK_ATTRS))
    tags, reserved = _tags(parts.attrs.get("tags"))
    array: DataArray = xarray.DataArray(parts.pixels, coords, parts.dims, attrs=tags | _attrs(parts))
    array.encoding = dict(parts.encoding) | carry(parts.attrs, reserved, parts.count, array.dtype)
    _write_georeference(array, parts, gcps)
    return array


def _check_counts(parts: RasterParts) -> None:
    for key in band_attrs.PER_BAND_KEYS:
        values = parts.attrs.get(key)
        if values is not None:
            band_attrs.check_list(values, f"attrs[{key!r}]")
            band_attrs.check_count(values, parts.count, f"attrs[{key!r}]")


def _places(parts: RasterParts) -> dict[str, Any]:
    """Return the coordinates of the centres of pixels: along each axis, or of each pixel of a rotated raster."""
    grid, shape = parts.grid, parts.pixels.shape[-2:]
    column, row = parts.offset_px
    if parts.transform.b or parts.transform.d:
        from georeader._arrays.lazy_xarray import lazy_centres

        x, y = (lazy_centres(grid, axis, parts.offset_px, shape) for axis in (0, 1))
        return {"xc": (("y", "x"), x), "yc": (("y", "x"), y)}
    # In rioxarray's order of operations, so that coordinates are equal to the last bit.
    x = np.arange(column, column + shape[1]) * grid.a + (grid.a * 0.5 + grid.c)
    y = np.arange(row, row + shape[0]) * grid.e + (grid.e * 0.5 + grid.f)
    return {"x": x, "y": y}


def _attrs(parts: RasterParts) -> dict[str, Any]:
    """Return the attributes that rioxarray makes of bands and nodata, and the caller's own."""
    attrs = parts.attrs
    found = {key: value for key, value in attrs.items() if key not in _CONVERTED}
    dtype = np.dtype(parts.pixels.dtype)
    if dtype.kind != "b":
        if parts.nodata is not None:
            found["_FillValue"] = dtype.type(parts.nodata)
        for key, name, neutral in (("scales", "scale_factor", 1.0), ("offsets", "add_offset", 0.0)):
            numbers = tuple(float(number) for number in _each(attrs, key, parts.count, neutral))
            found |= {name: numbers[0]} if len(set(numbers)) == 1 else {key: numbers}
        units = _each(attrs, "units", parts.count, None)
        if any(units):
            found["units"] = units[0] if parts.count == 1 else units
    names_of_bands = _each(attrs, "descriptions", parts.count, None)
    if any(names_of_bands):
        found["long_name"] = names_of_bands[0] if len(set(names_of_bands)) == 1 else names_of_bands
    band_tags = _each(attrs, "band_tags", parts.count, {})
    if any(band_tags):
        found["band_tags"] = [dict(tags) for tags in band_tags]
    return found


def _each(attrs: Mapping[str, Any], key: str, count: int, default: Any) -> tuple[Any, ...]:
    """Return one entry for each band."""
    values = attrs.get(key)
    return (default,) * count if values is None else tuple(values)


def _tags(tags: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return tags as attributes, and those whose names mean something else there."""
    found = {str(key): value for key, value in (tags or {}).items()}
    reserved = {key for key in found if key in NO_TAGS or key.startswith(NO_TAG_PREFIXES)}
    attrs = {key: _number_of(value) for key, value in found.items() if key not in reserved}
    return attrs, {key: found[key] for key in reserved}


def _number_of(value: Any) -> Any:
    """Return a text as a number, as rioxarray does, if the number has this text."""
    for kind in (int, float):
        try:
            number = kind(value)
        except (TypeError, ValueError):
            continue
        if str(number) == value:
            return number
    return value


def _write_georeference(array: DataArray, parts: RasterParts, gcps: Any) -> None:
    """Write CRS, transform, ground control points and rational polynomials to the coordinate ``spatial_ref``."""
    crs = normalise_crs(parts.crs)
    place: Any = array.rio
    is_dropped = gcps is not None and counts_pixels(crs, parts.transform)  # for the points, as in a file
    place.write_transform(Affine.identity() if is_dropped else parts.transform, inplace=True)
    points_crs = None if gcps is None else normalise_crs(gcps.crs)
    for one in (crs, points_crs):
        try:
            if one is not None:
                place.write_crs(one, inplace=True)
        except Exception as error:
            raise GeoreferenceError(f"pyproj, which rioxarray uses, does not know the CRS {one}: {error}") from error
    if gcps is not None:
        place.write_gcps(gcps.points, None, inplace=True)
    rpcs = parts.attrs.get("rpcs")
    if isinstance(rpcs, RPC):
        array.coords["spatial_ref"].attrs["rpcs"] = json.dumps(rpcs.to_dict())
