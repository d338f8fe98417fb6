"""Arrays that are not numpy's keep the promises of `source_contract`: of dask, zarr, h5py, and xarray's DataArrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from by_rioxarray import BY_RIOXARRAY
from georeader import GeoTensor, RasterioReader
from raster_file import in_file
from source_contract import CRS, TRANSFORM, SourceContract, a_raster

da = pytest.importorskip("dask.array", reason="dask is not installed")
xarray = pytest.importorskip("xarray", reason="xarray is not installed")


class Holder:
    """An object of the GeoData protocol that holds an array of some kind."""

    def __init__(self, raster: GeoTensor, values: Any) -> None:
        self.shape, self.dtype, self.attrs = raster.shape, raster.dtype, raster.attrs
        self.crs, self.transform = raster.crs, raster.transform
        self.fill_value_default = raster.fill_value_default
        self.values = values


class NeverWhole(xarray.DataArray):
    """A DataArray that must not load or keep all its pixels."""

    __slots__ = ()

    @property
    def values(self) -> Any:
        raise AssertionError("the whole raster was asked for")


def data_array(values: Any, kind: Any = xarray.DataArray) -> Any:
    """Return the raster as rioxarray does: centres of pixels as coordinates, the CRS in one of its own."""
    coordinates = {
        "y": TRANSFORM.f + TRANSFORM.e * (np.arange(413) + 0.5),
        "x": TRANSFORM.c + TRANSFORM.a * (np.arange(350) + 0.5),
        "spatial_ref": ((), 0, {"crs_wkt": CRS, "GeoTransform": " ".join(map(str, TRANSFORM.to_gdal()))}),
    }
    raster = a_raster()
    attrs = {"long_name": raster.attrs["descriptions"], "_FillValue": 0, **raster.attrs["tags"]}
    return kind(values, dims=("band", "y", "x"), coords=coordinates, attrs=attrs)


def dataset(values: Any) -> Any:
    """Return the raster as a Dataset of a variable for each band."""
    return data_array(values).assign_coords(band=a_raster().attrs["descriptions"]).to_dataset(dim="band")


class TestDask(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        raster = a_raster()
        return Holder(raster, da.from_array(raster.values, chunks=(2, 100, 256))), raster


class TestZarr(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        zarr = pytest.importorskip("zarr", reason="zarr is not installed")
        raster = a_raster()
        array = zarr.create_array(folder / "in.zarr", shape=raster.shape, dtype="uint16", chunks=(1, 64, 64))
        array[:] = raster.values
        return Holder(raster, array), raster


class TestHdf5(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        h5py = pytest.importorskip("h5py", reason="h5py is not installed")
        raster = a_raster()
        self._file = h5py.File(folder / "in.h5", "w")
        return Holder(raster, self._file.create_dataset("in", data=raster.values, chunks=(3, 50, 50))), raster


class TestDataArrayInMemory(SourceContract):
    is_in_memory = True

    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        return data_array(a_raster().values), a_raster()


class TestDataArrayOfDask(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        return data_array(da.from_array(a_raster().values, chunks=(1, 128, 350)), NeverWhole), a_raster()


class TestDataArrayTransposed(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        array = data_array(da.from_array(a_raster().values, chunks=(3, 128, 64)))
        return array.transpose("y", "x", "band"), a_raster()


class TestDataArrayPacked(SourceContract):
    """Decoded values, of which some chunks are read ahead: are they whole numbers?"""

    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        values = a_raster().values.astype("float32")
        values[values == 0] = np.nan
        array = data_array(da.from_array(values, chunks=(3, 128, 350)), NeverWhole)
        array.attrs.pop("_FillValue")
        array.encoding = {"dtype": "uint16", "_FillValue": 0}
        return array, a_raster()


class TestDataset(SourceContract):
    is_in_memory = True

    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        return dataset(a_raster().values), a_raster()


class TestDatasetOfDask(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        return dataset(da.from_array(a_raster().values, chunks=(1, 128, 350))), a_raster()


class TestDatasetOfDaskAndNumpy(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        mixed = dataset(da.from_array(a_raster().values, chunks=(1, 128, 64)))
        return mixed.assign(B08=mixed.B08.compute()), a_raster()


@BY_RIOXARRAY
class TestDataArrayOfAFile(SourceContract):
    """Opened by rioxarray, read lazily."""

    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")
        path = in_file(folder, tiled=True, blockxsize=128, blockysize=128)
        array = rioxarray.open_rasterio(path, cache=False)
        return array, RasterioReader(path).load()
