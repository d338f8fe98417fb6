"""MaskClouds: pixels that SCL classifies as clouds and the like become missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from georeader.errors import NodataError, OptionError, ShapeError
from geotoolz import BandError
from geotoolz.cloud import MaskClouds
from geotoolz_helpers import stack_of

ALL_CLASSES = list(range(12))


def test_by_default_clouds_shadows_cirrus_and_bad_pixels_are_masked() -> None:
    gt = stack_of([7] * 12, ALL_CLASSES)

    result = MaskClouds(scl_idx=1)(gt)

    hidden = [one for one, value in enumerate(result.values[0, 0]) if value == 0]
    assert hidden == [0, 1, 3, 8, 9, 10]


def test_classification_and_input_are_not_changed() -> None:
    gt = stack_of([7] * 12, ALL_CLASSES, [8] * 12, descriptions=["a", "SCL", "c"], row={"tile": "x"})

    result = MaskClouds(scl_idx=1)(gt)

    assert result.values[1, 0].tolist() == ALL_CLASSES
    assert gt.values[0, 0].tolist() == [7] * 12
    assert (result.attrs, result.dtype) == (gt.attrs, gt.dtype)


def test_classes_are_configurable() -> None:
    result = MaskClouds(0, classes=(11, 4))(stack_of(ALL_CLASSES, [7] * 12))

    assert [one for one, value in enumerate(result.values[1, 0]) if value == 0] == [4, 11]


def test_empty_classes_mask_nothing() -> None:
    gt = stack_of(ALL_CLASSES, [7] * 12)

    np.testing.assert_array_equal(MaskClouds(0, classes=())(gt).values, gt.values)


def test_masked_pixels_have_the_fill_value_of_the_stack() -> None:
    result = MaskClouds(1)(stack_of([7, 7], [4, 9], dtype="int16", fill=-9999))

    assert result.values[0, 0].tolist() == [7, -9999]
    assert result.fill_value_default == -9999


def test_masked_pixels_are_nan_in_floats_without_fill_value() -> None:
    result = MaskClouds(1)(stack_of([0.5, 0.5], [4, 9], dtype="float32", fill=None))

    np.testing.assert_array_equal(result.values[0, 0], np.float32([0.5, np.nan]))
    assert np.isnan(result.fill_value_default)


@pytest.mark.parametrize(
    ("fill", "message"), [(None, "has no fill_value_default"), (np.nan, "cannot hold"), (-1, "cannot hold")]
)
def test_integers_without_a_usable_fill_value_are_refused(fill: Any, message: str) -> None:
    with pytest.raises(NodataError, match=message):
        MaskClouds(1)(stack_of([7], [9], fill=fill))


def test_missing_band_and_raster_without_bands_are_refused() -> None:
    with pytest.raises(BandError, match="scl_idx=2 is not there; the raster has 2 bands"):
        MaskClouds(2)(stack_of([7], [9]))
    with pytest.raises(ShapeError, match="band, row, column"):
        MaskClouds(0)(stack_of([7], [9])[0])


@pytest.mark.parametrize("classes", [("cloud",), 9, None, "89", (9.5,), (-1,), (300,)], ids=repr)
def test_invalid_classes_are_refused_at_construction(classes: Any) -> None:
    with pytest.raises(OptionError, match="are not classes of SCL"):
        MaskClouds(0, classes=classes)
