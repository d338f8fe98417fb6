"""The grid that GDAL suggests for a raster in another CRS, of which no pixel is needed or read.

References:
    GDALSuggestedWarpOutput2; GDAL's COG driver, which clips geographic rasters to Web Mercator's square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape, quoteattr

import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.env import GDALVersion
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from georeader.errors import GeoreferenceError
from georeader.ground_control import GroundControlPoints

#: Latitude of the upper edge of Web Mercator's square: further pixels of a geographic raster are not on the grid.
_MERCATOR_LATITUDE = 85.0511287798066

#: Part of a pixel by which cut edges may lie beside a whole one.
_CUT_PX = 0.001

_WEB_MERCATOR = 3857

#: (left, bottom, right, top)
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Georeference:
    """Where a raster lies: by a transform, or by ground control points."""

    height_px: int
    width_px: int
    crs: CRS
    transform: Affine
    gcps: GroundControlPoints | None = None


def suggested_grid(place: Georeference, crs: CRS) -> tuple[Affine, Bounds]:
    """Return transform and bounds that GDAL suggests for a raster in a CRS."""
    if crs.to_epsg() == _WEB_MERCATOR and place.gcps is None:
        place = _within_mercator(place)
    try:
        transform, width_px, height_px = _suggested_by_gdal(place, crs)
    except (RasterioError, CPLE_BaseError) as error:
        raise GeoreferenceError(
            f"the raster cannot be warped from {place.crs.to_string()[:80]} to {crs.to_string()[:80]}: {error}; choose "
            "another CRS"
        ) from error
    left, top = transform.c, transform.f
    return transform, (left, top + height_px * transform.e, left + width_px * transform.a, top)


def _suggested_by_gdal(place: Georeference, crs: CRS) -> tuple[Affine, int, int]:
    """Return transform, columns and rows of a warp of all pixels by GDAL, for which no pixels are needed."""
    wkt, axes = place.crs.to_wkt(), _axes(place.crs)
    if place.gcps is None:
        numbers = ",".join(format(number, ".17g") for number in place.transform.to_gdal())
        lies = f'<SRS dataAxisToSRSAxisMapping="{axes}">{escape(wkt)}</SRS><GeoTransform>{numbers}</GeoTransform>'
    else:
        points = "".join(
            f'<GCP Id="" Pixel="{point.col:.17g}" Line="{point.row:.17g}" X="{point.x:.17g}" Y="{point.y:.17g}"/>'
            for point in place.gcps.points
        )
        lies = f'<GCPList Projection={quoteattr(wkt)} dataAxisToSRSAxisMapping="{axes}">{points}</GCPList>'
    blank = (
        f'<VRTDataset rasterXSize="{place.width_px}" rasterYSize="{place.height_px}">{lies}'
        '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    )
    with rasterio.Env(), rasterio.open(blank) as dataset, WarpedVRT(dataset, crs=crs) as warped:
        return warped.transform, warped.width, warped.height


def _axes(crs: CRS) -> str:
    """Return which axes of a CRS are x and y, counted from 1."""
    axes = crs.to_dict(projjson=True).get("coordinate_system", {}).get("axis", [{}])
    return "2,1" if axes[0].get("direction") == "north" and axes[-1].get("direction") != "north" else "1,2"


def _within_mercator(place: Georeference) -> Georeference:
    """Return the part of a geographic raster that Web Mercator's square shows, in whole pixels."""
    transform = place.transform
    if not place.crs.is_geographic or transform.b or transform.d or transform.e >= 0:
        return place
    top, bottom = transform.f, transform.f + place.height_px * transform.e
    is_within = top <= _MERCATOR_LATITUDE and bottom >= -_MERCATOR_LATITUDE
    if is_within or bottom >= _MERCATOR_LATITUDE or top <= -_MERCATOR_LATITUDE:
        return place
    first = (min(top, _MERCATOR_LATITUDE) - top) / transform.e
    rows = (max(bottom, -_MERCATOR_LATITUDE) - min(top, _MERCATOR_LATITUDE)) / transform.e
    first_row = math.floor(first + _CUT_PX)
    # GDAL cuts by whole pixels: with the last one that is touched, or as many as the part has, rounded.
    wanted = math.ceil(first + rows - _CUT_PX) - first_row if _touches() else math.floor(rows + 0.5)
    height_px = min(wanted, place.height_px - first_row)
    moved = Affine(transform.a, 0, transform.c, 0, transform.e, transform.f + first_row * transform.e)
    return replace(place, height_px=max(1, height_px), transform=moved)


def _touches() -> bool:
    """Return whether the installed GDAL keeps all pixels that a cut touches."""
    return bool(GDALVersion.runtime().at_least("3.11"))
