"""The parts of a picture, each by itself: bands, size, stretch, resizing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from georeader._render.bands import RasterBands, choose_bands
from georeader._render.colours import GREY_OF_ONE_VALUE, stretch
from georeader._render.sizes import best_level, halvings, picture_shape, resize

# Which bands.


@pytest.mark.parametrize(
    ("interps", "descriptions", "count", "expected"),
    [
        (("red", "green", "blue"), (), 3, (0, 1, 2)),
        (("blue", "green", "red", "undefined"), (), 4, (2, 1, 0)),
        (("alpha", "red", "green", "blue"), (), 4, (1, 2, 3)),
        (("red", "green", "blue"), ("blue", "green", "red"), 3, (0, 1, 2)),
        ((), ("B01", "B02", "B03", "B04", "B08"), 5, (3, 2, 1)),
        ((), ("B4", "B3", "B2"), 3, (0, 1, 2)),
        ((), ("SR_B2", "SR_B3", "SR_B4", "SR_B5"), 4, (2, 1, 0)),
        ((), ("Blue", "Green", "Red", "NIR"), 4, (2, 1, 0)),
        ((), ("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"), 8, (5, 3, 1)),
        ((), ("red edge 1", "near infra-red", "band 3 - red", "green", "blue"), 5, (2, 3, 4)),
        ((), ("B8A", "B04 (665 nm)", "B03 (560 nm)", "B02 (490 nm)"), 4, (1, 2, 3)),
        ((), ("B04", "B03", None, None), 4, (0,)),
        ((), ("B40", "B30", "B20", "B1"), 4, (0,)),
        (("gray", "undefined", "undefined"), (), 3, (0, 1, 2)),
        ((), (), 3, (0, 1, 2)),
        (("gray", "undefined", "undefined", "alpha"), (), 4, (0, 1, 2)),
        (("palette", "undefined", "undefined"), (), 3, (0,)),
        (("alpha", "gray"), (), 2, (1,)),
        (("alpha",), (), 1, (0,)),
        ((), (), 1, (0,)),
        ((), (), 2, (0,)),
        ((), (), 4, (0,)),
        ((), (), 12, (0,)),
    ],
)
def test_bands_are_chosen_by_interpretation_then_description(
    interps: tuple[str, ...], descriptions: tuple[str | None, ...], count: int, expected: tuple[int, ...]
) -> None:
    bands = RasterBands(count, np.dtype("uint16"), colorinterp=interps, descriptions=descriptions)

    assert choose_bands(bands).colours == expected


@pytest.mark.parametrize(
    ("selected", "expected"),
    [(2, (1,)), ([4, 3, 2], (3, 2, 1)), (np.int64(1), (0,)), ("ndvi", (2,)), (["NDVI", 1, "b"], (2, 0, 1))],
)
def test_bands_are_selected_by_number_or_description(selected: Any, expected: tuple[int, ...]) -> None:
    bands = RasterBands(
        4,
        np.dtype("uint8"),
        descriptions=("A", "B", "NDVI", None),
        colorinterp=("red", "green", "blue", "alpha"),
    )

    assert choose_bands(bands, selected).colours == expected


def test_alpha_band_is_applied_unless_it_is_shown_itself() -> None:
    bands = RasterBands(2, np.dtype("uint8"), colorinterp=("gray", "alpha"))

    assert choose_bands(bands).alpha == 1
    assert choose_bands(bands, 2).alpha is None


# How large.


@pytest.mark.parametrize(
    ("pixel", "shape", "max_side_px", "expected"),
    [
        ((10, -10), (300, 200), 1024, (300, 200)),
        ((10, -10), (3000, 2000), 1500, (1500, 1000)),
        ((10, -10.05), (3000, 2000), 1500, (1500, 1000)),
        ((20, -10), (100, 100), 1024, (100, 200)),
        ((10, -30), (100, 100), 1024, (300, 100)),
        ((20, -10), (1000, 1000), 500, (250, 500)),
        ((1000, -1), (100, 100), 1024, (100, 100)),
        ((0, 0), (100, 100), 1024, (100, 100)),
        ((math.nan, 1), (100, 100), 1024, (100, 100)),
        ((math.inf, math.inf), (100, 100), 1024, (100, 100)),
        ((10, -10), (1, 100000), 1000, (1, 1000)),
        ((10, -10), (3, 5), 1, (1, 1)),
    ],
)
def test_a_picture_has_the_proportions_of_the_ground(
    pixel: tuple[float, float], shape: tuple[int, int], max_side_px: int, expected: tuple[int, int]
) -> None:
    assert picture_shape(shape, Affine(pixel[0], 0, 0, 0, pixel[1], 0), max_side_px) == expected


def test_rotated_raster_is_not_stretched() -> None:
    assert picture_shape((50, 60), Affine(8.7, 5, 0, 5, -8.7, 0), 100) == (50, 60)


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.integers(1, 20000), st.integers(1, 20000)),
    st.integers(1, 3000),
    st.sampled_from([1.0, 1.005, 0.5, 3.0, 16.0, 20.0]),
)
def test_smallest_sufficient_level_is_read(shape: tuple[int, int], max_side_px: int, oblong: float) -> None:
    picture = picture_shape(shape, Affine(oblong, 0, 0, 0, -1, 0), max_side_px)
    *_, level = shapes = halvings(shape, shape, picture)

    assert 1 <= min(picture) <= max(picture) <= max_side_px
    longer = picture.index(max(picture))
    assert level[longer] >= min(picture[longer], shape[longer])
    if 1 <= oblong < 1.01 or oblong > 16:
        assert max(picture) == min(max_side_px, max(shape))
        assert max(level) < 2 * max_side_px + 1
    factors = [2**power for power in range(1, len(shapes) + 3)]
    position = best_level(shape, factors, picture)
    factor = 1 if position is None else factors[position]
    assert level == (-(-shape[0] // factor), -(-shape[1] // factor))


# How grey.

NUMBERS = st.sampled_from(["uint8", "int8", "uint16", "int32", "int64", "uint64", "float32", "float64"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))
)


@settings(max_examples=300, deadline=None)
@given(NUMBERS, st.data(), st.sampled_from([(2.0, 98.0), (0.0, 100.0), (40.0, 60.0), (0.0, 0.1)]))
def test_a_stretch_keeps_the_order_of_valid_pixels(
    values: np.ndarray[Any, Any], data: st.DataObject, percentiles: tuple[float, float]
) -> None:
    finite = np.isfinite(values)
    is_valid = data.draw(hnp.arrays(bool, values.shape)) & finite

    with np.errstate(all="raise"):
        greys = stretch(values, is_valid, percentiles)

    by_value = greys[is_valid][np.argsort(values[is_valid], kind="stable")].astype(int)
    assert (np.diff(by_value) >= 0).all()
    assert (greys[~is_valid] == 0).all()
    distinct = np.unique(values[is_valid])
    if percentiles == (0.0, 100.0) and distinct.size > 1:
        assert (by_value[0], by_value[-1]) == (0, 255)
    if distinct.size == 1:
        assert set(by_value) == {GREY_OF_ONE_VALUE}
    if distinct.size > 1:
        assert by_value[0] < by_value[-1]


def test_few_pixels_of_another_value_are_visible_if_percentiles_are_equal() -> None:
    values = np.zeros((10, 100), "uint8")
    values[5, 5] = 1

    assert stretch(values, np.ones(values.shape, bool))[5, 4:7].tolist() == [0, 255, 0]


# In another size.


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays("uint8", st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([2, 4]))),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.booleans(),
)
def test_resizing_stays_within_the_range_of_colours(
    picture: np.ndarray[Any, Any], shape: tuple[int, int], picks: bool
) -> None:
    opaque = picture[..., -1] > 0
    resized = resize(picture, shape, picks=picks)

    assert resized.shape == (*shape, picture.shape[2])
    for channel in range(picture.shape[2] - 1):
        shown = resized[..., channel][resized[..., -1] > 0].astype(int)
        if shown.size and not picks:
            assert picture[opaque][:, channel].min() <= shown.min()
            assert shown.max() <= picture[opaque][:, channel].max()
    if picks:
        assert {tuple(pixel) for row in resized for pixel in row} <= {tuple(pixel) for row in picture for pixel in row}


def test_resizing_by_integers_repeats_or_averages() -> None:
    picture = np.array([[[10, 255], [30, 255]], [[50, 255], [70, 0]]], "uint8")

    np.testing.assert_array_equal(resize(picture[:, :1], (6, 3)), picture[:, :1].repeat(3, axis=0).repeat(3, axis=1))
    assert resize(picture, (1, 1)).tolist() == [[[30, 191]]]


def test_resizing_weights_pixels_by_their_overlap() -> None:
    row = np.array([[[0, 255], [90, 255], [240, 255]]], "uint8")

    assert resize(row, (1, 2))[0, :, 0].tolist() == [30, 190]
