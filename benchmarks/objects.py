"""What peers' users hold: an array with a place on Earth, in the class of each library."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from benchmarks.settings import Place


def geotensor(array: NDArray[Any], place: Place) -> Any:
    """Make a GeoTensor, of this project or of georeader-spaceml, whichever is installed."""
    from affine import Affine

    from georeader.geotensor import GeoTensor

    return GeoTensor(array, Affine(*place.transform), place.crs, fill_value_default=place.nodata)


def data_array(pixels: Any, place: Place) -> Any:
    """Make a DataArray by rioxarray's conventions.

    Args:
        pixels: (band, row, column), of numpy or of dask.
        place: Where it lies.
    """
    import rioxarray  # noqa: F401 - gives DataArray its .rio
    import xarray
    from affine import Affine

    array = xarray.DataArray(pixels, dims=("band", "y", "x"))
    array = array.rio.write_crs(place.crs).rio.write_transform(Affine(*place.transform))
    return array if place.nodata is None else array.rio.write_nodata(place.nodata)


def odc_array(pixels: Any, place: Place) -> Any:
    """Make a DataArray by odc-geo's conventions.

    Args:
        pixels: (band, row, column), (row, column, band) of three or four bands, or (row, column); of numpy or of dask.
        place: Where it lies.
    """
    from affine import Affine
    from odc.geo.geobox import GeoBox
    from odc.geo.xr import wrap_xr

    if pixels.ndim == 2:
        return wrap_xr(pixels, GeoBox(pixels.shape, Affine(*place.transform), place.crs), nodata=place.nodata)
    axis = 0 if pixels.shape[-1] in (3, 4) else 1
    geobox = GeoBox(pixels.shape[axis : axis + 2], Affine(*place.transform), place.crs)
    dims = ("y", "x", "band") if axis == 0 else ("band", "y", "x")
    return wrap_xr(pixels, geobox, nodata=place.nodata, dims=dims, axis=axis)
