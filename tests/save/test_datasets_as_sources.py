"""Datasets that the caller opened, and unusual files: the saved pixels are those of the dataset."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.env import getenv
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from conftest import CRS, TRANSFORM
from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader._core.windows import Mask, PixelWindow
from georeader._export.sources import open_source
from georeader._export.sources.handles import CallersHandle
from georeader._export.sources.protocol import RefCountedSource, SourceWrapper
from georeader.errors import DtypeError, MetadataWarning, ReadError


def a_file(path: Path, pixels: NDArray[Any], **profile: Any) -> Path:
    size = dict(zip(("count", "height", "width"), pixels.shape, strict=True))
    profile = {"driver": "GTiff", "crs": CRS, "transform": TRANSFORM, "dtype": pixels.dtype.name} | size | profile
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
    return path


def ramp(shape: tuple[int, int, int] = (2, 300, 280), dtype: str = "uint8") -> NDArray[Any]:
    return (np.arange(np.prod(shape)) % 7 + 1).reshape(shape).astype(dtype)


def a_mosaic(path: Path, *bands: tuple[str, str]) -> Path:
    """Write a VRT of in.tif's bands, each with a dtype and further XML."""
    described = "".join(
        f'<VRTRasterBand dataType="{dtype}" band="{band}">{more}<SimpleSource><SourceFilename relativeToVRT="1">in.tif'
        f"</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band, (dtype, more) in enumerate(bands, start=1)
    )
    place = "<SRS>EPSG:32630</SRS><GeoTransform>500000,10,0,4000000,0,-10</GeoTransform>"
    path.write_text(f'<VRTDataset rasterXSize="280" rasterYSize="300">{place}{described}</VRTDataset>')
    return path


