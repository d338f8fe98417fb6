"""GeoTensor.load_file and load_bytes: rasters straight into memory, from paths, filesystems and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from georeader import GeoTensor
from georeader._readers import raster_file
from georeader.errors import ReadError

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
PIXELS = np.random.default_rng(3).integers(1, 1000, (2, 30, 40)).astype("int16")
NODATA = -1

ATTRS = {
    "descriptions": ["red", None],
    "scales": [0.1, 1.0],
    "offsets": [0.0, 5.0],
    "units": ["m", None],
    "colorinterp": ["red", "alpha"],
    "tags": {"SENSOR": "MSI", "AREA_OR_POINT": "Area"},
}


def raster_bytes(driver: str = "GTiff", **profile: Any) -> bytes:
    """A raster of PIXELS as rasterio writes it."""
    count, height, width = PIXELS.shape
    options = {"count": count, "height": height, "width": width, "dtype": PIXELS.dtype, "nodata": NODATA}
    options |= {"crs": "EPSG:32630", "transform": TRANSFORM, "photometric": "MINISBLACK"}
    with MemoryFile() as file:
        with file.open(driver=driver, **(options | profile)) as dataset:
            dataset.write(PIXELS)
            dataset.descriptions = ("red", "")
            dataset.scales = (0.1, 1)
            dataset.offsets = (0, 5)
            dataset.units = ("m", "")
            dataset.colorinterp = (ColorInterp.red, ColorInterp.alpha)
            dataset.update_tags(SENSOR="MSI")
        return bytes(file.read())


CONTENT = raster_bytes()

Load = Callable[..., GeoTensor]


@pytest.fixture
def memory() -> Iterator[Any]:
    """An fsspec memory filesystem that is left empty."""
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/scenes/scene.tif", CONTENT)
    yield filesystem
    filesystem.rm("/scenes", recursive=True)


@pytest.fixture(params=["path", "str", "bytes", "memory filesystem", "local filesystem"])
def load(request: pytest.FixtureRequest, tmp_path: Path, memory: Any) -> Load:
    """Each way to load the same raster, as a function of the options."""
    path = tmp_path / "scene.tif"
    path.write_bytes(CONTENT)
    ways: dict[str, Load] = {
        "path": lambda **options: GeoTensor.load_file(path, **options),
        "str": lambda **options: GeoTensor.load_file(str(path), **options),
        "bytes": lambda **options: GeoTensor.load_bytes(CONTENT, **options),
        "memory filesystem": lambda **options: GeoTensor.load_file("/scenes/scene.tif", fs=memory, **options),
        "local filesystem": lambda **options: GeoTensor.load_file(path, fs=fsspec.filesystem("file"), **options),
    }
    return ways[request.param]


class TestEveryWay:
    def test_returns_pixels_in_the_files_dtype(self, load: Load) -> None:
        tensor = load()
        assert isinstance(tensor, GeoTensor)
        assert tensor.dtype == np.dtype("int16")
        assert np.array_equal(tensor.values, PIXELS)

    def test_has_georeference_and_nodata(self, load: Load) -> None:
        tensor = load()
        assert (tensor.transform, tensor.crs.to_epsg(), tensor.fill_value_default) == (TRANSFORM, 32630, NODATA)

    def test_returns_the_metadata_of_bands(self, load: Load) -> None:
        assert load().attrs == ATTRS

    def test_can_leave_out_the_tags(self, load: Load) -> None:
        assert load(load_tags=False).attrs == {key: value for key, value in ATTRS.items() if key != "tags"}

    def test_can_leave_out_the_descriptions(self, load: Load) -> None:
        attrs = load(load_descriptions=False).attrs
        assert attrs == {key: value for key, value in ATTRS.items() if key != "descriptions"}

    def test_returns_writable_pixels(self, load: Load) -> None:
        tensor = load()
        tensor += 1
        assert np.array_equal(tensor.values, PIXELS + 1)
        assert np.array_equal(load().values, PIXELS)

    def test_takes_options_for_gdal(self, load: Load) -> None:
        # This one is visible in the result: GDAL then does not look for the place.
        assert load(rio_env_options={"GDAL_GEOREF_SOURCES": "NONE"}).transform == Affine.identity()


class TestLoadBytes:
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_takes_any_buffer(self, kind: Callable[[bytes], Any]) -> None:
        assert np.array_equal(GeoTensor.load_bytes(kind(CONTENT)).values, PIXELS)

    def test_reads_formats_that_gdal_identifies_by_content(self) -> None:
        gray = np.arange(12, dtype="uint8").reshape(1, 3, 4)
        with MemoryFile() as file:
            with file.open(driver="PNG", count=1, height=3, width=4, dtype="uint8") as dataset:
                dataset.write(gray)
            content = bytes(file.read())
        assert np.array_equal(GeoTensor.load_bytes(content).values, gray)

    @pytest.mark.parametrize("content", [b"", b"no raster", CONTENT[:20]], ids=["empty", "text", "cut short"])
    def test_refuses_bytes_of_other_content(self, content: bytes) -> None:
        with pytest.raises(ReadError, match=rf"^the {len(content)} bytes given: ") as caught:
            GeoTensor.load_bytes(content)
        assert caught.value.__cause__ is not None

    def test_does_not_name_internal_files_in_errors(self) -> None:
        with pytest.raises(ReadError) as caught:
            GeoTensor.load_bytes(b"no raster")
        assert "vsimem" not in str(caught.value)

    def test_removes_its_memory_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = []

        class AttrsReader(MemoryFile):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                made.append(self.name)

        monkeypatch.setattr(raster_file, "MemoryFile", AttrsReader)
        GeoTensor.load_bytes(CONTENT)
        assert len(made) == 1
        with pytest.raises(rasterio.errors.RasterioIOError, match="No such file"):
            rasterio.open(made[0])


class TestLoadFile:
    def test_fill_value_is_none_if_the_file_has_no_nodata(self, tmp_path: Path) -> None:
        path = tmp_path / "scene.tif"
        path.write_bytes(raster_bytes(nodata=None))
        assert GeoTensor.load_file(path).fill_value_default is None

    @pytest.mark.parametrize("name", ["missing.tif", "text.tif", "cut.tif"])
    def test_names_the_path_in_read_errors(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "text.tif").write_text("no raster")
        (tmp_path / "cut.tif").write_bytes(CONTENT[: len(CONTENT) // 10])
        with pytest.raises(ReadError, match=str(tmp_path / name)):
            GeoTensor.load_file(tmp_path / name)

    @pytest.mark.parametrize("name", ["missing.tif", "text.tif", "cut.tif"])
    def test_names_the_path_in_the_filesystem_in_read_errors(self, memory: Any, name: str) -> None:
        memory.pipe("/scenes/text.tif", b"no raster")
        memory.pipe("/scenes/cut.tif", CONTENT[: len(CONTENT) // 10])
        with pytest.raises(ReadError, match=f"/scenes/{name}") as caught:
            GeoTensor.load_file(f"/scenes/{name}", fs=memory)
        assert "vsimem" not in str(caught.value)
        assert caught.value.__cause__ is not None

    def test_reads_formats_that_gdal_identifies_by_file_name(self, memory: Any) -> None:
        # An SRTM tile is bare numbers: only its name says what and where it is.
        memory.pipe("/scenes/N40E010.hgt", np.full((1201, 1201), 321, ">i2").tobytes())
        tensor = GeoTensor.load_file("/scenes/N40E010.hgt", fs=memory)
        assert np.all(tensor.values == 321)
        assert tensor.bounds == pytest.approx((10, 40, 11, 41), abs=1e-3)

    def test_names_a_directory_in_the_filesystem(self, tmp_path: Path) -> None:
        with pytest.raises(ReadError, match=str(tmp_path)) as caught:
            GeoTensor.load_file(tmp_path, fs=fsspec.filesystem("file"))
        assert isinstance(caught.value.__cause__, IsADirectoryError)

    def test_closes_the_file_of_the_filesystem(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "scene.tif"
        path.write_bytes(CONTENT)
        local = fsspec.filesystem("file", skip_instance_cache=True)
        opened = []

        def open_and_note(*args: Any, **kwargs: Any) -> Any:
            opened.append(type(local).open(local, *args, **kwargs))
            return opened[-1]

        monkeypatch.setattr(local, "open", open_and_note)
        GeoTensor.load_file(path, fs=local)
        assert [file.closed for file in opened] == [True]

    def test_reads_every_real_raster_as_rasterio_does(self, shared_data: Path) -> None:
        for path in sorted(shared_data.glob("*.tif")):
            with rasterio.open(path) as dataset:
                np.testing.assert_array_equal(GeoTensor.load_file(path).values, dataset.read(), path.name)
