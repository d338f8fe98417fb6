"""What reading our COGs over HTTP costs, in requests and bytes, beside GDAL's own COGs of the same pixels.

Both are read by the same GDAL from the same server on 127.0.0.1, which notes each request. GDAL asks for 16 KB first
(CPL_VSIL_CURL_CHUNK_SIZE): what lies there is free.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.io import MemoryFile
from rasterio.windows import Window

from georeader import GeoTensor, save_cog
from range_server import Server

PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}


def noise(*shape: int, dtype: str = "uint16") -> np.ndarray[Any, Any]:
    """(band, row, column) that no codec shortens."""
    return np.random.default_rng(5).integers(0, np.iinfo(dtype).max, shape).astype(dtype)


def stripes() -> np.ndarray[Any, Any]:
    """(band, row, column) that takes next to no bytes, in 2,048 tiles of 128 x 128: mostly header."""
    pixels = np.full((1, 4096, 8192), 7, "uint8")
    pixels[:, ::2] = 3
    return pixels


def one_spot() -> np.ndarray[Any, Any]:
    """(band, row, column) of 2,048 tiles of which a few in the middle are not all 0."""
    pixels = np.zeros((1, 4096, 8192), "uint8")
    pixels[:, 1800:2300, 3800:4400] = noise(500, 600, dtype="uint8")
    return pixels


@dataclass(frozen=True)
class Raster:
    """A raster, and how it is saved by both.

    Attributes:
        pixels: Makes them: (band, row, column).
        tile_side_px: Side of a tile.
        options: Creation options, spelled as GDAL's COG driver does.
        nodata: Value of missing pixels.
    """

    pixels: Callable[[], np.ndarray[Any, Any]]
    tile_side_px: int
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    nodata: float | None = None

    def all_options(self) -> dict[str, Any]:
        same = {"COMPRESS": "DEFLATE", "LEVEL": 1, "PREDICTOR": "NO", "OVERVIEW_RESAMPLING": "NEAREST"}
        return {**same, "BLOCKSIZE": self.tile_side_px, **self.options}


RASTERS = {
    "16 tiles": Raster(lambda: noise(1, 1024, 1024), 256),
    "64 small tiles": Raster(lambda: noise(1, 1024, 1024), 128),
    "three bands": Raster(lambda: noise(3, 1024, 1024, dtype="uint8"), 256),
    "a long strip": Raster(lambda: noise(1, 200, 9000), 256),
    "BigTIFF": Raster(lambda: noise(1, 1024, 1024), 256, {"BIGTIFF": "YES"}),
    "2048 tiles": Raster(stripes, 128),
    "2048 tiles in a BigTIFF": Raster(stripes, 128, {"BIGTIFF": "YES"}),
    "2048 tiles, nearly all empty": Raster(one_spot, 128, {"SPARSE_OK": "YES"}, nodata=0),
}


def by_us(raster: Raster, path: Path) -> None:
    tensor = GeoTensor(raster.pixels(), **PLACE, fill_value_default=raster.nodata)
    save_cog(tensor, path, profile_arg=raster.all_options(), engine="stream")


def by_gdal(raster: Raster, path: Path) -> None:
    """Write by GDAL's COG driver alone."""
    pixels = raster.pixels()
    count, height_px, width_px = pixels.shape
    shape = {"count": count, "height": height_px, "width": width_px, "dtype": pixels.dtype.name}
    with MemoryFile() as file:
        with file.open(driver="GTiff", **shape, **PLACE, nodata=raster.nodata) as dataset:
            dataset.write(pixels)
        with file.open() as dataset:
            rasterio.shutil.copy(dataset, str(path), driver="COG", **raster.all_options())


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Any], bytes]:
    """Return a function (name of a raster, by_us or by_gdal) -> the file's bytes."""
    folder = tmp_path_factory.mktemp("requests")
    numbers = itertools.count()

    @cache
    def written(name: str, write: Any) -> bytes:
        path = folder / f"{next(numbers)}.tif"
        write(RASTERS[name], path)
        return path.read_bytes()

    return written


@dataclass(frozen=True)
class Cost:
    """Requests to the server, HEAD included, and bytes that it sent."""

    requests: int
    bytes_sent: int


def open_it(path: str) -> None:
    with rasterio.open(path):
        pass


def read_smallest_overview(path: str) -> None:
    with rasterio.open(path) as dataset:
        level = len(dataset.overviews(1)) - 1
    with rasterio.open(path, overview_level=level) as dataset:
        dataset.read()


def read_a_tile_in_the_middle(path: str) -> None:
    with rasterio.open(path) as dataset:
        side_px, _ = dataset.block_shapes[0]
        row, column = (length // 2 // side_px * side_px for length in dataset.shape)
        dataset.read(window=Window(column, row, side_px, side_px))


def read_neighbouring_tiles(path: str) -> None:
    """Two by two, where there are two rows."""
    with rasterio.open(path) as dataset:
        side_px, _ = dataset.block_shapes[0]
        row, column = (max(0, (length // 2 // side_px - 1) * side_px) for length in dataset.shape)
        dataset.read(window=Window(column, row, 2 * side_px, min(2 * side_px, dataset.height)))


def cost(server: Server, name: str, content: bytes, read: Callable[[str], None]) -> Cost:
    """Read a file that GDAL has never seen (its address is new) and count."""
    url = server.put(f"{name}.tif", content)
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        read(f"/vsicurl/{url}")
    requests = [request for request in server.requests() if request["target"].endswith(f"/{name}.tif")]
    return Cost(len(requests), sum(request["sent"] for request in requests))


@pytest.mark.parametrize("read", [open_it, read_smallest_overview, read_a_tile_in_the_middle, read_neighbouring_tiles])
@pytest.mark.parametrize("name", RASTERS)
def test_reading_takes_no_more_requests_than_gdals_own_cog(
    name: str, read: Callable[[str], None], server: Server, contents: Callable[[str, Any], bytes]
) -> None:
    ours = cost(server, "ours", contents(name, by_us), read)
    gdals = cost(server, "gdals", contents(name, by_gdal), read)

    assert gdals.requests > 0
    assert ours.requests <= gdals.requests
    assert ours.bytes_sent <= gdals.bytes_sent


def ranges(server: Server) -> list[tuple[int, int]]:
    return [(one["first_byte"], one["last_byte"]) for one in server.requests() if one["method"] == "GET"]


@pytest.mark.parametrize(
    ("width_px", "expected"),
    [(512, 1), (1024, 2)],
    ids=["whole rows of tiles: one request", "parts of rows: one request a row"],
)
def test_adjacent_tiles_are_read_by_one_request(width_px: int, expected: int, server: Server, tmp_path: Path) -> None:
    by_us(Raster(lambda: noise(1, 1024, width_px), 256), tmp_path / "out.tif")
    url = server.put("out.tif", (tmp_path / "out.tif").read_bytes())

    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), rasterio.open(f"/vsicurl/{url}") as dataset:
        before = len(ranges(server))
        dataset.read(window=Window(0, 512, 512, 512))

    assert len(ranges(server)) - before == expected


def test_opening_a_file_of_few_tiles_and_reading_its_smallest_overview_takes_two_requests(
    server: Server, contents: Callable[[str, Any], bytes]
) -> None:
    """The first 16 KB, and what they do not hold of the overview; beside them GDAL asks for the file's size (HEAD)."""
    cost(server, "ours", contents("16 tiles", by_us), read_smallest_overview)

    found = ranges(server)
    assert len(found) <= 2
    assert found[0] == (0, 16383)
