"""Rasters with many bytes, bands, columns or tiles; cheap ones, of holes and constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from effort import often
from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader._core.windows import Mask, PixelWindow
from georeader._export.pipeline import write_source
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import SourceTraits, regular_chunks
from georeader._export.sinks.local import LocalSink
from georeader._export.sources import open_source
from georeader._storage.urls import Destination
from georeader.save import PROFILE_TILED_GEOTIFF_DEFAULT

pytestmark = pytest.mark.slow

TRANSFORM, CRS = Affine(10, 0, 0, 0, -10, 0), "EPSG:3857"


class Lazy:
    """Raster computed when it is read: each pixel depends on its band, row and column."""

    fill_value_default = 0
    transform, crs = TRANSFORM, CRS

    def __init__(self, shape: tuple[int, int, int], dtype: str = "uint16", *, is_blank: bool = False) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._is_blank = is_blank

    def read_from_window(self, window: Window) -> GeoTensor:
        rows = np.arange(int(window.row_off), int(window.row_off + window.height))[None, :, None]
        columns = np.arange(int(window.col_off), int(window.col_off + window.width))[None, None, :]
        values = self.pixels(np.arange(self.shape[0])[:, None, None], rows, columns)
        return GeoTensor(values, self.transform, self.crs, fill_value_default=0)

    def pixels(self, bands: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[Any]:
        if self._is_blank:
            shape = (bands.size, rows.size, columns.size)
            if (rows.max(), columns.max()) != (self.shape[1] - 1, self.shape[2] - 1):
                return np.broadcast_to(np.zeros((), self.dtype), shape)
            values = np.zeros(shape, self.dtype)
            values[:, rows.ravel() == self.shape[1] - 1, columns.ravel() == self.shape[2] - 1] = 1
            return values
        return (1 + bands + rows // 64 + columns // 16).astype(self.dtype)


class ByBand:
    """A source that stores each band by itself, and is read band by band."""

    name = "ByBand"

    def __init__(self, raster: Lazy) -> None:
        self._raster = raster
        blank = np.broadcast_to(np.zeros(1, raster.dtype), raster.shape)
        self.spec: SourceSpec = open_source(GeoTensor(blank, TRANSFORM, CRS, fill_value_default=0)).spec
        chunks = regular_chunks(raster.shape, (1, 64, raster.shape[2]))
        self.traits = SourceTraits(chunks=chunks, concurrent_reads=2, pixel_bytes=np.dtype(raster.dtype).itemsize)
        self.most_bands = 0

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        self.most_bands = max(self.most_bands, len(bands))
        rows = np.arange(region.row_start, region.row_stop)[None, :, None]
        columns = np.arange(region.column_start, region.column_stop)[None, None, :]
        return self._raster.pixels(np.array(bands)[:, None, None], rows, columns), None

    def close(self) -> None:
        """Hold nothing."""


class Holes(LocalSink):
    """A file on disk in which zeros are holes, which take no disk."""

    def write_full_resolution(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        for piece in pieces:
            if piece != bytes(len(piece)):
                super().write_full_resolution(offset_bytes, piece)
            offset_bytes += len(piece)


def export(
    data: Any, sink: LocalSink, profile_arg: dict[str, Any], *, kind: str = "cog", limit: str = "512MiB"
) -> None:
    options = SaveRequest.parse(
        kind,
        Destination("out.tif"),
        default_profile=PROFILE_TILED_GEOTIFF_DEFAULT,
        profile_arg=profile_arg,
        engine="stream",
        max_memory=limit,
    )
    with sink:
        write_source(data if isinstance(data, ByBand) else open_source(data), sink, options)


def test_file_with_285_separate_bands_is_saved(tmp_path: Path) -> None:
    raster = Lazy((285, 300, 270))
    source = ByBand(raster)
    export(source, LocalSink(tmp_path / "out.tif"), {"interleave": "band", "compress": "zstd"}, limit="32MiB")

    assert source.most_bands < 10  # so that it never held them all
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert (dataset.count, dataset.interleaving.name, dataset.overviews(285)) == (285, "band", [2])
        for band in (1, 143, 285):
            expected = raster.pixels(np.array([[[band - 1]]]), np.arange(300)[:, None], np.arange(270)[None, :])
            np.testing.assert_array_equal(dataset.read(band), expected[0])


class AllBands(Lazy):
    """A raster that counts how often each pixel is computed: always all bands of it."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__(shape)
        self.counts = np.zeros(shape[1:], int)

    def read_from_window(self, window: Window) -> GeoTensor:
        self.counts[window.toslices()] += 1
        return super().read_from_window(window)


@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_file_with_285_interleaved_bands_is_read_once(save: Any, tmp_path: Path) -> None:
    raster = AllBands((285, 400, 600))

    profile_arg = {"interleave": "band", "compress": "zstd", "predictor": 2}
    save(raster, tmp_path / "out.tif", profile_arg=profile_arg, max_memory="256MiB")

    assert (raster.counts.min(), raster.counts.max()) == (1, 1)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        for band in (1, 143, 285):
            expected = raster.pixels(np.array([[[band - 1]]]), np.arange(400)[:, None], np.arange(600)[None, :])
            np.testing.assert_array_equal(dataset.read(band), expected[0])


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_raster_of_200000_columns_is_saved(interleave: str, tmp_path: Path) -> None:
    raster = Lazy((2, 300, 200_000))

    save_cog(raster, tmp_path / "out.tif", profile_arg={"compress": "zstd", "LEVEL": 1, "interleave": interleave})

    window = Window(199_000, 100, 1000, 200)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.shape == (300, 200_000)
        assert len(dataset.overviews(1)) == 10
        np.testing.assert_array_equal(dataset.read(window=window), raster.read_from_window(window).values)
        smallest = dataset.read(out_shape=(2, 1, 196))
        assert smallest[0, 0, 0] < smallest[0, 0, 100] < smallest[0, 0, 195]


def test_raster_of_a_million_tiles_is_saved(tmp_path: Path) -> None:
    """Or a quarter of them, where it has to be quick."""
    tiles = often(1000, usually=500)  # along a side
    side_px = 16 * tiles
    raster = Lazy((1, side_px, side_px), "uint8", is_blank=True)
    profile = {"BLOCKSIZE": 16, "SPARSE_OK": "YES", "compress": "zstd", "predictor": 1, "RESAMPLING": "nearest"}

    save_cog(raster, tmp_path / "out.tif", profile_arg=profile)

    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        sizes = [np.array(page.databytecounts) for page in tiff.pages]
        assert [len(size) for size in sizes[:2]] == [tiles**2, tiles**2 // 4]
        assert np.flatnonzero(sizes[0]).tolist() == [tiles**2 - 1]
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.read(1, window=Window(side_px - 10, side_px - 10, 10, 10)).sum() == 1
        assert len(dataset.overviews(1)) == int(np.log2(tiles - 1)) + 1


def test_file_beyond_4_gib_is_a_bigtiff(tmp_path: Path) -> None:
    raster = Lazy((1, 33_000, 33_000), "int32", is_blank=True)
    sink = Holes(tmp_path / "out.tif")

    export(raster, sink, {"compress": "none", "BLOCKSIZE": 2048, "BIGTIFF": "IF_NEEDED"}, kind="tiled")

    assert (tmp_path / "out.tif").stat().st_size > 2**32
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert tiff.is_bigtiff
        assert max(tiff.pages[0].dataoffsets) > 2**32
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.read(1, window=Window(32_990, 32_990, 10, 10)).tolist() == [[0] * 10] * 9 + [[0] * 9 + [1]]
