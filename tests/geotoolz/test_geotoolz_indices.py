"""NDVI: numbers that hold, NaN where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from georeader import GeoTensor
from georeader.errors import DtypeError, OptionError, ShapeError
from geotoolz import BandError
from geotoolz.indices import NDVI
from geotoolz_helpers import TRANSFORM, stack_of

NAN = np.nan


@pytest.mark.parametrize(
    ("red", "nir", "expected"),
    [
        ([100, 300], [300, 100], [0.5, -0.5]),
        ([0, 100, 0], [100, 0, 0], [NAN, NAN, NAN]),
        ([65535, 1], [65535, 65535], [0.0, 65534 / 65536]),
    ],
    ids=["both signs", "no data", "what would wrap"],
)
def test_ndvi_of_unsigned_integers(red: list[int], nir: list[int], expected: list[float]) -> None:
    result = NDVI(0, 1)(stack_of(red, nir))

    assert (result.dtype, result.shape) == (np.float32, (1, 1, len(red)))
    np.testing.assert_allclose(result.values[0, 0], np.float32(expected), rtol=1e-6)


@pytest.mark.parametrize(
    ("red", "nir", "expected"),
    [
        ([0, 0.0, -2], [0, 5, 2], [NAN, 1.0, NAN]),
        ([NAN, 1], [1, NAN], [NAN, NAN]),
        ([np.inf, 1], [1, np.inf], [NAN, NAN]),
        ([-1, 3], [3, -1], [2.0, -2.0]),
    ],
    ids=["sum 0", "NaN", "infinite", "negative"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ndvi_of_floating_point_numbers(dtype: str, red: list[float], nir: list[float], expected: list[float]) -> None:
    result = NDVI(red_idx=0, nir_idx=1)(stack_of(red, nir, dtype=dtype, fill=None))

    np.testing.assert_array_equal(result.values[0, 0], np.float32(expected))


def test_masked_pixels_become_nan_and_the_mask_is_dropped() -> None:
    gt = stack_of([1, 1], [3, 3], fill=None, mask=np.array([[True, False]]))

    result = NDVI(0, 1)(gt)

    np.testing.assert_array_equal(result.values[0, 0], np.float32([0.5, NAN]))
    assert "mask" not in result.attrs


def test_missing_pixels_of_either_band_become_nan() -> None:
    result = NDVI(0, 1)(stack_of([-1, 1, 1], [3, -1, 3], dtype="int16", fill=-1))

    np.testing.assert_array_equal(result.values[0, 0], np.float32([NAN, NAN, 0.5]))


def test_other_bands_are_ignored() -> None:
    result = NDVI(red_idx=2, nir_idx=1)(stack_of([0, 0], [3, 3], [1, 1]))

    np.testing.assert_array_equal(result.values[0, 0], np.float32([0.5, 0.5]))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32", "int64", "uint64", "float16", ">u2", ">f4"])
def test_every_real_dtype_is_accepted(dtype: str) -> None:
    result = NDVI(0, 1)(stack_of([50], [150], dtype=dtype))

    np.testing.assert_array_equal(result.values, np.float32([[[0.5]]]))


def test_large_integers_keep_their_differences() -> None:
    result = NDVI(0, 1)(stack_of([2**31 - 2], [2**31 - 1], dtype="int32"))

    assert result.values.item() == pytest.approx(1 / (2**32 - 3))


def test_result_has_georeference_description_and_tags() -> None:
    gt = stack_of([1], [3], descriptions=["B04", "B08"], scales=[1e-4] * 2, row={"tile": "a"}, tags={"model": "v2"})

    result = NDVI(0, 1)(gt)

    assert (result.transform, result.crs) == (TRANSFORM, "EPSG:32630")
    assert np.isnan(result.fill_value_default)
    assert result.attrs == {"descriptions": ["NDVI"], "row": {"tile": "a"}, "tags": {"model": "v2"}}


def test_input_is_not_changed() -> None:
    gt = stack_of([1.0, 0.0], [3.0, 0.0], dtype="float32", descriptions=["a", "b"])
    before = gt.values.copy()

    NDVI(0, 1)(gt)

    np.testing.assert_array_equal(gt.values, before)
    assert gt.attrs == {"descriptions": ["a", "b"]}


@given(
    arrays.arrays(
        st.sampled_from(["uint8", "uint16", "int16", "int32", "uint32", "float32"]),
        st.tuples(st.just(2), st.integers(1, 5), st.integers(1, 5)),
        elements=st.integers(0, 100),
    ),
    st.sampled_from([None, 0, 7]),
)
def test_integers_are_computed_without_overflow(values: Any, fill: int | None) -> None:
    result = NDVI(0, 1)(GeoTensor(values, TRANSFORM, 32630, fill_value_default=fill)).values[0]

    red, nir = values.astype(object)
    for place in np.ndindex(red.shape):
        a, b = int(red[place]), int(nir[place])
        if fill in (a, b) or a + b == 0:
            assert np.isnan(result[place])
        else:
            assert result[place] == pytest.approx((b - a) / (a + b), abs=1e-6)


def test_result_does_not_depend_on_the_number_of_strips(rng: np.random.Generator) -> None:
    values = rng.integers(0, 3, (2, 900, 700)).astype("uint16")

    result = NDVI(0, 1)(GeoTensor(values, TRANSFORM, 32630, fill_value_default=None)).values[0]

    total = values.sum(axis=0, dtype="float32")
    expected = np.divide(
        values[1].astype("float32") - values[0], total, out=np.full((900, 700), NAN, "float32"), where=total > 0
    )
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4, 5)])
def test_an_array_without_bands_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"takes \(band, row, column\)"):
        NDVI(0, 1)(GeoTensor(np.ones(shape), TRANSFORM, 32630))


def test_missing_band_raises_an_index_error_with_the_number_of_bands() -> None:
    with pytest.raises(BandError, match="nir_idx=3 is not there; the raster has 3 bands, 0 to 2") as caught:
        NDVI(0, 3)(stack_of([1], [2], [3]))
    assert isinstance(caught.value, IndexError)


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(DtypeError, match="complex64"):
        NDVI(0, 1)(stack_of([1], [2], dtype="complex64"))


@pytest.mark.parametrize(("red", "nir"), [(-1, 0), (0, 1.5), ("B04", 1), (None, 1), (True, 2), (1, 1)])
def test_invalid_indexes_are_refused_at_construction(red: Any, nir: Any) -> None:
    with pytest.raises(OptionError, match="_idx"):
        NDVI(red, nir)


def test_attrs_of_the_file_are_kept_and_those_of_bands_dropped() -> None:
    table = "<GDALRasterAttributeTable/>"
    of_file = {
        "tags": {"mission": "S2", "OVERVIEW_RESAMPLING": "NEAREST"},
        "namespaces": {"MINE": {"a": "b"}},
        "own": 1,
    }
    of_bands = {
        "scales": [0.1, 0.1], "offsets": [0.0, 0.0], "units": ["1", "1"], "colorinterp": ["red", "undefined"],
        "band_tags": [{"a": "1"}, {}], "band_namespaces": [{"CAL": {"gain": "2"}}, {}],
        "attribute_tables": [table, None], "photometric": "MINISWHITE", "nbits": 12,
    }  # fmt: skip
    stack = stack_of([1, 2], [3, 4])
    stack.attrs = of_file | of_bands

    index = NDVI(red_idx=0, nir_idx=1)(stack)

    kept = of_file | {"tags": {"mission": "S2"}}  # the method of overviews is that of other numbers
    assert index.attrs == kept | {"descriptions": ["NDVI"]}
