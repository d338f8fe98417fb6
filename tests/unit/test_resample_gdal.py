"""Reducing by two beside GDAL's own overviews, dtype by dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.io import MemoryFile

from georeader._resample.pyramid import halve

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
COMPLEX = ["complex64", "complex128"]
KERNELS = {"BILINEAR": 2, "CUBIC": 4, "CUBICSPLINE": 4, "LANCZOS": 6, "GAUSS": 2}
GDAL_VERSION = tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])

Array = np.ndarray[Any, Any]


def gdal_overview(values: Array, method: str, nodata: Any) -> Array:
    """What GDAL makes of a band."""
    profile = {"driver": "GTiff", "count": 1, "height": values.shape[0], "width": values.shape[1]}
    resampling = Resampling["cubic_spline" if method == "CUBICSPLINE" else method.lower()]
    with MemoryFile() as file:
        with file.open(**profile, dtype=values.dtype, nodata=nodata) as dataset:
            dataset.write(values, 1)
            dataset.build_overviews([2], resampling)
        with file.open(overview_level=0) as dataset:
            return np.asarray(dataset.read(1))


def pixels(dtype: str, largest: int, rng: np.random.Generator) -> Array:
    """(row, column) pixels of both signs up to ``largest``, or to what the dtype holds."""
    shape, kind = (96, 128), np.dtype(dtype).kind
    if kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(max(-largest, limits.min + 1), min(largest, limits.max - 1), shape, dtype)
    values = rng.normal(size=shape) * largest
    return (values + 1j * rng.normal(size=shape) if kind == "c" else values).astype(dtype)


def beyond(dtype: str) -> int:
    """A nodata that no result comes near, and that a double holds."""
    return min(int(np.iinfo(dtype).max), 2**50) if dtype in INTEGERS else -9999


def with_holes(values: Array, nodata: Any, rng: np.random.Generator) -> Array:
    """A third of the pixels missing, and one corner missing as a whole."""
    values = np.where(rng.random(values.shape) < 0.3, values.dtype.type(nodata), values)
    values[:20, :30] = nodata
    return values


def assert_same(found: Array, expected: Array) -> None:
    """Integers are equal, other numbers to rounding (GDAL takes complex128 in single precision)."""
    if found.dtype.kind in "iu":
        np.testing.assert_array_equal(found, expected)
    else:
        tolerance = 1e-14 if found.dtype == np.float64 else 1e-6
        scale = np.nanmax(np.abs(expected))
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("largest", [3, 1000, 2**40])
@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, *COMPLEX])
@pytest.mark.parametrize("method", ["NEAREST", "AVERAGE", "MODE"])
def test_whole_blocks_equal_gdals(method: str, dtype: str, largest: int, rng: np.random.Generator) -> None:
    values = pixels(dtype, largest, rng)

    assert_same(halve(values, method), gdal_overview(values, method, None))


@pytest.mark.parametrize("largest", [1000, 2**40])
@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
@pytest.mark.parametrize("method", ["NEAREST", "AVERAGE", "MODE"])
def test_nodata_counts_as_in_gdal(method: str, dtype: str, largest: int, rng: np.random.Generator) -> None:
    """Nodata is beyond all averages; results equal to nodata have their own tests."""
    nodata = beyond(dtype)
    values = with_holes(pixels(dtype, largest, rng), nodata, rng)

    assert_same(halve(values, method, nodata=nodata), gdal_overview(values, method, nodata))


@pytest.mark.parametrize("nodata", [0, 2, 255])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("method", ["AVERAGE", "RMS", "MODE"])
def test_results_equal_to_nodata_are_replaced_as_in_gdal(
    method: str, dtype: str, nodata: int, rng: np.random.Generator
) -> None:
    values = with_holes(rng.choice([0, 1, 2, 3, 254, 255], (96, 128)).astype(dtype), nodata, rng)

    found = halve(values, method, nodata=nodata)

    assert_same(found, gdal_overview(values, method, nodata))
    has_valid = (values != nodata).reshape(48, 2, 64, 2).any(axis=(1, 3))
    np.testing.assert_array_equal(found != nodata, has_valid)


@pytest.mark.parametrize("dtype", COMPLEX)
def test_mode_of_complex_numbers_leaves_out_nodata_as_gdal_does(dtype: str, rng: np.random.Generator) -> None:
    values = with_holes(rng.integers(1, 4, (96, 128)).astype(dtype), 0, rng)

    found, expected = halve(values, "MODE", nodata=0), gdal_overview(values, "MODE", 0)

    assert_same(found, np.where(np.isnan(expected), 0, expected))


@pytest.mark.parametrize("has_nodata", [False, True])
@pytest.mark.parametrize("largest", [100, 2**20])
@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
def test_root_mean_squares_equal_gdals(dtype: str, largest: int, has_nodata: bool, rng: np.random.Generator) -> None:
    """int32 and wider are even, so that no root is a half: GDAL 3.12 loses some of these."""
    values = pixels(dtype, largest, rng)
    values[values == 0] = 1
    if np.dtype(dtype).kind in "iu" and np.dtype(dtype).itemsize >= 4:
        values = values // 2 * 2
    nodata = beyond(dtype)
    if has_nodata:
        values = with_holes(values, nodata, rng)

    found = halve(values, "RMS", nodata=nodata if has_nodata else None)

    expected = gdal_overview(values, "RMS", nodata if has_nodata else None)
    if dtype in ("int8", "int16") and not has_nodata and GDAL_VERSION > (3, 12):
        assert np.abs(found.astype(int) - expected).max() <= 1  # GDAL scales by another pixel since
    else:
        assert_same(found, expected)


@pytest.mark.parametrize("dtype", COMPLEX)
def test_root_mean_squares_of_complex_numbers_are_computed_per_part(dtype: str, rng: np.random.Generator) -> None:
    values = pixels(dtype, 100, rng)

    assert_same(halve(values, "RMS"), gdal_overview(values, "RMS", None))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint8", "uint16", "uint32", *FLOATS])
@pytest.mark.parametrize("method", list(KERNELS))
def test_kernels_have_gdals_weights(method: str, dtype: str, rng: np.random.Generator) -> None:
    values = pixels(dtype, 2**40, rng)

    found, expected = halve(values, method), gdal_overview(values, method, None)

    if np.dtype(dtype).kind in "iu":
        assert np.abs(found.astype(np.float64) - expected).max() <= 1
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * 2**40)


@pytest.mark.parametrize("method", ["CUBIC", "LANCZOS"])
def test_kernels_stay_within_the_dtype_where_they_overshoot(method: str) -> None:
    values = np.zeros((32, 32), "uint8")
    values[:, 15:] = 255

    found = halve(values, method)

    assert np.abs(found.astype(int) - gdal_overview(values, method, None)).max() <= 1
    assert (found[8, 6], found[8, 8]) == (0, 255)  # below 0 and above 255 but for the dtype


def test_gauss_leaves_out_nodata_as_gdal_does(rng: np.random.Generator) -> None:
    values = with_holes(pixels("uint16", 60000, rng), 0, rng)

    found, expected = halve(values, "GAUSS", nodata=0), gdal_overview(values, "GAUSS", 0)

    has_valid = (values != 0).reshape(48, 2, 64, 2).any(axis=(1, 3))
    assert np.abs(found.astype(int) - expected)[has_valid].max() <= 1
    assert not found[~has_valid].any()
