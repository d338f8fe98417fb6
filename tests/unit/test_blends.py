"""Arithmetic of blends: weights by position, accumulators and results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from georeader._export.writer.blends import TAPERS, Accumulator, Blend, find_highest, taper


@pytest.mark.parametrize("name", TAPERS)
@given(st.integers(1, 700), st.integers(1, 700))
def test_weights_are_positive_in_every_pixel(name: str, height: int, width: int) -> None:
    weights = taper(name, height, width).astype("float32")

    assert weights.shape == (height, width)
    assert 0 < weights.min() <= weights.max() <= 1


@pytest.mark.parametrize("name", TAPERS)
def test_weights_are_symmetric_and_fall_towards_the_edges(name: str) -> None:
    weights = taper(name, 9, 64)

    np.testing.assert_allclose(weights, weights[::-1, ::-1])
    assert (np.diff(weights[:, :32], axis=1) > 0).all()
    assert (np.diff(weights[:5], axis=0) > 0).all()


def test_hann_weights_of_windows_that_overlap_by_half_add_up_to_1() -> None:
    along = taper("hann", 1, 64)[0]

    np.testing.assert_allclose(along[:32] + along[32:], 1, rtol=1e-12)


def test_first_of_the_highest_bands_is_found(rng: Any) -> None:
    values = rng.integers(-3, 3, (6, 40, 50)).astype("float32")
    values[:, :5] = -np.inf

    number, highest = find_highest(values)

    np.testing.assert_array_equal(number, values.argmax(axis=0))
    np.testing.assert_array_equal(highest, values.max(axis=0))


def test_weights_stay_common_to_bands_where_the_same_pixels_count() -> None:
    pixels = np.ones((3, 4, 5), "float32")
    pixels[:, 1] = np.nan

    given = Blend("mean", np.dtype("float32")).contribution(pixels, None, None, np.empty_like(pixels))

    assert given.weights is not None
    assert given.weights.shape == (1, 4, 5)
    assert given.pixels[:, 1].max() == 0


@pytest.mark.parametrize("method", ["last", "first", "max", "min", "mean", "sum"])
def test_nothing_is_in_a_blank_accumulator(method: str) -> None:
    blend = Blend(method, np.dtype("int16"))

    values, missing = blend.result(Accumulator.of_planes(blend.blank(2, 1, (4, 5)), 2))

    assert missing is not None
    assert (missing.all(), values.any()) == (True, False)


def test_pixels_of_the_accumulators_dtype_are_not_copied() -> None:
    pixels = np.ones((2, 4, 5), "float32")

    given = Blend("mean", np.dtype("float32")).contribution(pixels, None, None, np.empty_like(pixels))

    assert given.pixels is pixels
