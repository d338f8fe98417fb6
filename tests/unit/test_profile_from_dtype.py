"""profile_from_dtype: one row a dtype."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from georeader import profile_from_dtype, save
from georeader.errors import DtypeError


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        *((name, name) for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64")),
        *((name, name) for name in ("float32", "float64", "complex64", "complex128")),
        ("bool", "uint8"),
        (bool, "uint8"),
        (int, "int64"),
        (float, "float64"),
        ("float16", "float32"),
        (np.float32, "float32"),
        (np.dtype(">u2"), "uint16"),
        (">f8", "float64"),
    ],
)
def test_profile_has_the_stored_dtype(dtype: Any, stored: str) -> None:
    profile = profile_from_dtype(dtype)

    assert profile == {
        "driver": "GTiff",
        "dtype": stored,
        "tiled": True,
        "compress": "lzw",
        "BIGTIFF": "IF_SAFER",
        "blockxsize": 256,
        "blockysize": 256,
    }


def test_rasterio_opens_a_file_by_the_profile(tmp_path: Path) -> None:
    profile = profile_from_dtype("int16")

    with rasterio.open(tmp_path / "out.tif", "w", count=1, width=300, height=300, **profile) as dataset:
        dataset.write(np.ones((1, 300, 300), "int16"))

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.block_shapes == [(256, 256)]
        assert dataset.compression.value == "LZW"


def test_each_call_returns_a_new_dict() -> None:
    profile_from_dtype("uint8")["compress"] = "zstd"

    assert save.PROFILE_TILED_GEOTIFF_DEFAULT["compress"] == profile_from_dtype("uint8")["compress"] == "lzw"


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (object, "dtype object has no GeoTIFF counterpart.*cast to the numbers that the objects stand for"),
        (str, "encode the words as integer classes"),
        ("datetime64[s]", r"dtype datetime64\[s\] has no.*cast to int64"),
        ("timedelta64[D]", "cast to int64"),
        ([("a", "u1")], "stack the fields as bands"),
        ("longdouble", "cast to float64"),
        ("clongdouble", "cast to complex128"),
        ("nonsense", "dtype='nonsense' is not a numpy dtype"),
        (None, "dtype=None is not a numpy dtype"),
    ],
)
def test_other_dtypes_are_refused_with_advice(dtype: Any, message: str) -> None:
    with pytest.raises(DtypeError, match=message):
        profile_from_dtype(dtype)


def test_a_dtype_that_the_installed_gdal_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasterio.dtypes, "check_dtype", lambda name: name != "int8")

    with pytest.raises(DtypeError, match="dtype int8 has no GeoTIFF counterpart in the installed GDAL; cast to int16"):
        profile_from_dtype("int8")
