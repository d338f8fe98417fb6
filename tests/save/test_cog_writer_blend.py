"""CogWriter(blend=): results are those of another implementation in numpy, which holds the whole scene in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.windows import Window

from conftest import CRS, TRANSFORM
from georeader import CogWriter

PLACE = {"transform": TRANSFORM, "crs": CRS}

#: Blocks of 256 pixels and windows of 200 with a step of 150: borders of both at many distances.
HEIGHT, WIDTH, SIZE, STEP = 310, 420, 200, 150


class Piece(NamedTuple):
    window: Window
    pixels: NDArray[Any]


def windows(height: int = HEIGHT, width: int = WIDTH, size: int = SIZE, step: int = STEP) -> list[Window]:
    return [
        Window(column, row, min(size, width - column), min(size, height - row))
        for row in range(0, height - size + step, step)
        for column in range(0, width - size + step, step)
    ]


def pieces(count: int, dtype: str, rng: np.random.Generator) -> list[Piece]:
    """Return windows in a random order, with values that the accumulators hold exactly."""
    found = []
    for window in windows():
        values = rng.integers(0, 200, (count, window.height, window.width)).astype(dtype)
        found.append(Piece(window, values * (1 + 2j) if np.dtype(dtype).kind == "c" else values))
    return [found[index] for index in rng.permutation(len(found))]


def hann(size: int) -> NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(size) + 0.5) / size)


def gaussian(size: int) -> NDArray[np.float64]:
    centre, sigma = size / 2 - 0.5, size / 8
    return np.exp(-((np.arange(size) - centre) ** 2) / (2 * sigma**2))


def linear(size: int) -> NDArray[np.float64]:
    distance = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5)
    return distance / (size / 2)


def corner(height: int, width: int) -> NDArray[np.float64]:
    """Weights of a caller's own, which are not symmetric."""
    return np.add.outer(np.arange(height), np.arange(width)) + 1.0


def outer(taper: Callable[[int], NDArray[np.float64]]) -> Callable[[int, int], NDArray[np.float64]]:
    return lambda height, width: np.outer(taper(height), taper(width))


WEIGHTS: dict[Any, Callable[[int, int], NDArray[np.float64]]] = {
    "mean": lambda height, width: np.ones((height, width)),
    "sum": lambda height, width: np.ones((height, width)),
    "hann": outer(hann),
    "gaussian": outer(gaussian),
    "linear": outer(linear),
    corner: corner,
}


