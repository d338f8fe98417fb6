"""Pixels come back as they were: every lossless codec, dtype, number of bands, size and memory layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile

from georeader import GeoTensor, RasterioReader, save_cog, save_tiled_geotiff

REAL_DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]
WIDE_DTYPES = ["int64", "uint64", "complex64", "complex128"]
BANDS = [1, 3, 5, 13]

LOSSLESS = [
    *((codec, dtype, bands)
      for codec in ("lzw", "deflate", "zstd", "lzma", "none")
      for dtype in (*REAL_DTYPES, *WIDE_DTYPES) for bands in BANDS),
    *((codec, dtype, bands)
      for codec in ("lerc", "lerc_deflate", "lerc_zstd") for dtype in REAL_DTYPES for bands in BANDS),
    ("webp", "uint8", 3),
    ("webp", "uint8", 4),
]  # fmt: skip


def stored(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What the file holds for an array: bool as 0 and 1, float16 as float32."""
    return values.astype({"bool": "uint8", "float16": "float32"}.get(values.dtype.name, values.dtype.name))


def read(path: Path) -> np.ndarray[Any, Any]:
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.mark.covering(columns=lambda codec, dtype, bands: ((codec, dtype), (codec, bands), (dtype, bands)))
@pytest.mark.parametrize(("codec", "dtype", "bands"), LOSSLESS)
def test_every_lossless_codec_keeps_every_dtype(
    codec: str, dtype: str, bands: int, make_tensor: Any, tmp_path: Path, good_cog: Callable[[Path], None]
) -> None:
    tensor = make_tensor((bands, 33, 47), dtype)
    profile = {"compress": codec} | ({"QUALITY": 100} if codec == "webp" else {})

    save_cog(tensor, tmp_path / "out.tif", profile_arg=profile)

    np.testing.assert_array_equal(read(tmp_path / "out.tif"), stored(tensor.values))
    good_cog(tmp_path / "out.tif")


@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "complex64"])
@pytest.mark.parametrize("size", [(1, 1), (1, 700), (257, 3), (16, 5000), (256, 256), (1000, 777)])
def test_every_size_is_read_back(
    save: Any, dtype: str, size: tuple[int, int], make_tensor: Any, tmp_path: Path
) -> None:
    tensor = make_tensor((2, *size), dtype)

    save(tensor, tmp_path / "out.tif")

    np.testing.assert_array_equal(read(tmp_path / "out.tif"), tensor.values)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (257, 3), (16, 5000), (256, 256), (1000, 777)])
def test_a_cog_of_every_size_is_valid(
    size: tuple[int, int], make_tensor: Any, tmp_path: Path, good_cog: Callable[[Path], None]
) -> None:
    save_cog(make_tensor((2, *size)), tmp_path / "out.tif")

    good_cog(tmp_path / "out.tif")


@pytest.mark.parametrize(
    ("codec", "predictor", "dtype"),
    [(codec, 2, dtype) for codec in ("lzw", "deflate", "zstd") for dtype in ("uint8", "int16", "uint32", "int64")]
    + [(codec, 3, dtype) for codec in ("lzw", "deflate", "zstd") for dtype in ("float32", "float64")]
    + [("zstd", 2, "float32"), ("zstd", "YES", "float64"), ("zstd", "YES", "uint16"), ("lzw", "NO", "uint16")],
)
@pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
def test_predictors_lose_nothing(
    codec: str,
    predictor: object,
    dtype: str,
    interleave: str,
    make_tensor: Any,
    tmp_path: Path,
    good_cog: Callable[[Path], None],
) -> None:
    tensor = make_tensor((3, 300, 270), dtype)
    profile = {"compress": codec, "predictor": predictor, "interleave": interleave}

    save_cog(tensor, tmp_path / "out.tif", profile_arg=profile)

    np.testing.assert_array_equal(read(tmp_path / "out.tif"), tensor.values)
    good_cog(tmp_path / "out.tif")


def _layouts() -> dict[str, np.ndarray[Any, Any]]:
    plain = np.random.default_rng(7).integers(0, 60000, (3, 70, 50)).astype("uint16")
    read_only = plain.copy()
    read_only.flags.writeable = False
    return {
        "Fortran order": np.asfortranarray(plain),
        "negative strides": plain[::-1, ::-1, ::-1],
        "every other pixel of a larger array": np.repeat(np.repeat(plain, 2, axis=1), 2, axis=2)[:, ::2, ::2],
        "axes moved from (row, column, band)": np.moveaxis(np.ascontiguousarray(np.moveaxis(plain, 0, -1)), -1, 0),
        "read-only": read_only,
        "big-endian": plain.astype(">u2"),
        "one value broadcast": np.broadcast_to(np.uint16(7), (3, 70, 50)),
    }