def pixels_of(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        found: NDArray[Any] = dataset.read()
    return found


class TestDatasetOfTheCaller:
    def test_dataset_of_a_replaced_file_is_saved(self, tmp_path: Path) -> None:
        path = a_file(tmp_path / "in.tif", ramp())

        with rasterio.open(path) as dataset:
            save_tiled_geotiff(GeoTensor(ramp() + 100, TRANSFORM, CRS, 0), path)
            save_cog(dataset, tmp_path / "out.tif")

        np.testing.assert_array_equal(pixels_of(tmp_path / "out.tif"), ramp())

    def test_dataset_opened_with_options_is_saved(self, tmp_path: Path) -> None:
        xarray = pytest.importorskip("xarray", reason="xarray is not installed")
        pytest.importorskip("h5netcdf", reason="h5netcdf is not installed")
        values = np.arange(1, 10001, dtype="int16").reshape(100, 100)
        array = xarray.Dataset({"v": (("y", "x"), values)}, {"y": np.arange(100.0)[::-1], "x": np.arange(100.0)})
        array.v.attrs["valid_range"] = np.array([10, 50], "int16")
        array.v.encoding["_FillValue"] = np.int16(-5)
        array.to_netcdf(tmp_path / "in.nc", engine="h5netcdf")

        with rasterio.open(tmp_path / "in.nc", HONOUR_VALID_RANGE="NO") as dataset:
            save_cog(dataset, tmp_path / "out.tif")
            np.testing.assert_array_equal(pixels_of(tmp_path / "out.tif"), dataset.read())

    @pytest.mark.parametrize("mode", ["r+", "w+"])
    @pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
    def test_dataset_open_for_update_is_saved(self, save: Any, mode: str, tmp_path: Path) -> None:
        path = a_file(tmp_path / "in.tif", ramp())
        profile = {} if mode == "r+" else {"driver": "GTiff", "count": 2, "height": 300, "width": 280, "dtype": "uint8"}

        with rasterio.open(path, mode, **profile, crs=CRS, transform=TRANSFORM) as dataset:
            dataset.write(ramp() * 3)
            save(dataset, tmp_path / "out.tif")

        np.testing.assert_array_equal(pixels_of(tmp_path / "out.tif"), ramp() * 3)

    def test_dataset_written_in_memory_is_saved(self, tmp_path: Path) -> None:
        profile = {"driver": "GTiff", "count": 2, "height": 300, "width": 280, "dtype": "uint8", "transform": TRANSFORM}
        with MemoryFile() as file, file.open(**profile) as dataset:
            dataset.write(ramp())
            save_cog(dataset, tmp_path / "out.tif")

        np.testing.assert_array_equal(pixels_of(tmp_path / "out.tif"), ramp())

    def test_dataset_that_cannot_be_read_is_refused(self, tmp_path: Path) -> None:
        profile = {"driver": "GTiff", "count": 1, "height": 3, "width": 3, "dtype": "uint8", "transform": TRANSFORM}
        with (
            rasterio.open(tmp_path / "in.tif", "w", **profile) as dataset,
            pytest.raises(ReadError, match="open for writing"),
        ):
            save_cog(dataset, tmp_path / "out.tif")

    def test_gdal_options_of_the_callers_thread_are_used_for_reading(self) -> None:
        found: dict[str, Any] = {}

        def read() -> None:
            with handle.borrow(0):
                found.update(getenv())

        with rasterio.Env(GDAL_HTTP_TIMEOUT=7, GDAL_CACHEMAX=99_000_000):
            handle = CallersHandle(Stub(name="in.tif"))
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()

        assert (found["GDAL_HTTP_TIMEOUT"], found["GDAL_CACHEMAX"]) == (7, 99_000_000)


class Stub:
    """Stands for a dataset: unlike a SimpleNamespace it has a hash and takes weak references, as datasets do."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Slow(SourceWrapper):
    """A source whose reads last until an event is set."""

    def __init__(self, source: Any, *, is_borrowed: bool) -> None:
        super().__init__(source)
        self.traits = replace(source.traits, is_borrowed=is_borrowed)
        self.begun, self.goes_on, self.is_closed = threading.Event(), threading.Event(), False

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        self.begun.set()
        self.goes_on.wait(10)
        return super().read(region, bands)

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("is_borrowed", [True, False], ids=["the caller's", "our own"])
def test_interrupt_waits_only_for_the_callers_dataset(is_borrowed: bool) -> None:
    slow = Slow(open_source(GeoTensor(ramp(), TRANSFORM, CRS, 0)), is_borrowed=is_borrowed)
    guarded = RefCountedSource(slow)
    reader = threading.Thread(target=guarded.read, args=(PixelWindow(0, 5, 0, 5), range(1)))
    reader.start()
    slow.begun.wait(10)

    closer = threading.Thread(target=guarded.close)
    closer.start()
    closer.join(0.2)

    assert closer.is_alive() == is_borrowed
    assert not slow.is_closed
    slow.goes_on.set()
    closer.join(10)
    reader.join(10)
    assert slow.is_closed
    with pytest.raises(ReadError, match="closed"):
        guarded.read(PixelWindow(0, 5, 0, 5), range(1))


class TestWarps:
    @pytest.mark.parametrize("as_path", [True, False], ids=["path", "dataset"])
    def test_the_bytes_of_a_warp_do_not_depend_on_memory_or_threads(
        self, as_path: bool, rng: Any, tmp_path: Path
    ) -> None:
        """GDAL warps by an approximation within each window: the result depends on the window."""
        a_file(tmp_path / "in.tif", rng.integers(1, 200, (1, 1500, 1500)).astype("uint8"), tiled=True)
        with rasterio.open(tmp_path / "in.tif") as dataset, WarpedVRT(dataset, crs="EPSG:4326") as vrt:
            rasterio.shutil.copy(vrt, tmp_path / "in.vrt", driver="VRT")
            files = set()
            for max_memory, threads, side_px in [("96MiB", 1, 256), ("512MiB", 2, 256), ("512MiB", 2, 512)]:
                profile = {"NUM_THREADS": threads, "BLOCKSIZE": side_px}
                data = tmp_path / "in.vrt" if as_path else vrt
                save_cog(data, tmp_path / "out.tif", max_memory=max_memory, profile_arg=profile)
                files.add(pixels_of(tmp_path / "out.tif").tobytes())

        assert len(files) == 1

    def test_bytes_of_a_window_of_a_warp_do_not_depend_on_memory_or_threads(self, rng: Any, tmp_path: Path) -> None:
        a_file(tmp_path / "in.tif", rng.integers(1, 200, (1, 900, 900)).astype("uint8"))
        with rasterio.open(tmp_path / "in.tif") as dataset, WarpedVRT(dataset, crs="EPSG:4326") as vrt:
            rasterio.shutil.copy(vrt, tmp_path / "in.vrt", driver="VRT")
        whole = RasterioReader(tmp_path / "in.vrt")
        save_tiled_geotiff(whole, tmp_path / "whole.tif")
        save_tiled_geotiff(whole.isel({"y": slice(100, 700), "x": slice(333, 800)}), tmp_path / "part.tif")

        expected = pixels_of(tmp_path / "whole.tif")[:, 100:700, 333:800]
        np.testing.assert_array_equal(pixels_of(tmp_path / "part.tif"), expected)


class TestUnusualFiles:
    @pytest.mark.parametrize("one", ["<NoDataValue>3</NoDataValue>", ""], ids=["3 and 5", "none and 5"])
    @pytest.mark.parametrize("opens", [str, RasterioReader, rasterio.open], ids=["path", "reader", "dataset"])
    def test_nodata_of_single_bands_is_warned_of(self, opens: Any, one: str, tmp_path: Path) -> None:
        a_file(tmp_path / "in.tif", ramp())
        mosaic = a_mosaic(tmp_path / "in.vrt", ("Byte", one), ("Byte", "<NoDataValue>5</NoDataValue>"))

        with pytest.warns(MetadataWarning, match="5 in band 2"):
            save_cog(opens(mosaic), tmp_path / "out.tif")

    def test_integers_of_64_bits_beside_floating_point_are_not_rounded(self, tmp_path: Path) -> None:
        a_file(tmp_path / "in.tif", np.full((2, 300, 280), 2**60 + 1))
        source = open_source(a_mosaic(tmp_path / "in.vrt", ("Int64", ""), ("Float32", "")))
        source.close()
        # A driver that gives them as they are: GDAL's mosaics round them themselves.
        exact = Stub(name="in.h5", read=lambda index, window: np.full((300, 280), 2**60 + 1))

        rounding = replace(source, handles=CallersHandle(exact))
        with contextlib.closing(rounding), pytest.raises(DtypeError, match="cannot be saved as float64 unchanged"):
            rounding.read(PixelWindow(0, 300, 0, 280), range(2))

    @pytest.mark.parametrize(
        "use",
        [save_cog, lambda path, out: save_cog(rasterio.open(path), out), lambda path, out: RasterioReader(path),
         lambda path, out: CogWriter(out, like=path)],
        ids=["path", "dataset", "reader", "like"],
    )  # fmt: skip
    @pytest.mark.filterwarnings("ignore::ResourceWarning")
    def test_an_error_for_a_container_lists_its_rasters(self, use: Any, tmp_path: Path) -> None:
        rasterio.shutil.copy(a_file(tmp_path / "in.tif", ramp()), tmp_path / "in.nc", driver="netCDF")

        with pytest.raises(ReadError, match=r"in\.nc.* has no bands.*container[^:]*:\s+\S*in\.nc.*Band1"):
            use(tmp_path / "in.nc", tmp_path / "out.tif")

    def test_dataset_opened_from_a_long_vrt_text_is_saved(self, tmp_path: Path) -> None:
        a_file(tmp_path / "in.tif", ramp())
        text = a_mosaic(tmp_path / "in.vrt", ("Byte", ""), ("Byte", "")).read_text()
        text = text.replace('relativeToVRT="1">in.tif', f'relativeToVRT="0">{tmp_path}/in.tif')
        text = text.replace("<SRS>", f"<Metadata><MDI key='a'>{'x' * 5000}</MDI></Metadata><SRS>")
        with rasterio.open(text) as dataset:
            save_cog(dataset, tmp_path / "out.tif")

        np.testing.assert_array_equal(pixels_of(tmp_path / "out.tif"), ramp())

    def test_path_as_bytes_is_saved(self, tmp_path: Path) -> None:
        path = a_file(tmp_path / "in.tif", ramp())

        save_cog(bytes(path), tmp_path / "out.tif")

        np.testing.assert_array_equal(pixels_of(tmp_path / "out.tif"), ramp())
