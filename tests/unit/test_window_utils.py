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

from georeader import GeoTensor, WindowPair, iter_windows, window_utils
from georeader.errors import GeoreaderError, GeoreferenceError, IndexingError, OptionError, ShapeError

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


# Windows of a model.


@st.composite
def tilings(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return the shape of a raster, the size of windows and their overlap."""
    sides = st.integers(1, 60)
    shape, size = draw(st.tuples(sides, sides)), draw(st.tuples(sides, sides))
    return shape, size, (draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1)))


def times_covered(shape: tuple[int, int], windows: list[Window]) -> np.ndarray:
    counts = np.zeros(shape, int)
    for window in windows:
        (row, row_stop), (column, column_stop) = window.toranges()
        assert 0 <= row < row_stop <= shape[0]
        assert 0 <= column < column_stop <= shape[1]
        counts[row:row_stop, column:column_stop] += 1
    return counts


@given(tilings())
def test_trimmed_windows_cover_each_pixel_once(tiling: Any) -> None:
    shape, size, overlap = tiling

    pairs = list(iter_windows(shape, size, overlap, trim=True))

    assert (times_covered(shape, [pair.write for pair in pairs]) == 1).all()


@given(tilings())
def test_a_trimmed_window_has_half_of_the_overlap_around_it_but_at_the_edges(tiling: Any) -> None:
    shape, size, overlap = tiling

    for read, write in iter_windows(shape, size, overlap, trim=True):
        for (start, stop), (first, last), limit, shared in zip(
            read.toranges(), write.toranges(), shape, overlap, strict=True
        ):
            assert first == 0 or first - start == shared // 2
            assert last == limit or stop - last == shared - shared // 2


@given(tilings())
def test_windows_to_write_are_those_to_read_within_the_raster(tiling: Any) -> None:
    shape, size, overlap = tiling
    raster = Window(0, 0, shape[1], shape[0])

    pairs = list(iter_windows(shape, size, overlap))

    assert (times_covered(shape, [pair.write for pair in pairs]) >= 1).all()
    assert all(pair.write == pair.read.intersection(raster) for pair in pairs)


@given(tilings())
def test_windows_to_read_share_the_overlap_row_by_row_and_none_is_left_out_or_too_many(tiling: Any) -> None:
    shape, size, overlap = tiling

    offsets = [(read.row_off, read.col_off) for read, _ in iter_windows(shape, size, overlap)]

    rows, columns = (sorted(set(axis)) for axis in zip(*offsets, strict=True))
    assert offsets == [(row, column) for row in rows for column in columns]
    for starts, limit, side, shared in zip((rows, columns), shape, size, overlap, strict=True):
        assert starts == [number * (side - shared) for number in range(len(starts))]
        assert starts[-1] + side >= limit  # the last one reaches the edge
        assert len(starts) == 1 or starts[-2] + side < limit  # and is needed


@given(tilings(), st.booleans())
def test_crop_returns_the_pixels_of_the_window_to_write(tiling: Any, trim: bool) -> None:
    shape, size, overlap = tiling
    raster = GeoTensor(np.arange(shape[0] * shape[1]).reshape(1, *shape), NORTH_UP, 32630, nodata=-1)

    for pair in iter_windows(raster, size, overlap, trim=trim):
        pixels = raster.read_from_window(pair.read, boundless=True).values
        rows, columns = pair.write.toslices()
        assert pixels.shape == (1, *size)
        np.testing.assert_array_equal(pair.crop(pixels), raster.values[:, rows, columns])


def test_a_raster_smaller_than_a_window_is_one_window_that_reaches_beyond_it() -> None:
    assert list(iter_windows((3, 30, 40), size=(64, 128), overlap=8)) == [
        WindowPair(Window(0, 0, 128, 64), Window(0, 0, 40, 30))
    ]


def test_windows_hold_integers() -> None:
    pair = next(iter_windows(np.zeros((30, 40)), size=np.int64(16), overlap=np.int64(2), trim=True))

    assert [type(value) for window in pair for value in window.flatten()] == [int] * 8


def test_crop_refuses_an_array_of_another_size() -> None:
    pair = next(iter_windows((30, 40), size=16))

    with pytest.raises(ShapeError, match=r"takes the 16 x 16 pixels .* got shape \(5, 16, 15\)"):
        pair.crop(np.zeros((5, 16, 15)))


@pytest.mark.parametrize(
    ("shape", "size", "overlap", "kind", "message"),
    [
        ((30, 40), 0, 0, OptionError, "size must be at least 1, got 0"),
        ((30, 40), (16, 16, 16), 0, OptionError, r"size must be a whole number or \(rows, columns\)"),
        ((30, 40), 16.5, 0, OptionError, r"got 16\.5"),
        ((30, 40), 16, -1, OptionError, "overlap must be at least 0, got -1"),
        ((30, 40), 16, 16, OptionError, "overlap=16 must be less than size=16"),
        ((30, 40), (64, 16), 20, OptionError, r"overlap=20 must be less than size=\(64, 16\)"),
        ((0, 40), 16, 0, ShapeError, r"no pixels: shape \(0, 40\)"),
        ((40,), 16, 0, ShapeError, r"pass \(row, column\)"),
        ("scene.tif", 16, 0, ShapeError, "'scene.tif' is not a shape"),
    ],
)
def test_what_is_not_a_tiling_is_refused_before_the_first_window(
    shape: Any, size: Any, overlap: Any, kind: type[GeoreaderError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        iter_windows(shape, size, overlap)
