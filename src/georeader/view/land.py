"""Coastlines in the coordinates of a map: Natural Earth's 1:110m land, which is in the public domain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from georeader.window_utils import transform_points

#: Longitudes and latitudes of EPSG:4326 in this order, as rasterio has them.
DEGREES = "EPSG:4326"

#: Coastlines are drawn up to this distance from the raster's centre, or farther for a large raster.
LEAST_RADIUS_DEGREES = 25.0

#: Points on each side of a raster that stand for it.
_SIDE_POINTS = 9

Points = NDArray[np.float64]


@cache
def _land() -> tuple[Points, ...]:
    """Read the lines of the land: (longitude, latitude) in rows."""
    content = json.loads(files(__package__).joinpath("static", "land.json").read_text("ascii"))
    step_degrees = content["step_degrees"]
    return tuple(np.cumsum(np.reshape(line, (-1, 2)), axis=0) * step_degrees for line in content["lines"])


def to_degrees(crs: Any, points: Points) -> Points:
    """Return (longitude, latitude) of (x, y) in rows; NaN for points beside the Earth."""
    return np.column_stack(transform_points(crs, DEGREES, *points.T))


def land_lines(crs: Any, transform: Affine, shape: tuple[int, int], to_map: Affine) -> list[list[list[float]]]:
    """Return the coastlines around a raster in coordinates of the map.

    Args:
        crs: CRS of the raster.
        transform: From (column, row) to (x, y) in the CRS.
        shape: (rows, columns) of the raster.
        to_map: From (column, row) to coordinates of the map.

    Example:
        >>> grid = Affine(1, 0, -180, 0, -1, 90)
        >>> lines = land_lines("EPSG:4326", grid, (180, 360), grid)
        >>> len(lines) > 100, min(x for line in lines for x, y in line) >= -180
        (True, True)
    """
    edge = to_degrees(crs, _edge(transform, shape))
    is_on_earth = np.isfinite(edge).all(axis=1)
    edge = edge[is_on_earth]
    if not len(edge):
        return []
    vectors = _on_sphere(edge)
    centre = vectors.mean(axis=0)
    norm = float(np.linalg.norm(centre))
    # An edge beside the Earth: the raster shows a hemisphere.
    farthest_degrees = (
        180.0 if norm < 1e-6 or not is_on_earth.all() else float(_distances_degrees(vectors, centre / norm).max())
    )
    radius_degrees = max(LEAST_RADIUS_DEGREES, 1.5 * farthest_degrees)
    from_crs = to_map @ ~transform
    found = []
    # A raster may go on beyond 180 degrees.
    shifts = [0, 360] if edge[:, 0].max() > 180 else [0]
    for line in (line + np.array([shift, 0]) for shift in shifts for line in _land()):
        is_near = np.full(len(line), True)
        if radius_degrees < 180:
            is_near = _distances_degrees(_on_sphere(line), centre / norm) <= radius_degrees
        for part in _runs(line, is_near):
            x, y = _apply(from_crs, *transform_points(DEGREES, crs, *part.T))
            found += [run.tolist() for run in _runs(np.column_stack((x, y)), np.isfinite(x) & np.isfinite(y))]
    return found


def _edge(transform: Affine, shape: tuple[int, int]) -> Points:
    """Return points on the edge of a raster, and its centre, in its CRS."""
    steps = np.linspace(0, 1, _SIDE_POINTS)
    ones, zeros = np.ones(_SIDE_POINTS), np.zeros(_SIDE_POINTS)
    columns = np.concatenate([steps, steps, zeros, ones, [0.5]]) * shape[1]
    rows = np.concatenate([zeros, ones, steps, steps, [0.5]]) * shape[0]
    return np.column_stack(_apply(transform, columns, rows))


def _apply(transform: Affine, x: Points, y: Points) -> tuple[Points, Points]:
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f


def _on_sphere(degrees: Points) -> Points:
    longitude, latitude = np.radians(degrees).T
    return np.column_stack(
        (np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude))
    )


def _distances_degrees(vectors: Points, centre: Points) -> Points:
    return np.degrees(np.arccos(np.clip(vectors @ centre, -1, 1)))


def _runs(points: Points, wanted: NDArray[np.bool_]) -> Iterator[Points]:
    """Iterate over the parts of a line whose points are all wanted, those of one point left out."""
    breaks = np.flatnonzero(np.diff(wanted.astype(np.int8))) + 1
    for run, first in zip(np.split(points, breaks), np.split(wanted, breaks), strict=True):
        if first[0] and len(run) > 1:
            yield run
