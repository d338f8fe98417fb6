"""Of a lazy reader an operator reads the bands that it needs, in a catalog too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from georeader import GeoTensor, RasterioReader, save_tiled_geotiff
from geotoolz import Operator, Sequential
from geotoolz.catalog_ops import CatalogPipeline, WriteCOG
from geotoolz.indices import NDVI
from geotoolz.presets.s2 import S2_L2A_NDVI
from geotoolz_helpers import NAMES, TRANSFORM


class Recorder:
    """A reader that records which of a file's bands are read."""

    def __init__(self, path: str) -> None:
        self.read: list[tuple[int, ...]] = []
        self._of(RasterioReader(path))

    def _of(self, reader: RasterioReader) -> Recorder:
        self.reader, self.shape, self.descriptions = reader, reader.shape, reader.descriptions
        return self

    def isel(self, selection: dict[str, Any]) -> Recorder:
        chosen = Recorder.__new__(Recorder)
        chosen.read = self.read
        return chosen._of(self.reader.isel(selection))

    def load(self) -> GeoTensor:
        self.read.append(tuple(self.reader.indexes))
        return self.reader.load()


@pytest.fixture
def path(tmp_path: Path) -> str:
    pixels = np.random.default_rng(0).integers(1, 5000, (4, 32, 32)).astype("uint16")
    pixels[2] = 4  # vegetation, of SCL
    tensor = GeoTensor(pixels, TRANSFORM, "EPSG:32630", fill_value_default=0)
    save_tiled_geotiff(tensor, tmp_path / "stack.tif", descriptions=NAMES)
    return str(tmp_path / "stack.tif")


@pytest.mark.parametrize(
    ("operator", "bands"), [(NDVI(red_idx=3, nir_idx=1), (4, 2)), (S2_L2A_NDVI(), (4, 2, 3))], ids=["NDVI", "S2"]
)
def test_only_needed_bands_are_read_of_a_lazy_reader(operator: Operator, bands: tuple[int, ...], path: str) -> None:
    reader = Recorder(path)

    lazy, loaded = operator(reader), operator(RasterioReader(path).load())

    assert reader.read == [bands]
    np.testing.assert_array_equal(lazy.values, loaded.values)


@pytest.mark.parametrize("operator", [NDVI(red_idx=3, nir_idx=1), S2_L2A_NDVI()], ids=["NDVI", "S2"])
def test_only_needed_bands_are_read_in_a_catalog(operator: Operator, path: str, tmp_path: Path) -> None:
    readers: list[Recorder] = []

    def reader(source: str) -> Recorder:
        readers.append(Recorder(source))
        return readers[-1]

    op = Sequential([operator, WriteCOG(str(tmp_path / "{tile}.tif"))])
    (result,) = CatalogPipeline([{"path": path, "tile": "T1"}], op, reader=reader).run()

    assert len(readers[0].read) == 1
    assert len(readers[0].read[0]) < 4
    np.testing.assert_array_equal(RasterioReader(result.path).load().values, operator(RasterioReader(path)).values)


def test_a_missing_band_is_reported_with_the_bands_of_the_whole_reader(path: str) -> None:
    with pytest.raises(IndexError, match="4 bands"):
        NDVI(red_idx=0, nir_idx=9)(RasterioReader(path))
