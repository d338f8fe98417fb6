"""Every kind of source keeps the promises of `source_contract`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from georeader import GeoTensor, RasterioReader, save_tiled_geotiff
from raster_file import in_file
from source_contract import SourceContract, a_raster


class NoValues:
    """Pixels that must not be read as a whole."""

    @property
    def values(self) -> Any:
        raise AssertionError("the whole raster was asked for")

    def load(self) -> Any:
        raise AssertionError("the whole raster was asked for")


class LazyObject(NoValues):
    """An object of the GeoData protocol that returns windows as objects of its class."""

    def __init__(self, raster: GeoTensor) -> None:
        self.shape, self.dtype, self.attrs = raster.shape, raster.dtype, raster.attrs
        self.crs, self.transform = raster.crs, raster.transform
        self.fill_value_default = raster.fill_value_default
        self._raster = raster

    def read_from_window(self, window: Window) -> GeoTensor:
        return self._raster.read_from_window(window)


class LazyArrays(LazyObject):
    """An object that returns windows as plain arrays."""

    def read_from_window(self, window: Window) -> Any:
        return self._raster.read_from_window(window).values


class LazyReader(RasterioReader):
    """A reader of one's own kind, of which only windows may be loaded."""

    @property
    def values(self) -> Any:
        raise AssertionError("the whole raster was asked for")


class OnlyLoad:
    """An object that can only be loaded as a whole."""

    def __init__(self, raster: GeoTensor) -> None:
        self.shape, self.dtype, self.attrs = raster.shape, raster.dtype, raster.attrs
        self.crs, self.transform = raster.crs, raster.transform
        self.fill_value_default = raster.fill_value_default
        self._raster = raster

    def load(self) -> GeoTensor:
        return self._raster


class TestGeoTensor(SourceContract):
    is_in_memory = True

    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        return a_raster(), a_raster()


class TestObjectThatOnlyLoads(SourceContract):
    is_in_memory = True

    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        return OnlyLoad(a_raster()), a_raster()


class TestObjectThatGivesWindows(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        return LazyObject(a_raster()), a_raster()


class TestObjectThatGivesArrays(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        return LazyArrays(a_raster()), a_raster()


class TestMappedArray(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        raster = a_raster()
        np.save(folder / "in.npy", raster.values)
        return raster.like(np.load(folder / "in.npy", mmap_mode="r")), raster


class TestPath(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        path = in_file(folder, tiled=True, blockxsize=128, blockysize=64, compress="lzw")
        return path, RasterioReader(path).load()


class TestPathAsText(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        path = in_file(folder, blockysize=7)
        return str(path), RasterioReader(path).load()


class TestReader(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        reader = RasterioReader(in_file(folder, tiled=True, blockxsize=256, blockysize=256, interleave="band"))
        return reader, reader.load()


class TestReaderOfAWindow(SourceContract):
    """Of a larger file, and beyond its edge."""

    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        larger = np.random.default_rng(1).integers(0, 5000, (4, 500, 390)).astype("uint16")
        save_tiled_geotiff(
            a_raster().like(larger, attrs={"descriptions": ["a", "b", "c", "d"]}), folder / "larger.tif", nodata=0
        )
        part = RasterioReader(folder / "larger.tif", window_focus=Window(60, 130, 350, 413), indexes=[3, 1, 4])
        return part, part.load()


class TestSubclassOfReader(SourceContract):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        path = in_file(folder)
        return LazyReader(path), RasterioReader(path).load()


class TestDataset(SourceContract):
    @pytest.fixture
    def data(self, made: tuple[Any, GeoTensor]) -> Iterator[Any]:
        dataset = made[0]
        yield dataset
        assert not dataset.closed
        assert dataset.read(1, window=Window(0, 0, 1, 1)).shape == (1, 1)
        dataset.close()

    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        path = in_file(folder, tiled=True, blockxsize=256, blockysize=128)
        return rasterio.open(path), RasterioReader(path).load()


class TestDatasetInMemory(TestDataset):
    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        path = in_file(folder)
        self._memory = MemoryFile(path.read_bytes())
        return self._memory.open(), RasterioReader(path).load()


class TestWarpedVRT(TestDataset):
    """What GDAL warps while it is read."""

    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        grid = {
            "crs": "EPSG:3857",
            "height": 413,
            "width": 350,
            "transform": rasterio.Affine(12, 0, -333900, 0, -12, 4320500),
        }
        vrt = WarpedVRT(rasterio.open(in_file(folder)), **grid, nodata=0)
        values = vrt.read()
        assert values.any()
        return vrt, GeoTensor(
            values, vrt.transform, vrt.crs, fill_value_default=0,
            attrs={"descriptions": list(vrt.descriptions), "tags": vrt.tags()},
        )  # fmt: skip
