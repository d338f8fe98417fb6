"""Contract of sources; a test class for one type of source defines how to make it, and inherits the tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray

from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader._core.windows import Mask, PixelWindow
from georeader._export.pipeline import write_source
from georeader._export.plan.request import SaveRequest
from georeader._export.sinks.local import LocalSink
from georeader._export.sources import open_source
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._storage.urls import Destination
from georeader.errors import ReadError
from georeader.save import PROFILE_TILED_GEOTIFF_DEFAULT

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
CRS = "EPSG:32630"
ATTRS = {"descriptions": ["B04", "B08", "B11"], "tags": {"mission": "S2", "AREA_OR_POINT": "Area"}}

#: Windows that begin and end within tiles, at their edges, and at the raster's.
WINDOWS = [
    PixelWindow(0, 1, 0, 1),
    PixelWindow(0, 413, 0, 350),
    PixelWindow(255, 257, 100, 300),
    PixelWindow(256, 413, 256, 350),
    PixelWindow(37, 38, 0, 350),
    PixelWindow(412, 413, 349, 350),
]


def a_raster() -> GeoTensor:
    """Return the raster that is saved: (3, 413, 350) uint16, with nodata, not a whole number of tiles."""
    values = np.random.default_rng(7).integers(0, 5000, (3, 413, 350)).astype("uint16")
    values[:, 100:180, 40:90] = 0
    return GeoTensor(values, TRANSFORM, CRS, fill_value_default=0, attrs=ATTRS)


class Recording(SourceWrapper):
    """A source that records reads of each pixel and concurrent reads, and can fail at a window.

    Attributes:
        fails_at_row: A window with this row raises ``error``.
        error: What is raised.
        counts: (band, row, column): how often each pixel was read.
        most_at_once: How many threads read at the same time, at most.
        closed: How often it was closed.
    """

    def __init__(self, source: Source, fails_at_row: int | None = None) -> None:
        super().__init__(source)
        self.fails_at_row, self.error = fails_at_row, OSError("the cable was cut")
        self.most_at_once = self.closed = 0
        self.counts = np.zeros((self.spec.count, self.spec.height_px, self.spec.width_px), int)
        self._lock, self._reading = threading.Lock(), 0

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        with self._lock:
            self._reading += 1
            self.most_at_once = max(self.most_at_once, self._reading)
            rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
            self.counts[bands.start : bands.stop, rows, columns] += 1
        try:
            if self.fails_at_row is not None and region.row_start <= self.fails_at_row < region.row_stop:
                raise self.error
            return super().read(region, bands)
        finally:
            with self._lock:
                self._reading -= 1

    def close(self) -> None:
        self.closed += 1
        super().close()


def export(source: Source, path: Path, **profile_arg: Any) -> None:
    """Export a source as `save_cog` does."""
    options = SaveRequest.parse(
        "cog",
        Destination(path),
        default_profile=PROFILE_TILED_GEOTIFF_DEFAULT,
        profile_arg=profile_arg,
        engine="stream",
        max_memory="512MiB",
    )
    with LocalSink(path) as sink:
        write_source(source, sink, options)


class SourceContract:
    """The contract. A subclass defines `make`, and names the clauses that do not apply."""

    #: Reading is free: such a source may be read twice, and what it raises is its own affair.
    is_in_memory = False

    def make(self, folder: Path) -> tuple[Any, GeoTensor]:
        """Return an object to save, and the same raster in memory."""
        raise NotImplementedError

    @pytest.fixture
    def made(self, tmp_path: Path) -> tuple[Any, GeoTensor]:
        (tmp_path / "in").mkdir()
        (tmp_path / "out").mkdir()
        return self.make(tmp_path / "in")

    @pytest.fixture
    def data(self, made: tuple[Any, GeoTensor]) -> Any:
        return made[0]

    @pytest.fixture
    def raster(self, made: tuple[Any, GeoTensor]) -> GeoTensor:
        return made[1]

    def test_spec_equals_that_of_the_array(self, data: Any, raster: GeoTensor) -> None:
        source, expected = open_source(data), open_source(raster)

        for name in ("count", "height_px", "width_px", "dtype", "crs", "transform", "fill_value", "has_mask"):
            assert getattr(source.spec, name) == getattr(expected.spec, name), name
        assert source.spec.metadata.descriptions == expected.spec.metadata.descriptions
        assert source.traits.is_in_memory == self.is_in_memory
        assert source.traits.concurrent_reads >= 1
        source.close()

    @pytest.mark.parametrize("region", WINDOWS, ids=str)
    def test_any_window_has_the_pixels_of_the_raster(self, region: PixelWindow, data: Any, raster: GeoTensor) -> None:
        source = open_source(data)

        for bands in (range(3), range(1, 2), range(2)):
            pixels, mask = source.read(region, bands)
            rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
            np.testing.assert_array_equal(pixels, raster.values[bands.start : bands.stop, rows, columns])
            assert pixels.dtype == source.spec.dtype
            assert (mask is not None) == source.spec.has_mask
        source.close()

    def test_concurrent_reads_return_the_pixels(self, data: Any, raster: GeoTensor) -> None:
        source = open_source(data)
        regions = [
            PixelWindow(row, row + 59, column, column + 50) for row in range(0, 413, 59) for column in (0, 150, 300)
        ]

        with ThreadPoolExecutor(source.traits.concurrent_reads) as pool:
            results = list(pool.map(lambda region: source.read(region, range(3))[0], regions))

        for region, pixels in zip(regions, results, strict=True):
            expected = raster.values[:, region.row_start : region.row_stop, region.column_start : region.column_stop]
            np.testing.assert_array_equal(pixels, expected)
        source.close()

    @pytest.mark.parametrize(
        "profile_arg",
        [{}, {"compress": "deflate", "interleave": "band"}, {"BLOCKSIZE": 128, "SPARSE_OK": "YES", "predictor": 2}],
        ids=str,
    )
    @pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
    def test_bytes_equal_those_of_the_array(
        self, save: Callable[..., Any], profile_arg: dict[str, Any], data: Any, raster: GeoTensor, tmp_path: Path
    ) -> None:
        save(raster, tmp_path / "out" / "expected.tif", profile_arg=profile_arg)
        save(data, tmp_path / "out" / "found.tif", profile_arg=profile_arg)

        expected, found = ((tmp_path / "out" / name).read_bytes() for name in ("expected.tif", "found.tif"))
        assert found == expected

    def test_source_can_be_saved_again(self, data: Any, tmp_path: Path) -> None:
        for name in ("first.tif", "second.tif"):
            save_cog(data, tmp_path / "out" / name)

        assert (tmp_path / "out" / "first.tif").read_bytes() == (tmp_path / "out" / "second.tif").read_bytes()

    @pytest.mark.parametrize("profile_arg", [{"predictor": 1}, {}, {"interleave": "band"}], ids=str)
    def test_each_pixel_is_read_once(self, profile_arg: dict[str, Any], data: Any, tmp_path: Path) -> None:
        source = Recording(open_source(data))

        export(source, tmp_path / "out" / "out.tif", **profile_arg)

        if not self.is_in_memory:
            assert (source.counts.min(), source.counts.max()) == (1, 1)
            assert source.most_at_once <= source.traits.concurrent_reads
        assert source.closed == 1

    @pytest.mark.parametrize("row", [0, 200, 412])
    def test_failing_read_names_the_window_and_leaves_nothing(self, row: int, data: Any, tmp_path: Path) -> None:
        source = Recording(open_source(data), fails_at_row=row)
        (tmp_path / "out" / "out.tif").write_bytes(b"the earlier file")

        if self.is_in_memory:
            with pytest.raises(OSError, match="the cable was cut"):
                export(source, tmp_path / "out" / "out.tif")
        else:
            with pytest.raises(ReadError, match=r"rows \d+ to \d+, columns 0 to \d+, bands 1 to 3.*cable") as caught:
                export(source, tmp_path / "out" / "out.tif")
            assert caught.value.__cause__ is source.error
            assert source.name in str(caught.value)

        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
            "out.tif": b"the earlier file"
        }
        assert source.closed == 1
