"""DataArrays that tests make, and what is read back of the files made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from conftest import CRS, TRANSFORM
from georeader import save_cog

xarray = pytest.importorskip("xarray", reason="xarray is not installed")

WKT = rasterio.CRS.from_user_input(CRS).to_wkt()


def centres(transform: Affine, shape: tuple[int, ...]) -> dict[str, NDArray[np.float64]]:
    """Return coordinates as rioxarray makes them."""
    rows, columns = np.arange(shape[-2]) + 0.5, np.arange(shape[-1]) + 0.5
    return {"y": transform.f + transform.e * rows, "x": transform.c + transform.a * columns}


def data_array(pixels: Any, transform: Affine = TRANSFORM, **more: Any) -> Any:
    """Return a DataArray with coordinates, a CRS and a transform, without rioxarray's help."""
    encoding = more.pop("encoding", {})
    place = {"crs_wkt": WKT, "spatial_ref": WKT, "GeoTransform": " ".join(map(str, transform.to_gdal()))}
    coords = centres(transform, pixels.shape) | {"spatial_ref": ((), 0, place)} | more.pop("coords", {})
    array = xarray.DataArray(pixels, dims=("band", "y", "x")[-pixels.ndim :], coords=coords, **more)
    array.encoding = encoding
    return array


def ramp(shape: tuple[int, ...] = (2, 60, 50), dtype: str = "int16") -> NDArray[Any]:
    return (np.arange(np.prod(shape)) % 1000 + 1).reshape(shape).astype(dtype)


def a_file(path: Path, pixels: NDArray[Any] | None = None, **profile: Any) -> Path:
    """Write a raster with GDAL: int16, packed, with nodata, names and a tag."""
    pixels = ramp((3, 60, 50)) if pixels is None else pixels
    profile = {"nodata": -1, "tiled": True, "blockxsize": 16, "blockysize": 32} | profile
    scales, offsets = profile.pop("scales", (0.1, 0.1, 0.1)), profile.pop("offsets", (5.0, 5.0, 5.0))
    size = dict(zip(("count", "height", "width"), pixels.shape, strict=True))
    profile = {"driver": "GTiff", "crs": CRS, "transform": TRANSFORM, "dtype": pixels.dtype} | size | profile
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
        dataset.scales, dataset.offsets = scales[: len(pixels)], offsets[: len(pixels)]
        dataset.descriptions = ("blue", "green", "red")[: len(pixels)]
        dataset.update_tags(mission="S2")
    return path


@dataclass(frozen=True)
class FileSummary:
    """Pixels and metadata of a file."""

    pixels: NDArray[Any]
    dtype: str
    nodata: Any
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    descriptions: tuple[str | None, ...]
    crs: Any
    transform: Affine


def read_summary(path: Path) -> FileSummary:
    with rasterio.open(path) as dataset:
        return FileSummary(
            dataset.read(),
            dataset.dtypes[0],
            dataset.nodata,
            dataset.scales,
            dataset.offsets,
            dataset.descriptions,
            dataset.crs,
            dataset.transform,
        )


def saved(array: Any, folder: Path) -> FileSummary:
    save_cog(array, folder / "saved.tif")
    return read_summary(folder / "saved.tif")


def with_nan() -> NDArray[np.float32]:
    pixels = ramp(dtype="float32")
    pixels[:, 5:9, 3:30] = np.nan
    return pixels