@pytest.mark.parametrize("layout", list(_layouts()))
@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_memory_layout_does_not_change_the_file(save: Any, layout: str, make_tensor: Any, tmp_path: Path) -> None:
    values = _layouts()[layout]
    before = values.copy()

    save(make_tensor((1, 1, 1)).__class__(values, *_place(), 0), tmp_path / "out.tif")

    np.testing.assert_array_equal(read(tmp_path / "out.tif"), before)
    np.testing.assert_array_equal(values, before)


def _place() -> tuple[Any, str]:
    return rasterio.Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630"


@pytest.mark.parametrize("dtype", [">f4", ">i2", ">u4", ">f8", ">c8", "<f4"])
def test_byte_order_is_converted(dtype: str, tmp_path: Path) -> None:
    values = np.arange(12).reshape(1, 3, 4).astype(dtype)

    save_cog(GeoTensor(values, *_place(), fill_value_default=None), tmp_path / "out.tif")

    np.testing.assert_array_equal(read(tmp_path / "out.tif"), values)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 0), ("int16", -999), ("float32", np.nan), ("float64", -9999.0)]
)
def test_raster_of_nodata_only_is_read_back(
    dtype: str, nodata: float, tmp_path: Path, good_cog: Callable[[Path], None]
) -> None:
    tensor = GeoTensor(np.full((2, 600, 300), nodata, dtype), *_place(), fill_value_default=nodata)

    save_cog(tensor, tmp_path / "out.tif")

    np.testing.assert_array_equal(read(tmp_path / "out.tif"), tensor.values)
    assert RasterioReader(tmp_path / "out.tif").load().validmask().sum() == 0
    good_cog(tmp_path / "out.tif")


@pytest.mark.filterwarnings("ignore:.*NaN pixels in band:georeader.errors.FillValueWarning")
@pytest.mark.parametrize("nodata", [None, np.nan, -9999.0])
def test_nan_is_read_back_with_any_nodata(nodata: float | None, rng: np.random.Generator, tmp_path: Path) -> None:
    values = rng.random((1, 600, 300)).astype("float32")
    values[0, 5:400, 7:90] = np.nan
    values[0, 500, :] = [np.inf, -np.inf] * 150

    save_cog(GeoTensor(values, *_place(), fill_value_default=nodata), tmp_path / "out.tif")

    np.testing.assert_array_equal(read(tmp_path / "out.tif"), values)


def test_two_dimensions_are_one_band(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((30, 40))

    save_cog(tensor, tmp_path / "out.tif")

    np.testing.assert_array_equal(read(tmp_path / "out.tif"), tensor.values[np.newaxis])


def test_tifffile_reads_the_same_pixels(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((3, 300, 400), "int16")

    save_cog(tensor, tmp_path / "out.tif", profile_arg={"compress": "deflate", "predictor": 2})

    pixels = tifffile.imread(tmp_path / "out.tif")
    np.testing.assert_array_equal(np.moveaxis(pixels, -1, 0), tensor.values)


@pytest.mark.parametrize("codec", ["jpeg", "webp", "lerc"])
def test_lossy_codecs_are_within_tolerance(codec: str, tmp_path: Path, good_cog: Callable[[Path], None]) -> None:
    rows, columns = np.mgrid[0:300, 0:400]
    values = np.stack([(rows / 3), (columns / 4), 255 - columns / 4]).astype("uint8")
    profile = {"compress": codec} | ({"MAX_Z_ERROR": 2} if codec == "lerc" else {"QUALITY": 90})

    save_cog(GeoTensor(values, *_place(), fill_value_default=None), tmp_path / "out.tif", profile_arg=profile)

    error = np.abs(read(tmp_path / "out.tif").astype(int) - values)
    assert np.percentile(error, 99) <= (2 if codec == "lerc" else 20)
    assert error.mean() < 3
    good_cog(tmp_path / "out.tif")


def test_bytes_do_not_depend_on_the_number_of_threads(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((2, 900, 1100), "float32")

    for threads in (1, 2, "ALL_CPUS"):
        save_cog(tensor, tmp_path / f"{threads}.tif", profile_arg={"compress": "zstd", "NUM_THREADS": threads})

    assert (tmp_path / "1.tif").read_bytes() == (tmp_path / "2.tif").read_bytes()
    assert (tmp_path / "1.tif").read_bytes() == (tmp_path / "ALL_CPUS.tif").read_bytes()