def blended(
    written: list[Piece], blend: Any, shape: tuple[int, int, int], valid: Callable[[NDArray[Any]], NDArray[np.bool_]]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the blend of whole scenes, pixel by pixel, and where a pixel counts; each window is a layer."""
    dtype = written[0].pixels.dtype
    layers = np.zeros((len(written), *shape), complex if dtype.kind == "c" else float)
    counts = np.zeros((len(written), *shape), bool)
    weights = np.zeros((len(written), *shape))
    for number, (window, pixels) in enumerate(written):
        place = (number, slice(None), *window.toslices())
        counts[place] = valid(pixels)
        layers[place] = np.where(valid(pixels), pixels, 0)
        weights[place] = WEIGHTS.get(blend, WEIGHTS["mean"])(*pixels.shape[1:])
    weights *= counts
    order = np.arange(len(written))[:, np.newaxis, np.newaxis, np.newaxis]
    if blend in ("first", "last"):
        chosen = (
            np.where(counts, order, len(written)).min(0) if blend == "first" else np.where(counts, order, -1).max(0)
        )
        result = np.take_along_axis(layers, chosen[np.newaxis] % len(written), 0)[0]
    elif blend in ("max", "min"):
        sign = 1 if blend == "max" else -1
        result = sign * np.where(counts, sign * layers, -np.inf).max(0)
    else:
        result = (layers * weights).sum(0)
        if blend != "sum":
            result /= np.where(weights.sum(0) > 0, weights.sum(0), 1)
    return result, counts.any(0)


def written_file(path: Path, given: list[Piece], count: int, dtype: str, **how: Any) -> NDArray[Any]:
    with CogWriter(path, shape=(count, HEIGHT, WIDTH), dtype=dtype, **PLACE | how) as writer:
        for window, pixels in given:
            writer.write(pixels, window)
    return read(path)


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        pixels: NDArray[Any] = dataset.read()
    return pixels


NAMES = ["last", "first", "max", "min", *WEIGHTS]


def name_of(value: Any) -> str:
    return getattr(value, "__name__", str(value))


class TestAgainstNumpy:
    @pytest.mark.parametrize("blend", NAMES, ids=name_of)
    def test_float_pixels(self, blend: Any, rng: Any, tmp_path: Path) -> None:
        given = pieces(3, "float32", rng)

        found = written_file(tmp_path / "out.tif", given, 3, "float32", blend=blend)

        expected, counts = blended(given, blend, found.shape, np.isfinite)
        assert counts.all()
        if blend in WEIGHTS:
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        else:
            np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize(
        ("dtype", "nodata"),
        [("uint8", 7), ("int16", -9), ("uint16", 0), ("int32", None), ("uint32", 7), ("int64", 7), ("float64", -5.5)],
    )
    @pytest.mark.parametrize("blend", ["last", "first", "max", "min", "sum", "mean"])
    def test_pixels_of_any_dtype(self, dtype: str, nodata: Any, blend: str, rng: Any, tmp_path: Path) -> None:
        """Those of nodata do not count, those that nothing was written to are nodata, sums are rounded half to even."""
        given = pieces(2, dtype, rng)[:-2]
        for _, pixels in given:
            pixels //= 4  # sums fit
            if nodata is not None:
                pixels[rng.random(pixels.shape) < 0.4] = nodata

        found = written_file(tmp_path / "out.tif", given, 2, dtype, blend=blend, nodata=nodata)

        expected, counts = blended(given, blend, found.shape, lambda pixels: pixels != nodata)
        assert not counts.all()
        assert counts.any()
        result = expected if dtype == "float64" else np.rint(expected)
        is_result_nodata = (result == nodata) & counts
        expected = np.where(counts, result, 0 if nodata is None else nodata)
        np.testing.assert_array_equal(found[~is_result_nodata], expected[~is_result_nodata].astype(dtype))
        if nodata is not None:
            np.testing.assert_array_equal(found == nodata, ~counts)

    @pytest.mark.parametrize("blend", ["last", "first", "sum", "mean", "hann"])
    @pytest.mark.parametrize("dtype", ["complex64", "complex128"])
    def test_complex_pixels(self, blend: str, dtype: str, rng: Any, tmp_path: Path) -> None:
        given = pieces(1, dtype, rng)

        found = written_file(tmp_path / "out.tif", given, 1, dtype, blend=blend)

        np.testing.assert_allclose(found, blended(given, blend, found.shape, np.isfinite)[0], rtol=1e-6)

    @pytest.mark.parametrize("blend", NAMES, ids=name_of)
    def test_nan_pixels_do_not_count_each_band_by_itself(self, blend: Any, rng: Any, tmp_path: Path) -> None:
        given = pieces(2, "float32", rng)
        for _, pixels in given:
            pixels[rng.random(pixels.shape) < 0.5] = np.nan

        found = written_file(tmp_path / "out.tif", given, 2, "float32", blend=blend)

        expected, counts = blended(given, blend, found.shape, np.isfinite)
        np.testing.assert_array_equal(np.isnan(found), ~counts)
        np.testing.assert_allclose(found[counts], expected[counts], rtol=1e-6)

    @pytest.mark.parametrize("blend", NAMES, ids=name_of)
    def test_masked_pixels_do_not_count(self, blend: Any, rng: Any, tmp_path: Path) -> None:
        given = pieces(2, "float32", rng)
        masked = [Piece(window, np.ma.masked_array(pixels, rng.random(pixels.shape) < 0.5)) for window, pixels in given]
        as_nan = [Piece(window, pixels.filled(np.nan)) for window, pixels in masked]

        found = written_file(tmp_path / "out.tif", masked, 2, "float32", blend=blend, nodata=-1)

        expected, counts = blended(as_nan, blend, found.shape, np.isfinite)
        np.testing.assert_allclose(found, np.where(counts, expected, -1), rtol=1e-6)

    @pytest.mark.parametrize("blend", ["last", "max", "mean", "hann"])
    def test_file_is_read_by_tifffile(self, blend: str, rng: Any, good_cog: Any, tmp_path: Path) -> None:
        given = pieces(2, "uint16", rng)

        found = written_file(tmp_path / "out.tif", given, 2, "uint16", blend=blend, profile_arg={"BLOCKSIZE": 128})

        good_cog(tmp_path / "out.tif")
        with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
            np.testing.assert_array_equal(np.moveaxis(tiff.pages[0].asarray(), -1, 0), found)
            assert len(tiff.pages) == 3
        np.testing.assert_array_equal(found, np.rint(blended(given, blend, found.shape, np.isfinite)[0]))

    def test_gdal_engine_writes_the_same_pixels(self, rng: Any, tmp_path: Path) -> None:
        given = pieces(2, "float32", rng)

        found = written_file(tmp_path / "a.tif", given, 2, "float32", blend="hann", engine="gdal")

        np.testing.assert_array_equal(found, written_file(tmp_path / "b.tif", given, 2, "float32", blend="hann"))
