"""Sources that are decoded from their beginning: opened once a save, so that the cost grows with the pixels."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import rasterio
from fsspec.implementations.memory import MemoryFileSystem
from numpy.typing import NDArray

from conftest import CRS, TRANSFORM
from georeader import RasterioReader, save_cog, save_tiled_geotiff
from georeader._export.sources import open_source
from georeader._readers.opening import RasterPath

#: Several times what a handle may keep of decoded blocks.
SIDE_PX = 2900
PIXELS = np.resize(np.random.default_rng(0).integers(0, 9, (40, SIDE_PX), dtype="uint8"), (3, SIDE_PX, SIDE_PX))

#: A handle to describe the file, one for each thread that reads, and one that a reader opens for its metadata.
MOST_OPENS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one raster in several formats."""
    folder = tmp_path_factory.mktemp("sequential")
    plain = {"count": 3, "height": SIDE_PX, "width": SIDE_PX, "dtype": "uint8", "crs": CRS, "transform": TRANSFORM}
    with rasterio.open(folder / "tiles.tif", "w", driver="GTiff", tiled=True, compress="deflate", **plain) as dataset:
        dataset.write(PIXELS)
    for name, driver, options in [
        ("rows.png", "PNG", {"ZLEVEL": 1}),
        ("rows.jpg", "JPEG", {"QUALITY": 75}),
        ("progressive.jpg", "JPEG", {"PROGRESSIVE": "ON"}),
        ("strip.tif", "GTiff", {"COMPRESS": "DEFLATE", "BLOCKYSIZE": SIDE_PX, "ZLEVEL": 1}),
    ]:
        rasterio.shutil.copy(folder / "tiles.tif", folder / name, driver=driver, **options)
    with (folder / "tiles.tif").open("rb") as file, gzip.open(folder / "tiles.tif.gz", "wb", 1) as packed:
        shutil.copyfileobj(file, packed)
    with zipfile.ZipFile(folder / "tiles.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(folder / "tiles.tif", "tiles.tif")
    return folder


def interlaced(folder: Path) -> Path:
    """Write the raster as an interlaced PNG, which GDAL reads but does not write."""
    magick = shutil.which("convert")
    if magick is None:
        pytest.skip("ImageMagick is not installed")
    path = folder / "interlaced.png"
    subprocess.run([magick, folder / "rows.png", "-quality", "10", "-interlace", "PNG", path], check=True)
    return path


CASES = {
    "PNG": lambda folder: folder / "rows.png",
    "interlaced PNG": interlaced,
    "JPEG": lambda folder: folder / "rows.jpg",
    "progressive JPEG": lambda folder: folder / "progressive.jpg",
    "one strip": lambda folder: folder / "strip.tif",
    "gzip": lambda folder: f"/vsigzip/{folder}/tiles.tif.gz",
    "zip": lambda folder: f"/vsizip/{folder}/tiles.zip/tiles.tif",
    "zip by URL": lambda folder: f"zip://{folder}/tiles.zip!tiles.tif",
}


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths that are opened from here on."""
    opened: list[str] = []
    really = RasterPath.open

    def count(self: RasterPath, **options: Any) -> Any:
        opened.append(self.path)
        return really(self, **options)

    monkeypatch.setattr(RasterPath, "open", count)
    return opened


def saved(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        found: NDArray[Any] = dataset.read()
    return found


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.filterwarnings("ignore::georeader.errors.MetadataWarning")
def test_a_file_that_is_decoded_from_its_beginning_is_opened_once(
    case: Any, folder: Path, opens: list[str], tmp_path: Path
) -> None:
    path = case(folder)

    save_tiled_geotiff(path, tmp_path / "out.tif", profile_arg={"compress": "none"}, max_memory="256MiB")

    assert len(opens) <= MOST_OPENS
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(saved(tmp_path / "out.tif"), dataset.read())


@pytest.mark.parametrize("name", ["rows.png", "rows.jpg"])
def test_one_thread_reads_a_file_that_is_decoded_from_its_beginning(name: str, folder: Path) -> None:
    sequential, tiled = open_source(folder / name), open_source(folder / "tiles.tif")

    assert (sequential.traits.concurrent_reads, tiled.traits.concurrent_reads > 1) == (1, True)
    sequential.close()
    tiled.close()


def test_tiles_are_read_by_a_handle_for_each_thread(folder: Path, opens: list[str], tmp_path: Path) -> None:
    source = open_source(folder / "tiles.tif")
    source.close()

    save_cog(folder / "tiles.tif", tmp_path / "out.tif", max_memory="128MiB")

    assert len(opens) <= 2 + 1 + source.traits.concurrent_reads


class Counting(MemoryFileSystem):
    """A filesystem that counts the bytes that are fetched from it."""

    cachable = False
    fetched_bytes = 0

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        found = super().cat_file(path, start=start, end=end, **kwargs)
        self.fetched_bytes += len(found)
        return bytes(found)


@pytest.mark.covering(columns=lambda profile_arg, max_memory, name: ((str(profile_arg), max_memory), name))
@pytest.mark.parametrize("profile_arg", [{"predictor": 1}, {}, {"INTERLEAVE": "BAND"}], ids=str)
@pytest.mark.parametrize("max_memory", ["64MiB", "512MiB"])
@pytest.mark.parametrize("name", ["rows.png", "rows.jpg"])
def test_bytes_are_fetched_equally_often_for_any_memory(
    name: str, max_memory: str, profile_arg: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    fs = Counting()
    size_bytes = (folder / name).stat().st_size
    fs.pipe(f"/{name}", (folder / name).read_bytes())
    reader = RasterioReader(f"/{name}", fs=fs)
    fs.fetched_bytes = 0

    save_cog(reader, tmp_path / "out.tif", max_memory=max_memory, profile_arg=profile_arg)

    # The predictor is chosen by a few tiles from three places, each of which may begin again.
    assert fs.fetched_bytes < (1.2 if profile_arg.get("predictor") else 3) * size_bytes
    fsspec.filesystem("memory").rm(f"/{name}")
