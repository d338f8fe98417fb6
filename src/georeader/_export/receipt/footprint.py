"""Footprints of grids as GeoJSON: densified, cut at the antimeridian, around a pole if need be. Needs ``stac``.

References:
    RFC 7946 (GeoJSON), sections 3.1.6 (the direction of rings), 3.1.9 (cut at the antimeridian) and 5.2 (bounding boxes
    that cross it).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from georeader._core.reporting import import_extra
from georeader.window_utils import pixel_to_crs

#: Points on each side of the outline: straight lines of one CRS are curves in another.
_SIDE_POINTS = 64

#: Distance of a point from a straight line beyond which the outline gets a vertex there, in pixels.
_TOLERANCE_PX = 0.25


@dataclass(frozen=True)
class Footprint:
    """The outline of a grid in WGS 84."""

    geometry: dict[str, Any]  #: GeoJSON Polygon or MultiPolygon
    bbox: list[float]  #: [west, south, east, north], degrees; west > east across the antimeridian


def corners(shape: tuple[int, int], transform: Affine, side_points: int = 1) -> list[tuple[float, float]]:
    """Return the outline of a grid in its CRS, closed and counterclockwise.

    Example:
        >>> corners((10, 20), Affine(1, 0, 100, 0, -1, 50))
        [(100.0, 50.0), (100.0, 40.0), (120.0, 40.0), (120.0, 50.0), (100.0, 50.0)]
    """
    height_px, width_px = shape
    ends = [(0, 0), (0, height_px), (width_px, height_px), (width_px, 0)]
    if transform.determinant > 0:  # south up: the other way around
        ends.reverse()
    points = [
        (column + (next_column - column) * step / side_points, row + (next_row - row) * step / side_points)
        for (column, row), (next_column, next_row) in zip(ends, [*ends[1:], ends[0]], strict=True)
        for step in range(side_points)
    ]
    return [pixel_to_crs(transform, *point) for point in [*points, points[0]]]


def footprint_in_wgs84(shape: tuple[int, int], transform: Affine, crs: CRS) -> Footprint | None:
    """Return the outline of a grid in WGS 84; None if it is not on Earth."""
    antimeridian = import_extra("antimeridian", extra="stac", purpose="a footprint in WGS 84")
    shapely = import_extra("shapely", extra="stac", purpose="a footprint in WGS 84")
    if crs.to_wkt().startswith("GEOCCS"):  # its x and y are two of three coordinates
        return None
    ring = _in_wgs84(corners(shape, transform, _SIDE_POINTS), crs)
    if ring is None:
        return None
    try:
        geometry = antimeridian.fix_polygon(shapely.Polygon(ring))
    except ValueError:  # an outline without an area, of pixels of some 1e-324
        return None
    if not geometry.is_valid:  # parts that touch, of a grid around the whole Earth
        geometry = shapely.union_all(shapely.get_parts(geometry))
    pixel_degrees = math.sqrt(geometry.area / (shape[0] * shape[1]))
    geometry = shapely.simplify(geometry, _TOLERANCE_PX * pixel_degrees)
    geometry = shapely.orient_polygons(geometry)
    return Footprint(json.loads(shapely.to_geojson(geometry)), [float(edge) for edge in antimeridian.bbox(geometry)])


def union_of(footprints: Sequence[Footprint]) -> Footprint | None:
    """Return the common footprint of several grids; None if there are none."""
    distinct = [one for place, one in enumerate(footprints) if one not in footprints[:place]]
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    shapely = import_extra("shapely", extra="stac", purpose="a footprint in WGS 84")
    parts = [shapely.from_geojson(json.dumps(footprint.geometry)) for footprint in distinct]
    geometry = shapely.orient_polygons(shapely.union_all(parts))
    south, north = min(one.bbox[1] for one in distinct), max(one.bbox[3] for one in distinct)
    west, east = _widest([(one.bbox[0], one.bbox[2]) for one in distinct])
    return Footprint(json.loads(shapely.to_geojson(geometry)), [west, south, east, north])


def _widest(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return (west, east) of several spans; across the antimeridian where one of them crosses it."""
    if all(west <= east for west, east in spans):
        return min(west for west, _ in spans), max(east for _, east in spans)
    # Counted from Greenwich eastwards: those of the western hemisphere come after the antimeridian.
    turned = [
        (west + 360 if west < 0 else west, east + 360 if east <= 0 or west > east else east) for west, east in spans
    ]
    west, east = min(west for west, _ in turned), max(east for _, east in turned)
    return (-180.0, 180.0) if east - west >= 360 else (west, east - 360)


def _in_wgs84(ring: list[tuple[float, float]], crs: CRS) -> list[tuple[float, float]] | None:
    """Return points as (longitude, latitude); None if one of them cannot be transformed."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        longitudes, latitudes = transform(crs, "EPSG:4326", *zip(*ring, strict=True))
    except (RasterioError, CPLE_BaseError):
        return None
    if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
        return None
    # Grids whose pixels are centred on the poles reach half a pixel beyond them.
    return [(x, min(max(y, -90.0), 90.0)) for x, y in zip(longitudes, latitudes, strict=True)]
