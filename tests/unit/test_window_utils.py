"""Windows, transforms and bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from georeader import window_utils
from georeader.errors import GeoreferenceError, IndexingError

NORTH_UP = Affine(10, 0, 500000, 0, -10, 4000000)
#: 5 x 10 pixels, turned so that columns run along (3, 4).
ROTATED = Affine(3, -8, 100, 4, 6, 200)

TRANSFORMS = st.sampled_from([NORTH_UP, ROTATED, Affine(0.5, 0, -180, 0, -0.25, 90), Affine(-7, 0.5, 9, 0.25, 3, 7)])
PIXELS = st.integers(-1000, 1000)
SIZES = st.integers(1, 1000)


# Geometry.


@pytest.mark.parametrize(
    ("transform", "res"),
    [(NORTH_UP, (10, 10)), (Affine(-1, 0, 0, 0, 2, 0), (1, 2)), (ROTATED, (5, 10)), (Affine(0, 2, 0, 3, 0, 0), (3, 2))],
)
def test_resolution_is_the_length_of_a_pixels_sides(transform: Affine, res: tuple[float, float]) -> None:
    assert window_utils.res(transform) == pytest.approx(res)


@pytest.mark.parametrize(
    ("point", "xy"),
    [((0, 0), (100, 200)), ((1, 0), (103, 204)), ((0, 1), (92, 206)), ((0.5, 0.5), (97.5, 205))],
)
def test_pixel_coordinates_are_column_then_row(point: tuple[float, float], xy: tuple[float, float]) -> None:
    assert window_utils.pixel_to_crs(ROTATED, *point) == xy


def test_corners_are_clockwise_from_the_upper_left() -> None:
    assert window_utils.window_corners(Window(1, 2, 3, 4), NORTH_UP) == [
        (500010, 3999980),
        (500040, 3999980),
        (500040, 3999940),
        (500010, 3999940),
    ]


@given(TRANSFORMS, PIXELS, PIXELS, SIZES, SIZES)
def test_bounds_hold_all_corners_and_touch_them(
    transform: Affine, column: int, row: int, width: int, height: int
) -> None:
    window = Window(column, row, width, height)
    corners = np.array(window_utils.window_corners(window, transform))

    assert window_utils.window_bounds(window, transform) == (*corners.min(axis=0), *corners.max(axis=0))


@given(TRANSFORMS, PIXELS, PIXELS, PIXELS, PIXELS)
def test_window_transform_keeps_the_coordinates_of_pixels(
    transform: Affine, column: int, row: int, column_off: int, row_off: int
) -> None:
    of_window = window_utils.window_transform(Window(column_off, row_off, 1, 1), transform)

    assert window_utils.pixel_to_crs(of_window, column, row) == pytest.approx(
        window_utils.pixel_to_crs(transform, column + column_off, row + row_off), abs=1e-6
    )


@given(TRANSFORMS, PIXELS, PIXELS, st.sampled_from([-3, -1, 0.5, 1, 4]), st.sampled_from([-2, -1, 0.25, 1, 3]))
def test_regridding_keeps_the_coordinates_of_pixels(
    transform: Affine, column: int, row: int, column_step: float, row_step: float
) -> None:
    regridded = window_utils.regrid(transform, column, row, column_step, row_step)

    assert window_utils.pixel_to_crs(regridded, 2, 3) == pytest.approx(
        window_utils.pixel_to_crs(transform, column + 2 * column_step, row + 3 * row_step), abs=1e-6
    )


# Whole pixels and overlap.


@pytest.mark.parametrize(
    ("window", "whole"),
    [
        (Window(1, 2, 3, 4), (1, 2, 3, 4)),
        (Window(1.0, -2.0, 3.0, 4.0), (1, -2, 3, 4)),
        (Window(0.9995, 2.0005, 3, 4), (1, 2, 3, 4)),
    ],
)
def test_a_window_within_a_thousandth_of_a_pixel_is_whole(window: Window, whole: tuple[int, ...]) -> None:
    found = window_utils.whole_pixel_window(window)
    values = (found.col_off, found.row_off, found.width, found.height)

    assert values == whole
    assert [type(value) for value in values] == [int] * 4


@pytest.mark.parametrize(
    "window", [Window(0.5, 0, 1, 1), Window(0, 0.002, 1, 1), Window(0, 0, 1.4, 1), Window(0, 0, 1, 2.5)]
)
def test_a_window_between_pixels_is_refused(window: Window) -> None:
    with pytest.raises(IndexingError, match=r"does not lie on whole pixels; round it first.*round_offsets"):
        window_utils.whole_pixel_window(window)


@pytest.mark.parametrize(
    ("window", "source", "target"),
    [
        (Window(1, 2, 2, 2), np.s_[2:4, 1:3], np.s_[0:2, 0:2]),
        (Window(-1, -2, 3, 3), np.s_[0:1, 0:2], np.s_[2:3, 1:3]),
        (Window(3, 6, 5, 5), np.s_[6:7, 3:5], np.s_[0:1, 0:2]),
        (Window(-1, -1, 9, 9), np.s_[0:7, 0:5], np.s_[1:8, 1:6]),
    ],
    ids=["inside", "over the first corner", "over the last corner", "all round"],
)
def test_overlap_returns_source_and_target_slices(window: Window, source: Any, target: Any) -> None:
    assert window_utils.overlap(window, 7, 5) == (source, target)


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(0, 15), st.integers(0, 15))
def test_overlap_moves_each_pixel_to_its_position_in_the_window(column: int, row: int, width: int, height: int) -> None:
    raster = np.arange(1, 36).reshape(7, 5)
    source, target = window_utils.overlap(Window(column, row, width, height), *raster.shape)
    found = np.zeros((height, width), int)
    found[target] = raster[source]

    wide = np.pad(raster, 40)
    assert np.array_equal(found, wide[row + 40 : row + 40 + height, column + 40 : column + 40 + width])


# CRS.


@pytest.mark.parametrize(
    "crs",
    ["EPSG:32630", "epsg:32630", 32630, CRS.from_epsg(32630), CRS.from_epsg(32630).to_wkt(), {"init": "epsg:32630"}],
)
def test_a_crs_may_be_written_in_many_ways(crs: Any) -> None:
    assert window_utils.normalise_crs(crs) == CRS.from_epsg(32630)
    assert window_utils.compare_crs(crs, 32630)


def test_object_with_to_wkt_is_a_crs() -> None:
    class PyprojLike:
        def to_wkt(self, *_: Any) -> str:
            return str(CRS.from_epsg(32630).to_wkt())

    assert window_utils.compare_crs(PyprojLike(), "EPSG:32630")


@pytest.mark.parametrize(("a", "b", "same"), [(None, None, True), (None, 4326, False), (4326, 32630, False)])
def test_crs_compare_by_meaning(a: Any, b: Any, same: bool) -> None:
    assert window_utils.compare_crs(a, b) is same


@pytest.mark.parametrize("crs", ["banana", -1, "EPSG:999999", object(), ""])
def test_invalid_crs_is_named(crs: Any) -> None:
    with pytest.raises(GeoreferenceError, match=r"crs=.* is not a CRS that PROJ knows: .*; pass an EPSG code such as"):
        window_utils.normalise_crs(crs)


# Transforms.


@pytest.mark.parametrize(
    "transform", [NORTH_UP, tuple(NORTH_UP)[:6], list(NORTH_UP)[:6], tuple(NORTH_UP), np.array(tuple(NORTH_UP)[:6])]
)
def test_a_transform_may_be_an_affine_or_its_numbers(transform: Any) -> None:
    assert window_utils.normalise_transform(transform) == NORTH_UP


@pytest.mark.parametrize("transform", [None, 3, "banana", (1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6, 7), ("a",) * 6])
def test_invalid_transform_is_named(transform: Any) -> None:
    with pytest.raises(GeoreferenceError, match=r"transform=.* is not an affine transform; pass affine\.Affine"):
        window_utils.normalise_transform(transform)


@pytest.mark.parametrize(
    "transform",
    [Affine(0, 0, 0, 0, 0, 0), Affine(10, 0, 0, 0, 0, 0), Affine(1, 2, 0, 2, 4, 0), (10, 0, np.inf, 0, -10, 0)],
)
def test_pixels_without_area_are_refused(transform: Any) -> None:
    with pytest.raises(GeoreferenceError, match="has pixels of no area; pass the raster's own transform"):
        window_utils.normalise_transform(transform)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ((0, 0, 0, 0, 0, 0), True),
        ((0, 0, 0.009, 0, 0, -0.009), True),
        ((0, 0, 0.011, 0, 0, 0), False),
        ((0, 0, 0, 0, 0, 0.011), False),
        ((0.011, 0, 0, 0, 0, 0), False),
        ((0, 0.011, 0, 0, 0, 0), False),
        ((0, 0, 0, 0, 20, 0), False),
    ],
)
def test_transforms_agree_within_a_thousandth_of_a_pixel(change: tuple[float, ...], same: bool) -> None:
    other = Affine(*(a + b for a, b in zip(NORTH_UP[:6], change, strict=True)))

    assert window_utils.same_transform(NORTH_UP, other) is same
    assert window_utils.same_transform(other, NORTH_UP) is same


@pytest.mark.parametrize(("shape", "same"), [((), True), ((1, 1), True), ((10, 10), True), ((10, 11), False)])
def test_difference_in_pixel_size_is_measured_at_the_far_corner(shape: tuple[int, ...], same: bool) -> None:
    wider = Affine(10.00095, 0, 500000, 0, -10, 4000000)

    assert window_utils.same_corners(NORTH_UP, wider, shape) is same


# Outlines.


def test_ring_is_unchanged_in_its_own_crs() -> None:
    ring = [(0.0, 0.0), (1.0, 0.0), (1.0, 2.0), (0.0, 2.0)]

    for dst_crs in (None, 4326, "EPSG:4326"):
        assert list(window_utils.ring_to_polygon(ring, 4326, dst_crs).exterior.coords)[:4] == ring


def test_ring_without_a_crs_becomes_a_polygon() -> None:
    assert window_utils.ring_to_polygon([(0, 0), (1, 0), (1, 1)], None, None).area == 0.5


def test_a_ring_is_reprojected_corner_by_corner() -> None:
    # One degree along the equator is 6378137 * pi / 180 m in Web Mercator.
    polygon = window_utils.ring_to_polygon([(0, 0), (1, 0), (1, -1), (0, -1)], 4326, 3857)

    assert polygon.bounds[2] == pytest.approx(111319.49, abs=0.01)
    assert len(polygon.exterior.coords) == 5


@pytest.mark.parametrize("hidden", [1, 30, 120])
def test_points_beyond_the_horizon_are_nan_and_the_others_are_not(hidden: int) -> None:
    """rasterio raises an error of the first points that a CRS cannot show: each CRS here is one that is new to it."""
    satellite = f"+proj=geos +h=35785831 +lon_0={hidden / 100}"
    longitudes = np.concatenate([np.linspace(-60, 60, 121 - hidden), np.full(hidden, 170.0)])

    for _ in range(2):
        x, y = window_utils.transform_points("EPSG:4326", satellite, longitudes, np.zeros(121))

        assert np.isfinite(x).tolist() == [True] * (121 - hidden) + [False] * hidden
        assert np.isnan(y[-hidden:]).all()
        assert np.allclose(y[:-hidden], 0)


def test_no_points_are_transformed_to_none() -> None:
    x, y = window_utils.transform_points("EPSG:4326", "EPSG:3857", np.array([]), np.array([]))

    assert (x.size, y.size) == (0, 0)
